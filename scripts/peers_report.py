#!/usr/bin/env python3
"""What bench_peers.py measured, for people: a table, what it comes to, and a chart.

    peers_report.py JSON CHART FILE…   puts all of it between a file's lines "<!-- peers -->" and "<!-- /peers -->", the
                                       cases that geometric means are taken of and these means between "<!-- peers in
                                       brief -->" and "<!-- /peers -->", and draws CHART, an SVG
"""
import json
import math
import sys

SETS = {"prefill": "f32 and bf16, full and causal", "decode": "decode", "flex": "FlexAttention's own masks and scores"}
MINE = ("attune", "attune tuned")
BOUND = {"flops": "the peak", "bytes": "memory's bandwidth"}


def best_peer(result):
    others = {n: r["ratio"] for n, r in result["peers"].items() if n not in MINE}
    return max(others.items(), key=lambda x: x[1]) if others else (None, 0)


def columns(results):
    names = list(dict.fromkeys(n for r in results for n in r["peers"]))
    return [n for n in MINE if n in names] + [n for n in names if n not in MINE]


def markdown(results):
    """A row a case and number of threads: shares of the bound, and the faster attune by the best peer."""
    names = columns(results)
    lines = ["| case | threads | bound | possible | " + " | ".join(names) + " | attune by the best peer |",
             "|---|---|---|---|" + "---|" * len(names) + "---|"]
    for r in results:
        peer, ratio = best_peer(r)
        cells = [f"{r['peers'][n]['ratio']:.3f}" if n in r["peers"] else "–" for n in names]
        mine = [r["peers"][n]["ratio"] for n in MINE if n in r["peers"]]
        lines.append(f"| {r['name']} | {r['threads']} | {r['bound']} | {r['possible']:.2f} | " + " | ".join(cells) +
                     f" | {f'{max(mine) / ratio:.2f}× {peer}' if ratio and mine else '–'} |")
    notes = sorted({f"{r['name']}, {r['threads']} thread{'s' * (r['threads'] > 1)}: {n}" for r in results for n in r["notes"]})
    return "\n".join(lines + [""] + [f"- {n}" for n in notes]) + "\n"


def quantised(results, mine):
    """Cases of int8 keys and values with the same in bf16: name, seconds, seconds."""
    seconds = {(r["name"], r["threads"]): r["peers"][mine]["seconds"] for r in results if mine in r["peers"]}
    for (name, threads), taken in seconds.items():
        other = seconds.get((name.replace("int8 kv", "bf16"), threads))
        if name.startswith("int8 kv") and other:
            yield f"{name}, {threads} thread{'s' * (threads > 1)}", taken, other


def mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def summary(results):
    """Geometric means by set of cases, and where a peer is faster."""
    lines = []
    for mine in MINE:
        for which, words in SETS.items():
            for threads in sorted({r["threads"] for r in results}):
                ratios = []
                for r in results:
                    other = r["peers"].get("flex", {}).get("ratio", 0) if which == "flex" else best_peer(r)[1]
                    if which in (r["set"] or "").split() and r["threads"] == threads and other and mine in r["peers"]:
                        ratios.append(r["peers"][mine]["ratio"] / other)
                if ratios:
                    against = "FlexAttention" if which == "flex" else "the best peer"
                    lines.append(f"- {mine}, {words}, {threads} thread{'s' * (threads > 1)}: {mean(ratios):.2f} times {against} "
                                 f"over {len(ratios)} cases, least {min(ratios):.2f}.")
        lines += [f"- {mine}, {name}: {bf16 / int8:.2f} times the tokens a second that bf16 has."
                  for name, int8, bf16 in quantised(results, mine)]
        slower = [f"{r['name']}, {r['threads']} thread{'s' * (r['threads'] > 1)} ({best_peer(r)[0]} by "
                  f"{best_peer(r)[1] / r['peers'][mine]['ratio']:.2f})"
                  for r in results if mine in r["peers"] and best_peer(r)[1] > r["peers"][mine]["ratio"]]
        if any(mine in r["peers"] for r in results):
            lines.append(f"- {mine}, slower than a peer: {'; '.join(slower) or 'never'}.")
    return "\n".join(lines) + "\n"


def svg(results):
    """Bars of the share of the bound: a group a case, a bar a program, a tick at what exponentials leave possible."""
    colours = ["#0b7285", "#15aabf", "#e8590c", "#7048e8", "#2b8a3e", "#868e96", "#c2255c", "#f08c00", "#5c940d"]
    names = columns(results)
    colour = {n: colours[i % len(colours)] for i, n in enumerate(names)}
    row, left, wide, y, body = 12, 300, 560, 74, []
    for r in results:
        title, top = f"{r['name']}, {r['threads']} thread{'s' * (r['threads'] > 1)}", y
        body.append(f'<text x="{left - 10}" y="{y + 10}" text-anchor="end">{title}</text>')
        for name in names:
            if name not in r["peers"]:
                continue
            ratio = r["peers"][name]["ratio"]
            length = max(1, min(1.2, ratio) * wide / 1.2)
            body.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{row - 2}" fill="{colour[name]}">'
                        f'<title>{name}: {ratio:.3f} of the bound</title></rect>'
                        f'<text x="{left + length + 4:.1f}" y="{y + 9}" font-size="9">{ratio:.2f}</text>')
            y += row
        at = left + min(1.2, r["possible"]) * wide / 1.2
        body.append(f'<line x1="{at:.1f}" y1="{top - 1}" x2="{at:.1f}" y2="{y}" stroke="#e03131"/>')
        y += 8
    legend = "".join(f'<rect x="{20 + 150 * (i % 6)}" y="{12 + 18 * (i // 6)}" width="12" height="12" fill="{colour[n]}"/>'
                     f'<text x="{37 + 150 * (i % 6)}" y="{22 + 18 * (i // 6)}">{n}</text>' for i, n in enumerate(names))
    line = left + wide / 1.2
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + wide + 60} {y + 10}" role="img" '
            'font-family="sans-serif" font-size="12"><title>Share of the bound reached</title>'
            '<style>text{fill:#212529}svg{background:#fff}@media(prefers-color-scheme:dark)'
            '{text{fill:#e9ecef}svg{background:#16191d}}</style>'
            f'{legend}<line x1="{line:.1f}" y1="58" x2="{line:.1f}" y2="{y}" stroke="#868e96" stroke-dasharray="3 3"/>'
            f'<text x="{line:.1f}" y="66" text-anchor="middle" font-size="10">the bound</text>{"".join(body)}</svg>\n')


def page(machine, results):
    return f"{machine}\n\n{markdown(results)}\n{summary(results)}"


def brief(machine, results):
    """A row a case, a pair of columns a number of threads: attune's share of the bound, and how much faster than the best peer."""
    counts = sorted({r["threads"] for r in results})
    heads = [f"{n} thread{'s' * (n > 1)} | by the best peer" for n in counts]
    lines = ["| case | share of | " + " | ".join(heads) + " |", "|---|---|" + "---|---|" * len(counts)]
    cases = {}
    for r in results:
        if r["set"] and MINE[0] in r["peers"]:
            cases.setdefault((r["name"], r["bound"]), {})[r["threads"]] = r
    for (name, bound), by_threads in cases.items():
        cells = []
        for r in (by_threads.get(n) for n in counts):
            peer, ratio = best_peer(r) if r else (None, 0)
            mine = r["peers"][MINE[0]]["ratio"] if r else 0
            cells.append(f"{mine:.2f} | {mine / ratio:.2f}× {peer}" if ratio else "– | –")
        lines.append(f"| {name} | {BOUND[bound]} | " + " | ".join(cells) + " |")
    return f"{machine}\n\n" + "\n".join(lines) + f"\n\n{summary(results)}"


PLACES = {"<!-- peers -->\n": page, "<!-- peers in brief -->\n": brief}
END = "<!-- /peers -->\n"


def fill(path, measured):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    begin = next((b for b in PLACES if b in text), None)
    if not begin or END not in text:
        sys.exit(f"{path} has no place for it")
    before, rest = text.split(begin, 1)
    with open(path, "w", encoding="utf-8") as f:
        f.write(before + begin + PLACES[begin](measured["machine"], measured["results"]) + END + rest.split(END, 1)[1])


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as f:
        measured = json.load(f)
    for path in sys.argv[3:]:
        fill(path, measured)
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        f.write(svg(measured["results"]))


if __name__ == "__main__":
    main()

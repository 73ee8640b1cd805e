#!/usr/bin/env python3
"""attune beside other people's kernels on this machine: asked in turn, round after round, with the machine's own limits
probed between them.

    bench_peers.py [-c CASES] [-o FOLDER] [-r ROUNDS] [-t THREADS,…] [NAME…]

CASES (bench/peers.json) lists what is timed; NAME… picks cases by the beginning of their names. FOLDER gets peers.json,
peers.md and peers.svg. A ratio is of medians: of the useful flops a second to the peak of f32 multiply-adds (twice that
for bf16), or of the bytes read to what the machine reads from memory, whichever bound is the case's.
"""
import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time

FAMILIES = ("torch", "onnxruntime", "openblas")
HERE = os.path.dirname(os.path.abspath(__file__))


class Process:
    """One program that answers a JSON object a line; its threads are its own."""

    def __init__(self, command, threads):
        environment = {**os.environ, **{f"{x}_NUM_THREADS": str(threads) for x in ("OMP", "MKL", "OPENBLAS")}}
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                      env=environment, stderr=subprocess.DEVNULL)
        self.id = 0

    def ask(self, **request):
        self.id += 1
        self.child.stdin.write(json.dumps({"id": self.id, **request}) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def documents(n, mean):
    """The same lengths every run, from half to one and a half times the mean."""
    generator, out = random.Random(1), []
    while len(out) < n:
        out += [len(set(out))] * generator.randint(mean // 2, mean * 3 // 2)
    return out[:n]


def work(case):
    """Useful flops, and bytes that must be read once."""
    b, h, n, m, d, e = (case["ranks"][r] for r in "BHNMDE")
    window, shift, doc = case.get("params", {}).get("W", 512), m - n, case.get("values", {}).get("qdoc")
    form = case["form"]
    if form == "full" or n == 1:
        pairs = n * m
    elif form == "window":
        pairs = sum(min(window, i + shift + 1) for i in range(n))
    elif form == "document":
        first, pairs = {}, 0
        for i in range(n):
            pairs += i - first.setdefault(doc[i], i) + 1
    else:
        pairs = sum(i + shift + 1 for i in range(n))
    size = 2 if case.get("types") else 4
    group = case.get("params", {}).get("G", 1)
    return 2 * b * h * pairs * (d + e), b * size * (h // group * m * (d + e) + h * n * (d + e))


def measure(case, threads, rounds, server):
    asked = {**case, "threads": threads}
    processes, peers, notes = [], {}, []
    for command in [[server]] + [[sys.executable, os.path.join(HERE, "peers_cpu.py"), f] for f in FAMILIES]:
        process = Process(command, threads)
        processes.append(process)
        try:
            answer = process.ask(prepare=asked)
            notes += [answer["notes"]] if answer.get("notes") else []
            peers.update({name: process for name in answer["peers"]})
        except RuntimeError as e:
            notes.append(f"{os.path.basename(command[-1])}: {e}")
    flops, size = work(case)
    runs = {name: max(1, min(1000, round(0.1 / max(1e-6, p.ask(time=name, runs=1)["seconds"])))) for name, p in peers.items()}
    seconds, peaks, reads = {name: [] for name in peers}, [], []
    for _ in range(rounds):
        for name, process in peers.items():
            peaks.append(processes[0].ask(peak=threads)["peak"])
            seconds[name].append(process.ask(time=name, runs=runs[name])["seconds"])
        reads.append(processes[0].ask(read=threads, bytes=1 << 29)["bandwidth"])
    for process in processes:
        process.close()
    bf16 = 2 if case.get("types") else 1
    peak, read = statistics.median(peaks) * bf16, statistics.median(reads)
    bound = max(flops / peak, size / read)
    rows = {name: {"seconds": statistics.median(s), "ratio": bound / statistics.median(s)} for name, s in seconds.items()}
    return {"name": case["name"], "threads": threads, "flops": flops, "bytes": size, "peak": peak, "read": read,
            "bound": "flops" if flops / peak >= size / read else "bytes", "peers": rows, "notes": notes}


def best_peer(result):
    others = {n: r["ratio"] for n, r in result["peers"].items() if n != "attune"}
    return max(others.items(), key=lambda x: x[1]) if others else (None, 0)


def markdown(results, machine):
    names = list(dict.fromkeys(n for r in results for n in r["peers"]))
    lines = [f"{machine}", "", "| case | threads | bound | " + " | ".join(names) + " | attune by the best peer |",
             "|---|---|---|" + "---|" * len(names) + "---|"]
    for r in results:
        peer, ratio = best_peer(r)
        mine = r["peers"].get("attune", {}).get("ratio", 0)
        cells = [f"{r['peers'][n]['ratio']:.3f}" if n in r["peers"] else "–" for n in names]
        lines.append(f"| {r['name']} | {r['threads']} | {r['bound']} | " + " | ".join(cells) +
                     f" | {f'{mine / ratio:.2f}× {peer}' if ratio else '–'} |")
    notes = sorted({f"{r['name']}, {r['threads']} threads: {n}" for r in results for n in r["notes"]
                    if not n.startswith(("default", "exact", "nearest", "arch", "given"))})
    return "\n".join(lines + [""] + [f"- {n}" for n in notes]) + "\n"


def svg(results):
    """Bars of the ratio to the bound: a group a case, a bar a program."""
    colours = ["#0b7285", "#e8590c", "#7048e8", "#2b8a3e", "#868e96", "#c2255c"]
    names = list(dict.fromkeys(n for r in results for n in r["peers"]))
    colour = {n: colours[i % len(colours)] for i, n in enumerate(names)}
    row, left, wide, y, body = 14, 300, 560, 50, []
    for r in results:
        title = f"{r['name']}, {r['threads']} thread{'s' * (r['threads'] > 1)}"
        body.append(f'<text x="{left - 10}" y="{y + 11}" text-anchor="end">{title}</text>')
        for name, peer in r["peers"].items():
            length = max(1, min(1.2, peer["ratio"]) * wide / 1.2)
            body.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{row - 3}" fill="{colour[name]}">'
                        f'<title>{name}: {peer["ratio"]:.3f} of the bound</title></rect>'
                        f'<text x="{left + length + 4:.1f}" y="{y + 10}" font-size="10">{peer["ratio"]:.2f}</text>')
            y += row
        y += 8
    legend = "".join(f'<rect x="{20 + 140 * i}" y="12" width="12" height="12" fill="{colour[n]}"/>'
                     f'<text x="{37 + 140 * i}" y="22">{n}</text>' for i, n in enumerate(names))
    line = left + wide / 1.2
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + wide + 60} {y + 10}" role="img" '
            'font-family="sans-serif" font-size="12"><title>Share of the bound reached</title>'
            '<style>text{fill:#212529}svg{background:#fff}@media(prefers-color-scheme:dark)'
            '{text{fill:#e9ecef}svg{background:#16191d}}</style>'
            f'{legend}<line x1="{line}" y1="34" x2="{line}" y2="{y}" stroke="#868e96" stroke-dasharray="3 3"/>'
            f'<text x="{line}" y="44" text-anchor="middle" font-size="10">the bound</text>{"".join(body)}</svg>\n')


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        models = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {len(models)} processors"


def versions():
    found = []
    for module in ("torch", "onnxruntime", "scipy_openblas64"):
        try:
            found.append(f"{module} {__import__(module).__version__}")
        except (ImportError, AttributeError):
            continue
    return ", ".join(found) or "no peers installed"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-c", "--cases", default="bench/peers.json")
    parser.add_argument("-o", "--output", default="build/peers")
    parser.add_argument("-r", "--rounds", type=int, default=7)
    parser.add_argument("-t", "--threads", default="1,2")
    parser.add_argument("-s", "--server", default="build/bench-server")
    parser.add_argument("name", nargs="*")
    o = parser.parse_args()
    with open(o.cases, encoding="utf-8") as f:
        cases = json.load(f)["cases"]
    results, started = [], time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    for case in cases:
        if o.name and not any(case["name"].startswith(n) for n in o.name):
            continue
        if "mean" in case:
            doc = documents(case["ranks"]["N"], case["mean"])
            case = {**case, "values": {"qdoc": doc, "kdoc": doc}}
        for threads in map(int, o.threads.split(",")):
            result = measure(case, threads, o.rounds, o.server)
            results.append(result)
            print(f"{result['name']:28} {threads} " + "  ".join(f"{n} {r['ratio']:.3f}" for n, r in result["peers"].items()),
                  flush=True)
    machine = f"{processor()}; {versions()}; {o.rounds} rounds, {started}."
    os.makedirs(o.output, exist_ok=True)
    for suffix, text in (("json", json.dumps({"machine": machine, "results": results}, indent=1)),
                         ("md", markdown(results, machine)), ("svg", svg(results))):
        with open(os.path.join(o.output, f"peers.{suffix}"), "w", encoding="utf-8") as f:
            f.write(text)


if __name__ == "__main__":
    main()

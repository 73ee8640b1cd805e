#!/usr/bin/env python3
"""attune beside other people's kernels on this machine: asked in turn, round after round, with the machine's own limits
probed between them.

    bench_peers.py [-c CASES] [-o FOLDER] [-r ROUNDS] [-t THREADS,…] [--tuned SECONDS] [--keep] [NAME…]

CASES (bench/peers.json) lists what is timed; NAME… picks cases by the beginning of their names. FOLDER gets peers.json,
peers.md and peers.svg, the inputs while they are used, and with --tuned the cache that searches of so many seconds fill:
what is in it already is not searched for again. ROUNDS 0 fills that and what FlexAttention compiles, and times nothing:
for a machine that will be idle later. With --keep what FOLDER's peers.json has of other cases stays.

Times are medians by the wall clock, of one thread by CPU time, which a neighbour does not lengthen; who is far behind is
asked in two rounds only. A ratio is the time that the bound takes by the time it took: useful flops at the peak of
multiply-adds, of the case's type and ISA, or the bytes to be read at the rate memory is read with, whichever is longer.
"""
import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time

from peers_forms import work
from peers_machine import machine_line
from peers_report import page, summary, svg

FAMILIES = ("torch", "onednn", "onnxruntime", "openblas")
HERE = os.path.dirname(os.path.abspath(__file__))
PROBE_BYTES = 1 << 29
SPAN = 0.06  # seconds that a round gives each program, about
FAR, FAR_ROUNDS = 3, 2  # times the fastest, and how often such a one is asked
TRIALS = 3  # that tell how many runs a round has: one alone may meet the last program's threads
SETTLE = 0.3  # seconds for all of them to sleep after what was prepared
PAUSE = 0.03  # till the last program's threads have stopped to spin


class Process:
    """One program that answers a JSON object a line; its threads are its own."""

    def __init__(self, command, threads):
        environment = {**os.environ, "THP_MEM_ALLOC_ENABLE": "1",
                       **{f"{x}_NUM_THREADS": str(threads) for x in ("OMP", "MKL", "OPENBLAS")}}
        self.name = os.path.basename(command[-1])
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


class Programs:
    """All that are asked, with so many threads each."""

    def __init__(self, o, threads):
        self.o, self.threads = o, threads
        self.attune = Process([o.server], threads)
        self.tuned = Process([o.server], threads) if o.tuned is not None else None
        self.families = [Process([sys.executable, os.path.join(HERE, "peers_cpu.py"), f], threads) for f in FAMILIES]

    def close(self):
        for process in [self.attune, self.tuned, *self.families]:
            if process:
                process.close()

    def prepare(self, case, values):
        """The programs that can time the case, by name, and what they said."""
        o, notes = self.o, []
        folder = os.path.join(o.output, f"inputs-{os.getpid()}")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        asked = {**case, "values": values, "threads": self.threads, "folder": folder}
        made = self.attune.ask(prepare=asked)
        peers = {"attune": (self.attune, "attune")}
        if self.tuned:
            cache = os.path.join(o.output, "tune.db")
            answer = self.tuned.ask(prepare={**asked, "folder": None, "cache": cache, "tune": o.tuned})
            peers["attune tuned"] = (self.tuned, "attune")
            notes += [] if answer["notes"].startswith("exact") else [f"attune tuned: {answer['notes']}"]
        for process in [] if case.get("alone") else self.families:
            try:
                judge = process is self.families[-1]
                answer = process.ask(prepare={**asked, "tensors": made["tensors"], "judge": judge})
                notes += [answer["notes"]] if answer["notes"] else []
                peers.update({name: (process, name) for name in answer["peers"]})
            except RuntimeError as e:
                notes.append(f"{process.name}: {e}")
        shutil.rmtree(folder, ignore_errors=True)
        return peers, notes


def values_of(case):
    """Of tensors that are not random: what a case says, documents of about its mean length, slopes of the paper."""
    values, n = dict(case.get("values", {})), case["ranks"]["N"]
    if "mean" in case:
        generator, out = random.Random(1), []
        while len(out) < n:
            out += [len(set(out))] * generator.randint(case["mean"] // 2, case["mean"] * 3 // 2)
        values["qdoc"] = values["kdoc"] = out[:n]
    if case["form"] == "int8":
        generator = random.Random(2)
        for name in "KV":
            values[name] = [generator.randint(-127, 127) for _ in range(10007)]
            values[name.lower() + "s"] = [generator.uniform(0.005, 0.015) for _ in range(1009)]
    if case["form"] in ("softcap", "alibi"):
        heads = case["ranks"]["H"]
        values["slope"] = [2 ** (-8 * (h + 1) / heads) for h in range(heads)]
    return values


def measure(case, programs, rounds):
    threads, values = programs.threads, values_of(case)
    peers, notes = programs.prepare(case, values)
    if not rounds:
        return None, notes
    probe, bf16 = programs.attune, "bf16" in case.get("types", {}).values()
    of = {"operand": "bf16" if bf16 else "compute", **({"isa": case["isa"]} if "isa" in case else {})}
    time.sleep(SETTLE)
    first = {name: min(process.ask(time=known, runs=1)["seconds"] for _ in range(TRIALS))
             for name, (process, known) in peers.items()}
    runs = {name: max(1, min(2000, round(SPAN / max(1e-6, s)))) for name, s in first.items()}
    seconds, peaks, reads = {name: [] for name in peers}, [], []
    for i in range(rounds):
        for name, (process, known) in peers.items():
            if i >= FAR_ROUNDS and min(seconds[name]) > FAR * min(map(min, seconds.values())):
                continue
            time.sleep(PAUSE)
            peaks.append(probe.ask(peak=threads, **of)["peak"])
            seconds[name].append(process.ask(time=known, runs=runs[name])["seconds"])
        time.sleep(PAUSE)
        reads.append(probe.ask(read=threads, bytes=PROBE_BYTES)["bandwidth"])
    flops, exps, size = work(case, values)
    peak, read = statistics.median(peaks), statistics.median(reads)
    rates = probe.ask(exps=1, **of)
    rate, beside = rates["exps"] * threads, rates["beside"] * threads
    by_flops, by_bytes, by_exps = flops / peak, size / read, exps / rate if rate else 0
    arithmetic = max(by_flops + exps / beside, by_exps) if beside else by_flops + by_exps
    bound = max(by_flops, by_bytes)
    rows = {name: {"seconds": statistics.median(s), "ratio": bound / statistics.median(s), "rounds": s}
            for name, s in seconds.items()}
    row = {"name": case["name"], "set": case.get("set"), "threads": threads, "flops": flops, "exps": exps, "bytes": size,
           "peak": peak, "read": read, "exp_rate": rate, "bound": "flops" if by_flops >= by_bytes else "bytes",
           "possible": bound / max(arithmetic, by_bytes), "peers": rows, "notes": notes}
    return row, notes


def write(o, machine, results):
    os.makedirs(o.output, exist_ok=True)
    for suffix, text in (("json", json.dumps({"machine": machine, "results": results}, indent=1)),
                         ("md", page(machine, results)), ("svg", svg(results))):
        with open(os.path.join(o.output, f"peers.{suffix}"), "w", encoding="utf-8") as f:
            f.write(text)


def kept(o):
    try:
        with open(os.path.join(o.output, "peers.json"), encoding="utf-8") as f:
            return json.load(f)["results"]
    except FileNotFoundError:
        return []


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-c", "--cases", default="bench/peers.json")
    parser.add_argument("-o", "--output", default="build/peers")
    parser.add_argument("-r", "--rounds", type=int, default=7)
    parser.add_argument("-t", "--threads", default="1,2")
    parser.add_argument("-s", "--server", default="build/bench-server")
    parser.add_argument("--tuned", type=float, metavar="SECONDS")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("name", nargs="*")
    o = parser.parse_args()
    with open(o.cases, encoding="utf-8") as f:
        all_cases = json.load(f)["cases"]
    cases = [c for c in all_cases if not o.name or any(c["name"].startswith(n) for n in o.name)]
    place = {c["name"]: i for i, c in enumerate(all_cases)}
    machine = machine_line(o.rounds)
    results = kept(o) if o.keep else []
    for threads in map(int, o.threads.split(",")):
        programs = Programs(o, threads)
        for case in cases:
            began = time.monotonic()
            try:
                result, notes = measure(case, programs, o.rounds)
            except RuntimeError as e:
                print(f"{case['name']:30} {threads} {e}", flush=True)
                programs.close()
                programs = Programs(o, threads)
                continue
            if not result:
                print(f"{case['name']:30} {threads} prepared" + "".join(f"  [{n}]" for n in notes) +
                      f"  {time.monotonic() - began:.0f} s", flush=True)
                continue
            results = [r for r in results if (r["name"], r["threads"]) != (case["name"], threads)] + [result]
            results.sort(key=lambda r: (place.get(r["name"], len(place)), r["threads"]))
            write(o, machine, results)
            print(f"{result['name']:30} {threads} {result['possible']:.2f} possible  " +
                  "  ".join(f"{n} {r['ratio']:.3f}" for n, r in result["peers"].items()) +
                  "".join(f"  [{n}]" for n in result["notes"]) + f"  {time.monotonic() - began:.0f} s", flush=True)
        programs.close()
    print(summary(results))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Times other people's attention kernels for `attune check-gpu`, which starts it and asks over standard input.

One JSON object a line, one answer a line (gpu/peers.h): "prepare" a case, "time" a peer so many runs, "copy" bytes,
"clocks". Peers are PyTorch's scaled_dot_product_attention by its cuDNN and flash back ends, and FlexAttention, which
compiles to Triton, where the case is one that they express. Inputs are random, in as many copies as are larger than
the caches, used in turn; times are by CUDA events.
"""
import json
import math
import os
import subprocess
import sys

ROTATION = 256 << 20  # bytes
MOST_SETS = 16


class Case:
    """A case's program, types and extents, with its inputs on the device."""

    def __init__(self, torch, case):
        self.torch = torch
        self.program = os.path.splitext(os.path.basename(case["program"]))[0]
        self.ranks = case["ranks"]
        self.params = case.get("params", {})
        self.dtype = {"bf16": torch.bfloat16, "f16": torch.float16}[case["types"]["Q"]]
        b, m, d, e = (int(self.ranks[r]) for r in "BMDE")
        if self.program == "decode_gqa":
            groups, n = int(self.ranks["J"]), 1
            h = groups * int(self.ranks["G"])
        else:
            h, n = int(self.ranks["H"]), int(self.ranks["N"])
            groups = h // int(self.params.get("G", 4)) if self.program == "flash_causal_gqa" else h
        self.n, self.m, self.heads, self.scale = n, m, h, 1 / math.sqrt(d)
        self.gqa = groups != h
        size = (b * h * n * d + b * groups * m * (d + e)) * 2
        sets = max(1, min(MOST_SETS, math.ceil(ROTATION / size)))

        def new(*shape):
            return torch.randn(*shape, device="cuda", dtype=torch.float32).to(self.dtype)

        self.inputs = [(new(b, h, n, d), new(b, groups, m, d), new(b, groups, m, e)) for _ in range(sets)]


def sdpa(case, backend):
    torch = case.torch
    from torch.nn.attention import sdpa_kernel
    from torch.nn.attention.bias import causal_lower_right
    causal = case.program == "flash_causal_gqa" and case.n > 1
    how = {"is_causal": True} if causal and case.n == case.m else \
        {"attn_mask": causal_lower_right(case.n, case.m)} if causal else {}

    def run(q, k, v):
        with sdpa_kernel(backend):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=case.scale, enable_gqa=case.gqa, **how)
    return run


def flex(case):
    torch = case.torch
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention
    shift = case.m - case.n
    window, first, cap = (int(case.params.get(p, x)) for p, x in (("W", 256), ("F", 4), ("cap", 50)))

    def causal(b, h, n, m):
        return m <= n + shift

    def in_window(b, h, n, m):
        return (m <= n + shift) & ((m < first) | (n + shift - m < window))

    slope = torch.full((case.heads,), 0.25, device="cuda")
    sink = torch.zeros(case.heads, device="cuda")

    def capped(s, b, h, n, m):
        return cap * torch.tanh(s / cap) + slope[h] * (m - n - shift)

    mask = {"cross_attention": None, "decode_gqa": None, "sliding_window_sink": in_window}.get(case.program, causal)
    mask = None if case.n == 1 and case.program == "flash_causal_gqa" else mask
    blocks = create_block_mask(mask, None, None, case.n, case.m, device="cuda") if mask else None
    score = capped if case.program == "alibi_softcap" else None
    with_sink = case.program == "sliding_window_sink"

    def plain(q, k, v):
        out = flex_attention(q, k, v, score_mod=score, block_mask=blocks, scale=case.scale, enable_gqa=case.gqa,
                             return_lse=with_sink)
        if not with_sink:
            return out
        out, lse = out
        return out * torch.sigmoid(lse - sink[:, None]).unsqueeze(-1).to(out.dtype)
    return torch.compile(plain, dynamic=False)


def candidates(case):
    from torch.nn.attention import SDPBackend
    expressed = {"flash_causal_gqa": True, "cross_attention": True, "decode_gqa": True,
                 "sliding_window_sink": False, "alibi_softcap": False}
    if case.program not in expressed:
        return {}
    peers = {}
    if expressed[case.program]:
        peers["sdpa cudnn"] = lambda: sdpa(case, SDPBackend.CUDNN_ATTENTION)
        peers["sdpa flash"] = lambda: sdpa(case, SDPBackend.FLASH_ATTENTION)
    peers["flex (triton)"] = lambda: flex(case)
    return peers


class Server:
    def __init__(self):
        self.torch = None
        self.case = None
        self.peers = {}
        self.turn = 0

    def load(self):
        if self.torch is None:
            import torch
            if not torch.cuda.is_available():
                raise RuntimeError("PyTorch sees no GPU")
            self.torch = torch
        return self.torch

    def prepare(self, request):
        torch = self.load()
        self.case, self.peers = None, {}  # gives the memory of the last one back
        torch.cuda.empty_cache()
        if "Q" not in request["prepare"].get("types", {}):
            return {"peers": [], "notes": "no peer expresses it"}
        self.case = Case(torch, request["prepare"])
        notes, first = [], None
        wanted = request["prepare"].get("peers")
        for name, make in candidates(self.case).items():
            if wanted is not None and name not in wanted:
                continue
            try:
                run = make()
                out = run(*self.case.inputs[0])
                torch.cuda.synchronize()
                first = out if first is None else first
                off = float((out.float() - first.float()).abs().max())
                if off > 0.05:
                    raise RuntimeError(f"differs from another peer by {off:.2g}")
                self.peers[name] = run
            except Exception as problem:  # whatever a library throws: it is a peer less, and is said
                notes.append(f"{name}: {str(problem).strip().splitlines()[0][:120] if str(problem) else type(problem).__name__}")
        return {"peers": list(self.peers), "notes": "; ".join(notes)}

    def between(self, work):
        torch = self.load()
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        work()
        last.record()
        last.synchronize()
        return first.elapsed_time(last) * 1e-3

    def time(self, request):
        run, runs = self.peers[request["time"]], int(request["runs"])

        def work():
            for _ in range(runs):
                self.turn += 1
                run(*self.case.inputs[self.turn % len(self.case.inputs)])
        return {"seconds": self.between(work) / runs}

    def copy(self, request):
        torch, size = self.load(), int(request["copy"])
        a, b = (torch.empty(size, device="cuda", dtype=torch.uint8) for _ in range(2))
        times = sorted(self.between(lambda: b.copy_(a)) for _ in range(25))
        return {"bandwidth": 2 * size / times[len(times) // 2]}

    def clocks(self, request):
        query = "--query-gpu=clocks.sm,clocks.mem,temperature.gpu,power.draw"
        out = subprocess.run(["nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True, timeout=20)
        lines = out.stdout.strip().splitlines()
        return {"clocks": "SM, memory, temperature, power: " + lines[0] if lines else ""}

    def answer(self, request):
        for verb in ("prepare", "time", "copy", "clocks"):
            if verb in request:
                return getattr(self, verb)(request)
        raise ValueError("none of prepare, time, copy, clocks")


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    server = Server()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = server.answer(request)
        except Exception as problem:  # an answer all the same: attune waits for one
            answer = {"error": f"{type(problem).__name__}: {str(problem).strip()[:300]}"}
        answers.write(json.dumps({"id": request.get("id"), **answer}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Times other people's attention kernels on this processor, asked over standard input as bench/server.c is.

    peers_cpu.py FAMILY        torch, onnxruntime or openblas: one process each, so that their threads do not meet

A case's "form" says what it computes; a family offers the peers of its own that can express that, each checked against
a float64 reference once before it is timed. Inputs are random, types as the case says.
"""
import ctypes
import json
import math
import os
import sys
import time

import numpy


class Case:
    def __init__(self, case):
        self.form = case["form"]
        self.threads = int(case.get("threads", 1))
        self.params = case.get("params", {})
        self.bf16 = "bf16" in case.get("types", {}).values()
        rank = {k: int(v) for k, v in case["ranks"].items()}
        self.b, self.h, self.n, self.m, self.d, self.e = (rank[r] for r in "BHNMDE")
        self.group = int(self.params.get("G", 1))
        self.scale = 1 / math.sqrt(self.d)
        random = numpy.random.default_rng(1)

        def new(*shape):
            return random.standard_normal(shape, dtype=numpy.float32)

        kv = self.h // self.group
        self.q, self.k, self.v = (new(self.b, self.h, self.n, self.d), new(self.b, kv, self.m, self.d),
                                  new(self.b, kv, self.m, self.e))
        self.document = None
        if self.form == "document":
            self.document = numpy.array(case["values"]["qdoc"], dtype=numpy.int32)
        self.slope = numpy.exp2(-8 * (numpy.arange(self.h, dtype=numpy.float32) + 1) / self.h)

    def mask(self):
        """Who sees whom, N by M, or None."""
        n, m = numpy.arange(self.n)[:, None] + self.m - self.n, numpy.arange(self.m)[None, :]
        if self.form in ("causal", "decode", "softcap", "sigmoid"):
            return m <= n
        if self.form == "window":
            return (m <= n) & (n - m < int(self.params.get("W", 512)))
        if self.form == "document":
            return (m <= n) & (self.document[:, None] == self.document[None, :])
        return None

    def reference(self):
        """The last head's output in float64."""
        q, k, v = (x[-1, -1].astype(numpy.float64) for x in (self.q, self.k, self.v))
        s = q @ k.T * self.scale
        if self.form == "softcap":
            distance = numpy.arange(self.m)[None, :] - numpy.arange(self.n)[:, None] - (self.m - self.n)
            cap = float(self.params.get("cap", 50))
            s = cap * numpy.tanh(s / cap) + self.slope[-1] * distance
        mask = self.mask()
        if self.form == "sigmoid":
            return numpy.where(mask, 1 / (1 + numpy.exp(-s)), 0) @ v
        if mask is not None:
            s = numpy.where(mask, s, -numpy.inf)
        p = numpy.exp(s - s.max(1, keepdims=True))
        return p / p.sum(1, keepdims=True) @ v


def torch_peers(case):
    import torch
    torch.set_num_threads(case.threads)
    dtype = torch.bfloat16 if case.bf16 else torch.float32
    q, k, v = (torch.from_numpy(x).to(dtype) for x in (case.q, case.k, case.v))
    gqa = case.group > 1

    def result(o):
        return o[-1, -1].float().numpy()

    def sdpa():
        mask = case.mask()
        square = case.form == "causal" and case.n == case.m
        extra = {"is_causal": True} if square else \
            {} if mask is None or case.n == 1 else {"attn_mask": torch.from_numpy(mask)}

        def run():
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=case.scale, enable_gqa=gqa, **extra)
        return run

    def flex():
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention
        shift, window = case.m - case.n, int(case.params.get("W", 512))
        document = None if case.document is None else torch.from_numpy(case.document)
        slope, cap = torch.from_numpy(case.slope), float(case.params.get("cap", 50))
        masks = {"causal": lambda b, h, n, m: m <= n + shift, "softcap": lambda b, h, n, m: m <= n + shift,
                 "window": lambda b, h, n, m: (m <= n + shift) & (n + shift - m < window),
                 "document": lambda b, h, n, m: (m <= n) & (document[n] == document[m])}
        mask = masks.get(case.form) if case.n > 1 else None
        blocks = create_block_mask(mask, None, None, case.n, case.m, device="cpu") if mask else None
        score = None
        if case.form == "softcap":
            def score(s, b, h, n, m):
                return cap * torch.tanh(s / cap) + slope[h] * (m - n - shift)
        compiled = torch.compile(flex_attention, dynamic=False)

        def run():
            return compiled(q, k, v, score_mod=score, block_mask=blocks, scale=case.scale, enable_gqa=gqa)
        return run

    def eager():
        """As written, compiled: for what has no softmax."""
        mask = torch.from_numpy(case.mask())

        def attention(q, k, v):
            return torch.where(mask, torch.sigmoid(q @ k.transpose(-1, -2) * case.scale), 0) @ v
        compiled = torch.compile(attention, dynamic=False)
        return lambda: compiled(q, k, v)

    def no_gradient(make):
        def build():
            run = make()

            def inner():
                with torch.no_grad():
                    return run()
            return inner, lambda: result(inner())
        return build
    if case.form == "sigmoid":
        return {"torch.compile": no_gradient(eager)}
    peers = {"flex": no_gradient(flex)}
    if case.form in ("full", "causal", "decode", "window", "document"):
        peers = {"sdpa": no_gradient(sdpa), **peers}
    return peers


def onnxruntime_peers(case):
    """The contributed MultiHeadAttention, and GroupQueryAttention where it is causal."""
    import onnxruntime
    from onnx import TensorProto, helper
    if case.form not in ("full", "causal") or case.bf16 or case.group > 1 or case.d != case.e:
        return {}

    def build():
        attributes = {"num_heads": case.h, "scale": case.scale, "unidirectional": int(case.form == "causal")}
        node = helper.make_node("MultiHeadAttention", ["q", "k", "v"], ["o"], domain="com.microsoft", **attributes)

        def info(name, length, width):
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, [case.b, length, case.h * width])
        graph = helper.make_graph([node], "attention", [info("q", case.n, case.d), info("k", case.m, case.d),
                                                        info("v", case.m, case.e)], [info("o", case.n, case.e)])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17),
                                                        helper.make_opsetid("com.microsoft", 1)], ir_version=9)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = case.threads
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        feed = {name: numpy.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(case.b, x.shape[2], -1)
                for name, x in (("q", case.q), ("k", case.k), ("v", case.v))}
        bound = session.io_binding()
        for name, x in feed.items():
            bound.bind_cpu_input(name, x)
        bound.bind_output("o")

        def run():
            session.run_with_iobinding(bound)

        def result():
            run()
            o = bound.copy_outputs_to_cpu()[0]
            return o.reshape(case.b, case.n, case.h, case.e)[-1, :, -1]
        return run, result
    return {"ort mha": build}


def openblas_peers(case):
    """Two matrix products and a softmax between them, tiled over queries so that scores stay in the cache."""
    import scipy_openblas64
    if case.form not in ("full", "causal", "decode") or case.bf16:
        return {}
    library = ctypes.CDLL(os.path.join(scipy_openblas64.get_lib_dir(), "libscipy_openblas64_.so"))
    library.scipy_openblas_set_num_threads64_(case.threads)
    gemm = library.scipy_cblas_sgemm64_
    long, real = ctypes.c_int64, ctypes.c_float
    row_major, plain, transposed = 101, 111, 112

    def multiply(a, b, out, alpha, flip):
        rows, inner = a.shape
        gemm(row_major, plain, transposed if flip else plain, long(rows), long(out.shape[1]), long(inner), real(alpha),
             a.ctypes.data_as(ctypes.c_void_p), long(a.strides[0] // 4), b.ctypes.data_as(ctypes.c_void_p),
             long(b.strides[0] // 4), real(0), out.ctypes.data_as(ctypes.c_void_p), long(out.strides[0] // 4))

    def build():
        tile = 256
        o = numpy.empty((case.b, case.h, case.n, case.e), numpy.float32)
        mask = case.mask() if case.n > 1 else None
        scores = numpy.empty((tile, case.m), numpy.float32)

        def run():
            for b in range(case.b):
                for h in range(case.h):
                    k, v = case.k[b, h // case.group], case.v[b, h // case.group]
                    for at in range(0, case.n, tile):
                        q = case.q[b, h, at:at + tile]
                        end = min(case.m, at + tile + case.m - case.n) if mask is not None else case.m
                        s = scores[:len(q), :end]
                        multiply(q, k[:end], s, case.scale, True)
                        if mask is not None:
                            s[:, at:][~mask[at:at + tile, at:end]] = -numpy.inf
                        numpy.subtract(s, s.max(1, keepdims=True), out=s)
                        numpy.exp(s, out=s)
                        out = o[b, h, at:at + tile]
                        multiply(s, v[:end], out, 1, False)
                        out /= s.sum(1, keepdims=True)
        return run, lambda: (run(), o[-1, -1])[1]
    return {"openblas": build}


FAMILIES = {"torch": torch_peers, "onnxruntime": onnxruntime_peers, "openblas": openblas_peers}


class Server:
    def __init__(self, family):
        self.family = FAMILIES[family]
        self.run = {}

    def prepare(self, case):
        case = Case(case)
        tolerance, wanted, notes = 2e-2 if case.bf16 else 1e-4, case.reference(), []
        self.run = {}
        for name, build in self.family(case).items():
            try:
                run, result = build()
                error = float(abs(result() - wanted).max() / max(1e-30, abs(wanted).max()))
                if error < tolerance:
                    self.run[name] = run
                else:
                    notes.append(f"{name} is wrong by {error:.1e}")
            except Exception as e:  # a peer that cannot is left out, and said so
                notes.append(f"{name}: {str(e).splitlines()[0] if str(e) else type(e).__name__}"[:200])
        return {"peers": list(self.run), "notes": "; ".join(notes)}

    def answer(self, request):
        if "prepare" in request:
            return self.prepare(request["prepare"])
        if "time" in request:
            run, runs = self.run[request["time"]], int(request["runs"])
            start = time.perf_counter()
            for _ in range(runs):
                run()
            return {"seconds": (time.perf_counter() - start) / runs}
        return {"error": "not a request"}


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in FAMILIES:
        sys.exit(__doc__)
    answers, sys.stdout = sys.stdout, sys.stderr
    server = Server(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = server.answer(request)
        except Exception as e:
            reply = {"error": str(e) or type(e).__name__}
        print(json.dumps({"id": request.get("id"), **reply}), file=answers, flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Times other people's attention kernels on this processor, asked over standard input as bench/server.c is.

    peers_cpu.py FAMILY        torch, onednn, onnxruntime or openblas: one process each, so that their threads do not meet

A case's form (peers_forms.py) says what it computes; a family offers the peers of its own that can express that. Their
inputs are attune's, from files; each is compared with attune's output before it is timed.
"""
import concurrent.futures
import ctypes
import json
import os
import sys
import time

import numpy

from peers_forms import MASKS, SCORES, Case, first_weight, mask, reference, to_float, weight


def as_torch(x):
    import torch
    return torch.from_numpy(x.view(numpy.int16)).view(torch.bfloat16) if x.dtype == numpy.uint16 else torch.from_numpy(x)


def grouped(case, q, k, v):
    """One query a head: the heads of a group are rows of one product, so that a key is read once for all of them."""
    return q.reshape(case.b, case.h // case.group, case.group * case.n, case.d), k, v


def torch_peers(case):
    import torch
    from torch.nn.functional import scaled_dot_product_attention
    torch.set_num_threads(case.threads)
    t = {name: as_torch(x) for name, x in case.tensor.items()}
    visible = mask(case)
    square = case.form in ("causal", "differential") and case.n == case.m
    sees = None if visible is None or square else torch.from_numpy(visible)

    def sdpa(q, k, v, gqa=False, seen=sees):
        return scaled_dot_product_attention(q, k, v, scale=case.scale, enable_gqa=gqa, attn_mask=seen,
                                            is_causal=square and seen is sees)

    def matmuls(q, k, v):
        s = q @ k.transpose(-1, -2) * case.scale
        if visible is not None:
            s = s.masked_fill(hidden, -torch.inf)
        return torch.softmax(s, -1) @ v
    hidden = None if visible is None else torch.from_numpy(~visible)

    def flex(q, k, v):
        return compiled(q, k, v, score_mod=score, block_mask=blocks, scale=case.scale, enable_gqa=case.group > 1)
    blocks = score = compiled = None
    if case.form not in ("sigmoid", "mla", "int8"):
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention
        compiled, here = torch.compile(flex_attention, dynamic=False), Torch(case, t)
        if case.n > 1 and case.form in MASKS:
            blocks = create_block_mask(lambda b, h, n, m: MASKS[case.form](here, n, m), None, None, case.n, case.m,
                                       device="cpu")
        if case.form in SCORES:
            def score(s, b, h, n, m):
                return SCORES[case.form](here, s, h, n, m, torch.tanh)

    if case.form == "sigmoid":
        def written(q, k, v, bias):
            s = q @ k.transpose(-1, -2) * case.scale + bias[:, None, None]
            return torch.sigmoid(s).masked_fill(hidden, 0) @ v
        quick = torch.compile(written, dynamic=False)
        return {"matmuls": lambda: written(t["Q"], t["K"], t["V"], t["bias"]),
                "torch.compile": lambda: quick(t["Q"], t["K"], t["V"], t["bias"])}
    if case.form == "differential":
        def differ(attend):
            def run():
                a = attend(t["Q1"], t["K1"], t["V"]) - weight(case) * attend(t["Q2"], t["K2"], t["V"])
                return torch.nn.functional.rms_norm(a, (case.e,), t["gain"], 1e-5) * (1 - first_weight(case))
            return run
        return {"sdpa": differ(sdpa), "flex": differ(flex), "matmuls": differ(matmuls)}
    if case.form == "mla":
        keys = torch.cat([t["C"], t["KR"]], -1)[:, None]

        def absorbed(attend):
            def run():
                a = torch.einsum("bhnd,hdr->bhnr", t["Q"], t["WK"])
                q = torch.cat([a, t["QR"]], -1).reshape(case.b, 1, case.h * case.n, -1)
                y = attend(q, keys, t["C"][:, None]).reshape(case.b, case.h, case.n, -1)
                return torch.einsum("bhnr,hre->bhne", y, t["WV"])
            return run
        return {"sdpa": absorbed(sdpa), "matmuls": absorbed(matmuls)}
    q, k, v = t["Q"], t["K"], t["V"]
    if case.form == "int8":
        code = {name: (torch.from_numpy(x), torch.from_numpy(step)) for name, (x, step) in case.codes.items()}

        def decoded():
            rows = grouped(case, q, *((code[name][0] * code[name][1]).to(q.dtype) for name in "KV"))
            return sdpa(*rows)
        return {"sdpa decoded": decoded}
    peers = {"flex": lambda: flex(q, k, v)}
    if case.form in SCORES:
        return peers
    peers["sdpa"] = lambda: sdpa(q, k, v, case.group > 1)
    if case.group > 1 and case.n == 1:
        rows = grouped(case, q, k, v)
        peers["sdpa grouped"] = lambda: sdpa(*rows)
        peers["matmuls"] = lambda: matmuls(*rows)
    elif case.group == 1:
        peers["matmuls"] = lambda: matmuls(q, k, v)
    return peers


class Torch:
    """A case whose tensors are PyTorch's, for masks and scores."""

    def __init__(self, case, tensors):
        self.case, self.tensors = case, tensors

    def __getattr__(self, name):
        return self.tensors[name] if name in self.tensors else getattr(self.case, name)


def onednn_peers(case):
    """oneDNN's graph, which fuses the whole, by way of PyTorch's TorchScript; masks are added."""
    import torch
    if case.form not in ("full", "causal", "decode", "window", "document", "prefix") or (case.group > 1 and case.n > 1):
        return {}
    torch.set_num_threads(case.threads)
    torch.jit.enable_onednn_fusion(True)
    visible = mask(case)
    q, k, v = (as_torch(case.tensor[name]) for name in "QKV")
    if case.group > 1:
        q, k, v = grouped(case, q, k, v)
    added = None
    if visible is not None:
        added = torch.zeros(1, 1, case.n, case.m).masked_fill(torch.from_numpy(~visible), -torch.inf).to(q.dtype)

    class Attention(torch.nn.Module):
        def forward(self, *given):
            s = torch.matmul(given[0], given[1].transpose(-1, -2)) / (1 / case.scale)
            if len(given) > 3:
                s = s + given[3]
            return torch.matmul(torch.nn.functional.softmax(s, dim=-1), given[2])
    given = (q, k, v) if added is None else (q, k, v, added)
    with torch.no_grad():
        fused = torch.jit.freeze(torch.jit.trace(Attention().eval(), given))
        for _ in range(3):
            fused(*given)
        if not any("oneDNNFusion" in node.kind() for node in fused.graph_for(*given).nodes()):
            raise RuntimeError("oneDNN's graph did not take it")
    return {"onednn": lambda: fused(*given)}


def onnxruntime_peers(case):
    """The contributed MultiHeadAttention."""
    import onnxruntime
    from onnx import TensorProto, helper
    if case.form not in ("full", "causal") or case.bf16 or case.group > 1 or case.d != case.e:
        return {}
    attributes = {"num_heads": case.h, "scale": case.scale, "unidirectional": int(case.form == "causal")}
    node = helper.make_node("MultiHeadAttention", ["q", "k", "v"], ["o"], domain="com.microsoft", **attributes)

    def info(name, length, width):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [case.b, length, case.h * width])
    graph = helper.make_graph([node], "attention", [info("q", case.n, case.d), info("k", case.m, case.d),
                                                    info("v", case.m, case.e)], [info("o", case.n, case.e)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
                              ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = case.threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    bound = session.io_binding()
    feed = {name: numpy.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(case.b, x.shape[2], -1)
            for name, x in (("q", case.Q), ("k", case.K), ("v", case.V))}
    for name, x in feed.items():
        bound.bind_cpu_input(name, x)
    bound.bind_output("o")

    def run(keep=feed):  # what is bound must live
        session.run_with_iobinding(bound)
        return lambda: bound.copy_outputs_to_cpu()[0].reshape(case.b, case.n, case.h, case.e).transpose(0, 2, 1, 3)
    return {"ort mha": run}


def openblas_peers(case):
    """Two matrix products and a softmax between them, tiled over queries so that scores stay in the cache; heads are
    shared out to threads."""
    import scipy_openblas64
    if case.form not in ("full", "causal", "decode") or case.bf16:
        return {}
    library = ctypes.CDLL(os.path.join(scipy_openblas64.get_lib_dir(), "libscipy_openblas64_.so"))
    library.scipy_openblas_set_num_threads64_(1)
    gemm = library.scipy_cblas_sgemm64_
    long, real = ctypes.c_int64, ctypes.c_float
    row_major, plain, transposed = 101, 111, 112

    def multiply(a, b, out, alpha, flip):
        rows, inner = a.shape
        gemm(row_major, plain, transposed if flip else plain, long(rows), long(out.shape[1]), long(inner), real(alpha),
             a.ctypes.data_as(ctypes.c_void_p), long(a.strides[0] // 4), b.ctypes.data_as(ctypes.c_void_p),
             long(b.strides[0] // 4), real(0), out.ctypes.data_as(ctypes.c_void_p), long(out.strides[0] // 4))
    tile, heads = max(16, (1 << 17) // case.m), case.h // case.group
    rows = case.n if case.n > 1 else case.group
    queries = case.Q.reshape(case.b, -1, rows, case.d)
    o = numpy.empty((case.b, queries.shape[1], rows, case.e), numpy.float32)
    visible = mask(case)
    each = case.group if case.n > 1 else 1  # query heads a key head that are not rows of one product

    def head(i):
        b, h = divmod(i, queries.shape[1])
        k, v = case.K[b, h // each], case.V[b, h // each]
        scores = numpy.empty((min(tile, rows), case.m), numpy.float32)
        for at in range(0, rows, tile):
            q = queries[b, h, at:at + tile]
            end = min(case.m, at + tile + case.shift) if visible is not None else case.m
            s = scores[:len(q), :end]
            multiply(q, k[:end], s, case.scale, True)
            if visible is not None:
                s[:, at:][~visible[at:at + tile, at:end]] = -numpy.inf
            numpy.subtract(s, s.max(1, keepdims=True), out=s)
            numpy.exp(s, out=s)
            out = o[b, h, at:at + tile]
            multiply(s, v[:end], out, 1, False)
            out /= s.sum(1, keepdims=True)
    pool = concurrent.futures.ThreadPoolExecutor(case.threads)

    def run():
        if case.threads == 1:
            for i in range(case.b * queries.shape[1]):
                head(i)
        else:
            list(pool.map(head, range(case.b * queries.shape[1])))
        return o
    assert heads * case.group == case.h
    return {"openblas": run}


FAMILIES = {"torch": torch_peers, "onednn": onednn_peers, "onnxruntime": onnxruntime_peers, "openblas": openblas_peers}


def quiet(run):
    """What runs without a gradient, where that is a question."""
    if "torch" not in sys.modules:
        return run
    import torch

    def inner():
        with torch.no_grad():
            return run()
    return inner


def elements(o):
    """Of a tensor, an array or a function that fetches one."""
    o = o() if callable(o) else o
    return o.float().numpy() if hasattr(o, "float") and not isinstance(o, numpy.ndarray) else o


class Server:
    def __init__(self, family):
        self.family = FAMILIES[family]
        self.run, self.clock = {}, time.perf_counter

    def prepare(self, asked):
        case, notes, self.run = Case(asked), [], {}
        self.clock = time.process_time if case.threads == 1 else time.perf_counter
        if "torch" in sys.modules:
            sys.modules["torch"]._dynamo.reset()  # or it stops to compile after some cases
        if asked.get("judge"):
            wanted = reference(case)
            error = float(abs(to_float(case.output)[-1, -1] - wanted).max() / max(1e-30, abs(wanted).max()))
            if not error < case.tolerance():
                notes.append(f"attune is wrong by {error:.1e}")
        try:
            peers = self.family(case)
        except Exception as e:  # a family that cannot is left out, and said so
            return {"peers": [], "notes": "; ".join(notes + [first_line(e)])}
        for name, build in peers.items():
            try:
                run = quiet(build)
                error = case.error(elements(run()))
                if error < case.tolerance():
                    self.run[name] = run
                else:
                    notes.append(f"{name} is wrong by {error:.1e}")
            except Exception as e:
                notes.append(f"{name}: {first_line(e)}")
        return {"peers": list(self.run), "notes": "; ".join(notes)}

    def answer(self, request):
        if "prepare" in request:
            return self.prepare(request["prepare"])
        if "time" in request:
            run, runs = self.run[request["time"]], int(request["runs"])
            start = self.clock()
            for _ in range(runs):
                run()
            return {"seconds": (self.clock() - start) / runs}
        return {"error": "not a request"}


def first_line(e):
    return (str(e).splitlines() or [""])[0][:200] or type(e).__name__


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
            reply = {"error": first_line(e)}
        print(json.dumps({"id": request.get("id"), **reply}), file=answers, flush=True)


if __name__ == "__main__":
    main()

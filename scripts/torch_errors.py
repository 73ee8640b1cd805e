#!/usr/bin/env python3
"""Writes tests/data/torch_errors.json: how far PyTorch itself is from float64, for inputs of 16-bit types.

    python3 -m venv venv && venv/bin/pip install torch numpy
    venv/bin/python scripts/torch_errors.py tests/data/torch_errors.json

For every shipped example, type, depth and shape the inputs come from a generator that tests/accuracy_test.c repeats
bit for bit; the float64 result is computed from the same rounded inputs. Where scaled_dot_product_attention (SDPA)
expresses the example, every back end of it that a CPU has is a peer; else the peer is eager PyTorch with every
tensor in that type. The test holds attune to twice the error of the best peer.

No GPU is needed. The file is kept in the repository, so the tests need no PyTorch.
"""
import json
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

B, H, G = 1, 4, 4
SHAPES = [(63, 200), (200, 200)]
DEPTHS = [60, 64, 128, 256]
TYPES = {"bf16": torch.bfloat16, "f16": torch.float16}
WINDOW, FIRST, CAP, EPS = 48, 4, 50.0, 1e-5  # a window that cuts something off at these shapes
DOCUMENT = 20

# Inputs that are not plain numbers x: offset + scale * x. Integers along the last rank: (position + from) div step.
SMALL = {"offset": 0, "scale": 0.125}
INPUTS = {
    "slope": {"offset": 0.25, "scale": 0.03125},
    "sink": SMALL,
    "gain": {"offset": 1, "scale": 0.125},
    "shift": SMALL,
    "bias": {"offset": -5, "scale": 0.125},
}

DEFINITION = {
    "words": "word k of argument i is the splitmix64 finaliser of (i << 32) + (k + 1) * 0x9e3779b97f4a7c15; "
             "arguments in order of declaration, elements row-major",
    "x": "(sum of the word's four 16-bit parts - 131070) / 32768, rounded to the argument's type",
    "inputs": "those named: offset + scale * x in float32; integers (position along the last rank + from) div step",
    "max": "max |error| / max |reference|",
    "rms": "sqrt(sum error^2 / sum reference^2)",
}


def normal(argument, shape):
    n = math.prod(shape)
    with np.errstate(over="ignore"):
        z = np.uint64(argument << 32) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    parts = sum(((z >> np.uint64(s)) & np.uint64(0xFFFF)).astype(np.int64) for s in (0, 16, 32, 48))
    return torch.from_numpy(((parts - 131070) / 32768.0).astype(np.float32).reshape(shape))


class Inputs:
    """The arguments of one example, by name: matrices in the type, vectors in float32."""

    def __init__(self, shapes, dtype):
        self.dtype = dtype
        self.tensor = {}
        for i, (name, shape) in enumerate(shapes.items()):
            x = normal(i, shape)
            if len(shape) > 1:
                self.tensor[name] = x.to(dtype)
            else:
                self.tensor[name] = x * INPUTS[name]["scale"] + INPUTS[name]["offset"]

    def as_type(self, dtype):
        return {name: x.to(dtype) for name, x in self.tensor.items()}


def positions(n, m):
    """Query positions [N, 1] and key positions [1, M]: the queries stand at the end of the keys."""
    return torch.arange(n)[:, None] + (m - n), torch.arange(m)[None, :]


def causal(n, m):
    q, k = positions(n, m)
    return k <= q


def window(n, m):
    q, k = positions(n, m)
    return (k <= q) & ((k < FIRST) | (q - k < WINDOW))


def documents(n, m):
    q, k = positions(n, m)
    return (k <= q) & (q // DOCUMENT == k // DOCUMENT)


def anything(n, m):
    return torch.ones(n, m, dtype=torch.bool)


def scores(t, scale):
    return t["Q"] @ t["K"].transpose(-1, -2) * scale


def grouped(t):
    """Key and value heads repeated for the query heads that share them."""
    repeat = t["Q"].shape[1] // t["K"].shape[1]
    return {k: x.repeat_interleave(repeat, 1) if k in "KV" and repeat > 1 else x for k, x in t.items()}


# The outputs of each example, as an eager program over tensors of one type.


def softmax_attention(t, mask, scale):
    t = grouped(t)
    s = scores(t, scale).masked_fill(~mask, -math.inf)
    return s, torch.softmax(s, -1)


def plain(t, mask, scale):
    _, p = softmax_attention(t, mask, scale)
    return {"O": p @ grouped(t)["V"]}


def with_logsumexp(t, mask, scale):
    s, p = softmax_attention(t, mask, scale)
    return {"O": p @ grouped(t)["V"], "L": torch.logsumexp(s, -1)}


def with_column_sums(t, mask, scale):
    _, p = softmax_attention(t, mask, scale)
    return {"O": p @ t["V"], "C": p.sum(-2)}


def with_sink(t, mask, scale):
    s = scores(t, scale).masked_fill(~mask, -math.inf)
    sink = t["sink"][None, :, None, None].expand(B, H, s.shape[2], 1)
    p = torch.softmax(torch.cat([s, sink], -1), -1)[..., :-1]
    return {"O": p @ t["V"]}


def alibi(t, mask, scale):
    n, m = mask.shape
    q, k = positions(n, m)
    s = CAP * torch.tanh(scores(t, scale) / CAP) + t["slope"][:, None, None] * (k - q)
    return {"O": torch.softmax(s.masked_fill(~mask, -math.inf), -1) @ t["V"]}


def sigmoid(t, mask, scale):
    p = torch.sigmoid(scores(t, scale) + t["bias"][:, None, None]) * mask
    return {"O": p @ t["V"]}


def entropy(t, mask, scale):
    s = scores(t, scale).masked_fill(~mask, -math.inf)
    d = s - s.amax(-1, keepdim=True)
    e = torch.exp(d)
    z = e.sum(-1)
    a = (torch.where(mask, d, 0) * e).sum(-1)
    return {"C": torch.log(z) - a / z}


def layernorm_gemm(t, mask, scale):
    y = F.layer_norm(t["X"], t["X"].shape[-1:], t["gain"], t["shift"], EPS)
    return {"Y": y @ t["W"]}


def qkv(n, m, d, groups=1, **more):
    return {"Q": (B, H, n, d), "K": (B, H // groups, m, d), "V": (B, H // groups, m, d), **more}


# Shapes of the inputs, mask of the scores, the eager program, and: is it what scaled_dot_product_attention computes?
EXAMPLES = {
    "alibi_softcap": (lambda n, m, d: qkv(n, m, d, slope=(H,)), causal, alibi, False),
    "cross_attention": (qkv, anything, plain, True),
    "document_mask": (qkv, documents, plain, True),
    "flash_causal_gqa": (lambda n, m, d: qkv(n, m, d, G), causal, with_logsumexp, True),
    "h2o_column_sums": (qkv, causal, with_column_sums, False),
    "layernorm_gemm": (lambda n, m, d: {"X": (n, d), "gain": (d,), "shift": (d,), "W": (d, m)}, anything,
                       layernorm_gemm, False),
    "row_entropy": (lambda n, m, d: {"Q": (B, H, n, d), "K": (B, H, m, d)}, causal, entropy, False),
    "sigmoid_attention": (lambda n, m, d: qkv(n, m, d, bias=(H,)), causal, sigmoid, False),
    "sliding_window_sink": (lambda n, m, d: qkv(n, m, d, sink=(H,)), window, with_sink, False),
}


def sdpa_peers(t, mask, scale):
    """Outputs of each CPU back end of SDPA. The logsumexp is what the flash kernel hands its backward pass."""
    n, m = mask.shape
    bottom_right = torch.equal(mask, causal(n, m))
    everything = bool(mask.all())
    peers = {}
    for name, backend in ("sdpa flash", SDPBackend.FLASH_ATTENTION), ("sdpa math", SDPBackend.MATH):
        how = {"is_causal": True} if bottom_right and n == m and not everything else \
            {} if everything else {"attn_mask": mask}
        with sdpa_kernel(backend):
            o = F.scaled_dot_product_attention(t["Q"], t["K"], t["V"], scale=scale, enable_gqa=True, **how)
        peers[name] = {"O": o}
    g = grouped(t)
    added = torch.zeros(n, m, dtype=t["Q"].dtype).masked_fill(~mask, -math.inf)
    _, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        g["Q"], g["K"], g["V"], 0.0, False, attn_mask=added, scale=scale)
    peers["sdpa flash"]["L"] = lse
    return peers


def measure(result, reference):
    error = result.double() - reference
    return {"max": float(error.abs().max() / reference.abs().max()),
            "rms": float((error.square().sum() / reference.square().sum()).sqrt())}


def ranks(example, n, m, d):
    if example == "layernorm_gemm":
        return {"N": n, "D": d, "F": m}
    return {"B": B, "H": H, "N": n, "M": m, "D": d} | ({} if example == "row_entropy" else {"E": d})


def special_inputs(example, inputs, n, m):
    special = {name: INPUTS[name] for name in inputs.tensor if name in INPUTS}
    if example == "document_mask":
        special |= {"qdoc": {"from": m - n, "step": DOCUMENT}, "kdoc": {"from": 0, "step": DOCUMENT}}
    return special


def entry(example, type_name, n, m, d):
    shapes, mask_of, eager, sdpa = EXAMPLES[example]
    inputs = Inputs(shapes(n, m, d), TYPES[type_name])
    mask, scale = mask_of(n, m), 1 / math.sqrt(d)
    assert bool(mask.any(-1).all()), "a row without keys has no common meaning among peers"
    reference = eager(inputs.as_type(torch.float64), mask, scale)
    peers = {"eager": eager(inputs.as_type(TYPES[type_name]), mask, scale)}
    if sdpa:
        peers.update(sdpa_peers(inputs.tensor, mask, scale))
    outputs = {}
    for name, value in reference.items():
        outputs[name] = {
            "reference": {"first": float(value.flatten()[0]), "absolute_sum": float(value.abs().sum())},
            "peers": {peer: measure(out[name], value) for peer, out in peers.items() if name in out},
        }
    matrices = [name for name, x in inputs.tensor.items() if x.ndim > 1] + [o for o in reference if o in "OY"]
    return {"program": f"examples/{example}.att", "types": {name: type_name for name in matrices},
            "params": {"W": WINDOW} if example == "sliding_window_sink" else {},
            "ranks": ranks(example, n, m, d), "inputs": special_inputs(example, inputs, n, m), "outputs": outputs}


def main(path):
    torch.manual_seed(0)
    entries = [entry(example, type_name, n, m, d)
               for example in EXAMPLES for type_name in TYPES for d in DEPTHS for n, m in SHAPES]
    whole = {"torch": torch.__version__, "processor": torch.backends.cpu.get_cpu_capability(),
             "definition": DEFINITION}
    lines = ",\n".join(json.dumps(e) for e in entries)
    with open(path, "w", encoding="utf-8") as out:
        out.write(json.dumps(whole, indent=1)[:-2] + ',\n "entries": [\n' + lines + "\n]}\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tests/data/torch_errors.json")

"""What the cases of bench/peers.json compute, as Python says it: inputs from files, who sees whom, what scores become.

A form's predicates and scores are of index arrays and work on numpy's and on PyTorch's alike. `reference` is the whole
in float64, of one head, written as plainly as possible.
"""
import math
import os

import numpy

INPUTS = {"bf16": numpy.uint16, "f32": numpy.float32, "i32": numpy.int32, "i8": numpy.int8}


def to_float(x):
    """bf16 is kept as its bits."""
    return (x.astype(numpy.uint32) << 16).view(numpy.float32) if x.dtype == numpy.uint16 else x


class Case:
    """A case's shape, its tensors by name, and attune's output O."""

    def __init__(self, asked):
        self.form, self.name = asked["form"], asked["name"]
        self.threads = int(asked.get("threads", 1))
        self.params = asked.get("params", {})
        self.bf16 = "bf16" in asked.get("types", {}).values()
        rank = {k: int(v) for k, v in asked["ranks"].items()}
        self.rank = rank
        self.b, self.h, self.n, self.d, self.e = (rank[r] for r in "BHNDE")
        self.m = rank.get("M", self.n)
        self.group = int(self.params.get("G", 1))
        self.shift, self.window = self.m - self.n, int(self.params.get("W", 512))
        self.cap = float(self.params.get("cap", 50))
        self.scale = 1 / math.sqrt(self.d + rank.get("P", 0))
        self.tensor = {}
        for t in asked["tensors"]:
            data = numpy.fromfile(os.path.join(asked["folder"], t["name"]), INPUTS[t["dtype"]])
            self.tensor[t["name"]] = data.reshape(t["shape"])
        self.output = self.tensor.pop("O")
        if self.form == "int8":  # what the codes stand for
            self.codes = {name: (self.tensor[name], self.tensor.pop(name.lower() + "s")[..., None]) for name in "KV"}
            self.tensor.update({name: code * step for name, (code, step) in self.codes.items()})

    def __getattr__(self, name):
        if name != "tensor" and name in self.tensor:
            return self.tensor[name]
        raise AttributeError(name)

    def error(self, o):
        """How far an output is from attune's, by the largest element."""
        mine = to_float(self.output)
        return float(abs(numpy.asarray(o, numpy.float32).reshape(mine.shape) - mine).max() / max(1e-30, abs(mine).max()))

    def tolerance(self):
        return 2e-2 if self.bf16 else 2e-4


def causal(c, n, m):
    return m <= n + c.shift


MASKS = {
    "causal": causal, "decode": causal, "int8": causal, "softcap": causal, "alibi": causal, "sigmoid": causal, "differential": causal,
    "window": lambda c, n, m: (m <= n + c.shift) & (n + c.shift - m < c.window),
    "document": lambda c, n, m: (m <= n) & (c.qdoc[0][n] == c.kdoc[0][m]),
    "prefix": lambda c, n, m: (m < c.prefix[0]) | (m <= n + c.shift),
}
SCORES = {
    "softcap": lambda c, s, h, n, m, tanh: c.cap * tanh(s / c.cap) + c.slope[h] * (m - n - c.shift),
    "alibi": lambda c, s, h, n, m, tanh: s + c.slope[h] * (m - n - c.shift),
    "relative": lambda c, s, h, n, m, tanh: s + (m - n) * c.params["weight"],
}


def mask(case):
    """Who sees whom, N by M; None: everybody sees all."""
    if case.form not in MASKS or case.n == 1:
        return None
    return MASKS[case.form](case, numpy.arange(case.n)[:, None], numpy.arange(case.m)[None, :])


def softmax(s, visible):
    if visible is not None:
        s = numpy.where(visible, s, -numpy.inf)
    p = numpy.exp(s - s.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def double(x):
    return to_float(x).astype(numpy.float64)


def reference(case):
    """The last head of the last batch: what O[-1, -1] has to be."""
    n, m, visible = numpy.arange(case.n)[:, None], numpy.arange(case.m)[None, :], mask(case)
    if case.form == "mla":
        latent, h = double(case.C[-1]), -1
        a = double(case.Q[-1, h]) @ double(case.WK[h])
        s = (a @ latent.T + double(case.QR[-1, h]) @ double(case.KR[-1]).T) * case.scale
        return softmax(s, None) @ latent @ double(case.WV[h])
    if case.form == "differential":
        s, t = (double(q[-1, -1]) @ double(k[-1, -1]).T * case.scale for q, k in ((case.Q1, case.K1), (case.Q2, case.K2)))
        a = (softmax(s, visible) - weight(case) * softmax(t, visible)) @ double(case.V[-1, -1])
        a /= numpy.sqrt((a * a).mean(1, keepdims=True) + 1e-5)
        return a * case.gain * (1 - first_weight(case))
    s = double(case.Q[-1, -1]) @ double(case.K[-1, -1]).T * case.scale
    if case.form == "sigmoid":
        return numpy.where(visible, 1 / (1 + numpy.exp(-s - case.bias[-1])), 0) @ double(case.V[-1, -1])
    if case.form in SCORES:
        s = SCORES[case.form](case, s, case.h - 1, n, m, numpy.tanh)
    return softmax(s, visible) @ double(case.V[-1, -1])


def first_weight(case):
    """Of the second map, before what is learned: layer 0."""
    return 0.8 - 0.6 * math.exp(-0.3 * case.params.get("depth", 0))


def weight(case):
    one, two = (float(a.astype(numpy.float64) @ b) for a, b in ((case.q1, case.k1), (case.q2, case.k2)))
    return math.exp(one) - math.exp(two) + first_weight(case)


def pairs(asked, values):
    """How many queries and keys meet, of one head."""
    n = asked["ranks"]["N"]
    m = asked["ranks"].get("M", n)
    form, shift, window = asked["form"], m - n, asked.get("params", {}).get("W", 512)
    if form in ("full", "relative", "mla") or n == 1:
        return n * m
    if form == "window":
        return sum(min(window, i + shift + 1) for i in range(n))
    if form == "document":
        first, doc = {}, values["qdoc"]
        return sum(i - first.setdefault(doc[i], i) + 1 for i in range(n))
    if form == "prefix":
        return sum(max(values["prefix"][0], i + shift + 1) for i in range(n))
    return sum(i + shift + 1 for i in range(n))


def work(asked, values):
    """Useful flops, exponentials, and bytes that must be read once."""
    rank, params, form = asked["ranks"], asked.get("params", {}), asked["form"]
    b, h, n, d, e = (rank[r] for r in "BHNDE")
    m, met = rank.get("M", n), pairs(asked, values) * rank["B"] * rank["H"]
    size = 2 if "bf16" in asked.get("types", {}).values() else 4
    if form == "mla":
        r, p = rank["R"], rank["P"]
        weights = h * r * (d + e)
        return 2 * met * (2 * r + p) + 2 * b * n * weights, met, size * (b * m * (r + p) + weights)
    maps = 2 if form == "differential" else 1
    exps = met * (2 if form in ("softcap", "differential") else 1)
    key = d + e + 8 if form == "int8" else (maps * d + e) * size  # with two scales
    read = b * (h // params.get("G", 1)) * m * key + b * h * n * (maps * d + e) * size
    return 2 * met * maps * (d + e), exps, read

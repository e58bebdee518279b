"""A stack as one line of text.

    28x28x1 | conv 5 16 p2 | pool 2 | conv 3 32 s2 same | flatten | linear 10

The input is HxWxC, DxHxWxC, TxI or N, also with blanks (28 x 28 x 1). Then, between bars:

    conv K FILTERS      K is 5, or 5x3;   options s2 stride, p2 or p1:2 (begin:end) padding, d2 dilation, g4 groups,
                        same, same_lower, valid, causal, nobias
    tconv K FILTERS     transposed; also op1 for output padding
    pool K, avgpool K   s (default: K), p, d, same, ceil
    gpool, flatten      all positions to one; all numbers in a row
    linear N, linear IN N
    rnn H, gru H, lstm H   options bidirectional, layers2, proj32, nobias, last (only the last step goes on)
    batchnorm, dropout, relu, tanh, sigmoid, gelu, softmax
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from typing import Any

from pellucid.errors import ArgumentError
from pellucid.geometry.layers import (
    BatchNorm,
    Conv,
    ConvTranspose,
    Flatten,
    GlobalPool,
    Layer,
    Linear,
    Padding,
    Pool,
    Recurrent,
    Shape,
)
from pellucid.geometry.stack import Stack

PLAIN = ("relu", "tanh", "sigmoid", "gelu", "softmax", "dropout")
KINDS = (
    "conv",
    "tconv",
    "pool",
    "maxpool",
    "avgpool",
    "gpool",
    "flatten",
    "linear",
    "rnn",
    "gru",
    "lstm",
    "batchnorm",
    *PLAIN,
)
NAMED = ("same", "same_lower", "valid", "causal")
# What layers are called elsewhere, where spelling alone does not lead to their name here.
ELSEWHERE = {
    **dict.fromkeys(("bn", "norm"), "batchnorm"),
    **dict.fromkeys(("dense", "fc"), "linear"),
    **dict.fromkeys(("deconv", "upconv"), "tconv"),
    "gap": "gpool",
}
_NUMBERS = re.compile(r"\d+(x\d+)*")


class _Reader:
    """The words of one line, each with its place for messages."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = [(m.group(), m.start()) for m in re.finditer(r"[^\s|]+|\|", text)]

    def wrong(self, place: int, reason: str) -> ArgumentError:
        """An error that points at a word."""
        word, at = self.words[place] if place < len(self.words) else ("", len(self.text))
        return ArgumentError(f"{reason}\n  {self.text}\n  {' ' * at}{'^' * max(len(word), 1)}")

    def near(self, place: int, known: tuple[str, ...], what: str) -> ArgumentError:
        """An error for an unknown word, with the nearest known one."""
        word = self.words[place][0]
        close = [ELSEWHERE[word]] if ELSEWHERE.get(word) in known else difflib.get_close_matches(word, known, 1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
        return self.wrong(place, f"{word!r} is no {what}{hint}")


def parse(text: str) -> Stack:
    """The stack that a line describes.

    Raises:
        ArgumentError: a word that is not understood; the message points at it.
    """
    reader = _Reader(text)
    groups: list[list[int]] = [[]]
    for place, (word, _) in enumerate(reader.words):
        if word == "|":
            groups.append([])
        else:
            groups[-1].append(place)
    given = re.sub(
        r" ?x ?", "x", " ".join(reader.words[p][0] for p in groups[0])
    )  # 28 x 28 x 1 is how sizes are printed
    if not _NUMBERS.fullmatch(given):
        raise reader.wrong(
            0, "the input comes first, as 28x28x1 (height, width, channels), 100x12 (steps, features) or 784"
        )
    if 0 in map(int, given.split("x")):
        raise reader.wrong(0, "the input has a size of 0; give sizes of 1 or more")
    layers = []
    for group in groups[1:]:
        if not group:
            raise reader.wrong(len(reader.words), "a layer is missing between two bars, or after the last")
        written = " ".join(reader.words[p][0] for p in group)
        layers.append((written, _layer(reader, group)))
    return Stack(_shape(given), layers)


def _shape(word: str) -> Shape:
    *spatial, channels = map(int, word.split("x"))
    return (channels, *spatial)


def _layer(reader: _Reader, group: list[int]) -> Layer:
    kind = reader.words[group[0]][0]
    if kind not in KINDS:
        raise reader.near(group[0], KINDS, "layer")
    rest = group[1:]
    numbers = []
    while rest and _NUMBERS.fullmatch(reader.words[rest[0]][0]):
        numbers.append(tuple(map(int, reader.words[rest.pop(0)][0].split("x"))))
    if kind in ("conv", "tconv"):
        kernel, filters = _count(reader, group[0], numbers, 2, f"{kind} needs a kernel size and a number of filters")
        _single(reader, group[0], filters, f"{kind} has one number of filters")
        given = {
            "kernel": kernel,
            "filters": filters[0],
            **_options(reader, rest, "s p d g named nobias" + " op" * (kind == "tconv")),
        }
        return Conv(**given) if kind == "conv" else ConvTranspose(**given)
    if kind in ("pool", "maxpool", "avgpool"):
        (kernel,) = _count(reader, group[0], numbers, 1, f"{kind} needs a window size")
        return Pool(**{"name": kind, "kernel": kernel, "stride": kernel, **_options(reader, rest, "s p d named ceil")})
    if kind == "linear":
        if not 1 <= len(numbers) <= 2:
            raise reader.wrong(group[0], "linear needs its number of outputs, or inputs and outputs")
        for number in numbers:
            _single(reader, group[0], number, "linear has one number of inputs, and one of outputs")
        inputs = numbers[0][0] if len(numbers) == 2 else None
        return Linear(outputs=numbers[-1][0], inputs=inputs, **_options(reader, rest, "nobias"))
    if kind in ("rnn", "gru", "lstm"):
        (hidden,) = _count(reader, group[0], numbers, 1, f"{kind} needs a hidden size")
        _single(reader, group[0], hidden, f"{kind} has one hidden size")
        given = _options(reader, rest, "recurrent nobias")
        if given.get("projection", 0) and kind != "lstm":
            raise reader.wrong(group[0], f"only the lstm has a projection, and this is {kind}")
        if given.get("projection", 0) >= hidden[0]:
            raise reader.wrong(group[0], f"the projection must be smaller than the hidden size {hidden[0]}")
        return Recurrent(name=kind, hidden=hidden[0], **given)
    if numbers or rest:
        raise reader.wrong(group[1], f"{kind} takes no numbers and no options")
    plain: dict[str, Layer] = {"gpool": GlobalPool(), "flatten": Flatten(), "batchnorm": BatchNorm()}
    return plain.get(kind) or dataclasses.replace(Layer(), name=kind)


def _count(
    reader: _Reader, place: int, numbers: list[tuple[int, ...]], count: int, reason: str
) -> list[tuple[int, ...]]:
    if len(numbers) != count or any(0 in n for n in numbers):
        raise reader.wrong(place, f"{reason}, all above 0")
    return numbers


def _single(reader: _Reader, place: int, number: tuple[int, ...], reason: str) -> None:
    """Refuse 3x4, and 0."""
    if len(number) > 1 or number[0] < 1:
        raise reader.wrong(place, f"{reason}, 1 or more, and is given {'x'.join(map(str, number))}")


_SHORT = {
    "s": "stride",
    "d": "dilation",
    "g": "groups",
    "op": "output_padding",
    "layers": "layers",
    "proj": "projection",
}


def _options(reader: _Reader, places: list[int], allowed: str) -> dict[str, Any]:
    kinds = set(allowed.split())
    known = [*(NAMED if "named" in kinds else ()), *(k for k in ("nobias", "ceil") if k in kinds)]
    known += ["bidirectional", "last", "layers2", "proj32"] if "recurrent" in kinds else []
    known += [f"{k}2" for k in ("s", "p", "d", "g", "op") if k in kinds]
    found: dict[str, Any] = {}
    for place in places:
        word = reader.words[place][0]
        before = dict(found)
        match = re.fullmatch(r"(s|d|g|op|layers|proj)(\d+(?:x\d+)*)", word)
        if word in known and not word[-1].isdigit():
            name = {"nobias": "bias", "ceil": "ceil", "bidirectional": "bidirectional", "last": "last"}.get(
                word, "padding"
            )
            found[name] = {"nobias": False, "ceil": True, "bidirectional": True, "last": True}.get(word, word)
        elif match and (match[1] in kinds or ("recurrent" in kinds and match[1] in ("layers", "proj"))):
            numbers = tuple(map(int, match[2].split("x")))
            single = match[1] in ("g", "layers", "proj")
            found[_SHORT[match[1]]] = numbers[0] if single else numbers
            if 0 in numbers and match[1] not in ("op", "proj"):
                raise reader.wrong(place, f"{word!r} is 0, and must be 1 or more")
        elif "p" in kinds and re.fullmatch(r"p\d+(:\d+)?(x\d+(:\d+)?)*", word):
            found["padding"] = _padding(word[1:])
        else:
            raise reader.near(place, tuple(known), "option of this layer")
        if len(found) == len(before):
            raise reader.wrong(
                place, f"{word!r} says again, or otherwise, what an option before it says; keep one of them"
            )
    return found


def _padding(word: str) -> Padding:
    pairs = []
    for axis in word.split("x"):
        begin, _, end = axis.partition(":")
        pairs.append((int(begin), int(end or begin)))
    return tuple(pairs)

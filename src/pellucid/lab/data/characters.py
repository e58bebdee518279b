"""A plain text: say the next character."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pellucid.errors import DataError
from pellucid.lab.data.inputs import Inputs, understood
from pellucid.lab.data.metrics import bits_per_character
from pellucid.lab.data.split import digest
from pellucid.lab.task import Baseline, Split, Task

FRACTIONS = (0.9, 0.05)
UNKNOWN = "\ufffd"
HIGHEST_ORDER = 6


def load(source: Path, *, window: int = 64) -> Task:
    """Read a text, split it 90/5/5 % in its order, cut it into windows that do not overlap.

    Raises:
        DataError: the file is not UTF-8, or too short for one window in each part.
    """
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: byte {error.start} is not UTF-8; save the text as UTF-8") from None
    ends = (int(len(text) * FRACTIONS[0]), int(len(text) * sum(FRACTIONS)))
    parts = (text[: ends[0]], text[ends[0] : ends[1]], text[ends[1] :])
    if min(map(len, parts)) <= window:
        needed = math.ceil((window + 2) / (1 - sum(FRACTIONS)))
        raise DataError(
            f"{source}: the text has {len(text)} characters, and at least {needed} are needed for windows of {window}"
        )
    vocabulary = [UNKNOWN, *sorted(set(parts[0]) - {UNKNOWN})]
    codes = [_codes(part, vocabulary) for part in parts]
    splits = [_windows(code, window) for code in codes]
    metric = bits_per_character()
    names = ("train", "validation", "test")
    return Task(
        kind="characters",
        form="tokens",
        goal="next",
        source=source,
        title=f"{len(text):,} characters of {len(vocabulary) - 1} kinds",
        fingerprint=digest(text, f"characters {window}"),
        channels=len(vocabulary),
        extent=(window,),
        outputs=len(vocabulary),
        labels=tuple(vocabulary),
        horizon=0,
        scale=((), ()),
        step="",
        metric=metric,
        baseline=_ngram(codes, len(vocabulary), window, splits[2]),
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        facts=(
            ("Text", f"{len(text):,} characters, {len(vocabulary) - 1} kinds in the training part"),
            ("Split", "in order: " + ", ".join(f"{len(p):,} {n}" for p, n in zip(parts, names, strict=True))),
            ("Windows", f"of {window} characters that do not overlap; memory starts empty in each"),
        ),
        cautions=(),
        preprocessing={"kind": "characters", "vocabulary": vocabulary, "window": window},
    )


def prepare(text: str, how: Mapping[str, Any]) -> Inputs:
    """A prompt as the networks saw the text of training: (1, T), all of it.

    Raises:
        DataError: the prompt is empty.
    """
    understood(how, "vocabulary", "window")
    if not text:
        raise DataError("the prompt is empty; give at least one character to go on from")
    known = set(how["vocabulary"])
    strange = sorted({c for c in text if c not in known})
    notes = (f"The training text has no {' '.join(map(repr, strange[:5]))}; read as unknown.",) if strange else ()
    return Inputs(torch.from_numpy(_codes(text, how["vocabulary"]))[None], None, ["prompt"], notes=notes)


def _codes(text: str, vocabulary: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    number = {c: i for i, c in enumerate(vocabulary)}
    return np.array([number.get(c, 0) for c in text], dtype=np.int64)


def _windows(codes: np.ndarray[tuple[int], np.dtype[np.int64]], window: int) -> Split:
    count = (len(codes) - 1) // window
    x = codes[: count * window].reshape(count, window)
    y = codes[1 : count * window + 1].reshape(count, window)
    return Split(
        torch.from_numpy(x.copy()),
        torch.from_numpy(y.copy()),
        None,
        [f"character {i * window + 1}" for i in range(count)],
    )


class _Counts:
    """Character counts after every context up to an order, with Witten-Bell interpolation (1991, method C)."""

    def __init__(self, codes: list[int], order: int, kinds: int) -> None:
        self.kinds = kinds
        self.tables: list[dict[tuple[int, ...], dict[int, int]]] = []
        for n in range(order):
            counts: dict[tuple[int, ...], dict[int, int]] = defaultdict(dict)
            for i in range(n, len(codes)):
                after = counts[tuple(codes[i - n : i])]
                after[codes[i]] = after.get(codes[i], 0) + 1
            self.tables.append(counts)

    def bits(self, codes: list[int], order: int, start: int, stop: int) -> list[float]:
        """-log2 p of each character, from at most ``order - 1`` characters before it inside ``codes[start:]``."""
        found = []
        for i in range(start + 1, stop + 1):
            p = 1.0 / self.kinds
            for n in range(min(order, i - start + 1)):
                after = self.tables[n].get(tuple(codes[i - n : i]))
                if after is None:
                    break
                total, types = sum(after.values()), len(after)
                p = (after.get(codes[i], 0) + types * p) / (total + types)
            found.append(-math.log2(p))
        return found


def _ngram(codes: list[np.ndarray[tuple[int], np.dtype[np.int64]]], kinds: int, window: int, test: Split) -> Baseline:
    """The n-gram whose order is best on the validation part; like the networks it sees its own window only."""
    train, valid, last = (part.tolist() for part in codes)
    counts = _Counts(train[:1_000_000], HIGHEST_ORDER, kinds)

    def score(part: list[int], order: int, windows: int) -> list[float]:
        return [sum(counts.bits(part, order, i * window, (i + 1) * window)) / window for i in range(windows)]

    few = min(200, (len(valid) - 1) // window)
    order = min(range(1, HIGHEST_ORDER + 1), key=lambda n: sum(score(valid, n, few)))
    scores = torch.tensor(score(last, order, len(test)), dtype=torch.float64)
    sentence = (
        f"Counts which character followed the last {order - 1} (Witten-Bell smoothing; order chosen on validation)."
    )
    return Baseline(f"{order}-gram", sentence, scores)

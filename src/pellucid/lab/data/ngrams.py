"""n-gram models: what a network that says the next token must beat."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.lab.data.metrics import pooled
from pellucid.lab.task import Baseline

HIGHEST_ORDER = 6
COUNTED = 1_000_000  # tokens of the training part at most
TRIED = 200  # windows of the validation part that choose the order


class Counts:
    """Token counts after every context up to an order, with Witten-Bell interpolation (1991, method C)."""

    def __init__(self, codes: list[int], order: int, kinds: int) -> None:
        self.kinds = kinds
        self.tables: list[dict[tuple[int, ...], dict[int, int]]] = []
        for n in range(order):
            counts: dict[tuple[int, ...], dict[int, int]] = defaultdict(dict)
            for i in range(n, len(codes)):
                after = counts[tuple(codes[i - n : i])]
                after[codes[i]] = after.get(codes[i], 0) + 1
            self.tables.append(counts)

    def bits(self, codes: list[int], order: int) -> list[float]:
        """-log2 p of each token but the first, from at most ``order - 1`` tokens before it."""
        found = []
        for i in range(1, len(codes)):
            p = 1.0 / self.kinds
            for n in range(min(order, i + 1)):
                after = self.tables[n].get(tuple(codes[i - n : i]))
                if after is None:
                    break
                total, types = sum(after.values()), len(after)
                p = (after.get(codes[i], 0) + types * p) / (total + types)
            found.append(-math.log2(p))
        return found


def ngram(codes: Sequence[NDArray[np.int64]], begins: Sequence[int], window: int, windows: int) -> Baseline:
    """The n-gram whose order is best on the validation part; like the networks it sees its own window only.

    Args:
        codes: tokens of the training, the validation and the test part.
        begins: (vocabulary,) how many characters each token begins.
        window: tokens of a window.
        windows: of the test part.
    """
    train, valid, test = codes
    counts = Counts(train[:COUNTED].tolist(), HIGHEST_ORDER, len(begins))

    def windows_of(part: NDArray[np.int64], many: int) -> Iterator[list[int]]:
        """Each with the token before it."""
        return (part[i * window : (i + 1) * window + 1].tolist() for i in range(many))

    def bits(part: NDArray[np.int64], order: int, many: int) -> Tensor:
        sums = [math.fsum(counts.bits(own, order)) for own in windows_of(part, many)]
        return torch.tensor(sums, dtype=torch.float64)

    few = min(TRIED, (len(valid) - 1) // window)
    order = min(range(1, HIGHEST_ORDER + 1), key=lambda n: float(bits(valid, n, few).sum()))
    characters = [sum(begins[t] for t in own[1:]) for own in windows_of(test, windows)]
    scores = pooled(bits(test, order, windows), torch.tensor(characters, dtype=torch.float64))
    sentence = f"Counts which token followed the last {order - 1} (Witten-Bell smoothing; order chosen on validation)."
    return Baseline(f"{order}-gram", sentence, scores)

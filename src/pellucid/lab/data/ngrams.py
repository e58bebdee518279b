"""n-gram models: what a network that says the next token must beat."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import torch
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

    def bits(self, codes: list[int], order: int, start: int, stop: int) -> list[float]:
        """-log2 p of each token, from at most ``order - 1`` tokens before it inside ``codes[start:]``."""
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


def ngram(codes: Sequence[list[int]], begins: Sequence[int], window: int, windows: int) -> Baseline:
    """The n-gram whose order is best on the validation part; like the networks it sees its own window only.

    Args:
        codes: tokens of the training, the validation and the test part.
        begins: (vocabulary,) how many characters each token begins.
        window: tokens of a window.
        windows: of the test part.
    """
    train, valid, test = codes
    counts = Counts(train[:COUNTED], HIGHEST_ORDER, len(begins))

    def bits(part: list[int], order: int, many: int) -> Tensor:
        sums = [math.fsum(counts.bits(part, order, i * window, (i + 1) * window)) for i in range(many)]
        return torch.tensor(sums, dtype=torch.float64)

    few = min(TRIED, (len(valid) - 1) // window)
    order = min(range(1, HIGHEST_ORDER + 1), key=lambda n: float(bits(valid, n, few).sum()))
    characters = torch.tensor([begins[t] for t in test[1 : windows * window + 1]], dtype=torch.float64)
    scores = pooled(bits(test, order, windows), characters.reshape(windows, window).sum(1))
    sentence = f"Counts which token followed the last {order - 1} (Witten-Bell smoothing; order chosen on validation)."
    return Baseline(f"{order}-gram", sentence, scores)

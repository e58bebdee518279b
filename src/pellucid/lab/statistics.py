"""How sure a figure is: bootstrap over test items and seeds, and paired differences.

Every candidate has one score for each seed and test item. A resample draws seeds and items with replacement, items in
blocks of neighbours where windows of a series overlap (Kuensch 1989, the moving-block bootstrap), and its mean is one
draw of the metric; the 2.5 and 97.5 percentiles of many draws are the interval (Efron and Tibshirani 1993, ch. 13).
A difference between two candidates uses the same items for both, so what makes an item hard for all cancels out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pellucid.lab.results import Interval

Scores = NDArray[np.float64]  # (seeds, items)
DRAWS = 2000


class Bootstrap:
    """Resamples of one test set, the same for every candidate.

    Args:
        items: number of test items.
        block: how many neighbours are drawn together; 1 where items are independent.
        seed: of the draws.
    """

    def __init__(self, items: int, block: int = 1, seed: int = 0) -> None:
        self.generator = np.random.default_rng(seed)
        self.items = items
        block = max(1, min(block, items // 2))
        count = math.ceil(items / block)
        starts = self.generator.integers(0, items - block + 1, (DRAWS, count))
        self.drawn = (starts[..., None] + np.arange(block)).reshape(DRAWS, -1)[:, :items]

    def means(self, scores: Scores) -> NDArray[np.float64]:
        """The metric of every resample; seeds are drawn anew for each candidate."""
        seeds = self.generator.integers(0, len(scores), (DRAWS, len(scores)))
        weights = np.stack([(seeds == k).mean(1) for k in range(len(scores))])  # (seeds, draws)
        return np.asarray(sum(w * row[self.drawn].mean(1) for w, row in zip(weights, scores, strict=True)))

    def interval(self, scores: Scores) -> Interval:
        """A candidate's figure."""
        return _interval(float(scores.mean()), self.means(scores))

    def difference(self, scores: Scores, other: Scores) -> Interval:
        """``scores`` minus ``other``, on the same items."""
        return _interval(float(scores.mean() - other.mean()), self.means(scores) - self.means(other))


def _interval(value: float, draws: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(draws, (0.025, 0.975))
    return Interval(value=value, low=float(low), high=float(high))

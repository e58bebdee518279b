"""How sure a figure is: bootstrap over test items and seeds, and paired differences.

Every candidate has one score for each seed and test item. A resample draws seeds and items with replacement, items in
blocks of neighbours where windows of a series overlap (Kuensch 1989, the moving-block bootstrap), and its mean is one
draw of the metric; the 2.5 and 97.5 percentiles of many draws are the interval (Efron and Tibshirani 1993, ch. 13).
A difference between two candidates uses the same items for both, so what makes an item hard for all cancels out.

With few independent items the bootstrap is too sure of itself. Its intervals are therefore widened by Student's t with
as many degrees of freedom, and for shares of right answers they hold at least the intervals of Wilson (1927) and, for
paired differences, of Agresti and Min (2005), who add half an item to each of the four ways in which two answers can be
right or wrong. How far items lie apart cannot be told from fewer than two of them: then there is no interval, and none of
what follows from one.

Whether a difference matters is another question than whether there is one. The Bayesian bootstrap (Rubin 1981), with weights of
a flat Dirichlet distribution on items and on seeds, gives the probability that one network is better by more than what is
negligible, that it is worse by more, and that the two are practically the same (a region of practical equivalence: Benavoli,
Corani, Demsar and Zaffalon 2017). Of what no item showed this bootstrap knows nothing: two networks that agree on ten items
would be the same for sure. Shares of right answers therefore have the same four halves of an item, as a prior (Benavoli et al.
2014 have one for the same reason).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from pellucid.lab.results import Interval, Odds
from pellucid.lab.task import ANY, ERROR, SHARE

Scores = NDArray[np.float64]  # (seeds, items)
DRAWS = 2000
AT_ONCE = 500_000  # numbers that are drawn together
Z = 1.959964  # the normal's 97.5 percentile


class Bootstrap:
    """Resamples of one test set, the same for every candidate.

    Args:
        items: number of test items.
        block: how many neighbours are drawn together; 1 where items are independent.
        seed: of the draws.

    Attributes:
        independent: how many independent items the test set counts as: one for each block.
        enough: whether these are enough for an interval, which is two.
    """

    def __init__(self, items: int, block: int = 1, seed: int = 0) -> None:
        self.items = items
        self.independent = items / max(block, 1)
        self._block = max(1, min(block, items // 2))
        self._starts = np.arange(0, items, self._block)
        self._seed = seed
        self.enough = self.independent >= 2
        self.generator = np.random.default_rng(seed)
        for _ in self._resamples(self.generator):  # what is drawn beside them comes after them
            pass

    def _resamples(self, generator: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """The items of every resample, some resamples at a time: (some, items). All together may not fit into memory."""
        few = max(1, AT_ONCE // self.items)
        for first in range(0, DRAWS, few):
            count = min(few, DRAWS - first)
            starts = generator.integers(0, self.items - self._block + 1, (count, len(self._starts)))
            yield (starts[..., None] + np.arange(self._block)).reshape(count, -1)[:, : self.items]

    def means(self, scores: Scores) -> NDArray[np.float64]:
        """The metric of every resample; seeds are drawn anew for each candidate."""
        seeds = self.generator.integers(0, len(scores), (DRAWS, len(scores)))
        weights = np.stack([(seeds == k).mean(1) for k in range(len(scores))])  # (seeds, draws)
        drawn = self._resamples(np.random.default_rng(self._seed))
        each = np.concatenate([[row[items].mean(1) for row in scores] for items in drawn], 1)
        return np.asarray(sum(w * own for w, own in zip(weights, each, strict=True)))

    def interval(self, scores: Scores, bounds: tuple[float, float] = ANY) -> Interval:
        """A candidate's figure; its interval stays inside the metric's bounds."""
        if not self.enough:
            return _unknown(float(scores.mean()))
        found = self._around(float(scores.mean()), self.means(scores))
        if not _right_or_wrong(scores) or bounds == ERROR:  # an error that is 0 throughout is no share
            return _inside(bounds, found)
        n, share = self.independent, float(scores.mean()) / 100
        middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
        half = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n * n)) / (1 + Z**2 / n)
        return _inside(bounds, _at_least(found, 100 * (middle - half), 100 * (middle + half)))

    def difference(self, scores: Scores, other: Scores, bounds: tuple[float, float] = ANY) -> Interval:
        """``scores`` minus ``other``, on the same items; `bounds` are the metric's."""
        if not self.enough:
            return _unknown(float(scores.mean() - other.mean()))
        found = self._around(float(scores.mean() - other.mean()), self.means(scores) - self.means(other))
        if bounds != SHARE:
            return found
        n, only_a, only_b = self.independent, _ahead(scores, other), _ahead(other, scores)
        middle = (only_a - only_b) / (n + 2)
        half = Z * math.sqrt(only_a + only_b + 1 - (only_a - only_b) ** 2 / (n + 2)) / (n + 2)
        return _inside((-100.0, 100.0), _at_least(found, 100 * (middle - half), 100 * (middle + half)))

    def odds(self, scores: Scores, other: Scores, rope: float, bounds: tuple[float, float] = ANY) -> Odds | None:
        """How probably ``scores`` are higher than ``other`` by more than `rope`, lower by more, or neither; None without intervals."""
        if not self.enough:
            return None
        sizes = np.diff([*self._starts, self.items])[None]
        sums = [sizes, *(np.add.reduceat(of, self._starts, axis=1) for of in (scores, other))]
        weighted: list[NDArray[np.float64]] = [np.zeros((len(of), DRAWS)) for of in sums]
        for start in range(0, len(self._starts), AT_ONCE // DRAWS):
            some = slice(start, start + AT_ONCE // DRAWS)
            weights = self.generator.exponential(size=(len(self._starts[some]), DRAWS))
            weighted = [before + of[:, some] @ weights for before, of in zip(weighted, sums, strict=True)]
        if bounds == SHARE:
            # Of the prior, half an item is right with the first alone, half a one with the other, and one with both.
            first_alone, other_alone = self._block * self.generator.gamma(0.5, size=(2, DRAWS))
            both = self._block * self.generator.exponential(size=DRAWS)
            seen = (first_alone + other_alone + both, 100 * (first_alone + both), 100 * (other_alone + both))
            weighted = [before + of for before, of in zip(weighted, seen, strict=True)]
        whole, *each = weighted
        first, second = ((self.generator.dirichlet(np.ones(len(of)), DRAWS).T * of / whole).sum(0) for of in each)
        middle = float(scores.mean() - other.mean())
        draws = middle + self._wider() * (first - second - middle)
        higher, lower = float((draws > rope).mean()), float((draws < -rope).mean())
        return Odds(higher=higher, same=1 - higher - lower, lower=lower, rope=rope)

    def _wider(self) -> float:
        """What intervals are widened by, since items are few."""
        freedom = self.independent - 1
        return float(stdtrit(freedom, 0.975)) / Z * math.sqrt(self.independent / freedom)

    def _around(self, value: float, draws: NDArray[np.float64]) -> Interval:
        low, high = np.quantile(draws, (0.025, 0.975))
        wider = self._wider()
        return Interval(
            value=value, low=value - wider * (value - float(low)), high=value + wider * (float(high) - value)
        )


def _unknown(value: float) -> Interval:
    return Interval(value=value, low=-math.inf, high=math.inf)


def _ahead(scores: Scores, other: Scores) -> float:
    """By how many right answers ``scores`` are ahead, on the items where they are; the mean over every two seeds."""
    return float(np.mean([(row - other).clip(min=0).sum(1).mean() for row in scores])) / 100


def _right_or_wrong(scores: Scores) -> bool:
    """Whether every score is 0 or 100."""
    return bool(np.isin(scores, (0.0, 100.0)).all())


def _at_least(interval: Interval, low: float, high: float) -> Interval:
    return Interval(value=interval.value, low=min(interval.low, low), high=max(interval.high, high))


def _inside(bounds: tuple[float, float], found: Interval) -> Interval:
    """The interval without what the figure cannot be."""
    low, high = (min(max(end, bounds[0]), bounds[1]) for end in (found.low, found.high))
    return Interval(value=found.value, low=min(low, found.value), high=max(high, found.value))

"""The season of a series, from its training part."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pellucid.lab.data.paging import MEMORY, Space, slices

Array = NDArray[np.float64]
MOST_SERIES = 40  # that are looked at where there are many
TURNS = (1.0, 7.0, 365.2425)  # days in a day, a week and a year
LONGEST = 400  # steps of a season
BLOCK = 2**18 - LONGEST  # steps that are correlated at a time
NEAR = 0.03  # of a turn: a season that is this near to it is the turn


def common_season(trains: Sequence[Array], days: float = 0.0, space: Space = MEMORY) -> int:
    """The season that most of several series have, in steps; 1 for none. Of equally frequent ones the shortest.

    Args:
        trains: the training parts.
        days: in a step, so that what is nearly a day, a week or a year is one; 0 where steps have no length.
        space: for what is in between.
    """
    looked_at = trains[:: math.ceil(len(trains) / MOST_SERIES)]
    found = Counter(_whole_turn(season(train, space), days) for train in looked_at)
    return min(found, key=lambda steps: (-found[steps], steps))


def _whole_turn(steps: int, days: float) -> int:
    """Noise puts a peak a step or two off; 53 weeks are a year."""
    near = [turn for turn in TURNS if abs(steps * days - turn) <= NEAR * turn]
    return round(near[0] / days) if near and steps > 1 else steps


def season(train: Array, space: Space = MEMORY) -> int:
    """The season, in steps: the highest peak of the autocorrelation of the moves from step to step; 1 for none.

    A peak counts after the correlation has been below zero (before, steps are alike because they are near), and above 4
    standard errors 1 / sqrt(n) of no correlation, which none of 400 lags of noise is likely to reach.
    """
    moves = space.scratch((max(0, len(train) - 1),))  # a trend is no season
    if len(moves) < 9:
        return 1
    size = 0.0
    for part in slices(len(moves), 8):
        own = train[part.start : part.stop + 1]
        moves[part], size = np.diff(own), max(size, float(np.abs(own).max()))
    correlation = _correlation(moves, min(len(moves) // 3, LONGEST))
    longest = len(correlation) - 1
    if math.sqrt(max(0.0, correlation[0]) / len(moves)) <= 1e-9 * size:  # what is left is rounding
        return 1
    correlation = correlation / correlation[0]
    below = np.flatnonzero(correlation < 0)
    first = int(below[0]) + 1 if len(below) else longest
    peaks = [k for k in range(max(first, 2), longest) if correlation[k - 1] < correlation[k] >= correlation[k + 1]]
    best = max(peaks, key=lambda k: correlation[k], default=1)
    if best == 1 or correlation[best] <= max(0.1, 4 / math.sqrt(len(moves))):
        return 1
    # A multiple of the season correlates as well: take the shortest lag that comes near the best, or rather, since noise
    # makes a peak into several, the highest one beside it.
    shortest = min(k for k in peaks if correlation[k] >= 0.9 * correlation[best])
    return max((k for k in peaks if shortest <= k <= 1.2 * shortest), key=lambda k: correlation[k])


def _correlation(moves: Array, longest: int) -> Array:
    """The sum of products of a series (less its mean) with itself 0 to ``longest`` steps later, a block at a time."""
    mean = moves.mean()
    total = np.zeros(longest + 1)
    for start in range(0, len(moves), BLOCK):
        later = moves[start : start + BLOCK + longest] - mean
        now = later[:BLOCK]
        size = 1 << (len(now) + max(len(later), longest + 1) - 1).bit_length()
        spectrum = np.fft.rfft(now, size).conj() * np.fft.rfft(later, size)
        total += np.fft.irfft(spectrum, size)[: longest + 1]
    return total

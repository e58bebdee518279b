"""The season of a series, from its training part.

A season of any shape is a comb of lines in the spectrum, at its frequency and the multiples of it. The spectrum is divided by
the noise nearby, and a comb judged by the H-test (de Jager, Raubenheimer and Swanepoel 1989). A peak of the autocorrelation of
differences, which are mostly noise where a season is smooth, is blunt and often a step or a season off; it only says which of
the seasons that share lines it is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pellucid.lab.data.paging import MEMORY, Space, slices

Array = NDArray[np.float64]
MOST_SERIES = 40  # that are looked at where there are many
TURNS = (1.0, 7.0, 365.2425)  # days in a day, a week and a year
LONGEST = 400  # steps of a season
LAGS = 4096  # of the autocorrelation that the spectrum is made of
BLOCK = 2**18 - LAGS  # steps that are correlated at a time
FINE = 16  # points of the spectrum in a line's width, at least
NEARBY = 8  # lines' widths to either side that noise is measured in
COST = 3.0  # of a further line in a comb; noise is 1 high
RARE = 0.01  # how often noise may pass for a season
NEAR = 0.03  # of a season that it may be off whole steps; else it is a multiple that is one
SHARE = 0.9  # of a longer season that a shorter one has to explain


def common_season(trains: Sequence[Array], days: float = 0.0, space: Space = MEMORY) -> int:
    """The season that most of several series have, in steps; 1 for none. Of equally frequent ones the shortest.

    Args:
        trains: the training parts.
        days: in a step, so that a day, a week and a year are known; 0 where steps have no length.
        space: for what is in between.
    """
    looked_at = trains[:: math.ceil(len(trains) / MOST_SERIES)]
    found = Counter(season(train, days, space) for train in looked_at)
    return min(found, key=lambda steps: (-found[steps], steps))


def season(train: Array, days: float = 0.0, space: Space = MEMORY) -> int:
    """The season, in steps, of which there are three at least; 1 for none. Arguments as above."""
    if len(train) < 13:
        return 1
    moves, rounding = _moves(train, space)
    lags, longest = min(len(moves) - 1, LAGS), min(len(moves) // 3, LONGEST)
    products = _correlation(moves, lags)
    if products[0] <= len(moves) * rounding**2:
        return 1
    fades = np.arange(lags + 1) / (lags + 1) if lags < len(moves) - 1 else 0.0  # where lags do not end by themselves
    lines = _lines(products * (1 - fades))
    points, width = 2 * (len(lines) - 1), 2 * (len(lines) - 1) // (lags + 1)  # of a turn a step, and of a line
    lowest = -(-points // longest)
    period = points / np.arange(lowest, len(lines))
    evidence = np.where(np.abs(period - np.rint(period)) <= NEAR * period, _evidence(lines, lowest), -np.inf)
    turns = [turn / days for turn in TURNS if days and 2 * days <= turn <= longest * days]
    calendar = np.array([max(0, round(points / turn) - lowest) for turn in turns], dtype=int)
    for among in filter(len, (np.arange(len(period)), calendar)):  # where few are tried, less is chance
        best = int(among[evidence[among].argmax()])
        limit = math.log(min(len(among), lags) / RARE) / 0.94
        if evidence[best] > limit:
            break
    else:
        return 1
    alike, enough = products / products[0], SHARE * evidence[best]
    if ((np.abs(calendar - best) <= width) & (evidence[calendar] >= enough)).any():  # 52.6 weeks are a year
        other = SHARE * alike[round(period[best])]
        says = [evidence[k] > limit and alike[round(turn)] >= other for turn, k in zip(turns, calendar, strict=True)]
        return round(turns[int(((evidence[calendar] >= enough) | says).argmax())])
    steps = float(period[_shortest(evidence, best, lowest, width // 4)])
    # A season that is almost two of its half has few lines that its half has not, and is more alike.
    longer = [
        k for k in (round(m * steps) for m in range(2, int(longest / steps) + 1)) if not days or k in map(round, turns)
    ]
    least = alike[round(steps)] + (0 if days else 4 / math.sqrt(len(moves)))
    return next((k for k in longer if SHARE * alike[k] > least), round(steps))


def _shortest(evidence: Array, best: int, lowest: int, off: int) -> int:
    """The point of the shortest season of which the best is a multiple, as which it has the season's lines too."""
    multiples = np.arange(lowest + best, lowest + len(evidence), lowest + best) - lowest
    around = np.clip(multiples[:, None] + np.arange(-off, off + 1), 0, len(evidence) - 1)
    row = around[np.flatnonzero(evidence[around].max(1) >= SHARE * evidence[best])[-1]]
    return int(row[evidence[row].argmax()])


def _moves(train: Array, space: Space) -> tuple[Array, float]:
    """What each step adds to its share of the step before, and how large of that rounding may be.

    The share is the autocorrelation of neighbours; 1, so that a trend goes, where it may be (Dickey and Fuller 1979).
    """
    moves, size = space.scratch((len(train) - 1,)), 0.0
    products = _correlation(train, 1)
    share = max(0.0, products[1] / products[0]) if products[0] > 0 else 1.0
    share = share if share < 1 - 14 / len(train) else 1.0
    for part in slices(len(moves), 8):
        own = train[part.start : part.stop + 1]
        moves[part], size = own[1:] - share * own[:-1], max(size, float(np.abs(own).max()))
    return moves, 1e-9 * size


def _evidence(lines: Array, lowest: int) -> Array:
    """The evidence for a season at each point from the lowest on: its lines above their cost, up to where their sum is largest.

    In noise a line is distributed exponentially, and the sum exceeds x with a probability below exp(-0.94 x) (Lundberg's
    inequality at this cost).
    """
    total = np.zeros(len(lines) - lowest)
    largest = np.full(len(total), -np.inf)
    for k in range(1, (len(lines) - 1) // lowest + 1):
        own = lines[k * lowest :: k]
        total[: len(own)] += own - COST
        np.maximum(largest[: len(own)], total[: len(own)], out=largest[: len(own)])
    return largest


def _lines(products: Array) -> Array:
    """The spectrum from no turn to half a turn a step, divided by the noise: the highest of three medians nearby."""
    points = FINE << len(products).bit_length()
    power = np.maximum(2 * np.fft.rfft(products, points).real - products[0], 0.0)
    width = points // len(products)
    own = power[width::width]
    near = min(NEARBY, max(3, len(own) // 8))
    median = np.median(sliding_window_view(np.pad(own, near + near // 2, mode="reflect"), 2 * near + 1), 1)
    highest = sliding_window_view(median, near // 2 * 2 + 1)[:, :: near // 2].max(1)
    noise = np.interp(np.arange(len(power)), width * np.arange(1, len(own) + 1), highest)
    noise /= math.log(2)  # the median of noise is that much of its mean
    return np.asarray(power / np.maximum(noise, 1e-4 * power.mean()))


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

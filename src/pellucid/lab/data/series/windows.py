"""The windows that networks see: cut at every origin, in the part of the series that the origin lies in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.lab.data.paging import Space, slices
from pellucid.lab.data.series.gaps import Mask
from pellucid.lab.data.series.reading import Series
from pellucid.lab.data.series.scaling import Scaling, channels, scaled
from pellucid.lab.task import Split

Array = NDArray[np.float64]
Ends = tuple[int, int, int]
MOST_WINDOWS = 4000  # in each split: neighbours overlap almost wholly, and more of them cost time and teach little


@dataclass(frozen=True)
class Origins:
    """Where forecasts start.

    Attributes:
        series: (N,) which series, ascending.
        at: (N,) the first step that is forecast.
    """

    series: NDArray[np.int64]
    at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.at)

    def some(self, which: NDArray[np.int64]) -> Origins:
        """Some of them."""
        return Origins(self.series[which], self.at[which])

    def spacing(self) -> int:
        """Steps between neighbours in a series; the usual one."""
        moves = np.diff(self.at)[np.diff(self.series) == 0]
        return int(np.median(moves)) if len(moves) else 1


@dataclass(frozen=True)
class Part:
    """All origins of a part (0 training, 1 validation, 2 test) whose window and horizon lie where they may.

    A training window ends in the training part; a validation or test origin lies in its part, and the past that it sees
    may reach back into the part before. No forecast starts from a filled value or is judged by one.

    Attributes:
        filled: where values of each series were filled; ends: where its parts end.
        window, horizon: in steps.
        target: column that is forecast.
        part: its number.
    """

    filled: list[Mask]
    ends: list[Ends]
    window: int
    horizon: int
    target: int
    part: int

    @cached_property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self._pieces()))

    def thin(self, most: int = MOST_WINDOWS) -> Origins:
        """Evenly spaced ones, at most ``most``."""
        return self._some(np.arange(0, self.count, max(1, math.ceil(self.count / most))))

    def spread(self, count: int) -> Origins:
        """So many, evenly spaced, the first and the last among them."""
        return self._some(np.unique(np.rint(np.linspace(0, self.count - 1, count)).astype(np.int64)))

    def _some(self, which: NDArray[np.int64]) -> Origins:
        """Some of them, by their ascending numbers."""
        found, before = [], 0
        for piece in self._pieces():
            first, end = np.searchsorted(which, (before, before + len(piece)))
            found.append(piece.some(which[first:end] - before))
            before += len(piece)
        return Origins(np.concatenate([p.series for p in found]), np.concatenate([p.at for p in found]))

    def _pieces(self) -> Iterator[Origins]:
        """All of them, a few at a time."""
        for k, (mask, ends) in enumerate(zip(self.filled, self.ends, strict=True)):
            low = max(self.window, (0, *ends)[self.part])
            for part in slices(ends[self.part] - self.horizon + 1 - low, 8):
                start, stop = low + part.start, low + part.stop
                before, ahead = mask[start - 1 : stop - 1], mask[start : stop - 1 + self.horizon, self.target]
                made_up = np.concatenate([[0], np.cumsum(ahead)])
                judged = made_up[self.horizon :] > made_up[: -self.horizon]
                found = start + np.flatnonzero(~(judged | before.any(1)))
                yield Origins(np.full(len(found), k), found)


def cut(
    series: list[Series],
    scales: list[Scaling],
    found: Origins,
    window: int,
    horizon: int,
    target: int,
    cycles: list[str],
    known: Sequence[int],
    space: Space,
) -> Split:
    """The split of some origins.

    Args:
        series, scales: that they are of, and the scaling of each.
        found: the origins.
        window, horizon: in steps.
        target: column that is forecast.
        cycles, known: as in :func:`scaling.channels`.
        space: where windows lie.
    """
    wide = len(scales[0].offset) + 2 * len(cycles) + len(known)
    past = space.array((len(found), window, wide), np.float32)
    ahead = np.empty((len(found), horizon, 1), dtype=np.float32)
    for k in np.unique(found.series).tolist():
        begins, end = np.searchsorted(found.series, (k, k + 1)).tolist()
        for part in slices(end - begins, 8 * window * wide):
            rows = slice(begins + part.start, begins + part.stop)
            at = found.at[rows, None]
            past[rows] = channels(series[k], scales[k], at + np.arange(-window, 0), horizon, cycles, known)
            ahead[rows] = scaled(series[k], scales[k], at + np.arange(horizon))[..., target, None]
    items = [series[k].label(a) for k, a in zip(found.series.tolist(), found.at.tolist(), strict=True)]
    pairs = torch.tensor([s.pair(target) for s in scales], dtype=torch.float64)
    own = pairs[torch.from_numpy(found.series)] if len(series) > 1 else None
    return Split(torch.from_numpy(past), torch.from_numpy(ahead), None, items, own)

"""The windows that networks see: cut at every origin, in the part of the series that the origin lies in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.lab.data.series.gaps import Mask
from pellucid.lab.data.series.reading import Series
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

    def some(self, which: NDArray[np.int64] | slice) -> Origins:
        """Some of them."""
        return Origins(self.series[which], self.at[which])

    def spacing(self) -> int:
        """Steps between neighbours in a series; the usual one."""
        moves = np.diff(self.at)[np.diff(self.series) == 0]
        return int(np.median(moves)) if len(moves) else 1


def origins(filled: list[Mask], ends: list[Ends], window: int, horizon: int, target: int, part: int) -> Origins:
    """All origins of a part (0 training, 1 validation, 2 test) whose window and horizon lie where they may.

    A training window ends in the training part; a validation or test origin lies in its part, and the past that it sees
    may reach back into the part before. No forecast starts from a filled value or is judged by one.
    """
    which, at = [], []
    for k, (mask, (first, second, third)) in enumerate(zip(filled, ends, strict=True)):
        low = (window, max(first, window), max(second, window))[part]
        found = np.arange(low, (first, second, third)[part] - horizon + 1)
        if mask.any() and len(found):
            made_up = np.concatenate([[0], np.cumsum(mask[:, target])])
            judged = made_up[found + horizon] - made_up[found] > 0
            found = found[~(judged | mask[found - 1].any(1))]
        which.append(np.full(len(found), k))
        at.append(found)
    return Origins(np.concatenate(which).astype(np.int64), np.concatenate(at).astype(np.int64))


def thin(found: Origins, most: int = MOST_WINDOWS) -> Origins:
    """Evenly spaced ones, at most ``most``."""
    return found.some(slice(None, None, max(1, math.ceil(len(found) / most))))


def spread(found: Origins, count: int) -> Origins:
    """So many, evenly spaced, the first and the last among them."""
    return found.some(np.unique(np.rint(np.linspace(0, len(found) - 1, count)).astype(np.int64)))


def cut(
    series: list[Series],
    inputs: list[NDArray[np.float32]],
    scales: list[tuple[float, float]],
    found: Origins,
    window: int,
    horizon: int,
    target: int,
) -> Split:
    """The split of some origins.

    Args:
        series: for the names of the items.
        inputs: (T, channels) of each series, scaled.
        scales: offset and factor of each series' target.
        found: the origins.
        window, horizon: in steps.
        target: channel that is forecast.
    """
    whole = np.concatenate(inputs)
    begins = np.cumsum([0, *map(len, inputs)])[:-1]
    at = begins[found.series] + found.at
    past = whole[at[:, None] + np.arange(-window, 0)]
    ahead = whole[at[:, None] + np.arange(horizon), target][..., None]
    items = [series[k].label(a) for k, a in zip(found.series.tolist(), found.at.tolist(), strict=True)]
    own = torch.tensor(scales, dtype=torch.float64)[torch.from_numpy(found.series)] if len(series) > 1 else None
    return Split(torch.from_numpy(past), torch.from_numpy(ahead), None, items, own)

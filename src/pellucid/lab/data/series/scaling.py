"""What a network sees of a series: its columns scaled by its own training part, the calendar, and what is known ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import DataError
from pellucid.lab.data.paging import MEMORY, Space, slices
from pellucid.lab.data.series import calendar
from pellucid.lab.data.series.reading import Series

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """Offset and factor of every column of one series, with raw = scaled * factor + offset."""

    offset: Array
    factor: Array

    def pair(self, column: int) -> tuple[float, float]:
        """Offset and factor of a column."""
        return float(self.offset[column]), float(self.factor[column])


def fit(source: Path, series: Series, end: int, space: Space = MEMORY) -> Scaling:
    """Mean and deviation (1 for what is constant but for rounding) of the training part, which ends before ``end``.

    Raises:
        DataError: values are past what networks compute with.
    """
    train = series.values[:end]
    largest = max(_largest(part).max() for part in (train, series.values[end:]) if len(part))
    if largest > 1e30:
        raise DataError(
            f"{source}: values reach {largest:.3g}, which is past what networks compute with; give another unit"
        )
    mean = train.mean(0)
    squares = space.scratch(train.shape)  # added up as NumPy's own deviation does
    for part in slices(*train.shape):
        np.square(train[part] - mean, out=squares[part])
    spread = np.sqrt(squares.sum(0) / len(train))
    return Scaling(mean, np.where(spread <= 1e-6 * _largest(train), 1.0, spread))


def _largest(values: Array) -> Array:
    """The largest size in each column."""
    return np.asarray(np.max([np.abs(values[part]).max(0) for part in slices(*values.shape)], 0))


def channels(
    series: Series,
    scaling: Scaling,
    steps: NDArray[np.int64],
    horizon: int,
    cycles: list[str],
    known: Sequence[int],
    ahead: Array | None = None,
) -> NDArray[np.float32]:
    """(..., columns + 2 x cycles + known): the scaled columns, the calendar, and what the known columns are ``horizon`` later.

    At the last step of a window the last ``horizon`` values of a known column's second channel are its values over the
    horizon. Beyond the end of the series they are 0, where nothing is forecast from.

    Args:
        series: without gaps.
        scaling: of its columns.
        steps: of the series, of any shape.
        horizon: in steps.
        cycles: of the calendar.
        known: columns whose future is known.
        ahead: (horizon, columns) values after the end of the series, where there are some.
    """
    parts = [scaled(series, scaling, steps).astype(np.float32)]
    if cycles:
        circles = calendar.features(series.when[steps.ravel()], cycles)
        parts.append(circles.reshape(*steps.shape, -1))
    if known:
        later, end = steps + horizon, len(series.values)
        after = np.zeros((horizon, len(scaling.offset))) if ahead is None else (ahead - scaling.offset) / scaling.factor
        inside = scaled(series, scaling, np.minimum(later, end - 1))
        beyond = after[np.clip(later - end, 0, horizon - 1)]
        found = np.where((later < end)[..., None], inside, beyond)
        parts.append(found[..., list(known)].astype(np.float32))
    return np.concatenate(parts, -1)


def scaled(series: Series, scaling: Scaling, steps: NDArray[np.int64]) -> Array:
    """The columns at some steps, of any shape: (..., columns)."""
    return (series.values[steps] - scaling.offset) / scaling.factor

"""What a network sees of a series: its columns scaled by its own training part, the calendar, and what is known ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import DataError
from pellucid.lab.data.series import calendar
from pellucid.lab.data.series.reading import Series
from pellucid.lab.data.split import deviation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """Offset and factor of every column of one series, with raw = scaled * factor + offset."""

    offset: Array
    factor: Array


def fit(source: Path, train: Array, whole: Array) -> Scaling:
    """Mean and deviation of a training part.

    Raises:
        DataError: values are past what networks compute with.
    """
    if np.abs(whole).max() > 1e30:
        raise DataError(
            f"{source}: values reach {np.abs(whole).max():.3g}, which is past what networks compute with; give another unit"
        )
    return Scaling(train.mean(0), deviation(train, 0))


def channels(
    series: Series, scaling: Scaling, horizon: int, cycles: list[str], known: Sequence[int], ahead: Array | None = None
) -> NDArray[np.float32]:
    """(T, columns + 2 x cycles + known): the scaled columns, the calendar, and what the known columns are ``horizon`` later.

    At the last step of a window the last ``horizon`` values of a known column's second channel are its values over the
    horizon. Beyond the end of the series they are 0, where nothing is forecast from.

    Args:
        series: without gaps.
        scaling: of its columns.
        horizon: in steps.
        cycles: of the calendar.
        known: columns whose future is known.
        ahead: (horizon, columns) values after the end of the series, where there are some.
    """
    scaled = (series.values - scaling.offset) / scaling.factor
    parts = [scaled.astype(np.float32)]
    if cycles:
        assert series.times is not None
        parts.append(calendar.features(series.times, cycles))
    if known:
        after = np.zeros((horizon, scaled.shape[1])) if ahead is None else (ahead - scaling.offset) / scaling.factor
        later = np.concatenate([scaled, after])[horizon:]
        parts.append(later[:, list(known)].astype(np.float32))
    return np.concatenate(parts, 1)

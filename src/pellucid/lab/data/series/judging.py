"""How forecasts are judged: in the series' unit, or in deviations where series have different ones."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.lab.data import metrics
from pellucid.lab.data.paging import Space, slices
from pellucid.lab.data.series.gaps import Mask
from pellucid.lab.data.series.reading import Table
from pellucid.lab.data.series.windows import Ends, Origins
from pellucid.lab.task import Metric

QUANTILES = (0.1, 0.5, 0.9)


def metrics_of(
    found: Table,
    ends: list[Ends],
    filled: list[Mask],
    pairs: list[tuple[float, float]],
    season: int,
    test: Origins,
    space: Space,
) -> tuple[Metric, tuple[Metric, ...]]:
    """The mean absolute error, in deviations where series have different ones, and what is reported beside it."""
    middle, several = QUANTILES.index(0.5), len(found.series) > 1
    which = torch.from_numpy(test.series)
    offset, factor = torch.tensor(pairs, dtype=torch.float64)[which].T
    naive = torch.tensor(
        [
            _naive_error(s.values[: e[0], found.target], m[: e[0], found.target], season, space) / pair[1]
            for s, e, m, pair in zip(found.series, ends, filled, pairs, strict=True)
        ],
        dtype=torch.float64,
    )[which]
    one = 1.0 if several else pairs[0][1]
    unit = "deviations of each series" if several else ""
    figures = [
        metrics.symmetric_percentage_error(offset, factor, middle),
        metrics.mean_quantile_loss(one, unit, QUANTILES),
        metrics.coverage(QUANTILES),
    ]
    if bool((naive > 0).all()):
        figures.insert(0, metrics.mean_absolute_scaled_error(naive, season, middle))
    return metrics.mean_absolute_error((one,), unit, middle), tuple(figures)


def _naive_error(train: NDArray[np.float64], filled: Mask, season: int, space: Space) -> float:
    """The mean absolute error of the seasonal naive in the training part, one step ahead, over values that were there."""
    back = season if len(train) > season else 1
    errors, count = space.scratch((len(train) - back,)), 0
    for part in slices(len(errors), 8):
        now = slice(part.start + back, part.stop + back)
        own = np.abs(train[now] - train[part])[~(filled[now] | filled[part])]
        errors[count : count + len(own)] = own
        count += len(own)
    return float(errors[:count].mean()) if count else 0.0

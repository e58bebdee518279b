"""The last window of a table as the networks saw those of training: what prediction starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import DataError
from pellucid.lab.counted import counted
from pellucid.lab.data.paging import HELD, Space, allowed, last
from pellucid.lab.data.series import axis, gaps, scaling
from pellucid.lab.data.series.reading import Series, Table, picked, read


@dataclass(frozen=True)
class Newest:
    """One window of each series.

    Attributes:
        x: (series, window, channels) as networks take it.
        names: of the series; "" for a single one.
        ahead: the times that are forecast, as text, for each series; () where rows are counted.
        scales: (series, 2) float64 offset and factor of what is forecast.
    """

    x: Tensor
    names: list[str]
    ahead: list[tuple[str, ...]]
    scales: Tensor


def newest(source: Path, how: Mapping[str, Any], step: str = "") -> Newest:
    """Read a table with training's columns; rows to come may follow that hold what is known ahead alone.

    Args:
        source: CSV or Parquet.
        how: the task's preprocessing.
        step: the task's time step in words, to check the table's; "" where it had none.

    Raises:
        DataError: another step, a column or a series that training had not, too few rows, a gap that training did not fill, or nothing of
            what is known ahead over the horizon; see also :func:`read`.
    """
    space = Space(allowed(HELD))
    found = read(source, ",".join(how["targets"]) or how["target"], how["id"], space, how["columns"])
    for name in how["columns"]:
        if name not in found.columns:
            raise DataError(
                f"{source}: there is no column {name!r} of numbers, and the networks saw {', '.join(how['columns'])}; add it"
            )
    apart = "" if found.step is None else found.step.words
    if step and apart and apart != step:
        raise DataError(
            f"{source}: the rows are one every {apart}, and the networks saw one every {step}; bring the table to that"
        )
    if how["calendar"] and not (found.step is not None and found.step.temporal):
        raise DataError(
            f"{source}: no column holds times, and the networks saw the {' and the '.join(how['calendar'])} of each step; add one, "
            f"or mend {how['time']!r}"
        )
    order = [found.columns.index(name) for name in how["columns"]]
    series = found.series if order == list(range(len(found.columns))) else picked(found.series, [("", order)], space)
    found = replace(found, columns=list(how["columns"]), target=how["columns"].index(how["target"]), series=series)
    windows, times, scales = [], [], []
    for one in series:
        window, ahead, scale = _window(found, one, how, space)
        windows.append(window)
        times.append(ahead)
        scales.append(scale)
    return Newest(
        torch.from_numpy(np.stack(windows)),
        [one.name for one in series],
        times,
        torch.tensor(scales, dtype=torch.float64),
    )


def _window(
    found: Table, one: Series, how: Mapping[str, Any], space: Space
) -> tuple[Any, tuple[str, ...], tuple[float, float]]:
    source, horizon, window = found.source, how["horizon"], how["window"]
    of = f" of series {one.name!r}" if one.name else ""
    if one.name not in how["scales"]:
        raise DataError(f"{source}: training had no series {one.name!r}; it had {', '.join(how['scales'])}")
    known = [found.columns.index(name) for name in how["known"]]
    unknown = [k for k in range(len(found.columns)) if k not in known]
    last_known = last(one.values, lambda part: (~np.isnan(part[:, unknown])).any(1))
    stop = 0 if last_known is None else last_known + 1
    past, ahead = one.cut(0, stop), one.values[stop : stop + horizon]
    if known and (len(ahead) < horizon or np.isnan(ahead[:, known]).any()):
        raise DataError(
            f"{source}: {', '.join(how['known'])} of the {counted(horizon, 'step')} to come{of} are needed, since they are known ahead; add "
            "rows with them and nothing else"
        )
    if stop and np.isnan(one.values[stop - 1, found.target]):
        raise DataError(
            f"{source}: the last step{of}, {past.label(stop - 1)}, has no value of {how['target']!r}, and a forecast starts from a "
            "known one; add it, or remove the row"
        )
    seen = replace(found, series=[past.cut(max(0, stop - window), stop)])
    missing = gaps.find(seen, gaps.masks(seen))
    if missing and how["missing"] is None:
        raise gaps.refuse(found, missing)
    if missing:
        (empty,) = gaps.masks(replace(found, series=[past]), space)
        start, stop = gaps.known(empty, found.target)
        past = past.cut(start, stop)
        gaps.fill(past.values, empty[start:stop], how["missing"], how["season"])
    if len(past.values) < window:
        raise DataError(
            f"{source}: there are {counted(len(past.values), 'row')}{of}, and a forecast needs the last {window}; add rows"
        )
    scale = scaling.Scaling(*(np.array(how["scales"][one.name][key]) for key in ("offset", "factor")))
    filler = np.zeros((horizon, len(found.columns)))
    filler[:, known] = ahead[:, known] if known else 0
    steps = np.arange(len(past.values) - window, len(past.values))
    x = scaling.channels(past, scale, steps, horizon, how["calendar"], known, filler)
    times: tuple[str, ...] = ()
    if past.times is not None and found.step is not None:
        coming = axis.later(np.repeat(past.times[-1:], horizon), np.arange(1, horizon + 1), found.step)
        times = tuple(axis.show(time) for time in coming)
    return x, times, scale.pair(found.target)

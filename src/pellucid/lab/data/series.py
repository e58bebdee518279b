"""A table of numbers over time: forecast the next steps from a window of the past."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data import table
from pellucid.lab.data.inputs import Inputs, understood
from pellucid.lab.data.metrics import mean_absolute_error
from pellucid.lab.data.split import FRACTIONS, deviation, digest
from pellucid.lab.task import Baseline, Metric, Split, Task

Array = NDArray[np.float64]
NUMBERED_TIMES = ("time", "date", "year", "t", "step", "timestamp", "index")
MOST_WINDOWS = 4000  # in each split: neighbours overlap almost wholly, and more of them cost time and teach little


def load(
    source: Path,
    *,
    target: str | None = None,
    horizon: int | None = None,
    window: int | None = None,
    split: Sequence[int] | None = None,
) -> Task:
    """Read a table, split it in time, cut it into windows, scale by the training part.

    Args:
        source: CSV or Parquet; rows in time order, perhaps with a time column.
        target: column to forecast; the last numeric one where None.
        horizon: steps ahead; one season, at most 24, where None.
        window: steps of the past that are seen; two seasons, between 16 and 96, where None.
        split: numbers of rows for train, validation and test; 70/15/15 % where None.

    Raises:
        DataError: no numbers, a missing or wrong value, times out of order, too few rows.
        ArgumentError: an option that does not fit the table.
    """
    frame = table.read(source)
    time, frame = _time_column(source, frame)
    values, names = _numbers(source, frame)
    column = _target(source, target, names)
    ends = _ends(source, len(values), split)
    season = _season(values[: ends[0], column])
    horizon = horizon or min(max(season, 1), 24)
    window = window or int(np.clip(2 * season, 16, 96))
    needed = window + horizon
    for part, rows in zip(("training", "validation", "test"), np.diff((0, *ends)), strict=True):
        wanted = needed if part == "training" else horizon
        if rows < wanted:
            raise DataError(
                f"{source}: the {part} part has {rows} of {len(values)} rows, and a window of {window} with {horizon} "
                f"steps ahead needs {wanted}; give more rows, or a smaller window (--window) or horizon (--horizon)"
            )
    offset, factor = values[: ends[0]].mean(0), deviation(values[: ends[0]], 0)
    if not np.isfinite([*offset, *factor]).all() or np.abs(values).max() > 1e30:
        raise DataError(
            f"{source}: values reach {np.abs(values).max():.3g}, which is past what networks compute with; give another unit"
        )
    scaled = _scaled(values, offset, factor)
    starts = [
        _thin(np.arange(0, ends[0] - needed + 1)),
        _thin(np.arange(max(ends[0] - window, 0), ends[1] - needed + 1)),
        _thin(np.arange(ends[1] - window, ends[2] - needed + 1)),
    ]
    labels = time.to_list() if time is not None else [f"row {i + 1}" for i in range(len(values))]
    splits = [_windows(scaled, s, window, horizon, column, labels) for s in starts]
    step = _step(time)
    metric = mean_absolute_error((float(factor[column]),), "")
    counts = ", ".join(f"{len(s):,} {n}" for s, n in zip(splits, ("train", "validation", "test"), strict=True))
    facts = [
        ("Rows", f"{len(values):,}" + (f", one each {step}" if step else "")),
        ("Columns", f"{len(names)} seen, {names[column]!r} forecast"),
        ("Forecast", f"{horizon} steps ahead from the last {window}"),
        ("Season", f"{season} steps, by the training part's autocorrelation" if season > 1 else "none found"),
        ("Split", f"in time: rows to {ends[0]:,}, to {ends[1]:,}, to {ends[2]:,}; {counts} windows"),
        ("Scaling", "mean and deviation of the training part, per column"),
    ]
    return Task(
        kind="series",
        form="sequence",
        goal="forecast",
        source=source,
        title=f"{len(values):,} steps of {names[column]!r}, {horizon} ahead from {window}",
        fingerprint=digest(values.tobytes(), *names, *map(str, labels), f"series {column} {horizon} {window} {ends}"),
        channels=len(names),
        extent=(window,),
        outputs=horizon,
        labels=(names[column],),
        horizon=horizon,
        scale=((float(offset[column]),), (float(factor[column]),)),
        step=step,
        metric=metric,
        baseline=_naive(scaled[:, column], starts, window, horizon, season, splits, metric),
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        facts=tuple(facts),
        cautions=(),
        preprocessing={
            "kind": "series",
            "columns": names,
            "target": names[column],
            "window": window,
            "horizon": horizon,
            "offset": offset.tolist(),
            "factor": factor.tolist(),
        },
    )


def prepare(source: Path, how: Mapping[str, Any], step: str) -> Inputs:
    """The last window of a table as the networks saw those of training, (1, T, I), and the times that are forecast.

    Args:
        source: CSV or Parquet with training's columns; its last ``window`` rows are what is known.
        how: the task's preprocessing.
        step: the task's time step in words; "" where it had none.

    Raises:
        DataError: a column is missing, rows are too few, a value in the window is missing, or the rows are further
            apart, or nearer, than training's.
    """
    understood(how, "columns", "target", "window", "horizon", "offset", "factor")
    names, window = how["columns"], how["window"]
    time, frame = _time_column(source, table.read(source))
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(
            f"{source}: there is no column {missing[0]!r}, and the networks saw {', '.join(names)}; add it (there are "
            f"{', '.join(frame.columns)})"
        )
    if frame.height < window:
        raise DataError(
            f"{source}: the table has {frame.height} rows, and a forecast needs the last {window}; add rows"
        )
    values, found = _numbers(source, frame.select(names).tail(window), frame.height - window)
    if found != names:
        lost = next(name for name in names if name not in found)
        raise DataError(f"{source}: column {lost!r} holds no numbers in the last {window} rows; correct it")
    recent = None if time is None else time.tail(window)
    apart = _step(recent)
    if step and apart and apart != step:
        raise DataError(
            f"{source}: the last rows are one each {apart}, and the networks saw one each {step}; bring the table to that"
        )
    scaled = _scaled(values, np.array(how["offset"]), np.array(how["factor"]))
    ahead = () if recent is None else _ahead(recent, apart, how["horizon"])
    last = f"row {frame.height}" if time is None else _shown(time[-1])
    return Inputs(torch.from_numpy(scaled)[None], None, [f"after {last}"], ahead)


def _scaled(values: Array, offset: Array, factor: Array) -> NDArray[np.float32]:
    return ((values - offset) / factor).astype(np.float32)


def _ahead(time: pl.Series, step: str, horizon: int) -> tuple[str, ...]:
    """The times after the last one; months and years by the calendar."""
    count, _, unit = step.rpartition(" ")
    size = int(count or 1)
    if unit.removesuffix("s") in ("month", "year"):
        letter = "mo" if unit.startswith("month") else "y"
        later = pl.concat([time.tail(1).dt.offset_by(f"{size * (k + 1)}{letter}") for k in range(horizon)])
        ends = bool((time.dt.month_end() == time).all())  # a month's last day goes on as that
        return tuple(map(_shown, later.dt.month_end() if ends else later))
    move: Any = time.diff().drop_nulls().median()
    if move is None:
        return ()
    later_ones = (time[-1] + move * (k + 1) for k in range(horizon))
    return tuple(_shown(round(t) if time.dtype.is_integer() else t) for t in later_ones)


def _shown(time: object) -> str:
    return str(time).removesuffix(" 00:00:00")


def _time_column(source: Path, frame: pl.DataFrame) -> tuple[pl.Series | None, pl.DataFrame]:
    """The column that says when, and the table without it; its order is checked.

    A column of numbers counts only if it is called so and ascends: a year beside a month does not say when.
    """
    for name, dtype in frame.schema.items():
        column = frame[name]
        if dtype == pl.String:
            parsed = table.times(column)
            if parsed is None:
                continue
            times = parsed
        elif dtype.is_temporal() or (name.lower() in NUMBERED_TIMES and dtype.is_numeric() and _ascends(column)):
            times = column
        else:
            continue
        if times.null_count():
            at = int(times.is_null().arg_max() or 0)
            raise DataError(
                f"{source}, {table.row(source, at)}: the time in column {name!r} is missing; fill it in or drop the row"
            )
        moves = times.to_physical().diff().drop_nulls().to_numpy()
        if (moves <= 0).any():
            at = int((moves <= 0).argmax()) + 1
            raise DataError(
                f"{source}, {table.row(source, at)}: the time {column[at]} does not come after {column[at - 1]}; sort the "
                f"rows by {name!r} and keep one for each time"
            )
        return times.alias(name), frame.drop(name)
    return None, frame


def _ascends(column: pl.Series) -> bool:
    return column.null_count() == 0 and bool((column.diff().drop_nulls() > 0).all())


def _numbers(source: Path, frame: pl.DataFrame, skipped: int = 0) -> tuple[Array, list[str]]:
    """All numeric columns, complete; ``skipped`` rows of the file come before the table's."""
    columns: dict[str, Array] = {}
    for name in frame.columns:
        column = frame[name]
        if column.dtype == pl.String:
            cast = column.str.strip_chars().cast(pl.Float64, strict=False)
            if cast.null_count() > frame.height / 2:
                continue
            wrong = (cast.is_null() & column.is_not_null()).to_numpy()
            if wrong.any():
                at = int(wrong.argmax())
                raise DataError(
                    f"{source}, {table.row(source, skipped + at)}: column {name!r} has {column[at]!r} where a number is needed; correct it, "
                    "or remove the column"
                )
            column = cast
        if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
            continue
        array = column.cast(pl.Float64).to_numpy().astype(np.float64)
        if not np.isfinite(array).all():
            at = int((~np.isfinite(array)).argmax())
            count = int((~np.isfinite(array)).sum())
            raise DataError(
                f"{source}, {table.row(source, skipped + at)}: column {name!r} has no value there ({count} missing in all); fill the "
                "gaps before comparing, since every way to do so is a choice of yours"
            )
        columns[name] = array
    if not columns:
        raise DataError(f"{source}: no column holds numbers ({', '.join(frame.columns)}); a series needs at least one")
    return np.stack(list(columns.values()), 1), list(columns)


def _target(source: Path, target: str | None, names: list[str]) -> int:
    if target is None:
        return len(names) - 1
    if target not in names:
        raise ArgumentError(f"{source} has no numeric column {target!r}; its columns are {', '.join(names)}")
    return names.index(target)


def _ends(source: Path, rows: int, split: Sequence[int] | None) -> tuple[int, int, int]:
    if split is None:
        first = round(FRACTIONS[0] * rows)
        return first, first + round(FRACTIONS[1] * rows), rows
    if len(split) != 3 or min(split) < 1 or sum(split) > rows:
        raise ArgumentError(
            f"split is {'/'.join(map(str, split))} rows, and {source} has {rows}; give three numbers that fit in it"
        )
    return split[0], split[0] + split[1], sum(split)


def _season(train: Array) -> int:
    """The season, in steps: the highest peak of the autocorrelation of the moves from step to step; 1 for none.

    A peak counts after the correlation has been below zero (before, steps are alike because they are near), and above 4
    standard errors 1 / sqrt(n) of no correlation, which none of 400 lags of noise is likely to reach.
    """
    moves = np.diff(train)  # a trend is no season
    moves = moves - moves.mean()
    longest = min(len(moves) // 3, 400)
    if longest < 3 or moves.std() <= 1e-9 * np.abs(train).max():  # what is left is rounding
        return 1
    size = 1 << (2 * len(moves) - 1).bit_length()
    spectrum = np.fft.rfft(moves, size)
    correlation = np.fft.irfft(spectrum * spectrum.conj(), size)[: longest + 1]
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


def _thin(starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Evenly spaced starts, at most ``MOST_WINDOWS``."""
    return starts[:: math.ceil(len(starts) / MOST_WINDOWS)] if len(starts) else starts


def _windows(
    scaled: NDArray[np.float32], starts: NDArray[np.int64], window: int, horizon: int, column: int, labels: list[object]
) -> Split:
    past = scaled[starts[:, None] + np.arange(window)]
    ahead = scaled[starts[:, None] + window + np.arange(horizon)][:, :, [column]]
    return Split(
        torch.from_numpy(past),
        torch.from_numpy(ahead),
        None,
        [_shown(labels[s + window]) for s in starts],
    )


def _naive(
    series: NDArray[np.float32],
    starts: list[NDArray[np.int64]],
    window: int,
    horizon: int,
    season: int,
    splits: list[Split],
    metric: Metric,
) -> Baseline:
    """The last value, or the value one season (or several) before; whichever is better on the validation part."""

    def forecast(part: int, season: int) -> torch.Tensor:
        ahead = np.arange(horizon)
        back = season * np.ceil((ahead + 1) / season).astype(int) if season > 1 else ahead + 1
        at = starts[part][:, None] + window + ahead - back
        return torch.from_numpy(series[np.maximum(at, 0)][:, :, None])

    def error(season: int) -> float:
        return float(metric.per_item(forecast(1, season), splits[1].y).mean())

    if season > 1 and error(1) < error(season):
        season = 1
    prediction = forecast(2, season)
    name = f"seasonal naive ({season})" if season > 1 else "last value"
    sentence = f"Repeats the value of {season} steps before." if season > 1 else "Repeats the last known value."
    return Baseline(name, sentence, metric.per_item(prediction, splits[2].y), prediction)


def _step(time: pl.Series | None) -> str:
    if time is None or not time.dtype.is_temporal() or len(time) < 2:
        return ""
    seconds = float(time.cast(pl.Datetime("us")).to_physical().diff().drop_nulls().median() or 0) / 1e6  # type: ignore[arg-type]
    for size, unit in (
        (86400 * 365, "year"),
        (86400 * 28, "month"),
        (86400 * 7, "week"),
        (86400, "day"),
        (3600, "hour"),
        (60, "minute"),
        (1, "second"),
    ):
        if seconds >= size:
            count = round(seconds / size)
            return unit if count == 1 else f"{count} {unit}s"
    return ""

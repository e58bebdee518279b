"""A table of numbers over time: forecast the next steps from a window of the past."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data import table
from pellucid.lab.data.metrics import mean_absolute_error
from pellucid.lab.data.split import FRACTIONS, digest
from pellucid.lab.task import Baseline, Split, Task

Array = NDArray[np.float64]
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
    if horizon < 1 or window < 1:
        raise ArgumentError(f"horizon is {horizon} and window is {window}; both must be 1 or more")
    for part, rows in zip(("training", "validation", "test"), np.diff((0, *ends)), strict=True):
        wanted = needed if part == "training" else horizon
        if rows < wanted:
            raise DataError(
                f"{source}: the {part} part has {rows} of {len(values)} rows, and a window of {window} with {horizon} "
                f"steps ahead needs {wanted}; give more rows, or a smaller window (--window) or horizon (--horizon)"
            )
    offset, factor = values[: ends[0]].mean(0), values[: ends[0]].std(0)
    factor[factor == 0] = 1
    scaled = ((values - offset) / factor).astype(np.float32)
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
        fingerprint=digest(values.tobytes(), *names, f"series {column} {horizon} {window} {ends}"),
        channels=len(names),
        extent=(window,),
        outputs=horizon,
        labels=(names[column],),
        horizon=horizon,
        scale=((float(offset[column]),), (float(factor[column]),)),
        step=step,
        metric=metric,
        baseline=_seasonal_naive(scaled[:, column], starts[2], window, horizon, season, splits[2], metric),
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        facts=tuple(facts),
        cautions=_cautions(splits[2], horizon),
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


def _time_column(source: Path, frame: pl.DataFrame) -> tuple[pl.Series | None, pl.DataFrame]:
    """The column that says when, as text for labels, and the table without it; its order is checked."""
    for name, dtype in frame.schema.items():
        column = frame[name]
        if dtype == pl.String:
            parsed = _as_times(column)
            if parsed is None:
                continue
            times = parsed
        elif dtype.is_temporal() or (
            name.lower() in ("time", "date", "year", "t", "step", "timestamp", "index") and dtype.is_numeric()
        ):
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
                f"{source}, {table.row(source, at)}: the time {column[at]} does not come after {column[at - 1]}; sort the rows "
                f"by {name!r} and keep one for each time"
            )
        return times.alias(name), frame.drop(name)
    return None, frame


def _as_times(column: pl.Series) -> pl.Series | None:
    """A column of texts as times, or None where one of them is none."""
    try:
        parsed = column.str.to_datetime(strict=False)
    except pl.exceptions.ComputeError:  # no format fits
        return None
    return parsed if parsed.null_count() == 0 else None


def _numbers(source: Path, frame: pl.DataFrame) -> tuple[Array, list[str]]:
    """All numeric columns, complete."""
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
                    f"{source}, {table.row(source, at)}: column {name!r} has {column[at]!r} where a number is needed; correct it, "
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
                f"{source}, {table.row(source, at)}: column {name!r} has no value there ({count} missing in all); fill the "
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
    """The lag of the highest peak of the autocorrelation above 0.1, or 1 (differenced, so a trend is no season)."""
    moves = np.diff(train)
    moves = moves - moves.mean()
    longest = min(len(moves) // 3, 400)
    if longest < 3 or not moves.any():
        return 1
    size = 1 << (2 * len(moves) - 1).bit_length()
    spectrum = np.fft.rfft(moves, size)
    correlation = np.fft.irfft(spectrum * spectrum.conj(), size)[: longest + 1]
    correlation = correlation / correlation[0]
    peaks = [k for k in range(2, longest) if correlation[k - 1] < correlation[k] >= correlation[k + 1]]
    best = max(peaks, key=lambda k: correlation[k], default=1)
    if best == 1 or correlation[best] <= 0.1:
        return 1
    # A multiple of the season correlates as well: take the shortest lag that comes near the best.
    return min(k for k in peaks if correlation[k] >= 0.9 * correlation[best])


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
        [str(labels[s + window]).removesuffix(" 00:00:00") for s in starts],
    )


def _seasonal_naive(
    series: NDArray[np.float32],
    starts: NDArray[np.int64],
    window: int,
    horizon: int,
    season: int,
    test: Split,
    metric: object,
) -> Baseline:
    """Every step is forecast as the last known value one season (or several) before it."""
    ahead = np.arange(horizon)
    back = season * np.ceil((ahead + 1) / season).astype(int)
    at = starts[:, None] + window + ahead - back
    prediction = torch.from_numpy(series[np.maximum(at, 0)][:, :, None])
    name = f"seasonal naive ({season})" if season > 1 else "last value"
    sentence = f"Repeats the value of {season} steps before." if season > 1 else "Repeats the last known value."
    return Baseline(name, sentence, metric.per_item(prediction, test.y), prediction)  # type: ignore[attr-defined]


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


def _cautions(test: Split, horizon: int) -> tuple[str, ...]:
    apart = len(test) // max(horizon, 1)
    if apart >= 20:
        return ()
    return (
        f"The test part holds about {apart} forecasts that do not overlap: the intervals are wide, and rightly so.",
    )

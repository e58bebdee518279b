"""From a table to series: which column says when, which says of which series, and which hold numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data import table
from pellucid.lab.data.series import axis

Array = NDArray[np.float64]
NUMBERED_TIMES = ("time", "date", "year", "t", "step", "timestamp", "index")
IDS = ("unique_id", "series_id", "series", "id")  # names of a column that says which series a row is of


@dataclass(frozen=True)
class Series:
    """One series on an even axis.

    Attributes:
        name: "" where the table holds one.
        values: (T, columns); what is missing is not a number.
        times: (T,) as :mod:`axis` has them, or None where rows are counted.
        rows: (T,) row in the table, or -1 for a step that the table has no row for.
    """

    name: str
    values: Array
    times: axis.Times | None
    rows: NDArray[np.int64]

    def cut(self, start: int, stop: int) -> Series:
        """The steps from ``start`` to before ``stop``."""
        times = None if self.times is None else self.times[start:stop]
        return replace(self, values=self.values[start:stop], times=times, rows=self.rows[start:stop])

    def label(self, at: int) -> str:
        """A step in words: its time, or its row."""
        when = f"row {at + 1}" if self.times is None else axis.show(self.times[at])
        return f"{self.name}, {when}" if self.name else when


@dataclass(frozen=True)
class Table:
    """What a table holds.

    Attributes:
        source: the file.
        columns: names of what ``values`` has; target: place of the column that is forecast.
        series: at least one, all with the same columns and step.
        step: of the axis, or None where rows are counted.
        time, id: the columns that say when and of which series, or None.
        targets: names of columns that each were made a series of their own; empty elsewhere.
    """

    source: Path
    columns: list[str]
    target: int
    series: list[Series]
    step: axis.Step | None
    time: str | None
    id: str | None
    targets: list[str]


def read(source: Path, target: str | None, id: str | None) -> Table:
    """Read a table of one series, of several below each other (``id`` tells them apart), or of several side by side.

    Args:
        source: CSV or Parquet.
        target: the column that is forecast (default: the last); several with commas between, or ``"all"``, become a
            series each, which the other columns accompany.
        id: the column that tells series apart; found by its name where None.

    Raises:
        DataError: no numbers, a word among numbers, times out of order or not evenly apart.
        ArgumentError: a column that the table does not have.
    """
    frame = table.read(source)
    if id is not None and id not in frame.columns:
        raise ArgumentError(f"{source} has no column {id!r}; its columns are {', '.join(frame.columns)}")
    id = id or id_column(frame)
    groups = _groups(source, frame, id)
    rest = frame.drop(id) if id else frame
    when, times = _time_column(source, rest, list(groups.values()), id)
    values, names = _numbers(source, rest.drop(when) if when else rest)
    if times is None:
        step, series = None, [Series(name, values[rows], None, rows) for name, rows in groups.items()]
    else:
        step = axis.find_step([times[rows] for rows in groups.values()])
        series = [
            _even(source, name, values[rows], times[rows], rows, step, str(when)) for name, rows in groups.items()
        ]
    chosen = _targets(source, target, names)
    if len(chosen) == 1:
        return Table(source, names, names.index(chosen[0]), series, step, when, id, [])
    others = [k for k, name in enumerate(names) if name not in chosen]
    apart = [
        replace(one, name=f"{one.name} {name}".strip(), values=one.values[:, [*others, names.index(name)]])
        for one in series
        for name in chosen
    ]
    return Table(source, [*(names[k] for k in others), "value"], len(others), apart, step, when, id, chosen)


def id_column(frame: pl.DataFrame) -> str | None:
    """A column that is called so and names each of several series on many rows."""
    for name in frame.columns:
        column = frame[name]
        plain = table.could_be_classes(column) and column.dtype != pl.Boolean and not column.null_count()
        if name.lower() in IDS and plain and 2 <= column.n_unique() <= frame.height / 2:
            return name
    return None


def _groups(source: Path, frame: pl.DataFrame, id: str | None) -> dict[str, NDArray[np.int64]]:
    """The rows of each series, in the order in which the series first appear."""
    if id is None:
        return {"": np.arange(frame.height)}
    column = frame[id]
    if column.null_count():
        at = int(column.is_null().arg_max() or 0)
        raise DataError(
            f"{source}, {table.row(source, at)}: column {id!r} is empty there; say which series the row is of"
        )
    found: dict[str, list[int]] = {}
    for row, name in enumerate(column.cast(pl.String).to_list()):
        found.setdefault(name, []).append(row)
    return {name: np.array(rows) for name, rows in found.items()}


def _time_column(
    source: Path, frame: pl.DataFrame, groups: list[NDArray[np.int64]], id: str | None
) -> tuple[str | None, axis.Times | None]:
    """The column that says when, and its times; their order within each series is checked.

    A column of numbers counts only if it is called so and ascends: a year beside a month does not say when.
    """
    for name, dtype in frame.schema.items():
        column = frame[name]
        if dtype == pl.String:
            parsed = table.times(column) if len(groups) == 1 else _times_of_groups(column, groups)
            if parsed is None:
                continue
            times = parsed
        elif dtype in (pl.Date, pl.Datetime) or (
            name.lower() in NUMBERED_TIMES and dtype.is_numeric() and _ascends(column, groups)
        ):
            times = column
        else:
            continue
        if times.null_count():
            at = int(times.is_null().arg_max() or 0)
            raise DataError(
                f"{source}, {table.row(source, at)}: the time in column {name!r} is missing; fill it in or drop the row"
            )
        if times.dtype.is_temporal():
            if getattr(times.dtype, "time_zone", None):
                times = times.dt.replace_time_zone(None)
            array = times.cast(pl.Datetime("us")).to_numpy().astype("M8[us]")
        else:
            array = times.cast(pl.Float64).to_numpy()
        for rows in groups:
            moves = np.diff(array[rows])
            wrong = moves <= np.zeros(1, dtype=moves.dtype)[0]
            if wrong.any():
                at = int(rows[int(wrong.argmax()) + 1])
                before = int(rows[int(wrong.argmax())])
                several = (
                    "" if id else ", or, if these are several series, name the column that tells them apart with --id"
                )
                raise DataError(
                    f"{source}, {table.row(source, at)}: the time {column[at]} does not come after {column[before]}; sort "
                    f"the rows by {name!r} and keep one for each time{several}"
                )
        return name, array
    return None, None


def _times_of_groups(column: pl.Series, groups: list[NDArray[np.int64]]) -> pl.Series | None:
    """Texts as times, read series by series: each ascends by itself, which tells day from month."""
    parsed = []
    for rows in groups:
        own = table.times(column.gather(rows))
        if own is None:
            return None
        parsed.append(own.cast(pl.Datetime("us")))
    return pl.concat(parsed).gather(np.argsort(np.concatenate(groups)))


def _ascends(column: pl.Series, groups: list[NDArray[np.int64]]) -> bool:
    return column.null_count() == 0 and all((np.diff(column.to_numpy()[rows]) > 0).all() for rows in groups)


def _numbers(source: Path, frame: pl.DataFrame) -> tuple[Array, list[str]]:
    """All numeric columns; what is missing is not a number."""
    columns: dict[str, Array] = {}
    for name in frame.columns:
        column = table.numbers(source, frame[name])
        if column is None:
            continue
        array = column.to_numpy().astype(np.float64)
        if np.isinf(array).any():
            at = int(np.isinf(array).argmax())
            raise DataError(f"{source}, {table.row(source, at)}: column {name!r} is infinite there; correct the value")
        columns[name] = array
    if not columns:
        raise DataError(f"{source}: no column holds numbers ({', '.join(frame.columns)}); a series needs at least one")
    return np.stack(list(columns.values()), 1), list(columns)


def _targets(source: Path, target: str | None, names: Sequence[str]) -> list[str]:
    if target is None:
        return [names[-1]]
    if target in names:
        return [target]
    if target == "all":
        return list(names)
    wanted = list(dict.fromkeys(name.strip() for name in target.split(",") if name.strip()))
    for name in wanted or [target]:
        if name not in names:
            raise ArgumentError(f"{source} has no numeric column {name!r}; its columns are {', '.join(names)}")
    return wanted


def _even(
    source: Path,
    name: str,
    values: Array,
    times: axis.Times,
    rows: NDArray[np.int64],
    step: axis.Step | None,
    column: str,
) -> Series:
    """A series with a row for every step, the ones that the table lacks being empty."""
    if step is None:
        return Series(name, values, times, rows)
    at, wrong = axis.places(times, step)
    if wrong is not None:
        usual = step.words or f"{step.size:g}"
        raise DataError(
            f"{source}, {table.row(source, int(rows[wrong]))}: the times are not evenly apart: they mostly move by one {usual}, "
            f"and {axis.show(times[wrong])} comes after {axis.show(times[wrong - 1])}; bring the rows to an even step (by means "
            f"over each {usual}, say), or remove the column {column!r} to count rows instead"
        )
    if at[-1] + 1 == len(at):
        return Series(name, values, times, rows)
    if at[-1] + 1 > 2 * len(at):
        of = f" of series {name!r}" if name else ""
        raise DataError(
            f"{source}: {at[-1] + 1 - len(at):,} of the {at[-1] + 1:,} steps{of} have no row, which is more than half; bring the "
            f"rows to a longer step, or remove the column {column!r} to count rows instead"
        )
    whole = np.full((at[-1] + 1, values.shape[1]), np.nan)
    whole[at] = values
    row_of = np.full(at[-1] + 1, -1)
    row_of[at] = rows
    return Series(name, whole, axis.fill(times, at, step), row_of)

"""From a table to series: which column says when, which says of which series, and which hold numbers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data import table, time_forms
from pellucid.lab.data.groups import Groups
from pellucid.lab.data.paging import MEMORY, Space, slices
from pellucid.lab.data.series import axis

Array = NDArray[np.float64]
NUMBERED_TIMES = ("time", "date", "year", "t", "step", "timestamp", "ts", "index")
# What may count steps or be a value, and the most that it can be where it is an hour of the day or the like, which recurs.
COUNTERS: dict[str, float] = {
    **dict.fromkeys(
        ("cycle", "frame", "epoch", "seq", "sequence", "tick", "sample", "row", "unix", "ds", "datetime"), 0
    ),
    **{"month": 12, "week": 53, "day": 366, "hour": 24, "minute": 60, "second": 60, "sec": 60, "ms": 1000},
}
BESIDE = r"s?(\s*[\[(].*[\])]|[\s_]+(s|ms|us|ns|sec|seconds|min|minutes|h|hours|id|no|nr|num|number|index|idx))?"
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

    @property
    def when(self) -> axis.Times:
        """The times of a series that has such."""
        assert self.times is not None
        return self.times

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
        anew: a column of numbers that is called a time, and starts anew among the rows; None where there is none.
        apart: the column that changes just where that one starts anew; None where there is none.
        unseen: columns that hold words or lists, which networks do not see.
    """

    source: Path
    columns: list[str]
    target: int
    series: list[Series]
    step: axis.Step | None
    time: str | None
    id: str | None
    targets: list[str]
    anew: str | None
    apart: str | None
    unseen: list[str]


@dataclass(frozen=True)
class _Clock:
    """The column that says when: how its texts write times (None where it holds times or numbers), and their type.

    Attributes:
        of_day: another column, which holds the times of a day; None where the times are whole.
    """

    column: str
    form: str | None
    kind: str
    of_day: str | None = None

    @property
    def columns(self) -> list[str]:
        """All that say when."""
        return [self.column, self.of_day] if self.of_day else [self.column]

    def times(self, source: Path, rows: pl.DataFrame, before: int) -> axis.Times:
        """Some rows' times, which ``before`` others come before."""
        column = _joined(rows[self.column], rows[self.of_day]) if self.of_day else rows[self.column]
        if column.null_count():
            at = before + int(column.is_null().arg_max() or 0)
            raise DataError(
                f"{source}, {table.row(source, at)}: the time in column {self.column!r} is missing; fill it in or drop the row"
            )
        if self.kind == "f8":
            return table.further_numbers(source, column, before).cast(pl.Float64).to_numpy()
        found = column if self.form is None else time_forms.read(column.cast(pl.String), self.form)
        if found.null_count():
            at = int(found.is_null().arg_max() or 0)
            raise DataError(
                f"{source}, {table.row(source, before + at)}: the time {column[at]!r} in column {self.column!r} is written "
                "otherwise than those before it; write all of them as 2024-01-31 12:00:00"
            )
        if getattr(found.dtype, "time_zone", None):
            found = found.dt.replace_time_zone(None)
        return found.cast(pl.Datetime("us")).to_numpy().astype(self.kind)


def read(source: Path, target: str | None, id: str | None, space: Space = MEMORY, inputs: Sequence[str] = ()) -> Table:
    """Read a table of one series, of several below each other (``id`` tells them apart), or of several side by side.

    What the columns are is told from the table, or from its first rows where it is large; then it is gone through twice, once
    to count each series' rows, and once to put each row where it belongs.

    Args:
        source: CSV or Parquet.
        target: the column that is forecast (default: the last); several with commas between, or ``"all"``, become a
            series each, which the other columns accompany.
        id: the column that tells series apart; found by its name where None.
        space: where values, times and row numbers lie.
        inputs: columns that are known to be no times.

    Raises:
        DataError: no numbers, a word among numbers, times out of order or not evenly apart.
        ArgumentError: a column that the table does not have.
    """
    frame = table.glance(source, space.held)
    if id is not None and id not in frame.columns:
        raise ArgumentError(f"{source} has no column {id!r}; its columns are {', '.join(frame.columns)}")
    id = id or id_column(frame)
    rest = frame.drop(id) if id else frame
    asked = [*inputs, *(target or "").split(",")]
    clock = _clock(source, rest, _rows_of_series(source, frame, id), asked)
    when = clock.column if clock else None
    others = rest.drop(clock.columns) if clock else rest
    names = _number_columns(source, others, target)
    chosen = _targets(source, target, names, space)
    anew, between = (None, None) if clock or id else _starts_anew(frame)
    filled = [c for c in others.drop(names).iter_columns() if c.null_count() < len(c)]
    unseen = [c.name for c in filled if c.dtype == pl.String or c.dtype.is_nested()]
    series = _rows(source, clock, names, id, space)
    of_day = next((name for name in others.columns if name.strip().lower() in ("time", "hour", "hours", "hr")), None)
    _check_order(source, series, when, id, of_day)
    step = axis.find_step([one.times for one in series if one.times is not None], space) if clock else None
    if step is not None:
        series = _even(source, series, step, str(when), space)
    if len(chosen) == 1:
        return Table(source, names, names.index(chosen[0]), series, step, when, id, [], anew, between, unseen)
    beside = [k for k, name in enumerate(names) if name not in chosen]
    apart = picked(series, [(name, [*beside, names.index(name)]) for name in chosen], space)
    columns = [*(names[k] for k in beside), "value"]
    return Table(source, columns, len(beside), apart, step, when, id, chosen, anew, between, unseen)


def picked(series: Sequence[Series], choices: Sequence[tuple[str, list[int]]], space: Space) -> list[Series]:
    """Some columns of each series, which become a series each for every choice; each choice has a name and as many columns."""
    wide = len(choices[0][1])
    ends = np.cumsum([0, *(len(one.values) for one in series for _ in choices)]).tolist()
    whole = space.array((ends[-1], wide))
    found = []
    for place, (one, (name, which)) in zip(ends, itertools.product(series, choices), strict=False):
        values = whole[place : place + len(one.values)]
        for part in slices(len(values), one.values[:1].nbytes):
            values[part] = one.values[part][:, which]
        found.append(replace(one, name=f"{one.name} {name}".strip(), values=values))
    return found


def id_column(frame: pl.DataFrame) -> str | None:
    """A column that is called so and names each of several series on many rows."""
    for name in frame.columns:
        column = frame[name]
        plain = table.could_be_classes(column) and column.dtype != pl.Boolean and not column.null_count()
        if name.lower() in IDS and plain and 2 <= column.n_unique() <= frame.height / 2:
            return name
    return None


def _names(source: Path, piece: pl.DataFrame, id: str | None, before: int) -> pl.Series:
    """The series that some rows are of."""
    if id is None:
        return pl.repeat("", piece.height, dtype=pl.String, eager=True)
    if piece[id].null_count():
        at = before + int(piece[id].is_null().arg_max() or 0)
        raise DataError(
            f"{source}, {table.row(source, at)}: column {id!r} is empty there; say which series the row is of"
        )
    return piece[id].cast(pl.String)


def _rows_of_series(source: Path, frame: pl.DataFrame, id: str | None) -> list[NDArray[np.int64]]:
    """The rows of each series among those that are looked at first."""
    groups = Groups()
    which = groups.count(_names(source, frame, id, 0))
    return np.split(which.argsort(kind="stable"), groups.ends[1:-1])


def _clock(source: Path, frame: pl.DataFrame, groups: list[NDArray[np.int64]], inputs: Sequence[str]) -> _Clock | None:
    """The column that says when, which is none of the ``inputs``.

    A column of numbers counts only if it is called so and ascends: a year beside a month does not say when. One that is
    called so but might be a value, such as an hour, has to ascend by even steps, too, and to stand beside other numbers.
    """
    numbers = [name for name, dtype in frame.schema.items() if dtype.is_numeric()]
    frame = frame.drop(name for name in inputs if name in frame.columns)
    for name, dtype in frame.schema.items():
        column = frame[name]
        if dtype == pl.String:
            form = time_forms.find(column, groups, all_of_them=True)
            if form is not None:
                return _with_times_of_day(frame, name, groups) or _Clock(name, form, "M8[us]")
        elif dtype in (pl.Date, pl.Datetime):
            return _Clock(name, None, "M8[us]")
        elif name.lower() in time_forms.CALLED and dtype.is_integer() and _are_days(column, groups):
            return _Clock(name, "%Y%m%d", "M8[us]")
        elif name.lower() in NUMBERED_TIMES and dtype.is_numeric() and _ascends(column, groups):
            return _Clock(name, None, "f8")
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    for name in texts:  # with a few that cannot be read, which are told
        form = time_forms.find(frame[name], groups)
        if form is not None:
            return _Clock(name, form, "M8[us]")
    unread = next((name for name in texts if time_forms.unread(frame[name])), None)
    if unread is not None:
        raise DataError(
            f"{source}: the times in column {unread!r}, such as {frame[unread].drop_nulls()[0]!r}, cannot be read; write them as "
            "2024-01-31 12:00:00, or remove the column to count rows instead"
        )
    counting = [n for n in frame.columns if frame[n].dtype.is_numeric() and _may_count(n) is not None]
    found = next((n for n in counting if _ascends(frame[n], groups) and _evenly(frame[n], groups)), None)
    return None if found is None or numbers == [found] else _Clock(found, None, "f8")


def _with_times_of_day(frame: pl.DataFrame, date: str, groups: list[NDArray[np.int64]]) -> _Clock | None:
    """The date's column and one of the times of a day, where a date recurs and the two together say when."""
    if not any(frame[date].gather(rows).is_duplicated().any() for rows in groups):
        return None
    for name, dtype in frame.schema.items():
        if name != date and dtype == pl.String and time_forms.of_a_day(frame[name]):
            form = time_forms.find(_joined(frame[date], frame[name]), groups, all_of_them=True)
            if form is not None:
                return _Clock(date, form, "M8[us]", name)
    return None


def _joined(dates: pl.Series, times: pl.Series) -> pl.Series:
    return dates.str.strip_chars() + " " + times.str.strip_chars()


def _may_count(name: str) -> float | None:
    """Whether a column's name is one of :data:`COUNTERS`, a unit or a number beside it or not; the most that it has there."""
    for counter, most in COUNTERS.items():
        if re.fullmatch(re.escape(counter) + BESIDE, name.strip().lower()):
            return most
    of_a_time = r"(time|t|step|timestamp|ts)" + BESIDE
    return 0 if re.fullmatch(of_a_time, name.strip().lower()) else None


def _are_days(column: pl.Series, groups: list[NDArray[np.int64]]) -> bool:
    """Whether whole numbers are days, as 20240131, of which a series has each once."""
    if any(column.gather(rows).is_duplicated().any() for rows in groups):
        return False
    days = time_forms.read(column.drop_nulls().cast(pl.String), "%Y%m%d")
    return len(days) > 1 and not days.null_count() and bool(days.dt.year().is_between(1800, 2200).all())


def _ascends(column: pl.Series, groups: list[NDArray[np.int64]]) -> bool:
    return column.null_count() == 0 and all((np.diff(column.to_numpy()[rows]) > 0).all() for rows in groups)


def _evenly(column: pl.Series, groups: list[NDArray[np.int64]]) -> bool:
    """Whether numbers that ascend mostly do so by one step, and elsewhere by some of it."""
    moves = np.concatenate([np.diff(column.to_numpy()[rows].astype(np.float64)) for rows in groups])
    if not len(moves):
        return False
    steps = moves / np.median(moves)
    even = np.abs(steps - np.rint(steps)) <= axis.JITTER
    return bool(even.all() and (np.rint(steps) == 1).mean() > 0.5)


def _starts_anew(frame: pl.DataFrame) -> tuple[str | None, str | None]:
    """A column of numbers that is called a time, mostly moves on by the same step, and sometimes back; and one that changes there.

    An hour of the day and the like recur in a single series, too, and say nothing.
    """
    for name, dtype in frame.schema.items():
        most = 0 if name.lower() in NUMBERED_TIMES else _may_count(name)
        if most is None or not dtype.is_numeric() or frame[name].null_count():
            continue
        values = frame[name].cast(pl.Float64).to_numpy()
        moves = np.diff(values)
        step = np.median(moves) if len(moves) else 0
        back = moves < 0
        if step > 0 and (moves == step).mean() > 0.5 and back.any() and values.max() > most:
            return name, next((n for n in frame.columns if n != name and _changes(frame[n], back)), None)
    return None, None


def _changes(column: pl.Series, there: NDArray[np.bool_]) -> bool:
    """Whether a column names something that is another one there, and nowhere else."""
    if not table.could_be_classes(column) or column.null_count() or column.n_unique() != there.sum() + 1:
        return False
    return bool(((column != column.shift())[1:].to_numpy() == there).all())


def _number_columns(source: Path, frame: pl.DataFrame, target: str | None) -> list[str]:
    """The columns of numbers; those with marks are left out, but for what is to be forecast."""
    names = []
    for name in frame.columns:
        column = frame[name]
        asked = name == frame.columns[-1] if target is None else name in target.split(",")
        if table.counts_rows(column):
            continue
        if table.numbers(source, column) is not None:
            names.append(name)
        elif asked and (number := table.marked(column)) is not None:
            raise table.marks(source, name, number)
    if not names:
        raise DataError(f"{source}: no column holds numbers ({', '.join(frame.columns)}); a series needs at least one")
    across = [name for name in names if time_forms.names_a_time(name)]
    if len(across) > max(1, len(names) / 2):
        raise DataError(
            f"{source}: columns are called by times ({across[0]}, {across[1]}, ...), and here each row is to be a time; turn the "
            "table, so that times stand below each other"
        )
    return names


def not_numbers(source: Path, name: str, names: Sequence[str], space: Space = MEMORY) -> ArgumentError:
    """Why a column that was named is none of those ``names`` that hold a series' values."""
    frame = table.glance(source, space.held)
    if name not in frame.columns:
        return ArgumentError(f"{source} has no column {name!r}; its columns are {', '.join(frame.columns)}")
    if not table.is_words(frame[name]):
        return ArgumentError(
            f"{source}: column {name!r} holds no values of the series; those that do are {', '.join(names)}"
        )
    found = frame[name].cast(pl.String).drop_nulls()
    instead = "write 0 and 1 in it" if found.n_unique() == 2 else "write a column of 0 and 1 for each of them"
    return ArgumentError(
        f"{source}: column {name!r} holds words, such as {found[0]!r}, and networks see numbers alone; {instead}"
    )


def _targets(source: Path, target: str | None, names: Sequence[str], space: Space) -> list[str]:
    if target is None:
        return [names[-1]]
    if target in names:
        return [target]
    if target == "all":
        return list(names)
    wanted = list(dict.fromkeys(name.strip() for name in target.split(",") if name.strip()))
    for name in wanted or [target]:
        if name not in names:
            raise not_numbers(source, name, names, space)
    return wanted


def _rows(source: Path, clock: _Clock | None, names: list[str], id: str | None, space: Space) -> list[Series]:
    """The series as the table has them, a row for each of its rows; what is missing is not a number."""
    groups = Groups()
    count = 0
    for piece in table.pieces(source, [id or names[0]], space.held):
        groups.count(_names(source, piece, id, count))
        count += piece.height
    values, rows = space.array((count, len(names))), space.array((count,), np.int64)
    times = space.array((count,), clock.kind) if clock else None
    wanted = [*([id] if id else []), *(clock.columns if clock else []), *names]
    before = 0
    numbered = [clock.column] if clock and clock.kind == "f8" else []
    for piece in table.pieces(source, wanted, space.held, numbers=[*numbered, *names]):
        place = groups.places(_names(source, piece, id, before))
        values[place] = np.stack([_numbers(source, piece[name], before) for name in names], 1)
        rows[place] = np.arange(before, before + piece.height)
        if clock and times is not None:
            times[place] = clock.times(source, piece, before)
        before += piece.height
    ends = groups.ends.tolist()
    return [
        Series(name, values[start:end], None if times is None else times[start:end], rows[start:end])
        for name, start, end in zip(groups.number, ends, ends[1:], strict=False)
    ]


def _numbers(source: Path, column: pl.Series, before: int) -> Array:
    found = table.further_numbers(source, column, before).to_numpy().astype(np.float64)
    if np.isinf(found).any():
        at = before + int(np.isinf(found).argmax())
        raise DataError(
            f"{source}, {table.row(source, at)}: column {column.name!r} is infinite there; correct the value"
        )
    return found


def _check_order(source: Path, series: list[Series], when: str | None, id: str | None, of_day: str | None) -> None:
    """Check that the times of each ascend; ``of_day`` is a column that may belong to them."""
    for one in series:
        if one.times is None:
            continue
        for part in slices(len(one.times) - 1, one.times.itemsize):
            moves = np.diff(one.times[part.start : part.stop + 1])
            wrong = moves <= np.zeros(1, dtype=moves.dtype)[0]
            if wrong.any():
                at = part.start + int(wrong.argmax()) + 1
                several = (
                    "" if id else ", or, if these are several series, name the column that tells them apart with --id"
                )
                if of_day is not None:
                    several = (
                        f", or, if column {of_day!r} belongs to it, write both in one, as 2024-01-31 12:00{several}"
                    )
                raise DataError(
                    f"{source}, {table.row(source, int(one.rows[at]))}: the time {axis.show(one.times[at])} does not come after "
                    f"{axis.show(one.times[at - 1])}; sort the rows by {when!r} and keep one for each time{several}"
                )


def _even(source: Path, series: list[Series], step: axis.Step, column: str, space: Space) -> list[Series]:
    """Series with a row for every step, the ones that the table lacks being empty."""
    counts = [len(one.values) for one in series]
    places = np.split(space.scratch((sum(counts),), np.int64), np.cumsum(counts)[:-1])
    for one, at in zip(series, places, strict=True):
        _place(source, one, step, column, at)
    if all(at[-1] + 1 == len(at) for at in places):
        return series
    ends = np.cumsum([0, *(at[-1] + 1 for at in places)]).tolist()
    values, rows = space.array((ends[-1], series[0].values.shape[1])), space.array((ends[-1],), np.int64)
    times = space.array((ends[-1],), series[0].when.dtype)
    found = []
    for one, at, start, end in zip(series, places, ends, ends[1:], strict=False):
        whole = Series(one.name, values[start:end], times[start:end], rows[start:end])
        _spread(one, at, step, whole)
        found.append(whole)
    return found


def _place(source: Path, one: Series, step: axis.Step, column: str, at: NDArray[np.int64]) -> None:
    """Find each row's place on the even axis."""
    times = one.when
    at[0] = 0
    for part in slices(len(times) - 1, times.itemsize):
        own, wrong = axis.places(times[part.start : part.stop + 1], step)
        if wrong is not None:
            wrong += part.start
            usual = step.words or f"{step.size:g}"
            raise DataError(
                f"{source}, {table.row(source, int(one.rows[wrong]))}: the times are not evenly apart: they mostly move by one "
                f"{usual}, and {axis.show(times[wrong])} comes after {axis.show(times[wrong - 1])}; bring the rows to an even "
                f"step (by means over each {usual}, say), or remove the column {column!r} to count rows instead"
            )
        at[part.start + 1 : part.stop + 1] = at[part.start] + own[1:]
    if at[-1] + 1 > 2 * len(at):
        of = f" of series {one.name!r}" if one.name else ""
        raise DataError(
            f"{source}: {at[-1] + 1 - len(at):,} of the {at[-1] + 1:,} steps{of} have no row, which is more than half; bring the "
            f"rows to a longer step, or remove the column {column!r} to count rows instead"
        )


def _spread(one: Series, at: NDArray[np.int64], step: axis.Step, whole: Series) -> None:
    """Put rows at their places."""
    for part in slices(len(whole.values), one.values[:1].nbytes):
        whole.values[part], whole.rows[part] = np.nan, -1
        whole.when[part] = axis.fill(one.when, at, step, np.arange(part.start, part.stop))
    for part in slices(len(at), one.values[:1].nbytes):
        whole.values[at[part]], whole.rows[at[part]] = one.values[part], one.rows[part]

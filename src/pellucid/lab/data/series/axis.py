"""The time axis: the step from row to row, and the place of every row on an axis that is even.

Times are datetime64[us] or, where a column of numbers says when, float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.lab.data.paging import MEMORY, Space, first, slices

Times = NDArray[Any]
Places = NDArray[np.int64]
DAY = 86_400_000_000  # microseconds
MONTH = 30.436875 * DAY
JITTER = 0.1  # of a step that a time may be off its place
UNITS = (
    (365 * DAY, "year"),
    (28 * DAY, "month"),
    (7 * DAY, "week"),
    (DAY, "day"),
    (DAY / 24, "hour"),
    (DAY / 1440, "minute"),
    (DAY / 86400, "second"),
)


@dataclass(frozen=True)
class Step:
    """The time from one step to the next.

    Attributes:
        size: microseconds, or units of a numbered time; of steps of months the usual one.
        months: months in a step, where it is made of months; 0 elsewhere.
        weekdays: whether a day follows a day and Saturdays and Sundays are left out.
        temporal: whether times are times of a calendar.
    """

    size: float
    months: int
    weekdays: bool
    temporal: bool

    @property
    def words(self) -> str:
        """``"hour"``, ``"3 months"``; ``""`` where times are numbers."""
        if not self.temporal:
            return ""
        if self.weekdays:
            return "weekday"
        if self.months:
            count, unit = (self.months // 12, "year") if self.months % 12 == 0 else (self.months, "month")
            return unit if count == 1 else f"{count} {unit}s"
        for size, unit in UNITS:
            if self.size >= size:
                count = round(self.size / size)
                return unit if count == 1 else f"{count} {unit}s"
        return f"{self.size / 1000:g} ms"

    def days(self) -> float:
        """Its length in days of the calendar; 0 where times are numbers."""
        if self.weekdays:
            return 1.4  # five are a week
        return (self.months * MONTH if self.months else self.size) / DAY if self.temporal else 0.0


def find_step(series: Sequence[Times], space: Space = MEMORY) -> Step | None:
    """The step that several series have in common: the median of what lies between rows; None for single rows."""
    count = sum(len(times) - 1 for times in series)
    if not count:
        return None
    temporal = series[0].dtype.kind == "M"
    between, filled = space.scratch((count,)), 0
    for times in series:
        for part in slices(len(times) - 1, 8):
            moves = np.diff(times[part.start : part.stop + 1])
            between[filled : filled + len(moves)] = moves.astype(np.int64) if temporal else moves
            filled += len(moves)
    size = float(np.median(between, overwrite_input=True))
    over_weekends = temporal and size == DAY and first(between, lambda moves: moves == 3 * DAY) is not None
    if over_weekends and all(first(times, _weekend) is None for times in series):
        return Step(size, 0, True, True)
    if temporal and size >= 28 * DAY and first(between, lambda moves: moves % size != 0) is not None:
        return Step(size, max(1, round(size / MONTH)), False, True)
    return Step(size, 0, False, temporal)


def places(times: Times, step: Step) -> tuple[Places, int | None]:
    """Each row's place on the even axis, from 0; and the first row that lies between two places, or None."""
    if step.weekdays:
        days = times.astype("M8[D]")
        return np.asarray(np.busday_count(days[0], days), dtype=np.int64), None
    if step.months:
        months = times.astype("M8[M]").astype(np.int64)
        moves = np.diff(months) / step.months
    else:
        moves = np.diff(times).astype(np.int64) / step.size if step.temporal else np.diff(times) / step.size
    whole = np.rint(moves)
    off = (np.abs(moves - whole) > JITTER) | (whole < 1)
    found = np.concatenate([[0], np.cumsum(whole)]).astype(np.int64)
    return found, int(off.argmax()) + 1 if off.any() else None


def fill(times: Times, at: Places, step: Step, some: Places) -> Times:
    """The times of some places from the first row's to the last's; a place without a row counts on from the row before."""
    before = np.searchsorted(at, some, side="right") - 1
    return later(times[before], some - at[before], step)


def later(times: Times, count: Places, step: Step) -> Times:
    """The times ``count`` steps after others, elementwise."""
    if step.weekdays:
        days = times.astype("M8[D]")
        return np.asarray(np.busday_offset(days, count, roll="backward") + (times - days))
    if step.months:
        months = times.astype("M8[M]") + count * step.months
        into = times - times.astype("M8[M]").astype(times.dtype)
        last = (months + 1).astype("M8[D]") - 1
        return np.asarray(
            np.minimum(months.astype(times.dtype) + into, last.astype(times.dtype) + into % np.timedelta64(1, "D"))
        )
    if step.temporal:
        return np.asarray(times + np.rint(count * step.size).astype("m8[us]"))
    return np.asarray(times + count * step.size)


def show(time: Any) -> str:
    """A time as text: without the hour where it is midnight, numbers without a fraction that is none."""
    if isinstance(time, np.datetime64):
        return str(time.item()).removesuffix(" 00:00:00")
    return f"{time:g}" if abs(time) < 1e5 else f"{time:.6f}".rstrip("0").rstrip(".")


def _weekend(times: Times) -> NDArray[np.bool_]:
    return np.asarray(~np.is_busday(times.astype("M8[D]")))

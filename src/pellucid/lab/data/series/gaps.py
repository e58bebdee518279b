"""What is missing in series: where and how much, and the ways to fill it in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.counted import counted
from pellucid.lab.data import table
from pellucid.lab.data.paging import MEMORY, Space, first, last, slices
from pellucid.lab.data.series.reading import Table
from pellucid.lab.settings import Missing

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
SENTENCES = {
    "linear": "on a straight line between the values around the gap",
    "last": "with the last value before the gap",
    "seasonal": "with the value one season before",
}


@dataclass(frozen=True)
class Gaps:
    """What is missing in a table.

    Attributes:
        steps: without a row; values: missing in rows that are there.
        longest: the longest run of steps in which a column has no value, with its length and where it begins.
        first: the row (of the table) or the step at which something is missing first, in words.
        column: that is missing there, or None where the whole row is.
    """

    steps: int
    values: int
    longest: int
    begins: str
    first: str
    column: str | None

    def sentence(self) -> str:
        """How much is missing, in words."""
        parts = []
        if self.steps:
            parts.append(f"{counted(self.steps, 'step')} without a row")
        if self.values:
            parts.append(counted(self.values, "missing value"))
        return f"{' and '.join(parts)}; the longest gap is {counted(self.longest, 'step')} from {self.begins}"


def masks(found: Table, space: Space = MEMORY) -> list[Mask]:
    """Where something is missing in each series: (T, columns)."""
    counts = [len(one.values) for one in found.series]
    whole = np.split(space.array((sum(counts), len(found.columns)), np.bool_), np.cumsum(counts)[:-1])
    for one, mask in zip(found.series, whole, strict=True):
        for part in slices(*one.values.shape):
            np.isnan(one.values[part], out=mask[part])
    return whole


def find(found: Table, empty: list[Mask]) -> Gaps | None:
    """What is missing, or None; ``empty`` are the masks."""
    steps = values = longest = 0
    begins = where = ""
    column = None
    for series, mask in zip(found.series, empty, strict=True):
        at = first(mask, lambda part: part.any(1))
        if at is None:
            continue
        without = sum(int((series.rows[part] < 0).sum()) for part in slices(len(mask), 8))
        steps += without
        values += int(mask.sum()) - without * mask.shape[1]
        for k in range(mask.shape[1]):
            for start, stop in _runs(mask[:, k]):
                if stop - start > longest:
                    longest, begins = stop - start, series.label(start)
        if not where:
            row = int(series.rows[at])
            where = table.row(found.source, row) if row >= 0 else series.label(at)
            column = found.columns[int(mask[at].argmax())] if row >= 0 else None
    return Gaps(steps, values, longest, begins, where, column) if where else None


def refuse(found: Table, gaps: Gaps) -> DataError:
    """The sentence for whoever has to say how gaps are filled."""
    remedy = "say how to fill the gaps with --missing linear, last or seasonal, or fill them in the table"
    if gaps.column is None:
        return DataError(f"{found.source}: there is no row for {gaps.first} ({gaps.sentence()}); {remedy}")
    where = gaps.sentence()
    return DataError(f"{found.source}, {gaps.first}: column {gaps.column!r} has no value there ({where}); {remedy}")


def check(how: str | None) -> None:
    """Raise :class:`~pellucid.errors.ArgumentError` for an unknown way."""
    if how is not None and how not in get_args(Missing):
        raise ArgumentError(f"missing is {how!r}; choose {', '.join(get_args(Missing))}")


def known(empty: Mask, target: int) -> tuple[int, int]:
    """The steps from where every column has begun to the target's last value: the first, and the one behind the last."""
    begins = [first(empty[:, k], np.logical_not) for k in range(empty.shape[1])]
    end = last(empty[:, target], np.logical_not)
    start = max((at for at in begins if at is not None), default=0)
    return (0, 0) if end is None or None in begins else (start, max(start, end + 1))


def fill(values: Array, empty: Mask, how: Missing, season: int) -> None:
    """Fill the gaps of (T, columns), which begin with values in every column.

    Nothing but ``"linear"`` looks at what comes after a gap; ``"seasonal"`` without a season is ``"last"``.
    """
    for column, mask in zip(values.T, empty.T, strict=True):
        fill_column(column, mask, how, season)


def filled_column(values: Array, how: Missing, season: int = 1) -> Array:
    """A copy of one column (T,), its first value known, without gaps."""
    filled = values.copy()
    fill_column(filled, np.isnan(values), how, season)
    return filled


def fill_column(values: Array, empty: Mask, how: Missing, season: int) -> None:
    """Fill the gaps of one column (T,), its first value known."""
    back = season if how == "seasonal" else 1
    for start, stop in _runs(empty):
        if how == "linear":
            right = values[stop] if stop < len(values) else values[start - 1]
            for part in slices(stop - start, 8):
                steps = np.arange(start + part.start, start + part.stop)
                values[steps] = np.interp(steps, [start - 1, stop], [values[start - 1], right])
        else:
            for at in range(start, stop):
                values[at] = values[at - back] if at >= back else values[at - 1]


def _runs(empty: Mask) -> Iterator[tuple[int, int]]:
    """Where gaps of one column begin and end, in order."""
    begun: int | None = None
    for part in slices(len(empty), 16):
        inside = np.concatenate([[begun is not None], empty[part]])
        for edge in (part.start + np.flatnonzero(inside[1:] != inside[:-1])).tolist():
            if begun is None:
                begun = edge
            else:
                yield begun, edge
                begun = None
    if begun is not None:
        yield begun, len(empty)

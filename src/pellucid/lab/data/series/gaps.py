"""What is missing in series: where and how much, and the ways to fill it in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data import table
from pellucid.lab.data.series.reading import Series, Table

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Missing = Literal["linear", "last", "seasonal"]
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
            parts.append(f"{self.steps:,} step{'s' if self.steps != 1 else ''} without a row")
        if self.values:
            parts.append(f"{self.values:,} missing value{'s' if self.values != 1 else ''}")
        return f"{' and '.join(parts)}; the longest gap is {self.longest:,} steps from {self.begins}"


def find(found: Table) -> Gaps | None:
    """What is missing, or None."""
    steps = values = longest = 0
    begins = first = ""
    column = None
    for series in found.series:
        empty = np.isnan(series.values)
        if not empty.any():
            continue
        steps += int((series.rows < 0).sum())
        values += int(empty[series.rows >= 0].sum())
        for k in range(empty.shape[1]):
            length, start = _longest(empty[:, k])
            if length > longest:
                longest, begins = length, series.label(start)
        if not first:
            at = int(empty.any(1).argmax())
            row = int(series.rows[at])
            first = table.row(found.source, row) if row >= 0 else series.label(at)
            column = found.columns[int(empty[at].argmax())] if row >= 0 else None
    return Gaps(steps, values, longest, begins, first, column) if first else None


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


def trim(series: Series, target: int) -> Series:
    """Without the steps before every column has begun, and those after the target's last value."""
    known = ~np.isnan(series.values)
    if not known.any(0).all():
        return series.cut(0, 0)
    start = int(known.argmax(0).max())
    stop = len(known) - int(known[::-1, target].argmax())
    return series.cut(start, max(start, stop))


def fill(series: Series, how: Missing, season: int) -> tuple[Series, Mask]:
    """The series without gaps, and where they were: (T, columns). It begins with values in every column.

    Nothing but ``"linear"`` looks at what comes after a gap; ``"seasonal"`` without a season is ``"last"``.
    """
    empty = np.isnan(series.values)
    filled = (
        np.stack([filled_column(column, how, season) for column in series.values.T], 1)
        if empty.any()
        else series.values
    )
    return replace(series, values=filled), empty


def filled_column(values: Array, how: Missing, season: int = 1) -> Array:
    """One column (T,), its first value known."""
    empty = np.isnan(values)
    steps = np.arange(len(values))
    if how == "linear":
        return np.interp(steps, steps[~empty], values[~empty])
    back = season if how == "seasonal" else 1
    filled = values.copy()
    for at in np.flatnonzero(empty):
        filled[at] = filled[at - back] if at >= back else filled[at - 1]
    return filled


def _longest(empty: Mask) -> tuple[int, int]:
    """The length and the start of the longest run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], empty, [False]]).astype(np.int8)))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    return (int(lengths.max()), int(starts[lengths.argmax()])) if len(lengths) else (0, 0)

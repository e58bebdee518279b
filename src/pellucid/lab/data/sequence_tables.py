"""Sequences in tables: a long one, in which a column says which sequence a row is of, or one for each sequence.

A long table is gone through twice, a few rows at a time where it is large: once to count the steps of each sequence, and
once to put each row where it belongs, so that rows of different sequences may lie in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from pellucid.errors import DataError
from pellucid.lab.data import numbers, table, time_forms
from pellucid.lab.data.groups import Groups
from pellucid.lab.data.paging import room
from pellucid.lab.data.stacks import Array

IDS = (
    "id",
    "sequence",
    "sequence_id",
    "series",
    "series_id",
    "unique_id",
    "case",
    "case_id",
    "recording",
    "sample",
    "sample_id",
)
LABELS = ("label", "labels", "class", "category", "target", "y")
WRAP = ("seconds", "ms")  # times that start anew after a minute or a second
TIMES = ("time", "date", "timestamp", "datetime", "t", "step", "index", "frame", "seconds", "ms")


@dataclass(frozen=True)
class LongColumns:
    """Which column of a long table is what, and what its labels look like."""

    id: str
    label: str
    answer: Literal["class", "number"]


@dataclass(frozen=True)
class Long:
    """A long table's sequences, in the order in which they first appear.

    Attributes:
        names: what the column that tells them apart says.
        labels: of each, as text; empty where none were asked for.
        values: (T, C) of each.
    """

    names: list[str]
    labels: list[str]
    values: list[Array]


def long_columns(frame: pl.DataFrame, id: str | None = None, label: str | None = None) -> LongColumns | None:
    """The columns of a long table of sequences with classes or numbers; None where it is none.

    A label counts only if it is the same along each sequence, if there are several, and, where it is no number, fewer than
    sequences.

    Args:
        frame: the table, or its first rows.
        id, label: the columns that a person named; told by their names where None.
    """
    for which in (name for name in frame.columns if (name.lower() in IDS if id is None else name == id)):
        if frame[which].null_count() or not 2 <= frame[which].n_unique() <= frame.height / 2:
            continue
        for said in (name for name in frame.columns if (name.lower() in LABELS if label is None else name == label)):
            if said != which and _constant(frame, which, said):
                labels = frame.group_by(which).agg(pl.col(said).first())[said].drop_nulls().cast(pl.String).to_list()
                return LongColumns(which, said, "number" if numbers.reason(labels) else "class")
    return None


def _constant(frame: pl.DataFrame, id: str, label: str) -> bool:
    number = frame[label].dtype.is_numeric() and not frame[label].null_count()
    if not number and not table.could_be_classes(frame[label]):
        return False
    each = frame.group_by(id).agg(pl.col(label).n_unique().alias("different"))
    return bool((each["different"] == 1).all()) and 2 <= frame[label].n_unique() < len(each) + number


def channels_of(source: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """The numeric columns that are no times and do not count rows.

    Args:
        source: of the table.
        frame: the table, or its first rows.

    Raises:
        DataError: there are none, or a word stands among numbers.
    """
    kept = {}
    for name in frame.columns:
        column = frame[name]
        if name.lower() in TIMES or column.dtype.is_temporal() or table.counts_rows(column):
            continue
        found = table.numbers(source, column)
        if found is not None:
            kept[name] = found
        elif (number := table.marked(column)) is not None:
            raise table.marks(source, name, number)
    if not kept:
        raise DataError(
            f"{source}: no column holds numbers ({', '.join(frame.columns)}); a sequence needs one channel at least"
        )
    return pl.DataFrame(kept)


def check_order(source: Path, frame: pl.DataFrame, id: str) -> None:
    """Check that each sequence's rows are in the order of their times, where a column says times: no two are the same then.

    Args:
        source: of the table.
        frame: the table, or its first rows.
        id: the column that tells sequences apart.

    Raises:
        DataError: a time comes before one of an earlier row.
    """
    for name in frame.columns:
        if name == id or name.lower() not in TIMES or name.lower() in WRAP:
            continue
        form = time_forms.find(frame[name]) if frame[name].dtype == pl.String else None
        when = time_forms.read(frame[name], form) if form else frame[name]
        if when.dtype == pl.String or when.null_count():
            continue
        rows = pl.DataFrame({"id": frame[id], "at": range(frame.height), "when": when.to_physical()})
        if rows.select(pl.struct("id", "when").is_duplicated().any()).item():
            continue
        back = rows.with_columns(move=pl.col("when").cast(pl.Float64).diff().over("id")).filter(pl.col("move") < 0)
        if 0 < back.height < frame.height - frame[id].n_unique():  # and does not count down everywhere
            at = back["at"][0]
            raise DataError(
                f"{source}, {table.row(source, at)}: the {name} of {id} {frame[id][at]!r} goes back to {frame[name][at]}; sort "
                f"the rows of each {id} by {name!r}, or remove that column"
            )


def read(
    source: Path, id: str, label: str | None, channels: Sequence[str], held: float, *, numeric: bool = False
) -> Long:
    """The sequences of a long table.

    Args:
        source: CSV or Parquet.
        id: the column that tells them apart.
        label: the column of their labels.
        channels: the columns of their values.
        held: bytes of values that are held in memory; more lie on a file.
        numeric: whether labels are numbers.

    Raises:
        DataError: it cannot be read, a name or a label is missing, a label changes along a sequence, a value is no number.
    """
    groups = Groups()
    labels: list[str] = []
    before = 0
    names = [id] if label is None else [id, label]
    for piece in table.pieces(source, names, held, numbers=[label] if label and numeric else []):
        for name in names:
            table.complete(source, piece[name], before)
        of = groups.count(_texts(piece[id])).tolist()
        if label is not None:
            for row, (which, own) in enumerate(zip(of, _texts(piece[label]).to_list(), strict=True), before):
                if which == len(labels):
                    labels.append(own)
                if own != labels[which]:
                    name = list(groups.number)[which]
                    raise DataError(
                        f"{source}, {table.row(source, row)}: the label of {id} {name!r} changes from {labels[which]!r} to "
                        f"{own!r}; a sequence has one label, whose column --label names"
                    )
        before += piece.height
    values = room((before, len(channels)), held, np.float64)
    before = 0
    for piece in table.pieces(source, [id, *channels], held, numbers=channels):
        columns = [table.further_numbers(source, piece[name], before).to_numpy() for name in channels]
        values[groups.places(_texts(piece[id]))] = np.stack(columns, 1)
        before += piece.height
    return Long(list(groups.number), labels, np.split(np.asarray(values), groups.ends[1:-1]))


def _texts(column: pl.Series) -> pl.Series:
    return column.cast(pl.String)

"""Sequences in tables: a long one, in which a column says which sequence a row is of, or one for each sequence.

A long table is gone through twice, a few rows at a time where it is large: once to count the steps of each sequence, and
once to put each row where it belongs, so that rows of different sequences may lie in any order.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pellucid.errors import DataError
from pellucid.lab.data import numbers, table
from pellucid.lab.data.paging import room
from pellucid.lab.data.stacks import Array

TABLES = frozenset({".csv", ".tsv", *table.PARQUET})
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


def long_columns(frame: pl.DataFrame) -> LongColumns | None:
    """The columns of a long table of sequences with classes, by their names; None where it is none.

    A label counts only if it is the same along each sequence, if there are several, and, where it is no number, fewer than
    sequences.
    """
    for id in frame.columns:
        if id.lower() not in IDS or frame[id].null_count() or not 2 <= frame[id].n_unique() <= frame.height / 2:
            continue
        for label in frame.columns:
            if label.lower() in LABELS and label != id and _constant(frame, id, label):
                labels = frame.group_by(id).agg(pl.col(label).first())[label].drop_nulls().cast(pl.String).to_list()
                return LongColumns(id, label, "number" if numbers.reason(labels) else "class")
    return None


def _constant(frame: pl.DataFrame, id: str, label: str) -> bool:
    number = frame[label].dtype.is_numeric() and not frame[label].null_count()
    if not number and not table.could_be_classes(frame[label]):
        return False
    each = frame.group_by(id).agg(pl.col(label).n_unique().alias("different"))
    return bool((each["different"] == 1).all()) and 2 <= frame[label].n_unique() < len(each) + number


def channels_of(source: Path, frame: pl.DataFrame, before: int = 0) -> pl.DataFrame:
    """The numeric columns that are no times.

    Args:
        source: of the table.
        frame: some of its rows.
        before: rows of it that come before them.

    Raises:
        DataError: there are none, or a word stands among numbers.
    """
    kept = {}
    for name in frame.columns:
        column = frame[name]
        if name.lower() in TIMES or column.dtype.is_temporal():
            continue
        found = table.numbers(source, column, before)
        if found is not None:
            kept[name] = found
    if not kept:
        raise DataError(
            f"{source}: no column holds numbers ({', '.join(frame.columns)}); a sequence needs one channel at least"
        )
    return pl.DataFrame(kept)


def read(source: Path, id: str, label: str | None, channels: Sequence[str], held: float) -> Long:
    """The sequences of a long table.

    Args:
        source: CSV or Parquet.
        id: the column that tells them apart.
        label: the column of their labels.
        channels: the columns of their values.
        held: bytes of values that are held in memory; more lie on a file.

    Raises:
        DataError: it cannot be read, a name or a label is missing, a label changes along a sequence, a value is no number.
    """
    number: dict[str, int] = {}
    steps = array("q")
    labels: list[str] = []
    before = 0
    names = [id] if label is None else [id, label]
    for piece in table.pieces(source, names):
        for name in names:
            _complete(source, piece[name], before)
        said = ["" for _ in range(piece.height)] if label is None else _texts(piece[label])
        for row, (name, own) in enumerate(zip(_texts(piece[id]), said, strict=True), before):
            which = number.setdefault(name, len(number))
            if which == len(labels):
                labels.append(own)
                steps.append(0)
            if own != labels[which]:
                raise DataError(
                    f"{source}, {table.row(source, row)}: the label of {id} {name!r} changes from {labels[which]!r} to {own!r}; "
                    "a sequence has one label"
                )
            steps[which] += 1
        before += piece.height
    ends = np.cumsum([0, *steps])
    values = room((before, len(channels)), held, np.float64)
    _fill(values, ends[:-1].copy(), source, id, number, channels)
    cut = np.split(np.asarray(values), ends[1:-1])
    return Long(list(number), [] if label is None else labels, cut)


def _fill(
    values: Array, free: NDArray[np.int64], source: Path, id: str, number: dict[str, int], channels: Sequence[str]
) -> None:
    """Put each row behind those of its sequence that came before.

    Args:
        values: (rows, C), to be filled.
        free: the first free place of each sequence, which goes on with every row.
        source, id, channels: see :func:`read`.
        number: of each sequence, by its name.
    """
    before = 0
    for piece in table.pieces(source, [id, *channels], numbers=channels):
        columns = [_numbers(source, piece[name], before) for name in channels]
        which = np.array([number[name] for name in _texts(piece[id])], dtype=np.int64)
        order = which.argsort(kind="stable")
        own, begins, counts = np.unique(which[order], return_index=True, return_counts=True)
        places = np.repeat(free[own] - begins, counts) + np.arange(len(order))
        values[places] = np.stack([column.to_numpy() for column in columns], 1)[order]
        free[own] += counts
        before += piece.height


def _complete(source: Path, column: pl.Series, before: int) -> None:
    if column.null_count():
        at = before + int(column.is_null().arg_max() or 0)
        raise DataError(
            f"{source}, {table.row(source, at)}: column {column.name!r} is empty there; fill it in or drop the row"
        )


def _texts(column: pl.Series) -> list[str]:
    return column.cast(pl.String).to_list()


def _numbers(source: Path, column: pl.Series, before: int) -> pl.Series:
    """A channel's values as numbers, which they were in the rows that were looked at first."""
    found = table.numbers(source, column, before)
    if found is None and column.null_count() == len(column):
        return column.cast(pl.Float64)
    if found is None:
        raise DataError(
            f"{source}, {table.row(source, before)}: column {column.name!r} holds numbers up to there, and other things from "
            "there on; correct it, or remove the column"
        )
    return found

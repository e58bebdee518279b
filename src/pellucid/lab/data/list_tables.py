"""Sequences as rows of a Parquet table: a list of numbers for each channel, equally long within a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from pellucid.errors import DataError
from pellucid.lab.data import table
from pellucid.lab.data.sequence_tables import IDS, LABELS, TIMES, Long
from pellucid.lab.data.stacks import Stack


def channels(frame: pl.DataFrame) -> list[str]:
    """The columns that hold a list of numbers in each row, but for times."""
    lists = [name for name in frame.columns if _is_list(frame[name].dtype)]
    return [name for name in lists if name.lower() not in TIMES] or lists


def holds(frame: pl.DataFrame, label: str | None) -> bool:
    """Whether each row is a sequence: there are lists, and neither times nor fractions beside them, but for the label.

    Args:
        frame: the table, or its first rows.
        label: the column that a person named.
    """
    beside = [c.dtype for c in frame.iter_columns() if not _is_list(c.dtype) and c.name != label]
    return bool(channels(frame)) and not any(d.is_temporal() or d.is_float() for d in beside)


def label_column(frame: pl.DataFrame) -> str | None:
    """The column of classes: the one that is called so, or else the only one that could be it, one of words before others."""
    others = [c for c in frame.iter_columns() if not _is_list(c.dtype) and table.could_be_classes(c)]
    few = [c for c in others if 2 <= c.n_unique() <= frame.height / 2]
    called = [c.name for c in few if c.name.lower() in LABELS]
    words = [c.name for c in few if not c.dtype.is_numeric() and c.name.lower() not in IDS]
    for could in (called, words, [c.name for c in few]):
        if could:
            return could[0] if len(could) == 1 or could is called else None
    return None


def read(source: Path, names: list[str], label: str | None, id: str | None, held: float) -> Long:
    """The sequences, with their labels where a column of these is given.

    Args:
        source: Parquet.
        names: the columns of lists.
        label: the column of their labels.
        id: the column that names them; by their rows where None.
        held: bytes of values that are held in memory; more lie on a file.

    Raises:
        DataError: it cannot be read, or a list, a label or a name is missing, or lists of a row are not equally long.
    """
    values = Stack(held)
    found, labels = list[str](), list[str]()
    beside = [name for name in (label, id) if name is not None]
    for piece in table.pieces(source, [*names, *beside], held):
        before = len(found)
        for name in (*names, *beside):
            table.complete(source, piece[name], before)
        lists = piece.select(pl.col(names).cast(pl.List(pl.Float64)))
        lengths = lists.select(pl.all().list.len()).to_numpy()
        wrong = (lengths != lengths[:, :1]).any(1)
        if wrong.any():
            at = int(wrong.argmax())
            of = [f"{length} in {name!r}" for name, length in zip(names, lengths[at], strict=True)]
            raise DataError(
                f"{source}, {table.row(source, before + at)}: the lists of a row are the channels of one sequence, and they hold "
                f"{' and '.join(of)} numbers; make them equally long"
            )
        columns = [column.filter(column.list.len() > 0).explode().to_numpy() for column in lists.iter_columns()]
        for own in np.split(np.stack(columns, 1), np.cumsum(lengths[:, 0])[:-1]):
            values.append(own)
        labels += [] if label is None else piece[label].cast(pl.String).to_list()
        rows = (f"row {before + k + 1}" for k in range(piece.height))
        found += rows if id is None else (f"{id} {name}" for name in piece[id].cast(pl.String))
    return Long(found, labels, values.sequences())


def _is_list(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.List | pl.Array) and kind.inner.is_numeric()

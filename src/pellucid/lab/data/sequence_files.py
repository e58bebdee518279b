"""Sequences with classes, or with a number each, in the forms in which people have them.

- the ``.ts`` files of the UCR, UEA and TSER archives; NAME_TRAIN.ts and NAME_TEST.ts beside each other are a given split
- a Parquet table with a list of numbers in each row, see :mod:`list_tables`
- a long table: a column that says which sequence, channels, and a label that is the same along a sequence
- a folder of tables for each class, a file each sequence, perhaps below train and test
- NPZ, see :mod:`sequence_arrays`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data import list_tables, sequence_arrays, sequence_tables, table, ts_files
from pellucid.lab.data.folders import Progress, class_folders
from pellucid.lab.data.sequence_arrays import Answer
from pellucid.lab.data.sequence_tables import IDS, LABELS, channels_of, check_order, long_columns
from pellucid.lab.data.split import shown
from pellucid.lab.data.stacks import Array, Stack
from pellucid.lab.data.table import TABLES


@dataclass(frozen=True)
class Sequences:
    """What was read.

    Attributes:
        values: of each sequence (T, C); what is missing is not a number.
        labels: of each, as text (a class or a number); classes: all of them, in order.
        items: a name for each.
        channels: their names.
        given: side of each (0 training, 1 validation, 2 test) where the data says so, else None.
        form: where they were, in words.
        id: the column of a long table that tells them apart; None elsewhere.
        label: the column of the label there; None elsewhere.
        numbers: whether the data itself says that labels are numbers, or classes; None where it says nothing of it.
        marks: (N, K) where each has several labels at once, which are 1 then; ``classes`` names them, and ``labels`` is empty.
        notes: sentences on files that were passed over.
    """

    values: list[Array]
    labels: list[str]
    classes: list[str]
    items: list[str]
    channels: list[str]
    given: list[int] | None
    form: str
    id: str | None = None
    label: str | None = None
    numbers: bool | None = None
    marks: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()


def read(source: Path, *, label: str | None, id: str | None, held: float, progress: Progress | None) -> Sequences:
    """Read whatever form it is; the columns' names matter to a long table alone.

    Args:
        source: file or folder.
        label, id: columns of a long table; found by their names where None.
        held: bytes of values that are held in memory; more lie on a file.
        progress: told of each file of a folder.

    Raises:
        DataError: it is none of the forms, or is malformed.
        ArgumentError: a column that is not there.
    """
    suffix = source.suffix.lower()
    if source.is_dir():
        pair = ts_files.archive_pair(source)
        found = _archive(pair, held) if pair else _folders(source, held, progress)
    elif suffix == ".ts":
        found = _archive(ts_files.beside(source), held)
    elif suffix == ".npz":
        arrays = sequence_arrays.read(source, held)
        channels = [f"channel {k + 1}" for k in range(arrays.values[0].shape[1])]
        found = Sequences(channels=channels, **vars(arrays))
    elif suffix in TABLES:
        found = _long(source, label, id, held)
    else:
        raise DataError(
            f"{source}: sequences come as .ts, .npz, a long table (CSV or Parquet) or a folder of tables for each class"
        )
    if (label or id) and suffix not in TABLES:
        raise ArgumentError(f"--{'label' if label else 'id'} names a column of a long table, and {source} is none")
    for name, values in zip(found.items, found.values, strict=True):
        if not len(values):
            raise DataError(f"{source}: {name} has no steps; remove it")
    return found


def _archive(files: Sequence[Path], held: float) -> Sequences:
    values: list[Array] = []
    labels: list[str] = []
    items: list[str] = []
    given: list[int] = []
    classes: list[str] = []
    for side, file in enumerate(files):
        cases, own, known = ts_files.read(file, held=held / len(files))
        values += cases
        labels += own
        classes += [c for c in known if c not in classes]
        items += [f"{shown(Path(file.name))} case {k + 1}" for k in range(len(cases))]
        given += [2 * side] * len(cases)
    widths = sorted({v.shape[1] for v in values})
    if len(widths) > 1:
        raise DataError(f"{files[0]}: cases have {widths[0]} to {widths[-1]} dimensions; all need the same")
    channels = [f"dimension {k + 1}" for k in range(widths[0])]
    form = " and ".join(shown(Path(f.name)) for f in files)
    used = [c for c in classes if c in set(labels)]
    return Sequences(
        values,
        labels,
        used,
        items,
        channels,
        given if len(files) == 2 else None,
        f"in {form}",
        numbers=ts_files.has_numbers(files[0]),
    )


def answer_of(source: Path) -> Answer:
    """What the labels of a ``.ts`` or an NPZ file look like, which is not read whole for it."""
    if source.suffix.lower() == ".ts":
        return "number" if ts_files.has_numbers(source) else "class"
    return sequence_arrays.answer_of(source)


# A long table


def _long(source: Path, label: str | None, id: str | None, held: float) -> Sequences:
    frame = table.glance(source, held)
    for name in (label, id):
        if name is not None and name not in frame.columns:
            raise ArgumentError(f"{source} has no column {name!r}; its columns are {', '.join(frame.columns)}")
    if list_tables.holds(frame, label):
        return _lists(source, frame, label, id, held)
    by_name = long_columns(frame, id, label)
    id = id or (by_name.id if by_name else next((n for n in frame.columns if n.lower() in IDS), None))
    label = label or (by_name.label if by_name else next((n for n in frame.columns if n.lower() in LABELS), None))
    if id is None or label is None:
        lacking = "which sequence a row is of (--id)" if id is None else "the class or the number (--label)"
        raise DataError(f"{source}: no column says {lacking}; its columns are {', '.join(frame.columns)}")
    check_order(source, frame, id)
    channels = channels_of(source, frame.drop(id, label)).columns
    found = sequence_tables.read(source, id, label, channels, held, numeric=frame[label].dtype.is_numeric())
    return Sequences(
        values=found.values,
        labels=found.labels,
        classes=sorted(set(found.labels)),
        items=[f"{id} {name}" for name in found.names],
        channels=channels,
        given=None,
        form=f"told apart by column {id!r}, with the labels in column {label!r}",
        id=id,
        label=label,
    )


def _lists(source: Path, frame: pl.DataFrame, label: str | None, id: str | None, held: float) -> Sequences:
    channels = list_tables.channels(frame)
    label = label or list_tables.label_column(frame)
    named = ", ".join(map(repr, channels))
    if label is None:
        raise DataError(
            f"{source}: each row is a sequence, in the lists of {named}, and no column surely says its class or number; name it "
            f"with --label (the columns are {', '.join(frame.columns)})"
        )
    found = list_tables.read(source, channels, label, id, held)
    return Sequences(
        values=found.values,
        labels=found.labels,
        classes=sorted(set(found.labels)),
        items=found.names,
        channels=channels,
        given=None,
        form=f"a row each, in the lists of {named}, with the labels in column {label!r}",
        label=label,
    )


# A folder a class


def _folders(source: Path, held: float, progress: Progress | None) -> Sequences:
    classes, files, labels, given = class_folders(source, TABLES, "table")
    values = Stack(held)
    channels: list[str] = []
    for index, file in enumerate(files):
        own = channels_of(file, table.read(file))
        if channels and own.columns != channels:
            raise DataError(
                f"{file}: its columns are {', '.join(own.columns)}, and those of {files[0].name} are {', '.join(channels)}; all "
                "sequences need the same, in the same order"
            )
        channels = own.columns
        values.append(own.to_numpy())
        if progress:
            progress(index + 1, len(files), "tables")
    items = [shown(file.relative_to(source)) for file in files]
    return Sequences(values.sequences(), [classes[k] for k in labels], classes, items, channels, given, "a file each")

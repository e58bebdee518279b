"""Sequences with classes, or with a number each, in the forms in which people have them.

- the ``.ts`` files of the UCR, UEA and TSER archives; NAME_TRAIN.ts and NAME_TEST.ts beside each other are a given split
- a long table: a column that says which sequence, channels, and a label that is the same along a sequence
- a folder of tables for each class, a file each sequence, perhaps below train and test
- NPZ with arrays ``values`` (N, T, C) or (N, T), ``labels`` (N,) and, unless NaN fills up behind the ends, ``lengths`` (N,);
  ``labels`` (N, K) of 0 and 1 are several labels at once, which ``names`` (K,) may name
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data import archives, numbers, sequence_tables, table, ts_files
from pellucid.lab.data.folders import Progress, class_folders
from pellucid.lab.data.sequence_tables import IDS, LABELS, TABLES, channels_of, check_order, long_columns
from pellucid.lab.data.split import shown
from pellucid.lab.data.stacks import Array, Stack, without_padding

Answer = Literal["class", "number", "labels"]  # what a sequence is labelled with


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
        found = _arrays(source, held)
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
    try:
        with np.load(source, allow_pickle=False) as archive:
            labels = archive["labels"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return "class"  # loading says what is wrong
    if labels.ndim == 2 and labels.shape[1] > 1:
        return "labels"
    return "number" if numbers.reason([str(v) for v in labels.flatten().tolist()]) else "class"


# A long table


def _long(source: Path, label: str | None, id: str | None, held: float) -> Sequences:
    frame = table.glance(source, held)
    for name in (label, id):
        if name is not None and name not in frame.columns:
            raise ArgumentError(f"{source} has no column {name!r}; its columns are {', '.join(frame.columns)}")
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


# NPZ


def holds_sequences(source: Path) -> bool:
    """Whether an NPZ file has the arrays of sequences."""
    try:
        with zipfile.ZipFile(source) as archive:
            return "values.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def _arrays(source: Path, held: float) -> Sequences:
    arrays = arrays_of(source, "labels")
    values, labels = cut_arrays(source, arrays.get("lengths"), held), arrays["labels"]
    items = [f"sequence {k + 1}" for k in range(len(values))]
    channels = [f"channel {k + 1}" for k in range(values[0].shape[1])]
    if labels.ndim == 2 and labels.shape[1] > 1:
        names = _names_of_marks(source, arrays, len(values))
        return Sequences(values, [], names, items, channels, None, "from arrays", marks=labels)
    if labels.shape not in ((len(values),), (len(values), 1)):
        raise DataError(f"{source}: labels have shape {labels.shape}, and {len(values)} sequences need one label each")
    texts = [str(v) for v in labels.flatten().tolist()]
    classes = [str(v) for v in np.unique(labels).tolist()]
    return Sequences(values, texts, classes, items, channels, None, "from arrays")


def _names_of_marks(source: Path, arrays: dict[str, NDArray[Any]], count: int) -> list[str]:
    """The names of several labels at once, which are checked."""
    labels = arrays["labels"]
    if len(labels) != count or labels.dtype.kind not in "fiub" or not np.isin(labels, (0, 1)).all():
        raise DataError(
            f"{source}: labels have shape {labels.shape} ({labels.dtype}), and {count} sequences need a label each, or a row "
            "of 0 and 1 each"
        )
    names = arrays.get("names", np.arange(1, labels.shape[1] + 1))
    if names.shape != labels.shape[1:]:
        raise DataError(f"{source}: names have shape {names.shape}, and there are {labels.shape[1]} labels to name")
    return [str(v) for v in names.tolist()]


def arrays_of(source: Path, *needed: str) -> dict[str, NDArray[Any]]:
    """What an archive of sequences says beside their values: ``labels``, ``lengths`` and ``names``, where they are there.

    Raises:
        DataError: it cannot be read, or lacks the values or one that is needed.
    """
    there = archives.names(source)
    for name in ("values", *needed):
        if name not in there:
            raise DataError(
                f"{source}: it has {', '.join(there) or 'no arrays'}, and values (N, T, C)"
                f"{' and labels (N,)' * ('labels' in needed)} are needed, with lengths (N,) where sequences are unequally long"
            )
    return {name: archives.whole(source, name) for name in ("labels", "lengths", "names") if name in there}


def cut_arrays(source: Path, lengths: NDArray[Any] | None, held: float) -> list[Array]:
    """Each sequence (T, C) of the array ``values``, to its own end, read one at a time.

    Args:
        source: the archive.
        lengths: of each sequence; None where what is missing fills up behind the ends.
        held: bytes of values that are held in memory; more lie on a file.

    Raises:
        DataError: shapes or lengths that cannot be, or no sequences.
    """
    shape, kind = archives.head(source, "values")
    if len(shape) not in (2, 3) or kind.kind not in "fiub":
        raise DataError(f"{source}: values has shape {shape} and type {kind}; numbers of (N, T, C) are needed")
    count, longest, *channels = shape
    if not count:
        raise DataError(f"{source}: values has no sequences")
    if lengths is not None:
        if lengths.shape != (count,) or lengths.dtype.kind not in "iu":
            raise DataError(
                f"{source}: lengths have shape {lengths.shape} ({lengths.dtype}), and {count} sequences need one whole "
                "length each"
            )
        if not (lengths.min() >= 1 and lengths.max() <= longest):
            raise DataError(
                f"{source}: lengths go from {lengths.min()} to {lengths.max()}; 1 to {longest} are possible"
            )
    values = Stack(held)
    for k, row in enumerate(archives.rows(source, "values")):
        own = row.reshape(longest, *(channels or (1,))).astype(np.float64)
        values.append(without_padding(own) if lengths is None else own[: lengths[k]])
    return values.sequences()

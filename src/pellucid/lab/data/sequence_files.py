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
import polars as pl
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data import numbers, table
from pellucid.lab.data.folders import Progress, class_folders
from pellucid.lab.data.split import shown

Array = NDArray[np.float64]
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
Answer = Literal["class", "number", "labels"]  # what a sequence is labelled with
TIMES = ("time", "date", "timestamp", "datetime", "t", "step", "index", "frame", "seconds", "ms")


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


def read(source: Path, *, label: str | None, id: str | None, progress: Progress | None) -> Sequences:
    """Read whatever form it is; the columns' names matter to a long table alone.

    Raises:
        DataError: it is none of the forms, or is malformed.
        ArgumentError: a column that is not there.
    """
    suffix = source.suffix.lower()
    if source.is_dir():
        pair = archive_pair(source)
        found = _archive(pair) if pair else _folders(source, progress)
    elif suffix == ".ts":
        found = _archive(_beside(source))
    elif suffix == ".npz":
        found = _arrays(source)
    elif suffix in TABLES:
        found = _long(source, label, id)
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


# .ts


def archive_pair(folder: Path) -> list[Path] | None:
    """The two files of a problem in a folder of the archive, training first; None if there are none."""
    train = sorted(f for f in folder.glob("*.ts") if f.stem.upper().endswith("_TRAIN"))
    if len(train) != 1:
        return None
    pair = _beside(train[0])
    return pair if len(pair) == 2 else None


def _beside(file: Path) -> list[Path]:
    """A file and, where it is one side of a split, the other: training first."""
    for own, other in (("_TRAIN", "_TEST"), ("_TEST", "_TRAIN")):
        if file.stem.upper().endswith(own):
            stem = file.stem[: -len(own)].upper() + other
            twin = next((f for f in file.parent.glob("*.ts") if f.stem.upper() == stem), None)
            if twin is not None:
                return [file, twin] if own == "_TRAIN" else [twin, file]
    return [file]


def _archive(files: Sequence[Path]) -> Sequences:
    values: list[Array] = []
    labels: list[str] = []
    items: list[str] = []
    given: list[int] = []
    classes: list[str] = []
    for side, file in enumerate(files):
        cases, own, known = read_ts(file)
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
        numbers=has_numbers(files[0]),
    )


def read_ts(file: Path, *, labelled: bool = True) -> tuple[list[Array], list[str], list[str]]:
    """The cases (T, C), their labels, and the classes that the head lists or that there are, of one ``.ts`` file.

    Where they need not be ``labelled`` the head may say that there are none, and one that it says is not looked at.

    A case is a line: dimensions with colons between, each of values with commas between, and the class or the number behind
    the last colon; ``?`` is a missing value. Dimensions of a case that are unequally long end with missing values, and steps at the
    end that are missing in all are none.

    Raises:
        DataError: no labels, values with time stamps, or a malformed line.
    """
    head: dict[str, list[str]] = {}
    cases: list[Array] = []
    labels: list[str] = []
    inside = False
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: the file cannot be read as UTF-8 text ({error})") from None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith(("#", "%")):
            continue
        if not inside:
            if not line.startswith("@"):
                raise DataError(f"{file}, line {number}: a line that begins with @ is needed before @data")
            word, *rest = line[1:].split()
            head[word.lower()] = rest
            inside = word.lower() == "data"
            if inside:
                _check_head(file, head, labelled)
            continue
        *dimensions, name = line.split(":") if _has_labels(head) else (*line.split(":"), "")
        name = name.strip()
        classes = head.get("classlabel", [])[1:]
        if not dimensions or (labelled and classes and name not in classes):
            raise DataError(f"{file}, line {number}: {name[:40]!r} is none of the classes that @classLabel lists")
        cases.append(_case(file, number, dimensions))
        labels.append(name)
    if not cases:
        raise DataError(f"{file}: there are no cases after @data")
    return cases, labels, head.get("classlabel", [])[1:] or sorted(set(labels))


def _check_head(file: Path, head: dict[str, list[str]], labelled: bool) -> None:
    if head.get("timestamps", ["false"])[0].lower() == "true":
        raise DataError(
            f"{file}: its values have time stamps (@timestamps true); write evenly spaced values without them"
        )
    if labelled and not _has_labels(head):
        raise DataError(
            f"{file}: its sequences have no classes and no numbers (@classLabel true and the classes, or @targetLabel true, "
            "is needed)"
        )


def _has_labels(head: dict[str, list[str]], *words: str) -> bool:
    return any((head.get(word) or ["false"])[0].lower() == "true" for word in words or ("classlabel", "targetlabel"))


def answer_of(source: Path) -> Answer:
    """What the labels of a ``.ts`` or an NPZ file look like, which is not read whole for it."""
    if source.suffix.lower() == ".ts":
        return "number" if has_numbers(source) else "class"
    try:
        with np.load(source, allow_pickle=False) as archive:
            labels = archive["labels"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return "class"  # loading says what is wrong
    if labels.ndim == 2 and labels.shape[1] > 1:
        return "labels"
    return "number" if numbers.reason([str(v) for v in labels.flatten().tolist()]) else "class"


def has_numbers(file: Path) -> bool:
    """Whether the head of a ``.ts`` file says that its sequences have a number each."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            word, *rest = line.lower().split() or [""]
            if word in ("@targetlabel", "@data"):
                return rest[:1] == ["true"]
    return False


def _case(file: Path, number: int, dimensions: list[str]) -> Array:
    rows = []
    for dimension in dimensions:
        try:
            rows.append(np.array([np.nan if v.strip() in ("?", "NaN") else float(v) for v in dimension.split(",")]))
        except ValueError as error:
            raise DataError(
                f"{file}, line {number}: {error}; values are numbers with commas between, ? for a missing one"
            ) from None
    values = np.full((max(map(len, rows)), len(rows)), np.nan)
    for k, row in enumerate(rows):
        values[: len(row), k] = row
    return _without_padding(values)


def _without_padding(values: Array) -> Array:
    """Without the steps at the end at which every channel is missing."""
    there = np.flatnonzero((~np.isnan(values)).any(1))
    return values[: there[-1] + 1] if len(there) else values[:0]


# A long table


@dataclass(frozen=True)
class LongColumns:
    """Which column of a long table is what, and what its labels look like."""

    id: str
    label: str
    answer: Answer


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
                labels = frame.group_by(id).agg(pl.col(label).first())[label].cast(pl.String).to_list()
                return LongColumns(id, label, "number" if numbers.reason(labels) else "class")
    return None


def _constant(frame: pl.DataFrame, id: str, label: str) -> bool:
    number = frame[label].dtype.is_numeric() and not frame[label].null_count()
    if not number and not table.could_be_classes(frame[label]):
        return False
    each = frame.group_by(id).agg(pl.col(label).n_unique().alias("different"))
    return bool((each["different"] == 1).all()) and 2 <= frame[label].n_unique() < len(each) + number


def _long(source: Path, label: str | None, id: str | None) -> Sequences:
    frame = table.read(source)
    for name in (label, id):
        if name is not None and name not in frame.columns:
            raise ArgumentError(f"{source} has no column {name!r}; its columns are {', '.join(frame.columns)}")
    by_name = long_columns(frame)
    id = id or (by_name.id if by_name else next((n for n in frame.columns if n.lower() in IDS), None))
    label = label or (by_name.label if by_name else next((n for n in frame.columns if n.lower() in LABELS), None))
    if id is None or label is None:
        lacking = "which sequence a row is of (--id)" if id is None else "the class or the number (--label)"
        raise DataError(f"{source}: no column says {lacking}; its columns are {', '.join(frame.columns)}")
    for name in (id, label):
        if frame[name].null_count():
            at = int(frame[name].is_null().arg_max() or 0)
            raise DataError(
                f"{source}, {table.row(source, at)}: column {name!r} is empty there; fill it in or drop the row"
            )
    channels = channels_of(source, frame.drop(id, label))
    values = channels.to_numpy().astype(np.float64)
    classes_of = frame[label].cast(pl.String).to_list()
    rows = rows_by(frame[id])
    for name, own in rows.items():
        other = next((row for row in own if classes_of[row] != classes_of[own[0]]), None)
        if other is not None:
            raise DataError(
                f"{source}, {table.row(source, other)}: the label of {id} {name!r} changes from {classes_of[own[0]]!r} to "
                f"{classes_of[other]!r}; a sequence has one label"
            )
    return Sequences(
        values=[values[own] for own in rows.values()],
        labels=[classes_of[own[0]] for own in rows.values()],
        classes=sorted(set(classes_of)),
        items=[f"{id} {name}" for name in rows],
        channels=channels.columns,
        given=None,
        form=f"told apart by column {id!r}, with the labels in column {label!r}",
        id=id,
        label=label,
    )


def rows_by(column: pl.Series) -> dict[str, list[int]]:
    """The rows of each sequence, in the order in which they first appear."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(column.cast(pl.String).to_list()):
        rows.setdefault(name, []).append(row)
    return rows


def channels_of(source: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """The numeric columns that are no times.

    Raises:
        DataError: there are none, or a word stands among numbers.
    """
    kept = {}
    for name in frame.columns:
        column = frame[name]
        if name.lower() in TIMES or column.dtype.is_temporal():
            continue
        found = table.numbers(source, column)
        if found is not None:
            kept[name] = found
    if not kept:
        raise DataError(
            f"{source}: no column holds numbers ({', '.join(frame.columns)}); a sequence needs one channel at least"
        )
    return pl.DataFrame(kept)


# A folder a class


def _folders(source: Path, progress: Progress | None) -> Sequences:
    classes, files, labels, given = class_folders(source, TABLES, "table")
    values: list[Array] = []
    channels: list[str] = []
    for index, file in enumerate(files):
        own = channels_of(file, table.read(file))
        if channels and own.columns != channels:
            raise DataError(
                f"{file}: its columns are {', '.join(own.columns)}, and those of {files[0].name} are {', '.join(channels)}; all "
                "sequences need the same, in the same order"
            )
        channels = own.columns
        values.append(own.to_numpy().astype(np.float64))
        if progress:
            progress(index + 1, len(files), "tables")
    items = [shown(file.relative_to(source)) for file in files]
    return Sequences(values, [classes[k] for k in labels], classes, items, channels, given, "a file each")


# NPZ


def holds_sequences(source: Path) -> bool:
    """Whether an NPZ file has the arrays of sequences."""
    try:
        with zipfile.ZipFile(source) as archive:
            return "values.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def _arrays(source: Path) -> Sequences:
    arrays = arrays_of(source, "values", "labels")
    values, labels = cut_arrays(source, arrays), arrays["labels"]
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
    """An archive's arrays.

    Raises:
        DataError: it cannot be read, or lacks one that is needed.
    """
    try:
        with np.load(source, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{source}: the arrays cannot be read ({error}); save plain ones with numpy.savez") from None
    for name in needed:
        if name not in arrays:
            raise DataError(
                f"{source}: it has {', '.join(arrays) or 'no arrays'}, and values (N, T, C)"
                f"{' and labels (N,)' * ('labels' in needed)} are needed, with lengths (N,) where sequences are unequally long"
            )
    return arrays


def cut_arrays(source: Path, arrays: dict[str, NDArray[Any]]) -> list[Array]:
    """Each sequence (T, C) of the array ``values``, to its own end.

    Raises:
        DataError: shapes or lengths that cannot be, or no sequences.
    """
    values = arrays["values"]
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.dtype.kind not in "fiub":
        raise DataError(
            f"{source}: values has shape {values.shape} and type {values.dtype}; numbers of (N, T, C) are needed"
        )
    padded = "lengths" not in arrays
    lengths = arrays.get("lengths", np.full(len(values), values.shape[1]))
    if lengths.shape != (len(values),) or lengths.dtype.kind not in "iu":
        raise DataError(
            f"{source}: lengths have shape {lengths.shape} ({lengths.dtype}), and {len(values)} sequences need one whole "
            "length each"
        )
    if len(values) and not (lengths.min() >= 1 and lengths.max() <= values.shape[1]):
        raise DataError(
            f"{source}: lengths go from {lengths.min()} to {lengths.max()}; 1 to {values.shape[1]} are possible"
        )
    cut = [v[:n].astype(np.float64) for v, n in zip(values, lengths.tolist(), strict=True)]
    cut = [_without_padding(v) for v in cut] if padded else cut
    if not cut:
        raise DataError(f"{source}: values has no sequences")
    return cut

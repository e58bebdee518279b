"""Matrices of 0 and 1 over time (a piano roll: steps down, notes across), in the forms in which people have them.

- ``.mat`` (MATLAB up to version 7): cell arrays of matrices (T, K), such as traindata, validdata and testdata; one cell array at
  a time is in memory, since scipy reads it whole
- ``.npz``: ``events`` (N, T, K), or ``train``, ``valid`` and ``test`` of that form; where sequences are unequally long -1 or NaN
  fills up behind their ends, or ``lengths`` (N,), ``train_lengths`` and so on say them; a sequence at a time is in memory
- a folder of matrices, a file each (``.csv`` with or without names in its first line, ``.npy``, or ``.npz`` with one array),
  perhaps below train, valid and test
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import DataError
from pellucid.lab.counted import counted
from pellucid.lab.data import archives, csv_form, table
from pellucid.lab.data.folders import PARTS, Progress
from pellucid.lab.data.split import shown
from pellucid.lab.data.stacks import Stack

Roll = NDArray[np.uint8]
MATRICES = frozenset({".csv", ".tsv", ".npy", ".npz"})
EVENTS = ("events", "rolls", "notes")
PIANO, MIDI = 88, 128  # columns that are taken for a piano's keys, and for all notes of MIDI
NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@dataclass(frozen=True)
class Events:
    """What was read.

    Attributes:
        rolls: of each sequence (T, K), 1 where an event holds at a step and 0 elsewhere; read from where they lie when looked at.
        items: a name for each.
        names: of the K events.
        given: side of each (0 training, 1 validation, 2 test) where the data says so, else None.
        form: where they were, in words.
    """

    rolls: list[Roll]
    items: list[str]
    names: list[str]
    given: list[int] | None
    form: str


@dataclass(frozen=True)
class _Matrix:
    """One matrix as it was found, with the part that it is of and the names of its columns where there are such."""

    item: str
    values: NDArray[Any]
    side: int | None = None
    names: list[str] | None = None


def read(source: Path, held: float, progress: Progress | None = None) -> Events:
    """Read whatever form it is.

    Args:
        source: file or folder.
        held: bytes of matrices that are held in memory; more lie on a file.
        progress: told of each file of a folder.

    Raises:
        DataError: it is none of the forms, is malformed, or holds other numbers than 0 and 1.
    """
    found, form = _matrices(source, progress)
    rolls = Stack(held, np.uint8)
    items: list[str] = []
    sides: list[int | None] = []
    widths: set[int] = set()
    names: list[str] | None = None
    for matrix in found:
        roll = _checked(source, matrix)
        names = matrix.names if not items else names
        if names and matrix.names and names != matrix.names:
            raise DataError(
                f"{source}: the columns of {matrix.item} are called otherwise than those of {items[0]}, or lie in another "
                "order; all sequences need the same"
            )
        rolls.append(roll)
        items.append(matrix.item)
        sides.append(matrix.side)
        widths.add(roll.shape[1])
    if not items:
        raise DataError(f"{source}: there are no matrices of 0 and 1 in it; bring one for each sequence, steps down")
    if len(widths) > 1:
        raise DataError(
            f"{source}: matrices have {min(widths)} to {max(widths)} columns, and every sequence needs the same events"
        )
    given = [side for side in sides if side is not None]
    return Events(
        rolls=rolls.sequences(),
        items=items,
        names=names or names_of(widths.pop()),
        given=given if len(given) == len(items) and {0, 2} <= set(given) else None,
        form=form,
    )


def _matrices(source: Path, progress: Progress | None) -> tuple[Iterable[_Matrix], str]:
    """The matrices of whatever form it is, one at a time, and where they are, in words."""
    suffix = source.suffix.lower()
    if source.is_dir():
        return _folder(source, progress), "a file each"
    if suffix == ".mat":
        return _cells(source), "in cell arrays"
    if suffix == ".npz" and holds_events(source):
        return _padded(source), "in arrays"
    if suffix in MATRICES:
        return [_file(source, shown(Path(source.name)))], "one file"
    raise DataError(f"{source}: events come as .mat, .npz, or a folder of matrices of 0 and 1 (.csv, .npy or .npz)")


def names_of(columns: int) -> list[str]:
    """Names of events that have none: a piano's keys, A0 to C8, MIDI's notes from C-1 on, or numbers from 1."""
    if columns in (PIANO, MIDI):
        lowest = 21 if columns == PIANO else 0
        return [f"{NOTES[k % 12]}{k // 12 - 1}" for k in range(lowest, lowest + columns)]
    return [str(k + 1) for k in range(columns)]


def holds_events(source: Path) -> bool:
    """Whether an NPZ file has the arrays of events."""
    try:
        with zipfile.ZipFile(source) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False
    return bool(names & set(EVENTS)) or {"train", "test"} <= names


def folder_of_rolls(source: Path) -> bool:
    """Whether a folder holds matrices of 0 and 1, a file each, below no folders but those of a split."""
    places = [e for e in source.iterdir() if not e.name.startswith(".") and e.name != "__MACOSX"]
    folders = [e for e in places if e.is_dir()]
    if any(e.name.casefold() not in PARTS for e in folders):
        return False
    first = next(iter(_matrix_files(source)), None)
    if first is None:
        return False
    try:
        return _is_roll(_file(first, "").values)
    except DataError:
        return False  # of whatever kind it is, its own reading says what is wrong


# MATLAB


def _cells(source: Path) -> Iterator[_Matrix]:
    from scipy.io import loadmat, whosmat

    names = dict.fromkeys(name for name, _, _ in _of_matlab(source, whosmat) if not name.startswith("__"))
    for name in names:
        value = _of_matlab(source, loadmat, variable_names=[name])[name]
        side = next((side for part, side in PARTS.items() if name.casefold().startswith(part)), None)
        cells = value.ravel() if value.dtype == object else [value]
        for k, cell in enumerate(cells):
            yield _Matrix(f"{name} {k + 1}" if len(cells) > 1 else name, np.asarray(cell), side)


def _of_matlab(source: Path, reads: Callable[..., Any], **options: Any) -> Any:
    """What one of scipy's functions reads of the file."""
    try:
        return reads(source, **options)
    except NotImplementedError:
        raise DataError(f"{source}: it is of MATLAB's version 7.3; save it with save(..., '-v7')") from None
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{source}: the file cannot be read ({str(error).splitlines()[0]}); is it a MATLAB file?"
        ) from None


# NPZ


def _padded(source: Path) -> Iterator[_Matrix]:
    there = archives.names(source)
    names = [str(v) for v in archives.whole(source, "names").tolist()] if "names" in there else None
    for name in there:
        if name != "names" and name != "lengths" and not name.endswith("_lengths"):
            shape, kind = archives.head(source, name)
            if len(shape) != 3 or kind.kind not in "fiub":
                raise DataError(f"{source}: {name} has shape {shape} and type {kind}; 0 and 1 of (N, T, K) are needed")
            said = "lengths" if name in EVENTS else f"{name}_lengths"
            lengths = archives.whole(source, said) if said in there else None
            if lengths is not None and (lengths.shape != shape[:1] or not (lengths <= shape[1]).all()):
                raise DataError(
                    f"{source}: the lengths of {name} have shape {lengths.shape} and go to {lengths.max(initial=0)}, and it "
                    f"has {shape[0]} sequences of {shape[1]} steps"
                )
            for k, own in enumerate(archives.rows(source, name)):
                cut = _without_padding(own) if lengths is None else own[: int(lengths[k])]
                yield _Matrix(f"{name} {k + 1}", cut, PARTS.get(name.casefold()), names)


def _without_padding(values: NDArray[Any]) -> NDArray[Any]:
    """Without the steps at the end that are -1 or no numbers throughout."""
    there = np.flatnonzero(~((values < 0) | np.isnan(values.astype(np.float64))).all(1))
    return values[: there[-1] + 1] if len(there) else values[:0]


# A folder of matrices


def _matrix_files(source: Path) -> list[Path]:
    """Those in the folder itself and in the folders of a split, no deeper."""
    parts = sorted(e for e in source.iterdir() if e.is_dir() and e.name.casefold() in PARTS)
    files = (f for place in (source, *parts) for f in sorted(place.iterdir()) if not f.name.startswith("."))
    return [f for f in files if f.is_file() and f.suffix.lower() in MATRICES]


def _folder(source: Path, progress: Progress | None) -> Iterator[_Matrix]:
    files = _matrix_files(source)
    for k, file in enumerate(files):
        place = file.relative_to(source)
        yield _file(file, shown(place), PARTS.get(place.parts[0].casefold()) if len(place.parts) > 1 else None)
        if progress:
            progress(k + 1, len(files), "matrices")


def _file(file: Path, item: str, side: int | None = None) -> _Matrix:
    if file.suffix.lower() in (".csv", ".tsv"):
        named = not csv_form.begins_with_numbers(file)
        frame = table.read(file, header=named)
        return _Matrix(item, frame.to_numpy(), side, frame.columns if named else None)
    try:
        found = np.load(file, allow_pickle=False)
        arrays = [found] if isinstance(found, np.ndarray) else [found[name] for name in found.files]
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{file}: the matrix cannot be read ({error}); save a plain one with numpy.save") from None
    if len(arrays) != 1:
        raise DataError(f"{file}: it holds {len(arrays)} arrays, and one matrix a file is needed")
    return _Matrix(item, arrays[0], side)


def _is_roll(values: NDArray[Any]) -> bool:
    """Whether it is a matrix of 0 and 1, with something in it."""
    return values.ndim == 2 and values.dtype.kind in "fiub" and values.size > 0 and bool(np.isin(values, (0, 1)).all())


def _checked(source: Path, matrix: _Matrix) -> Roll:
    values = matrix.values
    if values.ndim != 2 or values.dtype.kind not in "fiub" or not values.size:
        raise DataError(
            f"{source}: {matrix.item} has shape {values.shape} and type {values.dtype}; a matrix of 0 and 1 is needed, steps "
            "down and events across"
        )
    if not _is_roll(values):
        strange = values[~np.isin(values, (0, 1))].flat[0]
        raise DataError(
            f"{source}: {matrix.item} holds {strange:g}, and an event holds (1) or does not (0); loudness becomes that with "
            "(roll > 0)"
        )
    if len(values) < 2:
        raise DataError(f"{source}: {matrix.item} has {counted(len(values), 'step')}, and two are needed; remove it")
    return values.astype(np.uint8)

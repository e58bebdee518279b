"""NPZ archives: which arrays they hold, and one of them whole or a row at a time, compressed or not."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import DataError
from pellucid.lab.data.folders import PARTS

LABELS = ("labels", "label", "y", "targets", "target")  # what arrays of labels are called
UNREADABLE = (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError)


class Pair(NamedTuple):
    """Two arrays that belong together.

    Attributes:
        side: 0 train, 1 validation, 2 test where the archive is split; None where it is not.
        values, labels: their names.
        others: the names of further arrays of the same part, by what they are called without it, in small letters.
    """

    side: int | None
    values: str
    labels: str
    others: Mapping[str, str]

    def beside(self, name: str) -> str | None:
        """What the array of this name is called in this part; None where there is none."""
        return self.others.get(name)


def pairs(source: Path, values: Sequence[str]) -> list[Pair]:
    """The arrays of values and of labels: those of a train and a test part (and perhaps of a validation), or one pair.

    Args:
        source: the archive.
        values: what the arrays of values may be called; capitals do not matter.

    Raises:
        DataError: it cannot be read.
    """
    lower = {name.casefold(): name for name in names(source)}
    found = []
    for part, side in PARTS.items():
        for before, behind in ((f"{part}_", ""), ("", f"_{part}")):
            own = {
                n[len(before) : len(n) - len(behind)]: lower[n]
                for n in lower
                if n.startswith(before) and n.endswith(behind)
            }
            found += _pairs(side, own, values)
    sides = [pair.side for pair in found]
    if {0, 2} <= set(sides) and len(set(sides)) == len(sides):
        return sorted(found, key=lambda pair: pair.side or 0)
    return _pairs(None, lower, values)[:1]


def _pairs(side: int | None, there: Mapping[str, str], values: Sequence[str]) -> list[Pair]:
    return [Pair(side, there[v], there[t], there) for v in values for t in LABELS if v in there and t in there]


def one_of_each(labels: NDArray[Any]) -> NDArray[np.int64] | None:
    """(N,) which column of (N, K) holds a row's one 1 beside zeros; None where a row has another number of them."""
    if labels.dtype.kind not in "fiub" or not np.isin(labels, (0, 1)).all() or not (labels.sum(1) == 1).all():
        return None
    return np.nonzero(labels)[1]


def names(source: Path) -> list[str]:
    """The names of an archive's arrays.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            return [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{source}: the archive cannot be read ({error}); is the file whole?") from None


def head(source: Path, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and the type of an array, which is not read for it.

    Raises:
        DataError: it cannot be read, or holds Python objects.
    """
    try:
        with zipfile.ZipFile(source) as archive, archive.open(f"{name}.npy") as member:
            shape, _, kind = _read_head(member)
    except UNREADABLE as error:
        raise _damaged(source, name, error) from None
    return shape, kind


def whole(source: Path, name: str) -> NDArray[Any]:
    """An array.

    Raises:
        DataError: it cannot be read, or holds Python objects.
    """
    try:
        with np.load(source, allow_pickle=False) as archive:
            return np.asarray(archive[name])
    except UNREADABLE as error:
        raise _damaged(source, name, error) from None


def rows(source: Path, name: str) -> Iterator[NDArray[Any]]:
    """An array's rows, one at a time in memory; all of them where they do not lie together (Fortran's order).

    Raises:
        DataError: it cannot be read, or holds Python objects.
    """
    try:
        with zipfile.ZipFile(source) as archive, archive.open(f"{name}.npy") as member:
            shape, fortran, kind = _read_head(member)
            if fortran:
                yield from whole(source, name)
                return
            size = int(np.prod(shape[1:])) * kind.itemsize
            for _ in range(shape[0]):
                yield np.frombuffer(member.read(size), dtype=kind).reshape(shape[1:])
    except UNREADABLE as error:
        raise _damaged(source, name, error) from None


def _read_head(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, kind = read(member)
    if kind.hasobject:
        raise ValueError("it holds Python objects, which could run code; save plain arrays")
    return tuple(shape), fortran, kind


def _damaged(source: Path, name: str, error: Exception) -> DataError:
    return DataError(f"{source}: the array {name!r} cannot be read ({error}); save it anew with numpy.savez")

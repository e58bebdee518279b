"""NPZ archives: which arrays they hold, and one of them whole or a row at a time, compressed or not."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import DataError

UNREADABLE = (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError)


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

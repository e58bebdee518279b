"""Arrays of any size: in memory, or on a file that the operating system pages in and out."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pellucid.errors import ArgumentError, DataError

Array = NDArray[np.float32]
PART = 16 * 2**20  # bytes that are worked on at a time
SLICE = 2 * 2**20  # of one array, where a step makes others of its size
HELD = 1.0  # GB of decoded data that are held in memory by default


def allowed(memory: float) -> float:
    """Bytes that data may take in memory as they were read, where so many GB are allowed: half, the rest is as networks see it.

    Raises:
        ArgumentError: a memory that cannot be.
    """
    if not 0 <= memory < float("inf"):
        raise ArgumentError(f"memory is {memory:g}; give gigabytes, 0 or more")
    return 1e9 * memory / 2


def room(shape: tuple[int, ...], held: float, kind: DTypeLike = np.float32) -> NDArray[Any]:
    """An array to be filled: in memory up to so many bytes, above that on a file in the cache folder.

    Raises:
        DataError: the file cannot be made, or there is no space for it.
    """
    size = np.dtype(kind).itemsize * math.prod(shape)
    if size <= held:
        return np.empty(shape, dtype=kind)
    with unnamed() as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # a write to a page without space would end the process
            return np.memmap(file, dtype=kind, mode="r+", shape=shape)
        except OSError as error:
            raise no_room(size, error) from None


class Space:
    """Memory that several arrays share: those that do not fit into what the others have left lie on files in the cache folder.

    Args:
        held: bytes of all that are held in memory at most.

    Attributes:
        held: as given.
        paged: bytes that lie on files.
    """

    def __init__(self, held: float = math.inf) -> None:
        self.held = held
        self._left = held
        self.paged = 0

    def array(self, shape: tuple[int, ...], kind: DTypeLike = np.float64) -> NDArray[Any]:
        """An array to be filled, that stays.

        Raises:
            DataError: there is no space for it.
        """
        found = self.scratch(shape, kind)
        if found.nbytes > self._left:
            self.paged += found.nbytes
        else:
            self._left -= found.nbytes
        return found

    def scratch(self, shape: tuple[int, ...], kind: DTypeLike = np.float64) -> NDArray[Any]:
        """The same for a while."""
        return np.asarray(room(shape, self._left, kind))


MEMORY = Space()  # without a limit


def unnamed() -> IO[bytes]:
    """A file in the cache folder without a name: its space is free again when the process ends, however it ends.

    Raises:
        DataError: it cannot be made.
    """
    folder = cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise no_room(0, error) from None


def no_room(size: int, error: OSError) -> DataError:
    """What to say where a file of so many bytes cannot be made in the cache folder."""
    large = f"file of {_much(size)}" if size else "file"
    return DataError(
        f"{cache()}: no {large} can be made there for what does not fit into memory ({error.strerror}); make room, or set "
        "PELLUCID_CACHE to a folder that has it"
    )


def paged(size: float, held: float, what: str) -> tuple[tuple[str, str], ...]:
    """The fact that so many bytes lie in a file, if they do."""
    if size <= held:
        return ()
    return (("Memory", f"{_much(size)} of {what} lie in a file and are paged from there"),)


def _much(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def cache() -> Path:
    """PELLUCID_CACHE, or the user's cache folder (XDG base directory specification)."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("PELLUCID_CACHE") or Path(home) / "pellucid")


def slices(count: int, size: int) -> Iterator[slice]:
    """So many rows of so many bytes each, a few at a time."""
    step = max(1, SLICE // max(size, 1))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def first(values: NDArray[Any], holds: Callable[[NDArray[Any]], Any]) -> int | None:
    """The first row of which something holds; ``holds`` says it of some rows, for each."""
    for part in slices(len(values), values[:1].nbytes):
        found = np.flatnonzero(holds(values[part]))
        if len(found):
            return int(part.start + found[0])
    return None


def last(values: NDArray[Any], holds: Callable[[NDArray[Any]], Any]) -> int | None:
    """The last row of which something holds."""
    found = first(values[::-1], holds)
    return None if found is None else len(values) - 1 - found


def parts(values: Array, rows: NDArray[np.int64]) -> Iterator[tuple[slice, Array]]:
    """Rows of an array a part at a time, each with its place among the rows."""
    count = max(1, PART // (values[:1].nbytes or 1))
    for start in range(0, len(rows), count):
        place = slice(start, start + count)
        yield place, values[rows[place]]


def moments(images: Array, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each channel of (N, C, H, W) over some rows; deviation 1 where a channel is constant."""
    count = len(rows) * math.prod(images.shape[2:])
    mean = sum(part.sum((0, 2, 3), dtype=np.float64) for _, part in parts(images, rows)) / count
    squares = sum(((part - mean[:, None, None]) ** 2).sum((0, 2, 3)) for _, part in parts(images, rows))
    spread = np.sqrt(squares / count)
    size = np.max([np.abs(part).max((0, 2, 3)) for _, part in parts(images, rows)], 0)
    return mean, np.where(spread <= 1e-6 * size, 1.0, spread)


def step_moments(each: Callable[[], Iterable[NDArray[Any]]]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Mean and deviation of each channel over the steps of sequences (T, C); deviation 1 where a channel is constant.

    They are added up step by step, so the figures are those of one array of all steps, to the last bit (where there are several
    channels; NumPy adds up a single one in another order). The mean is of the sequences' type.

    Args:
        each: makes the sequences anew.
    """
    count, size = 0, np.float32(0)
    low, high, squares = np.zeros((), np.float32), np.zeros(()), np.zeros(())
    for part in each():
        count += len(part)
        low, high = _added(low, part), _added(high, part.astype(np.float64))
        size = np.maximum(size, np.abs(part).max(0))
    mean, middle = low / low.dtype.type(count), high / count
    for part in each():
        squares = _added(squares, np.square(part - middle))
    spread = np.sqrt(squares / count)
    return mean, np.where(spread <= 1e-6 * size, 1.0, spread)


def _added(total: NDArray[Any], part: NDArray[Any]) -> NDArray[Any]:
    """A sum over steps that goes on over further ones (T, C), in their order and their type."""
    before = np.broadcast_to(total, part.shape[1:])[None]
    return np.asarray(np.add.reduce(np.concatenate([before, part]), 0))

"""Arrays of any size: in memory, or on a file that the operating system pages in and out."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import DataError

Array = NDArray[np.float32]
PART = 16 * 2**20  # bytes that are worked on at a time


def room(shape: tuple[int, ...], held: float) -> Array:
    """An array to be filled: in memory up to so many bytes, above that on a file in the cache folder.

    The file has no name once it is made: its space is free again when the process ends, however it ends.

    Raises:
        DataError: the file cannot be made, or there is no space for it.
    """
    size = 4 * math.prod(shape)
    if size <= held:
        return np.empty(shape, dtype=np.float32)
    folder = cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a write to a page without space would end the process
            return np.memmap(file, dtype=np.float32, mode="r+", shape=shape)
    except OSError as error:
        raise DataError(
            f"{folder}: no file of {size / 1e9:.1f} GB can be made there for what does not fit into memory "
            f"({error.strerror}); make room, or set PELLUCID_CACHE to a folder that has it"
        ) from None


def cache() -> Path:
    """PELLUCID_CACHE, or the user's cache folder (XDG base directory specification)."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("PELLUCID_CACHE") or Path(home) / "pellucid")


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

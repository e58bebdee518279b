"""Pictures as rows of a table, as MNIST is passed on in CSV: a column for each pixel, or one with the numbers of all pixels."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data import table
from pellucid.lab.data.archives import LABELS
from pellucid.lab.data.pictures import Encoded, Pictures, check_sides, numbered

NUMBERED = re.compile(r"(?:pixels?|pix|px)[ _.]?(\d+)", re.IGNORECASE)  # pixel0, pixel_1, px2
PLACED = re.compile(r"(\d+)x(\d+)")  # row x column
OF_ALL = ("pixels", "image", "img")  # what a column with all pixels of a picture is called
FEWEST = 16


class Pixels(NamedTuple):
    """Where a table has its pictures.

    Attributes:
        columns: of the pixels in order, row by row, a pixel's colours side by side; one that holds all of them.
        shape: (H, W) or (H, W, 3).
    """

    columns: tuple[str, ...]
    shape: tuple[int, ...]

    @property
    def words(self) -> str:
        """What a person is told of them."""
        size = " x ".join(map(str, self.shape))
        return f"{size} pixels in column {self.columns[0]!r}" if len(self.columns) == 1 else f"{size} columns of pixels"


def find(source: Path) -> Pixels | None:
    """The pictures of a table, told by the names of its columns; None where there are none."""
    names = table.names(source)
    placed = {name: (int(at[1]), int(at[2])) for name in names if (at := PLACED.fullmatch(name.strip()))}
    numbers = {name: (int(at[1]), 0) for name in names if (at := NUMBERED.fullmatch(name.strip()))}
    for found in (placed, numbers):
        shape = _shape(len(found))
        if shape and len(set(found.values())) == len(found):
            return Pixels(tuple(sorted(found, key=found.__getitem__)), shape)
    for name in (name for name in names if name.strip().casefold() in OF_ALL):
        first = next(table.pieces(source, [name], 0))[name]
        shape = _shape(len(_flat(first[0])))
        if shape:
            return Pixels((name,), shape)
    return None


def needed(source: Path) -> Pixels:
    """As :func:`find`.

    Raises:
        DataError: the table has none.
    """
    found = find(source)
    if found is None:
        raise DataError(
            f"{source}: no column holds images, as encoded bytes or as lists of numbers; nor are there columns pixel0, pixel1 "
            "and so on, as many as a square or a coloured square has"
        )
    return found


def labelled(source: Path, pixels: Pixels, label: str | None) -> Pictures:
    """The pictures and their classes.

    Args:
        source: CSV or Parquet.
        pixels: where they are.
        label: the column of classes; the only one beside the pixels, or the one that is called so, where None.

    Raises:
        DataError: no column of classes, a missing one, or one class alone.
        ArgumentError: no such column.
    """
    label = _label(source, pixels, label)
    values: list[Any] = []
    for piece in table.pieces(source, [label], 0):
        values += piece[label].to_list()
    if None in values:
        raise DataError(
            f"{source}, {table.row(source, values.index(None))}: column {label!r} is empty there; fill it in or drop the row"
        )
    if all(isinstance(v, str) and re.fullmatch(r"\d+(\.0*)?", v) for v in values):
        values = [int(float(v)) for v in values]
    classes, labels = numbered(values, None)
    check_sides(source, classes, labels, None)
    facts = (("Columns", f"{pixels.words}, classes from {label!r}"),)
    return Pictures(classes, labels, None, rows(len(values)), lambda: each(source, pixels), facts)


def rows(count: int) -> list[str]:
    """A name for each picture."""
    return [f"row {k + 1}" for k in range(count)]


def count(source: Path, pixels: Pixels) -> int:
    """How many pictures there are."""
    return sum(piece.height for piece in table.pieces(source, pixels.columns[:1], 0))


def each(source: Path, pixels: Pixels) -> Iterator[tuple[str, Encoded]]:
    """The pictures, a few rows at a time in memory, each with the words that name it in an error.

    Raises:
        DataError: a row has other than numbers, or another number of them.
    """
    before = 0
    for piece in table.pieces(source, pixels.columns, 0, numbers=pixels.columns):
        found: Iterable[NDArray[Any]]
        if len(pixels.columns) > 1:
            found = _numbers(source, piece, before)
        else:
            found = [_flat(cell) for cell in piece[pixels.columns[0]]]
        for k, picture in enumerate(found):
            where = f"{source}, row {before + k + 1}"
            if len(picture) != math.prod(pixels.shape):
                raise DataError(
                    f"{where}: there are {len(picture):,} numbers, and {' x '.join(map(str, pixels.shape))} pixels need "
                    f"{math.prod(pixels.shape):,}; correct the row, or remove it"
                )
            yield where, picture.reshape(pixels.shape)
        before += piece.height


def _shape(count: int) -> tuple[int, ...] | None:
    """Of a square picture with so many numbers."""
    for channels in (1, 3):
        side = math.isqrt(count // channels)
        if count >= FEWEST and side * side * channels == count:
            return (side, side) if channels == 1 else (side, side, 3)
    return None


def _numbers(source: Path, piece: pl.DataFrame, before: int) -> NDArray[Any]:
    """A row for each picture."""
    found = piece.cast(pl.Float64, strict=False)
    if any(column.null_count() for column in found):  # what a cell has instead is told for one column after the other
        found = pl.DataFrame([table.further_numbers(source, column, before) for column in piece])
    return found.to_numpy()


def _flat(cell: Any) -> NDArray[np.float64]:
    """The numbers of a list, or of a text with blanks or commas between them; empty where it is neither."""
    if isinstance(cell, str):
        cell = cell.strip("[] ").replace(",", " ").split()
    try:
        found = np.array(cell, dtype=np.float64)
    except (TypeError, ValueError):
        return np.zeros(0)
    return found if found.ndim == 1 else np.zeros(0)


def _label(source: Path, pixels: Pixels, label: str | None) -> str:
    names = table.names(source)
    if label is not None:
        if label not in names:
            others = [name for name in names if name not in pixels.columns]
            raise ArgumentError(
                f"{source} has no column {label!r}; beside the pixels its columns are {', '.join(others) or 'none'}"
            )
        return label
    could: Sequence[str] = [name for name in names if name not in pixels.columns and name]
    likely = [name for name in could if name.casefold() in (*LABELS, "class")] or could
    if len(likely) != 1:
        what = (
            f"the columns {', '.join(could)} could hold the classes; name one with --label"
            if could
            else ("no column could hold the classes; add one")
        )
        raise DataError(f"{source}: beside the pixels {what}")
    return likely[0]

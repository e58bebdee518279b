"""Pictures without labels, as prediction takes them: files, a folder of them, or the tables and archives of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.errors import DataError
from pellucid.lab.data import archives, pixel_tables, table
from pellucid.lab.data.folders import PARTS
from pellucid.lab.data.inputs import files_at
from pellucid.lab.data.picture_files import (
    IMAGES,
    image_column,
    pictures_of_array,
    pictures_of_table,
    rows_of_table,
    shape_of_array,
)
from pellucid.lab.data.pictures import FILES, Encoded
from pellucid.lab.data.split import shown


@dataclass(frozen=True)
class Unlabelled:
    """Pictures in a fixed order.

    Attributes:
        names: each one's, as training names it where it is of a table or an archive, and its path where it is a file.
        each: goes over all pictures, one at a time in memory, with the words that name it in an error.
        notes: sentences on files that are no pictures.
    """

    names: list[str]
    each: Callable[[], Iterator[tuple[str, Encoded]]]
    notes: tuple[str, ...] = ()


def find(source: Path) -> Unlabelled:
    """The pictures of an image file, a folder, a table or an NPZ archive; labels there are not looked at.

    Raises:
        DataError: nothing is there, or no pictures.
    """
    suffix = source.suffix.lower()
    if source.is_file() and suffix == ".npz":
        return _of_archive(source)
    if source.is_file() and suffix in table.PARQUET and image_column(source) is not None:
        return _of_tables([source])
    if source.is_file() and suffix in table.TABLES:
        pixels = pixel_tables.needed(source)
        return Unlabelled(
            pixel_tables.rows(pixel_tables.count(source, pixels)), lambda: pixel_tables.each(source, pixels)
        )
    if source.is_dir() and not any(f.suffix.lower() in FILES for f in source.rglob("*")):
        tables = sorted(f for f in source.rglob("*") if f.suffix.lower() in table.PARQUET)
        if tables:
            return _of_tables(tables)
    files, notes = files_at(source, FILES, "image")
    return Unlabelled([shown(file) for file in files], lambda: ((shown(file), file) for file in files), notes)


def _of_tables(files: Sequence[Path]) -> Unlabelled:
    columns = {file: image_column(file) for file in files}
    for file, column in columns.items():
        if column is None:
            raise DataError(f"{file}: no column holds images; encoded bytes, or nested lists of numbers, are needed")
    counts = {file: rows_of_table(file) for file in files}
    several = len(files) > 1
    names = [f"{file.name} row {k + 1}" if several else f"row {k + 1}" for file in files for k in range(counts[file])]

    def each() -> Iterator[tuple[str, Encoded]]:
        for file, column in columns.items():
            yield from pictures_of_table(file, str(column))

    return Unlabelled(names, each)


def _of_archive(source: Path) -> Unlabelled:
    there = archives.names(source)
    parted = [f"{i}_{part}" for i in IMAGES for part in PARTS] + [f"{part}_{i}" for i in IMAGES for part in PARTS]
    found = [name for name in there if name.casefold() in (*IMAGES, *parted)] or (there if len(there) == 1 else [])
    if not found:
        raise DataError(
            f"{source}: the archive holds {', '.join(there) or 'no arrays'}; call the array of images 'images'"
        )
    split = any(name.casefold() in parted for name in found)
    names = [f"{name} {k}" if split else f"image {k}" for name in found for k in range(shape_of_array(source, name)[0])]

    def each() -> Iterator[tuple[str, Encoded]]:
        for name in found:
            yield from pictures_of_array(source, name)

    return Unlabelled(names, each)

"""Labelled pictures in one file: Parquet as Hugging Face datasets write it, and NPZ as Keras and MedMNIST ship it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data import archives
from pellucid.lab.data.archives import LABELS
from pellucid.lab.data.folders import PARTS
from pellucid.lab.data.pictures import Encoded, Pictures, check_sides, numbered

IMAGES = ("images", "image", "x", "data")  # names of an NPZ's arrays
NARROWEST = 8  # what arrays of sequences have more channels than, if they are about as many as steps
ROWS = 64  # of a Parquet file that are in memory at a time


def image_column(file: Path) -> str | None:
    """The column of a Parquet file that holds images: encoded bytes, or nested lists of numbers."""
    try:
        schema = pq.read_schema(file)
    except (pa.ArrowException, OSError):
        return None  # whoever reads the table says what is wrong
    return next((field.name for field in schema if _holds_images(field.type)), None)


def of_parquet(source: Path, label: str | None = None) -> Pictures:
    """A Parquet file, or a folder of them, with a column of images and one of labels.

    Files of a folder whose names begin with ``train`` and ``test`` (and perhaps ``validation``) are a given split. Class
    names come from the file's Hugging Face metadata where it has them.

    Args:
        source: file or folder.
        label: the column of labels; the only one that could be it where None.

    Raises:
        DataError: the file cannot be read, no column of labels, a missing value.
        ArgumentError: no such column.
    """
    files = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
    parts = [PARTS.get(file.stem.casefold().split("-")[0]) for file in files]
    split = {0, 2} <= set(parts)
    if split and None in parts:
        raise DataError(f"{files[parts.index(None)]}: beside train and test this file belongs to neither; move it away")
    columns = [image_column(file) for file in files]
    if None in columns:
        raise DataError(f"{files[columns.index(None)]}: no column holds images; keep only files that have one")
    tables = [_opened(file) for file in files]
    image, schema = str(columns[0]), tables[0].schema_arrow
    label = _label_column(source, schema, image, label)
    values: list[Any] = []
    places: list[tuple[Path, int]] = []
    for file, table in zip(files, tables, strict=True):
        column = _column(file, table, label).to_pylist()
        if None in column:
            raise DataError(f"{file}, row {column.index(None) + 1}: column {label!r} is empty there; fill it in")
        values += column
        places += [(file, row) for row in range(len(column))]
    classes, labels = numbered(values, _names(schema, label))
    given = [part or 0 for file, part in zip(files, parts, strict=True) for _ in range(rows_of_table(file))]
    check_sides(source, classes, labels, given if split else None)
    names = [f"row {row + 1}" if len(files) == 1 else f"{file.name} row {row + 1}" for file, row in places]

    def each() -> Iterator[tuple[str, Encoded]]:
        for file in files:
            yield from pictures_of_table(file, image)

    facts = (("Columns", f"images from {image!r}, classes from {label!r}"),)
    return Pictures(classes, labels, given if split else None, names, each, facts)


def of_arrays(source: Path) -> Pictures:
    """An NPZ archive: ``images`` (N, H, W) or (N, H, W, C) and ``labels`` (N,).

    ``x_train``, ``y_train``, ``x_test``, ``y_test`` (and perhaps ``x_val``, ``y_val``), or ``train_images``,
    ``train_labels`` and so on, are a given split. Rows are read one at a time.

    Raises:
        DataError: no such arrays, shapes that do not fit, Python objects inside.
    """
    pairs = archives.pairs(source, IMAGES)
    if not pairs:
        raise DataError(
            f"{source}: the archive holds {', '.join(archives.names(source)) or 'no arrays'}; images are the arrays 'images' and "
            "'labels', or x_train, y_train, x_test and y_test"
        )
    split = pairs[0].side is not None
    values: list[Any] = []
    given: list[int] = []
    names: list[str] = []
    counts: list[int] = []
    for side, images, targets, _ in pairs:
        shape = shape_of_array(source, images)
        own = np.squeeze(archives.whole(source, targets))
        if own.ndim == 2 and (chosen := archives.one_of_each(own)) is not None:
            own = chosen
        if own.dtype.kind == "f" and (own % 1 == 0).all():
            own = own.astype(np.int64)
        if own.shape != (shape[0],) or own.dtype.kind not in "biuUS":
            raise DataError(
                f"{source}: {targets!r} is {own.dtype} of shape {own.shape}; {shape[0]} images need as many classes, whole "
                "numbers or words"
            )
        values += own.tolist()
        given += [side or 0] * shape[0]
        counts.append(shape[0])
        names += [f"{images} {k}" if split else f"image {k}" for k in range(shape[0])]
    classes, labels = numbered(values, None)
    check_sides(source, classes, labels, given if split else None)

    def each() -> Iterator[tuple[str, Encoded]]:
        for _, images, _, _ in pairs:
            yield from pictures_of_array(source, images)

    facts = (("Arrays", ", ".join(f"{i} and {t}" for _, i, t, _ in pairs)),)
    return Pictures(classes, labels, given if split else None, names, each, facts)


def holds_images(source: Path) -> bool:
    """Whether an NPZ archive has the arrays' names, and those that any array may have are of an image's shape."""
    try:
        pairs = archives.pairs(source, IMAGES)
        return all(_could_be_images(pair.values, *archives.head(source, pair.values)) for pair in pairs) and bool(pairs)
    except DataError:
        return False


def _could_be_images(name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> bool:
    """(N, T, C) of sequences is rarely as wide as it is high, and of bytes."""
    if "image" in name.casefold() or kind == np.uint8:
        return True
    return len(shape) == 4 or (len(shape) == 3 and min(shape[1:]) >= NARROWEST and max(shape[1:]) <= 2 * min(shape[1:]))


def pictures_of_table(file: Path, column: str) -> Iterator[tuple[str, Encoded]]:
    """The pictures of a Parquet file's column, a few rows at a time in memory, each with the words that name it."""
    for row, cell in enumerate(_cells(file, column)):
        where = f"{file}, row {row + 1}"
        yield where, _encoded(where, column, cell)


def rows_of_table(file: Path) -> int:
    """How many rows a Parquet file has."""
    return int(_opened(file).metadata.num_rows)


def pictures_of_array(source: Path, name: str) -> Iterator[tuple[str, Encoded]]:
    """The pictures of an archive's array, one at a time in memory, each with the words that name it."""
    shape = shape_of_array(source, name)
    first = shape != archives.head(source, name)[0]  # channels come first there
    for k, picture in enumerate(archives.rows(source, name)):
        yield f"{source}, {name}[{k}]", np.moveaxis(picture, 0, 2) if first else picture


def shape_of_array(source: Path, name: str) -> tuple[int, ...]:
    """The shape of an archive's array of images, with channels last: (N, C, H, W) counts as (N, H, W, C).

    Raises:
        DataError: it is none.
    """
    shape, kind = archives.head(source, name)
    if len(shape) == 4 and shape[3] > 4 >= shape[1]:
        shape = (shape[0], shape[2], shape[3], shape[1])
    channels = shape[3] if len(shape) == 4 else 1
    if len(shape) not in (3, 4) or channels > 4 or kind.kind not in "biuf":
        raise DataError(
            f"{source}: {name!r} is {kind} of shape {shape}; images are numbers of shape (N, height, width) or "
            "(N, height, width, channels) with 1 to 4 channels"
        )
    return shape


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    depth = 0
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind, depth = kind.value_type, depth + 1
    return depth in (2, 3) and (pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _opened(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from None


def _column(file: Path, table: pq.ParquetFile, name: str) -> pa.ChunkedArray:
    try:
        return table.read([name]).column(0)
    except (pa.ArrowException, OSError, IndexError) as error:
        raise _unreadable(file, error) from None


def _cells(file: Path, column: str) -> Iterator[Any]:
    try:
        for batch in _opened(file).iter_batches(ROWS, columns=[column]):
            yield from batch.column(0)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: Exception) -> DataError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return DataError(f"{file}: the table cannot be read ({reason}); is the file whole?")


def _encoded(where: str, column: str, cell: Any) -> Encoded:
    value = cell.as_py()
    if isinstance(value, dict):
        value = value["bytes"]
    if value is None:
        raise DataError(f"{where}: column {column!r} has no image there; embed the images' bytes, or remove the row")
    if isinstance(value, bytes):
        return value
    try:
        array = np.array(value)
    except ValueError:
        array = np.array(None)
    if array.ndim not in (2, 3) or array.dtype.kind not in "biuf" or array.shape[2:] > (4,):
        raise DataError(
            f"{where}: column {column!r} holds lists of unequal length, or not of numbers; an image is height x width"
        )
    return array.astype(np.uint8) if array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 255 else array


def _label_column(source: Path, schema: pa.Schema, image: str, label: str | None) -> str:
    if label is not None:
        if label not in schema.names:
            raise ArgumentError(f"{source} has no column {label!r}; its columns are {', '.join(schema.names)}")
        return label
    could = [f.name for f in schema if f.name != image and (_is_class(f.type))]
    likely = [name for name in could if name.casefold() in LABELS] or could
    if len(likely) != 1:
        raise DataError(
            f"{source}: beside the images in {image!r} "
            + (f"the columns {', '.join(could)} could hold the labels" if could else "no column could hold labels")
            + "; name one with --label"
        )
    return str(likely[0])


def _is_class(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string, pa.types.is_boolean)
    return any(test(kind) for test in tests)


def _names(schema: pa.Schema, label: str) -> list[str] | None:
    """The classes' names, as Hugging Face datasets note them in a file."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        names = about["info"]["features"][label]["names"]
        return [str(name) for name in names]
    except (KeyError, ValueError, TypeError):
        return None

"""Sequences without classes, as prediction takes them, in the forms of training; a table by itself may be one, too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.errors import DataError
from pellucid.lab.data import table
from pellucid.lab.data.inputs import files_at
from pellucid.lab.data.sequence_files import (
    TABLES,
    Array,
    Sequences,
    archive_pair,
    arrays_of,
    channels_of,
    cut_arrays,
    read_ts,
    rows_by,
)
from pellucid.lab.data.split import shown


def find(source: Path, how: Mapping[str, Any]) -> Sequences:
    """The sequences of a ``.ts`` file, an NPZ archive, a table, or a folder of tables; classes there are not looked at.

    A table is a long one where training's was, with the same column to tell sequences apart, and one sequence elsewhere.

    Args:
        source: file or folder.
        how: the task's preprocessing.

    Raises:
        DataError: it cannot be read, or has not the channels of training.
    """
    values: list[Array] = []
    items: list[str] = []
    pair = archive_pair(source) if source.is_dir() else None
    for file in pair or files_at(source, TABLES | {".ts", ".npz"}, "table"):
        own, names = _of_file(file, how)
        values += own
        items += names
    for name, value in zip(items, values, strict=True):
        if not len(value):
            raise DataError(f"{source}: {name} has no steps; remove it")
    return Sequences(values, [], [], items, how["channels"], None, "new")


def _of_file(file: Path, how: Mapping[str, Any]) -> tuple[list[Array], list[str]]:
    suffix = file.suffix.lower()
    if suffix in TABLES:
        return _of_table(file, how)
    if suffix == ".ts":
        values = read_ts(file, labelled=False)[0]
        items = [f"{shown(Path(file.name))} case {k + 1}" for k in range(len(values))]
    else:
        values = cut_arrays(file, arrays_of(file, "values"))
        items = [f"sequence {k + 1}" for k in range(len(values))]
    wanted = len(how["channels"])
    strange = next((k for k, v in enumerate(values) if v.shape[1] != wanted), None)
    if strange is not None:
        raise DataError(
            f"{file}: {items[strange]} has {values[strange].shape[1]} channels, and the networks saw {wanted}; give the "
            "same, in the same order"
        )
    return values, items


def _of_table(file: Path, how: Mapping[str, Any]) -> tuple[list[Array], list[str]]:
    frame = table.read(file)
    id, channels = how["id"], how["channels"]
    for name in (*channels, *([id] if id else [])):
        if name not in frame.columns:
            role = "it tells sequences apart" if name == id else f"the networks saw {', '.join(channels)}"
            raise DataError(
                f"{file}: there is no column {name!r}, and {role}; add it (there are {', '.join(frame.columns)})"
            )
    numbers = channels_of(file, frame.select(channels))
    if numbers.columns != channels:
        lost = next(name for name in channels if name not in numbers.columns)
        raise DataError(f"{file}: column {lost!r} holds no numbers; correct it")
    values = numbers.to_numpy().astype(np.float64)
    if id is None:
        return [values], [shown(file)]
    if frame[id].null_count():
        at = int(frame[id].is_null().arg_max() or 0)
        raise DataError(f"{file}, {table.row(file, at)}: column {id!r} is empty there; fill it in or drop the row")
    rows = rows_by(frame[id])
    return [values[own] for own in rows.values()], [f"{id} {name}" for name in rows]

"""Sequences without classes, as prediction takes them, in the forms of training; a table by itself may be one, too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.errors import DataError
from pellucid.lab.data import list_tables, sequence_arrays, sequence_tables, table, ts_files
from pellucid.lab.data.inputs import Found, files_at
from pellucid.lab.data.sequence_files import Sequences
from pellucid.lab.data.sequence_tables import channels_of
from pellucid.lab.data.split import shown
from pellucid.lab.data.stacks import Array
from pellucid.lab.data.table import TABLES


def find(source: Path, how: Mapping[str, Any], held: float) -> Sequences:
    """The sequences of a ``.ts`` file, an NPZ archive, a table, or a folder of tables; classes there are not looked at.

    A table is a long one where training's was, with the same column to tell sequences apart, and one sequence elsewhere; where its
    columns hold lists, each row is one.

    Args:
        source: file or folder.
        how: the task's preprocessing.
        held: bytes of a file's values that are held in memory; more lie on a file of their own.

    Raises:
        DataError: it cannot be read, or has not the channels of training.
    """
    values: list[Array] = []
    items: list[str] = []
    pair = ts_files.archive_pair(source) if source.is_dir() else None
    files, notes = Found(list(pair), ()) if pair else files_at(source, TABLES | {".ts", ".npz"}, "table")
    for file in files:
        own, names = _of_file(file, how, held)
        values += own
        items += names
    for name, value in zip(items, values, strict=True):
        if not len(value):
            raise DataError(f"{source}: {name} has no steps; remove it")
    return Sequences(values, [], [], items, how["channels"], None, "new", notes=notes)


def _of_file(file: Path, how: Mapping[str, Any], held: float) -> tuple[list[Array], list[str]]:
    suffix = file.suffix.lower()
    if suffix in TABLES:
        return _of_table(file, how, held)
    if suffix == ".ts":
        values = ts_files.read(file, labelled=False, held=held)[0]
        items = [f"{shown(Path(file.name))} case {k + 1}" for k in range(len(values))]
    else:
        values, items = sequence_arrays.unlabelled(file, held)
    wanted = len(how["channels"])
    strange = next((k for k, v in enumerate(values) if v.shape[1] != wanted), None)
    if strange is not None:
        raise DataError(
            f"{file}: {items[strange]} has {values[strange].shape[1]} channels, and the networks saw {wanted}; give the "
            "same, in the same order"
        )
    return values, items


def _of_table(file: Path, how: Mapping[str, Any], held: float) -> tuple[list[Array], list[str]]:
    id, channels = how["id"], how["channels"]
    if set(channels) <= set(list_tables.channels(table.glance(file, held))):
        rows = list_tables.read(file, channels, None, None, held)
        return rows.values, rows.names
    frame = table.read(file) if id is None else table.glance(file, held)
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
    if id is None:
        return [numbers.to_numpy().astype(np.float64)], [shown(file)]
    found = sequence_tables.read(file, id, None, channels, held)
    return found.values, [f"{id} {name}" for name in found.names]

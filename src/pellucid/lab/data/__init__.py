"""From a path to a task: what the data is, and how each kind is read, split and scaled."""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any, Unpack, get_args

import polars as pl

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data import (
    archives,
    characters,
    event_files,
    events,
    images,
    list_tables,
    numbers,
    picture_files,
    pictures,
    pixel_tables,
    sequence_arrays,
    sequence_files,
    sequence_tables,
    sequences,
    series,
    sound,
    table,
    text,
    ts_files,
)
from pellucid.lab.data.folders import Progress, visible
from pellucid.lab.data.paging import HELD, allowed
from pellucid.lab.data.sequence_arrays import Answer
from pellucid.lab.settings import Kind, Reading
from pellucid.lab.task import Origin, Task

_LOADERS: dict[str, Callable[..., Task]] = {
    "images": images.load,
    "series": series.load,
    "sequences": sequences.load,
    "text": text.load,
    "characters": characters.load,
    "sound": sound.load,
    "events": events.load,
}


@dataclass(frozen=True)
class Recognition:
    """What the data is taken for, and a sentence that says why."""

    kind: Kind
    sentence: str


def recognise(path: Path, **options: Unpack[Reading]) -> Recognition:
    """Tell what the data is.

    Args:
        path: a file or a folder.
        options: as for :func:`load`; a table that may be several things is one that has all that is asked for.

    Raises:
        DataError: nothing is there, or it is none of the known kinds.
        ArgumentError: a memory that cannot be.
    """
    try:
        there = path.exists()
    except OSError as error:
        raise DataError(f"{path}: no file or folder can have this name ({error.strerror})") from None
    if not there:
        near = difflib.get_close_matches(
            path.name, [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else [], 1
        )
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise DataError(f"{path}: there is no such file or folder{hint}")
    given = _given(options)
    if "kind" in given:
        return Recognition(given["kind"], f"{_name(path)} is read as {given['kind']}")
    if path.is_dir():
        return _recognise_folder(path)
    suffix = path.suffix.lower()
    if suffix == ".npz" and picture_files.holds_images(path):
        return Recognition(
            "images",
            f"{_name(path)} has arrays of images and labels: images to classify (--kind sequences reads them as steps x channels)",
        )
    if suffix in table.PARQUET and (column := picture_files.image_column(path)):
        return Recognition("images", f"{_name(path)} has a column of images, {column!r}: images to classify")
    if suffix in table.TABLES and given.keys() <= _options("images") and (pixels := pixel_tables.find(path)):
        return Recognition("images", f"{_name(path)} has {pixels.words}: images to classify")
    if suffix in table.TABLES:
        return _recognise_table(path, given)
    if suffix == ".ts" or (suffix == ".npz" and sequence_arrays.holds(path)):
        answer = sequence_files.answer_of(path)
        return Recognition("sequences", f"{_name(path)} holds sequences with {_EACH[answer]} each: {_TO_DO[answer]}")
    if suffix == ".npz" and not zipfile.is_zipfile(path):
        raise DataError(f"{path}: the file is no NPZ archive; save one with numpy.savez")
    if suffix == ".mat" or (suffix == ".npz" and event_files.holds_events(path)):
        return Recognition("events", f"{_name(path)} holds matrices of 0 and 1 over time: say which events hold next")
    if suffix == ".npz":
        raise DataError(
            f"{path}: the archive holds {', '.join(archives.names(path)) or 'no arrays'}; images are the arrays 'images' and "
            "'labels', sequences 'values' and 'labels', events 'events', or a 'train' and a 'test' of each"
        )
    if suffix in (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"):
        raise DataError(f"{path}: this is an archive; unpack it, and give what was in it")
    if suffix in (".xlsx", ".xlsm", ".xls", ".ods", ".numbers"):
        raise DataError(f"{path}: this is a workbook; save the sheet as CSV, and give that")
    if suffix in (".txt", ".md", ".text", ""):
        return Recognition("characters", f"{_name(path)} is a plain text: say its next character")
    raise DataError(
        f"{path}: files ending in {suffix!r} are not known; give a folder of images, sounds or tables per class, a "
        "CSV or Parquet table, images, sequences or events as .npz, sequences as .ts, events as .mat, or a plain text"
    )


_EACH: dict[Answer, str] = {"class": "a class", "number": "a number", "labels": "several labels"}
_TO_DO: dict[Answer, str] = {
    "class": "sequences to classify",
    "number": "say the number",
    "labels": "say which labels hold",
}


def load(
    path: Path | str, *, progress: Progress | None = None, seed: int | None = None, **options: Unpack[Reading]
) -> Task:
    """Make the task; options that are None count as not given.

    Args:
        path: a folder or a file.
        progress: told of each file.
        seed: of the split, where the data has none of its own and is not split in time.
        options: see :class:`pellucid.lab.settings.Reading`.

    Raises:
        DataError: the data cannot be used.
        ArgumentError: an option that this kind of data does not have.
    """
    path = Path(path)
    given = _given(options) | ({} if seed is None else {"seed": seed})
    recognised = recognise(path, **options).kind
    given.pop("kind", None)
    if recognised not in _LOADERS:
        raise ArgumentError(f"kind is {recognised!r}, and it must be one of {', '.join(get_args(Kind))}")
    packed = recognised == "images" and path.suffix.lower() in (".npz", *table.TABLES)
    wants_folder = recognised in ("images", "sound") and not packed
    if recognised not in ("sequences", "events") and path.is_dir() != wants_folder:
        needed = "a folder with a folder for each class" if wants_folder else "a file"
        needed += ", an NPZ archive or a table" * (recognised == "images")
        raise DataError(f"{path}: {recognised} needs {needed}, and this is a {'file' if wants_folder else 'folder'}")
    for name in ("horizon", "window", "longest"):
        if given.get(name, 1) < 1:
            raise ArgumentError(f"{name} is {given[name]}; give 1 or more")
    known = _options(recognised)
    strange = sorted(given.keys() - known)
    if strange:
        offered = ", ".join(sorted(known & Reading.__annotations__.keys()))
        raise ArgumentError(f"{strange[0]!r} says nothing for {recognised}; its options are {offered}")
    origin = Origin(path.resolve(), recognised, tuple(sorted(given.items())))
    if "split" in given:
        given["split"] = _rows(given["split"])
    if recognised in ("images", "sound", "sequences", "events"):
        given["progress"] = progress
    try:
        return replace(_LOADERS[recognised](path, **given), origin=origin)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "can't allocate memory" not in str(
            error
        ):  # torch has no error of its own for it
            raise
        remedy = "give a smaller --memory, and what is more is paged from a file" if "memory" in known else "bring less"
        raise DataError(f"{path}: the data does not fit into memory; {remedy}") from None


def _given(options: Reading) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _options(kind: Kind) -> set[str]:
    """What can be asked of a kind."""
    return {name for name in signature(_LOADERS[kind]).parameters if name not in ("source", "progress")}


def _rows(split: str) -> list[int]:
    try:
        return [int(part) for part in str(split).split(",")]
    except ValueError:
        raise ArgumentError(
            f"split is {str(split)!r}; give whole numbers with commas between, such as 8640,2880,2880"
        ) from None


def _name(path: Path) -> str:
    """What a file or a folder is called, also where it is given as ``.``"""
    return path.name if path.name not in ("", "..") else path.resolve().name or str(path)


def _recognise_table(path: Path, given: Mapping[str, Any]) -> Recognition:
    frame = table.glance(path, allowed(given.get("memory", HELD)))
    for name in ("text", "label", "id"):
        if given.get(name) is not None and given[name] not in frame.columns:
            raise ArgumentError(f"{path} has no column {given[name]!r}; its columns are {', '.join(frame.columns)}")
    label = given.get("label")
    words = [name for name in frame.columns if name != label and table.is_words(frame[name])]
    numeric = any(c.dtype.is_numeric() for c in frame.iter_columns())
    texts = frame.width > 1 and words and (not numeric or any(_are_texts(frame[name]) for name in words))
    kinds: tuple[Kind, ...] = ("sequences", "text") if texts and not numeric else ("sequences", "text", "series")
    could = [kind for kind in kinds if given.keys() <= _options(kind)] or kinds
    spoken = any(_of_several_words(frame[name]) for name in words)  # beside which lists may be their tokens
    if "sequences" in could and not spoken and list_tables.holds(frame, label):
        by = label or list_tables.label_column(frame)
        said = [] if by is None else frame[by].drop_nulls().cast(pl.String).to_list()
        answer: Answer = "number" if said and numbers.reason(said) else "class"
        of = ", ".join(map(repr, list_tables.channels(frame))) + (f", and labels in {by!r}" if by else "")
        return Recognition("sequences", f"{_name(path)} has lists of numbers in each row, in {of}: {_TO_DO[answer]}")
    long = sequence_tables.long_columns(frame, given.get("id"), label)
    if long and "sequences" in could:
        return Recognition(
            "sequences",
            f"{_name(path)} is a long table whose column {long.label!r} is the same along each {long.id!r}: "
            f"{_TO_DO[long.answer]}",
        )
    if "text" in could and (texts or could == ["text"]):
        column = given.get("text") or text.text_column(frame, label) or frame.columns[0]
        return Recognition("text", f"{_name(path)} has a column of texts, {column!r}: texts to classify")
    if "series" in could:
        several = given.get("id") or series.id_column(frame)
        by = f" with several series by column {several!r}: series" if several else ": a series"
        return Recognition("series", f"{_name(path)} is a table of numbers{by} to forecast")
    what = "say the number" if given.get("regress") else "sequences to classify"
    return Recognition("sequences", f"{_name(path)} is a table, and labels are asked for: {what}")


def _recognise_folder(path: Path) -> Recognition:
    pair = ts_files.archive_pair(path)
    if pair:
        answer = sequence_files.answer_of(pair[0])
        return Recognition(
            "sequences", f"{_name(path)} holds a training and a test file of sequences: {_TO_DO[answer]}"
        )
    if event_files.folder_of_rolls(path):
        return Recognition(
            "events", f"{_name(path)} holds matrices of 0 and 1, a file each: say which events hold next"
        )
    counts, arrays = {"images": 0, "sound": 0, "sequences": 0}, 0
    for file in visible(path):
        suffix = file.suffix.lower()
        counts["images"] += suffix in pictures.FILES
        arrays += suffix == ".npy"
        counts["sound"] += suffix in sound.SUFFIXES
        counts["sequences"] += suffix in table.TABLES
    if (
        not counts["images"]
        and not counts["sound"]
        and any(picture_files.image_column(f) for f in path.rglob("*.parquet"))
    ):
        return Recognition("images", f"{_name(path)} holds Parquet tables with images: images to classify")
    if not any(counts.values()):
        raise DataError(
            f"{path}: the folder holds no images, sounds or tables that are known "
            f"({', '.join(sorted(pictures.FILES | sound.SUFFIXES | table.TABLES))}); put each class's files into a "
            "folder of its own"
        )
    if counts["sequences"] > max(counts["sound"], counts["images"]):
        return Recognition(
            "sequences", f"{_name(path)} holds {counts['sequences']:,} tables: sequences to classify, one a file"
        )
    if counts["sound"] > counts["images"]:
        return Recognition("sound", f"{_name(path)} holds {counts['sound']:,} sounds: recordings to classify")
    what = "arrays (.npy)" if arrays == counts["images"] else "images"
    return Recognition("images", f"{_name(path)} holds {counts['images']:,} {what}: images to classify")


def _are_texts(column: pl.Series) -> bool:
    """Whether a column's words are long, or several, and mostly differ from row to row, and so are no names of kinds."""
    words = column.cast(pl.String).drop_nulls().str.strip_chars()
    different = words.n_unique() / max(len(words), 1)
    long = different > 0.1 and float(words.str.len_chars().mean() or 0) > 20  # type: ignore[arg-type]
    return _of_several_words(column) or long


def _of_several_words(column: pl.Series) -> bool:
    words = column.cast(pl.String).drop_nulls().str.strip_chars()
    return bool(words.str.contains(r"\s").sum() > len(words) / 2 and words.n_unique() > 0.5 * len(words))

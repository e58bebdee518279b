"""A table with a text and a label: sequences of characters, subwords or words to classify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.counted import counted, some
from pellucid.lab.data import table, texts
from pellucid.lab.data import tokens as cutting
from pellucid.lab.data.classes import always_the_most_frequent, judgement, strongest
from pellucid.lab.data.folders import sides
from pellucid.lab.data.inputs import Inputs, understood
from pellucid.lab.data.paging import HELD, allowed, paged, room
from pellucid.lab.data.ragged import Ragged
from pellucid.lab.data.split import digest
from pellucid.lab.data.text_answers import bags
from pellucid.lab.task import Split, Task

LONGEST = {"characters": 160, "subwords": 480, "words": 800}  # characters that are read of each text by default at most

TEXTS = ("text", "message", "content", "review", "sentence", "comment")
LABELS = ("label", "labels", "class", "category", "sentiment", "stars", "rating")

AT_ONCE = 1000  # texts that are cut into tokens together


def load(
    source: Path,
    *,
    seed: int = 0,
    text: str | None = None,
    label: str | None = None,
    longest: int | None = None,
    tokens: str | None = None,
    memory: float = HELD,
) -> Task:
    """Read texts and labels; a character or word that the training part does not have is unknown.

    Args:
        source: CSV or Parquet.
        seed: of the split.
        text: column of texts; where None the one that is called so, or else the one with the longest.
        label: column of labels; where None the one that is called so, or else the one with the fewest different values.
        longest: characters that are read of each text.
        tokens: characters, subwords or words; by the amount of text where None.
        memory: GB of texts and tokens to hold in memory; more lies in files that the operating system pages.

    Raises:
        DataError: no such columns, one class, empty or missing values, NUL in a text.
        ArgumentError: a named column that is not there, tokens that are not known, a memory that cannot be.
    """
    held = allowed(memory)
    text, label = columns(source, table.glance(source, held, texts.NULLS), text, label)
    read = texts.read(source, text, label, longest or max(LONGEST.values()), held / 2)
    classes = sorted(read.kinds)
    if len(classes) == 1:
        raise DataError(
            f"{source}: column {label!r} has one class, {classes[0]!r}, and telling classes apart needs two"
        )
    count = len(read.texts)
    if len(classes) > count / 3:
        raise DataError(
            f"{source}: column {label!r} has {len(classes)} different values in {count} rows, which is no "
            "class; name the label column with --label"
        )
    number = {read.kinds[name]: k for k, name in enumerate(classes)}
    labels = [number[kind] for kind in read.labels]
    lengths = np.array(read.lengths)
    way = cutting.chosen(tokens, round(0.7 * int(lengths.sum())))
    longest = longest or int(min(LONGEST[way], max(1, np.quantile(lengths, 0.98))))
    seen = texts.Texts(read.texts, np.arange(count), longest)
    contents = [digest(t) for t in seen]  # equal to a network is equal up to the cut
    indices, cautions, how = sides(source, classes, labels, contents, None, seed)
    parts = [seen.rows(side) for side in indices]
    cut = cutting.learn(way, parts[0], padding=True)
    codes = [_codes(part, cut, held * len(part) / count) for part in parts]
    most = max(int(own.sizes.max()) // 8 for own in codes)
    padded = [_padded(own, most, held * len(own) / count) for own in codes]
    y = torch.tensor(labels)
    splits = [Split(x, y[i], kept, [f"row {k + 1}" for k in i]) for i, (x, kept) in zip(indices, padded, strict=True)]
    for own in (*(classes[k] for k in labels), f"text {seed} {longest} {way}"):
        read.fingerprint.add(own)
    judged = judgement(splits[0].y, splits[2].y, classes)
    simple = always_the_most_frequent(splits[0].y, len(splits[1]), len(splits[2]), classes)
    bagged = bags(parts[0], splits[0].y.numpy(), parts[1], parts[2], len(classes))
    longer = int((lengths > longest).sum())
    kinds = len(cut.vocabulary) - 2
    known = {
        "characters": "kinds that the training part has at least twice",
        "subwords": "kinds, learnt from the training part",
        "words": "kinds that the training part has at least twice",
    }
    return Task(
        kind="text",
        form="tokens",
        goal="class",
        source=source,
        title=f"{count:,} texts of {len(classes)} classes (column {label!r})",
        fingerprint=read.fingerprint.hex(),
        channels=len(cut.vocabulary),
        extent=(most,),
        outputs=len(classes),
        labels=tuple(classes),
        horizon=0,
        scale=((), ()),
        step="",
        metric=judged.metric,
        baseline=strongest([simple, *bagged], splits[1].y, splits[2].y, judged.metric),
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        facts=(
            ("Texts", f"{count:,}, column {text!r}; classes from {label!r}"),
            ("Tokens", f"{way}, {kinds:,} {known[way]}"),
            ("Length", _length(longest, most, way, longer)),
            ("Split", how),
            *judged.facts,
            *paged(8 * most * count, held, "tokens"),
        ),
        cautions=(*cautions, *judged.cautions),
        preprocessing={
            "kind": "text",
            "tokens": way,
            "longest": longest,
            "text": text,
            "classes": classes,
            **cut.state,
        },
        figures=judged.figures,
        class_weights=judged.weights,
        decode=cut.decode,
    )


def _length(longest: int, most: int, way: str, longer: int) -> str:
    """How much of each text is read, in words; ``longer`` texts are not read whole."""
    of = "" if way == "characters" else f", which are at most {most:,} {way}"
    rest = "no text is longer" if not longer else f"{counted(longer, 'text')} {'is' if longer == 1 else 'are'} longer"
    return f"the first {counted(longest, 'character')} of each text are read{of}; {rest}"


def prepare(source: Path, how: Mapping[str, Any], column: str | None = None) -> Inputs:
    """Texts as the networks saw those of training: tokens (N, T) with T of the longest, and their lengths.

    Args:
        source: CSV or Parquet with the column of texts.
        how: the task's preprocessing.
        column: the texts' column, where it is called otherwise than in training.

    Raises:
        DataError: no such column, an empty text, or NUL in one.
    """
    understood(how, "text", "tokens", "longest", "classes", cutting.state_key(how))
    there = table.glance(source, allowed(HELD), texts.NULLS).columns
    name = column or how["text"]
    if name not in there:
        raise DataError(
            f"{source}: there is no column {name!r}, and the texts are read from it (there are {', '.join(there)}); name "
            "their column with --text"
        )
    longest = how["longest"]
    read = texts.read(source, name, None, longest, allowed(HELD) / 2)
    count = len(read.texts)
    return _inputs(
        texts.Texts(read.texts, np.arange(count), longest), read.lengths, how, [f"row {k + 1}" for k in range(count)]
    )


def prepare_texts(given: Sequence[str], how: Mapping[str, Any], items: list[str]) -> Inputs:
    """The same for texts that stand in no table; ``items`` are their names."""
    return _inputs([t[: how["longest"]] for t in given], [len(t) for t in given], how, items)


def _inputs(seen: Sequence[str], lengths: Sequence[int], how: Mapping[str, Any], items: list[str]) -> Inputs:
    codes = _codes(seen, cutting.again(how), allowed(HELD))
    x, kept = _padded(codes, int(codes.sizes.max()) // 8, allowed(HELD))
    longest, longer = how["longest"], sum(length > how["longest"] for length in lengths)
    those = some(longer, len(lengths), "text", "is", "are")
    notes = (f"{those} longer than {counted(longest, 'character')} and cut there.",)
    return Inputs(x, kept, items, notes=notes if longer else ())


def _codes(seen: Sequence[str], cut: cutting.Tokens, held: float) -> Ragged:
    """The token numbers of each text, int64; that of the unknown where it has none."""
    found = Ragged(held)
    for start in range(0, len(seen), AT_ONCE):
        for own in cut.encode(seen[start : start + AT_ONCE]):
            found.append(np.array(own or [1], dtype=np.int64).tobytes())
    return found


def _padded(codes: Ragged, longest: int, held: float) -> tuple[Tensor, Tensor]:
    """Token numbers, (N, longest) with 0 behind the ends, and how many each text has."""
    x = room((len(codes), longest), held, np.int64)
    kept = codes.sizes // 8
    for k, (own, length) in enumerate(zip(codes, kept, strict=True)):
        x[k, :length], x[k, length:] = np.frombuffer(own, np.int64), 0
    return torch.from_numpy(x), torch.from_numpy(kept)


def columns(source: Path, frame: pl.DataFrame, text: str | None, label: str | None) -> tuple[str, str]:
    """The text and the label column."""
    for name in (text, label):
        if name is not None and name not in frame.columns:
            raise ArgumentError(f"{source} has no column {name!r}; its columns are {', '.join(frame.columns)}")
    text = text or text_column(frame, label)
    if text is None:
        raise DataError(f"{source}: no column holds text ({', '.join(frame.columns)})")
    if label is None:
        others = [n for n in frame.columns if n != text and _could_be_labels(frame[n])]
        if not others:
            raise DataError(
                f"{source}: there is a text column, {text!r}, and no other column that could hold labels; add one, or "
                "name it with --label"
            )
        called = [n for n in others if n.lower() in LABELS]
        several = [n for n in called or others if frame[n].n_unique() > 1]
        label = min(several or called or others, key=lambda n: frame[n].n_unique())
    return text, label


def text_column(frame: pl.DataFrame, label: str | None) -> str | None:
    """The column of texts: the one that is called so, or else the one with the longest; None where there is none."""
    words = [n for n in frame.columns if table.is_words(frame[n]) and n != label]
    called = [n for n in words if n.lower() in TEXTS and frame[n].n_unique() > len(frame) / 2]
    long = {n: float(frame[n].cast(pl.String).str.len_chars().mean() or 0) for n in called or words}  # type: ignore[arg-type]
    return max(long, key=lambda n: long[n], default=None)


def _could_be_labels(column: pl.Series) -> bool:
    whole = column.dtype.is_float() and bool((column.drop_nulls() % 1 == 0).all())
    return table.could_be_classes(column) or (whole and column.null_count() < len(column))

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
from pellucid.lab.data import table
from pellucid.lab.data import tokens as cutting
from pellucid.lab.data.classes import always_the_most_frequent, judgement, strongest
from pellucid.lab.data.folders import sides
from pellucid.lab.data.inputs import Inputs, understood
from pellucid.lab.data.split import digest
from pellucid.lab.data.text_answers import bags
from pellucid.lab.task import Split, Task

LONGEST = {"characters": 160, "subwords": 480, "words": 800}  # characters that are read of each text by default at most


def load(
    source: Path,
    *,
    seed: int = 0,
    text: str | None = None,
    label: str | None = None,
    longest: int | None = None,
    tokens: str | None = None,
) -> Task:
    """Read texts and labels; a character or word that the training part does not have is unknown.

    Args:
        source: CSV or Parquet.
        seed: of the split.
        text: column of texts; the one with the longest where None.
        label: column of labels; the one with the fewest different values where None.
        longest: characters that are read of each text.
        tokens: characters, subwords or words; by the amount of text where None.

    Raises:
        DataError: no such columns, one class, empty or missing values, NUL in a text.
        ArgumentError: a named column that is not there, tokens that are not known.
    """
    frame = table.read(source, nulls=("",))  # "NA" and "nan" are words like others
    text, label = columns(source, frame, text, label)
    for name in (text, label):
        _complete(source, frame, name)
    texts = _texts(source, frame, text)
    given = [str(value) for value in frame[label].to_list()]
    classes = sorted(set(given))
    if len(classes) == 1:
        raise DataError(
            f"{source}: column {label!r} has one class, {classes[0]!r}, and telling classes apart needs two"
        )
    if len(classes) > frame.height / 3:
        raise DataError(
            f"{source}: column {label!r} has {len(classes)} different values in {frame.height} rows, which is no "
            "class; name the label column with --label"
        )
    number = {name: k for k, name in enumerate(classes)}
    labels = [number[value] for value in given]
    lengths = np.array([len(t) for t in texts])
    way = cutting.chosen(tokens, round(0.7 * int(lengths.sum())))
    longest = longest or int(min(LONGEST[way], max(1, np.quantile(lengths, 0.98))))
    seen = [t[:longest] for t in texts]
    contents = [digest(t) for t in seen]  # equal to a network is equal up to the cut
    indices, cautions, how = sides(source, classes, labels, contents, None, seed)
    cut = cutting.learn(way, (seen[i] for i in indices[0]), padding=True)
    x, kept = _padded(seen, cut)
    y = torch.tensor(labels)
    splits = [Split(x[i], y[i], kept[i], [f"row {k + 1}" for k in i]) for i in indices]
    judged = judgement(splits[0].y, splits[2].y, classes)
    simple = always_the_most_frequent(splits[0].y, len(splits[1]), len(splits[2]), classes)
    parts = [[seen[i] for i in side] for side in indices]
    counted = bags(parts[0], splits[0].y.numpy(), parts[1], parts[2], len(classes))
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
        title=f"{len(texts):,} texts of {len(classes)} classes",
        fingerprint=digest(*texts, *given, f"text {seed} {longest} {way}"),
        channels=len(cut.vocabulary),
        extent=(x.shape[1],),
        outputs=len(classes),
        labels=tuple(classes),
        horizon=0,
        scale=((), ()),
        step="",
        metric=judged.metric,
        baseline=strongest([simple, *counted], splits[1].y, splits[2].y, judged.metric),
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        facts=(
            ("Texts", f"{len(texts):,}, column {text!r}; classes from {label!r}"),
            ("Tokens", f"{way}, {kinds:,} {known[way]}"),
            ("Length", f"first {longest} characters are read, at most {x.shape[1]} {way}; {longer:,} texts are longer"),
            ("Split", how),
            *judged.facts,
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
    frame = table.read(source, nulls=("",))
    name = column or how["text"]
    if name not in frame.columns:
        raise DataError(
            f"{source}: there is no column {name!r}, and the texts are read from it (there are "
            f"{', '.join(frame.columns)}); name their column with --text"
        )
    _complete(source, frame, name)
    texts = _texts(source, frame, name)
    return prepare_texts(texts, how, [f"row {k + 1}" for k in range(len(texts))])


def prepare_texts(texts: Sequence[str], how: Mapping[str, Any], items: list[str]) -> Inputs:
    """The same for texts that stand in no table; ``items`` are their names."""
    longest = how["longest"]
    x, kept = _padded([t[:longest] for t in texts], cutting.again(how))
    longer = sum(len(t) > longest for t in texts)
    notes = (f"{longer:,} of {len(texts):,} texts are longer than {longest} characters and were cut there.",)
    return Inputs(x, kept, items, notes=notes if longer else ())


def _complete(source: Path, frame: pl.DataFrame, name: str) -> None:
    if frame[name].null_count():
        at = int(frame[name].is_null().arg_max() or 0)
        raise DataError(
            f"{source}, {table.row(source, at)}: column {name!r} is empty there; fill it in or remove the row"
        )


def _texts(source: Path, frame: pl.DataFrame, name: str) -> list[str]:
    """The texts of a column in their normal form."""
    texts = [cutting.normal(str(t)) for t in frame[name].to_list()]
    nul = next((k for k, t in enumerate(texts) if "\0" in t), None)
    if nul is not None:
        raise DataError(
            f"{source}, {table.row(source, nul)}: column {name!r} holds NUL there, and no text does; remove it"
        )
    return texts


def _padded(texts: Sequence[str], cut: cutting.Tokens) -> tuple[Tensor, Tensor]:
    """Token numbers, (N, T) with T of the longest and 0 behind the ends, and how many each text has."""
    codes = [own or [1] for own in cut.encode(texts)]
    kept = torch.tensor([len(own) for own in codes])
    x = torch.zeros(len(codes), int(kept.max()), dtype=torch.int64)
    for row, own in zip(x, codes, strict=True):
        row[: len(own)] = torch.tensor(own)
    return x, kept


def columns(source: Path, frame: pl.DataFrame, text: str | None, label: str | None) -> tuple[str, str]:
    """The text and the label column."""
    for name in (text, label):
        if name is not None and name not in frame.columns:
            raise ArgumentError(f"{source} has no column {name!r}; its columns are {', '.join(frame.columns)}")
    words = [n for n in frame.columns if table.is_words(frame[n]) and n != label]
    if text is None:
        if not words:
            raise DataError(f"{source}: no column holds text ({', '.join(frame.columns)})")
        text = max(words, key=lambda n: float(frame[n].cast(pl.String).str.len_chars().mean() or 0))  # type: ignore[arg-type]
    if label is None:
        others = [n for n in frame.columns if n != text and table.could_be_classes(frame[n])]
        if not others:
            raise DataError(
                f"{source}: there is a text column, {text!r}, and no other column that could hold labels; add one, or "
                "name it with --label"
            )
        label = min(others, key=lambda n: frame[n].n_unique())
    return text, label

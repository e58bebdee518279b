"""A table with a text and a label: sequences of characters to classify."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data import table
from pellucid.lab.data.folders import majority, sides
from pellucid.lab.data.inputs import Inputs, understood
from pellucid.lab.data.metrics import accuracy
from pellucid.lab.data.split import digest, imbalance
from pellucid.lab.task import Split, Task

PADDING, UNKNOWN = "<padding>", "<unknown>"
LONGEST = 160  # characters that are read by default at most


def load(
    source: Path, *, seed: int = 0, text: str | None = None, label: str | None = None, longest: int | None = None
) -> Task:
    """Read texts and labels; a character that the training part does not have is unknown.

    Args:
        source: CSV or Parquet.
        seed: of the split.
        text: column of texts; the one with the longest where None.
        label: column of labels; the one with the fewest different values where None.
        longest: characters that are read of each text.

    Raises:
        DataError: no such columns, one class, empty or missing values.
        ArgumentError: a named column that is not there.
    """
    frame = table.read(source, nulls=("",))  # "NA" and "nan" are words like others
    text, label = columns(source, frame, text, label)
    for name in (text, label):
        _complete(source, frame, name)
    texts = [str(t) for t in frame[text].to_list()]
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
    labels = [classes.index(value) for value in given]
    lengths = np.array([len(t) for t in texts])
    longest = longest or int(min(LONGEST, max(1, np.quantile(lengths, 0.98))))
    contents = [digest(t[:longest]) for t in texts]  # equal to a network is equal up to the cut
    indices, cautions, how = sides(source, classes, labels, contents, None, seed)
    if warning := imbalance(labels, classes):
        cautions.append(warning)
    letters = Counter(c for i in indices[0] for c in texts[i][:longest])
    vocabulary = [PADDING, UNKNOWN, *sorted(c for c, count in letters.items() if count > 1)]
    tokens, kept = _tokens(texts, vocabulary, longest)
    y = np.array(labels, dtype=np.int64)
    splits = [
        Split(
            torch.from_numpy(tokens[i]),
            torch.from_numpy(y[i]),
            torch.from_numpy(kept[i]),
            [f"row {k + 1}" for k in i],
        )
        for i in indices
    ]
    cut = int((lengths > longest).sum())
    metric = accuracy()
    return Task(
        kind="text",
        form="tokens",
        goal="class",
        source=source,
        title=f"{len(texts):,} texts of {len(classes)} classes",
        fingerprint=digest(*texts, *given, f"text {seed} {longest}"),
        channels=len(vocabulary),
        extent=(longest,),
        outputs=len(classes),
        labels=tuple(classes),
        horizon=0,
        scale=((), ()),
        step="",
        metric=metric,
        baseline=majority(splits[0].y, splits[2].y, classes, metric),
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        facts=(
            ("Texts", f"{len(texts):,}, column {text!r}; classes from {label!r}"),
            ("Characters", f"{len(vocabulary) - 2:,} kinds that the training part has at least twice"),
            ("Length", f"first {longest} characters are read; {cut:,} texts are longer"),
            ("Split", how),
        ),
        cautions=tuple(cautions),
        preprocessing={
            "kind": "text",
            "text": text,
            "vocabulary": vocabulary,
            "longest": longest,
            "classes": classes,
        },
    )


def prepare(source: Path, how: Mapping[str, Any], column: str | None = None) -> Inputs:
    """Texts as the networks saw those of training: (N, longest) and their lengths.

    Args:
        source: CSV or Parquet with the column of texts.
        how: the task's preprocessing.
        column: the texts' column, where it is called otherwise than in training.

    Raises:
        DataError: no such column, or an empty text.
    """
    understood(how, "text", "vocabulary", "longest", "classes")
    frame = table.read(source, nulls=("",))
    name = column or how["text"]
    if name not in frame.columns:
        raise DataError(
            f"{source}: there is no column {name!r}, and the texts are read from it (there are "
            f"{', '.join(frame.columns)}); name their column with --text"
        )
    _complete(source, frame, name)
    texts, longest = [str(t) for t in frame[name].to_list()], how["longest"]
    tokens, kept = _tokens(texts, how["vocabulary"], longest)
    cut = sum(len(t) > longest for t in texts)
    notes = (f"{cut} of {len(texts)} texts are longer than {longest} characters and were cut there.",) if cut else ()
    names = [f"row {k + 1}" for k in range(len(texts))]
    return Inputs(torch.from_numpy(tokens), torch.from_numpy(kept), names, notes=notes)


def _complete(source: Path, frame: pl.DataFrame, name: str) -> None:
    if frame[name].null_count():
        at = int(frame[name].is_null().arg_max() or 0)
        raise DataError(
            f"{source}, {table.row(source, at)}: column {name!r} is empty there; fill it in or remove the row"
        )


def _tokens(
    texts: Sequence[str], vocabulary: Sequence[str], longest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places in the vocabulary, (N, longest), and how many of each row are read."""
    number = {c: i for i, c in enumerate(vocabulary)}
    tokens = np.zeros((len(texts), longest), dtype=np.int64)
    for i, t in enumerate(texts):
        own = [number.get(c, 1) for c in t[:longest]] or [1]
        tokens[i, : len(own)] = own
    return tokens, np.clip([len(t) for t in texts], 1, longest)


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

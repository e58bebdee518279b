"""Sequences of numbers, of one or several channels and of unequal length, each of a class.

How they are written is :mod:`sequence_files`' concern; here they are split, scaled and padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data import sequence_files
from pellucid.lab.data.classes import Answers, always_the_most_frequent, judgement, strongest
from pellucid.lab.data.folders import Progress, sides
from pellucid.lab.data.inputs import Inputs, understood
from pellucid.lab.data.sequence_files import Sequences
from pellucid.lab.data.series.gaps import Missing, filled_column
from pellucid.lab.data.split import deviation, digest
from pellucid.lab.data.unlabelled_sequences import find
from pellucid.lab.task import Split, Task

Array = NDArray[np.float64]


def load(
    source: Path,
    *,
    seed: int = 0,
    label: str | None = None,
    id: str | None = None,
    missing: str | None = None,
    longest: int | None = None,
    progress: Progress | None = None,
) -> Task:
    """Read, split (as the data says, or 70/15/15 % of each class), scale by the training part, pad to the longest.

    Args:
        source: see :mod:`sequence_files`.
        seed: of the split.
        label, id: columns of a long table; found by their names where None.
        missing: how missing values are filled, within each sequence: ``"linear"`` or ``"last"``.
        longest: steps that are kept of longer sequences; all where None.
        progress: told of each file.

    Raises:
        DataError: it cannot be read, has one class, or lacks values.
        ArgumentError: an option that does not fit.
    """
    found = sequence_files.read(source, label=label, id=id, progress=progress)
    facts: list[tuple[str, str]] = []
    values = [v[:longest] for v in _without_gaps(source, found, missing, facts)]
    labels = [found.classes.index(c) for c in found.labels]
    if len(found.classes) < 2:
        raise DataError(f"{source}: there is one class, {found.classes[0]!r}, and telling classes apart needs two")
    contents = [digest(str(v.shape), np.ascontiguousarray(v).tobytes()) for v in values]
    indices, cautions, how = sides(source, found.classes, labels, contents, found.given, seed)
    if found.given is not None:
        how = how.replace("as the folder gives it", "as the data gives it")
        cautions = [caution.replace("items", "sequences") for caution in cautions]
    lengths = np.array([len(v) for v in values], dtype=np.int64)
    steps = np.concatenate([values[i] for i in indices[0]])
    if np.abs(steps).max() > 1e30:
        raise DataError(
            f"{source}: values reach {np.abs(steps).max():.3g}, which is past what networks compute with; give another unit"
        )
    mean, spread = steps.mean(0), deviation(steps, 0)
    x = _padded(values, mean, spread)
    y = torch.tensor(labels, dtype=torch.int64)
    unequal = lengths.min() < lengths.max()
    splits = [
        Split(
            torch.from_numpy(x[i]),
            y[torch.from_numpy(i)],
            torch.from_numpy(lengths[i]) if unequal else None,
            [found.items[k] for k in i],
        )
        for i in indices
    ]
    cautions.append("If one person or machine made several sequences, they may lie on both sides of the split.")
    judged = judgement(splits[0].y, splits[2].y, found.classes)
    parts = [[values[k] for k in i] for i in indices]
    answers = [
        always_the_most_frequent(splits[0].y, len(splits[1]), len(splits[2]), found.classes),
        nearest(parts[0], splits[0].y, parts[1], parts[2], len(found.classes)),
    ]
    span = f"{lengths.min():,} to {lengths.max():,}" if unequal else f"{lengths.max():,}"
    count = len(found.channels)
    return Task(
        kind="sequences",
        form="sequence",
        goal="class",
        source=source,
        title=f"{len(values):,} sequences of {span} steps, {count} channel{'s' if count != 1 else ''}, {len(found.classes)} classes",
        fingerprint=digest(
            *contents, *found.items, *found.labels, *found.channels, f"sequences {seed} {longest} {how}"
        ),
        channels=count,
        extent=(int(lengths.max()),),
        outputs=len(found.classes),
        labels=tuple(found.classes),
        horizon=0,
        scale=(tuple(mean.tolist()), tuple(spread.tolist())),
        step="",
        metric=judged.metric,
        baseline=strongest(answers, splits[1].y, splits[2].y, judged.metric),
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        facts=(
            ("Sequences", f"{len(values):,} of {span} steps, {found.form}"),
            ("Channels", ", ".join(found.channels) if count <= 20 else f"{count}"),
            ("Classes", str(len(found.classes))),
            ("Split", how),
            ("Lengths", "each sequence is seen to its own end, and nothing behind it" if unequal else "all equal"),
            ("Scaling", "mean and deviation of the training part's steps, per channel"),
            *facts,
            *judged.facts,
        ),
        cautions=(*cautions, *judged.cautions),
        preprocessing={
            "kind": "sequences",
            "channels": found.channels,
            "id": found.id,
            "longest": longest,
            "missing": missing,
            "mean": mean.tolist(),
            "deviation": spread.tolist(),
            "classes": found.classes,
        },
        figures=judged.figures,
        class_weights=judged.weights,
    )


def prepare(source: Path, how: Mapping[str, Any]) -> Inputs:
    """Sequences as the networks saw those of training: (N, T, C) with T of the longest, and their lengths if unequal.

    Args:
        source: see :mod:`unlabelled_sequences`.
        how: the task's preprocessing.

    Raises:
        DataError: they cannot be read, have other channels, or lack values that training did not fill.
    """
    understood(how, "channels", "id", "longest", "missing", "mean", "deviation", "classes")
    found = find(source, how)
    whole = _without_gaps(source, found, how["missing"], [])
    values = [v[: how["longest"]] for v in whole]
    x = _padded(values, np.array(how["mean"]), np.array(how["deviation"]))
    lengths = torch.tensor([len(v) for v in values])
    cut = sum(len(v) < len(w) for v, w in zip(values, whole, strict=True))
    notes = (f"{cut:,} of {len(values):,} sequences were cut at {how['longest']:,} steps.",) if cut else ()
    return Inputs(
        torch.from_numpy(x), lengths if lengths.min() < lengths.max() else None, list(found.items), notes=notes
    )


def _padded(values: Sequence[Array], mean: Array, spread: Array) -> NDArray[np.float32]:
    """Scaled, (N, T, C) with T of the longest and zero behind the ends."""
    x = np.zeros((len(values), max(map(len, values)), len(mean)), dtype=np.float32)
    for i, v in enumerate(values):
        x[i, : len(v)] = (v - mean) / spread
    return x


def _without_gaps(source: Path, found: Sequences, how: str | None, facts: list[tuple[str, str]]) -> list[Array]:
    """The values, gaps filled as asked."""
    if how is not None and how not in get_args(Missing):
        raise ArgumentError(f"missing is {how!r}; choose linear or last")
    if how == "seasonal":
        raise ArgumentError(
            "missing is 'seasonal', and sequences to classify have no season in common; choose linear or last"
        )
    holed = [i for i, v in enumerate(found.values) if np.isnan(v).any()]
    for i, v in enumerate(found.values):
        if np.isinf(v).any():
            raise DataError(f"{source}: {found.items[i]} holds an infinite value; correct it")
        if np.isnan(v).all(0).any():
            name = found.channels[int(np.isnan(v).all(0).argmax())]
            raise DataError(
                f"{source}: {found.items[i]} has no value at all in channel {name!r}; remove it or the channel"
            )
    if not holed:
        return found.values
    count = sum(int(np.isnan(found.values[i]).sum()) for i in holed)
    where = f"{count:,} values are missing in {len(holed):,} of {len(found.values):,} sequences"
    if how is None:
        raise DataError(
            f"{source}: {where} (the first in {found.items[holed[0]]}); say how to fill them with --missing linear or last"
        )
    facts += [("Missing", where), ("Filled", f"{how}, within each sequence; before the first value, with that")]
    filled = list(found.values)
    for i in holed:
        filled[i] = np.stack([_filled(column, how) for column in found.values[i].T], 1)
    return filled


def _filled(column: Array, how: str) -> Array:
    """Without gaps: before the first value with that value."""
    begins = int((~np.isnan(column)).argmax())
    rest = filled_column(column[begins:], "linear" if how == "linear" else "last")
    return np.concatenate([np.full(begins, column[begins]), rest])


def nearest(train: list[Array], train_y: Tensor, valid: list[Array], test: list[Array], classes: int) -> Answers:
    """The class of the training sequence with the nearest summary; summaries are scaled by the training part's deviations."""
    known = np.stack([summary(v) for v in train])
    spread = deviation(known, 0)

    def answers(part: list[Array]) -> Tensor:
        asked = np.stack([summary(v) for v in part])
        distances = torch.cdist(torch.from_numpy(asked / spread), torch.from_numpy(known / spread))
        return torch.nn.functional.one_hot(train_y[distances.argmin(1)], classes).float()

    sentence = (
        "Says the class of the training sequence that is nearest in each channel's mean, deviation, lowest, highest, first "
        "and last value, and in length."
    )
    return Answers("nearest summary", sentence, answers(valid), answers(test))


def summary(values: Array) -> Array:
    """(T, C) to (6 C + 1): mean, deviation, lowest, highest, first and last value of each channel, and the length."""
    parts = [values.mean(0), values.std(0), values.min(0), values.max(0), values[0], values[-1], [len(values)]]
    return np.concatenate(parts)

"""Sequences of numbers, of one or several channels and of unequal length, each with a class, a number or several labels.

How they are written is :mod:`sequence_files`' concern; here they are split, scaled and padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.counted import counted, some
from pellucid.lab.data import numbers, sequence_files, stand_ins
from pellucid.lab.data.asked import Asked
from pellucid.lab.data.classes import always_the_most_frequent, judgement, strongest
from pellucid.lab.data.folders import Progress, lying_beside, sides
from pellucid.lab.data.inputs import Inputs, understood, unlike_training
from pellucid.lab.data.labels import of_items
from pellucid.lab.data.paging import HELD, allowed, paged, room, step_moments
from pellucid.lab.data.sequence_files import Sequences
from pellucid.lab.data.series.gaps import filled_column
from pellucid.lab.data.split import digest
from pellucid.lab.data.stacks import Array, Stack
from pellucid.lab.data.summaries import nearest
from pellucid.lab.data.table import TABLES
from pellucid.lab.data.unlabelled_sequences import find
from pellucid.lab.settings import Missing
from pellucid.lab.task import Split, Task


def load(
    source: Path,
    *,
    seed: int = 0,
    label: str | None = None,
    id: str | None = None,
    missing: str | None = None,
    longest: int | None = None,
    regress: bool | None = None,
    memory: float = HELD,
    progress: Progress | None = None,
) -> Task:
    """Read, split (as the data says, or 70/15/15 % of each class), scale by the training part, pad to the longest.

    Args:
        source: see :mod:`sequence_files`.
        seed: of the split.
        label, id: columns of a long table; found by their names where None.
        missing: how missing values are filled, within each sequence: ``"linear"`` or ``"last"``.
        longest: steps that are kept of longer sequences; all where None.
        regress: whether labels are numbers to say, and no classes to tell apart; as they look where None.
        memory: GB of sequences to hold in memory; more lie in a file that the operating system pages.
        progress: told of each file.

    Raises:
        DataError: it cannot be read, has one class, has labels that are no numbers where they must be, or lacks values.
        ArgumentError: an option that does not fit.
    """
    held = allowed(memory)
    found = sequence_files.read(source, label=label, id=id, held=held, progress=progress)
    facts: list[tuple[str, str]] = []
    remedy = "leave these empty, and say how to fill them with --missing"
    standing = stand_ins.cautions(found.channels, lambda: found.values, remedy)
    values = [v[:longest] for v in _without_gaps(source, found, missing, held, facts)]
    why = _why_numbers(source, found, regress)
    classed = why is None and found.marks is None
    if classed and len(found.classes) < 2:
        raise DataError(f"{source}: there is one class, {found.classes[0]!r}, and telling classes apart needs two")
    classes = found.classes if classed else ["all"]  # of which each part gets its share
    labels = [classes.index(c) for c in found.labels] if classed else [0] * len(values)
    contents = [digest(str(v.shape), np.ascontiguousarray(v).tobytes()) for v in values]
    indices, cautions, how = sides(source, classes, labels, contents, found.given, seed)
    if found.given is not None:
        cautions = [caution.replace("items", "sequences") for caution in cautions]
    lengths = np.array([len(v) for v in values], dtype=np.int64)
    largest = max(np.abs(values[i]).max() for i in indices[0])
    if largest > 1e30:
        raise DataError(
            f"{source}: values reach {largest:.3g}, which is past what networks compute with; give another unit"
        )
    parts = [[values[k] for k in i] for i in indices]
    if why is not None:
        asked = numbers.asked(source, found.labels, found.label or "number", indices, parts, why)
    elif found.marks is not None:
        asked = of_items([torch.from_numpy(found.marks[i].astype(np.float32)) for i in indices], found.classes)
    else:
        asked = _classes([torch.tensor(labels)[torch.from_numpy(i)] for i in indices], found.classes, parts)
    mean, spread = step_moments(lambda: (values[i] for i in indices[0]))
    unequal = lengths.min() < lengths.max()
    splits = [
        Split(
            _padded(part, int(lengths.max()), mean, spread, held * len(part) / len(values)),
            y,
            torch.from_numpy(lengths[i]) if unequal else None,
            [found.items[k] for k in i],
        )
        for i, part, y in zip(indices, parts, asked.targets, strict=True)
    ]
    cautions += [*lying_beside(source, TABLES, "table"), *standing]
    cautions.append("If one person or machine made several sequences, they may lie on both sides of the split.")
    span = f"{lengths.min():,} to {lengths.max():,}" if unequal else f"{lengths.max():,}"
    count = len(found.channels)
    marks = b"" if found.marks is None else np.ascontiguousarray(found.marks).tobytes()
    return Task(
        kind="sequences",
        form="sequence",
        goal=asked.goal,
        source=source,
        title=f"{len(values):,} sequences of {span} steps, {counted(count, 'channel')}, {asked.words}",
        fingerprint=digest(
            *contents,
            *found.items,
            *found.labels,
            *found.channels,
            *((marks, asked.goal) if asked.goal != "class" else ()),
            f"sequences {seed} {longest} {how}",
        ),
        channels=count,
        extent=(int(lengths.max()),),
        outputs=asked.outputs,
        labels=asked.labels,
        horizon=0,
        scale=asked.scale or (tuple(mean.tolist()), tuple(spread.tolist())),
        step="",
        metric=asked.metric,
        baseline=asked.baseline,
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        facts=(
            ("Sequences", f"{len(values):,} of {span} steps, {found.form}"),
            ("Channels", ", ".join(found.channels) if count <= 20 else f"{count}"),
            *asked.facts[:1],
            ("Split", how),
            ("Lengths", "each sequence is seen to its own end, and nothing behind it" if unequal else "all equal"),
            ("Scaling", "mean and deviation of the training part's steps, per channel"),
            *facts,
            *asked.facts[1:],
            *paged(4 * len(values) * count * int(lengths.max()), held, "sequences"),
        ),
        cautions=(*cautions, *asked.cautions),
        preprocessing={
            "kind": "sequences",
            "channels": found.channels,
            "id": found.id,
            "longest": longest,
            "missing": missing,
            "mean": mean.tolist(),
            "deviation": spread.tolist(),
            "classes": list(asked.labels),
        },
        figures=asked.figures,
        class_weights=asked.class_weights,
    )


def _why_numbers(source: Path, found: Sequences, regress: bool | None) -> str | None:
    """Why a number is asked of each sequence, in words; None where it is not."""
    if found.marks is not None:
        if regress:
            raise ArgumentError(
                f"{source}: each sequence has {found.marks.shape[1]} labels, and --regress asks for one number"
            )
        return None
    if regress is not None:
        return "--regress asks for it" if regress else None
    if found.numbers is not None:
        return "the file says @targetLabel" if found.numbers else None
    why = numbers.reason(found.labels)
    return why and f"{why} (--no-regress tells them apart as classes)"


def _classes(targets: list[Tensor], classes: list[str], parts: Sequence[Sequence[Array]]) -> Asked:
    """The class of each sequence."""
    judged = judgement(targets[0], targets[2], classes)
    answers = [
        always_the_most_frequent(targets[0], len(targets[1]), len(targets[2]), classes),
        nearest(parts[0], targets[0], parts[1], parts[2], len(classes)),
    ]
    return Asked(
        goal="class",
        words=f"{len(classes)} classes",
        targets=targets,
        outputs=len(classes),
        labels=tuple(classes),
        scale=(),
        metric=judged.metric,
        figures=judged.figures,
        baseline=strongest(answers, targets[1], targets[2], judged.metric),
        facts=(("Classes", str(len(classes))), *judged.facts),
        cautions=judged.cautions,
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
    held = allowed(HELD)
    found = find(source, how, held)
    whole = _without_gaps(source, found, how["missing"], held, [])
    values = [v[: how["longest"]] for v in whole]
    lengths = torch.tensor([len(v) for v in values])
    mean, spread = np.array(how["mean"]), np.array(how["deviation"])
    x = _padded(values, int(lengths.max()), mean, spread, held)
    unlike = unlike_training(
        *step_moments(lambda: ((v - mean) / spread for v in values)), [f"channel {name!r}" for name in found.channels]
    )
    cut = sum(len(v) < len(w) for v, w in zip(values, whole, strict=True))
    told = (f"{some(cut, len(values), 'sequence')} cut at {how['longest']:,} steps.",) if cut else ()
    notes = (*found.notes, *told, *unlike)
    return Inputs(x, lengths if lengths.min() < lengths.max() else None, list(found.items), notes=notes)


def _padded(values: Sequence[Array], longest: int, mean: Array, spread: Array, held: float) -> Tensor:
    """Scaled, (N, longest, C) and zero behind the ends; on a file where it takes more than so many bytes."""
    x = room((len(values), longest, len(mean)), held)
    for own, v in zip(x, values, strict=True):
        own[: len(v)], own[len(v) :] = (v - mean) / spread, 0
    return torch.from_numpy(x)


def _without_gaps(
    source: Path, found: Sequences, how: str | None, held: float, facts: list[tuple[str, str]]
) -> list[Array]:
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
    there = f"{counted(count, 'value')} {'is' if count == 1 else 'are'} missing"
    where = f"{there} in {len(holed):,} of {counted(len(found.values), 'sequence')}"
    if how is None:
        raise DataError(
            f"{source}: {where} (the first in {found.items[holed[0]]}); say how to fill them with --missing linear or last"
        )
    facts += [("Missing", where), ("Filled", f"{how}, within each sequence; before the first value, with that")]
    filled = Stack(held)
    for i in holed:
        filled.append(np.stack([_filled(column, how) for column in found.values[i].T], 1))
    instead = dict(zip(holed, filled.sequences(), strict=True))
    return [instead.get(i, v) for i, v in enumerate(found.values)]


def _filled(column: Array, how: str) -> Array:
    """Without gaps: before the first value with that value."""
    begins = int((~np.isnan(column)).argmax())
    rest = filled_column(column[begins:], "linear" if how == "linear" else "last")
    return np.concatenate([np.full(begins, column[begins]), rest])

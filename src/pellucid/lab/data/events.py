"""Events over time, any number at once, such as the notes of polyphonic music: say which hold at the next step.

How they are written is :mod:`event_files`' concern; here they are split, cut and padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pellucid.errors import DataError
from pellucid.lab.data import event_files, labels
from pellucid.lab.data.event_files import Events, Roll
from pellucid.lab.data.folders import Progress, sides
from pellucid.lab.data.inputs import Inputs, understood
from pellucid.lab.data.paging import HELD, Space, allowed, paged
from pellucid.lab.data.split import Indices, digest
from pellucid.lab.task import Split, Task

WINDOW = 256  # steps of a training sequence at most


def load(
    source: Path, *, seed: int = 0, window: int = WINDOW, memory: float = HELD, progress: Progress | None = None
) -> Task:
    """Read, split (as the data says, or 70/15/15 % of the sequences), cut the training part, pad to the longest.

    Args:
        source: see :mod:`event_files`.
        seed: of the split.
        window: steps of a training sequence at most; longer ones are cut. Validation and test are seen whole.
        memory: GB of sequences to hold in memory; more lie in a file that the operating system pages.
        progress: told of each file.

    Raises:
        DataError: it cannot be read, or holds too few sequences.
        ArgumentError: a memory that cannot be.
    """
    held = allowed(memory)
    found = event_files.read(source, held, progress)
    contents = [digest(str(r.shape), r.astype(np.float32).tobytes()) for r in found.rolls]
    indices, cautions, how = sides(source, ["all"], [0] * len(contents), contents, found.given, seed)
    space = Space(held)
    pieces, items = _cut(found, indices[0], window)
    parts = [_split(pieces, items, space)]
    parts += [_split([found.rolls[k] for k in own], [found.items[k] for k in own], space) for own in indices[1:]]
    asked = labels.of_steps(parts, found.names)
    steps = [len(roll) for roll in found.rolls]
    count, frames = len(found.names), sum(steps)
    density = sum(float(roll.sum()) for roll in found.rolls) / frames
    facts = [
        ("Sequences", f"{len(steps):,} of {min(steps):,} to {max(steps):,} steps, {frames:,} in all, {found.form}"),
        ("Events", f"{count}, {density:.3g} at a time on average"),
        *asked.facts,
        ("Split", how),
        ("Scored", "every step but a sequence's first, which nothing comes before; the mean is over steps"),
    ]
    if len(pieces) > len(indices[0]):
        how_cut = f"in {len(pieces):,} pieces of at most {window:,} steps; validation and test are whole"
        facts.append(("Training", how_cut))
    return Task(
        kind="events",
        form="sequence",
        goal=asked.goal,
        source=source,
        title=f"{len(steps):,} sequences of {min(steps):,} to {max(steps):,} steps, {asked.words}, "
        f"{density:.2g} at a time: say the next step's",
        fingerprint=digest(*contents, *found.items, *found.names, f"events {seed} {window} {how}"),
        channels=count,
        extent=(max(steps) - 1,),
        outputs=asked.outputs,
        labels=asked.labels,
        horizon=0,
        scale=((), ()),
        step="",
        metric=asked.metric,
        baseline=asked.baseline,
        train=parts[0],
        valid=parts[1],
        test=parts[2],
        facts=(*facts, *paged(space.paged, 0, "sequences")),
        cautions=tuple(caution.replace("items", "sequences") for caution in cautions),
        preprocessing={"kind": "events", "names": found.names},
        figures=asked.figures,
    )


def prepare(source: Path, how: Mapping[str, Any]) -> Inputs:
    """Sequences as the networks saw those of training, all steps of each: (N, T, K), and their lengths if unequal.

    Args:
        source: see :mod:`event_files`; the parts of a split are read alike.
        how: the task's preprocessing.

    Raises:
        DataError: they cannot be read, or have other events.
    """
    understood(how, "names")
    if not source.exists():
        raise DataError(f"{source}: there is no such file or folder; give matrices of 0 and 1, or a folder of them")
    held = allowed(HELD)
    found = event_files.read(source, held)
    if len(found.names) != len(how["names"]):
        raise DataError(
            f"{source}: its matrices have {len(found.names)} columns, and the networks saw {len(how['names'])} events; give the "
            "same, in the same order"
        )
    lengths = torch.tensor([len(roll) for roll in found.rolls])
    unequal = bool(lengths.min() < lengths.max())
    return Inputs(_padded(found.rolls, 0.0, Space(held)), lengths if unequal else None, found.items)


def _cut(found: Events, rows: Indices, window: int) -> tuple[list[Roll], list[str]]:
    """Some sequences in pieces of so many steps and the one that is asked after the last, and a name for each piece."""
    cut = [(k, at) for k in rows.tolist() for at in range(0, len(found.rolls[k]) - 1, window)]
    several = len(cut) > len(rows)
    items = [f"{found.items[k]}, from step {at + 1}" if several else found.items[k] for k, at in cut]
    return [found.rolls[k][at : at + window + 1] for k, at in cut], items


def _split(rolls: Sequence[Roll], items: list[str], space: Space) -> Split:
    """Each sequence but its last step, and, to be said, but its first."""
    lengths = torch.tensor([len(roll) - 1 for roll in rolls])
    unequal = bool(lengths.min() < lengths.max())
    x, y = _padded([roll[:-1] for roll in rolls], 0.0, space), _padded([roll[1:] for roll in rolls], -1.0, space)
    return Split(x, y, lengths if unequal else None, items)


def _padded(rolls: Sequence[Roll], filling: float, space: Space) -> torch.Tensor:
    """(N, T, K) with T of the longest."""
    padded = space.array((len(rolls), max(map(len, rolls)), rolls[0].shape[1]), np.float32)
    for own, roll in zip(padded, rolls, strict=True):
        own[: len(roll)], own[len(roll) :] = roll, filling
    return torch.from_numpy(padded)

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
from pellucid.lab.data.event_files import Roll
from pellucid.lab.data.folders import Progress, sides
from pellucid.lab.data.inputs import Inputs, understood
from pellucid.lab.data.split import digest
from pellucid.lab.task import Split, Task

WINDOW = 256  # steps of a training sequence at most


def load(source: Path, *, seed: int = 0, window: int = WINDOW, progress: Progress | None = None) -> Task:
    """Read, split (as the data says, or 70/15/15 % of the sequences), cut the training part, pad to the longest.

    Args:
        source: see :mod:`event_files`.
        seed: of the split.
        window: steps of a training sequence at most; longer ones are cut. Validation and test are seen whole.
        progress: told of each file.

    Raises:
        DataError: it cannot be read, or holds too few sequences.
    """
    found = event_files.read(source, progress)
    contents = [digest(str(r.shape), r.tobytes()) for r in found.rolls]
    indices, cautions, how = sides(source, ["all"], [0] * len(contents), contents, found.given, seed)
    cut = [(k, at) for k in indices[0].tolist() for at in range(0, len(found.rolls[k]) - 1, window)]
    pieces = [found.rolls[k][at : at + window + 1] for k, at in cut]
    several = len(cut) > len(indices[0])
    items = [f"{found.items[k]}, from step {at + 1}" if several else found.items[k] for k, at in cut]
    parts = [_split(pieces, items)]
    parts += [_split([found.rolls[k] for k in own], [found.items[k] for k in own]) for own in indices[1:]]
    asked = labels.of_steps(parts, found.names)
    steps = [len(roll) for roll in found.rolls]
    count, frames = len(found.names), sum(steps)
    held = sum(float(roll.sum()) for roll in found.rolls)
    facts = [
        ("Sequences", f"{len(steps):,} of {min(steps):,} to {max(steps):,} steps, {frames:,} in all, {found.form}"),
        ("Events", f"{count}, {held / frames:.3g} at a time on average"),
        *asked.facts,
        ("Split", how),
        ("Scored", "every step but a sequence's first, which nothing comes before; the mean is over steps"),
    ]
    if several:
        facts.append(("Training", f"in {len(cut):,} pieces of at most {window:,} steps; validation and test are whole"))
    return Task(
        kind="events",
        form="sequence",
        goal=asked.goal,
        source=source,
        title=f"{len(steps):,} sequences of {min(steps):,} to {max(steps):,} steps, {asked.words}, "
        f"{held / frames:.2g} at a time: say the next step's",
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
        facts=tuple(facts),
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
    found = event_files.read(source)
    if len(found.names) != len(how["names"]):
        raise DataError(
            f"{source}: its matrices have {len(found.names)} columns, and the networks saw {len(how['names'])} events; give the "
            "same, in the same order"
        )
    lengths = torch.tensor([len(roll) for roll in found.rolls])
    unequal = bool(lengths.min() < lengths.max())
    return Inputs(_padded(found.rolls, 0.0), lengths if unequal else None, found.items)


def _split(rolls: Sequence[Roll], items: list[str]) -> Split:
    """Each sequence but its last step, and, to be said, but its first."""
    lengths = torch.tensor([len(roll) - 1 for roll in rolls])
    unequal = bool(lengths.min() < lengths.max())
    x, y = _padded([roll[:-1] for roll in rolls], 0.0), _padded([roll[1:] for roll in rolls], -1.0)
    return Split(x, y, lengths if unequal else None, items)


def _padded(rolls: Sequence[Roll], filling: float) -> torch.Tensor:
    """(N, T, K) with T of the longest."""
    padded = np.full((len(rolls), max(map(len, rolls)), rolls[0].shape[1]), filling, dtype=np.float32)
    for k, roll in enumerate(rolls):
        padded[k, : len(roll)] = roll
    return torch.from_numpy(padded)

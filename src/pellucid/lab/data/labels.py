"""Several labels at a time, of an item as a whole or of the step that follows: the figures and the simplest answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.lab.data.asked import Asked
from pellucid.lab.data.classes import Answers, strongest
from pellucid.lab.data.metrics import nats_of_labels, shared_labels
from pellucid.lab.task import Split

HALF = 0.5  # what a count begins with (Krichevsky and Trofimov 1981), so that nothing is impossible


def of_items(targets: list[Tensor], names: Sequence[str]) -> Asked:
    """Which labels hold for an item as a whole.

    Args:
        targets: (N, labels) of 0 and 1 of the training, the validation and the test part.
        names: of the labels.
    """
    metric = nats_of_labels("sequence")
    logits = frequency(targets[0])
    answers = [_of_frequency(*(logits.expand_as(part) for part in targets[1:]))]
    there = torch.cat(targets).mean(0)
    return Asked(
        goal="labels",
        words=f"{len(names)} labels, {float(there.sum()):.2g} at a time",
        targets=targets,
        outputs=len(names),
        labels=tuple(names),
        scale=(),
        metric=metric,
        figures=(shared_labels("labels shared"),),
        baseline=strongest(answers, targets[1], targets[2], metric),
        facts=(
            ("Asked", "which labels hold, any number at once"),
            (
                "Labels",
                ", ".join(f"{n} ({s:.0%})".replace("%", " %") for n, s in zip(names, there.tolist(), strict=True)),
            ),
        ),
    )


def of_steps(parts: Sequence[Split], names: Sequence[str]) -> Asked:
    """Which labels hold at the step that follows each, from those that held up to it.

    Args:
        parts: training, validation and test; ``x`` (N, T, labels) holds now, ``y`` at the next step, -1 behind the end.
        names: of the labels.
    """
    train, valid, test = parts
    metric = nats_of_labels("step")
    seen, next_ = (values[train.y[..., 0] >= 0] for values in (train.x, train.y))
    always = frequency(next_)
    held = [_after(seen, next_, now) for now in (0, 1)]
    answers = [
        _of_frequency(always.expand_as(valid.y), always.expand_as(test.y)),
        Answers(
            "as now",
            "Says for each label how often it held after a step at which it did, or did not, as it is now.",
            *(torch.where(part.x > 0.5, held[1], held[0]) for part in (valid, test)),
        ),
    ]
    return Asked(
        goal="next labels",
        words=f"{len(names)} events",
        targets=[part.y for part in parts],
        outputs=len(names),
        labels=tuple(names),
        scale=(),
        metric=metric,
        figures=(shared_labels("frame accuracy"),),
        baseline=strongest(answers, valid.y, test.y, metric),
        facts=(("Asked", "at each step, which labels hold at the next"),),
    )


def frequency(marks: Tensor) -> Tensor:
    """Logits (labels,) of how often each label holds in (N, labels)."""
    held = marks.sum(0) + HALF
    return (held / (len(marks) + 2 * HALF - held)).log()


def _after(seen: Tensor, next_: Tensor, now: int) -> Tensor:
    """Logits (labels,) of each label after a step at which it held (1) or did not (0); (N, labels) each."""
    asked = (seen > 0.5).float() if now else (seen <= 0.5).float()
    held = (asked * next_).sum(0) + HALF
    return (held / (asked.sum(0) + 2 * HALF - held)).log()


def _of_frequency(valid: Tensor, test: Tensor) -> Answers:
    return Answers("frequency", "Says for each label how often it holds in the training part.", valid, test)

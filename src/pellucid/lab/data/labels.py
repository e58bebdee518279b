"""Several labels at a time, of an item as a whole or of the step that follows: the figures and the simplest answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pellucid.lab.data.asked import Asked
from pellucid.lab.data.classes import Answers, strongest
from pellucid.lab.data.metrics import kept_of_labels, nats_of_labels, shared_labels
from pellucid.lab.data.paging import SLICE, slices
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
    answers = [_of_frequency(*(kept_of_labels(logits.expand_as(part), part) for part in targets[1:]))]
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
    always, after = frequency(train.y), _after(train)
    answers = [
        _of_frequency(*(_kept(part, always.expand_as) for part in (valid, test))),
        Answers(
            "repetition",
            "Says for each label how often it held after a step at which it did, or did not, as it is now.",
            *(_kept(part, lambda now: torch.where(now > 0.5, after[1], after[0])) for part in (valid, test)),
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


def frequency(marks: Tensor, rows: Tensor | None = None) -> Tensor:
    """Logits (labels,) of how often each label holds, gone through a few items at a time.

    Args:
        marks: (N, labels), or (N, T, labels) with -1 behind the ends.
        rows: the items that count; all where None.
    """
    rows = torch.arange(len(marks)) if rows is None else rows
    held, count = torch.zeros(marks.shape[-1], dtype=torch.float64), 0
    for some in torch.split(rows, max(1, SLICE // marks[:1].nbytes)):
        there = marks[some]
        there = there[there[..., 0] >= 0]
        held += there.sum(0)
        count += len(there)
    return _logits(held, torch.full_like(held, count))


def _after(train: Split) -> Tensor:
    """Logits (2, labels) of each label after a step at which it did not hold, and after one at which it did."""
    held, count = torch.zeros(2, 2, train.x.shape[-1], dtype=torch.float64)
    for some in slices(len(train), train.x[:1].nbytes):
        asked = train.y[some, :, 0] >= 0
        seen, next_ = train.x[some][asked] > 0.5, train.y[some][asked] > 0.5
        for now, own in enumerate((~seen, seen)):
            held[now] += (own & next_).sum(0)
            count[now] += own.sum(0)
    return _logits(held, count)


def _logits(held: Tensor, count: Tensor) -> Tensor:
    """Of labels that held so often, of so many times."""
    held = held.float() + HALF
    return (held / (count.float() + 2 * HALF - held)).log()


def _kept(part: Split, say: Callable[[Tensor], Tensor]) -> Tensor:
    """What figures need of what is said of each step by the step itself, a few items at a time."""
    rows = slices(len(part), part.x[:1].nbytes)
    return torch.cat([kept_of_labels(say(part.x[some]), part.y[some]) for some in rows])


def _of_frequency(valid: Tensor, test: Tensor) -> Answers:
    return Answers("frequency", "Says for each label how often it holds in the training part.", valid, test)

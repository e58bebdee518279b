"""Which of several labels hold, any number at once: of an item as a whole, or of the step that follows each.

Logits (N, labels) or (N, T, labels) against the same of 0 and 1, and -1 behind an item's last step.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.lab.data.labels import frequency
from pellucid.lab.data.metrics import ASKED, LAST, NATS, kept_of_labels
from pellucid.lab.goals.goal import Ask, Goal, Table

if TYPE_CHECKING:
    from pellucid.lab.data.inputs import Inputs
    from pellucid.lab.recipe import Recipe
    from pellucid.lab.task import Lesson, Task


def _loss(prediction: Tensor, target: Tensor, _: Lesson) -> Tensor:
    """-ln of the probability of all labels of an item or a step, each label independent of the others."""
    asked = target[..., 0] >= 0
    each = F.binary_cross_entropy_with_logits(prediction, target.clamp(min=0), reduction="none")
    return each.sum(-1)[asked].mean()


def _begin(model: nn.Module, lesson: Lesson) -> None:
    """Let the head say at first how often each label holds, and not one half, which Adam's even steps take long to leave."""
    head = model.get_submodule("head")
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        head.bias.copy_(frequency(lesson.train.y, lesson.used))


def _kept_loss(kept: Tensor, _target: Tensor, _: Lesson) -> Tensor:
    """The same of what is kept."""
    return kept[:, NATS].sum() / kept[:, ASKED].sum()


def _weight(target: Tensor, _: Lesson) -> float:
    return float((target[..., 0] >= 0).sum())


def _words(labels: tuple[str, ...], there: Tensor) -> str:
    return " ".join(labels[k] for k in there.nonzero()[:, 0].tolist())


def _said(task: Task, prediction: Tensor) -> list[str]:
    """The labels that are more probable than not; of steps those after the last."""
    return [_words(task.labels, row > 0) for row in prediction[:, LAST:]]


def _table(kept: Recipe, given: Inputs, ask: Ask, _: int) -> Table:
    shares = torch.stack([output.double().sigmoid() for output in ask(given)]).mean(0)
    rows: list[tuple[str | int | float, ...]] = [
        (item, _words(kept.labels, own > 0.5), *own.tolist()) for item, own in zip(given.items, shares, strict=True)
    ]
    return ("item", "answer", *(f"p({label})" for label in kept.labels)), rows


WHOLE = Goal(
    every_step=False,
    loss=_loss,
    weight=_weight,
    said=_said,
    table=_table,
    outputs=("logits", (("probabilities", "Sigmoid"),)),
    axes=lambda kept: [kept.outputs],
    kept=kept_of_labels,
    kept_loss=_kept_loss,
    begin=_begin,
)
NEXT = replace(WHOLE, every_step=True, axes=lambda kept: ["time", kept.outputs])

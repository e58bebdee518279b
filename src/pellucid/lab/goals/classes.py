"""The class of an item: logits (N, classes) against its number (N,)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid import device
from pellucid.lab.goals.goal import Ask, Goal, Table

if TYPE_CHECKING:
    from pellucid.lab.data.inputs import Inputs
    from pellucid.lab.recipe import Recipe
    from pellucid.lab.task import Lesson, Task


def _loss(prediction: Tensor, target: Tensor, lesson: Lesson) -> Tensor:
    """Cross-entropy, classes weighted where the training part is out of balance."""
    return F.cross_entropy(prediction, target, device.moved(lesson.class_weights, prediction.device))


def _weight(target: Tensor, lesson: Lesson) -> float:
    return float(len(target)) if lesson.class_weights is None else float(lesson.class_weights[target].sum())


def _said(task: Task, prediction: Tensor) -> list[str]:
    return [task.labels[i] for i in prediction.argmax(-1).tolist()]


def _table(kept: Recipe, given: Inputs, ask: Ask, _: int) -> Table:
    shares = torch.stack([output.double().softmax(-1) for output in ask(given)]).mean(0)
    rows: list[tuple[str | int | float, ...]] = [
        (item, kept.labels[int(own.argmax())], *own.tolist()) for item, own in zip(given.items, shares, strict=True)
    ]
    return ("item", "answer", *(f"p({label})" for label in kept.labels)), rows


GOAL = Goal(
    every_step=False,
    loss=_loss,
    weight=_weight,
    said=_said,
    table=_table,
    outputs=("logits", (("probabilities", "Softmax"),)),
    axes=lambda kept: [kept.outputs],
)

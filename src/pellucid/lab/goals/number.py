"""One number for an item: scaled (N, 1) against (N, 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.lab.goals.goal import Ask, Goal, Table, count

if TYPE_CHECKING:
    from pellucid.lab.data.inputs import Inputs
    from pellucid.lab.recipe import Recipe
    from pellucid.lab.task import Lesson, Task


def _loss(prediction: Tensor, target: Tensor, _: Lesson) -> Tensor:
    """The squared error, whose root decides."""
    return F.mse_loss(prediction, target)


def _said(task: Task, prediction: Tensor) -> list[str]:
    return [f"{value:.6g}" for value in task.raw(prediction[:, 0], 0)]


def _table(kept: Recipe, given: Inputs, ask: Ask, _: int) -> Table:
    (offset,), (factor,) = kept.scale
    values = torch.stack([output[:, 0].double() for output in ask(given)]).mean(0) * factor + offset
    return ("item", kept.labels[0]), list(zip(given.items, values.tolist(), strict=True))


GOAL = Goal(
    every_step=False,
    loss=_loss,
    weight=count,
    said=_said,
    table=_table,
    outputs=("number", ()),
    axes=lambda kept: [1],
)

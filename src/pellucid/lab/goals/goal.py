"""What a goal has to say for itself, and what the goals share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from pellucid.lab.data.inputs import Inputs
    from pellucid.lab.recipe import Recipe
    from pellucid.lab.task import Lesson, Task

Table = tuple[tuple[str, ...], list[tuple[str | int | float, ...]]]
Ask = Callable[["Inputs"], list[Tensor]]  # what each network says of items, after their last step where each is asked


@dataclass(frozen=True)
class Goal:
    """What is asked of an item.

    Attributes:
        every_step: whether each step is asked, and may then see nothing later.
        loss: (prediction, target, lesson) to what training lowers, a mean over all that is asked.
        weight: (target, lesson) to what these items count in that mean.
        said: (task, prediction) to the answer for each test item, in words.
        table: (recipe, new items, what asks the networks, characters to write) to the columns and rows of answers.
        outputs: of an exported model: the raw output's name, and for each further one its name and the ONNX operator that
            makes it of the raw one.
        axes: sizes of an exported output behind the batch.
        kept: (prediction, target) to what figures need of a prediction, an item each; all of it if not said.
        kept_loss: (what is kept, target, lesson) to the loss; by ``loss`` if not said.
        begin: what an untrained network is given of the lesson, in place; nothing if not said.
    """

    every_step: bool
    loss: Callable[[Tensor, Tensor, Lesson], Tensor]
    weight: Callable[[Tensor, Lesson], float]
    said: Callable[[Task, Tensor], list[str]]
    table: Callable[[Recipe, Inputs, Ask, int], Table]
    outputs: tuple[str, tuple[tuple[str, str], ...]]
    axes: Callable[[Recipe], list[str | int]]
    kept: Callable[[Tensor, Tensor], Tensor] = lambda prediction, _target: prediction
    kept_loss: Callable[[Tensor, Tensor, Lesson], Tensor] | None = None
    begin: Callable[[nn.Module, Lesson], None] = lambda _model, _lesson: None


def count(target: Tensor, _: Lesson) -> float:
    """Every item counts alike."""
    return float(len(target))


def last_step(values: Tensor, lengths: Tensor | None) -> Tensor:
    """Of what there is for every step (N, T, ...), that of each item's last one: (N, 1, ...)."""
    if lengths is None:
        return values[:, -1:]
    return values[torch.arange(len(values), device=values.device), lengths - 1].unsqueeze(1)

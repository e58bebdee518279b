"""The next values of a series, as quantiles: scaled (N, horizon, quantiles) against (N, horizon, 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.lab.goals.goal import Ask, Goal, Table, count

if TYPE_CHECKING:
    from pellucid.lab.data.inputs import Inputs
    from pellucid.lab.recipe import Recipe
    from pellucid.lab.task import Lesson, Task


def quantile_loss(prediction: Tensor, target: Tensor, quantiles: tuple[float, ...]) -> Tensor:
    r"""The loss :math:`\max(q (y - p), (q - 1)(y - p))` of each quantile's forecast, elementwise (Koenker and Bassett 1978).

    For the median it is half the absolute error.

    Args:
        prediction: (N, horizon, quantiles).
        target: (N, horizon, 1).
        quantiles: between 0 and 1.
    """
    levels = prediction.new_tensor(quantiles)
    above = target - prediction
    return torch.maximum(levels * above, (levels - 1) * above)


def _loss(prediction: Tensor, target: Tensor, lesson: Lesson) -> Tensor:
    return quantile_loss(prediction, target, lesson.quantiles).mean()


def _said(task: Task, prediction: Tensor) -> list[str]:
    middle = prediction[..., task.quantiles.index(0.5)]
    return [" ".join(f"{v:.6g}" for v in task.raw(row, i)) for i, row in enumerate(middle)]


def _table(kept: Recipe, given: Inputs, ask: Ask, _: int) -> Table:
    assert given.scales is not None
    offset, factor = (column[:, None, None] for column in given.scales.T)
    values = torch.stack([output.double() for output in ask(given)]).mean(0) * factor + offset
    name = kept.labels[0]
    names = [name if q == 0.5 else f"{name} {100 * q:g} %" for q in kept.quantiles]
    several, timed = len(kept.preprocessing["scales"]) > 1, any(given.ahead)
    rows: list[tuple[str | int | float, ...]] = []
    for series, times, own in zip(given.items, given.ahead, values, strict=True):
        which = (series,) if several else ()
        rows += [(*which, k + 1, *times[k : k + 1], *step.tolist()) for k, step in enumerate(own)]
    return (*(("series",) if several else ()), "step", *(("time",) if timed else ()), *names), rows


GOAL = Goal(
    every_step=False,
    loss=_loss,
    weight=count,
    said=_said,
    table=_table,
    outputs=("forecast", ()),
    axes=lambda kept: [kept.horizon, len(kept.quantiles)],
)

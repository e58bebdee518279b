"""One time step: everything that the equations of a cell compute in it, whether or not it has a name."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pellucid.cells.bounds import bounds, is_gate
from pellucid.cells.graph import Node
from pellucid.web.opened import Opened
from pellucid.web.questions.question import Answer
from pellucid.web.questions.recurrence import OfLayer
from pellucid.web.questions.telling import moment
from pellucid.web.questions.tiles import rounded, tile


class Step(OfLayer):
    """All values of one step: of one unit, or with ``unit`` -1 of all: a gate's mean, and of others the mean size.

    Where the step is null, or the unit, it is the one that :class:`~pellucid.web.questions.telling.Telling` tells about.
    """

    step: int | None = None
    unit: int | None = -1

    def answer(self, opened: Opened) -> Answer:
        """Which step and unit; by the values' numbers in the drawing the unit's number (null where it has none), and a tile of all units."""
        run = self.run(opened)
        step = moment(run).step if self.step is None else self.step
        unit = moment(run).unit if self.unit is None else self.unit
        run.check_step(step)
        if unit != -1:
            run.check_unit(unit)
        values = {node: value.float() for node, value in run.along.values(step).items() if value.dim() < 2}
        x = run.along.inputs[step, 0]
        return {
            "step": step,
            "unit": unit,
            "numbers": {str(node.index): _number(node, value, unit) for node, value in values.items()}
            | {"x": rounded(float(x[0])) if len(x) == 1 else None},
            "tiles": {str(node.index): _tile(node, value, run.most) for node, value in values.items() if node.varies}
            | {"x": _around(x, run.most_read)},
        }


def _number(node: Node, value: Tensor, unit: int) -> float | None:
    if value.numel() == 1:
        return rounded(float(value))
    if unit == -1:
        return rounded(float(value.mean() if is_gate(node) else value.abs().mean()))
    return rounded(float(value[unit])) if unit < len(value) else None


def _tile(node: Node, value: Tensor, most: float) -> Answer:
    """All units, on a range that stays while time goes on: what the equation allows, or else that of the memory."""
    low, high = bounds(node)
    if math.isfinite(low) and math.isfinite(high):
        return tile(value.reshape(-1), *((0.0, 1.0) if is_gate(node) else (-max(-low, high), max(-low, high))))
    return _around(value.reshape(-1), most)


def _around(value: Tensor, most: float) -> Answer:
    most = max(most, float(torch.nan_to_num(value).abs().max())) or 1.0
    return tile(value, -most, most)

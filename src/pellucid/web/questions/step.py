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
from pellucid.web.questions.tiles import tile

DIGITS = 6  # of a number on its way to the page, which shows fewer


class Step(OfLayer):
    """All values of one step: of one unit, or with ``unit`` -1 of all: a gate's mean, and of others the mean size."""

    step: int
    unit: int = -1

    def answer(self, opened: Opened) -> Answer:
        """By the values' numbers in the drawing: the unit's number (null where it has none), and a tile of all units."""
        run = self.run(opened)
        run.check_step(self.step)
        if self.unit != -1:
            run.check_unit(self.unit)
        values = {node: value.float() for node, value in run.along.values(self.step).items() if value.dim() < 2}
        x = run.along.inputs[self.step, 0]
        return {
            "numbers": {str(node.index): self._number(node, value) for node, value in values.items()}
            | {"x": rounded(float(x[0])) if len(x) == 1 else None},
            "tiles": {str(node.index): _tile(node, value, run.most) for node, value in values.items() if node.varies}
            | {"x": _around(x, run.most_read)},
        }

    def _number(self, node: Node, value: Tensor) -> float | None:
        if value.numel() == 1:
            return rounded(float(value))
        if self.unit == -1:
            return rounded(float(value.mean() if is_gate(node) else value.abs().mean()))
        return rounded(float(value[self.unit])) if self.unit < len(value) else None


def rounded(number: float) -> float | None:
    """A number as JSON can hold it."""
    return float(f"{number:.{DIGITS}g}") if math.isfinite(number) else None


def _tile(node: Node, value: Tensor, most: float) -> Answer:
    """All units, on a range that stays while time goes on: what the equation allows, or else that of the memory."""
    low, high = bounds(node)
    if math.isfinite(low) and math.isfinite(high):
        return tile(value.reshape(-1), *((0.0, 1.0) if is_gate(node) else (-max(-low, high), max(-low, high))))
    return _around(value.reshape(-1), most)


def _around(value: Tensor, most: float) -> Answer:
    most = max(most, float(torch.nan_to_num(value).abs().max())) or 1.0
    return tile(value, -most, most)

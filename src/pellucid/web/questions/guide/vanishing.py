"""The gradient on its way back through a recurrent network whose matrix has a chosen spectral radius."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from pellucid.cells import RNN, Bias, Cell, Input, Matrix, State
from pellucid.inside import gradient_reach
from pellucid.nn import Recurrent
from pellucid.trace import trace
from pellucid.web.opened import Opened
from pellucid.web.questions.guide.drawn import drawn
from pellucid.web.questions.question import Answer, Question
from pellucid.web.questions.tiles import short

UNITS, INPUTS, SEED, CLIP = 32, 4, 0, 1.0


class Linear(Cell):
    r"""The plain recurrent network without its tanh: :math:`h_t = W x_t + U h_{t-1} + b`."""

    def __init__(self) -> None:
        self.x = Input()
        self.U = Matrix()
        self.b = Bias()
        self.h = State()

    def step(self, x: Any, h: Any) -> Any:
        """The equation."""
        return x + self.U @ h + self.b


CELLS = {"none": Linear(), "tanh": RNN()}  # traced once for all answers


class Vanishing(Question):
    """32 units whose recurrent matrix is orthogonal times the radius, so that all its singular values are the radius.

    Attributes:
        radius: the spectral radius; activation: none or tanh; steps: of the sequence.
    """

    radius: float = Field(gt=0, le=3)
    activation: Literal["none", "tanh"]
    steps: int = Field(ge=2, le=500)

    def answer(self, opened: Opened) -> Answer:
        """The norm of dL/dh by steps back, the last step's being 1, where L is one number made of the last state; and the norm of
        the weights' gradient before and after it is clipped to 1.
        """
        with drawn(SEED):
            layer = Recurrent(CELLS[self.activation], INPUTS, UNITS, initialisation="orthogonal", dtype=torch.float64)
            x = torch.randn(self.steps, 1, INPUTS, dtype=torch.float64)
            towards = torch.randn(UNITS, dtype=torch.float64)
        with torch.no_grad():
            layer.weight_hh_l0.mul_(self.radius)  # type: ignore[operator]
        with trace(layer) as seen:
            output, _ = layer(x)
            (output[-1, 0] @ (towards / towards.norm())).backward()
        whole = nn.utils.clip_grad_norm_(layer.parameters(), CLIP)
        left = nn.utils.get_total_norm([p.grad for p in layer.parameters() if p.grad is not None])
        return {
            "norms": short(gradient_reach(seen["l0.h"]), 4),
            "weights": float(f"{whole:.4g}"),
            "clipped": float(f"{left:.4g}"),
        }

"""A plain recurrent network of one unit, unrolled over a few steps."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from pellucid import cells
from pellucid.errors import ArgumentError
from pellucid.nn import Recurrent
from pellucid.trace import trace
from pellucid.web.opened import Opened
from pellucid.web.questions.question import Answer, Question
from pellucid.web.questions.tiles import short

RNN = cells.RNN()  # traced once for all answers
MOST = 12  # steps


class Unrolled(Question):
    """h_t = tanh(w x_t + u h_{t-1} + b) from h_0 = 0.

    Attributes:
        inputs: numbers with commas between them, at most 12; or ``"item 3"``: the first channel of an item that is open, its first
            12 steps divided by the largest of them.
        w, u, b: the weight of the input, the recurrent weight and the bias.
    """

    inputs: str
    w: float = Field(ge=-10, le=10)
    u: float = Field(ge=-10, le=10)
    b: float = Field(ge=-10, le=10)

    def answer(self, opened: Opened) -> Answer:
        """For each step x, w x, u h of the step before, their sum with b, h, and by how much h at the last step changes with it."""
        x = _inputs(opened, self.inputs)
        layer = Recurrent(RNN, 1, 1, dtype=torch.float64)
        with torch.no_grad():
            for parameter, value in zip(layer.parameters(), (self.w, self.u, self.b, 0.0), strict=True):
                parameter.fill_(value)
        with trace(layer) as seen:
            output, _ = layer(x.view(-1, 1, 1))
            output[-1].sum().backward()
        h, slope = seen["l0.h"].values.flatten().detach(), seen["l0.h"].grad
        assert slope is not None
        before = torch.cat([torch.zeros(1, dtype=h.dtype), h[:-1]])
        return {
            "x": short(x),
            "wx": short(self.w * x),
            "uh": short(self.u * before),
            "sum": short(self.w * x + self.u * before + self.b),
            "h": short(h),
            "slope": short(slope.flatten()),
        }


def _inputs(opened: Opened, text: str) -> Tensor:
    if text.startswith("item ") and text[5:].isdecimal() and opened.form == "sequence":
        first = opened.item(int(text[5:])).x.detach()[:MOST, 0].double()
        return first / first.abs().max().clamp(min=1e-12)
    try:
        found = [float(number) for number in text.split(",")]
    except ValueError:
        found = []
    if not 1 <= len(found) <= MOST or not all(math.isfinite(v) and abs(v) <= 100 for v in found):
        raise ArgumentError(
            f"inputs are 1 to {MOST} numbers from -100 to 100 with commas between them, and this is {text!r}"
        )
    return torch.tensor(found, dtype=torch.float64)

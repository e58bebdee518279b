"""One unit of an LSTM and of a GRU with weights by which its gates can be followed: a value written, kept and read."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pellucid import cells
from pellucid.inside import half_life
from pellucid.nn import Recurrent
from pellucid.trace import Trace, trace
from pellucid.web.opened import Opened
from pellucid.web.questions.question import Answer, Question
from pellucid.web.questions.tiles import short

LSTM, GRU = cells.LSTM(), cells.GRU()  # traced once for all answers
STEPS, WRITE, AGAIN = 20, 2, 11  # steps are counted from 0 here and from 1 on the page
SCALE = 2.0  # weight of the value: tanh(2) is 0.96
SWITCH = 10.0  # weight of a signal that opens or shuts a gate
# What else comes in, which the unit has no use for.
OTHERS = (0.4, -0.7, 0.0, 0.6, -0.2, 0.8, -0.5, 0.3, 0.7, -0.9, 0.5, -0.3, -0.6, 0.2, 0.9, -0.4, 0.1, -0.8, 0.6, -0.1)


Rows = list[tuple[list[float], float]]  # of each gate the weights of the three inputs, and the bias


class Keeping(Question):
    """An LSTM's unit that is told to write at step 3 and to read at step 20.

    Attributes:
        value: what is written.
        forget: the forget gate's bias, which is all that the gate has.
        write: the input gate opens at the signal, or is always open.
        read: the output gate opens at the signal, or is always open.
    """

    value: float = Field(ge=-1, le=1)
    forget: float = Field(ge=-10, le=10)
    write: Literal["signal", "open"]
    read: Literal["signal", "open"]

    def answer(self, opened: Opened) -> Answer:
        """Of each step the inputs, i, f, g, o, c, h, and dh/dc: how the last h changes with c; how long f keeps a half."""
        x = _inputs(self.value)
        layer = Recurrent(LSTM, 3, 1, dtype=torch.float64)
        closed, always = -SWITCH / 2, SWITCH / 2
        by_write, by_read = self.write == "signal", self.read == "signal"
        rows: Rows = [
            ([0, SWITCH if by_write else 0, 0], closed if by_write else always),
            ([0, 0, 0], self.forget),
            ([SCALE, 0, 0], 0),
            ([0, 0, SWITCH if by_read else 0], closed if by_read else always),
        ]
        _fill(layer, rows, recurrent=[0, 0, 0, 0])
        seen = _seen(layer, x)
        return _answer(seen, x, ("i", "f", "g", "o", "c", "h"), "c") | {
            "half_life": float(f"{half_life(seen['l0.f']).item():.4g}")
        }


class Renewing(Question):
    """A GRU's unit that is told to write at step 3 and again at step 12.

    Attributes:
        value: what is written first; the second value is 0.4 less, or more where that is below -1.
        update: the update gate's bias: z keeps, and 1 - z renews.
        reset: the reset gate is open, or shuts at the signal, so that the new value is made without the old state.
    """

    value: float = Field(ge=-1, le=1)
    update: float = Field(ge=-10, le=10)
    reset: Literal["open", "signal"]

    def answer(self, opened: Opened) -> Answer:
        """Of each step the inputs, r, z, n, h, and how the last h changes with h; how long z keeps a half."""
        x = _inputs(self.value)
        x[AGAIN, 0, 0] = round(self.value - 0.4 if self.value >= -0.6 else self.value + 0.4, 6)
        x[AGAIN, 0, 1] = 1
        layer = Recurrent(GRU, 3, 1, dtype=torch.float64)
        rows: Rows = [
            ([0, -SWITCH if self.reset == "signal" else 0, 0], SWITCH / 2),
            ([0, -SWITCH, 0], self.update),
            ([SCALE, 0, 0], 0),
        ]
        _fill(layer, rows, recurrent=[0, 0, 1])
        seen = _seen(layer, x)
        quiet = torch.ones(STEPS, dtype=torch.bool)
        quiet[[WRITE, AGAIN]] = False
        return _answer(seen, x, ("r", "z", "n", "h"), "h") | {
            "half_life": float(f"{half_life(seen['l0.z'].values[quiet]).item():.4g}")
        }


def _inputs(value: float) -> Tensor:
    """(T, 1, 3): a value, the signal to write, the signal to read."""
    x = torch.zeros(STEPS, 1, 3, dtype=torch.float64)
    x[:, 0, 0] = torch.tensor(OTHERS, dtype=torch.float64)
    x[WRITE, 0, 0], x[WRITE, 0, 1], x[-1, 0, 2] = value, 1, 1
    return x


def _fill(layer: Recurrent, rows: Rows, recurrent: list[float]) -> None:
    """Set what each gate weighs its three inputs with, its bias, and its recurrent weight."""
    dtype = torch.float64
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor([weights for weights, _ in rows], dtype=dtype))
        layer.bias_ih_l0.copy_(torch.tensor([bias for _, bias in rows], dtype=dtype))  # type: ignore[operator]
        layer.weight_hh_l0.copy_(torch.tensor(recurrent, dtype=dtype)[:, None])  # type: ignore[operator]
        layer.bias_hh_l0.zero_()  # type: ignore[operator]


def _seen(layer: Recurrent, x: Tensor) -> Trace:
    with trace(layer) as seen:
        output, _ = layer(x)
        output[-1].sum().backward()
    return seen


def _answer(seen: Trace, x: Tensor, names: tuple[str, ...], memory: str) -> Answer:
    slope = seen[f"l0.{memory}"].grad
    assert slope is not None
    return {
        "value": short(x[:, 0, 0]),
        "write": short(x[:, 0, 1]),
        "read": short(x[:, 0, 2]),
        "slope": short(slope.flatten(), 4),
    } | {name: short(seen[f"l0.{name}"].values.flatten()) for name in names}

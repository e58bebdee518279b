"""Cells with a part taken out, each a declaration beside which the whole one can be laid.

The names are those of Greff et al. 2017 (LSTM: A search space odyssey): a gate that is taken out is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pellucid.cells import Bias, Cell, Input, Matrix, State, relu, sigmoid, tanh


class NoInputGate(Cell):
    """The LSTM in which everything is written: i = 1 (NIG)."""

    x, U, b = Input("f g o"), Matrix("f g o"), Bias("f g o")
    h, c = State(), State()

    def step(self, x: Any, h: Any, c: Any) -> Any:
        """The equations."""
        U, b = self.U, self.b
        f = sigmoid(x.f + U.f @ h + b.f)
        g = tanh(x.g + U.g @ h + b.g)
        o = sigmoid(x.o + U.o @ h + b.o)
        c = f * c + g
        return o * tanh(c), c


class NoForgetGate(Cell):
    """The LSTM of 1997, which cannot forget: f = 1 (NFG)."""

    x, U, b = Input("i g o"), Matrix("i g o"), Bias("i g o")
    h, c = State(), State()

    def step(self, x: Any, h: Any, c: Any) -> Any:
        """The equations."""
        U, b = self.U, self.b
        i = sigmoid(x.i + U.i @ h + b.i)
        g = tanh(x.g + U.g @ h + b.g)
        o = sigmoid(x.o + U.o @ h + b.o)
        c = c + i * g
        return o * tanh(c), c


class NoOutputGate(Cell):
    """The LSTM that always shows its memory: o = 1 (NOG)."""

    x, U, b = Input("i f g"), Matrix("i f g"), Bias("i f g")
    h, c = State(), State()

    def step(self, x: Any, h: Any, c: Any) -> Any:
        """The equations."""
        U, b = self.U, self.b
        i = sigmoid(x.i + U.i @ h + b.i)
        f = sigmoid(x.f + U.f @ h + b.f)
        g = tanh(x.g + U.g @ h + b.g)
        c = f * c + i * g
        return tanh(c), c


class NoMemory(Cell):
    """The LSTM whose cell state starts anew in every step: f = 0, and only h leads on."""

    x, U, b = Input("i g o"), Matrix("i g o"), Bias("i g o")
    h = State()

    def step(self, x: Any, h: Any) -> Any:
        """The equations."""
        U, b = self.U, self.b
        i = sigmoid(x.i + U.i @ h + b.i)
        g = tanh(x.g + U.g @ h + b.g)
        o = sigmoid(x.o + U.o @ h + b.o)
        c = i * g
        return o * tanh(c)


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": tanh,
    "relu": relu,
    "sigmoid": sigmoid,
    "identity": lambda a: a,
}


class Plain(Cell):
    """The plain recurrent network with any activation: h = f(W x + b + U h)."""

    def __init__(self, activation: str = "tanh") -> None:
        self.activation = activation
        self.x = Input()
        self.U = Matrix()
        self.h = State()

    def step(self, x: Any, h: Any) -> Any:
        """The equation."""
        return ACTIVATIONS[self.activation](x + self.U @ h)

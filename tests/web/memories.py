"""Recurrent networks of which it is known what they remember, for the tests of the page's recurrence view."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import nn as torch_nn

from pellucid import Cell, nn
from pellucid.cells import CTRNN, Input, Matrix, State, Vector, sigmoid, tanh
from pellucid.web.model import of_models
from pellucid.web.opened import Opened

STEPS, UNITS, RESET = 12, 5, 7  # the input says "forget" at step 7


class Leaky(Cell):
    """A cell of one's own: a leak and a gate that it has from nowhere else."""

    x = Input("a b")
    U = Matrix()
    leak = Vector(initial=0.3)
    h = State()

    def step(self, x: Any, h: Any) -> Any:
        alpha = sigmoid(self.leak)
        let = sigmoid(x.b)
        return (1 - alpha) * h + alpha * let * tanh(x.a + self.U @ h)


class Last(torch_nn.Module):
    """The last hidden state of a recurrent layer that reads (B, T, 2)."""

    def __init__(self, layer: nn.Recurrent) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.transpose(0, 1))[0]
        return y[-1]


def latch() -> nn.LSTM:
    """An LSTM whose unit 0 writes what channel 0 says into its memory, and forgets when channel 1 says so."""
    layer = nn.LSTM(2, UNITS)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(0.2)
        weight, bias = layer.weight_ih_l0, layer.bias_ih_l0
        for gate, (signal, forget, at_rest) in enumerate(
            [(8.0, 0.0, -4.0), (0.0, -9.0, 4.0), (2.0, 0.0, 0.0), (0.0, 0.0, 3.0)]
        ):
            weight[gate * UNITS] = torch.tensor([signal, forget])
            bias[gate * UNITS] = at_rest
    return layer


def memories(steps: int = STEPS, items: int = 2) -> Opened:
    """Every kind of cell, on inputs of a signal at step 1 and a reset at step 7."""
    torch.manual_seed(5)
    layers = {
        "lstm": latch(),
        "gru": nn.GRU(2, UNITS, 2, bidirectional=True),
        "rnn": nn.RNN(2, UNITS),
        "ctrnn": nn.Recurrent(CTRNN(), 2, UNITS),
        "own": nn.Recurrent(Leaky(), 2, UNITS),
    }
    x = 0.1 * torch.randn(items, steps, 2)
    x[:, 1, 0] = 1.0
    x[:, RESET, 1] = 1.0
    return of_models({name: Last(layer) for name, layer in layers.items()}, x)

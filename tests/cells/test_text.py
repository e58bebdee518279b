"""What is written beside a drawing is true: the equations with numbers in them give the numbers that they lead to."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from tests.ops.cells_under_test import CELLS

from pellucid import nn, trace
from pellucid.cells import GRU, LSTM, RNN, Bias, Cell, Input, Matrix, State, select, sigmoid, tanh
from pellucid.cells.bounds import bounds, is_gate
from pellucid.cells.elements import read
from pellucid.cells.graph import Node
from pellucid.cells.patterns import keeper, opener
from pellucid.cells.text import Pieces, Text
from pellucid.inside.along import along

KNOWN = {
    "σ": lambda v: 1 / (1 + math.exp(-v)),
    "logσ": lambda v: -math.log1p(math.exp(-v)),
    "relu": lambda v: max(v, 0.0),
    **{name: getattr(math, name) for name in ("tanh", "exp", "sqrt")},
    "max": max,
    "abs": abs,
}


class Choosing(Cell):
    """A condition, a quotient, and a sum in a product."""

    x = Input("a b")
    h = State()

    def step(self, x: Any, h: Any) -> Any:
        share = sigmoid(x.a)
        return select(x.b > h, (1 - share) * tanh(x.b - 2.0 * h), -h / (1.0 + abs(x.a)))


def computed(pieces: Pieces, values: dict[Node, torch.Tensor], unit: int) -> float:
    """What a line with numbers comes to, read as a person reads it."""
    text = ""
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
        else:
            value = values[piece].double().reshape(-1)
            text += f"({float(value[unit if len(value) > 1 else 0])!r})"
    text = text.replace("×", "*").replace("−", "-").replace("log σ", "logσ").replace("√", "sqrt")
    return float(eval(re.sub(r"\|(.*?)\|", r"abs(\1)", text), KNOWN))


@pytest.mark.parametrize("name", [*CELLS, "choosing"])
def test_every_line_leads_to_the_value(name: str) -> None:
    """For every element of every cell's drawing, of every unit."""
    torch.manual_seed(3)
    cell = {**CELLS, "choosing": Choosing()}[name]
    layer = nn.Recurrent(cell, 3, 4, dtype=torch.float64).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    x = torch.randn(3, 1, 3, dtype=torch.float64)
    with trace(layer, grad=False) as seen:
        layer(x)
    run = along(layer, seen, x, place="l0")
    values = run.values(2)
    elements, _ = read(run.graph)
    drawn = {e.node for e in elements if e.node is not None}
    lines = 0
    for node in drawn:
        for pieces in Text(drawn).filled(node):
            if "LN(" in "".join(p for p in pieces if isinstance(p, str)):
                continue  # over all units
            lines += 1
            for unit in range(len(values[node])):
                assert computed(pieces, values, unit) == pytest.approx(float(values[node][unit]), abs=1e-9)
    assert lines


def test_equations_of_the_lstm() -> None:
    cell = LSTM()
    graph = cell.graph()
    elements, _ = read(graph)
    text = Text({e.node for e in elements if e.node is not None})
    assert text.equation(graph.named["f"]) == "σ(W_{f} x_t + b^x_{f} + U_{f} h_{t−1} + b_{f})"
    assert text.equation(graph.named["c"]) == "f_t × c_{t−1} + i_t × g_t"
    assert text.called(graph.states["c"]) == "c_{t−1}"
    assert {text.called(e.node) for e in elements if e.node is not None} >= {"f_t × c_{t−1}", "i_t × g_t", "tanh(c_t)"}


def test_what_is_drawn_inside_a_box_is_written_out() -> None:
    """The RNN's sum has a name, and no element of its own."""
    graph = RNN().graph()
    elements, _ = read(graph)
    text = Text({e.node for e in elements if e.node is not None})
    assert text.equation(graph.named["h"]) == "tanh(W x_t + b^x + U h_{t−1} + b)"


def test_gates_are_known_by_their_equations() -> None:
    """A sigmoid, one minus a sigmoid and their product are shares; a tanh and a sum are not."""
    named = LSTM(coupled=True).graph().named
    assert {name: is_gate(node) for name, node in named.items()} == {
        "f": True, "i": True, "g": False, "o": True, "c": False, "h": False,
    }  # fmt: skip
    assert bounds(named["g"]) == (-1.0, 1.0)
    assert bounds(named["i"]) == (0.0, 1.0)
    assert bounds(named["c"]) == (-math.inf, math.inf)


def test_the_gate_that_keeps_a_state() -> None:
    """f in the LSTM, z in the GRU; the LSTM's h and the RNN's are made anew."""
    lstm, gru, rnn = LSTM().graph(), GRU().graph(), RNN().graph()
    assert keeper(lstm.after["c"], lstm.states["c"]) is lstm.named["f"]
    assert keeper(lstm.after["h"], lstm.states["h"]) is None
    assert keeper(gru.after["h"], gru.states["h"]) is gru.named["z"]
    assert keeper(rnn.after["h"], rnn.states["h"]) is None


class Minimal(Cell):
    """Gated by f alone (Zhou et al. 2016), which renews."""

    def __init__(self) -> None:
        self.x, self.U, self.b, self.h = Input("f n"), Matrix("f n"), Bias("f n"), State()

    def step(self, x: Any, h: Any) -> Any:
        U, b = self.U, self.b
        f = sigmoid(x.f + U.f @ h + b.f)
        return (1 - f) * h + f * tanh(x.n + U.n @ (f * h) + b.n)


class TakenAway(Minimal):
    """The same, written so that f times the state is taken away."""

    def step(self, x: Any, h: Any) -> Any:
        U, b = self.U, self.b
        f = sigmoid(x.f + U.f @ h + b.f)
        return f * tanh(x.n + U.n @ (f * h) + b.n) + (h - f * h)


def test_the_part_that_opens_a_gate() -> None:
    lstm, gru, minimal = LSTM().graph(), GRU().graph(), Minimal().graph()
    assert opener(lstm.named["f"]) == ("f", 1)
    assert opener(gru.named["z"]) == ("z", 1)
    assert opener(gru.named["n"]) is None
    gate = keeper(minimal.after["h"], minimal.states["h"])
    assert gate is not None
    assert opener(gate) == ("f", -1)
    away = TakenAway().graph()
    assert keeper(away.after["h"], away.states["h"]) is None  # f is not what keeps it

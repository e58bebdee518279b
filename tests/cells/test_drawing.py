"""The drawing and the LaTeX say what the graph says, and nothing in the drawing lies on something else."""

from __future__ import annotations

import itertools
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.ops.cells_under_test import CELLS

from pellucid.cells import LSTM, SLSTM, Cell, Input, Matrix, State, StepInput, Vector, select, sigmoid, silu, tanh
from pellucid.cells.elements import Element, read
from pellucid.cells.graph import ancestors
from pellucid.cells.layout import Place


class Odd(Cell):
    """Everything that is unlike the well-known cells: projections outside a gate, no gate at all, odd operations."""

    x = Input("a b")
    U = Matrix("a b")
    leak = Vector()
    drive = StepInput()
    h = State()
    memory = State()
    clock = State()

    def step(self, x: Any, h: Any, memory: Any, clock: Any, drive: Any) -> Any:
        raw = x.a * h - drive
        memory = memory * self.leak + silu(raw) - 2.0 * clock
        clock = 1.0 - clock
        h = select(memory > 0.5, tanh(self.U.a @ memory), -h) + sigmoid(x.b) / (1.0 + abs(self.U.b @ h))
        return h, memory, clock


DRAWN: dict[str, Cell] = {**CELLS, "odd": Odd()}


def sources(place: Place, seen: set[Place] | None = None) -> set[str]:
    """What an element is computed from, by the wires of the drawing."""
    seen = seen if seen is not None else set()
    if place in seen:
        return set()
    seen.add(place)
    below = [sources(given, seen) for given in place.inputs]
    own = {place.text} if isinstance(place, Element) and not place.inputs else set()
    return own.union(*below)


def truth(cell: Cell, state: str) -> set[str]:
    """What a state is computed from, by the graph."""
    leaves = [n for n in ancestors([cell.graph().after[state]]) if n.is_leaf and n.varies]
    return {"x" if n.op == "projection" else n.key for n in leaves}


@pytest.mark.parametrize("name", DRAWN)
def test_wires_lead_from_what_a_state_depends_on(name: str) -> None:
    cell = DRAWN[name]
    _, ends = read(cell.graph())
    assert len(ends) == len(cell.states)
    for state, end in zip(cell.states, ends, strict=True):
        assert sources(end) == truth(cell, state)


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_lies_on_something_else(name: str) -> None:
    root = ElementTree.fromstring(DRAWN[name].diagram())
    frame, *boxes = [
        {k: float(e.get(k, 0)) for k in ("x", "y", "width", "height")} for e in root.iter() if e.tag.endswith("rect")
    ]
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    assert frame["width"] > 0
    for b in boxes:
        assert b["x"] >= 0
        assert b["x"] + b["width"] <= width
        assert b["y"] >= 0
        assert b["y"] + b["height"] <= height
    for a, b in itertools.combinations(boxes, 2):
        apart = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
        apart |= a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]
        assert apart, (a, b)
    for e in root.iter():
        if e.tag.endswith("path"):
            for (x1, y1), (x2, y2) in itertools.pairwise(corners(e.get("d", ""))):
                for b in boxes:
                    through_level = y1 == y2 and b["y"] < y1 < b["y"] + b["height"]
                    through_level &= min(x1, x2) < b["x"] and max(x1, x2) > b["x"] + b["width"]
                    upright = x1 == x2 and b["x"] < x1 < b["x"] + b["width"]
                    upright &= min(y1, y2) < b["y"] + b["height"] and max(y1, y2) > b["y"]
                    assert not through_level, (e.get("d"), b)
                    assert not upright, (e.get("d"), b)


def corners(path: str) -> list[tuple[float, float]]:
    """The points of a path of level and upright lines; its round corners count as their two ends."""
    points: list[tuple[float, float]] = []
    for letter, numbers in re.findall(r"([MHVq])([^MHVq]*)", path):
        values = [float(v) for v in numbers.split()]
        x, y = points[-1] if points else (0.0, 0.0)
        match letter:
            case "M":
                points.append((values[0], values[1]))
            case "H":
                points.append((values[0], y))
            case "V":
                points.append((x, values[0]))
            case "q":
                points.append((round(x + values[2], 6), round(y + values[3], 6)))
    return points


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_cell_has_the_same_drawing(name: str) -> None:
    assert DRAWN[name].diagram() == DRAWN[name].diagram()


def test_gates_are_boxes_with_their_function_and_name() -> None:
    texts = re.findall(r">([^<>]+)</text>", LSTM().diagram())
    assert [texts.count(s) for s in ("σ", "tanh", "×", "+")] == [3, 2, 3, 1]
    assert {"i", "f", "g", "o"} <= set(texts)
    assert "σ∘LN" in LSTM(layer_norm=True).diagram()
    assert "log σ" in SLSTM().diagram()


def test_names_are_escaped() -> None:
    class Named(Cell):
        x = Input()
        h = State()

        def step(self, x: Any, h: Any) -> Any:
            return tanh(x + h)

    Named.__name__ = "A<script>&"
    assert "<script>" not in Named().diagram()


@pytest.mark.parametrize("name", DRAWN)
def test_latex_is_balanced_and_has_a_line_for_each_name(name: str) -> None:
    text = DRAWN[name].latex()
    assert text.startswith("\\begin{align}\n")
    assert text.endswith("\n\\end{align}")
    assert text.count("{") == text.count("}")
    assert text.count("\\left") == text.count("\\right")
    assert text.count("&=") == len(DRAWN[name].graph().named)
    depth = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        assert depth >= 0


def test_latex_of_the_lstm() -> None:
    lines = LSTM().latex().splitlines()
    assert r"f_t &= \sigma(W_{f} x_t + b^x_{f} + U_{f} h_{t-1} + b_{f}) \\" in lines
    assert r"c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\" in lines
    assert r"h_t &= o_t \odot \tanh(c_t)" in lines


def test_latex_keeps_what_binds_together_together() -> None:
    class Grouped(Cell):
        x = Input()
        U = Matrix()
        h = State()

        def step(self, x: Any, h: Any) -> Any:
            return (1.0 - h) * (x - (h - x)) - (h + self.U @ (h * h))

    assert Grouped().latex().splitlines()[1] == (
        r"h_t &= (1 - h_{t-1}) \odot (W x_t + b^x - (h_{t-1} - (W x_t + b^x))) - (h_{t-1} + U (h_{t-1} \odot h_{t-1}))"
    )

"""A mistake in a declaration is one sentence that names the cell, the line of the equation and the remedy."""

from __future__ import annotations

import copy
import pickle
import sys
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from tests.ops.cells_under_test import CELLS

import pellucid
from pellucid.cells import GRU, LSTM, Bias, Cell, Constant, Input, Matrix, State, StepInput, Vector, sigmoid, tanh
from pellucid.errors import CellError, PellucidError


class Plain(Cell):
    """What a right declaration looks like; each wrong one below changes one thing."""

    x = Input()
    U = Matrix()
    h = State()

    def step(self, x: Any, h: Any) -> Any:
        return tanh(x + self.U @ h)


class UndefinedName(Plain):
    def step(self, x: Any, h: Any) -> Any:
        return tanh(x + forgotten @ h)  # type: ignore[name-defined]  # noqa: F821


class DeclaredButBare(Plain):
    def step(self, x: Any, h: Any) -> Any:
        return tanh(x + U @ h)  # type: ignore[name-defined]  # noqa: F821


class UndeclaredParameter(Plain):
    def step(self, x: Any, h: Any) -> Any:
        return tanh(x + self.V @ h)  # type: ignore[attr-defined]


class MissingGate(Plain):
    x = Input("r z")
    U = Matrix("r z")

    def step(self, x: Any, h: Any) -> Any:
        return tanh(x.r + self.U.n @ h)


class MissingInputGate(Plain):
    x = Input("r z")

    def step(self, x: Any, h: Any) -> Any:
        return tanh(x.o + h)


class PartsAsOne(Plain):
    x = Input("r z")
    U = Matrix("r z")

    def step(self, x: Any, h: Any) -> Any:
        return tanh(x.r + self.U @ h)


class StateNeverAssigned(Plain):
    c = State()

    def step(self, x: Any, h: Any, c: Any) -> Any:
        h = tanh(x + self.U @ h)
        return h, c


class TooFewStates(Plain):
    c = State()

    def step(self, x: Any, h: Any, c: Any) -> Any:
        return tanh(x + self.U @ h + c)


class NoReturn(Plain):
    def step(self, x: Any, h: Any) -> Any:
        h = tanh(x + self.U @ h)


class UndeclaredArgument(Plain):
    def step(self, x: Any, h: Any, c: Any) -> Any:
        return tanh(x + self.U @ h) + c


class NoInput(Cell):
    U = Matrix()
    h = State()

    def step(self, h: Any) -> Any:
        return tanh(self.U @ h)


class TwoInputs(Plain):
    v = Input()


class NoState(Cell):
    x = Input()

    def step(self, x: Any) -> Any:
        return tanh(x)


class NoEquations(Cell):
    x = Input()
    h = State()


class WrongColumns(Plain):
    sizes = MappingProxyType({"P": 3})
    U = Matrix(columns="P")


class VectorOnTheLeft(Plain):
    U = Vector()  # type: ignore[assignment]


class DifferentSizes(Plain):
    sizes = MappingProxyType({"P": 3})
    gain = Vector(size="P")

    def step(self, x: Any, h: Any) -> Any:
        return tanh(x + self.gain * h)


class StateOfWrongSize(Plain):
    sizes = MappingProxyType({"P": 3})
    V = Matrix(rows="P", columns="H", key="V")

    def step(self, x: Any, h: Any) -> Any:
        return self.V @ tanh(x + self.U @ h)


class UnknownSize(Plain):
    gain = Vector(size="Q")

    def step(self, x: Any, h: Any) -> Any:
        return tanh(x + self.U @ h) * self.gain


class Branching(Plain):
    def step(self, x: Any, h: Any) -> Any:
        if h > 0:
            return tanh(x)
        return tanh(x + self.U @ h)


class Power(Plain):
    def step(self, x: Any, h: Any) -> Any:
        return tanh(x + self.U @ h) ** 2


class ForeignArray(Plain):
    def step(self, x: Any, h: Any) -> Any:
        return tanh(x + self.U @ h) * torch.ones(3)


class ForeignNumpyArray(Plain):
    def step(self, x: Any, h: Any) -> Any:
        return tanh(x + self.U @ h) + np.ones(3)


class MatrixThatVaries(Plain):
    def step(self, x: Any, h: Any) -> Any:
        return tanh(x + (self.U * h) @ h)


class MatrixOfAGate(Plain):
    def step(self, x: Any, h: Any) -> Any:
        return tanh(x + h @ h)


WRONG: list[tuple[type[Cell], list[str]]] = [
    (UndefinedName, ["return tanh(x + forgotten @ h)", "'forgotten' is not defined", "declare it"]),
    (DeclaredButBare, ["return tanh(x + U @ h)", "use self.U"]),
    (UndeclaredParameter, ["self.V is not declared", "parameters are U", "V = Matrix"]),
    (MissingGate, ["return tanh(x.r + self.U.n @ h)", "U has no part 'n'", "declared with r, z"]),
    (MissingInputGate, ["return tanh(x.o + h)", "x has no part 'o'", "add 'o' there"]),
    (PartsAsOne, ["U has the parts r, z", "self.U.r @"]),
    (StateNeverAssigned, ["state c is never assigned", "`c = ...`"]),
    (TooFewStates, ["returns 1 value", "has 2 states, h, c", "`return h, c`"]),
    (NoReturn, ["returns nothing", "`return h`"]),
    (UndeclaredArgument, ["takes 'c', which is not declared", "c = State()", "c = StepInput()"]),
    (NoInput, ["declares 0 projected inputs", 'x = Input("gate names")']),
    (TwoInputs, ["declares 2 projected inputs (x, v)", "StepInput"]),
    (NoState, ["declares no state", "`h = State()`"]),
    (NoEquations, ["has no equations", "define step"]),
    (WrongColumns, ["U (H x P) multiplies a vector of size P", "h (H) has size H", "columns='H'"]),
    (VectorOnTheLeft, ["left side of `@` must be a matrix", "U (H)"]),
    (DifferentSizes, ["return tanh(x + self.gain * h)", "gain (P)", "h (H)", "same size"]),
    (StateOfWrongSize, ["state h is declared with size H", "size P", "State('P')"]),
    (UnknownSize, ["size 'Q'", "self.sizes"]),
    (Branching, ["if h > 0:", "cannot branch", "select(condition, a, b)"]),
    (Power, ["`**` is not in the language", "v * v"]),
    (ForeignArray, ["declared names and plain numbers", "Constant"]),
    (ForeignNumpyArray, ["declared names and plain numbers", "Constant"]),
    (MatrixThatVaries, ["differs from step to step"]),
    (MatrixOfAGate, ["left side of `@` must be a matrix", "h (H)"]),
]


@pytest.mark.parametrize(("kind", "words"), WRONG, ids=lambda v: v.__name__ if isinstance(v, type) else "")
def test_a_wrong_declaration_names_the_cell_the_line_and_the_remedy(kind: type[Cell], words: list[str]) -> None:
    with pytest.raises(CellError) as caught:
        pellucid.nn.Recurrent(kind(), 4, 5)(torch.randn(2, 3, 4))
    message = str(caught.value)
    assert kind.__name__ in message, message
    for word in words:
        assert word in message, message
    assert "\n" not in message


def test_the_right_declaration_that_the_wrong_ones_are_made_from_works() -> None:
    assert pellucid.nn.Recurrent(Plain(), 4, 5)(torch.randn(2, 3, 4))[0].shape == (2, 3, 5)


def test_an_error_in_a_method_that_the_equations_call_is_found_on_its_own_line() -> None:
    class Helped(Plain):
        def step(self, x: Any, h: Any) -> Any:
            return self.gate(x, h)

        def gate(self, x: Any, h: Any) -> Any:
            return sigmoid(x + self.W @ h)  # type: ignore[attr-defined]

    with pytest.raises(CellError, match=r"return sigmoid\(x \+ self\.W @ h\).*self\.W is not declared"):
        Helped().graph()


def test_a_cell_without_source_text_still_names_cell_and_line() -> None:
    scope: dict[str, Any] = {"Plain": Plain, "tanh": tanh}
    exec("class Typed(Plain):\n    def step(self, x, h):\n        return tanh(x + wrong)\n", scope)
    with pytest.raises(CellError, match=r"Typed\.step, line 3.*'wrong' is not defined"):
        scope["Typed"]().graph()


def test_tracing_leaves_the_profiler_as_it_was() -> None:
    calls: list[str] = []

    def profiler(frame: Any, event: str, _: Any) -> None:
        calls.append(event)

    before = sys.getprofile()
    sys.setprofile(profiler)
    try:
        Plain().graph()
        assert sys.getprofile() is profiler
        with pytest.raises(CellError):
            Power().graph()
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize("name", CELLS)
def test_copies_are_the_same_cell(name: str) -> None:
    cell = CELLS[name]
    cell.derivative()  # what is derived must not be copied along
    for twin in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert twin.derivative().forward.text() == cell.derivative().forward.text()
        assert twin.derivative().backward.text() == cell.derivative().backward.text()


def test_options_that_cannot_be() -> None:
    with pytest.raises(PellucidError, match="proj_size"):
        LSTM(proj_size=-1)
    with pytest.raises(ValueError, match=r"alpha = dt/tau must lie between 0 and 1, and is 1\.5"):
        pellucid.cells.CTRNN(alpha=1.5)
    with pytest.raises(PellucidError, match="heads"):
        pellucid.nn.Recurrent(GRU(heads=3), 4, 5)


def test_everything_a_declaration_can_hold_is_found_by_kind() -> None:
    class Whole(Cell):
        x = Input("i o")
        U = Matrix("i o")
        b = Bias("i o")
        gain = Vector()
        mask = Constant(torch.ones(5), ("H",))
        none = Constant(None, ("H",))
        noise = StepInput(optional=True)
        h = State()
        c = State(initial=1.0)

        def step(self, x: Any, h: Any, c: Any, noise: Any) -> Any:
            i = sigmoid(x.i + self.U.i @ h + self.b.i)
            c = c * self.mask * self.none + i * self.gain + noise
            h = sigmoid(x.o + self.U.o @ h + self.b.o) * c
            return h, c

    cell = Whole()
    assert list(cell.states) == ["h", "c"]
    assert list(cell.parameters) == ["U", "b", "gain"]
    assert list(cell.constants) == ["mask"]
    assert list(cell.step_inputs) == ["noise"]
    assert cell.input[0] == "x"

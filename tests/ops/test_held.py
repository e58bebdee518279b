"""The promise: a cell with a name held is that cell, but for what is held; and all that is derived from it agrees."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import Tensor

from pellucid.cells import GRU, LSTM, RNN, Cell, Held, Input, Matrix, State, Vector, sigmoid, tanh
from pellucid.errors import ArgumentError
from pellucid.ops.recurrence import Sight, recurrence
from pellucid.ops.reference.recurrence import recurrence as reference
from tests.ops.cells_under_test import CELLS, SURROUNDINGS, Run, random_run

# The sums and their orders are those of tests/ops/test_recurrence.py, and so is the tolerance.
TOLERANCE = {"atol": 1e-11, "rtol": 1e-11}


class Keeps(Cell):
    """A cell of one's own: two names, one of them used twice, and a parameter that varies with nothing."""

    x = Input("k n")
    U = Matrix("k n")
    a = Vector(initial=0.5)
    h = State()

    def step(self, x, h):  # type: ignore[no-untyped-def]
        k = sigmoid(x.k + self.U.k @ h)
        n = tanh(x.n + self.a * (self.U.n @ (k * h)))
        return k * h + (1 - k) * n


ALL = CELLS | {"own": Keeps()}
CASES = [(name, value) for name, cell in ALL.items() for value, node in cell.graph().named.items() if node.varies]


def gradients(outputs: dict[str, Tensor], run: Run) -> list[Tensor]:
    """Of a sum of all outputs, each with a weight of its own; an absent one is zero."""
    weighted = [(torch.linspace(-1, 1, o.numel(), dtype=o.dtype).view(o.shape) * o).sum() for o in outputs.values()]
    found = torch.autograd.grad(torch.stack(weighted).sum(), run.leaves(), allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(run.leaves(), found, strict=True)]


@pytest.mark.parametrize(
    ("name", "value", "around"),
    [(*case, around) for case, around in zip(CASES, itertools.cycle(SURROUNDINGS), strict=False)],
)
def test_engine_equals_equations(name: str, value: str, around: str) -> None:
    """Held at random levels at random steps, sequences and units: states and all gradients."""
    held = Held(ALL[name], value)
    run = random_run(held, **SURROUNDINGS[around])
    expected = reference(held, run.variant, run.parameters, run.x, run.before, run.inputs)
    actual = recurrence(held, run.variant, run.parameters, run.x, run.before, run.inputs)
    torch.testing.assert_close(actual, expected, **TOLERANCE)
    torch.testing.assert_close(gradients(actual, run), gradients(expected, run), **TOLERANCE)


@pytest.mark.parametrize(("name", "value"), CASES)
def test_held_at_what_it_is_anyway(name: str, value: str) -> None:
    """Nothing changes where nothing is held, nor where a name is held at its own values; elsewhere the value shows."""
    cell, held = ALL[name], Held(ALL[name], value)
    run, sight = random_run(cell), Sight()
    free = recurrence(cell, run.variant, run.parameters, run.x, run.before, run.inputs, sight=sight)
    own = sight.values[value].detach()
    given = frozenset(held.step_inputs)

    def with_held(mask: Tensor, level: Tensor) -> tuple[dict[str, Tensor], Sight]:
        sight = Sight()
        inputs = run.inputs | {f"held.{value}": mask, f"level.{value}": level}
        variant = random_run(held).variant
        assert variant.given == given
        return recurrence(held, variant, run.parameters, run.x, run.before, inputs, sight=sight), sight

    for mask, level in ((torch.zeros_like(own), own + 1), (torch.ones_like(own), own)):
        states, seen = with_held(mask, level)
        torch.testing.assert_close(states, free, **TOLERANCE)
        assert list(seen.values) == list(sight.values)
    moved, seen = with_held(torch.ones_like(own), own + 1)
    torch.testing.assert_close(seen.values[value], own + 1, rtol=0, atol=0)
    assert any((moved[state] - free[state]).abs().max() > 1e-3 for state in cell.states)


def levels(run: Run, name: str, value: float, hidden: int = 4) -> dict[str, Tensor]:
    whole = torch.ones(*run.x.shape[:2], hidden, dtype=run.x.dtype)
    return run.inputs | {f"held.{name}": whole, f"level.{name}": whole * value}


def test_an_lstm_that_never_forgets_only_adds() -> None:
    """With f = 1 the memory is where it began plus the sum of i * g, by a loop that is written out here."""
    held = Held(LSTM(), "f")
    run = random_run(held, steps=9)
    found = recurrence(held, run.variant, run.parameters, run.x, run.before, levels(run, "f", 1.0))
    h, c = run.before
    for t in range(9):
        i, _, g, o = (run.x[t] + h @ run.parameters["U"].T + run.parameters["b"]).chunk(4, -1)
        c = c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        torch.testing.assert_close((found["h"][t], found["c"][t]), (h, c), **TOLERANCE)


@pytest.mark.parametrize("z", [0.0, 1.0, 0.25])
def test_a_gru_by_its_update_gate(z: float) -> None:
    """With z = 1 the state stands still, with z = 0 nothing of it is kept but through r."""
    held = Held(GRU(), "z")
    run = random_run(held, steps=5)
    found = recurrence(held, run.variant, run.parameters, run.x, run.before, levels(run, "z", z))["h"]
    (h,) = run.before
    U, b = run.parameters["U"].chunk(3), run.parameters["b"].chunk(3)
    for t in range(5):
        x = run.x[t].chunk(3, -1)
        r = (x[0] + h @ U[0].T + b[0]).sigmoid()
        n = (x[2] + r * (h @ U[2].T + b[2])).tanh()
        h = (1 - z) * n + z * h
        torch.testing.assert_close(found[t], h, **TOLERANCE)
    if z == 1.0:
        torch.testing.assert_close(found, run.before[0].expand_as(found))


def test_two_names_are_held() -> None:
    """i = 0 and f = 1: an LSTM's memory is what it was at the start."""
    held = Held(Held(LSTM(), "f"), "i")
    run = random_run(held)
    inputs = levels(run, "f", 1.0) | {k: v for k, v in levels(run, "i", 0.0).items() if k.endswith(".i")}
    found = recurrence(held, run.variant, run.parameters, run.x, run.before, inputs)
    torch.testing.assert_close(found["c"], run.before[1].expand_as(found["c"]), **TOLERANCE)


def test_what_cannot_be_held_is_a_sentence() -> None:
    with pytest.raises(ArgumentError, match="RNN names no 'f' that could be held; it has a, h"):
        Held(RNN(), "f")
    with pytest.raises(ArgumentError, match="f is held already"):
        Held(Held(LSTM(), "f"), "f")


def test_a_copy_computes_the_same() -> None:
    held = Held(LSTM(peepholes=True), "o")
    run = random_run(held)
    arguments = (run.variant, run.parameters, run.x, run.before, run.inputs)
    torch.testing.assert_close(recurrence(copy.deepcopy(held), *arguments), recurrence(held, *arguments))

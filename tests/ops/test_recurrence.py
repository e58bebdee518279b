"""The promise: a cell's derived programs compute what its equations say, forward and backward."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid.cells import (
    CTRNN,
    GRU,
    LSTM,
    RNN,
    SLSTM,
    Bias,
    Cell,
    Input,
    Matrix,
    State,
    Vector,
    cos,
    erf,
    exp,
    log,
    maximum,
    mean,
    minimum,
    select,
    sigmoid,
    sign,
    sin,
    softplus,
    sqrt,
    tanh,
)
from pellucid.cells import sequence as sequences
from pellucid.cells.opcodes import OPCODES, Opcode
from pellucid.ops import recurrence as ops
from pellucid.ops.reference.recurrence import recurrence as reference
from tests.ops.cells_under_test import CELLS, SURROUNDINGS, Run, random_run

# Both sides are float64 sums of at most a few dozen terms of size about 1, in different orders: some tens of units in
# the last place (2.2e-16), amplified by up to exp's and 1/n's slopes in sLSTM. 1e-11 leaves four digits for that and
# is far below any error of a wrong term.
TOLERANCE = {"atol": 1e-11, "rtol": 1e-11}


def program(cell: Cell, run: Run, **more: Any) -> dict[str, Tensor]:
    return ops.recurrence(cell, run.variant, run.parameters, run.x, run.before, run.inputs, **more)


def truth(cell: Cell, run: Run) -> dict[str, Tensor]:
    return reference(cell, run.variant, run.parameters, run.x, run.before, run.inputs)


def gradients(outputs: dict[str, Tensor], run: Run) -> list[Tensor]:
    """Gradients of a random combination of all outputs; an absent one is zero."""
    generator = torch.Generator().manual_seed(1)
    loss = sum((torch.randn(o.shape, generator=generator, dtype=o.dtype) * o).sum() for o in outputs.values())
    assert isinstance(loss, Tensor)
    found = torch.autograd.grad(loss, run.leaves(), allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(run.leaves(), found, strict=True)]


def assert_same(cell: Cell, run: Run) -> None:
    expected, actual = truth(cell, run), program(cell, run)
    assert list(actual) == list(cell.states)
    torch.testing.assert_close(actual, expected, **TOLERANCE)
    torch.testing.assert_close(gradients(actual, run), gradients(expected, run), **TOLERANCE)


@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize("name", CELLS)
def test_program_equals_equations(name: str, around: str) -> None:
    assert_same(CELLS[name], random_run(CELLS[name], **SURROUNDINGS[around]))


@pytest.mark.parametrize("name", CELLS)
def test_gradcheck(name: str) -> None:
    """The derived backward pass against finite differences of the forward pass."""
    cell = CELLS[name]
    run = random_run(cell, steps=2, batch=2)
    names = list(run.parameters)
    steps = list(run.inputs)

    def function(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        states = len(run.before)
        before, inputs = rest[:states], dict(zip(steps, rest[states : states + len(steps)], strict=True))
        parameters = dict(zip(names, rest[states + len(steps) :], strict=True))
        return tuple(ops.recurrence(cell, run.variant, parameters, x, before, inputs).values())

    assert torch.autograd.gradcheck(
        function, (run.x, *run.before, *run.inputs.values(), *run.parameters.values()), fast_mode=True
    )


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (3, 0), (7, 5)])
@pytest.mark.parametrize("name", ["lstm", "gru heads", "slstm"])
def test_odd_sizes(name: str, steps: int, batch: int) -> None:
    assert_same(CELLS[name], random_run(CELLS[name], steps=steps, batch=batch))


def test_no_steps() -> None:
    run = random_run(CELLS["lstm projected"], steps=0)
    states = program(CELLS["lstm projected"], run)
    assert {name: tuple(s.shape) for name, s in states.items()} == {"h": (0, 3, 2), "c": (0, 3, 4)}
    assert all((g == 0).all() for g in gradients(states, run))


def test_one_unit() -> None:
    assert_same(LSTM(layer_norm=True), random_run(LSTM(layer_norm=True), hidden=1))


def test_strided_memory() -> None:
    run = random_run(CELLS["lstm"])
    run.x = run.x.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    run.before = [b.detach().mT.contiguous().mT.requires_grad_() for b in run.before]
    run.parameters["U"] = run.parameters["U"].detach().mT.contiguous().mT.requires_grad_()
    assert not run.x.is_contiguous()
    assert not run.parameters["U"].is_contiguous()
    assert_same(CELLS["lstm"], run)


@pytest.mark.parametrize("way", ["transposed", "of a wider one", "of a flat one"])
def test_a_parameter_may_be_a_view(way: str) -> None:
    """The numbers of the view count, not the memory behind it, and the gradient is the view's."""
    run = random_run(CELLS["rnn"])
    u = run.parameters["U"].detach()
    view = {
        "transposed": lambda: u.mT.contiguous().mT,
        "of a wider one": lambda: torch.cat([u, u], -1)[:, :4],
        "of a flat one": lambda: u.flatten().view(4, 4),
    }[way]()
    assert view._base is not None
    run.parameters["U"] = view.requires_grad_()
    assert_same(CELLS["rnn"], run)
    weights = torch.eye(4, dtype=u.dtype).mul(2).requires_grad_()
    run.parameters["U"] = (weights.mT if way == "transposed" else weights).view(4, 4)  # not a leaf
    assert_same(CELLS["rnn"], run)


def test_derivative_of_a_derivative() -> None:
    cell = CELLS["gru"]
    run = random_run(cell, steps=2, batch=2, hidden=2)

    def function(x: Tensor, u: Tensor) -> Tensor:
        return ops.recurrence(cell, run.variant, run.parameters | {"U": u}, x, run.before, run.inputs)["h"]

    assert torch.autograd.gradgradcheck(function, (run.x, run.parameters["U"]), fast_mode=True)


def test_transforms() -> None:
    """torch.func's transforms and forward mode see the same function."""
    cell = CELLS["lstm"]
    run = random_run(cell)

    def loss(x: Tensor) -> Tensor:
        states = ops.recurrence(cell, run.variant, run.parameters, x, run.before, run.inputs)
        return states["h"].sum() + states["c"].sum()

    (expected,) = torch.autograd.grad(loss(run.x), run.x)
    x = run.x.detach()
    torch.testing.assert_close(torch.func.grad(loss)(x), expected, **TOLERANCE)
    tangent = torch.randn_like(x)
    _, slope = torch.func.jvp(loss, (x,), (tangent,))
    torch.testing.assert_close(slope, (expected * tangent).sum(), **TOLERANCE)
    many = torch.stack([x, 2 * x])
    torch.testing.assert_close(torch.func.vmap(loss)(many), torch.stack([loss(x), loss(2 * x)]), **TOLERANCE)


def test_no_gradient_crosses_a_reset() -> None:
    cell = CELLS["lstm"]
    run = random_run(cell, resets=True)
    run.inputs["reset"] = torch.zeros(4, 3, 1, dtype=torch.bool)
    run.inputs["reset"][2, 1] = True
    (reached,) = torch.autograd.grad(program(cell, run)["h"][2:].sum(), run.x)
    assert (reached[:2, 1] == 0).all()
    assert (reached[:2, [0, 2]] != 0).all()


def test_a_state_may_start_from_minus_infinity() -> None:
    """The stabiliser of sLSTM starts there; nothing becomes NaN, and the first step is c / n = z."""
    cell = CELLS["slstm"]
    run = random_run(cell)
    zero = torch.zeros(3, 4, dtype=torch.float64)
    run.before[1:] = [zero, zero, torch.full_like(zero, -math.inf)]
    states = program(cell, run)
    assert all(s.isfinite().all() for s in states.values())
    loss = states["h"].sum()
    assert all(g.isfinite().all() for g in torch.autograd.grad(loss, [run.x, run.parameters["U"]]))


class Everything(Cell):
    """Uses every opcode of the language that the built-in cells leave out."""

    x = Input("a b")
    U = Matrix("a b")
    b = Bias("a b")
    w = Vector()
    one = Vector(size="1")
    h = State()
    s = State()

    def step(self, x: Any, h: Any, s: Any) -> Any:
        a = x.a + self.U.a @ h + self.b.a
        b = x.b + self.U.b @ (h * s) + self.b.b
        y = sin(a) * cos(b) + erf(a) / (1.0 + abs(b)) - minimum(a, b) * maximum(a, 0.5)
        q = sqrt(1.0 + a * a) * log(1.0 + b * b) + sign(a) * softplus(b) + mean(a * self.w) * self.one
        h = select(a > b, y, q) * select(a >= 0.0, 0.3, exp(-abs(a)))
        s = 0.5 * s + mean(h)
        return h, s


def test_every_opcode_is_derived_right() -> None:
    cells = [*CELLS.values(), Everything()]
    phases = [phase for cell in cells for phase in cell.derivative().forward.phases]
    assert set(OPCODES) <= {i.op for phase in phases for i in getattr(phase, "instructions", ())}
    assert_same(Everything(), random_run(Everything(), resets=True))


@pytest.mark.parametrize("op", sorted(name for name in OPCODES if OPCODES[name].adjoint and name != "sign"))
def test_a_wrong_derivative_is_noticed(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = OPCODES[op].adjoint
    assert right is not None

    def wrong(*operands: Any) -> Any:
        return tuple(None if share is None else share * 1.001 for share in right(*operands))

    monkeypatch.setitem(OPCODES, op, Opcode(OPCODES[op].arity, wrong, OPCODES[op].latex))
    # New instances: a cell keeps the programs that it has derived.
    cells = [Everything(), LSTM(peepholes=True, layer_norm=True), SLSTM(), RNN(nonlinearity="relu")]

    def check() -> None:
        for cell in cells:
            assert_same(cell, random_run(cell))

    with pytest.raises(AssertionError):
        check()


def test_memory_kept_for_backward() -> None:
    """LSTM keeps what it names and nothing more: i, f, g, o and its two states."""
    kept = {node.name for node in LSTM().derivative(sequences.Variant()).kept}
    assert kept == {"i", "f", "g", "o", "c"}  # c also as a state; the tanh of c is computed again


class Unnamed(Cell):
    """The LSTM without a name for any gate."""

    x = Input("i f g o")
    U = Matrix("i f g o")
    b = Bias("i f g o")
    h = State()
    c = State()

    def step(self, x: Any, h: Any, c: Any) -> Any:
        """The equations in three lines."""
        U, b = self.U, self.b
        carried = sigmoid(x.f + U.f @ h + b.f) * c
        carried = carried + sigmoid(x.i + U.i @ h + b.i) * tanh(x.g + U.g @ h + b.g)
        return sigmoid(x.o + U.o @ h + b.o) * tanh(carried), carried


@pytest.mark.parametrize(
    ("cell", "vectors"),
    [(Unnamed(), 5), (GRU(), 4), (CTRNN(), 1), (LSTM(layer_norm=True), 9)],  # each gate before it is normalised, too
)
def test_what_has_no_name_costs_no_memory(cell: Cell, vectors: int) -> None:
    """A value stands for all that it was made of: a gate's projected input is never kept beside its product."""
    derivative = cell.derivative(sequences.Variant())
    read = {derivative.backward.registers[r].op for r in derivative.backward.inputs}
    assert "projection" not in read
    assert sum(node.shape != ("1",) for node in derivative.kept) == vectors


@pytest.mark.parametrize("name", CELLS)
def test_sight_shows_named_values_and_their_gradients(name: str) -> None:
    """What a trace shows is what the equations compute, and the gradient is that of a nudge to the value."""
    cell = CELLS[name]
    run = random_run(cell)
    sight = ops.Sight()
    states = program(cell, run, sight=sight)
    for state in cell.states:
        torch.testing.assert_close(sight.values[state], states[state])
    states["h"][-1].sum().backward()
    assert set(sight.gradients) <= set(sight.values)
    last = sight.gradients["h"][-1]
    torch.testing.assert_close(last, torch.ones_like(last))
    assert all(sight.gradients[n].shape == sight.values[n].shape for n in sight.gradients)

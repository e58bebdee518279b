"""The promise: cells that people invent mean what their equations say, also where a state takes over what is there, is one number or
counts on; and a name or key that would mean two things is a sentence."""

from __future__ import annotations

import cProfile
from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid import Cell, cells, inside, nn, trace
from pellucid.cells import Constant, Input, Matrix, State, StepInput, Vector, mean, select, tanh
from pellucid.errors import ArgumentError, ArgumentTypeError, CellError
from pellucid.ops.reference.recurrence import recurrence as reference


class Delay(Cell):
    """The state before last acts, too."""

    x = Input()
    U = Matrix("a b")
    h = State()
    last = State()

    def step(self, x: Any, h: Any, last: Any) -> Any:
        return tanh(x + self.U.a @ h + self.U.b @ last), h


class Swap(Cell):
    x = Input()
    U = Matrix()
    h = State()
    other = State()
    one = State()

    def step(self, x: Any, h: Any, other: Any, one: Any) -> Any:
        return other, tanh(x + self.U @ h + one), 1.0


class Shared(Cell):
    """One number for all units goes along."""

    x = Input()
    U = Matrix()
    pool = Matrix(rows="1", key="pool")
    h = State()
    s = State("1")

    def step(self, x: Any, h: Any, s: Any) -> Any:
        h = tanh(x + self.U @ h + s + self.pool @ h)
        return h, 0.5 * s + mean(mean(h))


class Conditions(Cell):
    """A condition is a number, 1 or 0, in equations."""

    x = Input()
    U = Matrix()
    h = State()
    s = State("1")

    def step(self, x: Any, h: Any, s: Any) -> Any:
        rises = x > h
        h = tanh(x + self.U @ h) * (1.0 - rises) + 0.5 * rises
        return h, s - mean(rises)


class Counting(Cell):
    x = Input()
    U = Matrix()
    h = State()
    t = State()

    def step(self, x: Any, h: Any, t: Any) -> Any:
        return tanh(x + self.U @ h) / (1 + t), t + 1


ODD = [Delay, Swap, Shared, Conditions, Counting]


def layer(cell: type[Cell], **options: Any) -> nn.Recurrent:
    return nn.Recurrent(cell, 3, 4, dtype=torch.float64, **options)


def by_equations(made: nn.Recurrent, x: Tensor) -> dict[str, Tensor]:
    projected = torch.nn.functional.linear(x, made.weight_ih_l0, made.bias_ih_l0)  # type: ignore[arg-type]
    start = [x.new_zeros(x.shape[1], made.cell.size(s.size, 4)) for s in made.cell.states.values()]
    return reference(
        made.cell,
        made._variant((), resets=False, ragged=False, training=False),
        made._parameters_of("l0"),
        projected,
        start,
        {},
    )


@pytest.mark.parametrize("cell", ODD)
def test_outputs_gradients_and_streams_are_the_equations(cell: type[Cell]) -> None:
    made, x = layer(cell), torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    output, states = made(x)
    wanted = by_equations(made, x)
    torch.testing.assert_close(output, next(iter(wanted.values())))
    torch.testing.assert_close(
        [s[0] for s in states] if isinstance(states, tuple) else [states[0]], [v[-1] for v in wanted.values()]
    )
    leaves = [x, *made.parameters()]
    weights = torch.randn_like(output)
    ours = torch.autograd.grad((output * weights).sum(), leaves, create_graph=True)
    theirs = torch.autograd.grad((next(iter(wanted.values())) * weights).sum(), leaves, create_graph=True)
    torch.testing.assert_close(ours, theirs)
    twice = [torch.autograd.grad(sum(g.pow(2).sum() for g in found), leaves) for found in (ours, theirs)]
    torch.testing.assert_close(*twice)
    ragged, _ = made(x, lengths=torch.tensor([6, 3]))
    torch.testing.assert_close(ragged[:3], output[:3])
    assert not ragged[3:, 1].any()
    stream = made.stream(2)
    torch.testing.assert_close(torch.stack([stream.step(step).clone() for step in x.detach()]), output)


@pytest.mark.parametrize("cell", ODD)
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_a_trace_shows_every_state(cell: type[Cell], grad: bool, dtype: torch.dtype) -> None:
    made, x = layer(cell).to(dtype), torch.randn(6, 2, 3, dtype=dtype)
    with trace(made, grad=grad) as seen:
        output, _ = made(x)
    wanted = by_equations(made, x)
    names = [*made.cell.states]
    for name in names:
        torch.testing.assert_close(seen[f"l0.{name}"].values, wanted[name].detach(), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(seen[f"l0.{names[0]}"].values, output.detach())


@pytest.mark.parametrize("cell", [Delay, Swap, Counting])
def test_jacobians_of_states_that_take_over_what_is_there(cell: type[Cell]) -> None:
    made, x = layer(cell), torch.randn(4, 1, 3, dtype=torch.float64)
    sizes = [4] * len(made.cell.states)

    def after(flat: Tensor) -> Tensor:
        _, states = made(x[3:], tuple(part[None, None] for part in flat.split(sizes)))
        return torch.cat([s[0, 0] for s in states])

    _, states = made(x[:3])
    wanted = torch.autograd.functional.jacobian(after, torch.cat([s[0, 0] for s in states]))
    torch.testing.assert_close(inside.step_jacobians(made, x).matrices[3, 0], wanted)


def test_a_state_that_takes_over_what_is_there_is_written_so() -> None:
    assert Delay().latex().splitlines()[1:3] == [
        r"\mathrm{last}_t &= h_{t-1} \\",
        r"h_t &= \tanh(W x_t + b^x + U_{a} h_{t-1} + U_{b} \mathrm{last}_{t-1})",
    ]


def test_cells_that_differ_in_what_no_equation_says_are_two_in_a_graph() -> None:
    def made(start: float, recurrent: bool) -> Cell:
        class Plain(Cell):
            x = Input()
            U = Matrix(recurrent=recurrent)
            h = State(initial=start)

            def step(self, x: Any, h: Any) -> Any:
                return tanh(x + self.U @ h)

        return Plain()

    assert len({made(start, recurrent).key for start in (0.0, 1.0) for recurrent in (True, False)}) == 4
    x, resets = torch.randn(5, 2, 3), torch.zeros(5, 2, dtype=torch.bool)
    resets[3] = True
    for start in (0.0, 1.0):
        one = nn.Recurrent(made(start, True), 3, 4)
        compiled = torch.compile(one, backend="aot_eager")
        torch.testing.assert_close(compiled(x, resets=resets), one(x, resets=resets))


def test_layers_are_made_and_first_run_under_a_profiler() -> None:
    profiler = cProfile.Profile()
    profiler.enable()
    made = layer(Delay)
    made(torch.randn(3, 2, 3, dtype=torch.float64), lengths=torch.tensor([3, 1]))
    before = len(profiler.getstats())
    sorted(range(10), key=str)
    profiler.disable()
    assert before > 50
    assert any("sorted" in str(entry.code) for entry in profiler.getstats())  # it went on


def test_transforms_inside_a_trace() -> None:
    made, x = layer(Delay), torch.randn(3, 1, 3, dtype=torch.float64)
    with trace(made):
        found = torch.func.jacrev(lambda v: made(v)[0])(x)
    torch.testing.assert_close(found, torch.func.jacrev(lambda v: made(v)[0])(x))


def two_matrices() -> None:
    class Two(Cell):
        x = Input()
        U = Matrix()
        V = Matrix()
        h = State()

        def step(self, x: Any, h: Any) -> Any:
            return tanh(x + self.U @ h) + self.V @ h

    nn.Recurrent(Two, 3, 4)


def the_inputs_key() -> None:
    class Aliased(Cell):
        x = Input()
        a = Vector(key="bias_ih")
        h = State()

        def step(self, x: Any, h: Any) -> Any:
            return tanh(x + self.a * h)

    nn.Recurrent(Aliased, 3, 4)


def equality() -> None:
    class Asks(Cell):
        x = Input()
        h = State()

        def step(self, x: Any, h: Any) -> Any:
            return select(h == 0, h, tanh(x))

    nn.Recurrent(Asks, 3, 4)


def a_taken_name() -> None:
    class Named(Cell):
        input = Input()  # type: ignore[assignment]


def a_taken_name_of_an_instance() -> None:
    class Named(Cell):
        def __init__(self) -> None:
            self.key = State()  # type: ignore[assignment]

    Named()


def a_mask() -> None:
    class Masked(Cell):
        x = Input()
        reset = State()

        def step(self, x: Any, reset: Any) -> Any:
            return tanh(x + reset)

    nn.Recurrent(Masked, 3, 4)


def an_argument() -> None:
    class Asked(Cell):
        x = Input()
        lengths = StepInput()
        h = State()

        def step(self, x: Any, h: Any, lengths: Any) -> Any:
            return tanh(x + h + lengths)

    nn.Recurrent(Asked, 3, 4)


def a_layers_name() -> None:
    class Biased(Cell):
        x = Input()
        bias = Constant(torch.ones(4), ("H",))
        h = State()

        def step(self, x: Any, h: Any) -> Any:
            return tanh(x + h) * self.bias

    nn.Recurrent(Biased, 3, 4)


def a_class() -> None:
    class Bracketless(Cell):
        h = State


def above() -> None:
    class Wider(cells.RNN):
        def step(self, x: Any, h: Any) -> Any:
            return super().step(x, h)

    nn.Recurrent(Wider, 3, 4)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (two_matrices, r"keeps U and V both as 'weight_hh', .* V = Matrix\(\.\.\., key='V'\)"),
        (the_inputs_key, "keeps their bias and a both as 'bias_ih'"),
        (equality, "cannot ask with `==` or `!=` whether a value is 0"),
        (a_taken_name, "declares 'input', and every cell has something of this name"),
        (a_taken_name_of_an_instance, "declares 'key', and every cell has something of this name"),
        (a_mask, "'reset' is a mask that layers give every cell"),
        (an_argument, "a layer takes an argument 'lengths' of its own"),
        (a_class, r"h is State, the class; write h = State\(\)"),
        (above, r"super\(\) finds nothing; write RNN\.step\(self, \.\.\.\)"),
        (lambda: Matrix(initial="orthogonal"), "Matrix starts from 'orthogonal'; give a number or 'uniform'"),  # type: ignore[arg-type]
        (lambda: State(initial="uniform"), "State starts from 'uniform'; give a number"),  # type: ignore[arg-type]
        (lambda: Input("a b a"), "Input has two parts called 'a'"),
        (a_layers_name, "declares the constant 'bias', and a layer has something of this name"),
    ],
)
def test_what_would_mean_two_things_is_a_sentence(mistake: Any, said: str) -> None:
    with pytest.raises(CellError, match=said):
        mistake()


def test_what_is_no_cell_is_a_sentence() -> None:
    for given in ("lstm", torch.nn.LSTM):
        with pytest.raises(ArgumentTypeError, match=r"give a pellucid\.Cell or a class of them"):
            nn.Recurrent(given, 3, 4)  # type: ignore[arg-type]

    class Asks(cells.RNN):
        def __init__(self, k: int) -> None:
            super().__init__()

    with pytest.raises(ArgumentTypeError, match=r"Asks needs arguments .* give Asks\(\.\.\.\)"):
        nn.Recurrent(Asks, 3, 4)
    with pytest.raises(ArgumentError, match="heads is 0; give 1 or more"):
        nn.LSTM(3, 4, heads=0)

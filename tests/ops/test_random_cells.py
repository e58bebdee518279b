"""The promise: any cell that can be declared runs the same on the native engine, on its twin and as its own equations.

Cells are written as a person writes them, as source text, from random declarations and random equations; sizes, memory
layouts, masks and number types are random too. Values and all gradients are compared.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, event, given, note, settings
from hypothesis import strategies as st
from torch import Tensor

from pellucid import _native
from pellucid import cells as language
from pellucid.cells import Cell, Matrix
from pellucid.ops import recurrence as ops
from pellucid.ops.reference.recurrence import recurrence as reference
from tests.ops.cells_under_test import Run, random_run

SETS = _native.instruction_sets()
NARROW = 3  # the number of units behind the size letter "P"

# Equations of a value or two that stay of size about 1 and have slopes of about 1, so that rounding stays small.
SMOOTH = (
    "tanh({0})", "sigmoid({0})", "sin({0})", "cos({0} + {1})", "erf({0})", "0.3 * softplus({0})", "exp(-0.1 * {0} * {0})",
    "log(1.5 + tanh({0}))", "sqrt(1.5 + sin({0}))", "tanh({0}) * sigmoid({1})", "0.5 * {0} + 0.5 * {1}",
    "{0} / (1.5 + tanh({1}))", "sigmoid({0}) - {1} * sigmoid({0})", "(sigmoid({0}) - tanh({1})) * tanh({0})",
    "-{0}", "{0} - mean({0})", "mean({0} * {1}) * sigmoid({0})", "tanh({0} + mean({1}))", "silu({0})",
    "0.5 * log_sigmoid({0})", "layer_norm({0}, 0.5, 0.1, 0.5)",
)  # fmt: skip
# Where a slope jumps, float32 and float64 may take different sides; float64 and float64 hardly can.
KINKED = (
    "maximum({0}, {1})", "minimum({0}, 0.4)", "select({0} > {1}, {0}, tanh({1}))", "relu({0})", "abs({0})",
    "sign({0}) * tanh({1})", "select({0} >= 0.1, {1}, 0.2)", "({0} < {1}) * {0}",
)  # fmt: skip


class Writer:
    """Writes one cell: what it declares, and its equations line by line; every line is of size H or P."""

    def __init__(self, choose: random.Random, kinked: bool) -> None:
        self.choose = choose
        self.forms = SMOOTH + KINKED if kinked else SMOOTH
        self.declared: list[str] = []
        self.lines: list[str] = []
        self.heads = choose.choice([1, 1, 1, 2])

    def names(self, declared: str, name: str, most: int = 3) -> list[str]:
        """Declare it with a few parts or none; what its values are called."""
        parts = ["r", "z", "n"][: self.choose.randint(0, most)]
        self.declared.append(f"{name} = {declared.replace('PARTS', repr(' '.join(parts)))}")
        return [f"{name}.{p}" for p in parts] or [name]

    def cell(self) -> str:
        """Its source text."""
        choose = self.choose
        x = self.names("Input(PARTS)", "x")
        narrow = choose.random() < 0.3
        states = {"h": "P" if narrow else "H"} | ({"c": "H"} if narrow or choose.random() < 0.5 else {})
        heads = "" if self.heads == 1 else f", heads={self.heads}"
        products: dict[str, list[str]] = {"H": [], "P": []}
        for part in self.names("Matrix(PARTS" + heads + ")", "U"):
            products["H"].append(f"self.{part}")
        if narrow:
            self.declared.append('D = Matrix(rows="P", columns="H", recurrent=False, key="down")')
            self.declared.append('V = Matrix(rows="H", columns="P", key="up")')
            self.declared.append('k = Constant([0.5, -0.5, 0.25], ("P",))')
        vectors = [f"self.{v}" for v in self.names("Vector(PARTS)", "w")]
        biases = [""]
        if choose.random() < 0.6:
            biases = [f" + self.{v}" for v in self.names("Bias(PARTS)", "b")]  # terms, since bias=False leaves them out
        if choose.random() < 0.4:
            self.declared.append('one = Vector(size="1")')
            vectors.append("self.one")
        steps = []
        if choose.random() < 0.3:
            self.declared.append("noise = StepInput()")
            steps.append("noise")
        self.declared += [f'{name} = State("{size}")' for name, size in states.items()]

        wide = [*x, *vectors, *steps, *(n for n, size in states.items() if size == "H")]
        used = iter(x)
        for _ in range(choose.randint(1, 4)):  # a product of a state or of something made, then what is done with it
            if narrow and choose.random() < 0.5:
                product = "self.V @ h"
            else:
                matrix = choose.choice(products["H"])
                operand = choose.choice(["c" if narrow else "h", *[n for n in wide if n.startswith("v")]])
                product = f"{matrix} @ {operand}"
            term = next(used, None) or choose.choice(wide)
            sum_ = choose.choice(
                [f"{term} + {product}", f"{product} + {term} + {choose.choice(wide)}", f"{term} * 0.5 - {product}"]
            )
            sum_ += choose.choice(biases)
            wide.append(self.line(f"tanh({sum_})" if choose.random() < 0.5 else f"0.5 * ({sum_})"))
            for _ in range(choose.randint(0, 2)):
                a, b = wide[-1], choose.choice(wide)
                wide.append(self.line(choose.choice(self.forms).format(a, b)))
        made = [n for n in wide if n.startswith("v")]
        result = []
        for name, size in states.items():
            new = choose.choice(made[-2:])
            if size == "P":
                new = self.line(f"tanh(self.D @ {new}) * self.k" if choose.random() < 0.5 else f"self.D @ {new}")
                result.append(self.line(choose.choice(self.forms).format(new, new)))
            else:
                result.append(self.line(choose.choice([f"tanh({new}) + 0.3 * {name}", f"0.5 * {new} - 0.2 * {name}"])))
        body = "\n".join(f"        {line}" for line in [*self.lines, f"return {', '.join(result)}"])
        head = "\n".join(f"    {line}" for line in self.declared)
        sizes = f'    sizes = {{"P": {NARROW}}}\n' if narrow else ""
        arguments = ", ".join(["self", "x", *states, *steps])
        return f"class Written(Cell):\n{sizes}{head}\n    def step({arguments}):\n{body}\n"

    def line(self, equation: str) -> str:
        """A further line; the name of its value."""
        self.lines.append(f"v{len(self.lines)} = {equation}")
        return f"v{len(self.lines) - 1}"


def written(source: str) -> Cell:
    """The cell that the text declares."""
    scope: dict[str, Any] = {**vars(language)}
    exec(source, scope)
    cell = scope["Written"]()
    assert isinstance(cell, Cell)
    return cell


def scattered(t: Tensor, choose: random.Random) -> Tensor:
    """The same numbers, laid out in memory in one of the ways in which views lie."""
    ways: list[Callable[[], Tensor]] = [lambda: t.detach()]
    if t.dim():
        ways.append(lambda: t.detach().repeat_interleave(2, -1)[..., ::2])
        ways.append(lambda: t.detach().repeat_interleave(3, 0)[::3])
        ways.append(lambda: torch.cat([t.detach(), t.detach()], -1)[..., : t.shape[-1]])
        ways.append(lambda: t.detach().transpose(0, -1).contiguous().transpose(0, -1))
        ways.append(lambda: t.detach().flip(0).contiguous().flip(0))
    if t.dim() == 3:
        ways.append(lambda: t.detach().transpose(0, 1).contiguous().transpose(0, 1))
    return choose.choice(ways)().requires_grad_(t.requires_grad)


def rearranged(run: Run, choose: random.Random, dtype: torch.dtype) -> Run:
    """The run in another number type and layout."""

    def cast(t: Tensor) -> Tensor:
        return t.detach().to(dtype).requires_grad_(t.requires_grad) if t.is_floating_point() else t

    before = [scattered(cast(b), choose) for b in run.before]
    return Run(
        variant=run.variant,
        parameters={n: scattered(cast(p), choose) for n, p in run.parameters.items()},
        x=scattered(cast(run.x), choose),
        before=before,
        inputs={n: scattered(cast(v), choose) for n, v in run.inputs.items()},
    )


def everything(outputs: dict[str, Tensor], run: Run) -> list[Tensor]:
    """All states of all steps, and all gradients of a random combination of them."""
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(o.shape, generator=generator, dtype=torch.float64).to(o.dtype) for o in outputs.values()]
    loss = sum((w * o).sum() for w, o in zip(weights, outputs.values(), strict=True))
    assert isinstance(loss, Tensor)
    leaves = run.leaves()
    # Without steps the equations are not even looked at.
    found = torch.autograd.grad(loss, leaves, allow_unused=True) if loss.requires_grad else [None] * len(leaves)
    return [*outputs.values(), *(torch.zeros_like(t) if g is None else g for t, g in zip(leaves, found, strict=True))]


def of_equations(cell: Cell, run: Run) -> list[Tensor]:
    return everything(reference(cell, run.variant, run.parameters, run.x, run.before, run.inputs), run)


def of_program(cell: Cell, run: Run) -> list[Tensor]:
    return everything(ops.recurrence(cell, run.variant, run.parameters, run.x, run.before, run.inputs), run)


def roundings(cell: Cell, run: Run) -> float:
    """How many roundings may lie behind one number: those of every step, and of the longest sum."""
    steps, batch, width = run.x.shape
    graph = cell.derivative(run.variant)
    each = sum(len(getattr(p, "instructions", [1])) for p in (*graph.forward.phases, *graph.backward.phases))
    return float(steps * (each + width) + steps * batch + 1)


def tolerances(cell: Cell, run: Run, truth: list[Tensor], eps: float) -> list[float]:
    """What rounding may do to each tensor.

    Every rounding changes a number by at most eps of it. How much of that arrives at the end is measured: by how much the
    equations' results move, in float64, when every leaf is moved by 2^-26 of itself. All roundings together move them at
    most so often as there are roundings, and no result is better than eps of its tensor's largest number.
    """
    move = 2.0**-26
    generator = torch.Generator().manual_seed(2)

    def moved(t: Tensor) -> Tensor:
        if not t.is_floating_point():
            return t
        signs = torch.randint(0, 2, t.shape, generator=generator, dtype=torch.int8).double() * 2 - 1
        return (t.detach().double() * (1 + move * signs)).requires_grad_(t.requires_grad)

    other = Run(
        run.variant,
        {n: moved(p) for n, p in run.parameters.items()},
        moved(run.x),
        [moved(b) for b in run.before],
        {n: moved(v) for n, v in run.inputs.items()},
    )
    count = roundings(cell, run)
    found = []
    for a, b in zip(truth, of_equations(cell, other), strict=True):
        scale = max(1.0, float(a.detach().abs().max())) if a.numel() else 1.0
        arrived = float((a - b).detach().abs().max()) / move if a.numel() else 0.0
        found.append(eps * count * (arrived + scale))
    return found


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    best, threads = _native.instruction_set(), torch.get_num_threads()
    yield
    _native.choose(best)
    torch.set_num_threads(threads)


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a seed does not shrink
)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.one_of(st.integers(0, 7), st.sampled_from([40, 140])),
    batch=st.one_of(st.integers(0, 9), st.sampled_from([16, 33])),
    hidden=st.one_of(st.integers(1, 20), st.sampled_from([33, 64, 71])),
    bias=st.booleans(),
    resets=st.booleans(),
    ragged=st.booleans(),
    dropout=st.booleans(),
    zoneout=st.booleans(),
    sampled=st.booleans(),
    single=st.booleans(),
    threads=st.integers(1, 3),
    path=st.sampled_from(["twin", *SETS]),
)
def test_random_cells(
    seed: int, steps: int, batch: int, hidden: int, single: bool, threads: int, path: str, **around: bool
) -> None:
    choose = random.Random(seed)
    writer = Writer(choose, kinked=not single)
    source = writer.cell()
    note(source)
    cell = written(source)
    if steps > 7:
        batch, hidden = min(batch, 4), min(hidden, 12)  # the equations run step by step, in Python
    hidden += hidden % writer.heads
    run = random_run(cell, steps=steps, batch=batch, hidden=hidden, seed=seed % 1000, **around)
    for parameter in cell.parameters:
        if isinstance(cell.parameters[parameter], Matrix) and parameter in run.parameters:
            # Sums of H terms, each at most about 1: so that the state neither explodes nor forgets.
            run.parameters[parameter] = (run.parameters[parameter].detach() / hidden**0.5).requires_grad_()
    truth = of_equations(cell, run)
    dtype = torch.float32 if single else torch.float64
    # Given in float32, the numbers themselves are rounded: one more rounding of each, which the count has room for.
    allowed = tolerances(cell, run, truth, torch.finfo(dtype).eps)
    torch.set_num_threads(threads)
    event(path)
    with pytest.MonkeyPatch.context() as patch:
        if path == "twin":
            patch.setattr(ops, "engine_takes", lambda _: False)
        else:
            _native.choose(path)
        found = of_program(cell, rearranged(run, choose, dtype))
    for number, (f, t, most) in enumerate(zip(found, truth, allowed, strict=True)):
        assert f.dtype == dtype
        assert f.shape == t.shape
        if f.numel():
            off = float((f.double() - t).detach().abs().max())
            assert off <= most, f"tensor {number}: off by {off:.2e}, rounding explains {most:.2e}"


def test_tolerances_are_far_below_a_mistake() -> None:
    """What the comparison allows in float64 would not hide parameters that are wrong by a ten-thousandth part."""
    for seed in range(20):
        source = Writer(random.Random(seed), kinked=False).cell()
        cell = written(source)
        run = random_run(cell, steps=5, batch=3, hidden=6, seed=seed)
        truth = of_equations(cell, run)
        allowed = tolerances(cell, run, truth, torch.finfo(torch.float64).eps)
        run.parameters = {n: (1.0001 * p.detach()).requires_grad_(p.requires_grad) for n, p in run.parameters.items()}
        wrong = of_equations(cell, run)
        over = [float((a - b).detach().abs().max()) / most for a, b, most in zip(truth, wrong, allowed, strict=True)]
        assert min(over[: len(cell.states)]) > 1e3, source

"""The native engine against its twin and the equations: every cell, size, number type, instruction set, thread count."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pellucid import _native
from pellucid import nn as pnn
from pellucid.ops import recurrence as ops
from pellucid.ops.reference.recurrence import recurrence as reference
from tests.ops.cells_under_test import CELLS, SURROUNDINGS, Run, random_run

SETS = _native.instruction_sets()
FREE = [name for name in CELLS if name != "ctrnn Dale"]  # its mask is for four units

# As in test_recurrence: float64 sums of a few hundred terms of size about 1, in different orders.
TOLERANCE = {"atol": 1e-10, "rtol": 1e-10}


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    best, threads = _native.instruction_set(), torch.get_num_threads()
    yield
    _native.choose(best)
    torch.set_num_threads(threads)


def choose(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if path == "twin":
        monkeypatch.setattr(ops, "engine_takes", lambda _: False)
    else:
        _native.choose(path)


def results(name: str, run: Run) -> list[Tensor]:
    """All outputs and all gradients of a random combination of them."""
    outputs = ops.recurrence(CELLS[name], run.variant, run.parameters, run.x, run.before, run.inputs)
    return [*outputs.values(), *gradients(outputs, run)]


def expected(name: str, run: Run) -> list[Tensor]:
    outputs = reference(CELLS[name], run.variant, run.parameters, run.x, run.before, run.inputs)
    return [*outputs.values(), *gradients(outputs, run)]


def gradients(outputs: dict[str, Tensor], run: Run) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(o.shape, generator=generator, dtype=torch.float64).to(o.dtype) for o in outputs.values()]
    loss = sum((w * o).sum() for w, o in zip(weights, outputs.values(), strict=True))
    assert isinstance(loss, Tensor)
    found = torch.autograd.grad(loss, run.leaves(), allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(run.leaves(), found, strict=True)]


@pytest.mark.parametrize("path", ["twin", *SETS])
@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize("name", CELLS)
def test_every_path_computes_the_equations(name: str, around: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(path, monkeypatch)
    run = random_run(CELLS[name], **SURROUNDINGS[around])
    torch.testing.assert_close(results(name, run), expected(name, run), **TOLERANCE)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(FREE),
    around=st.sampled_from(list(SURROUNDINGS)),
    steps=st.integers(1, 5),
    batch=st.integers(0, 30),
    hidden=st.integers(1, 75),
    threads=st.integers(1, 3),
    path=st.sampled_from(SETS),
)
def test_every_size(name: str, around: str, steps: int, batch: int, hidden: int, threads: int, path: str) -> None:
    if "heads" in name:
        hidden += hidden % 2
    if "proj" in name or name == "lstm all":
        hidden = max(hidden, 4)
    _native.choose(path)
    torch.set_num_threads(threads)
    run = random_run(CELLS[name], steps=steps, batch=batch, hidden=hidden, **SURROUNDINGS[around])
    for found, right in zip(results(name, run), expected(name, run), strict=True):
        # Terms of a sum are as large as the tensor's largest number (exponential gates: up to some thousand).
        scale = max(1.0, float(right.detach().abs().max())) if right.numel() else 1.0
        torch.testing.assert_close(found, right, atol=1e-10 * scale, rtol=0)


@pytest.mark.parametrize("name", FREE)
def test_single_precision(name: str) -> None:
    """float32 differs from float64 by rounding: some hundred sums of size about 1 with 6e-8 each, through few steps."""
    run = random_run(CELLS[name], steps=5, batch=7, hidden=34)
    wide = expected(name, run)
    for group in (run.parameters, run.inputs):
        for key, tensor in group.items():
            if tensor.is_floating_point():
                group[key] = tensor.detach().float().requires_grad_(tensor.requires_grad)
    run.x = run.x.detach().float().requires_grad_()
    run.before = [b.detach().float().requires_grad_() for b in run.before]
    narrow = results(name, run)
    for a, b in zip(narrow, wide, strict=True):
        assert a.dtype == torch.float32
        scale = max(1.0, float(b.detach().abs().max())) if b.numel() else 1.0
        torch.testing.assert_close(a.double(), b, atol=3e-4 * scale, rtol=0)


@pytest.mark.parametrize("batch", [1, 3, 8, 29])
@pytest.mark.parametrize("name", ["gru", "gru reset before", "lstm all", "lstm heads", "slstm", "rnn layer norm"])
def test_the_same_bits_on_any_number_of_threads(name: str, batch: int) -> None:
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        run = random_run(CELLS[name], steps=6, batch=batch, hidden=300, resets=True, ragged=True)
        found.append(results(name, run))
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    m=st.integers(1, 70),
    n=st.integers(1, 70),
    k=st.integers(0, 600),
    left=st.booleans(),
    right=st.booleans(),
    start=st.sampled_from(["nothing", "add", "bias"]),
    path=st.sampled_from(SETS),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_products(m: int, n: int, k: int, left: bool, right: bool, start: str, path: str, dtype: torch.dtype) -> None:
    _native.choose(path)
    generator = torch.Generator().manual_seed(m + 71 * n + k)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    a = normal(k, m).mT if left else normal(m, k)
    b = normal(n, k).mT if right else normal(k, n)
    c, bias = normal(m, n), normal(n)
    right_answer = a.double() @ b.double() + (c if start == "add" else bias if start == "bias" else 0)
    _native.multiply(a, b, c, start == "add", bias if start == "bias" else None, 2)
    eps = torch.finfo(dtype).eps
    # Each of k roundings is at most eps / 2 of a partial sum, itself at most some sqrt(k) times 3.
    torch.testing.assert_close(c.double(), right_answer, atol=eps * (k + 2) * 20, rtol=0)


@pytest.mark.parametrize("start", ["nothing", "add", "bias"])
@pytest.mark.parametrize("n", [1, 15, 33, 64, 130, 257, 400])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("path", SETS)
def test_a_row_alone_has_the_bits_that_it_has_among_others(path: str, dtype: torch.dtype, n: int, start: str) -> None:
    """Although it goes through several panels side by side, and the rows of many through one."""
    _native.choose(path)
    for k in (0, 1, 37, 600):
        a, b, bias = torch.randn(9, k, dtype=dtype), torch.randn(k, n, dtype=dtype), torch.randn(n, dtype=dtype)
        before = torch.randn(9, n, dtype=dtype)
        together, alone = before.clone(), before.clone()
        given = bias if start == "bias" else None
        _native.multiply(a, b, together, start == "add", given, 1)
        for row in range(9):
            _native.multiply(a[row : row + 1], b, alone[row : row + 1], start == "add", given, 1)
        assert torch.equal(together, alone)


@pytest.mark.parametrize("path", ["twin", *SETS])
@pytest.mark.parametrize("name", CELLS)
def test_projection_in_blocks_of_steps(name: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a block of steps; x W^T + b on the engine, and the gradients of x, W and b."""
    choose(path, monkeypatch)
    run = random_run(CELLS[name], steps=150, batch=2, resets=True, ragged=True)
    x, w, b = (
        (0.3 * torch.randn(s, dtype=torch.float64)).requires_grad_()
        for s in ((150, 2, 3), (run.x.shape[-1], 3), (run.x.shape[-1],))
    )
    run.x = x
    for bias in (b, None):
        arguments = run.variant, run.parameters, run.x, run.before, run.inputs
        outputs = ops.recurrence(CELLS[name], *arguments, projection=(w, bias))
        projected = torch.nn.functional.linear(x, w, bias)
        truth = reference(CELLS[name], run.variant, run.parameters, projected, run.before, run.inputs)
        for o, t in zip(outputs.values(), truth.values(), strict=True):
            torch.testing.assert_close(o, t, **TOLERANCE)
        leaves = [*run.leaves(), w, *([] if bias is None else [bias])]
        found, right = (
            torch.autograd.grad([v.sum() for v in r.values()], leaves, allow_unused=True) for r in (outputs, truth)
        )
        for f, t in zip(found, right, strict=True):
            assert (f is None and t is None) or f is not None
            if t is not None:
                torch.testing.assert_close(f, t, **TOLERANCE)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("steps", [1, 4])
def test_without_gradients_the_last_step_is_the_same(name: str, steps: int) -> None:
    run = random_run(CELLS[name], steps=steps, resets=True, ragged=True)
    arguments = run.variant, run.parameters, run.x, run.before, run.inputs
    right = ops.recurrence(CELLS[name], *arguments)
    with torch.no_grad():
        for passing in (frozenset(), frozenset([*CELLS[name].states][1:]), frozenset(CELLS[name].states)):
            found = ops.recurrence(CELLS[name], *arguments, passing=passing)
            for state, value in found.items():
                assert value.shape[0] == (1 if state in passing else steps)
                torch.testing.assert_close(value[-1], right[state][-1], **TOLERANCE)  # fused where nothing is kept


def test_only_what_is_wanted_is_computed() -> None:
    """A layer whose input or weights want no gradient gives none, and the others are right."""
    layer, x = pnn.LSTM(3, 5), torch.randn(7, 2, 3)
    layer(x)[0].sum().backward()
    right = {n: p.grad for n, p in layer.named_parameters()}
    for frozen in right:
        again = pnn.LSTM(3, 5)
        again.load_state_dict(layer.state_dict())
        again.get_parameter(frozen).requires_grad_(False)
        again(x.requires_grad_())[0].sum().backward()
        assert x.grad is not None
        for name, parameter in again.named_parameters():
            assert (parameter.grad is None) == (name == frozen)
            if parameter.grad is not None:
                assert torch.equal(parameter.grad, right[name])


# Elementary functions


@pytest.mark.parametrize("path", SETS)
@pytest.mark.parametrize("op", ["exp", "tanh", "sigmoid"])
def test_functions_are_within_two_units_in_the_last_place(op: str, path: str) -> None:
    """Every 512th float32 there is, both signs, and all near where the formulas change; subnormal results may be 0."""
    _native.choose(path)
    bits = torch.arange(0, 0x7F800000, 512, dtype=torch.int64)
    near = torch.cat(
        [torch.tensor(v).view(torch.int32).long() + torch.arange(-5000, 5000) for v in (0.625, 0.34657, 1.0, 88.0)]
    )
    bits = torch.cat([bits, near]).to(torch.int32)
    x = torch.cat([bits.view(torch.float32), -bits.view(torch.float32)])
    y = torch.empty_like(x)
    _native.apply(op, x, y)
    truth = getattr(torch, op)(x.double())
    overflow = truth.abs() > torch.finfo(torch.float32).max
    assert torch.equal(y[overflow], truth[overflow].float())
    exponent = truth.abs().clamp(min=2.0**-126).log2().floor()
    error = ((y.double() - truth) / 2.0 ** (exponent - 23)).abs()[~overflow]
    normal = truth.abs()[~overflow] >= 2.0**-126
    assert error[normal].max() <= 2.0, x[~overflow][normal][error[normal].argmax()]
    assert (y.double()[~overflow][~normal] - truth[~overflow][~normal]).abs().max() <= 2.0**-126


@pytest.mark.parametrize("path", SETS)
def test_what_is_no_number_goes_through_as_in_torch(path: str) -> None:
    _native.choose(path)
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0] * 5)
    for op in ("exp", "tanh", "sigmoid", "relu", "softplus", "neg", "abs", "log", "sqrt", "erf", "sin", "cos"):
        y = torch.empty_like(x)
        _native.apply(op, x, y)
        function = torch.nn.functional.softplus if op == "softplus" else getattr(torch, op)
        torch.testing.assert_close(y, function(x), equal_nan=True)


# The boundary


def random_program(generator: random.Random) -> tuple[Any, ...]:
    """Something like a program; now and then a right one."""
    count = generator.randint(1, 6)

    def register() -> int:
        return generator.randint(-1, count)

    def registers(n: int) -> list[int]:
        return [register() for _ in range(n)]

    kinds = ["step", "shifted", "swing", "held", "total", "strange"]
    ops_of = [("add", 2), ("tanh", 1), ("select", 3), ("copy", 1), ("accumulate", 1), ("nonsense", 1)]
    sizes = [generator.randint(-1, 3) for _ in range(count)]
    inputs = [(register(), generator.choice(kinds), generator.randint(-1, 3)) for _ in range(generator.randint(0, 3))]
    outputs = [(register(), generator.choice(kinds), generator.randint(-1, 3)) for _ in range(generator.randint(0, 2))]
    phases = []
    for _ in range(generator.randint(0, 3)):
        products = [
            (
                generator.randint(-1, 1),
                generator.randint(0, 2),
                generator.random() < 0.5,
                registers(generator.randint(0, 2)),
                registers(generator.randint(0, 2)),
            )
            for _ in range(generator.randint(0, 1))
        ]
        reduces = [(register(), register()) for _ in range(generator.randint(0, 1))]
        instructions = [
            (op, register(), registers(generator.choice([n, n, 1]))) for op, n in generator.choices(ops_of, k=2)
        ]
        phases.append((products, reduces, instructions))
    return sizes, 3, 3, 1, inputs, phases, outputs


NOTHING: tuple[Any, ...] = ([], [], [], [], [], False, 1)  # besides the buffers; float32 on one thread


def made_or_refused(*description: Any) -> Any:
    try:
        return _native.Program(*description)
    except ValueError as error:
        return str(error)


def test_malformed_programs_and_buffers_are_refused() -> None:
    generator = random.Random(0)
    tried = [made_or_refused(*random_program(generator)) for _ in range(20000)]
    refused = [t for t in tried if isinstance(t, str)]
    made = [t for t in tried if not isinstance(t, str)]
    assert all(words.startswith("malformed program") for words in refused)
    assert len(made) > 20
    for program in made:
        shapes = [(2, 3, 4), (3, 4), (4,), (1,), (2, 3, 1)]
        buffers = [torch.zeros(generator.choice(shapes)) for _ in range(3)]
        with contextlib.suppress(ValueError):  # refused or run: what it must not do is to read past a buffer
            program.run(2, 3, [], [1, 1, 4], False, buffers, [torch.zeros(3, 4)] * 3, [torch.zeros(4, 4)], *NOTHING)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"buffers": [torch.zeros(5, 3, 8), torch.zeros(5, 3, 4)]}, "wrong shape"),
        ({"buffers": [torch.zeros(5, 3, 4), torch.zeros(5, 3, 4, dtype=torch.float64)]}, "another number type"),
        ({"buffers": [torch.zeros(5, 3, 4), torch.zeros(5, 4, 3).mT]}, "not contiguous"),
        ({"buffers": [torch.zeros(5, 3, 4), torch.zeros(1, 1, 4).expand(5, 3, 4)]}, "lie on each other"),
        ({"buffers": [torch.zeros(5, 3, 4)]}, "wrong number of buffers"),
        ({"sizes": [1, 1]}, "sizes do not fit"),
        ({"steps": -1}, "negative"),
        ({"starts": [0, 3, 6, 8, 9]}, "starts do not fit"),
        ({"starts": [0, 2, 3, 5, 6, 7]}, "more rows than the one before"),
        ({"starts": [0, 4, 5, 6, 7, 8]}, "more rows than the one before"),
        ({"starts": [0, 3, 3, 2, 2, 2]}, "more rows than the one before"),
        ({"starts": [0, 3, 6, 8, 9, 10]}, "number of axes"),
        ({"starts": [0, 3, 6, 8, 9, 10], "buffers": [torch.ones(10, 4), torch.zeros(9, 4)]}, "wrong shape"),
    ],
)
def test_wrong_buffers_are_refused(change: dict[str, Any], words: str) -> None:
    program = _native.Program([2, 2], 3, 2, 0, [(0, "step", 0)], [([], [], [("tanh", 1, [0])])], [(1, "step", 1)])
    right: dict[str, Any] = {
        "steps": 5,
        "batch": 3,
        "starts": [],
        "sizes": [1, 1, 4],
        "reverse": False,
        "buffers": [torch.ones(5, 3, 4), torch.zeros(5, 3, 4)],
        "initials": [None, None],
        "matrices": [],
        "windows": [],
        "projections": [],
        "input_gradients": [],
        "weight_gradients": [],
        "bias_gradients": [],
        "twice": False,
        "threads": 1,
    }
    program.run(*right.values())
    torch.testing.assert_close(right["buffers"][1], torch.ones(5, 3, 4).tanh())
    with pytest.raises(ValueError, match=words):
        program.run(*(right | change).values())


def test_an_unknown_instruction_set_is_refused() -> None:
    with pytest.raises(ValueError, match=r"it has .*baseline"):
        _native.choose("mmx")


# Life with other threads and processes


def test_two_threads_at_once() -> None:
    torch.set_num_threads(2)
    layers = [pnn.LSTM(20, 64), pnn.GRU(20, 64)]
    inputs = [torch.randn(50, 8, 20) for _ in layers]
    right = [layer(x)[0] for layer, x in zip(layers, inputs, strict=True)]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(20):
            if not torch.equal(layers[i](inputs[i])[0], right[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_two_threads_train_at_once() -> None:
    torch.set_num_threads(2)
    layers = [pnn.LSTM(20, 64), pnn.GRU(20, 64)]
    inputs = [torch.randn(150, 8, 20) for _ in layers]  # longer than a block of steps

    def gradients_of(i: int) -> list[Tensor]:
        loss = layers[i](inputs[i])[0].square().sum()
        return list(torch.autograd.grad(loss, list(layers[i].parameters())))

    right = [gradients_of(i) for i in range(2)]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(10):
            if not all(torch.equal(a, b) for a, b in zip(gradients_of(i), right[i], strict=True)):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_signal_handler_may_run_a_layer() -> None:
    """It runs on the thread that is inside a sweep, whose memory is not its own to take."""
    torch.set_num_threads(1)
    long, short = pnn.LSTM(8, 128), pnn.GRU(8, 96)
    x, small = torch.randn(1500, 32, 8), torch.randn(40, 16, 8)
    with torch.no_grad():
        right, right_short = long(x)[0], short(small)[0]
        found: list[bool] = []
        inside: list[bool] = []

        def handler(_: int, frame: Any) -> None:
            inside.append(frame.f_code.co_name == "execute")
            found.append(torch.equal(short(small)[0], right_short))

        before = signal.signal(signal.SIGALRM, handler)
        try:
            for _ in range(20):
                signal.setitimer(signal.ITIMER_REAL, 0.01)
                assert torch.equal(long(x)[0], right)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert all(found)
    assert any(inside)


def test_a_fork_after_use() -> None:
    torch.set_num_threads(2)
    layer, x = pnn.GRU(20, 64), torch.randn(30, 16, 20)
    with torch.no_grad():
        right = layer(x)[0]
        child = os.fork()
        if child == 0:
            torch.set_num_threads(1)  # torch's own pool does not survive a fork; ours does
            program_is_right = torch.equal(layer(x)[0], right)
            os._exit(0 if program_is_right else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(("batch", "hidden"), [(4, 512), (64, 64)])
@pytest.mark.parametrize("training", [False, True])
def test_ctrl_c_ends_a_long_run(batch: int, hidden: int, training: bool) -> None:
    torch.set_num_threads(2)
    layer, x = pnn.LSTM(8, hidden), torch.randn(2000, batch, 8)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    def work() -> None:
        for _ in range(100):
            y = layer(x)[0]
            if training:
                y.sum().backward()

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt), torch.set_grad_enabled(training):
            work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

"""Products of bfloat16 with float32 sums: bfloat16 layers, and float32 layers under autocast."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from pellucid import _native
from pellucid import nn as pnn
from pellucid.cells import CTRNN
from pellucid.errors import SizeError
from pellucid.nn.recurrent import Recurrent
from pellucid.ops import recurrence as ops
from pellucid.ops.reference.recurrence import recurrence as reference
from tests.ops.cells_under_test import CELLS, SURROUNDINGS, Run, random_run
from tests.ops.test_engine import gradients

multiplies = pytest.mark.skipif(
    not _native.multiplies_bfloat16(), reason="this processor has no instructions that multiply bfloat16"
)
FREE = [name for name in CELLS if name != "ctrnn Dale"]  # its mask is for four units

# What rounding to bfloat16's 8 significant bits changes a number by, at most, relative to it.
ROUNDING = 2.0**-8


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    best, threads = _native.instruction_set(), torch.get_num_threads()
    yield
    _native.choose(best)
    torch.set_num_threads(threads)


def convert(run: Run, dtype: torch.dtype) -> Run:
    """The same run with tensors of another type, leaves of their own."""

    def to(t: Tensor) -> Tensor:
        return t.detach().to(dtype).requires_grad_(t.requires_grad) if t.is_floating_point() else t

    return Run(
        run.variant,
        {n: to(v) for n, v in run.parameters.items()},
        to(run.x),
        [to(v) for v in run.before],
        {n: to(v) for n, v in run.inputs.items()},
    )


def results(name: str, run: Run, *, half: bool) -> list[Tensor]:
    outputs = ops.recurrence(
        CELLS[name], run.variant, run.parameters, run.x, run.before, run.inputs, narrow=torch.bfloat16 if half else None
    )
    return [*outputs.values(), *gradients(outputs, run)]


# Numbers


@multiplies
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("inputs", [1, 2, 7, 100])
@pytest.mark.parametrize("hidden", [1, 7, 33, 100])
@pytest.mark.parametrize("batch", [1, 5, 30])
def test_whole_numbers_are_multiplied_exactly(batch: int, hidden: int, inputs: int, threads: int) -> None:
    """Two steps of -1, 0 and 1: operands are whole numbers up to 256, which bfloat16 has; no bit may differ."""
    torch.set_num_threads(threads)
    layer = pnn.RNN(inputs, hidden, nonlinearity="relu")
    generator = torch.Generator().manual_seed(batch + 31 * hidden + inputs)

    def ones(*shape: int) -> Tensor:
        return torch.randint(-1, 2, shape, generator=generator).float()

    for p in layer.parameters():
        p.data = ones(*p.shape)
    leaves = [x := ones(2, batch, inputs).requires_grad_(), h := ones(1, batch, hidden).requires_grad_()]
    weights = ones(2, batch, hidden)
    found = []
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            y = layer(x, h)[0].float()
        found.append([y[:1], *torch.autograd.grad((y * weights).sum(), [*leaves, *layer.parameters()])])
    for wide, narrow in zip(*found, strict=True):
        assert torch.equal(wide, narrow)


@multiplies
@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name: str, around: str) -> None:
    """Parameters and input that bfloat16 has, against the equations in float64.

    In every product one operand, a state or an adjoint, is rounded, by at most ROUNDING of itself; four times on the way
    through time and four times back. The weights are so small that no cell makes much more of it (exponential gates do).
    """
    run = random_run(CELLS[name], **SURROUNDINGS[around])
    run.parameters = {
        n: v.detach().div(2 if v.dim() == 2 else 1).requires_grad_(v.requires_grad) for n, v in run.parameters.items()
    }
    run = convert(convert(run, torch.bfloat16), torch.float64)
    outputs = reference(CELLS[name], run.variant, run.parameters, run.x, run.before, run.inputs)
    right = [*outputs.values(), *gradients(outputs, run)]
    for found, truth in zip(results(name, convert(run, torch.float32), half=True), right, strict=True):
        scale = max(1.0, float(truth.detach().abs().max())) if truth.numel() else 1.0
        torch.testing.assert_close(found.double(), truth, atol=8 * ROUNDING * scale, rtol=0)


@multiplies
@pytest.mark.parametrize("hidden", [1, 7, 33])
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "lstm peepholes", "ctrnn", "slstm"])
def test_one_step_on_numbers_that_bfloat16_has(name: str, hidden: int) -> None:
    """No operand of the forward pass is rounded, so only float32 sums of some 30 terms of size about 1 differ."""
    run = convert(convert(random_run(CELLS[name], steps=1, batch=5, hidden=hidden), torch.bfloat16), torch.float64)
    right = reference(CELLS[name], run.variant, run.parameters, run.x, run.before, run.inputs)
    narrow = convert(run, torch.float32)
    found = ops.recurrence(
        CELLS[name], narrow.variant, narrow.parameters, narrow.x, narrow.before, narrow.inputs, narrow=torch.bfloat16
    )
    for state, truth in right.items():
        torch.testing.assert_close(found[state].double(), truth, atol=2e-5, rtol=2e-5)


@multiplies
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "slstm"])
def test_tensors_of_bfloat16_are_float32_inside(name: str) -> None:
    run = convert(random_run(CELLS[name], steps=6, batch=5, hidden=19, resets=True), torch.bfloat16)
    narrow, wide = results(name, run, half=False), results(name, convert(run, torch.float32), half=True)
    states = len(run.before)
    for found, right in zip(narrow[:states], wide[:states], strict=True):
        assert found.dtype == torch.bfloat16
        assert torch.equal(found, right.bfloat16())
    for found, right in zip(narrow[states:], wide[states:], strict=True):  # what weighs the outputs was rounded too
        assert found.dtype == torch.bfloat16
        scale = max(1.0, float(right.abs().max()))
        torch.testing.assert_close(found.float(), right, atol=2 * 6 * ROUNDING * scale, rtol=0)


@multiplies
@pytest.mark.parametrize("batch", [1, 3, 8, 29])
@pytest.mark.parametrize("name", ["gru", "gru reset before", "lstm all", "lstm heads", "slstm", "rnn layer norm"])
def test_the_same_bits_on_any_number_of_threads(name: str, batch: int) -> None:
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        run = random_run(CELLS[name], steps=6, batch=batch, hidden=302, resets=True, ragged=True)
        run.parameters = {n: v.detach().div(9).requires_grad_(v.requires_grad) for n, v in run.parameters.items()}
        found.append(results(name, convert(run, torch.float32), half=True))
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))
    assert all(v.isfinite().all() for v in found[0])


@multiplies
def test_what_is_no_number_stays_in_its_sequence() -> None:
    layer, x = pnn.LSTM(5, 7).bfloat16(), torch.randn(4, 3, 5).bfloat16()
    right = layer(x)[0]
    x[1, 1, 4] = float("nan")
    y = layer(x)[0]
    assert y[1:, 1].isnan().all()
    assert torch.equal(y[:, ::2], right[:, ::2])
    assert torch.equal(y[0], right[0])


# Layers

LAYERS: dict[str, Callable[..., Recurrent]] = {
    "RNN": lambda **options: pnn.RNN(9, 17, 2, **options),
    "GRU": lambda **options: pnn.GRU(9, 17, 2, **options),
    "LSTM": lambda **options: pnn.LSTM(9, 17, 2, **options),
    "LSTM proj": lambda **options: pnn.LSTM(9, 17, 2, proj_size=5, **options),
    "CTRNN": lambda **options: pnn.Recurrent(CTRNN(activation="tanh"), 9, 17, 2, **options),
}


def close(found: Tensor, right: Tensor) -> None:
    """In the sense of some dozen roundings to bfloat16."""
    scale = max(1.0, float(right.detach().abs().max()))
    torch.testing.assert_close(found.float(), right.float(), atol=12 * ROUNDING * scale, rtol=0)


@multiplies
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("autocast", [False, True])
def test_layers_are_near_their_float32(autocast: bool, name: str, ragged: bool) -> None:
    """Two layers in both directions, an input that is not contiguous, lengths and resets; output and all gradients."""
    torch.manual_seed(0)
    layer = LAYERS[name](bidirectional=True, batch_first=True)
    x = torch.randn(12, 5, 9).transpose(0, 1).bfloat16()
    given = {"lengths": [12, 0, 7, 12, 1], "resets": torch.rand(5, 12) < 0.2} if ragged else {}
    found = []
    for half in (False, True):
        layer.to(torch.bfloat16 if half and not autocast else torch.float32)
        ours = (x if half else x.float()).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half and autocast):
            y = layer(ours, **given)[0]
        assert (y.dtype == torch.bfloat16) == half
        found.append([y, *torch.autograd.grad(y.sum(), [ours, *layer.parameters()])])
    for wide, narrow in zip(*found, strict=True):
        close(narrow, wide)


@pytest.mark.parametrize("lower", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("before", [None, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("of_input", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_autocast_gives_the_types_that_torch_gives(
    name: str, of_input: torch.dtype, before: torch.dtype | None, lower: torch.dtype
) -> None:
    if name == "LSTM" and of_input == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("without oneDNN's bfloat16 torch's LSTM goes another way, whose types are others")
    types = []
    for module in (torch.nn, pnn):
        layer, x = getattr(module, name)(4, 6, 2), torch.randn(5, 3, 4).to(of_input)
        h = None if before is None else torch.zeros(2, 3, 6, dtype=before)
        hx = (h, h) if name == "LSTM" and h is not None else h
        try:
            with torch.autocast("cpu", lower):
                y, after = layer(x, hx)
        except RuntimeError:
            pytest.skip(f"torch's {name} has no {lower} on this processor")
        types.append([y.dtype, *(v.dtype for v in (after if isinstance(after, tuple) else (after,)))])
        y.float().sum().backward()
        assert all(p.grad.dtype == torch.float32 for p in layer.parameters())
    assert types[0] == types[1]


@pytest.mark.parametrize("path", _native.instruction_sets())
@pytest.mark.parametrize("name", LAYERS)
def test_autocast_gives_the_same_types_on_every_processor(name: str, path: str) -> None:
    layer, x = LAYERS[name](), torch.randn(6, 3, 9).bfloat16()
    right, _ = layer(x.float())
    _native.choose(path)
    with torch.autocast("cpu", torch.bfloat16):
        y, after = layer(x)
        packed = layer(pack_padded_sequence(x, [6, 4, 2]))[0]
    assert {y.dtype, packed.data.dtype, *(v.dtype for v in after)} == {torch.bfloat16}
    close(y, right)


@multiplies
def test_no_batch_and_no_steps() -> None:
    layer = pnn.GRU(3, 5).bfloat16()
    assert layer(torch.zeros(4, 0, 3).bfloat16())[0].shape == (4, 0, 5)
    with pytest.raises(SizeError, match="no steps"):
        layer(torch.zeros(0, 2, 3).bfloat16())
    run = convert(random_run(CELLS["gru"], steps=0), torch.bfloat16)
    states = ops.recurrence(CELLS["gru"], run.variant, run.parameters, run.x, run.before, run.inputs)
    assert states["h"].shape == (0, 3, 4)
    assert states["h"].dtype == torch.bfloat16


@multiplies
def test_in_pieces_is_the_same() -> None:
    layer, x = pnn.LSTM(6, 33), torch.randn(20, 3, 6)
    found = []
    for every in (None, 7):
        layer.checkpoint_every = every
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)[0]
        found.append([y, *torch.autograd.grad(y.float().square().sum(), list(layer.parameters()))])
    for whole, pieces in zip(*found, strict=True):
        torch.testing.assert_close(pieces.float(), whole.float(), atol=1e-4, rtol=1e-4)  # other sums of the same terms
    assert torch.equal(found[0][0], found[1][0])


@multiplies
@pytest.mark.parametrize("name", LAYERS)
def test_a_stream_is_the_whole_sequence(name: str) -> None:
    layer, x = LAYERS[name]().bfloat16(), torch.randn(6, 3, 9).bfloat16()
    with torch.no_grad():
        right, last = layer(x)
    stream = layer.stream(3)
    found = torch.stack([stream.step(v).clone() for v in x])
    assert torch.equal(found, right)
    for a, b in zip(stream.states, last, strict=True):
        assert torch.equal(a, b)


@multiplies
def test_second_derivatives() -> None:
    layer, x = pnn.GRU(4, 6).bfloat16(), torch.randn(5, 2, 4).bfloat16().requires_grad_()
    (first,) = torch.autograd.grad(layer(x)[0].float().square().sum(), x, create_graph=True)
    second = torch.autograd.grad(first.float().square().sum(), [x, *layer.parameters()])
    assert all(v.isfinite().all() and v.dtype == torch.bfloat16 for v in second)


@multiplies
@pytest.mark.parametrize("autocast", [False, True])
def test_in_a_graph(autocast: bool) -> None:
    layer, x = pnn.LSTM(4, 6), torch.randn(5, 2, 4).bfloat16()
    layer = layer if autocast else layer.bfloat16()

    def work(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y: Tensor = layer(x)[0]
        return y

    assert torch.equal(torch.compile(work, backend="aot_eager", fullgraph=True)(x), work(x))


# Where the processor does not


def test_other_instruction_sets_have_none() -> None:
    _native.choose("baseline")
    assert not _native.multiplies_bfloat16()
    assert not ops.engine_takes(torch.zeros(1, dtype=torch.bfloat16))
    layer, x = pnn.LSTM(4, 6).bfloat16(), torch.randn(5, 2, 4).bfloat16()
    assert layer(x)[0].dtype == torch.bfloat16
    program = _native.Program([2, 2], 3, 2, 0, [(0, "step", 0)], [([], [], [("tanh", 1, [0])])], [(1, "step", 1)])
    buffers = [torch.ones(5, 3, 4), torch.zeros(5, 3, 4)]
    with pytest.raises(ValueError, match="does not multiply bfloat16"):
        program.run(5, 3, [], [1, 1, 4], False, buffers, [None, None], [], [], [], [], [], [], False, 1, True)


@multiplies
def test_float64_around_them_is_refused() -> None:
    program = _native.Program([2, 2], 3, 2, 0, [(0, "step", 0)], [([], [], [("tanh", 1, [0])])], [(1, "step", 1)])
    buffers = [torch.ones(5, 3, 4).double(), torch.zeros(5, 3, 4).double()]
    with pytest.raises(ValueError, match="not float64"):
        program.run(5, 3, [], [1, 1, 4], False, buffers, [None, None], [], [], [], [], [], [], True, 1, True)

"""Kernels for a GPU against the equations: on a GPU where there is one, and their very source on the processor everywhere.

The processor runs a kernel's threads one after the other (hardware.h), which is slow: there a few cells stand for all, each
with another way of sharing the work, another surrounding and sizes that come out uneven.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid import nn as pnn
from pellucid.cells import Cell, Input, Matrix, State
from pellucid.errors import DeviceError
from pellucid.ops import recurrence as ops
from pellucid.ops.cuda import cudnn, engine, layout, passes
from pellucid.ops.cuda.generate import SIZES, Kernel, Spec, generate
from pellucid.ops.cuda.share import Share, independent_heads
from pellucid.ops.lowering import Lowered
from pellucid.ops.plan import Plan
from pellucid.ops.reference.recurrence import recurrence as reference
from tests.ops.cells_under_test import CELLS, SURROUNDINGS, Run, random_run
from tests.ops.cuda import emulated

GPU = pytest.mark.skipif(
    not (torch.cuda.is_available() and ops.available(torch.device("cuda"))),
    reason="needs an NVIDIA GPU of compute capability 9.0 and the cuda-bindings package",
)
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here")
FREE = [name for name in CELLS if name != "ctrnn Dale"]  # its mask is for four units
WAYS = {"block": ("block", 1), "cluster": ("cluster", 2), "wide cluster": ("cluster", 4), "grid": ("grid", 3)}


def sharing(kind: Any, team: int, tile: int = 8, warps: int = 4, wide: int = 2) -> Callable[..., Kernel]:
    """In place of the choice by estimated time: this way of sharing the work out."""

    def choose(lowered: Lowered, spec: Spec, sizes: tuple[int, ...], batch: int, device: torch.device) -> Kernel:
        groups = independent_heads(lowered)
        local = tuple(size if n < 2 else size // groups for n, size in enumerate(sizes))
        even = spec.even and all(size % 2 == 0 for size in local[2:])
        share = Share(
            kind, team, tile, warps, groups, local, SIZES[spec.operand], SIZES[spec.real], wide if even else 1
        )
        return generate(lowered, share, spec)

    return choose


def share_out(monkeypatch: pytest.MonkeyPatch, name: str, *how: Any) -> list[Kernel]:
    """Let a cell's kernels be made anew and shared out in this way; all that are made, in a list that grows."""
    monkeypatch.delitem(CELLS[name].__dict__, "_derivatives", raising=False)
    made: list[Kernel] = []
    choose = sharing(*how)

    def noted(*arguments: Any) -> Kernel:
        made.append(choose(*arguments))
        return made[-1]

    monkeypatch.setattr(layout, "choose", noted)
    return made


@pytest.fixture
def on_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels run on the processor, and nothing else may take the work."""
    monkeypatch.setattr(layout.kernels, "run", emulated.run)
    monkeypatch.setattr(ops, "available", lambda _: True)
    monkeypatch.setattr(ops, "engine_takes", lambda _: False)


def moved(run: Run, device: str, dtype: torch.dtype) -> Run:
    """The same arguments elsewhere and in another type."""

    def move(v: Tensor) -> Tensor:
        if not v.is_floating_point():
            return v.to(device)
        return v.detach().to(device, dtype).requires_grad_(v.requires_grad)

    return dataclasses.replace(
        run,
        parameters={n: move(v) for n, v in run.parameters.items()},
        x=move(run.x),
        before=[move(v) for v in run.before],
        inputs={n: move(v) for n, v in run.inputs.items()},
    )


def results(name: str, run: Run, compute: Callable[..., dict[str, Tensor]]) -> list[Tensor]:
    """All outputs and all gradients of a random combination of them."""
    outputs = compute(CELLS[name], run.variant, run.parameters, run.x, run.before, run.inputs)
    generator = torch.Generator().manual_seed(1)
    loss = sum(
        (torch.randn(o.shape, generator=generator, dtype=torch.float64).to(o) * o).sum() for o in outputs.values()
    )
    assert isinstance(loss, Tensor)
    found = torch.autograd.grad(loss, run.leaves(), allow_unused=True)
    filled = [torch.zeros_like(t) if g is None else g for t, g in zip(run.leaves(), found, strict=True)]
    return [v.detach().double().cpu() for v in (*outputs.values(), *filled)]


def compare(name: str, run: Run, device: str, dtype: torch.dtype) -> None:
    """Kernels against the equations in float64 on numbers rounded to the kernels' type.

    float64 and float32: sums of a few hundred terms, in other orders than the equations' (exponential gates make terms of
    up to some thousand). Of two-byte types the operands of products are rounded, by half of 2^-8 or 2^-11 each, at every step
    anew, and so are the states and what is kept for the backward pass. Where a rounded argument of a relu falls on the other
    side of zero, its whole share of a gradient goes or comes.
    """
    if dtype.itemsize == 2 and "slstm" in name:  # exponentials of large sums leave float16's range, and n divides
        smaller = max(4.0, run.before[0].shape[-1] / 4)  # all terms are positive now: sums grow as the units do
        run.parameters = {n: (v.detach().abs() / smaller).requires_grad_() for n, v in run.parameters.items()}
        run.before = [(v.detach().abs() + 1).requires_grad_() for v in run.before]
    narrow = moved(run, device, dtype)
    right = results(name, moved(narrow, device, torch.float64), reference)
    relative = {torch.float64: 1e-10, torch.float32: 3e-5, torch.bfloat16: 4e-2, torch.float16: 5e-3}[dtype]
    if dtype.itemsize == 2 and ("relu" in name or name == "ctrnn"):
        relative *= 5
    for found, wanted in zip(results(name, narrow, ops.recurrence), right, strict=True):
        assert found.shape == wanted.shape
        assert not torch.isnan(found).any()
        distance = float((found - wanted).norm())
        assert distance <= relative * max(1.0, float(wanted.norm())), (distance, float(wanted.norm()))


PROCESSOR = [
    ("lstm", "resets and lengths", "block", 21, torch.float64),
    ("lstm all", "plain", "cluster", 34, torch.float64),
    ("lstm heads", "no bias", "block", 36, torch.bfloat16),
    ("gru", "dropout and zoneout", "cluster", 34, torch.bfloat16),
    ("gru layer norm", "plain", "grid", 27, torch.float32),
    ("slstm", "everything, evaluated", "wide cluster", 33, torch.float16),
    ("ctrnn", "plain", "grid", 40, torch.float32),
    ("gru heads", "plain", "cluster", 20, torch.float32),
]


@pytest.mark.parametrize(("name", "around", "way", "hidden", "dtype"), PROCESSOR)
def test_the_source_computes_the_equations(
    name: str,
    around: str,
    way: str,
    hidden: int,
    dtype: torch.dtype,
    on_processor: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = share_out(monkeypatch, name, *WAYS[way])
    compare(name, random_run(CELLS[name], steps=5, batch=11, hidden=hidden, **SURROUNDINGS[around]), "cpu", dtype)
    assert {(k.share.kind, k.share.team) for k in made} == {WAYS[way]}


def test_numbers_that_lie_apart(on_processor: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs transposed, every other of a larger tensor, one row for all, and gradients that come transposed."""
    share_out(monkeypatch, "lstm", *WAYS["cluster"])
    run = random_run(CELLS["lstm"], steps=5, batch=6, hidden=21)
    run.x = run.x.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    wide = torch.randn(6, 42, dtype=torch.float64)
    run.before = [wide[:, ::2].requires_grad_(), wide[:1, :21].detach().expand(6, 21).requires_grad_()]
    assert not any(v.is_contiguous() for v in (run.x, *run.before))
    leaves = [run.x, *run.before, *run.parameters.values()]
    weights = torch.randn(6, 5, 21, dtype=torch.float64)
    found = []
    for compute in (ops.recurrence, reference):
        states = compute(CELLS["lstm"], run.variant, run.parameters, run.x, run.before, run.inputs)
        loss = (states["h"].transpose(0, 1) * weights).sum()
        found.append([*states.values(), *torch.autograd.grad(loss, leaves, allow_unused=True)])
    for ours, right in zip(*found, strict=True):
        torch.testing.assert_close(ours, right, atol=1e-10, rtol=1e-10)


def test_a_traced_state_can_be_differentiated(on_processor: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace has the output itself, on torch's graph; what lies beside it gives its gradient after the backward pass."""
    import pellucid

    layer = pnn.GRU(3, 8, dtype=torch.float64)
    monkeypatch.setattr(layout, "choose", sharing(*WAYS["block"]))
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    with pellucid.trace(layer, grad=True) as trace:
        output, _ = layer(x)
    assert [name.split(".")[-1] for name in trace] == [*pnn.GRU(3, 8).cell.graph().named]
    (state,) = [trace[name] for name in trace if name.endswith("h")]
    (found,) = torch.autograd.grad(state.values[2, 1, 5], layer.weight_ih_l0, retain_graph=True)
    (right,) = torch.autograd.grad(output[2, 1, 5], layer.weight_ih_l0)
    assert found.count_nonzero()
    assert torch.equal(found, right)
    gates = [trace[name].grad for name in trace if name.endswith(("r", "z", "n"))]
    assert len(gates) == 3
    assert all(g is not None and g[3].count_nonzero() == 0 and g[2, 1].count_nonzero() for g in gates)


def test_one_layout_serves_all_lengths_and_no_other_strides(
    on_processor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is settled for a call is used for the next one like it, with its own addresses; an input laid otherwise is not
    mistaken for it, and the oldest of too many are forgotten."""
    monkeypatch.setattr(layout, "choose", sharing(*WAYS["block"]))
    monkeypatch.setattr(engine, "MOST_KEPT", 3)
    made: list[int] = []
    settled = passes.Forward.__init__

    def noted(self: Any, *arguments: Any) -> None:
        made.append(1)
        settled(self, *arguments)

    monkeypatch.setattr(passes.Forward, "__init__", noted)
    layer = pnn.LSTM(3, 8, dtype=torch.float64)
    twin = torch.nn.LSTM(3, 8, dtype=torch.float64)
    twin.load_state_dict(layer.state_dict())
    with torch.no_grad():
        for steps, form, count in ((4, "dense", 1), (7, "dense", 1), (1, "dense", 1), (7, "apart", 2), (4, "wide", 3)):
            x = torch.randn(steps, 2, 3, dtype=torch.float64)
            if form == "apart":
                x = x.transpose(0, 1).contiguous().transpose(0, 1)
            if form == "wide":
                x = torch.randn(steps, 2, 6, dtype=torch.float64)[..., ::2]
            torch.testing.assert_close(layer(x), twin(x), atol=1e-12, rtol=1e-12)
            assert len(made) == count
        for batch in (3, 4, 5, 6):
            x = torch.randn(2, batch, 3, dtype=torch.float64)
            torch.testing.assert_close(layer(x), twin(x), atol=1e-12, rtol=1e-12)
        kept = [d.lowered["layouts"] for d in layer.cell._derivatives.values() if "layouts" in d.lowered]
        assert [len(k) for k in kept] == [3]


class Offset(Cell):
    """A state that starts at a number which two bytes do not hold."""

    def __init__(self) -> None:
        self.x, self.h, self.U = Input(), State(initial=0.1), Matrix()

    def step(self, x: Any, h: Any) -> Any:
        return x + self.U @ h + h


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_reset_starts_a_sequence(dtype: torch.dtype, on_processor: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the layer's number type rounds what the cell declares; sums may be taken in another order."""
    monkeypatch.setattr(layout, "choose", sharing(*WAYS["block"]))
    layer = pnn.Recurrent(Offset(), 3, 5).to(dtype)
    x = torch.randn(6, 2, 3, dtype=dtype)
    resets = torch.zeros(6, 2, dtype=torch.bool)
    resets[4] = True
    relative = 1e-13 if dtype == torch.float64 else 0.0  # of the others a two-byte number is left
    torch.testing.assert_close(layer(x, resets=resets)[0][4:], layer(x[4:])[0], atol=relative, rtol=relative)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["LSTM", "RNN", "GRU"])
def test_gradients_have_memory_of_their_own(
    name: str, dtype: torch.dtype, on_processor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two biases that are added have the same gradient, twice: the second backward pass adds to both where they are."""
    monkeypatch.setattr(layout, "choose", sharing(*WAYS["block"]))
    layer = getattr(pnn, name)(3, 8, dtype=dtype)
    twin = getattr(torch.nn, name)(3, 8)
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(4, 2, 3, dtype=dtype)
    for _ in range(2):
        layer(x)[0].float().sum().backward()
        twin(x.float())[0].sum().backward()
    norms = [torch.nn.utils.clip_grad_norm_(each.parameters(), 1e-2) for each in (layer, twin)]
    relative = 1e-5 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(norms[0].float(), norms[1], atol=0, rtol=relative)
    for (_, ours), (_, right) in zip(layer.named_parameters(), twin.named_parameters(), strict=True):
        torch.testing.assert_close(ours.grad.float(), right.grad, atol=relative * 1e-2, rtol=relative)
    places = [range(p.grad.data_ptr(), p.grad.data_ptr() + p.grad.nbytes) for p in layer.parameters()]
    assert all(a.stop <= b.start or b.stop <= a.start for a, b in itertools.combinations(places, 2))


def test_what_no_kernel_reads_is_not_copied(on_processor: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input whose features lie apart is projected as it lies; one that comes projected is brought together."""
    monkeypatch.setattr(layout, "choose", sharing(*WAYS["block"]))
    copied: list[tuple[int, ...]] = []
    settled = layout.Layout.prepared

    def noted(self: layout.Layout, tensors: Any) -> list[Tensor]:
        copied.append(self.apart)
        return settled(self, tensors)

    layer = pnn.GRU(3, 8, dtype=torch.float64)
    x = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    for times in (1, 2):
        monkeypatch.setattr(layout.Layout, "prepared", settled if times == 1 else noted)
        output = layer(x.transpose(1, 2))[0]
        output.backward(torch.randn_like(output))
    assert not copied
    run = random_run(CELLS["gru"], hidden=8)
    apart = run.x.detach().transpose(1, 2).contiguous().transpose(1, 2)
    for _ in range(2):
        ops.recurrence(CELLS["gru"], run.variant, run.parameters, apart, run.before, run.inputs)
    assert copied[-1] == (0,)


def test_a_kernel_is_given_no_other_devices_memory(on_processor: None) -> None:
    run = random_run(CELLS["gru"])
    with pytest.raises(DeviceError, match="x is on cpu, and a tensor that came with it on meta; move one of them"):
        ops.recurrence(CELLS["gru"], run.variant, run.parameters, run.x, [v.to("meta") for v in run.before], run.inputs)


def test_rows_that_lie_too_far_apart_for_a_kernel_are_brought_together() -> None:
    """Inside a step's plane a kernel counts with 32 bits; a batch that comes first makes rows as long as a sequence."""
    far = torch.empty_strided((4, 3, 2), (2, 2**30, 1), device="meta")
    near = torch.empty_strided((4, 3, 2), (2, 2**29, 1), device="meta")
    assert layout._dense(far).stride() == (6, 2, 1)
    assert layout._dense(near) is near


def test_machine_code_is_kept_between_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled once; a folder that cannot be written costs only the time to compile again."""
    bindings, nvrtc = ModuleType("cuda.bindings"), SimpleNamespace(nvrtcVersion=lambda: (0, 13, 0))
    bindings.nvrtc = nvrtc  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
    compilations: list[str] = []

    def compiled(source: str, capability: tuple[int, int]) -> bytes:
        compilations.append(source)
        return f"{source} {capability}".encode()

    monkeypatch.setattr(layout.kernels, "compiled", compiled)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        assert layout.kernels._code("a", (9, 0)) == b"a (9, 0)"
    assert layout.kernels._code("b", (9, 0)) == b"b (9, 0)"
    assert compilations == ["a", "b"]
    assert len(list(layout.kernels.cache_folder().iterdir())) == 2
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert layout.kernels._code("a", (9, 0)) == b"a (9, 0)"
    assert compilations == ["a", "b", "a", "a"]


@GPU
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name: str, around: str, dtype: torch.dtype) -> None:
    compare(name, random_run(CELLS[name], **SURROUNDINGS[around]), "cuda", dtype)


@GPU
@pytest.mark.parametrize("warps", [4, 8, 16])
@pytest.mark.parametrize("tile", [8, 16])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["gru", "lstm all", "slstm heads", "rnn layer norm"])
def test_every_way(name: str, way: str, tile: int, warps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for hidden, dtype in ((50, torch.float64), (68, torch.bfloat16)):
        made = share_out(monkeypatch, name, *WAYS[way], tile, warps)
        run = random_run(CELLS[name], steps=9, batch=21, hidden=hidden, resets=True, ragged=True)
        compare(name, run, "cuda", dtype)
        assert {(k.share.kind, k.share.team, k.share.tile, k.share.warps) for k in made} == {(*WAYS[way], tile, warps)}


@GPU
@pytest.mark.parametrize("hidden", [1, 7, 64, 129, 300, 512, 1024])
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn relu"])
def test_every_size(name: str, hidden: int) -> None:
    for steps, batch in ((1, 1), (3, 70), (6, 9)):
        run = random_run(CELLS[name], steps=steps, batch=batch, hidden=hidden)
        run.parameters = {n: (v.detach() / max(hidden, 16) ** 0.5).requires_grad_() for n, v in run.parameters.items()}
        for dtype in (torch.float32, torch.bfloat16):
            compare(name, run, "cuda", dtype)


@GPU
def test_the_same_figures_twice() -> None:
    """Every sum is taken in a fixed order."""
    torch.manual_seed(0)
    layer = pnn.LSTM(40, 256, device="cuda", dtype=torch.bfloat16)
    x = torch.randn(50, 70, 40, device="cuda", dtype=torch.bfloat16)
    found = []
    for _ in range(3):
        layer.zero_grad()
        output, _ = layer(x)
        output.float().square().sum().backward()
        found.append([output.detach(), *(p.grad.clone() for p in layer.parameters() if p.grad is not None)])
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))


@GPU
def test_a_trace_sees_what_the_processor_sees() -> None:
    import pellucid

    torch.manual_seed(0)
    layer = pnn.GRU(5, 40, dtype=torch.float64)
    x = torch.randn(6, 3, 5, dtype=torch.float64)
    seen: dict[str, dict[str, Tensor]] = {}
    for device in ("cpu", "cuda"):
        there = layer.to(device)
        with pellucid.trace(there, grad=True) as trace:
            output, _ = there(x.to(device))
            output.sum().backward()
        names = [name for name in trace if name.split(".")[-1] in ("r", "z", "n", "h")]
        assert len(names) == 4
        seen[device] = {n: trace[n].values.detach().cpu() for n in names}
        seen[device] |= {f"d {n}": trace[n].grad.detach().cpu() for n in names if trace[n].grad is not None}
    for name, value in seen["cpu"].items():
        torch.testing.assert_close(seen["cuda"][name], value, atol=1e-12, rtol=1e-10)


@GPU
def test_in_a_compiled_graph() -> None:
    torch.manual_seed(0)
    layer = pnn.LSTM(5, 40, device="cuda")
    x = torch.randn(6, 3, 5, device="cuda")
    compiled = torch.compile(lambda v: layer(v)[0].sin(), fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x)[0].sin())


@GPU
def test_in_a_recorded_graph() -> None:
    """A CUDA graph replays the kernels on new numbers."""
    torch.manual_seed(0)
    layer = pnn.GRU(5, 40, device="cuda")
    x = torch.randn(6, 3, 5, device="cuda")
    with torch.no_grad():
        layer(x)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output, _ = layer(x)
        x.copy_(torch.randn_like(x))
        graph.replay()
        torch.testing.assert_close(output, layer(x)[0])


@GPU
@pytest.mark.parametrize("lower", [torch.bfloat16, torch.float16])
def test_autocast_computes_in_its_type(lower: torch.dtype) -> None:
    """Outputs in the lower type, gradients in that of the weights, and equal to torch's within the type's rounding."""
    torch.manual_seed(0)
    layer = pnn.LSTM(5, 40, device="cuda")
    twin = torch.nn.LSTM(5, 40, device="cuda")
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(6, 3, 5, device="cuda")
    grads = []
    for each in (layer, twin):
        with torch.autocast("cuda", dtype=lower):
            output, _ = each(x)
        assert each is twin or output.dtype == lower  # torch's gives float16 under any autocast
        output.float().square().sum().backward()
        grads.append([p.grad for p in each.parameters()])
    for ours, theirs in zip(*grads, strict=True):
        assert ours.dtype == torch.float32
        assert float((ours - theirs).norm()) <= 0.05 * float(theirs.norm())


@GPU
def test_autocast_in_a_compiled_graph() -> None:
    """The backward pass of a graph runs outside of autocast's block, and computes in its type all the same."""
    torch.manual_seed(0)
    layer = pnn.GRU(5, 40, device="cuda")
    x = torch.randn(6, 3, 5, device="cuda")
    compiled = torch.compile(lambda v: layer(v)[0].float().square().sum(), fullgraph=True)
    grads = []
    for run in (compiled, lambda v: layer(v)[0].float().square().sum()):
        layer.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = run(x)
        loss.backward()
        grads.append([p.grad.clone() for p in layer.parameters()])
    for ours, eager in zip(*grads, strict=True):
        assert float((ours - eager).norm()) <= 0.02 * float(eager.norm())


@GPU
def test_second_derivatives() -> None:
    layer = pnn.RNN(2, 5, device="cuda", dtype=torch.float64)
    x = torch.randn(3, 2, 2, device="cuda", dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda v: layer(v)[0], (x,))


PLAIN = {
    "LSTM": (pnn.LSTM, torch.nn.LSTM, {}),
    "GRU": (pnn.GRU, torch.nn.GRU, {}),
    "RNN": (pnn.RNN, torch.nn.RNN, {}),
    "RNN relu": (pnn.RNN, torch.nn.RNN, {"nonlinearity": "relu"}),
    "two layers, two directions": (pnn.LSTM, torch.nn.LSTM, {"num_layers": 2, "bidirectional": True}),
    "no bias": (pnn.GRU, torch.nn.GRU, {"bias": False}),
    "batch first": (pnn.LSTM, torch.nn.LSTM, {"batch_first": True}),
}


@pytest.fixture
def on_cudnn(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """cuDNN is taken wherever it can be; the calls that it gets."""
    monkeypatch.setattr(cudnn, "is_faster", lambda *_: True)
    calls: list[Plan] = []
    run = cudnn.run

    def noted(plan: Plan, tensors: Any) -> tuple[Tensor, ...]:
        calls.append(plan)
        return run(plan, tensors)

    monkeypatch.setattr(cudnn, "run", noted)
    return calls


@CUDA
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("of", PLAIN)
def test_by_cudnn(of: str, given: bool, on_cudnn: list[Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs, last states and all gradients as torch.nn's, which are cuDNN's, too; the weights stay where they are.

    float32 without TF32: the same kernels, but for the order in which a gradient of two uses of a weight is added up.
    """
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    make, theirs, options = PLAIN[of]
    layer = make(7, 24, device="cuda", **options)
    twin = theirs(7, 24, device="cuda", **options)
    twin.load_state_dict(layer.state_dict())
    before = [(p.data_ptr(), p.detach().clone()) for p in layer.parameters()]
    x = torch.randn(9, 5, 7, device="cuda")
    count = 5 if not options.get("batch_first") else 9
    places = 4 if options.get("num_layers") else 1
    h = torch.randn(places, count, 24, device="cuda")
    state = None if not given else (h, h / 2) if make is pnn.LSTM else h
    found = []
    for each in (layer, twin):
        leaf = x.clone().requires_grad_()
        output, ends = each(leaf, state)
        last = [*ends] if isinstance(ends, tuple) else [ends]
        loss = sum((v * torch.linspace(-1, 1, v.numel(), device="cuda").view_as(v)).sum() for v in (output, *last))
        found.append([output, *last, *torch.autograd.grad(loss, [leaf, *each.parameters()])])
    assert len(on_cudnn) == places
    for ours, right in zip(*found, strict=True):
        torch.testing.assert_close(ours, right, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(layer(x, state)[0], found[1][0], atol=1e-5, rtol=1e-5)
    for (place, value), p in zip(before, layer.parameters(), strict=True):
        assert p.data_ptr() == place
        assert torch.equal(p, value)


@CUDA
def test_cudnn_goes_back_twice_and_further(on_cudnn: list[Plan]) -> None:
    """A graph that is kept gives the same gradients again, and second derivatives are the equations'."""
    layer = pnn.LSTM(3, 8, device="cuda")
    x = torch.randn(6, 2, 3, device="cuda", requires_grad=True)
    output, (_, c) = layer(x)
    loss = output.square().sum() + c.sin().sum()
    first = torch.autograd.grad(loss, [x, *layer.parameters()], retain_graph=True)
    again = torch.autograd.grad(loss, [x, *layer.parameters()], retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    second = torch.autograd.grad(slope.square().sum(), [x, *layer.parameters()])
    assert len(on_cudnn) == 1
    wide = copy.deepcopy(layer).double()
    y = x.detach().double().requires_grad_()
    output, (_, c) = wide(y)  # float64: not cuDNN's
    loss = output.square().sum() + c.sin().sum()
    (slope,) = torch.autograd.grad(loss, y, create_graph=True)
    right = torch.autograd.grad(slope.square().sum(), [y, *wide.parameters()])
    for ours, truth in zip(second, right, strict=True):
        torch.testing.assert_close(ours.double(), truth, atol=1e-4, rtol=1e-3)


@CUDA
def test_cudnn_and_one_gradient_or_none(on_cudnn: list[Plan]) -> None:
    """Of the last memory alone, of nothing at all; weights, input and states that lie apart, and a state in another type."""
    layer = pnn.LSTM(3, 8, device="cuda")
    twin = torch.nn.LSTM(3, 8, device="cuda")
    apart = layer.weight_ih_l0.detach().t().contiguous().t()
    layer.weight_ih_l0 = torch.nn.Parameter(torch._neg_view(-apart))
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(2, 6, 3, device="cuda").transpose(0, 1)
    h = torch.randn(1, 8, 2, device="cuda").transpose(1, 2)
    (_, (_, ours)), (_, (_, theirs)) = layer(x, (h.double(), h)), twin(x, (h.contiguous(), h.contiguous()))
    assert len(on_cudnn) == 1
    found, right = (torch.autograd.grad(c.sum(), [*m.parameters()]) for c, m in ((ours, layer), (theirs, twin)))
    for a, b in zip(found, right, strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=2e-3)  # torch's own switch lets float32 be rounded to TF32
    start = h.clone().requires_grad_()
    output, _ = layer(x, (start, start))
    nothing = output.grad_fn(None, None)
    assert all(g is None for g in nothing)


@CUDA
def test_cells_under_autocast(on_cudnn: list[Plan]) -> None:
    """A single step is not cuDNN's, where weights would be copied together for it."""
    cell = pnn.GRUCell(3, 8, device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        after = cell(torch.randn(2, 3, device="cuda"))
    after.float().sum().backward()
    assert not on_cudnn
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in cell.parameters())


@CUDA
def test_what_cudnn_has_not_stays_here(on_cudnn: list[Plan]) -> None:
    """Options of a cell, resets, lengths and traces."""
    import pellucid

    x = torch.randn(6, 2, 3, device="cuda")
    pnn.LSTM(3, 8, device="cuda", peepholes=True)(x)
    pnn.GRU(3, 8, device="cuda", reset_before=True)(x)
    pnn.GRU(3, 8, device="cuda")(x, resets=torch.rand(6, 2, device="cuda") < 0.5)
    pnn.GRU(3, 8, device="cuda")(x, lengths=torch.tensor([6, 2]))
    layer = pnn.LSTM(3, 8, device="cuda")
    with pellucid.trace(layer):
        layer(x)
    assert not on_cudnn
    layer(x)
    assert len(on_cudnn) == 1


def test_the_rule_looks_the_nearest_size_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same cell, number type and mode; where nothing was measured, Pellucid's own kernels are taken."""
    rows = (
        cudnn.Measured("LSTM", "float16", False, (1024, 16, 1024), 0.7),
        cudnn.Measured("LSTM", "float16", False, (1024, 16, 128), 1.8),
        cudnn.Measured("LSTM", "float16", True, (1024, 16, 1024), 1.1),
    )
    monkeypatch.setattr(cudnn, "table", lambda: rows)
    rule = cudnn._is_faster.__wrapped__
    assert rule("LSTM", "float16", False, (1000, 20, 800))
    assert not rule("LSTM", "float16", False, (1000, 20, 200))
    assert not rule("LSTM", "float16", True, (1000, 20, 800))
    assert not rule("LSTM", "float32", False, (1000, 20, 800))
    assert not rule("GRU", "float16", False, (1000, 20, 800))


def test_the_table_of_the_rule_is_read() -> None:
    """As the benchmark wrote it."""
    rows = cudnn.table()
    assert {row.cell for row in rows} == {"LSTM", "GRU", "RNN"}
    assert all(row.ratio > 0 and min(row.size) > 0 for row in rows)

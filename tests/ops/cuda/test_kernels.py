"""Kernels for a GPU against the equations: on a GPU where there is one, and their very source on the processor everywhere.

The processor runs a kernel's threads one after the other (hardware.h), which is slow: there a few cells stand for all, each
with another way of sharing the work, another surrounding and sizes that come out uneven.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor

from pellucid import nn as pnn
from pellucid.ops import recurrence as ops
from pellucid.ops.cuda import layout
from pellucid.ops.reference.recurrence import recurrence as reference
from tests.ops.cells_under_test import CELLS, SURROUNDINGS, Run, random_run
from tests.ops.cuda.ways import GPU, WAYS, share_out

FREE = [name for name in CELLS if name != "ctrnn Dale"]  # its mask is for four units


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

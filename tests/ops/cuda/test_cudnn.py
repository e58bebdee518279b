"""The promise: a plain layer by cuDNN is the layer, and goes there only where that was measured to be faster."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid import nn as pnn
from pellucid.ops.cuda import cudnn
from pellucid.ops.plan import Plan
from tests.ops.cuda.ways import CUDA

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

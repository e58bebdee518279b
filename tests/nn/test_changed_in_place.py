"""The promise: whoever changes what a layer gave before the backward pass gets the gradients that torch gives, where torch allows it."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import pellucid
from pellucid import nn

CLOSE = {"rtol": 1e-9, "atol": 1e-9}  # float64, some tens of products in a row


def residual(layer: Any, x: Tensor) -> Tensor:
    y, _ = layer(x)
    y += x
    return (y * torch.linspace(0, 1, y.numel(), dtype=y.dtype).view_as(y)).sum()


def masked(layer: Any, x: Tensor) -> Tensor:
    y, _ = layer(x)
    y[:2] = 0.0
    return y.pow(2).sum()


def some_sequences_anew(layer: Any, x: Tensor) -> Tensor:
    first = layer(x[0])
    first[0] = 0.0
    return layer(x[1], first).pow(2).sum()


@pytest.mark.parametrize("act", [residual, masked])
@pytest.mark.parametrize(
    ("name", "options"),
    [("GRU", {}), ("RNN", {}), ("GRU", {"num_layers": 2}), ("RNN", {"batch_first": True}), ("GRU", {"bias": False})],
)
def test_outputs_of_recurrent_layers(name: str, options: dict[str, Any], act: Callable[[Any, Tensor], Tensor]) -> None:
    theirs = getattr(torch.nn, name)(4, 4, dtype=torch.float64, **options)
    ours = getattr(nn, name)(4, 4, dtype=torch.float64, **options)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True)
    found = [torch.autograd.grad(act(layer, x), [x, *layer.parameters()]) for layer in (ours, theirs)]
    torch.testing.assert_close(*found, **CLOSE)


def test_the_state_of_a_cell() -> None:
    theirs, ours = torch.nn.GRUCell(4, 6, dtype=torch.float64), nn.GRUCell(4, 6, dtype=torch.float64)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    found = [torch.autograd.grad(some_sequences_anew(cell, x), [x, *cell.parameters()]) for cell in (ours, theirs)]
    torch.testing.assert_close(*found, **CLOSE)


@pytest.mark.parametrize("changed", [torch.nn.Dropout(0.5, inplace=True), torch.nn.ELU(inplace=True)])
@pytest.mark.parametrize("images", [1, 64])
def test_what_follows_a_fused_block(changed: torch.nn.Module, images: int) -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(2, 8, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), copy.deepcopy(changed)
    ).double()
    fused = pellucid.fuse(model).model
    x = torch.randn(images, 2, 28, 28, dtype=torch.float64, requires_grad=True)
    found = []
    for one in (model, fused):
        torch.manual_seed(0)
        found.append(torch.autograd.grad(one(x).pow(2).sum(), [x, *one.parameters()]))
    torch.testing.assert_close(*found, **CLOSE)


def test_a_graph_gone_through_twice_before_and_after_the_change() -> None:
    layer, x = nn.GRU(4, 4, dtype=torch.float64), torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True)
    y, _ = layer(x)
    before = torch.autograd.grad(y.sum(), [x, *layer.parameters()], retain_graph=True)
    with torch.no_grad():
        y.zero_()
    torch.testing.assert_close(torch.autograd.grad(y.sum(), [x, *layer.parameters()]), before, **CLOSE)


def test_a_changed_input_is_still_refused() -> None:
    layer, x = nn.GRU(4, 4), torch.randn(5, 3, 4)
    y, _ = layer(x)
    x += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("fused", [False, True])
def test_a_graph_that_was_gone_through_keeps_no_results(fused: bool) -> None:
    """As where a person adds losses up: what torch frees is not held beside it."""
    layer: Any = nn.ConvBlock(2, 4, 3, activation="relu", pool="max") if fused else nn.GRU(4, 4)
    x = torch.randn(2, 2, 8, 8) if fused else torch.randn(5, 3, 4)
    memory: list[Any] = []
    outputs = layer(x)
    y = outputs if fused else outputs[0]
    memory.append(weakref.ref(y.untyped_storage()))
    loss = (y * 1.0).sum()
    assert memory[0]() is not None
    del y, outputs
    loss.backward()
    gc.collect()
    assert memory[0]() is None
    assert loss.grad_fn is not None


@pytest.mark.parametrize("fused", [False, True])
def test_checkpoints(fused: bool) -> None:
    """Torch's own checks do not see there what was changed."""
    layer: Any = nn.ConvBlock(2, 4, 3, activation="relu", pool="max") if fused else nn.GRU(4, 4)
    x = torch.randn(2, 2, 8, 8, requires_grad=True) if fused else torch.randn(5, 3, 4, requires_grad=True)

    def run(v: Tensor) -> Tensor:
        y = layer(v) if fused else layer(v)[0]
        y *= 3.0
        y[0] = 0.0
        return y.pow(2).sum()  # type: ignore[no-any-return]

    found = torch.autograd.grad(checkpoint(run, x, use_reentrant=False), [x, *layer.parameters()])
    torch.testing.assert_close(found, torch.autograd.grad(run(x), [x, *layer.parameters()]))

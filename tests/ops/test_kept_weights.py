"""The promise: packed weights are kept between calls, and a changed weight is noticed, however it was changed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pellucid import _native, nn

SETS = _native.instruction_sets()


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    best = _native.instruction_set()
    yield
    _native.choose(best)


def _one_number(layer: nn.LSTM) -> None:
    layer.weight_hh_l0.data[3, 5] += 1  # torch's version counter does not see it


def _in_place(layer: nn.LSTM) -> None:
    with torch.no_grad():
        layer.weight_ih_l0.mul_(0.5)


def _loaded(layer: nn.LSTM) -> None:
    layer.load_state_dict({name: torch.randn_like(v) for name, v in layer.state_dict().items()})


def _swapped(layer: nn.LSTM) -> None:
    rows = layer.weight_hh_l0.data
    rows[[0, 1]] = rows[[1, 0]]


def _trained(layer: nn.LSTM) -> None:
    layer(torch.randn(2, 3, 5, dtype=layer.weight_ih_l0.dtype))[0].sum().backward()
    torch.optim.SGD(layer.parameters(), lr=0.1).step()


@pytest.mark.parametrize("path", SETS)
@pytest.mark.parametrize("batch", [1, 30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("change", [_one_number, _in_place, _loaded, _swapped, _trained])
def test_a_changed_weight_is_noticed(change: Any, dtype: torch.dtype, batch: int, path: str) -> None:
    _native.choose(path)
    layer = nn.LSTM(5, 18).to(dtype)
    x = torch.randn(4, batch, 5, dtype=dtype)

    def run(layer: nn.LSTM) -> list[torch.Tensor]:
        leaf = x.clone().requires_grad_()
        output = layer(leaf)[0]
        return [output, *torch.autograd.grad(output.square().sum(), [leaf, *layer.parameters()])]

    before = run(layer)
    for one, other in zip(before, run(layer), strict=True):
        assert torch.equal(one, other)
    change(layer)
    found, expected = run(layer), run(copy.deepcopy(layer))  # a copy has other memory, so nothing was kept for it
    assert not torch.equal(found[0], before[0])
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_other_weights_in_the_same_memory_are_noticed() -> None:
    memory = torch.empty(4 * 16 * 16)
    x, start = torch.randn(3, 2, 16), torch.zeros(1, 2, 16)
    for scale in (1.0, -1.0, 0.5, 0.5):
        layer = nn.LSTM(16, 16)
        layer.weight_hh_l0 = torch.nn.Parameter(memory.view(64, 16))
        with torch.no_grad():
            layer.weight_hh_l0.copy_(torch.randn(64, 16) * scale)
            assert torch.equal(layer(x, (start, start))[0], copy.deepcopy(layer)(x, (start, start))[0])

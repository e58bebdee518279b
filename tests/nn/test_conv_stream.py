"""The promise: a causal convolution, step by step, gives what it gives for the whole sequence."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid.errors import ArgumentError, SizeError
from pellucid.nn import Conv1d, ConvBlock
from pellucid.nn import conv_stream as module
from pellucid.ops import choice


@pytest.fixture(autouse=True, scope="module")
def always() -> Iterator[None]:
    """The engine, also where torch's kernel is the faster one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "choose", lambda *_, **__: choice.Choice(True, ""))
        yield


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), list(itertools.product([1, 2, 5], [1, 3], [1, 4])))
@pytest.mark.parametrize("groups", [1, 2])
def test_steps_give_what_the_sequence_gives(
    groups: int, kernel: int, stride: int, dilation: int, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"stride": stride, "padding": "causal", "dilation": dilation, "groups": groups}
    layer = Conv1d(4, 6, kernel, **options, padding_value=0.5)
    block = ConvBlock(4, 6, kernel, **options, dims=1, activation="silu", pool=None)
    x = torch.randn(3, 4, 40)
    for each in (layer, block):
        expected = each(x).detach()
        if not native:
            monkeypatch.setattr(module, "engine_takes", lambda *_: False)
        found = torch.stack([y.clone() for y in _steps(each, x)], dim=-1)
        monkeypatch.undo()
        if native:
            assert torch.equal(found, expected)  # the same sums in the same order
        else:
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)  # sums of 20 products


def _steps(layer: Any, x: Tensor) -> list[Tensor]:
    stream = layer.stream(x.shape[0])
    found = []
    for t in range(x.shape[2]):
        y = stream.step(x[:, :, t])
        if y is not None:
            found.append(y.clone())
    return found


def test_one_output_lasts_until_two_later() -> None:
    layer = Conv1d(1, 1, 2, padding="causal")
    stream = layer.stream()
    first = stream.step(torch.ones(1, 1))
    assert first is not None
    kept = first.clone()
    second = stream.step(torch.zeros(1, 1))
    assert torch.equal(first, kept)
    assert second is not None
    assert second.data_ptr() != first.data_ptr()


def test_changed_weights_and_resets_take_effect_at_once() -> None:
    layer = Conv1d(2, 3, 3, padding="causal")
    stream, x = layer.stream(2), torch.randn(2, 2, 8)
    for t in range(4):
        stream.step(x[:, :, t])
    with torch.no_grad():
        layer.weight.mul_(2)
    found = stream.step(x[:, :, 4])
    torch.testing.assert_close(found, layer(x)[:, :, 4].detach())
    stream.reset(torch.tensor([True, False]))
    found = stream.step(x[:, :, 5])
    assert found is not None
    torch.testing.assert_close(found[0], layer(x[:1, :, 5:])[0, :, 0].detach())
    torch.testing.assert_close(found[1], layer(x)[1, :, 5].detach())
    stream.reset()
    torch.testing.assert_close(stream.step(x[:, :, 0]), layer(x)[:, :, 0].detach())


def test_mistakes_are_told() -> None:
    with pytest.raises(ArgumentError, match='padding="causal"'):
        Conv1d(1, 1, 3, padding="same").stream()
    with pytest.raises(ArgumentError, match="number of sequences"):
        Conv1d(1, 1, 3, padding="causal").stream(0)
    with pytest.raises(ArgumentError, match="dims=1 and pool=None"):
        ConvBlock(1, 1, 3, padding="causal", dims=1).stream()
    with pytest.raises(SizeError, match="2 × 1"):
        Conv1d(1, 1, 3, padding="causal").stream(2).step(torch.zeros(1, 1))

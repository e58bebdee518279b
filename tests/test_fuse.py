"""The promise: a fused model is equal to the model, and says what became one layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import pellucid
from pellucid.nn import ConvBlock

CLOSE = {"rtol": 1e-10, "atol": 1e-10}  # float64, sums of some hundred products


def lenet(**kind: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.BatchNorm2d(6), nn.Tanh(), nn.AvgPool2d(2)),
        nn.Sequential(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.Dropout(0.0), nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Linear(400, 10),
    ).double()


@pytest.mark.parametrize("last", [nn.AvgPool2d(2), nn.BatchNorm2d(4), nn.Tanh()])
def test_a_layer_that_stands_in_several_places(last: nn.Module) -> None:
    relu = nn.ReLU()
    model = nn.Sequential(nn.Conv2d(1, 4, 3), relu, nn.Conv2d(4, 4, 3), relu, last).double()
    x = torch.randn(3, 1, 12, 12, dtype=torch.float64)
    model(x)
    model.eval()
    fused, fusions = pellucid.fuse(model)
    torch.testing.assert_close(fused(x), model(x), **CLOSE)
    assert [str(f)[:6] for f in fusions] == ["0 to 1", "2 to 4" if isinstance(last, nn.AvgPool2d) else "2 to 3"]


def test_a_fused_model_is_equal_and_says_what_it_is() -> None:
    model = lenet()
    x = torch.randn(3, 1, 28, 28, dtype=torch.float64)
    model(x)  # the running statistics become some
    model.eval()
    fused, fusions = pellucid.fuse(model)
    torch.testing.assert_close(fused(x), model(x), **CLOSE)
    assert [str(f) for f in fusions] == [
        "0.0 to 0.3: Conv2d ► BatchNorm2d ► Tanh ► AvgPool2d",
        "1.0 to 1.1: Conv2d ► ReLU",
    ]
    assert isinstance(fused[0][0], ConvBlock)
    assert isinstance(model[0][0], nn.Conv2d)


def test_batch_norm_in_training_is_left_alone() -> None:
    model = lenet().train()
    fused, fusions = pellucid.fuse(model)
    assert [f.kinds for f in fusions] == [("Conv2d", "ReLU")]
    assert fused.state_dict().keys() == model.state_dict().keys()
    x = torch.randn(3, 1, 28, 28, dtype=torch.float64)
    torch.testing.assert_close(fused(x), model(x), **CLOSE)
    parameters = dict(fused.named_parameters())
    found = torch.autograd.grad(fused(x).square().sum(), list(parameters.values()))
    expected = torch.autograd.grad(model(x).square().sum(), list(dict(model.named_parameters()).values()))
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)  # squares of sums of ten thousand terms


@pytest.mark.parametrize("activation", [nn.LeakyReLU(), nn.ELU(), nn.GELU(), nn.SiLU(), nn.Sigmoid(), nn.Tanh()])
@pytest.mark.parametrize("library", [nn, pellucid.nn])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_every_layer_is_known(dims: int, library: Any, activation: nn.Module) -> None:
    convolution = getattr(library, f"Conv{dims}d")(2, 4, 3, 2, padding=1, bias=False)
    pool = getattr(library, f"MaxPool{dims}d")(3, 1, 1)
    model = nn.Sequential(convolution, activation, pool).double()
    fused, fusions = pellucid.fuse(model)
    assert [len(f.layers) for f in fusions] == [3]
    x = torch.randn(2, 2, *(9, 8, 7)[:dims], dtype=torch.float64)
    torch.testing.assert_close(fused(x), model(x), **CLOSE)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(1, 2, 3), nn.LeakyReLU(0.2)],
        [nn.Conv2d(1, 2, 3), nn.GELU("tanh")],
        [nn.Conv2d(1, 2, 3), nn.MaxPool2d(2, ceil_mode=True)],
        [nn.Conv2d(1, 2, 3), nn.AvgPool2d(2, divisor_override=3)],
        [nn.Conv2d(1, 2, 3), nn.AvgPool2d(3, padding=1, count_include_pad=False)],
        [nn.ReLU(), nn.Conv2d(1, 2, 3)],
        [nn.Conv2d(1, 2, 3), nn.MaxPool1d(2)],
    ],
)
def test_what_a_block_has_not_stays(layers: list[nn.Module]) -> None:
    model = nn.Sequential(*layers)
    fused, fusions = pellucid.fuse(model)
    assert not fusions
    assert [type(a) for a in fused] == [type(a) for a in model]


def test_layers_with_hooks_stay() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2))
    model[1].register_forward_hook(lambda *_: None)
    assert not pellucid.fuse(model).fusions

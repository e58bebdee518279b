"""ConvBlock is its three layers in one."""

import copy
import pickle

import pytest
import torch

from pellucid.errors import ArgumentError, SizeError
from pellucid.nn.block import ConvBlock
from pellucid.nn.conv import Conv1d, Conv2d, Conv3d
from pellucid.ops import choice, observe
from pellucid.ops.activations import ACTIVATIONS
from pellucid.ops.convolution import block_maps, convolution_block

ACTIVATION_LAYERS = {
    "relu": torch.nn.ReLU,
    "leaky_relu": torch.nn.LeakyReLU,
    "elu": torch.nn.ELU,
    "gelu": torch.nn.GELU,
    "silu": torch.nn.SiLU,
    "sigmoid": torch.nn.Sigmoid,
    "tanh": torch.nn.Tanh,
    None: torch.nn.Identity,
}


# Sums of up to 81 products of numbers about 1, and for gradients of some hundred of them, in float64 and another order.
CLOSE = {"rtol": 1e-11, "atol": 1e-11}


def test_every_activation_is_compared():
    assert {*ACTIVATIONS, None} == ACTIVATION_LAYERS.keys()


@pytest.mark.parametrize("activation", ACTIVATION_LAYERS)
@pytest.mark.parametrize("pool", ["max", "avg", None])
@pytest.mark.parametrize(("dims", "convolution"), [(1, Conv1d), (2, Conv2d), (3, Conv3d)])
def test_a_block_is_torchs_layers_one_after_another(dims, convolution, activation, pool):
    torch.manual_seed(0)
    block = ConvBlock(3, 4, 3, stride=2, padding="same", dims=dims, activation=activation, pool=pool, pool_stride=1)
    torch.manual_seed(0)
    layers = [convolution(3, 4, 3, 2, "same"), ACTIVATION_LAYERS[activation]()]
    if pool is not None:
        layers.append(getattr(torch.nn, f"{pool.capitalize()}Pool{dims}d")(2, 1))
    block, stack = block.double(), torch.nn.Sequential(*layers).double()
    x = torch.randn(2, 3, *(9, 8, 7)[:dims], dtype=torch.float64)
    for each in (x, x[0]):
        torch.testing.assert_close(block(each), stack(each), **CLOSE)
    x.requires_grad_()
    gradients = torch.autograd.grad(block(x).square().sum(), [x, block.weight, block.bias])
    expected = torch.autograd.grad(stack(x).square().sum(), [x, layers[0].weight, layers[0].bias])
    torch.testing.assert_close(gradients, expected, **CLOSE)


def test_a_block_loads_a_convolutions_state_and_gives_it_back():
    convolution, block = torch.nn.Conv2d(3, 4, 3), ConvBlock(3, 4, 3)
    block.load_state_dict(convolution.state_dict(), strict=True)
    torch.nn.Conv2d(3, 4, 3).load_state_dict(block.state_dict(), strict=True)
    bare = ConvBlock(3, 4, 3, bias=False)
    assert list(bare.state_dict()) == ["weight"]
    assert next(iter(bare.parameters())) is bare.weight
    assert bare(torch.randn(1, 3, 8, 8)).shape == (1, 4, 3, 3)


def test_the_three_maps_are_the_steps():
    x, w = torch.randn(1, 2, 6), torch.randn(3, 2, 2)
    maps = block_maps(x, w, dims=1, activation="tanh", pool="avg")
    assert torch.equal(maps.activated, maps.map.tanh())
    assert maps.map.shape == (1, 3, 5)
    assert maps.pooled.shape == (1, 3, 2)
    torch.testing.assert_close(maps.pooled, convolution_block(x, w, dims=1, activation="tanh", pool="avg"))
    bare = block_maps(x, w, dims=1, activation=None, pool=None)
    assert bare.pooled is bare.activated is bare.map


@pytest.mark.parametrize("wanted", [("map", "act", "pool"), ("act",), ("pool",)])
def test_an_observer_sees_the_maps_that_it_wants(wanted):
    seen = {}
    watch = observe.Watch(
        tell=lambda module, name, value, axes, gradient: seen.update({name: (value, axes)}),
        looks_at=lambda module: True,
        wants=lambda module, name: name in wanted,
        wants_gradient=lambda module, name: False,
    )
    block = ConvBlock(3, 4, 3)
    x = torch.randn(3, 8, 8)
    with observe.observing(watch):
        out = block(x)
    shapes = {"map": ((4, 6, 6), "C H W"), "act": ((4, 6, 6), "C H W"), "pool": ((4, 3, 3), "C H W")}
    assert {name: (tuple(v.shape), axes) for name, (v, axes) in seen.items()} == {n: shapes[n] for n in wanted}
    assert "pool" not in seen or seen["pool"][0] is out
    torch.testing.assert_close(out, block(x))


def test_copies_and_pickles_are_the_same_block():
    block = ConvBlock(3, 4, 3, padding=((1, 0), (0, 1)), padding_value=0.5, pool_padding="same", pool_size=(3, 2))
    x = torch.randn(1, 3, 9, 9)
    for twin in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert torch.equal(twin(x), block(x))
        assert repr(twin) == repr(block)
    assert "padding=((1, 0), (0, 1)), padding_value=0.5" in repr(block)
    assert "pool_padding='same'" in repr(block)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dims": 4}, "dims=4"),
        ({"activation": "swish"}, "'swish' .* 'silu'"),
        ({"pool": "median"}, "'median' .* 'max'"),
        ({"pool_padding": "full"}, "'full'"),
        ({"groups": 2}, "in_channels=3"),
    ],
)
def test_a_bad_argument_is_told_when_the_block_is_made(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        ConvBlock(3, 4, 3, **arguments)


def test_a_map_too_small_to_pool_says_where():
    with pytest.raises(SizeError, match=r"pooling a map of 1 × 1.*height"):
        ConvBlock(3, 4, 3)(torch.zeros(1, 3, 3, 3))


@pytest.mark.parametrize("activation", ["relu", "gelu", None])
@pytest.mark.parametrize("pool", ["max", "avg", None])
@pytest.mark.parametrize("awkward", ["turned", "negated", "one number"])
def test_a_call_after_another_like_it_has_the_same_gradients(activation, pool, awkward, monkeypatch):
    """It goes past the checks: whatever the gradient lies like that it is given, and whichever gradients are wanted."""
    monkeypatch.setattr(choice, "choose", lambda *_, **__: choice.Choice(True, ""))
    block = ConvBlock(2, 9, 3, padding=1, activation=activation, pool=pool, dtype=torch.float64)
    steps = [torch.nn.Conv2d(2, 9, 3, padding=1, dtype=torch.float64)]
    steps += [ACTIVATION_LAYERS[activation]()] if activation else []
    steps += [{"max": torch.nn.MaxPool2d, "avg": torch.nn.AvgPool2d}[pool](2)] if pool else []
    theirs = torch.nn.Sequential(*steps)
    block.load_state_dict(steps[0].state_dict())
    x = torch.randn(3, 2, 10, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        size = theirs(x).shape
    slope = torch.randn(*reversed(size), dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    slope = {
        "turned": slope.permute(3, 2, 1, 0),
        "negated": torch._neg_view(slope.reshape(size)),
        "one number": slope[:1, :1, :1, :1].expand(size),
    }[awkward]
    block(x.clone().requires_grad_())
    for frozen in ((), ("weight",), ("bias",), ("weight", "bias")):
        settled = block._last._settled[1]
        assert settled is not None
        found = []
        for layer, named in ((block, block), (theirs, steps[0])):
            named.weight.requires_grad_("weight" not in frozen)
            named.bias.requires_grad_("bias" not in frozen)
            leaf = x.clone().requires_grad_()
            wanted = [leaf, *(p for p in named.parameters() if p.requires_grad)]
            found.append(torch.autograd.grad(layer(leaf), wanted, slope))
        assert block._last._settled[1] is settled  # nothing was settled anew
        torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-10)


def test_a_call_after_another_like_it_has_derivatives_of_derivatives(monkeypatch):
    monkeypatch.setattr(choice, "choose", lambda *_, **__: choice.Choice(True, ""))
    block = ConvBlock(1, 3, 3, activation="tanh", pool="avg", dtype=torch.float64)
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    block(x)
    assert block._last._settled[1] is not None
    assert torch.autograd.gradgradcheck(block, (x,))

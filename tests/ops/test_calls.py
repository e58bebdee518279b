"""The promise: a call computes with what stands in its layer and tensors now, whatever earlier calls have remembered of sizes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad as fwAD
from torch.nn import functional as F
from torch.nn.utils import parametrize, prune
from torch.utils.flop_counter import FlopCounterMode

from pellucid import nn
from pellucid.errors import ArgumentTypeError, SizeError
from pellucid.ops.convolution import convolution_block
from pellucid.ops.tensors import engine_takes

# Sums of 27 products of numbers about 1, in float32 and another order.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def _block() -> tuple[nn.ConvBlock, Tensor]:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    return nn.ConvBlock(3, 8, 3, padding=1), torch.randn(2, 3, 32, 32, generator=generator)


def by_torch(block: nn.ConvBlock, x: Tensor) -> Tensor:
    return F.max_pool2d(F.conv2d(x, block.weight, block.bias, padding=1).relu(), 2)


def _step(block: nn.ConvBlock) -> None:
    optimiser = torch.optim.Adam(block.parameters(), lr=0.1)
    block.weight.grad, block.bias.grad = torch.ones_like(block.weight), torch.ones_like(block.bias)  # type: ignore[union-attr]
    optimiser.step()


def _set(block: nn.ConvBlock) -> None:
    block.weight.data.set_(torch.randn_like(block.weight).untyped_storage(), 0, block.weight.shape)


class _Negated(torch.nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return -weight


CHANGES: dict[str, Callable[[nn.ConvBlock], Any]] = {
    "an optimiser's step": _step,
    "another .data": lambda block: setattr(block.weight, "data", -block.weight.data),
    "written into .data": lambda block: block.weight.data.mul_(-1),
    "through numpy": lambda block: block.weight.detach().numpy().fill(0.5),
    "another storage": _set,
    "a loaded state": lambda block: block.load_state_dict(nn.ConvBlock(3, 8, 3).state_dict()),
    "another parameter": lambda block: setattr(block, "weight", torch.nn.Parameter(-block.weight.detach())),
    "no bias": lambda block: setattr(block, "bias", None),
    "a parametrisation": lambda block: parametrize.register_parametrization(block, "weight", _Negated()),
    "pruned": lambda block: prune.l1_unstructured(block, "weight", 0.5),
    "a weight in channels-last order": lambda block: block.to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("trains", [False, True])
def test_a_weight_that_changed_is_seen(change: Callable[[nn.ConvBlock], Any], trains: bool) -> None:
    block, x = _block()
    with torch.set_grad_enabled(trains):
        block(x)
        change(block)
        torch.testing.assert_close(block(x), by_torch(block, x), **CLOSE)


def test_an_option_that_changed_is_seen() -> None:
    """Layers' attributes are read in every call: people make images that tile by setting padding_mode."""
    block, x = _block()
    block(x)
    block.padding_mode = "circular"
    expected = F.max_pool2d(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), block.weight, block.bias).relu(), 2)
    torch.testing.assert_close(block(x), expected, **CLOSE)
    block.pool = "avg"
    block.activation = None
    maps = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), block.weight, block.bias)
    torch.testing.assert_close(block(x), F.avg_pool2d(maps, 2), **CLOSE)


def test_sizes_number_types_and_threads_may_alternate() -> None:
    block, x = _block()
    twice, threads = copy.deepcopy(block).double(), torch.get_num_threads()
    try:
        for count in (1, 3, 2):
            torch.set_num_threads(count)
            for each in (x, x[:1, :, 5:], x[0], x[:, :, ::2], x.to(memory_format=torch.channels_last), x[:0]):
                torch.testing.assert_close(block(each), by_torch(block, each), **CLOSE)
                torch.testing.assert_close(twice(each.double()), by_torch(twice, each.double()))
    finally:
        torch.set_num_threads(threads)


def _left_behind(x: Tensor) -> Tensor:
    """What a transform's function has let out: a wrapper around x."""
    found: list[Tensor] = []
    torch.func.grad(lambda t: (found.append(t), t.sum())[1])(x)  # type: ignore[no-untyped-call]
    return found[0]


# Of the same sizes as what the call before was given: only the tensor itself tells that it is another.
LIKENESSES: dict[str, Callable[[Tensor], Tensor]] = {
    "another": torch.clone,
    "its negative": torch._neg_view,  # type: ignore[attr-defined]
    "channels last": lambda x: x.to(memory_format=torch.channels_last),
    "expanded": lambda x: x[:1].expand(x.shape),
    "with gaps": lambda x: torch.stack([x, x], dim=-1)[..., 0],
    "left behind by a transform": _left_behind,
    "a subclass": lambda x: x.as_subclass(_Tagged),
    "a leaf": lambda x: x.clone().requires_grad_(),
}


@pytest.mark.parametrize("alike", LIKENESSES.values(), ids=LIKENESSES)
@pytest.mark.parametrize("trains", [False, True])
def test_a_call_like_the_last_one_computes_with_its_own_tensors(
    alike: Callable[[Tensor], Tensor], trains: bool
) -> None:
    """Input and weight, each in a form of its own; the result has the type and memory format that a first call gives it."""
    block, x = _block()
    with torch.set_grad_enabled(trains):
        block(x)
        found, first = block(alike(x)), copy.deepcopy(block)(alike(x))
        torch.testing.assert_close(found, by_torch(block, alike(x)), **CLOSE)
        assert type(found) is type(first)
        assert found.stride() == first.stride()
        assert found.requires_grad == trains
        weight = block.weight.detach()
        del block.weight
        block.weight = alike(weight)  # no parameter: layers under functional calls have such
        torch.testing.assert_close(block(x), by_torch(block, x), **CLOSE)


class _Noting(Tensor):
    """A tensor that notes its operations."""

    noted: ClassVar[list[str]] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.noted.append(getattr(func, "__name__", ""))
        return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]


def test_a_call_like_the_last_one_is_left_to_who_looks_at_operations() -> None:
    """A tensor of another class, transforms, autocast and a count of operations see torch's operators after a call that ran the
    engine, too.
    """
    block, x = _block()
    expected = block(x).detach()
    block(x.as_subclass(_Noting))
    assert "conv2d" in _Noting.noted
    block(x)
    each = torch.func.vmap(block)(x[:, None])[:, 0]
    torch.testing.assert_close(each, expected, **CLOSE)
    block(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert block(x).dtype == torch.bfloat16
    block(x)
    with FlopCounterMode(display=False) as counted:
        block(x)
    assert counted.get_total_flops() == 2 * expected.shape[0] * 8 * 32 * 32 * 27
    block(x)
    tangent = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    with fwAD.dual_level():
        assert fwAD.unpack_dual(block(fwAD.make_dual(x, tangent))).tangent is not None


def test_another_weight_after_right_calls_is_told_in_words() -> None:
    """Of other sizes the layer's sentence, of another number type torch's."""
    block, x = _block()
    block(x)
    block.weight = torch.nn.Parameter(torch.randn(8, 2, 3, 3))
    with pytest.raises(SizeError, match=r"ConvBlock\(3, 8, .* channels"):
        block(x)
    block.weight = torch.nn.Parameter(torch.randn(8, 3, 3, 3).double())
    with pytest.raises(RuntimeError, match="type"):
        block(x)
    block.weight = torch.nn.Parameter(torch.randn(8, 3, 3, 3))
    block.bias = torch.nn.Parameter(torch.randn(7))
    with pytest.raises(SizeError, match="bias of 8 numbers"):
        block(x)


def test_a_copy_after_a_call_computes_the_same() -> None:
    """What a layer remembers of its last call is neither copied nor pickled."""
    block, x = _block()
    expected = block(x)
    for twin in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert torch.equal(twin(x), expected)
        assert torch.equal(twin(x), expected)


def test_a_mistake_after_right_calls_is_told_in_the_layers_own_words() -> None:
    """Also where another layer has made the same call, and where a number is only equal to a right one."""
    first, second = nn.ConvBlock(3, 4, 3), nn.ConvBlock(3, 4, 3, pool_size=(2, 2))
    x, w = torch.randn(1, 3, 9, 9), torch.randn(4, 3, 3, 3)
    first(x)
    for block in (first, second):
        with pytest.raises(SizeError, match=r"ConvBlock\(3, 4, kernel_size=\(3, 3\)"):
            block(torch.randn(1, 2, 9, 9))
    named: dict[str, Any] = {"dims": 2, "layer": "mine"}
    convolution_block(x, w, stride=1, **named)
    with pytest.raises(ArgumentTypeError, match=r"^mine: stride"):
        convolution_block(x, w, stride=1.0, **named)  # type: ignore[arg-type]
    same: Any = [1, 1]
    torch.testing.assert_close(convolution_block(x, w, stride=same, **named), convolution_block(x, w, **named))
    with pytest.raises(SizeError, match=r"^mine, pooling a map of 7 × 7: kernel_size=\[2, 2, 2\]"):
        convolution_block(x, w, pool_size=[2, 2, 2], **named)


class _Tagged(Tensor):
    """A tensor with operations of its own."""


def test_only_plain_tensors_in_the_processors_memory_are_the_engines() -> None:
    x, w = torch.randn(1, 1, 4, 4), torch.nn.Parameter(torch.randn(2, 1, 3, 3))
    assert engine_takes(x, w, None)
    for other in (
        x.as_subclass(_Tagged),
        x.to("meta"),
        x.to_sparse(),
        x.to_mkldnn(),
        x.half(),
        x.to(torch.complex64),
        x[:0],
        [1.0],
    ):
        assert not engine_takes(other, w)  # type: ignore[arg-type]  # what people give
    assert not engine_takes(x, w.double())
    assert not engine_takes(x, w.detach().as_subclass(_Tagged))
    out = convolution_block(x.as_subclass(_Tagged), w, dims=2)
    assert isinstance(out, _Tagged)
    torch.testing.assert_close(out.as_subclass(Tensor), convolution_block(x, w, dims=2), **CLOSE)


def test_results_lie_beside_the_input_wherever_new_tensors_go() -> None:
    """A default device is for tensors that come from nothing."""
    block, x = _block()
    pool, images = nn.MaxPool2d(2), x.to(memory_format=torch.channels_last)
    with torch.device("meta"):
        found = [block(x), block(images), pool(x)]
        gradient = torch.autograd.grad(found[0].sum(), block.weight)[0]
    torch.testing.assert_close(found, [block(x), block(images), pool(x)])
    torch.testing.assert_close(gradient, torch.autograd.grad(block(x).sum(), block.weight)[0])


@pytest.mark.parametrize(
    ("activation", "pool", "kept"),
    [
        ("relu", "max", ["int64"]),
        ("tanh", "max", ["float64", "int64"]),
        ("relu", None, []),
        ("tanh", None, ["float64"]),
    ],
)
def test_the_backward_pass_keeps_what_it_reads(activation: str, pool: str | None, kept: list[str]) -> None:
    """Besides the input, the parameters and the result."""
    block = nn.ConvBlock(3, 8, 3, activation=activation, pool=pool).double()
    x = torch.randn(1, 3, 40, 40, dtype=torch.float64)
    saved: list[Tensor] = []

    def keep(t: Tensor) -> Tensor:
        saved.append(t)
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        out = block(x)
    known = {t.data_ptr() for t in (x, block.weight, block.bias, out) if t is not None}
    others = [
        t for t in saved if t.data_ptr() not in known and not torch.equal(t, out)
    ]  # the result is a copy for hooks
    assert sorted(str(t.dtype).removeprefix("torch.") for t in others) == kept
    out.sum().backward()
    assert block.weight.grad is not None
    named = ACTIVATION[activation](F.conv2d(x, block.weight, block.bias))
    expected = torch.autograd.grad((named if pool is None else F.max_pool2d(named, 2)).sum(), block.weight)[0]
    torch.testing.assert_close(block.weight.grad, expected)


ACTIVATION = {"relu": torch.relu, "tanh": torch.tanh}

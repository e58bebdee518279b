"""The promise: a block on the native engine is convolution, activation and pooling one after the other, in every option."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from pellucid import _native
from pellucid.errors import ArgumentError
from pellucid.nn import ConvBlock
from pellucid.ops import choice
from pellucid.ops import convolution as operator
from pellucid.ops.activations import ACTIVATIONS
from pellucid.ops.convolution import convolution_block
from pellucid.ops.reference import convolution as reference
from pellucid.ops.windows import sliding
from tests.ops.blocks_under_test import CLOSE, compare_with_steps, problems
from tests.ops.instruction_sets import on


@pytest.fixture(autouse=True, scope="module")
def always() -> Iterator[None]:
    """The engine, also where torch's kernel is the faster one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "choose", lambda *_, **__: choice.Choice(True, ""))
        yield


@settings(max_examples=300, deadline=None)
@given(p=problems())
@pytest.mark.parametrize("isa", _native.instruction_sets())
def test_a_block_is_its_steps(isa: str, p: dict[str, Any]) -> None:
    """Forward and backward, with any padding, stride, dilation, groups, memory format and number of threads."""
    compare_with_steps(isa, p)


@settings(max_examples=200, deadline=None)
@given(p=problems(depthwise=True))
@pytest.mark.parametrize("isa", _native.instruction_sets())
def test_a_depthwise_block_is_its_steps(isa: str, p: dict[str, Any]) -> None:
    """The same of a filter for each channel, whose kernels have their own programs for 3x3, 5x5 and any size."""
    compare_with_steps(isa, p)


@settings(max_examples=150, deadline=None)
@given(p=problems(single=True))
@pytest.mark.parametrize("isa", _native.instruction_sets())
def test_a_block_of_one_channel_is_its_steps(isa: str, p: dict[str, Any]) -> None:
    """Its gradient is made a tap at a time."""
    compare_with_steps(isa, p)


@settings(max_examples=150, deadline=None)
@given(p=problems(minimal=True))
@pytest.mark.parametrize("isa", _native.instruction_sets())
def test_a_block_by_minimal_filtering_is_its_steps(isa: str, p: dict[str, Any]) -> None:
    """The same of kernels with many channels and filters, for which a tile takes fewer products."""
    compare_with_steps(isa, p)


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
@pytest.mark.parametrize("pool", ["max", "avg", None])
@pytest.mark.parametrize("size", [(1, 3, 224, 50), (1, 1, 224, 50), (5, 3, 40, 40), (2, 40, 20, 20)])
def test_the_same_bits_on_any_number_of_threads(
    size: tuple[int, ...], activation: str | None, pool: str | None
) -> None:
    """Large enough for several threads and tiles."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size, generator=generator).requires_grad_()
    w = torch.randn(24, size[1], 5, 5, generator=generator).requires_grad_()
    b = torch.randn(24, generator=generator).requires_grad_()
    threads, found = torch.get_num_threads(), []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        out = convolution_block(x, w, b, padding="same", dims=2, activation=activation, pool=pool)
        found.append([out.detach(), *torch.autograd.grad(out.square().sum(), [x, w, b])])
    torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
    maps = F.conv2d(x, w, b, padding=2)
    activated = maps if activation is None else ACTIVATIONS[activation].torch(maps)
    pooled = {"max": F.max_pool2d, "avg": F.avg_pool2d, None: lambda a, _: a}[pool](activated, 2)
    expected = [pooled.detach(), *torch.autograd.grad(pooled.square().sum(), [x, w, b])]
    for ours, theirs in zip(found[0], expected, strict=True):
        # float32: a sum of n products of size about 1 errs by about sqrt(n) 2^-24 of its terms' size.
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize("isa", _native.instruction_sets())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (2, 2), (4, 7), (1, 3), (3, 1)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pool", ["max", None])
def test_a_depthwise_sum_has_the_bits_of_any_other(
    isa: str, dtype: torch.dtype, kernel: tuple[int, int], stride: int, pool: str | None
) -> None:
    """With each filter four times the channels' sums are made by the kernel of all convolutions, term by term in the same order."""
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(3, 1, *kernel, generator=generator, dtype=dtype)
    b = torch.randn(3, generator=generator, dtype=dtype)
    given: dict[str, Any] = {"stride": stride, "padding": 1, "dims": 2, "activation": "tanh", "pool": pool, "groups": 3}
    with on(isa):
        for size in ((28, 28), (9, 33), (50, 17), (14, 7)):
            x = torch.randn(2, 3, *size, generator=generator, dtype=dtype)
            alone = convolution_block(x, w, b, **given)
            among = convolution_block(x, w.repeat_interleave(4, 0), b.repeat_interleave(4), **given)
            assert torch.equal(alone, among[:, ::4])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pool", ["max", None])
@pytest.mark.parametrize("size", [(1, 7, 60, 61), (5, 70, 28, 28)])
def test_depthwise_gradients_have_the_same_bits_on_any_number_of_threads(
    size: tuple[int, ...], pool: str | None, stride: int
) -> None:
    """Fewer and more planes than there are threads."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size, generator=generator).requires_grad_()
    w = torch.randn(size[1], 1, 3, 3, generator=generator).requires_grad_()
    b = torch.randn(size[1], generator=generator).requires_grad_()
    threads, found = torch.get_num_threads(), []
    for count in (1, 2, 3, 9):
        torch.set_num_threads(count)
        out = convolution_block(x, w, b, stride=stride, padding=1, dims=2, groups=size[1], pool=pool)
        found.append([out.detach(), *torch.autograd.grad(out.square().sum(), [x, w, b])])
    torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("isa", _native.instruction_sets())
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_depthwise_gradients_by_a_stride_of_two_are_torchs(isa: str, kernel: int) -> None:
    """Even and odd numbers see other taps, and how many depends on the padding; rows end within a vector, with it and beyond."""
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(3, 1, kernel, kernel, generator=generator, dtype=torch.float64)
    with on(isa):
        for padding in range(kernel):
            for size in ((9, 14), (12, 32), (13, 37)):
                x = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64).requires_grad_()
                out = convolution_block(x, w, stride=2, padding=padding, dims=2, groups=3, activation=None, pool=None)
                right = F.conv2d(x, w, stride=2, padding=padding, groups=3)
                cotangent = torch.randn(right.shape, generator=generator, dtype=torch.float64)
                found, expected = (torch.autograd.grad(y, x, cotangent)[0] for y in (out, right))
                torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_windows_within_each_plane_of_a_volume() -> None:
    """A map of several planes is not pooled as if it had one."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 2, 4, 20, 21, generator=generator)
    for channels, groups in ((2, 1), (1, 2)):
        w = torch.randn(2, channels, 1, 3, 3, generator=generator)
        out = convolution_block(x, w, dims=3, groups=groups, pool_size=(1, 2, 2), pool_stride=(1, 2, 2))
        expected = F.max_pool3d(F.conv3d(x, w, groups=groups).relu(), (1, 2, 2))
        # float32: sums of 18 products of size about 1.
        torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


def test_a_row_that_is_cut_sums_in_the_same_order() -> None:
    """One row of windows, the last of them in the padding, is cut into as many tiles as there are threads."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, 2, 801, generator=generator)
    w = torch.randn(24, 3, 5, 5, generator=generator)
    threads, found = torch.get_num_threads(), []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(convolution_block(x, w, padding="same", dims=2, pool="avg", pool_padding=((0, 0), (0, 1))))
    torch.set_num_threads(threads)
    assert all(torch.equal(found[0], other) for other in found[1:])


@settings(max_examples=100, deadline=None)
@given(
    size=st.tuples(*[st.integers(1, n) for n in (3, 4, 75, 75)]),
    filters=st.integers(1, 14),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 2),
    last=st.booleans(),
    threads=st.integers(1, 3),
    seed=st.integers(0, 999),
)
@pytest.mark.parametrize("isa", _native.instruction_sets())
def test_the_first_of_equal_numbers_is_the_largest_of_windows_two_by_two(
    isa: str,
    size: tuple[int, ...],
    filters: int,
    kernel: int,
    stride: int,
    last: bool,
    threads: int,
    seed: int,
) -> None:
    """Maps of whole numbers, many of them equal, in every width: what is pooled in registers is torch's, to the bit."""
    generator = torch.Generator().manual_seed(seed)
    shape = (*size[:2], *(n + 2 * kernel for n in size[2:]))  # a window at least

    def whole(*shape: int) -> Tensor:
        return torch.randint(-2, 3, shape, generator=generator).float()

    x, w, b = whole(*shape), whole(filters, size[1], kernel, kernel), whole(filters)
    x = x.to(memory_format=torch.channels_last) if last else x
    leaves = [leaf.requires_grad_() for leaf in (x, w, b)]
    chosen, before = _native.instruction_set(), torch.get_num_threads()
    _native.choose(isa)
    torch.set_num_threads(threads)
    try:
        out = convolution_block(x, w, b, stride=stride, padding=kernel // 2, dims=2, activation="relu", pool="max")
        cotangent = whole(*out.shape)
        found = torch.autograd.grad(out, leaves, cotangent)
        with torch.no_grad():
            alone = convolution_block(
                x, w, b, stride=stride, padding=kernel // 2, dims=2, activation="relu", pool="max"
            )
    finally:
        _native.choose(chosen)
        torch.set_num_threads(before)
    # Not torch's convolution: the gradients of a 1x1 one of stride 2, channels last, end the process (seen in 2.13).
    windows = sliding("", x.shape, (kernel,) * 2, (stride,) * 2, kernel // 2, 1)
    expected = F.max_pool2d(reference.convolution(x, w, b, windows, 1, "zeros", 0.0), 2).relu()
    assert torch.equal(out, expected)
    assert torch.equal(alone, expected)
    assert all(torch.equal(f, e) for f, e in zip(found, torch.autograd.grad(expected, leaves, cotangent), strict=True))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding_mode"),
    [
        ((1, 8, 4001), (9,), 1, "zeros"),
        ((1, 8, 121, 122), (2, 2), 3, "zeros"),  # a stride beyond the kernel: numbers that no tap meets
        ((2, 6, 40, 41), (5, 3), 2, "zeros"),
        ((1, 6, 40, 41), (3, 3), 1, "reflect"),
        ((1, 4, 9, 20, 21), (3, 3, 3), 1, "zeros"),
        ((1, 4, 2, 70, 30), (1, 3, 3), 1, "zeros"),
    ],
)
def test_one_image_is_shared_out_among_threads(
    size: tuple[int, ...], kernel: tuple[int, ...], stride: int, padding_mode: str
) -> None:
    """With more threads than images every number is still summed by one thread, and none is left out."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size, generator=generator).requires_grad_()
    w = torch.randn(23, size[1], *kernel, generator=generator).requires_grad_()
    b = torch.randn(23, generator=generator).requires_grad_()
    given: dict[str, Any] = {
        "stride": stride,
        "padding": "valid",
        "dims": len(kernel),
        "activation": "tanh",
        "pool": None,
    }
    if padding_mode != "zeros":
        given |= {"padding": 1, "padding_mode": padding_mode}
    threads, found = torch.get_num_threads(), []
    torch.use_deterministic_algorithms(True, warn_only=True)  # fills new memory with NaN: nothing may be left unwritten
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            found.append(torch.autograd.grad(convolution_block(x, w, b, **given).square().sum(), [x, w, b]))
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
    padded = x if padding_mode == "zeros" else F.pad(x, (1, 1, 1, 1), mode=padding_mode)
    maps = getattr(F, f"conv{len(kernel)}d")(padded, w, b, stride)
    for ours, theirs in zip(found[0], torch.autograd.grad(maps.tanh().square().sum(), [x, w, b]), strict=True):
        # float32: a sum of n products of size about 1 errs by about sqrt(n) 2^-24 of its terms' size.
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_what_is_not_a_number_goes_through() -> None:
    """NaN reaches every window that sees it, and no other."""
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 4] = torch.nan
    w = torch.ones(1, 1, 3, 3)
    for pool in ("max", "avg", None):
        for activation in (None, "relu", "gelu", "tanh"):
            out = convolution_block(x, w, dims=2, activation=activation, pool=pool)
            maps = F.conv2d(x, w)
            activated = maps if activation is None else ACTIVATIONS[activation].torch(maps)
            pooled = {"max": F.max_pool2d, "avg": F.avg_pool2d, None: lambda a, _: a}[pool](activated, 2)
            assert torch.equal(out.isnan(), pooled.isnan())


@pytest.mark.parametrize("isa", _native.instruction_sets())
@pytest.mark.parametrize("kernel", [3, 5, 4])
def test_what_is_not_a_number_stays_in_the_depthwise_gradients_that_see_it(isa: str, kernel: int) -> None:
    """NaN in the first column and infinity in the last: a tap that never meets them has a number for its gradient."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 12, 21, generator=generator)
    x[:, 1, :, 0], x[:, 2, :, -1] = torch.nan, torch.inf
    x.requires_grad_()
    w = torch.randn(3, 1, kernel, kernel, generator=generator).requires_grad_()
    with on(isa):
        out = convolution_block(x, w, dims=2, groups=3, activation=None, pool=None)
        (found,) = torch.autograd.grad(out.sum(), [w])
    maps = F.conv2d(x, w, groups=3)
    (expected,) = torch.autograd.grad(maps.sum(), [w])
    torch.testing.assert_close(out, maps, rtol=1e-4, atol=1e-4, equal_nan=True)
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found.isinf(), expected.isinf())
    assert found[1].isnan().any()
    assert not found[1].isnan().all()


def test_a_depthwise_block_of_no_images() -> None:
    """Nothing comes of nothing, and the weights' gradient is 0."""
    x, w = torch.randn(0, 4, 9, 9).requires_grad_(), torch.randn(4, 1, 3, 3).requires_grad_()
    out = convolution_block(x, w, dims=2, groups=4)
    assert out.shape == (0, 4, 3, 3)
    dx, dw = torch.autograd.grad(out.sum(), [x, w])
    assert dx.shape == x.shape
    assert not dw.any()


def test_derivatives_of_derivatives_and_transforms() -> None:
    """What the engine cannot do is torch's, and says so nowhere."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, 6, 6, generator=generator, dtype=torch.float64).requires_grad_()
    w = torch.randn(3, 2, 3, 3, generator=generator, dtype=torch.float64).requires_grad_()

    def run(x: Tensor, w: Tensor) -> Tensor:
        return convolution_block(x, w, dims=2, activation="tanh", pool="max", pool_padding=1, pool_size=3)

    assert torch.autograd.gradcheck(run, (x, w))
    assert torch.autograd.gradgradcheck(run, (x, w))
    assert torch.autograd.gradcheck(run, (x, w), check_forward_ad=True, check_backward_ad=False)
    batched = torch.func.vmap(run, in_dims=(0, None))(x[None].expand(3, -1, -1, -1, -1), w)
    torch.testing.assert_close(batched[1], run(x, w))
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, w), run(x, w))


def test_views_of_negated_numbers_are_read_as_they_are() -> None:
    """Tensors that torch negates as it reads them, such as the imaginary part of a conjugate."""
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(1, 2, 9, 9, 2, generator=generator), torch.randn(3, 2, 3, 3, generator=generator)
    plain = x[..., 1].contiguous()
    right = convolution_block(-plain, w, dims=2)
    for negated in (torch.view_as_complex(x).conj().imag, torch._neg_view(plain)):
        assert negated.is_neg()
        torch.testing.assert_close(convolution_block(negated, w, dims=2), right)
    torch.testing.assert_close(convolution_block(plain, torch._neg_view(w), dims=2), right)  # one sign is as the other


def test_under_autocast_the_number_types_are_torchs() -> None:
    """Which for a convolution is bfloat16."""
    x, w = torch.randn(1, 1, 9, 9), torch.randn(2, 1, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        out = convolution_block(x, w, dims=2)
        expected = F.max_pool2d(F.conv2d(x, w).relu(), 2)
    assert out.dtype == expected.dtype == torch.bfloat16
    assert torch.equal(out, expected)


def test_whoever_looks_at_operations_sees_them() -> None:
    """A graph made by running, and a count of operations."""
    x, w = torch.randn(1, 1, 9, 9), torch.randn(2, 1, 3, 3)
    graph = make_fx(lambda x: convolution_block(x, w, dims=2))(x)
    other = torch.randn(1, 1, 9, 9)
    torch.testing.assert_close(graph(other), convolution_block(other, w, dims=2))
    with FlopCounterMode(display=False) as counter:
        convolution_block(x, w, dims=2)
    assert counter.get_total_flops() == 2 * 2 * 7 * 7 * 9


@pytest.mark.parametrize("padding_mode", ["reflect", "replicate", "circular"])
def test_borrowed_padding_has_its_gradient(padding_mode: str) -> None:
    """It is given back to what it was borrowed from."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 2, 6, 5, generator=generator, dtype=torch.float64).requires_grad_()
    w = torch.randn(3, 2, 3, 3, generator=generator, dtype=torch.float64).requires_grad_()
    pairs = ((2, 1), (0, 3))
    out = convolution_block(x, w, padding=pairs, dims=2, padding_mode=padding_mode, pool="avg")
    maps = F.conv2d(F.pad(x, (0, 3, 2, 1), mode=padding_mode), w)
    expected = F.avg_pool2d(maps.relu(), 2)
    torch.testing.assert_close(out, expected, **CLOSE)
    with torch.no_grad():
        once = convolution_block(x, w, padding=pairs, dims=2, padding_mode=padding_mode, pool="avg")
    torch.testing.assert_close(once, expected, **CLOSE)
    cotangent = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(out, [x, w], cotangent), torch.autograd.grad(expected, [x, w], cotangent), **CLOSE
    )


def test_the_comparison_catches_a_wrong_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: the derivative of another activation."""
    right = operator.run_block

    def wrong(shape: Any, *rest: Any) -> Tensor:
        return right(replace(shape, activation="tanh"), *rest)

    monkeypatch.setattr(operator, "run_block", wrong)
    x, w = torch.randn(1, 1, 6, 6), torch.randn(1, 1, 3, 3)
    out = convolution_block(x, w, dims=2, activation="sigmoid", pool=None)
    assert not torch.allclose(out, F.conv2d(x, w).sigmoid())


@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
@pytest.mark.parametrize("pool", ["max", "avg", None])
def test_bfloat16_is_summed_in_float32_and_rounded_once(activation: str | None, pool: str | None) -> None:
    """So results and gradients differ from float64's, of the same rounded numbers, by one rounding."""
    generator = torch.Generator().manual_seed(0)
    x, w, b = (
        torch.randn(size, generator=generator).bfloat16().requires_grad_()
        for size in ((2, 5, 13, 20), (7, 5, 3, 3), (7,))
    )
    out = convolution_block(x, w, b, padding="same", dims=2, activation=activation, pool=pool)
    cotangent = torch.randn(out.shape, generator=generator).bfloat16()
    found = torch.autograd.grad(out, [x, w, b], cotangent)
    wide = [t.detach().double().requires_grad_() for t in (x, w, b)]
    maps = F.conv2d(*wide, padding=1)
    activated = maps if activation is None else ACTIVATIONS[activation].torch(maps)
    expected = {"max": F.max_pool2d, "avg": F.avg_pool2d, None: lambda a, _: a}[pool](activated, 2)
    assert out.dtype == torch.bfloat16
    assert all(g.dtype == torch.bfloat16 for g in found)
    # bfloat16 has 8 significant bits: rounding to the nearest changes a number by 2^-9 of it at most, twice that with
    # float32's errors near a tie; beside 0 those of sums of up to 520 products stay.
    for ours, theirs in zip(
        [out, *found], [expected, *torch.autograd.grad(expected, wide, cotangent.double())], strict=True
    ):
        torch.testing.assert_close(ours.double(), theirs, rtol=2.0**-8, atol=520 * 2.0**-22)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_where_the_result_tells_the_derivative(name: str) -> None:
    """What is declared of each activation."""
    a = torch.randn(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    activation = ACTIVATIONS[name].torch
    result = activation(a)
    again = result.detach().requires_grad_()
    (of_map,) = torch.autograd.grad(result.sum(), a)
    (of_result,) = torch.autograd.grad(activation(again).sum(), again)
    assert torch.equal(of_map, of_result) is ACTIVATIONS[name].by_sign


@pytest.mark.parametrize("native", [True, False])
def test_what_is_recomputed_is_not_kept(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing as large as the feature map lives on until the backward pass."""
    monkeypatch.setattr(choice, "choose", lambda *_, **__: choice.Choice(native, ""))
    x = torch.randn(1, 1, 64, 64).requires_grad_()
    w = torch.randn(16, 1, 3, 3).requires_grad_()

    def kept(memory: str) -> tuple[int, tuple[Tensor, ...]]:
        bytes_kept = 0

        def pack(t: Tensor) -> Tensor:
            nonlocal bytes_kept
            bytes_kept += t.numel() * t.element_size()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            out = convolution_block(x, w, padding=1, dims=2, activation="gelu", memory=memory)
        return bytes_kept, torch.autograd.grad(out.square().sum(), [x, w])

    most, gradients = kept("keep")
    least, again = kept("recompute")
    assert most > 16 * 64 * 64 * 4
    assert least <= (64 * 64 + 16 * 9) * 4
    assert all(torch.equal(a, b) for a, b in zip(gradients, again, strict=True))


def test_what_memory_cannot_be() -> None:
    with pytest.raises(ArgumentError, match="memory='less' is not known; give 'keep' or 'recompute'"):
        convolution_block(torch.randn(1, 1, 9, 9), torch.randn(2, 1, 3, 3), dims=2, memory="less")
    with pytest.raises(ArgumentError, match="give 'keep' or 'recompute'"):
        ConvBlock(1, 2, 3, memory="less")
    assert "memory='recompute'" in repr(ConvBlock(1, 2, 3, memory="recompute"))


@pytest.mark.parametrize("isa", _native.instruction_sets())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("at", [0, 5, 23, -1])
@pytest.mark.parametrize("place", [-1, 8 * 14, 2**31 - 1, -(2**31)])
def test_places_beside_a_map_are_refused(isa: str, dtype: torch.dtype, at: int, place: int) -> None:
    """The engine looks at all before it writes to them: in the middle of its vectors, and where the last one is not full."""
    pooling = _native.Pooling((True, [(8, 4, 2, 2, 1, 0, 0), (14, 7, 2, 2, 1, 0, 0)], True, 0))
    block = _native.Convolution(
        axes=[(8, 8, 1, 1, 1, 0, 0), (14, 14, 1, 1, 1, 0, 0)],
        groups=1,
        channels=1,
        filters=1,
        border="zeros",
        border_value=0.0,
        activation=None,
        derivative=None,
        pooled_first=True,
        pool=(True, [(8, 4, 2, 2, 1, 0, 0), (14, 7, 2, 2, 1, 0, 0)], True, 0),
    )
    x, weight, out = (torch.zeros(1, 1, *size, dtype=dtype) for size in ((8, 14), (1, 1), (4, 7)))
    places = torch.full((1, 1, 4, 7), 8 * 14 - 1, dtype=torch.int32 if dtype is torch.float32 else torch.int64)
    with on(isa):
        pooling.backward(out, places, x, 1)
        block.backward(x, weight, None, None, places, out, x.clone(), None, None, 1)
        places.view(-1)[at] = place
        with pytest.raises(ValueError, match="a place lies beside its map"):
            pooling.backward(out, places, x, 1)
        with pytest.raises(ValueError, match="a place lies beside its map"):
            block.backward(x, weight, None, None, places, out, x.clone(), None, None, 1)


PROGRAMS: dict[str, tuple[tuple[int, list[float], list[tuple[str, int, list[int]]]], Callable[[Tensor], Tensor]]] = {
    "above 0": (
        (1, [0.0], [("greater", 2, [0, 1]), ("select", 3, [2, 0, 1])]),
        lambda x: torch.where(x > 0, x, 0.0),
    ),
    "above 1": (
        (1, [1.0, 0.0], [("greater", 3, [0, 1]), ("select", 4, [3, 0, 2])]),
        lambda x: torch.where(x > 1, x, 0.0),
    ),
    "below 0": (
        (1, [0.0], [("greater", 2, [1, 0]), ("select", 3, [2, 0, 1])]),
        lambda x: torch.where(x < 0, x, 0.0),
    ),
    "at least 0": (
        (1, [0.0, 3.0], [("greater_equal", 3, [0, 1]), ("select", 4, [3, 2, 0])]),
        lambda x: torch.where(x >= 0, 3.0, x),
    ),
    "asked twice": (
        (1, [0.0], [("greater", 2, [0, 1]), ("select", 3, [2, 0, 1]), ("add", 4, [3, 2])]),
        lambda x: torch.where(x > 0, x, 0.0) + (x > 0),
    ),
    "chosen from": (
        (1, [0.0, 3.0], [("greater", 3, [0, 1]), ("select", 4, [2, 3, 0])]),
        lambda x: (x > 0).to(x.dtype),
    ),
}


@pytest.mark.parametrize("isa", _native.instruction_sets())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_selected_by_sign_and_by_other_conditions(isa: str, dtype: torch.dtype, name: str) -> None:
    """The engine joins a comparison with 0 and the selection by it into one step, and leaves all others as they are."""
    program, expected = PROGRAMS[name]
    block = _native.Convolution(
        axes=[(601, 601, 1, 1, 1, 0, 0)],
        groups=1,
        channels=1,
        filters=1,
        border="zeros",
        border_value=0.0,
        activation=program,
        derivative=(2, [], [("mul", 2, [0, 1])]),
        pooled_first=False,
        pool=None,
    )
    x = torch.randn(1, 1, 601, dtype=dtype)
    x[..., :5] = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan])
    out = torch.empty_like(x)
    with on(isa):
        block.run(x, torch.ones(1, 1, 1, dtype=dtype), None, out, None, None, None, 1)
    torch.testing.assert_close(out, expected(x), rtol=0, atol=0, equal_nan=True)

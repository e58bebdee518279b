"""The promise: minimal filtering is as exact as adding up the products, gives the same bits however the work is cut, and keeps what
is not finite where it belongs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid import _native
from pellucid.ops import choice
from pellucid.ops.convolution import convolution_block
from tests.ops.instruction_sets import on


@pytest.fixture(autouse=True, scope="module")
def always() -> Iterator[None]:
    """The engine, also where torch's kernel is the faster one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "choose", lambda *_, **__: choice.Choice(True, ""))
        yield


def convolve(x: Tensor, w: Tensor, b: Tensor | None = None, pool: str | None = None, **options: int) -> Tensor:
    """With a border of zeros that keeps the size, on the engine."""
    return convolution_block(x, w, b, dims=x.dim() - 2, padding="same", activation=None, pool=pool, **options)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """The same numbers at each call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def rms(x: Tensor) -> float:
    """The root of the mean square."""
    return float(x.detach().double().pow(2).mean().sqrt())


def one_by_one(x: Tensor, w: Tensor, fused: bool) -> Tensor:
    """The products added up in float32 in the order of channels and taps; fused: without rounding a product first."""
    columns = F.unfold(x, w.shape[2], padding=w.shape[2] // 2)
    out = torch.zeros(len(x), len(w), columns.shape[2])
    for k, tap in enumerate(w.flatten(1).T):
        pixels = columns[:, k, None]
        out = torch.addcmul(out, tap[:, None], pixels) if fused else out + tap[:, None] * pixels
    return out.unflatten(2, x.shape[2:])


@pytest.mark.parametrize("isa", _native.instruction_sets())
@pytest.mark.parametrize(("kernel", "channels"), [(3, 16), (3, 32), (3, 64), (5, 16), (5, 32)])
@pytest.mark.parametrize("positive", [False, True])
def test_it_is_as_exact_as_adding_up_products(isa: str, kernel: int, channels: int, positive: bool) -> None:
    """Transforms add roundings and amplify some; sums of a ninth of the terms save almost as many.

    Errors are those of float32 against float64. Those of results are 1.04 to 1.7 times as large as of adding up one by one; tiles of
    four by four have three times and more, and points at 1, -1, 2 and -2 instead of these twice. Gradients are compared with
    torch's kernels, which add up in blocks.
    """
    x, w = (
        normal(2, channels, 16, 18, seed=1),
        normal(channels, channels, kernel, kernel, seed=2) / (kernel**2 * channels) ** 0.5,
    )
    x = (x.relu() if positive else x).requires_grad_()
    w, cotangent = w.requires_grad_(), normal(2, channels, 16, 18, seed=4)
    exact = F.conv2d(x.double(), w.double(), padding="same")
    exact_gradients = torch.autograd.grad(exact, (x, w), cotangent.double())
    torchs_gradients = torch.autograd.grad(F.conv2d(x, w, padding="same"), (x, w), cotangent)
    with on(isa):
        found = convolve(x, w)
        gradients = torch.autograd.grad(found, (x, w), cotangent)
    assert rms(found - exact) < 1.75 * rms(one_by_one(x, w, fused=isa != "baseline") - exact)
    for ours, theirs, right in zip(gradients, torchs_gradients, exact_gradients, strict=True):
        assert rms(ours - right.double()) <= 3 * rms(theirs - right.double())


@pytest.mark.parametrize("isa", _native.instruction_sets())
def test_it_is_what_runs(isa: str) -> None:
    """A small number beside a large one is rounded at the points, and by itself where all products are added up.

    Of filters that are 1 in the middle results, and the input's gradient, are what they are given; the weight's gradient of one
    result's gradient is what that result sees.
    """
    x, w, one = torch.zeros(1, 16, 8, 8), torch.zeros(16, 16, 3, 3), torch.zeros(1, 16, 8, 8)
    x[..., ::2], x[..., 1::2] = 2.0**30, 1.0
    w[range(16), range(16), 1, 1] = 1.0
    one[:, :, 2, 2] = 1.0
    x.requires_grad_(), w.requires_grad_()
    with on(isa):
        out = convolve(x, w)
        (dx,) = torch.autograd.grad(out, x, x.detach(), retain_graph=True)
        (dw,) = torch.autograd.grad(out, w, one)
    right = F.conv2d(x, w, padding=1)
    assert torch.equal(right, x)
    for found, exact in ((out, x), (dx, x), (dw, torch.autograd.grad(right, w, one)[0])):
        assert not torch.equal(found, exact)
        torch.testing.assert_close(found, exact, rtol=0, atol=2.0**30 * 2**-22)


@pytest.mark.parametrize("isa", _native.instruction_sets())
@pytest.mark.parametrize(
    "size", [(4, 4), (6, 5), (6, 6), (5, 7), (8, 9), (4, 15), (4, 17), (2,), (6,), (8,), (13,), (19,)]
)
def test_maps_that_are_narrower_than_a_vector_or_end_within_one(isa: str, size: tuple[int, ...]) -> None:
    """Results, and the gradients, beside torch's in float64. Errors are of some 10 units of 2^-24 of the root mean square, the largest of
    thousands five times that; a number at a wrong place is off by its own size. Of 2 and 6 numbers along one axis the filters' gradients,
    too, are made of tiles of two, of more of tiles of four."""
    convolution, channels = (F.conv1d, 64) if len(size) == 1 else (F.conv2d, 16)
    x, w = normal(3, channels, *size, seed=1), normal(channels, channels, *(3 for _ in size), seed=2)
    x.requires_grad_(), w.requires_grad_()
    exact = convolution(x.double(), w.double(), padding="same")
    cotangent = normal(*exact.shape, seed=3)
    right = exact, *torch.autograd.grad(exact, (x, w), cotangent.double())
    with on(isa):
        out = convolve(x, w)
        found = out, *torch.autograd.grad(out, (x, w), cotangent)
    for ours, true in zip(found, right, strict=True):
        assert float((ours - true).detach().abs().max()) < 2.0**-16 * rms(true)


@pytest.mark.parametrize("isa", _native.instruction_sets())
@pytest.mark.parametrize("dilation", [1, 3])
def test_it_is_what_runs_along_one_axis(isa: str, dilation: int) -> None:
    """The same; neighbours of a result are as far as the dilation."""
    x, w, one = torch.ones(1, 64, 48), torch.zeros(64, 64, 3), torch.zeros(1, 64, 48)
    x[..., torch.arange(48) // dilation % 2 == 0] = 2.0**30
    w[range(64), range(64), 1] = 1.0
    one[..., 2 * dilation] = 1.0
    x.requires_grad_(), w.requires_grad_()
    with on(isa):
        out = convolve(x, w, dilation=dilation)
        (dx,) = torch.autograd.grad(out, x, x.detach(), retain_graph=True)
        (dw,) = torch.autograd.grad(out, w, one)
    right = F.conv1d(x, w, padding="same", dilation=dilation)
    assert torch.equal(right, x)
    for found, exact in ((out, x), (dx, x), (dw, torch.autograd.grad(right, w, one)[0])):
        assert not torch.equal(found, exact)
        torch.testing.assert_close(found, exact, rtol=0, atol=2.0**30 * 2**-22)


@pytest.mark.parametrize("isa", _native.instruction_sets())
@pytest.mark.parametrize(("kernel", "channels", "dilation"), [(3, 32, 1), (3, 64, 8), (9, 32, 2)])
def test_along_one_axis_it_is_as_exact_as_adding_up_products(
    isa: str, kernel: int, channels: int, dilation: int
) -> None:
    """A sum over channels has a third of the terms. Gradients are compared as those of images are."""
    x, w = normal(2, channels, 200, seed=1), normal(64, channels, kernel, seed=2) / (kernel * channels) ** 0.5
    b, cotangent, how = normal(64, seed=3), normal(2, 64, 200, seed=4), {"padding": "same", "dilation": dilation}
    padded = F.pad(x, (reach := dilation * (kernel - 1) // 2, reach))
    summed = b[:, None].expand(2, -1, 200)
    for channel in range(channels):
        for k in range(kernel):
            seen = padded[:, channel, None, k * dilation : k * dilation + 200]
            summed = torch.addcmul(summed, w[:, channel, k, None], seen)
    leaves = x.requires_grad_(), w.requires_grad_(), b.requires_grad_()
    exact = F.conv1d(x.double(), w.double(), b.double(), **how)
    exact_gradients = torch.autograd.grad(exact, leaves, cotangent.double())
    torchs_gradients = torch.autograd.grad(F.conv1d(x, w, b, **how), leaves, cotangent)
    with on(isa):
        found = convolve(x, w, b, dilation=dilation)
        gradients = torch.autograd.grad(found, leaves, cotangent)
    assert rms(found - exact) < rms(summed - exact)
    for ours, theirs, right in zip(gradients, torchs_gradients, exact_gradients, strict=True):
        assert rms(ours - right.double()) <= 3 * rms(theirs - right.double())


@pytest.mark.parametrize("dilation", [1, 5])
@pytest.mark.parametrize("pool", ["max", None])
@pytest.mark.parametrize("shape", [(3, 32, 50), (3, 32, 3001), (1, 48, 2000)])
def test_along_one_axis_bits_do_not_depend_on_how_the_work_is_cut(
    dilation: int, pool: str | None, shape: tuple[int, ...]
) -> None:
    """The same as of images, of which long ones are cut into tiles."""
    x, w, b = normal(*shape), normal(64, shape[1], 3), normal(64)
    leaves = x.requires_grad_(), w.requires_grad_(), b.requires_grad_()
    cotangent = normal(*convolve(x, w, b, pool, dilation=dilation).shape)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            out = convolve(x, w, b, pool, dilation=dilation)
            found.append((out.detach(), *torch.autograd.grad(out, leaves, cotangent)))
            with torch.no_grad():
                assert torch.equal(convolve(x, w, b, pool, dilation=dilation), out)
                assert torch.equal(convolve(x[:1], w, b, pool, dilation=dilation), out[:1])
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


@pytest.mark.parametrize("isa", _native.instruction_sets())
@pytest.mark.parametrize("value", [torch.inf, torch.nan, 3e38])
def test_along_one_axis_what_is_not_finite_reaches_no_other_number(isa: str, value: float) -> None:
    """The same as of images, of results and of the weight's gradient; and of the input's, where a result's is not finite."""
    x, w, cotangent = normal(2, 32, 100), normal(64, 32, 3).abs() / 3, normal(2, 64, 100) / 100
    x[1, 5, 40] = value
    x.requires_grad_(), w.requires_grad_()
    with on(isa):
        out = convolve(x, w, dilation=2)
        (dw,) = torch.autograd.grad(out, w, cotangent, retain_graph=True)
        cotangent[0, 3, 50] = value
        (dx,) = torch.autograd.grad(out, x, cotangent)
    right = F.conv1d(x, w, padding="same", dilation=2)
    torch.testing.assert_close(out, right, rtol=1e-4, atol=1e-4, equal_nan=True)
    (right_dx,) = torch.autograd.grad(right, x, cotangent)
    torch.testing.assert_close(dx, right_dx, rtol=1e-4, atol=1e-4, equal_nan=True)
    if value != 3e38:
        assert int((~out.isfinite()).sum()) == 64 * 3
        assert int((~dx.isfinite()).sum()) == 32 * 3
    cotangent[0, 3, 50] = 0.0
    others = [channel for channel in range(32) if channel != 5]
    exact = F.conv1d(x[:, others], w[:, others], padding="same", dilation=2)
    (right_dw,) = torch.autograd.grad(exact, w, normal(2, 64, 100) / 100)
    torch.testing.assert_close(dw[:, others], right_dw[:, others], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "pool",
    [
        {"pool": "max"},
        {"pool": "avg"},
        {"pool": "max", "pool_size": 3, "pool_stride": 2, "pool_padding": 1},
        {"pool": None},
    ],
)
@pytest.mark.parametrize("shape", [(1, 32, 100, 70), (5, 16, 33, 41), (2, 80, 20, 20)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_bits_do_not_depend_on_how_the_work_is_cut(shape: tuple[int, ...], pool: dict[str, Any], kernel: int) -> None:
    """Neither on threads, of which one image may have several, nor on the images beside one, nor on whether gradients follow."""
    x, w, b = (
        normal(*shape).requires_grad_(),
        normal(40, shape[1], kernel, kernel).requires_grad_(),
        normal(40).requires_grad_(),
    )
    cotangent = normal(*convolve(x, w, b, **pool).shape)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            out = convolve(x, w, b, **pool)
            found.append((out.detach(), *torch.autograd.grad(out, (x, w, b), cotangent)))
            with torch.no_grad():
                assert torch.equal(convolve(x, w, b, **pool), out)
                assert torch.equal(convolve(x[:1], w, b, **pool), out[:1])
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))
    if pool["pool"] is None:  # long rows go straight to the result
        torch.testing.assert_close(found[0][0], F.conv2d(x, w, b, padding="same"), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("isa", _native.instruction_sets())
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan, 3e38])
@pytest.mark.parametrize("pool", ["max", None])
def test_what_is_not_finite_reaches_no_other_number(isa: str, value: float, pool: str | None) -> None:
    """A tile's points would mix it into neighbours that do not see it; also where finite numbers overflow at the points alone."""
    x, w = normal(3, 16, 12, 22), normal(24, 16, 3, 3).abs() / 9
    x[1, 5, 4, 6] = value  # the fourth column of a tile, and the third: what is added up there is more than 3e38
    x[2, 3, :, -1] = value
    x.requires_grad_(), w.requires_grad_()
    with on(isa):
        out = convolve(x, w, pool=pool)
        (found,) = torch.autograd.grad(out.sum() / 100, w)
    maps = F.conv2d(x, w, padding=1)
    expected = F.max_pool2d(maps, 2) if pool else maps
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4, equal_nan=True)
    (right,) = torch.autograd.grad(expected.sum() / 100, w)
    seen = [3, 5]
    others = [channel for channel in range(16) if channel not in seen]
    torch.testing.assert_close(found[:, others], right[:, others], rtol=1e-4, atol=1e-3)
    if value == 3e38:
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-3)
    else:
        assert not found[:, seen].isfinite().all()


@pytest.mark.parametrize("isa", _native.instruction_sets())
def test_a_large_number_reaches_no_further_than_its_tiles_and_there_as_a_rounding(isa: str) -> None:
    """Of images; along one axis, which may be time, it reaches nothing but what sees it."""
    x, w, large = normal(1, 16, 12, 30), normal(24, 16, 3, 3) / 12, 2.0**40
    other = x.clone()
    other[0, 5, 4, 15] = large
    with on(isa):
        maps, changed = convolve(x, w), convolve(other, w)
        lines, changed_lines = (convolve(image[0].transpose(0, 1), w[:, :, 1]) for image in (x, other))
    seen, near = torch.zeros(2, *maps.shape, dtype=torch.bool)
    seen[..., 3:6, 14:17] = True
    near[..., 2:6, 12:20] = True  # two tiles of two lines
    torch.testing.assert_close(changed[seen], F.conv2d(other, w, padding=1)[seen], rtol=0, atol=large * 2**-22)
    assert not torch.equal(changed[near & ~seen], maps[near & ~seen])
    torch.testing.assert_close(changed[near & ~seen], maps[near & ~seen], rtol=0, atol=large * 2**-22)
    assert torch.equal(changed[~near], maps[~near])
    in_line = torch.zeros_like(lines, dtype=torch.bool)
    in_line[4, :, 14:17] = True
    assert torch.equal(changed_lines[~in_line], lines[~in_line])
    assert not torch.equal(changed_lines[in_line], lines[in_line])


@pytest.mark.parametrize("isa", _native.instruction_sets())
def test_a_gradient_that_is_not_finite_reaches_no_other_number(isa: str) -> None:
    """Of the input's: those that the infinite result does not see are numbers."""
    x, w = (
        normal(2, 16, 12, 12, dtype=torch.float64).requires_grad_(),
        normal(16, 16, 3, 3, dtype=torch.float64).requires_grad_(),
    )
    cotangent = normal(2, 16, 12, 12, dtype=torch.float64)
    cotangent[1, 3, 5, 6] = torch.inf
    with on(isa):
        found = torch.autograd.grad(convolve(x, w), (x, w), cotangent)
    expected = torch.autograd.grad(F.conv2d(x, w, padding=1), (x, w), cotangent)
    assert int((~expected[0].isfinite()).sum()) == 16 * 9
    for ours, right in zip(found, expected, strict=True):
        assert torch.equal(ours.isfinite(), right.isfinite())
        torch.testing.assert_close(ours[right.isfinite()], right[right.isfinite()], rtol=1e-10, atol=1e-10)


def test_of_no_images() -> None:
    """Nothing comes of nothing, and the weights' gradient is 0."""
    x, w = torch.randn(0, 16, 8, 8).requires_grad_(), torch.randn(16, 16, 3, 3).requires_grad_()
    out = convolve(x, w, pool="max")
    dx, dw = torch.autograd.grad(out.sum(), (x, w))
    assert out.shape == (0, 16, 4, 4)
    assert dx.shape == x.shape
    assert not dw.any()

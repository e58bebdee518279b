"""Pooling: every path against one plain loop over windows, gradients, and sentences."""

import contextlib
import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import _native
from pellucid.errors import ArgumentError, ArgumentTypeError, SizeError
from pellucid.ops import pooling as operator
from pellucid.ops.pooling import avg_pool2d, max_pool1d, max_pool2d
from pellucid.ops.reference import pooling as reference
from tests.ops.instruction_sets import on

CLOSE = {"rtol": 1e-12, "atol": 1e-12}  # sums of at most 64 numbers of size 1, in float64


def looped(plane, kernel, stride, dilation, pairs, ceil):
    """For one plane: a list of windows, each a list of (position or None for padding) that it sees."""
    starts = []
    for size, k, s, d, (begin, end) in zip(plane.shape, kernel, stride, dilation, pairs, strict=True):
        axis, start = [], -begin
        while start + d * (k - 1) < size + end:
            axis.append(start)
            start += s
        if ceil and start < size and start - s + d * (k - 1) + 1 < size + end:
            axis.append(start)  # the window before it leaves something over, and it begins before the end
        starts.append(axis)
    windows = []
    for corner in itertools.product(*starts):
        seen = []
        for tap in itertools.product(*(range(k) for k in kernel)):
            at = tuple(c + t * d for c, t, d in zip(corner, tap, dilation, strict=True))
            within = all(a < size + end for a, size, (_, end) in zip(at, plane.shape, pairs, strict=True))
            inside = all(0 <= a < size for a, size in zip(at, plane.shape, strict=True))
            if within:
                seen.append(at if inside else None)
        windows.append(seen)
    return windows, tuple(len(axis) for axis in starts)


@st.composite
def problems(draw):
    dims = draw(st.integers(1, 3))

    def axes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(dims))

    kernel, dilation = axes(1, 4 if dims < 3 else 2), axes(1, 2)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    even = draw(st.booleans())
    pairs = [(draw(st.integers(0, span - 1)), draw(st.integers(0, span - 1))) for span in spans]
    return {
        "dims": dims,
        "size": axes(1, 8 if dims < 3 else 4),
        "kernel": kernel,
        "stride": axes(1, 3),
        "dilation": dilation,
        "pairs": tuple((begin, begin) if even else (begin, end) for begin, end in pairs),
        "ceil": draw(st.booleans()),
        "value": draw(st.sampled_from([None, None, 0.5])),
        "seed": draw(st.integers(0, 999)),
    }


@contextlib.contextmanager
def paths(native):
    """All paths in their order, or those without the native engine."""
    with pytest.MonkeyPatch.context() as patch:
        if not native:
            patch.setattr(operator, "engine_takes", lambda *_: False)
        yield


def plane_of(p):
    generator = torch.Generator().manual_seed(p["seed"])
    return torch.randint(-3, 3, p["size"], generator=generator).double()  # small integers: ties are common


@settings(max_examples=200, deadline=None)
@given(p=problems(), positions=st.booleans(), native=st.booleans())
def test_max_pooling_is_the_first_largest_value_each_window_sees(p, positions, native):
    plane = plane_of(p)
    windows, outputs = looped(plane, p["kernel"], p["stride"], p["dilation"], p["pairs"], p["ceil"])
    x = plane[None, None].clone().requires_grad_()

    def ours():
        with paths(native):
            return operator.max_pool(
                *(x, p["kernel"], p["stride"], p["pairs"], p["dilation"], p["ceil"], positions),
                dims=p["dims"],
                padding_value=p["value"],
            )

    if 0 in outputs:
        with pytest.raises(SizeError):
            ours()
        return
    values, places, gradient = [], [], torch.zeros_like(plane).flatten()
    for seen in windows:
        best, place = -torch.inf, -1
        for at in seen:
            if at is None and p["value"] is not None and p["value"] > best:
                best, place = p["value"], -1
            if at is not None and plane[at].item() > best:
                best = plane[at].item()
                place = int(sum(a * stride for a, stride in zip(at, plane.stride(), strict=True)))
        values.append(best)
        places.append(place)
        if place >= 0:
            gradient[place] += 1
    out = ours()
    if positions:
        out, argmax = out
        known = [index for index, value in enumerate(values) if value > -torch.inf]  # else there is no position
        assert argmax.flatten()[known].tolist() == [places[index] for index in known]
    assert out.shape == (1, 1, *outputs)
    assert out.flatten().tolist() == values
    (ours_gradient,) = torch.autograd.grad(out.sum(), x)
    if all(value > -torch.inf for value in values):
        assert ours_gradient.flatten().tolist() == gradient.tolist()


@settings(max_examples=200, deadline=None)
@given(p=problems(), include=st.booleans(), divisor=st.sampled_from([None, None, 3, -2]), native=st.booleans())
def test_average_pooling_is_the_sum_over_what_counts(p, include, divisor, native):
    plane = plane_of(p)
    value = p["value"] if include else None
    windows, outputs = looped(plane, p["kernel"], p["stride"], p["dilation"], p["pairs"], p["ceil"])
    x = plane[None, None].clone().requires_grad_()

    def ours():
        with paths(native):
            return operator.average_pool(
                *(x, p["kernel"], p["stride"], p["pairs"], p["ceil"], include, divisor),
                dims=p["dims"],
                dilation=p["dilation"],
                padding_value=value,
            )

    if 0 in outputs:
        with pytest.raises(SizeError):
            ours()
        return
    means, gradient = [], torch.zeros_like(plane)
    for seen in windows:
        inputs = [at for at in seen if at is not None]
        counted = divisor or len(seen if include else inputs)
        total = sum(plane[at].item() for at in inputs) + (value or 0.0) * (len(seen) - len(inputs))
        means.append(total / counted if counted else torch.nan)
        for at in inputs:
            gradient[at] += 1 / counted
    out = ours()
    expected = torch.tensor(means, dtype=torch.float64).view(1, 1, *outputs)
    torch.testing.assert_close(out, expected, equal_nan=True, **CLOSE)
    (ours_gradient,) = torch.autograd.grad(out.sum(), x)
    if not out.isnan().any():
        torch.testing.assert_close(ours_gradient[0, 0], gradient, **CLOSE)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(3, 40), st.integers(3, 75)),
    stride=st.integers(1, 2),
    padding=st.integers(0, 1),
    ceil=st.booleans(),
    double=st.booleans(),
    seed=st.integers(0, 999),
)
@pytest.mark.parametrize("isa", _native.instruction_sets())
def test_windows_three_by_three_have_torchs_numbers_and_places(isa, size, stride, padding, ceil, double, seed):
    """Of equal numbers, of least numbers and of NaN, in rows of any width; and the gradient goes where the number was."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-2, 3, (2, 3, *size), generator=generator).to(torch.float64 if double else torch.float32)
    x[x == -2] = -torch.inf
    x[torch.rand(x.shape, generator=generator) < 0.02] = torch.nan
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    with on(isa):
        found = max_pool2d(ours, 3, stride, padding, 1, ceil, return_indices=True)
        gradient = torch.randint(-2, 3, found[0].shape, generator=generator).to(x.dtype)
        found[0].backward(gradient)
    expected = F.max_pool2d(theirs, 3, stride, padding, 1, ceil, return_indices=True)
    expected[0].backward(gradient)
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=0, equal_nan=True)
    assert torch.equal(found[1], expected[1])
    assert torch.equal(ours.grad, theirs.grad)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(2, 20), st.integers(2, 75)),
    rows=st.integers(1, 2),
    divisor=st.sampled_from([None, 3]),
    double=st.booleans(),
    seed=st.integers(0, 999),
)
@pytest.mark.parametrize("isa", _native.instruction_sets())
def test_the_gradient_of_means_side_by_side(isa, size, rows, divisor, double, seed):
    """Each number has its window's share, those beyond the last window none; one division, as torch has it."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64 if double else torch.float32)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    with on(isa):
        out = avg_pool2d(ours, (rows, 2), divisor_override=divisor)
        gradient = torch.randn(out.shape, generator=generator, dtype=x.dtype)
        out.backward(gradient)
    F.avg_pool2d(theirs, (rows, 2), divisor_override=divisor).backward(gradient)
    assert torch.equal(ours.grad, theirs.grad)


def test_taps_that_all_miss_the_input_have_no_position_in_it():
    """torch gives positions outside the plane here, and its backward pass writes to them."""
    x = torch.zeros(1, 1, 1, 1, requires_grad=True)
    assert F.max_pool2d(x, 2, 1, 1, 2, return_indices=True)[1].item() > 0
    out, positions = max_pool2d(x, 2, 1, 1, 2, return_indices=True)
    assert (out.item(), positions.item()) == (-torch.inf, -1)
    plain = max_pool2d(x, 2, 1, 1, 2)
    assert plain.item() == -torch.inf
    plain.sum().backward()
    assert x.grad is not None
    assert x.grad.item() == 0


def test_a_volume_smaller_than_the_kernel_is_pooled_where_torch_refuses():
    x = torch.full((1, 1, 1, 2, 2), 6.0)
    with pytest.raises(RuntimeError, match="smaller than kernel"):
        F.avg_pool3d(x, 2, 1, (1, 0, 0))
    assert operator.avg_pool3d(x, 2, 1, (1, 0, 0)).flatten().tolist() == [3.0, 3.0]
    alone = operator.avg_pool3d(x, 2, 1, (1, 0, 0), count_include_pad=False)
    assert alone.flatten().tolist() == [6.0, 6.0]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("padding", "first"), [("same", 0), ("same_lower", 1)])
def test_same_pooling_gives_one_output_a_stride(stride, padding, first):
    x = torch.randn(2, 3, 7, 12)
    out = max_pool2d(x, 2, stride, padding)
    assert out.shape == (2, 3, -(-7 // stride), -(-12 // stride))
    if stride == 1:
        sides = (first, 1 - first) * 2
        assert torch.equal(out, F.max_pool2d(F.pad(x, sides, value=-torch.inf), 2, 1))


def test_a_plane_of_least_values_has_positions_in_the_plane():
    x = torch.full((1, 1, 5, 6), -torch.inf)
    padding = ((2, 1), (1, 2))
    _, positions = max_pool2d(x, 3, 2, padding, return_indices=True)
    rows, columns = (0, 0, 2), (0, 1, 3, 5)  # the first in the plane that each window sees
    assert positions[0, 0].tolist() == [[row * 6 + column for column in columns] for row in rows]


def test_every_path_is_taken_by_some_case():
    """The rules choose as the top of ops/pooling.py says; each program is compared above."""

    def windows(x, kernel, stride, padding, ceil=False, dilation=1):
        return operator.sliding("pool", x.shape, kernel, stride, padding, dilation, ceil)

    x, half = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.float16)
    even, wide = windows(x, (3, 3), 2, 1), windows(x, (3, 3), 2, 2)
    uneven_ceil = windows(x, (3, 3), 2, ((0, 1), 1), ceil=True)
    dilated = windows(x, (3, 3), 2, 1, dilation=2)
    for each in (even, wide, uneven_ceil):
        assert operator.max_path(x, each, False, None) is operator._native_max
        assert operator.max_path(x, each, True, None) is operator._native_max_positions
        assert operator.average_path(x, each, False, None, 0.0) is operator._native_average
    last = torch.zeros(1, 2, 8, 8).to(memory_format=torch.channels_last)
    assert operator.max_path(last, even, False, None) is operator._torch_max
    assert operator.average_path(last, even, False, None, 0.0) is operator._torch_average
    assert operator.max_path(x, even, False, 0.0) is operator._padded_max
    assert operator.max_path(x, dilated, True, None) is operator._torch_max_positions
    assert operator.average_path(x, dilated, True, None, 0.0) is reference.average_pool
    assert operator.max_path(half, even, False, None) is operator._torch_max
    assert operator.max_path(half, even, True, None) is operator._torch_max_positions
    assert operator.max_path(half, wide, False, None) is operator._padded_max
    assert operator.max_path(half, even, False, 0.0) is operator._padded_max
    assert operator.max_path(half, wide, True, None) is reference.max_pool
    assert operator.max_path(half, uneven_ceil, False, None) is reference.max_pool
    assert operator.average_path(half, even, False, None, 0.0) is operator._torch_average
    assert operator.average_path(half, wide, True, None, 0.0) is operator._padded_average
    assert operator.average_path(half, wide, False, None, 0.0) is reference.average_pool
    assert operator.average_path(half, uneven_ceil, True, None, 0.0) is reference.average_pool


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.uint8, torch.float16, torch.bfloat16])
def test_other_dtypes_keep_their_dtype_on_every_path(dtype):
    x = torch.arange(36).view(1, 1, 6, 6).to(dtype)
    expected = max_pool2d(x.double(), 3, 2, 2)
    assert torch.equal(max_pool2d(x, 3, 2, 2), expected.to(dtype))
    assert torch.equal(max_pool2d(x, 3, 2, 2, return_indices=True)[0], expected.to(dtype))
    if dtype is torch.int64:
        assert torch.equal(avg_pool2d(-x, 2, 1, 1), F.avg_pool2d(-x, 2, 1, 1))
        on_reference = reference.average_pool(-x, operator.sliding("", x.shape, (2, 2), 1, 1, 1), True, None, 0.0)
        assert torch.equal(on_reference, F.avg_pool2d(-x, 2, 1, 1))


def test_not_a_number_is_seen():
    x = torch.tensor([[[1.0, torch.nan, 2.0, 3.0, 4.0]]])
    for positions in (False, True):
        out = max_pool1d(x, 2, 1, ((1, 0),), return_indices=positions)
        assert (out[0] if positions else out).isnan().tolist() == [[[False, True, True, False, False]]]


@pytest.mark.parametrize("padding", [((2, 1), (0, 1)), "same"])
def test_gradients_of_the_reference_pass_gradcheck(padding, monkeypatch):
    monkeypatch.setattr(operator, "max_path", lambda *_: reference.max_pool)
    monkeypatch.setattr(operator, "average_path", lambda *_: reference.average_pool)
    x = torch.randperm(40, generator=torch.Generator().manual_seed(0)).view(1, 2, 5, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: max_pool2d(x, 3, 2, padding, ceil_mode=True), (x,))
    assert torch.autograd.gradcheck(lambda x: avg_pool2d(x, 3, 2, padding, count_include_pad=False), (x,))


@pytest.mark.parametrize("padding", [0, ((1, 0), (0, 1))])
def test_gradients_of_the_engine_and_their_gradients_pass_gradcheck(padding):
    x = torch.randperm(60, generator=torch.Generator().manual_seed(0)).view(1, 2, 6, 5).double().requires_grad_()
    for pool in (max_pool2d, avg_pool2d):
        # A nonlinear function of what is pooled: a pooling's own second derivative is zero.
        assert torch.autograd.gradcheck(lambda x, pool=pool: pool(x / 60, 2, 2, padding).pow(3), (x,))
        assert torch.autograd.gradgradcheck(lambda x, pool=pool: pool(x / 60, 2, 2, padding).pow(3), (x,))


def test_views_of_negated_numbers_are_read_as_they_are():
    x = torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    for pool in (max_pool2d, avg_pool2d):
        torch.testing.assert_close(pool(torch._neg_view(x), 2), pool(-x, 2))


def no_ceil(input, windows, *rest):
    return reference.average_pool(input, operator.sliding("", input.shape, (2,), 2, 0, 1), *rest)


def counts_beyond(input, windows, include, divisor, value):
    return reference.average_pool(input, windows, include, 2, value)


@pytest.mark.parametrize("bug", [no_ceil, counts_beyond, None])
def test_the_comparison_catches_planted_bugs(bug, monkeypatch):
    x = torch.arange(1.0, 8.0)[None, None]
    monkeypatch.setattr(operator, "average_path", lambda *_: bug or reference.average_pool)
    out, expected = operator.avg_pool1d(x, 2, 2, 0, True), F.avg_pool1d(x, 2, 2, 0, True)
    assert (out.shape == expected.shape and torch.allclose(out, expected)) == (bug is None)


X = torch.zeros(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: max_pool2d(X, 9), SizeError, ["max_pool2d", "height", "8", "9"]),
        (
            lambda: max_pool2d(X, 3, padding=3),
            SizeError,
            ["(3, 3)", "window (3)", "at most 2", "padding_value"],
        ),
        (lambda: avg_pool2d(X, 2, padding=2, count_include_pad=False), SizeError, ["at most 1", "count"]),
        (lambda: avg_pool2d(X, 2, divisor_override=0), SizeError, ["divisor_override=0"]),
        (
            lambda: avg_pool2d(X, 2, padding=1, count_include_pad=False, padding_value=1.0),
            ArgumentError,
            ["count_include_pad=False", "padding_value=1.0"],
        ),
        (lambda: max_pool2d(X[0, 0], 2), SizeError, ["2 axes"]),
        (lambda: max_pool2d(X[:, :0], 2), SizeError, ["no channels"]),
        (lambda: max_pool2d(X, 2, 0), SizeError, ["stride=0"]),
        (lambda: max_pool2d(X, 2.0), ArgumentTypeError, ["kernel_size", "2.0", "float"]),
    ],
)
def test_a_mistake_is_told_with_its_numbers(call, error, words):
    with pytest.raises(error) as raised:
        call()
    for word in words:
        assert word in str(raised.value)


def test_a_value_for_the_padding_lets_it_be_as_wide_as_the_window():
    out, positions = max_pool1d(torch.tensor([[[-1.0, -2.0]]]), 1, 1, 1, return_indices=True, padding_value=-1.5)
    assert out.tolist() == [[[-1.5, -1.0, -2.0, -1.5]]]
    assert positions.tolist() == [[[-1, 0, 1, -1]]]

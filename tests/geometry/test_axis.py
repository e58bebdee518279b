"""The promise: the arithmetic of one axis is that of the real layers, on any numbers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from pellucid.geometry.axis import TransposedWindow, Window, causal_padding, same_padding, too_small

small = st.integers(1, 6)
sizes = st.integers(1, 40)


@settings(max_examples=200, deadline=None)
@given(sizes, small, small, small, st.integers(0, 8), st.integers(0, 8), st.data())
def test_one_position(
    size: int, kernel: int, stride: int, dilation: int, begin: int, end: int, data: st.DataObject
) -> None:
    """The window of one output has one output, which is that one."""
    window = Window(kernel, stride, dilation, (begin, end))
    assume(window.output(size) >= 1)
    position = data.draw(st.integers(0, window.output(size) - 1))
    one = window.at(position, size)
    assert one.output(size) == 1
    x, taps = torch.arange(1.0, size + 1)[None, None], torch.rand(1, 1, kernel) + 0.1
    all_of = F.conv1d(F.pad(x, (begin, end)), taps, stride=stride, dilation=dilation)
    alone = F.conv1d(F.pad(x, one.padding), taps, dilation=dilation)  # a negative padding cuts off
    torch.testing.assert_close(alone[0, 0], all_of[0, 0, position : position + 1])


@settings(max_examples=600, deadline=None)
@given(sizes, small, small, small, st.integers(0, 8), st.integers(0, 8))
def test_convolution(size: int, kernel: int, stride: int, dilation: int, begin: int, end: int) -> None:
    window = Window(kernel, stride, dilation, (begin, end))
    x = F.pad(torch.ones(1, 1, size), (begin, end))
    if x.shape[-1] < window.span:
        assert window.output(size) < 1
        return
    y = F.conv1d(x, torch.ones(1, 1, kernel), stride=stride, dilation=dilation)
    assert window.output(size) == y.shape[-1]
    reached = torch.zeros(size, requires_grad=True)
    F.conv1d(
        F.pad(reached[None, None], (begin, end)), torch.ones(1, 1, kernel), stride=stride, dilation=dilation
    ).sum().backward()
    assert reached.grad is not None
    after = [k for k in range(size) if bool((reached.grad[k:] == 0).all())]
    # With a dilation, elements between the taps are skipped too; the last span alone says what lies beyond.
    if dilation == 1 and stride <= kernel:
        assert window.dropped(size) == len(after)


@settings(max_examples=600, deadline=None)
@given(sizes, small, small, small, st.integers(0, 3), st.booleans())
def test_pooling(size: int, kernel: int, stride: int, dilation: int, padding: int, ceil: bool) -> None:
    assume(padding <= kernel // 2)
    window = Window(kernel, stride, dilation, (padding, padding), ceil)
    try:
        y = F.max_pool1d(torch.ones(1, 1, size), kernel, stride, padding, dilation, ceil)
    except RuntimeError:
        assert window.output(size) < 1
        return
    assert window.output(size) == y.shape[-1]


@settings(max_examples=300, deadline=None)
@given(sizes, small, small, small, st.integers(0, 5), st.integers(0, 3))
def test_transposed(size: int, kernel: int, stride: int, dilation: int, padding: int, extra: int) -> None:
    assume(extra < max(stride, dilation))
    window = TransposedWindow(kernel, stride, dilation, (padding, padding), extra)
    try:
        y = F.conv_transpose1d(
            torch.ones(1, 1, size),
            torch.ones(1, 1, kernel),
            stride=stride,
            padding=padding,
            output_padding=extra,
            dilation=dilation,
        )
    except RuntimeError:
        assert window.output(size) < 1
        return
    assert window.output(size) == y.shape[-1]


@settings(max_examples=400, deadline=None)
@given(small, small, small, st.integers(0, 8), st.integers(0, 8), st.booleans())
def test_smallest_input(kernel: int, stride: int, dilation: int, begin: int, end: int, ceil: bool) -> None:
    window = Window(kernel, stride, dilation, (begin, end), ceil)
    size = window.smallest_input()
    assert window.output(size) >= 1
    assert all(window.output(smaller) < 1 for smaller in range(1, size))


@settings(max_examples=400, deadline=None)
@given(sizes, small, small, small, st.booleans())
def test_same_is_the_least_padding_for_all_positions(
    size: int, kernel: int, stride: int, dilation: int, lower: bool
) -> None:
    begin, end = same_padding(size, kernel, stride, dilation, lower=lower)
    wanted = -(-size // stride)
    assert Window(kernel, stride, dilation, (begin, end)).output(size) == wanted
    assert 0 <= (begin - end if lower else end - begin) <= 1
    if begin + end:
        assert Window(kernel, stride, dilation, (begin, end - 1) if end else (begin - 1, end)).output(size) < wanted


def test_causal_sees_nothing_ahead() -> None:
    x = torch.zeros(1, 1, 9, requires_grad=True)
    F.conv1d(F.pad(x, causal_padding(3, 2)), torch.ones(1, 1, 3), dilation=2)[0, 0, 4].backward()
    assert x.grad is not None
    assert x.grad[0, 0].nonzero().flatten().tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("window", "size", "text"),
    [
        (Window(5, padding=(2, 2)), 28, "floor((28 + 2*2 - 5)/1) + 1 = 28"),
        (Window(3, 2, 2, (0, 1)), 9, "floor((9 + 0 + 1 - (2*(3-1)+1))/2) + 1 = 3"),
        (Window(2, 2, ceil=True), 5, "ceil((5 - 2)/2) + 1 = 3"),
        (Window(3, 2, padding=(1, 1), ceil=True), 6, "ceil((6 + 2*1 - 3)/2) + 1 = 4"),
        (Window(1, 3, padding=(0, 0), ceil=True), 3, "ceil((3 - 1)/3) + 1 - 1 = 1"),
    ],
)
def test_formulas(window: Window, size: int, text: str) -> None:
    assert window.formula(size) == text
    assert window.output(size) == int(text.rsplit(" ", 1)[1])


def test_the_sentence_names_what_would_mend_it() -> None:
    text = too_small("conv2", "height", 4, Window(5))
    assert "conv2" in text
    assert "the height is 4" in text
    assert "height 5 or more" in text
    assert "1 more element of padding" in text

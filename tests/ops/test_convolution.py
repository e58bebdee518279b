"""Convolution: all paths against torch on padding made explicit, gradients, sentences, and planted bugs."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import ArgumentError, ArgumentTypeError, SizeError
from pellucid.ops import convolution as operator
from pellucid.ops.convolution import conv1d, conv2d, convolution, convolution_block
from pellucid.ops.reference import convolution as reference

PATHS = {
    "native": operator.native_convolution,
    "torch": operator.torch_convolution,
    "reference": reference.convolution,
}
# Sums of at most 100 products of standard normal numbers, in float64, in another order.
CLOSE = {"rtol": 1e-11, "atol": 1e-11}


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    monkeypatch.setattr(operator, "path", lambda *_: PATHS[request.param])


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def same_places(size: int, kernel: int, stride: int, dilation: int, lower: bool) -> tuple[int, int]:
    """TensorFlow's documented formula for SAME, in its own case distinction, for a kernel with gaps."""
    span = dilation * (kernel - 1) + 1
    total = max(span - stride, 0) if size % stride == 0 else max(span - size % stride, 0)
    return (total - total // 2, total // 2) if lower else (total // 2, total - total // 2)


@st.composite
def problems(draw):
    dims = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2, 3]))

    def axes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(dims))

    return {
        "dims": dims,
        "batch": draw(st.sampled_from([None, 0, 1, 2])),
        "channels": groups * draw(st.integers(1, 2)),
        "filters": groups * draw(st.integers(1, 2)),
        "groups": groups,
        "size": axes(1, 9 if dims < 3 else 5),
        "kernel": axes(1, 4 if dims < 3 else 3),
        "stride": axes(1, 3),
        "dilation": axes(1, 3),
        "bias": draw(st.booleans()),
        "padding": draw(st.sampled_from(["same", "same_lower", "valid", "pairs"])),
        "pairs": tuple((draw(st.integers(0, 4)), draw(st.integers(0, 4))) for _ in range(dims)),
        "padding_mode": draw(st.sampled_from(["zeros", "value", "reflect", "replicate", "circular"])),
        "contiguous": draw(st.booleans()),
    }


def explicit_pairs(p):
    if p["padding"] == "pairs":
        return p["pairs"]
    if p["padding"] == "valid":
        return ((0, 0),) * p["dims"]
    zipped = zip(p["size"], p["kernel"], p["stride"], p["dilation"], strict=True)
    return tuple(same_places(*each, lower=p["padding"] == "same_lower") for each in zipped)


@pytest.mark.parametrize("name", PATHS)
@settings(max_examples=150, deadline=None)
@given(p=problems())
def test_any_padding_is_torch_on_explicit_padding(name, p):
    pairs = explicit_pairs(p)
    mode, value = (p["padding_mode"], 0.0) if p["padding_mode"] != "value" else ("zeros", 1.5)
    spans = [d * (k - 1) + 1 for k, d in zip(p["kernel"], p["dilation"], strict=True)]
    fits = all(s + sum(pair) >= span for s, pair, span in zip(p["size"], pairs, spans, strict=True))
    most = {"reflect": -1, "circular": 0}.get(mode)
    fits &= most is None or all(max(pair) <= s + most for s, pair in zip(p["size"], pairs, strict=True))

    shape = (p["channels"], *p["size"]) if p["batch"] is None else (p["batch"], p["channels"], *p["size"])
    x = normal(*shape)
    if not p["contiguous"]:
        x = normal(*shape[::-1]).permute(*reversed(range(len(shape))))
    w = normal(p["filters"], p["channels"] // p["groups"], *p["kernel"], seed=1)
    b = normal(p["filters"], seed=2) if p["bias"] else None
    leaves = [leaf.requires_grad_() for leaf in (x, w, b) if leaf is not None]
    padding = p["pairs"] if p["padding"] == "pairs" else p["padding"]

    def ours():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(operator, "path", lambda *_: PATHS[name])
            return convolution(
                *(x, w, b, p["stride"], padding, p["dilation"], p["groups"]),
                dims=p["dims"],
                padding_mode=mode,
                padding_value=value,
            )

    if not fits:
        with pytest.raises(SizeError):
            ours()
        return
    sides = [side for pair in reversed(pairs) for side in pair]
    batched = x.unsqueeze(0) if p["batch"] is None else x
    padded = F.pad(batched, sides, value=value) if mode == "zeros" else F.pad(batched, sides, mode=mode)
    torch_function = (F.conv1d, F.conv2d, F.conv3d)[p["dims"] - 1]
    expected = torch_function(padded, w, b, p["stride"], 0, p["dilation"], p["groups"])
    expected = expected.squeeze(0) if p["batch"] is None else expected
    out = ours()
    torch.testing.assert_close(out, expected, **CLOSE)
    cotangent = normal(*expected.shape, seed=3)
    torch.testing.assert_close(
        torch.autograd.grad(out, leaves, cotangent), torch.autograd.grad(expected, leaves, cotangent), **CLOSE
    )


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_same_at_stride_1_splits_as_torch_does(kernel, dilation, path):
    x, w = normal(2, 3, 7), normal(4, 3, kernel, seed=1)
    torch.testing.assert_close(
        conv1d(x, w, padding="same", dilation=dilation),
        F.conv1d(x, w, padding="same", dilation=dilation),
        **CLOSE,
    )


def test_causal_outputs_see_no_later_input(path):
    x, w = normal(1, 2, 12).requires_grad_(), normal(3, 2, 3, seed=1)
    for stride in (1, 2):
        out = conv1d(x, w, padding="causal", dilation=2, stride=stride)
        assert out.shape[-1] == -(-12 // stride)
        for t in range(out.shape[-1]):
            (gradient,) = torch.autograd.grad(out[..., t].sum(), x, retain_graph=True)
            seen = gradient.abs().sum((0, 1)).nonzero().flatten().tolist()
            assert seen == [t * stride - back for back in (4, 2, 0) if t * stride >= back]


@pytest.mark.parametrize("padding_mode", operator.PADDING_MODES)
def test_gradients_of_the_reference_pass_gradcheck_twice(padding_mode, monkeypatch):
    monkeypatch.setattr(operator, "path", lambda *_: reference.convolution)
    x, w, b = (t.requires_grad_() for t in (normal(1, 4, 4, 3), normal(2, 2, 2, 3, seed=1), normal(2, seed=2)))

    def run(x, w, b):
        pairs = ((1, 2), (0, 2))
        return conv2d(x, w, b, (2, 1), pairs, (2, 1), 2, padding_mode=padding_mode)

    assert torch.autograd.gradcheck(run, (x, w, b))
    assert torch.autograd.gradgradcheck(run, (x, w, b))


@pytest.mark.parametrize("padding", [1, "same", ((1, 2), (0, 1))])
def test_channels_last_memory_stays_channels_last(padding):
    x = torch.randn(2, 3, 8, 9).to(memory_format=torch.channels_last)
    w = torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last)
    assert conv2d(x, w, stride=2, padding=padding).is_contiguous(memory_format=torch.channels_last)


def flipped(input, weight, bias, *rest):
    return reference.convolution(input, weight.flip(-1), bias, *rest)


def other_side(input, weight, bias, windows, *rest):
    turned = [type(w)(w.kernel, w.stride, w.dilation, padding=w.padding[::-1], ceil=w.ceil) for w in windows]
    return reference.convolution(input, weight, bias, turned, *rest)


def no_bias(input, weight, bias, *rest):
    return reference.convolution(input, weight, None, *rest)


def swapped_groups(input, weight, bias, windows, groups, *rest):
    half = weight.shape[0] // groups
    return reference.convolution(input, weight.roll(half, 0), bias, windows, groups, *rest)


@pytest.mark.parametrize("bug", [flipped, other_side, no_bias, swapped_groups, None])
def test_the_comparison_catches_planted_bugs(bug, monkeypatch):
    x, w, b = normal(2, 4, 7, 6), normal(4, 2, 3, 4, seed=1), normal(4, seed=2)
    expected = F.conv2d(F.pad(x, (1, 2, 0, 1)), w, b, groups=2)
    monkeypatch.setattr(operator, "path", lambda *_: bug or reference.convolution)
    out = conv2d(x, w, b, padding=((0, 1), (1, 2)), groups=2)
    assert out.shape == expected.shape
    assert torch.allclose(out, expected, **CLOSE) == (bug is None)


X, W = torch.zeros(2, 3, 8, 8), torch.zeros(4, 3, 3, 3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: conv2d(X, torch.zeros(4, 3, 9, 3)), SizeError, ["conv2d", "height", "8", "9"]),
        (lambda: conv2d(X.movedim(1, -1), W), SizeError, ["3", "8", "channels"]),
        (lambda: conv2d(X[0, 0], W), SizeError, ["2 axes", "8 × 8", "batch × channels × height × width"]),
        (lambda: conv2d(X, W[0]), SizeError, ["3 axes", "out channels"]),
        (lambda: conv2d(X, W, torch.zeros(3)), SizeError, ["bias of 4 numbers", "(3,)"]),
        (lambda: conv2d(X, W, groups=3), SizeError, ["4 filters", "groups=3", "multiple"]),
        (lambda: conv2d(X, W, stride=0), SizeError, ["stride=0", "at least 1"]),
        (lambda: conv2d(X, W, stride=(1, 1, 1)), SizeError, ["stride", "3 numbers", "2 axes"]),
        (lambda: conv2d(X, W, padding=-1), SizeError, ["padding=-1", "at least 0"]),
        (lambda: conv2d(X, W, padding=((1, 2, 3), 0)), SizeError, ["(1, 2, 3)", "(begin, end) pair"]),
        (lambda: conv2d(X, W, padding="causal"), SizeError, ["'causal'", "1d", "'same_lower'"]),
        (
            lambda: conv1d(X[0, :, 0], W[:, :, 0], padding=(2, 0)),
            SizeError,
            ["padding=((2, 0),)", "2 before and 0 behind"],
        ),
        (
            lambda: conv1d(X[0, :, 0], W[:, :, 0], padding=((1, 2), 0)),
            SizeError,
            ["2 axes", "the window has 1 axis; give one int"],
        ),
        (lambda: conv2d(X, W, padding=1.5), ArgumentTypeError, ["padding", "1.5", "float"]),
        (lambda: conv2d([1], W), ArgumentTypeError, ["tensor", "list"]),
        (lambda: conv2d(X, W, padding=8, padding_mode="reflect"), SizeError, ["at most 7", "(8, 8)"]),
        (lambda: conv2d(X, W, padding_mode="mirror"), ArgumentError, ["'mirror'", "'reflect'"]),
        (
            lambda: conv2d(X, W, padding=1, padding_mode="reflect", padding_value=1.0),
            ArgumentError,
            ["padding_value=1.0", "leave one of the two out"],
        ),
        (lambda: conv2d(X[:, :, :0], W, padding=3), SizeError, ["empty along its height"]),
        (lambda: convolution_block(X, W, dims=2, activation="swish"), ArgumentError, ["'swish'", "'silu'"]),
        (lambda: convolution_block(X, W, dims=2, pool_size=7), SizeError, ["pooling a map of 6 × 6", "7"]),
    ],
)
def test_a_mistake_is_told_with_its_numbers(call, error, words):
    with pytest.raises(error) as raised:
        call()
    for word in words:
        assert word in str(raised.value)

"""The promise: what people do with torch.nn's layers besides calling them gives the same with these: attributes, positions of
arguments, number types under autocast, errors that say what was given."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid import nn
from pellucid.errors import ArgumentError, ArgumentTypeError, SizeError


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 2, "valid", "same"])
@pytest.mark.parametrize("dilation", [1, 3])
def test_what_subclasses_pad_by(dims: int, padding: Any, dilation: int) -> None:
    """Many convolutions of people's own call ``F.pad`` with it."""
    mode = "zeros" if padding == "same" else "reflect"
    arguments = (2, 4, (4, 3, 2)[:dims]), {"padding": padding, "dilation": dilation, "padding_mode": mode}
    theirs = getattr(torch.nn, f"Conv{dims}d")(*arguments[0], **arguments[1])
    ours = getattr(nn, f"Conv{dims}d")(*arguments[0], **arguments[1])
    assert [*ours._reversed_padding_repeated_twice] == [*theirs._reversed_padding_repeated_twice]


@pytest.mark.parametrize("padding", ["causal", "same_lower", ((2, 1),)])
def test_what_subclasses_pad_by_where_torch_has_no_such_padding(padding: Any) -> None:
    layer = nn.Conv1d(2, 4, 4, padding=padding)
    x = torch.randn(1, 2, 9)
    plain = F.conv1d(F.pad(x, layer._reversed_padding_repeated_twice), layer.weight, layer.bias)
    torch.testing.assert_close(plain, layer(x))


def test_a_padding_that_the_input_tells_is_none_beforehand() -> None:
    layer: Any = nn.Conv1d(2, 4, 4, stride=2, padding="same")
    assert layer._reversed_padding_repeated_twice is None


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("GRU", (4, 6, 2, True, True, 0.0, True, 0, "cpu", torch.float64)),
        ("LSTM", (4, 6, 2, False, False, 0.5, False, 3, "cpu", torch.float64)),
        ("RNN", (4, 6, 2, "relu", True, True, 0.0, True, 0, "cpu", torch.float64)),
        ("RNNCell", (4, 6, False, "relu", "cpu", torch.float64)),
        ("LSTMCell", (4, 6, False, "cpu", torch.float64)),
    ],
)
def test_arguments_by_position_and_how_a_layer_is_written(name: str, arguments: tuple[Any, ...]) -> None:
    theirs, ours = getattr(torch.nn, name)(*arguments), getattr(nn, name)(*arguments)
    ours.load_state_dict(theirs.state_dict())
    assert {p.dtype for p in ours.parameters()} == {torch.float64}
    if name != "RNN":  # torch's does not say its nonlinearity
        assert repr(ours) == repr(theirs)


def test_cells_are_of_torchs_classes() -> None:
    """As code that initialises by class asks; layers are not, since torch.compile stops at torch's."""
    for name in ("RNNCell", "GRUCell", "LSTMCell"):
        assert isinstance(getattr(nn, name)(2, 3), getattr(torch.nn, name))


@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "LSTMCell"])
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("lower", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("with_state", [True, False])
def test_cells_under_autocast(name: str, given: torch.dtype, lower: torch.dtype, with_state: bool) -> None:
    theirs, ours = getattr(torch.nn, name)(3, 4), getattr(nn, name)(3, 4)
    ours.load_state_dict(theirs.state_dict())
    x, h = torch.randn(2, 3, dtype=given), torch.randn(2, 4, dtype=given)
    state = (h, h) if name == "LSTMCell" else h
    found = []
    for cell in (ours, theirs):
        with torch.autocast("cpu", lower):
            out = cell(x, state) if with_state else cell(x)
        out = out if isinstance(out, tuple) else (out,)
        sum(o.float().sum() for o in out).backward()
        found.append((out, [p.grad for p in cell.parameters()]))
    (our_outputs, our_gradients), (outputs, gradients) = found
    assert [o.dtype for o in our_outputs] == [o.dtype for o in outputs]
    # Both round operands to 8 or 11 bits, and torch sums too: a few roundings of numbers of about 1.
    close = 8 * torch.finfo(lower).eps
    torch.testing.assert_close(our_outputs, outputs, rtol=close, atol=close)
    torch.testing.assert_close(our_gradients, gradients, rtol=4 * close, atol=4 * close)


def test_mistakes_are_sentences() -> None:
    x, cell = torch.randn(5, 2, 3), nn.GRUCell(3, 4)
    with pytest.raises(ArgumentTypeError, match="GRU: the input is a ndarray; give a tensor"):
        nn.GRU(3, 4)(x.numpy())  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="GRUCell: the input is a list; give a tensor"):
        cell([1.0, 2.0, 3.0])  # type: ignore[arg-type]
    for dtype in (torch.float16, torch.float64, torch.int64):
        with pytest.raises(ArgumentError, match=f"the state h must have the type torch.float32, got type {dtype}"):
            nn.GRU(3, 4)(x, torch.zeros(1, 2, 4, dtype=dtype))
        with pytest.raises(ArgumentError, match=r"the state must have the type torch\.float32"):
            cell(x[0], torch.zeros(2, 4, dtype=dtype))
    with pytest.raises(ArgumentError, match=r"the input must have the type torch\.float32, got type torch\.bfloat16"):
        cell(x[0].bfloat16())
    for state, words in ((torch.zeros(2, 4), "hx is a tensor"), ((torch.zeros(2, 4),), "hx is a tuple of 1")):
        with pytest.raises(ArgumentTypeError, match=f"LSTMCell: {words}; give the pair"):
            nn.LSTMCell(3, 4)(x[0], state)  # type: ignore[arg-type]
    with pytest.raises(SizeError, match=r"state has shape \(1, 4\), and \(4,\) is needed for this input"):
        cell(x[0, 0], torch.zeros(1, 4))


def test_the_slope_of_elu_at_zero_is_torchs() -> None:
    block = nn.ConvBlock(1, 1, 1, bias=False, activation="elu", pool=None)
    torch.nn.init.ones_(block.weight)

    def slope(layer: Any) -> Tensor:
        x = torch.zeros(1, 1, 4, 4, requires_grad=True)
        return torch.autograd.grad(layer(x).sum(), x)[0]

    torch.testing.assert_close(slope(block), slope(torch.nn.ELU()), rtol=0, atol=0)

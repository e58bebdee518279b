"""The promise: doctor says for a shape what the layers of that shape do."""

from __future__ import annotations

import json

import pytest
import torch

from pellucid.doctor_shape import decide, told
from pellucid.errors import ArgumentError, SizeError
from pellucid.nn import ConvBlock

CHAIN = "28x28x1 | conv 3 16 p1 | relu | pool 2 | conv 3 32 p1 | relu | flatten | linear 10"


def test_it_says_what_runs() -> None:
    first, second = decide(CHAIN)
    assert (first.layers, first.map) == ("conv 3 16 p1 | relu | pool 2", "28 x 28 x 16")
    assert (second.layers, second.map) == ("conv 3 32 p1", "14 x 14 x 32")
    for decision, channels, filters, size, pool in ((first, 1, 16, 28, "max"), (second, 16, 32, 14, None)):
        block = ConvBlock(channels, filters, 3, padding=1, activation=None, pool=pool)
        out = block(torch.randn(1, channels, size, size))
        assert out.grad_fn is not None
        native = out.grad_fn.name() == "_DifferentiableBackward"
        assert decision.training == ("native engine" if native else "torch's kernel")
    text = told([first, second], as_json=False)
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii()
    assert json.loads(told([first], as_json=True))[0]["forward"] == "native engine"


def test_mistakes_are_told() -> None:
    with pytest.raises(ArgumentError, match="no convolution"):
        decide("28x28x1 | flatten | linear 10")
    with pytest.raises(SizeError, match="layer 1"):
        decide("4x4x1 | conv 9 16")

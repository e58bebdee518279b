"""The promise: with ``checkpoint_every`` the results are the same, and what lies between checkpoints is not kept."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch
from tests.nn.test_ragged import COUNT, INPUTS, LAYERS, LENGTHS, STEPS, arguments, gradients, leaves, results
from torch import Tensor

from pellucid import nn
from pellucid.errors import ArgumentError
from pellucid.ops import engine

# float64, sums of some dozen terms of size about 1 through a few nonlinear steps: rounding stays below 1e-13.
CLOSE = {"atol": 1e-11, "rtol": 1e-11}


@pytest.fixture(autouse=True)
def _double() -> Any:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("every", [1, 4, STEPS, 100])
@pytest.mark.parametrize("lengths", [None, "unsorted", "some empty"])
@pytest.mark.parametrize("name", LAYERS)
def test_pieces_equal_the_whole(name: str, lengths: str | None, every: int) -> None:
    layer = LAYERS[name](num_layers=2, bidirectional=True, dropout=0.0)
    given = arguments(layer, starts=True, resets=True)
    wanted = leaves(layer, given)
    found = []
    for layer.checkpoint_every in (None, every):
        outputs = results(layer, given, lengths and LENGTHS[lengths])
        found.append([*outputs, *gradients(outputs, wanted)])
    torch.testing.assert_close(*found, **CLOSE)


def test_second_derivatives() -> None:
    layer = nn.LSTM(INPUTS, 4)
    given = arguments(layer, starts=True, resets=True)
    wanted = leaves(layer, given)
    found = []
    for layer.checkpoint_every in (None, 4):
        first = gradients(results(layer, given, None), wanted, again=True)
        found.append(gradients(first, wanted))
    torch.testing.assert_close(*found, **CLOSE)


def test_the_masks_of_training_are_those_of_the_first_time() -> None:
    layer = nn.LSTM(INPUTS, 6, zoneout=0.3, recurrent_dropout=0.3, variational_dropout=0.3)
    given = arguments(layer, starts=False, resets=False)
    found = []
    for layer.checkpoint_every in (None, 4):
        torch.manual_seed(3)
        outputs = results(layer, given, None)
        torch.manual_seed(4)
        found.append([*outputs, *gradients(outputs, leaves(layer, given))])
    torch.testing.assert_close(*found, **CLOSE)


def test_what_is_kept_and_what_is_computed_again() -> None:
    steps, every = 64, 8
    layer = nn.LSTM(INPUTS, 32)
    x = torch.randn(steps, COUNT, INPUTS)

    def kept(every: int | None) -> tuple[int, int]:
        layer.checkpoint_every = every
        held: dict[int, int] = {}

        def pack(t: Tensor) -> Tensor:
            held[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with mock.patch.object(engine, "project", wraps=engine.project) as runs:
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
                output, _ = layer(x)
            output.sum().backward()
        return sum(held.values()), runs.call_count

    whole, once = kept(None)
    pieces, again = kept(every)
    assert once == 1
    assert again == 2 * steps // every
    assert pieces < whole / 4


@pytest.mark.parametrize("strange", [0, -3, 2.5])
def test_mistakes_are_sentences(strange: Any) -> None:
    with pytest.raises(ArgumentError, match="checkpoint_every is"):
        nn.GRU(3, 5, checkpoint_every=strange)

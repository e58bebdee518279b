"""What the equations are given at a step is what the layer ran with: they then compute what the trace saw."""

from __future__ import annotations

import pytest
import torch
from tests.ops.cells_under_test import CELLS
from torch import Tensor

from pellucid import nn, trace
from pellucid.errors import ArgumentError
from pellucid.inside.along import along


def layer_of(name: str, **options: object) -> nn.Recurrent:
    layer = nn.Recurrent(CELLS[name], 3, 4, dtype=torch.float64, **options).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.7)
    return layer


def check(layer: nn.Recurrent, x: Tensor, place: str, ends: list[int], **given: Tensor) -> None:
    """Every named value of every step that exists, against the trace."""
    with trace(layer, grad=False) as seen:
        layer(x, **given)
    step_inputs = {name: given.pop(name) for name in list(given) if name in layer.cell.step_inputs}
    run = along(layer, seen, x, place=place, step_inputs=step_inputs, **given)  # type: ignore[arg-type]
    named = {name: node for name, node in run.graph.named.items() if node.varies}
    for sequence, end in enumerate(ends):
        for step in range(end):
            values = run.values(step, sequence)
            for name, node in named.items():
                expected = seen[f"{place}.{name}"].values[step, sequence]
                torch.testing.assert_close(values[node].expand_as(expected), expected, rtol=1e-9, atol=1e-11)
    assert run.ends.tolist() == ends


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name: str) -> None:
    """In float64 the engine and the equations differ by rounding alone."""
    torch.manual_seed(1)
    check(layer_of(name), torch.randn(5, 2, 3, dtype=torch.float64), "l0", [5, 5])


@pytest.mark.parametrize("place", ["l0", "l0_reverse", "l1", "l1_reverse"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_layers_directions_lengths_and_resets(place: str, batch_first: bool) -> None:
    """Sequences of unequal lengths out of order, states that start anew, in every layer and direction."""
    torch.manual_seed(2)
    layer = layer_of("lstm", num_layers=2, bidirectional=True, batch_first=batch_first, learned_initial_state=True)
    x, resets = torch.randn(6, 3, 3, dtype=torch.float64), torch.rand(6, 3) < 0.4
    if batch_first:
        x, resets = x.transpose(0, 1), resets.T
    check(layer, x, place, [4, 6, 1], lengths=torch.tensor([4, 6, 1]), resets=resets)


def test_without_biases_and_with_zoneout_and_step_inputs() -> None:
    torch.manual_seed(3)
    x, noise = torch.randn(4, 2, 3, dtype=torch.float64), torch.randn(4, 2, 4, dtype=torch.float64)
    check(layer_of("ctrnn", bias=False, zoneout=0.3), x, "l0", [4, 4], noise=noise)


def test_a_single_sequence_and_states_to_start_from() -> None:
    torch.manual_seed(4)
    layer, x, h = layer_of("gru"), torch.randn(5, 3, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)
    check(layer, x, "l0", [5], hx=h)


def test_a_place_that_is_not_there() -> None:
    layer, x = layer_of("gru"), torch.randn(5, 1, 3, dtype=torch.float64)
    with trace(layer, grad=False) as seen:
        layer(x)
    with pytest.raises(ArgumentError, match=r"no 'l1'; its layers are l0"):
        along(layer, seen, x, place="l1")

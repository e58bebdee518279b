"""The promise: the gradient in the last steps, from these steps alone, is that of the whole backward pass."""

from __future__ import annotations

import pytest
import torch
from tests.inside.test_along import layer_of
from tests.ops.cells_under_test import CELLS
from torch import Tensor

from pellucid import nn, trace
from pellucid.inside.along import along
from pellucid.inside.part import gradients_in


def check(layer: nn.Recurrent, x: Tensor, place: str, steps: slice, **step_inputs: Tensor) -> None:
    """A weighted sum of the states of some steps: what reaches each name in the last of them, beside the whole backward pass."""
    with trace(layer) as seen:
        layer(x.requires_grad_(), **step_inputs)
    after = {name: seen[f"{place}.{name}"].values for name in layer.cell.states}
    weights = {name: torch.randn(v.shape, dtype=v.dtype) for name, v in after.items()}
    for weight in weights.values():
        weight[steps.stop :] = 0
    sum((weights[name] * v).sum() for name, v in after.items()).backward()
    found = gradients_in(along(layer, seen, x, place=place, step_inputs=step_inputs), weights, steps)
    names = [name for name, node in layer.cell.graph().named.items() if node.varies]
    for name in names:
        whole = seen[f"{place}.{name}"].grad
        assert whole is not None
        torch.testing.assert_close(found[name], whole[steps], rtol=1e-9, atol=1e-11)
    if place == "l0":
        assert x.grad is not None
        torch.testing.assert_close(found["x"], x.grad[steps], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name: str) -> None:
    """In float64 they differ by rounding alone; of the last steps, and of some before them."""
    for steps in (slice(4, 7), slice(2, 5)):
        torch.manual_seed(1)
        layer = layer_of(name)
        given = {
            n: torch.randn(7, 2, layer._sizes(s.size), dtype=torch.float64) for n, s in layer.cell.step_inputs.items()
        }
        check(layer, torch.randn(7, 2, 3, dtype=torch.float64), "l0", steps, **given)


def test_upper_layers_and_learned_states() -> None:
    torch.manual_seed(2)
    layer = layer_of("lstm", num_layers=2, learned_initial_state=True)
    for place in ("l0", "l1"):
        check(layer, torch.randn(9, 3, 3, dtype=torch.float64), place, slice(0, 9))
        check(layer, torch.randn(9, 3, 3, dtype=torch.float64), place, slice(5, 9))

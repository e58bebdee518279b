"""The promise: whatever torch can differentiate, and how often, works through a recurrent layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from pellucid import cells, nn

# float64, sums of some dozen terms of size about 1 through a few nonlinear steps: rounding stays below 1e-13.
CLOSE = {"atol": 1e-11, "rtol": 1e-11}
LAYERS: dict[str, Callable[..., Any]] = {
    "RNN": lambda **o: nn.RNN(3, 4, **o),
    "GRU, two layers back and forth": lambda **o: nn.GRU(3, 4, num_layers=2, bidirectional=True, **o),
    "LSTM": lambda **o: nn.LSTM(3, 4, **o),
    "LSTM, checkpoints": lambda **o: nn.LSTM(3, 4, checkpoint_every=2, **o),
    "sLSTM": lambda **o: nn.Recurrent(cells.SLSTM(), 3, 4, learned_initial_state=True, **o),
}
AROUND: dict[str, dict[str, Any]] = {
    "plain": {},
    "lengths": {"lengths": [5, 2, 0]},
    "resets": {"resets": torch.tensor([[0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]).bool()},
}


@pytest.fixture(autouse=True)
def _double() -> Any:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


every_layer = pytest.mark.parametrize("name", LAYERS)
all_around = pytest.mark.parametrize("around", AROUND)


def loss(layer: Any, around: str) -> Callable[[Tensor], Tensor]:
    """Of the output and the last state h, on (5, 3, 3); a state of sLSTM starts from minus infinity."""

    def of(x: Tensor) -> Tensor:
        output, states = layer(x, **AROUND[around])
        h = states[0] if isinstance(states, tuple) else states
        return output.sin().sum() + h.sin().sum()

    return of


@every_layer
@all_around
def test_second_derivatives(name: str, around: str) -> None:
    layer = LAYERS[name]()

    def run(x: Tensor) -> Any:
        output, states = layer(x, **AROUND[around])
        return output, *(states if isinstance(states, tuple) else (states,))

    assert torch.autograd.gradgradcheck(run, torch.randn(5, 3, 3, requires_grad=True), fast_mode=True)


@every_layer
def test_second_derivatives_of_weights_that_the_state_came_from(name: str) -> None:
    """Two runs, the second from the states of the first: a gradient that can be differentiated is the same gradient."""
    layer = LAYERS[name]()
    x = torch.randn(5, 3, 3)
    middle = layer(x)[1]
    total = layer(x, middle)[0].sin().sum()
    weights = list(layer.parameters())
    plain = torch.autograd.grad(total, weights, retain_graph=True)
    differentiable = torch.autograd.grad(total, weights, create_graph=True)
    torch.testing.assert_close(differentiable, plain, **CLOSE)
    step, small = [torch.randn_like(w) for w in weights], 1e-5
    along = torch.autograd.grad(differentiable, weights, step)
    moved = []
    for sign in (1, -1):
        with torch.no_grad():
            for w, s in zip(weights, step, strict=True):
                w.add_(s, alpha=sign * small)
        again = layer(x, layer(x)[1])[0].sin().sum()
        moved.append(torch.autograd.grad(again, weights))
        with torch.no_grad():
            for w, s in zip(weights, step, strict=True):
                w.sub_(s, alpha=sign * small)
    numeric = [(a - b) / (2 * small) for a, b in zip(*moved, strict=True)]
    torch.testing.assert_close(along, numeric, atol=1e-6, rtol=1e-6)  # the square of the step, and rounding over it


@every_layer
@all_around
def test_transforms(name: str, around: str) -> None:
    layer = LAYERS[name]()
    of = loss(layer, around)
    x, direction = torch.randn(5, 3, 3, requires_grad=True), torch.randn(5, 3, 3)
    (gradient,) = torch.autograd.grad(of(x), x)
    plain = x.detach()
    torch.testing.assert_close(torch.func.grad(of)(plain), gradient, **CLOSE)
    value, slope = torch.func.jvp(of, (plain,), (direction,))
    torch.testing.assert_close(value, of(plain), **CLOSE)
    torch.testing.assert_close(slope, (gradient * direction).sum(), **CLOSE)
    with forward_ad.dual_level():
        dual = of(forward_ad.make_dual(plain, direction))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, slope, **CLOSE)
    many = torch.randn(2, 5, 3, 3)
    torch.testing.assert_close(torch.func.vmap(of)(many), torch.stack([of(m) for m in many]), **CLOSE)


@pytest.mark.parametrize("name", ["RNN", "LSTM"])
def test_hessians(name: str) -> None:
    layer = LAYERS[name]()
    of = loss(layer, "lengths")
    x = torch.randn(5, 3, 3)
    hessian = torch.func.hessian(of)(x)
    torch.testing.assert_close(torch.autograd.functional.hessian(of, x), hessian, **CLOSE)
    torch.testing.assert_close(hessian, hessian.permute(3, 4, 5, 0, 1, 2), **CLOSE)


def test_a_gradient_for_each_sequence() -> None:
    """What differential privacy needs: functional_call under vmap and grad."""
    layer = nn.LSTM(3, 4)
    weights = {k: v.detach() for k, v in layer.named_parameters()}

    def of(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, weights, (x.unsqueeze(1),))[0].sin().sum()

    x = torch.randn(5, 3, 3)
    each = torch.func.vmap(torch.func.grad(of), in_dims=(None, 1))(weights, x)
    layer(x)[0].sin().sum().backward()
    torch.testing.assert_close(
        {k: v.sum(0) for k, v in each.items()}, {k: v.grad for k, v in layer.named_parameters()}, **CLOSE
    )

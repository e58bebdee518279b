"""The promise: what is said of gradients, gates, memory and steps is what autograd, or a network made by hand, gives."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import pellucid
from pellucid import cells, inside, nn
from pellucid.errors import ArgumentError, SizeError
from pellucid.trace import Trace


def run(layer: nn.Recurrent, x: Tensor, lengths: list[int] | None = None) -> Trace:
    with pellucid.trace(layer) as seen:
        y, _ = layer(x, lengths=lengths)
        ends = [len(x)] * x.shape[1] if lengths is None else lengths
        y[torch.tensor(ends) - 1, torch.arange(x.shape[1])].sum().backward()
    return seen


@pytest.mark.parametrize("lengths", [None, [4, 7, 5]])
def test_reach_of_a_linear_network_is_a_power_of_its_weight(lengths: list[int] | None) -> None:
    """One unit h_t = w h_{t-1} + x_t with relu and positive input: dL/dh falls by w a step, whatever the lengths."""
    rnn = nn.RNN(1, 1, nonlinearity="relu")
    with torch.no_grad():
        for p in rnn.parameters():
            p.fill_(0)
        rnn.weight_ih_l0.fill_(1)
        rnn.weight_hh_l0.fill_(0.5)
    seen = run(rnn, torch.ones(7, 3, 1), lengths)
    found = inside.gradient_reach(seen["l0.h"], lengths)
    torch.testing.assert_close(found, 0.5 ** torch.arange(7.0))
    torch.testing.assert_close(inside.gradient_reach(seen["l0.h"], lengths, relative=False)[0], torch.tensor(1.0))


def test_reach_without_a_gradient_or_with_wrong_lengths_is_a_sentence() -> None:
    rnn = nn.RNN(2, 3)
    with pellucid.trace(rnn, grad=False) as seen:
        rnn(torch.randn(4, 2, 2))
    with pytest.raises(ArgumentError, match=r"call backward\(\)"):
        inside.gradient_reach(seen["l0.h"])
    seen = run(rnn, torch.randn(4, 2, 2))
    with pytest.raises(ArgumentError, match="from 3 to 9, and the values have 4 steps"):
        inside.gradient_reach(seen["l0.h"], [3, 9])
    with pytest.raises(SizeError, match="there are 2 sequences"):
        inside.gradient_reach(seen["l0.h"], [3])


def test_saturation_counts_the_steps_that_exist() -> None:
    gate = torch.zeros(4, 2, 2)  # as a trace shows it: zero where no step is
    gate[:, 0] = torch.tensor([0.01, 0.99])
    gate[:2, 1] = torch.tensor([0.5, 0.99])
    found = inside.saturation(gate, [4, 2])
    assert found.units_below.tolist() == pytest.approx([4 / 6, 0])
    assert found.units_above.tolist() == pytest.approx([0, 1])
    assert (found.below, found.above) == pytest.approx((4 / 12, 6 / 12))
    with pytest.raises(ArgumentError, match=r"below=0\.9"):
        inside.saturation(gate, below=0.9, above=0.1)
    with pytest.raises(SizeError, match=r"got \(4, 2\)"):
        inside.saturation(gate[..., 0])


def test_half_life_is_when_the_product_is_one_half() -> None:
    """Of an LSTM whose forget gate is held at 0.9, 0.5 and 1 by its bias: f^n = 1/2."""
    lstm = nn.LSTM(2, 3).double()
    with torch.no_grad():
        lstm.weight_ih_l0[3:6] = 0
        lstm.weight_hh_l0[3:6] = 0
        lstm.bias_hh_l0[3:6] = 0
        lstm.bias_ih_l0[3:6] = torch.tensor([math.log(9), 0, 100])
    with pellucid.trace(lstm, grad=False) as seen:
        lstm(torch.randn(6, 2, 2).double(), lengths=[6, 3])
    found = inside.half_life(seen["l0.f"], [6, 3])
    assert 0.9 ** float(found[0]) == pytest.approx(0.5)
    assert found[1:].tolist() == [pytest.approx(1), math.inf]
    with pytest.raises(ArgumentError, match="an RNN has none"):
        inside.half_life(seen["l0.g"])


CELLS = {
    "rnn": lambda: cells.RNN(),
    "gru": lambda: cells.GRU(),
    "gru, reset before": lambda: cells.GRU(reset_before=True),
    "lstm": lambda: cells.LSTM(),
    "lstm, projected, peepholes": lambda: cells.LSTM(proj_size=2, peepholes=True),
    "ctrnn": lambda: cells.CTRNN(activation="tanh"),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_steps_jacobian_is_autograds_through_the_layer(name: str) -> None:
    """Against torch's Jacobian of the layer run for one step from the state that it was in."""
    torch.manual_seed(0)
    layer = nn.Recurrent(CELLS[name](), 2, 3, dtype=torch.float64)
    x = torch.randn(5, 2, 2, dtype=torch.float64)
    found = inside.step_jacobians(layer, x)
    hx = None if len(layer.cell.states) == 1 else ()
    states = [torch.zeros(1, 1, layer._sizes(s.size), dtype=torch.float64) for s in layer.cell.states.values()]
    sizes = [s.shape[-1] for s in states]
    for t in range(5):

        def step(flat: Tensor, t: int = t) -> Tensor:
            parts = [v[None, None] for v in flat.split(sizes)]
            after = layer(x[t : t + 1, :1], parts[0] if hx is None else tuple(parts))[1]
            return torch.cat([v.flatten() for v in ([after] if isinstance(after, Tensor) else after)])

        flat = torch.cat([s.flatten() for s in states])
        expected = torch.autograd.functional.jacobian(step, flat)
        torch.testing.assert_close(found.matrices[t, 0], expected)
        torch.testing.assert_close(found.singular_values[t, 0], torch.linalg.svdvals(expected))
        torch.testing.assert_close(found.spectral_radius[t, 0], torch.linalg.eigvals(expected).abs().max())
        states = [v.detach()[None, None] for v in step(flat).split(sizes)]


@pytest.mark.parametrize("place", ["l0", "l1", "l1_reverse"])
def test_jacobians_of_stacked_layers_in_both_directions(place: str) -> None:
    """A chain of steps from the layer's first state: the product of Jacobians is autograd's through all of them."""
    torch.manual_seed(1)
    gru = nn.GRU(2, 3, 2, bidirectional=True, batch_first=True, dropout=0.5).double()
    x = torch.randn(2, 5, 2, dtype=torch.float64)
    lengths = [5, 3]
    hx = torch.randn(4, 2, 3, dtype=torch.float64)
    found = inside.step_jacobians(gru, x, hx, place=place, lengths=lengths)
    assert gru.training
    gru.eval()
    index = {"l0": 0, "l1": 2, "l1_reverse": 3}[place]
    for item, end in enumerate(lengths):

        def last(h: Tensor, item: int = item) -> Tensor:
            start = hx.clone()
            start[index, item] = h
            return gru(x, start, lengths=lengths)[1][index, item]

        expected = torch.autograd.functional.jacobian(last, hx[index, item])
        product = torch.eye(3, dtype=torch.float64)
        for t in range(end):
            product = found.matrices[t, item] @ product
        torch.testing.assert_close(product, expected)
        inner = torch.linalg.multi_dot([found.matrices[t, item] for t in reversed(range(1, end))])
        torch.testing.assert_close(found.gain()[end - 1, item], torch.linalg.matrix_norm(inner, 2))
    assert found.matrices[3:, 1].isnan().all()
    assert found.gain()[3:, 1].isnan().all()
    assert not found.contracting[3:, 1].any()


def test_where_steps_shrink_and_where_they_grow() -> None:
    """A linear network with weights of known size: 0.5 times, and 1.5 times, a rotation."""
    for scale in (0.5, 1.5):
        rnn = nn.RNN(1, 2, nonlinearity="relu", bias=False)
        with torch.no_grad():
            rnn.weight_ih_l0.fill_(1)
            rnn.weight_hh_l0.copy_(scale * torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        found = inside.step_jacobians(rnn, torch.ones(4, 1, 1))
        torch.testing.assert_close(found.singular_values, torch.full((4, 1, 2), scale))
        assert bool(found.contracting.all()) == (scale < 1)
        assert bool(found.expanding.all()) == (scale > 1)
        torch.testing.assert_close(found.gain()[:, 0], scale ** torch.arange(4.0))


def test_the_jacobian_of_one_state_holds_the_others() -> None:
    torch.manual_seed(0)
    lstm = nn.LSTM(2, 3).double()
    x = torch.randn(4, 2, 2, dtype=torch.float64)
    whole, own = inside.step_jacobians(lstm, x), inside.step_jacobians(lstm, x, state="h")
    torch.testing.assert_close(own.matrices, whole.matrices[..., :3, :3])


@pytest.mark.parametrize("batch_first", [False, True])
def test_step_inputs_have_their_part(batch_first: bool) -> None:
    """Noise moves the state, and with it the slope of tanh: against autograd through the layer at one step."""
    torch.manual_seed(0)
    layer = nn.Recurrent(cells.CTRNN(activation="tanh"), 2, 3, batch_first=batch_first, dtype=torch.float64)
    x, noise = torch.randn(4, 4, 2, dtype=torch.float64), torch.randn(4, 4, 3, dtype=torch.float64)
    found = inside.step_jacobians(layer, x, noise=noise)
    first = (slice(0, 1), slice(0, 3)) if batch_first else (slice(0, 3), slice(0, 1))
    after = layer(x[first], noise=noise[first])[1]
    at = (slice(0, 1), slice(3, 4)) if batch_first else (slice(3, 4), slice(0, 1))
    expected = torch.autograd.functional.jacobian(
        lambda h: layer(x[at], h, noise=noise[at])[1].flatten(), after.detach()
    ).reshape(3, 3)
    torch.testing.assert_close(found.matrices[3, 0], expected)


def test_wrong_places_and_states_are_sentences() -> None:
    lstm = nn.LSTM(2, 3)
    x = torch.randn(4, 2, 2)
    with pytest.raises(ArgumentError, match="no 'l1'; its layers are l0"):
        inside.step_jacobians(lstm, x, place="l1")
    with pytest.raises(ArgumentError, match="no state 'z'; it has h, c"):
        inside.step_jacobians(lstm, x, state="z")
    with pytest.raises(ArgumentError, match=r"\(T, B, 2\)"):
        inside.step_jacobians(lstm, x[:, 0])

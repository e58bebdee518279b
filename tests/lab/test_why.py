"""The promise: what is said of a network's inside is what is there."""

from __future__ import annotations

import math

import pytest
import torch
from tests.lab.shapes import sequences
from torch import Tensor, nn

from pellucid.lab import why
from pellucid.lab.bodies import Body, ImageConvolutions, Network, SequenceConvolutions, SpectrogramConvolutions
from pellucid.lab.candidates import blueprint
from pellucid.lab.task import Split
from pellucid.trace import trace


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("name", ["rnn", "lstm2", "cnn+gru", "bigru"])
def test_the_gradient_at_a_distance_is_autograds(name: str, lengths: bool) -> None:
    """Against one step of the layer after the other, each state a leaf of its own graph."""
    task = sequences(lengths=lengths)
    torch.manual_seed(0)
    model = blueprint(name).build(task, 6)
    found = why.explain(model, task.test, task.lesson)
    assert found.gradient[0] == (0, 1.0)
    assert len(found.gradient) == task.extent[0]
    if name != "rnn":
        return
    cell = nn.RNN(task.channels, 6)
    cell.load_state_dict(model.body.layer.state_dict())  # type: ignore[union-attr]
    ends = task.test.lengths if task.test.lengths is not None else torch.full((len(task.test),), task.extent[0])
    norms: list[list[float]] = [[] for _ in range(task.extent[0])]
    for item, end in enumerate(ends.tolist()):
        states, h = [], torch.zeros(1, 1, 6)
        for t in range(end):
            _, h = cell(task.test.x[item, t].view(1, 1, -1), h)
            h.retain_grad()
            states.append(h)
        nn.functional.cross_entropy(model.head(h.view(1, -1)), task.test.y[[item]]).backward()
        for back in range(end):
            norms[back].append(float(states[end - 1 - back].grad.norm()))
    expected = [sum(own) / len(own) for own in norms]
    expected = [v / expected[0] for v in expected]
    assert [share for _, share in found.gradient] == pytest.approx(expected, rel=1e-4)
    faded = [d for d in range(len(expected)) if max(expected[d:]) < 0.01]
    assert found.fades == (faded[0] if faded else None)


@pytest.mark.parametrize("forget", [-2.0, 9.0])
def test_an_lstm_carries_in_its_cell_state(forget: float) -> None:
    """Forget gates that do not depend on anything multiply what reaches c, step by step."""
    task = sequences()
    torch.manual_seed(0)
    model = blueprint("lstm").build(task, 6)
    with torch.no_grad():
        layer = model.body.layer  # type: ignore[union-attr]
        layer.weight_hh_l0.zero_()
        layer.weight_ih_l0[6:12] = 0
        layer.bias_ih_l0[6:12], layer.bias_hh_l0[6:12] = forget, 0
    f = 1 / (1 + math.exp(-forget))
    found = why.explain(model, task.test, task.lesson)
    assert [share for _, share in found.gradient] == pytest.approx([f**d for d in range(task.extent[0])], rel=1e-4)
    assert found.fades == (3 if f < 0.5 else None)


def test_a_gradient_that_comes_back_has_not_faded(monkeypatch: pytest.MonkeyPatch) -> None:
    task = sequences()
    reach = torch.full((task.extent[0],), 0.5)
    reach[2], reach[-2:] = 0.001, 0.001
    monkeypatch.setattr(why.inside, "gradient_reach", lambda _state, _lengths: reach)
    assert why.explain(blueprint("gru").build(task, 4), task.test, task.lesson).fades == task.extent[0] - 2
    reach[-1] = float("nan")
    assert why.explain(blueprint("gru").build(task, 4), task.test, task.lesson).fades is None


def test_gates_and_filters_that_are_stuck() -> None:
    task = sequences()
    torch.manual_seed(0)
    model = blueprint("lstm").build(task, 5)
    with torch.no_grad():
        model.body.layer.bias_ih_l0[5:10] += 50  # type: ignore[union-attr]  # the forget gate: open
    gates = why.explain(model, task.test, task.lesson).gates
    assert set(gates) == {"i", "f", "o"}
    assert gates["f"] == (0.0, 1.0)
    cnn = blueprint("cnn").build(task, 8)
    with torch.no_grad():
        for convolution in cnn.body.convolutions:  # type: ignore[union-attr]
            convolution.bias[:2] -= 1000
    found = why.explain(cnn, task.test, task.lesson)
    assert found.dead == 0.25
    assert found.gradient == []
    assert found.sees == cnn.body.sees  # type: ignore[union-attr]


def test_what_convolutions_see_is_what_moves_their_output() -> None:
    body = SequenceConvolutions(1, (64,), 4, True)
    with torch.no_grad():
        for parameter in body.parameters():
            parameter.abs_()  # no ReLU stops anything
    x = torch.rand(1, 64, 1).requires_grad_()
    body(x, None)[0, -1].sum().backward()
    assert x.grad is not None
    assert int((x.grad[0, :, 0] != 0).nonzero()[0]) == 64 - body.sees


class _Looks(Body):
    """Answers with the sign of what stood so many steps before the end; the last one where there are fewer."""

    features = 1

    def __init__(self, back: int) -> None:
        super().__init__()
        self.back = back

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        ends = torch.full((len(x),), x.shape[1]) if lengths is None else lengths
        at = ends - self.back
        known = at >= 0
        seen = x[torch.arange(len(x)), at.clamp(min=0), 0]
        return torch.where(known, seen, torch.zeros(()))[:, None]


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("back", [1, 6, 13])
def test_how_far_back_the_data_looks(back: int, lengths: bool) -> None:
    task = sequences(steps=20, lengths=lengths, least=14, items=200)
    model = Network(task, _Looks(back), 0, False)
    with torch.no_grad():
        model.head.weight[:] = torch.tensor([[-1.0], [1.0]])
        model.head.bias.zero_()
    answers = model(task.test.x, task.test.lengths).argmax(-1)
    split = Split(task.test.x, answers, task.test.lengths, task.test.items)
    found = why.need(model, "LSTM", split, task.lesson, rope=1.0)
    assert found.figures[-1] == (20, 100.0)
    assert found.steps == 2 ** math.ceil(math.log2(back))


def test_last_steps_are_the_last_that_each_item_has() -> None:
    x = torch.arange(10.0).view(2, 5, 1)
    cut, lengths = why.last_steps(x, torch.tensor([5, 2]), 3)
    assert lengths is not None
    assert lengths.tolist() == [3, 2]
    assert cut[0, :, 0].tolist() == [2, 3, 4]
    assert cut[1, :2, 0].tolist() == [5, 6]


def test_images_have_dead_filters_too() -> None:
    torch.manual_seed(0)
    body = ImageConvolutions(1, (8, 8), 4)
    with torch.no_grad():
        for block in body.blocks:
            block.bias += 1000  # type: ignore[operator]
        body.blocks[0].bias[0] = -1000  # type: ignore[union-attr,operator,index]
        body.blocks[1].weight.abs_()  # type: ignore[union-attr,operator]
        with trace(body) as seen:
            body(torch.rand(50, 1, 8, 8), None)
    assert why._dead(seen) == pytest.approx(1 / 12)  # of 4 and 8


def test_steps_that_do_not_exist_are_no_shut_gates() -> None:
    """A trace shows zero there, which is below every threshold."""
    task = sequences(lengths=True)
    torch.manual_seed(0)
    model = blueprint("lstm").build(task, 5)
    with torch.no_grad():
        model.body.layer.bias_ih_l0[5:10] += 50  # type: ignore[union-attr]  # the forget gate: open
    assert task.test.lengths is not None
    assert int(task.test.lengths.min()) < task.extent[0]
    assert why.explain(model, task.test, task.lesson).gates["f"] == (0.0, 1.0)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_what_a_filter_of_the_last_map_sees_is_where_its_gradient_is(depth: int) -> None:
    """Over many inputs, since pooling passes each one's greatest on alone."""
    torch.manual_seed(0)
    x = torch.randn(256, 1, 40, 40, requires_grad=True)
    body = ImageConvolutions(1, (40, 40), 4, depth)
    maps = body.blocks(x)
    maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2].sum().backward()
    assert x.grad is not None
    rows = x.grad.abs().sum((0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == body.sees
    assert SpectrogramConvolutions(40, (40,), 4, depth).sees == body.sees

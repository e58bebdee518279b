"""The promise: an input takes one forward pass; gradients are found along its graph, each alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.web.conftest import drawn
from torch import Tensor
from torch import nn as torch_nn

from pellucid import nn
from pellucid.errors import ArgumentError
from pellucid.web import passes
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.questions import ask

LAYER = {"network": "reader", "item": 0, "layer": "lstm.l0"}
PIXEL = {"network": "reader", "item": 0, "stage": "block.map", "filter": 1, "row": 2, "column": 3}
ASKED: list[tuple[str, dict[str, Any]]] = [
    ("layers", {"network": "reader", "item": 0}),
    ("reach", LAYER),
    ("reach", LAYER | {"of": "unit", "unit": 2, "step": 1}),
    ("gradient", LAYER | {"name": "f"}),
    ("gradient", LAYER | {"name": "f", "of": "state", "step": 2}),
    ("attribution", LAYER | {"unit": 2, "step": 1}),
    ("leaning", PIXEL),
    ("pixel", PIXEL),
]


def test_an_input_takes_one_forward_pass(reader: Opened) -> None:
    """Whatever is asked of it, and of whichever gradient."""
    calls = []
    reader.networks[0].model.register_forward_hook(lambda *_: calls.append(1))
    for name, parameters in ASKED:
        ask(reader, name, parameters)
    assert len(calls) == 1


def test_in_any_order_the_answers_are_the_same(reader: Opened) -> None:
    """A gradient is the same whichever was asked for before it along the same graph."""
    batch = torch.stack([item.x for item in reader.items])
    answers = [ask(of_models({"reader": reader.networks[0].model}, batch), *asked) for asked in ASKED]  # each alone
    for (name, parameters), answer in reversed(list(zip(ASKED, answers, strict=True))):
        assert ask(reader, name, parameters) == answer


class Two(torch_nn.Module):
    """Two layers of recurrence one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.GRU(2, 3, batch_first=True), nn.LSTM(3, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x)[0])[0]
        return out[:, -1]


def test_a_gradient_holds_nothing_of_the_one_before() -> None:
    """What the answer's gradient reached, and a state's below it does not, has none."""
    done = passes.run(drawn(Two()), [torch.randn(1, 5, 2)])
    assert {"first.l0.h", "second.l0.f"} <= passes.gradients(done, done.output[0, 0]).values.keys()
    below = passes.gradients(done, done.seen["first.l0.h"].values[2, 0, 1])
    assert "first.l0.z" in below.values
    assert not any(name.startswith("second") for name in below.values)
    assert below.given["first"].any()
    assert not below.given["second"].any()


class Tokens(torch_nn.Module):
    """Tokens as embeddings or as one-hot rows, from which no graph begins by itself, into a GRU."""

    def __init__(self, embeds: bool) -> None:
        super().__init__()
        self.embedding = torch_nn.Embedding(5, 5) if embeds else None
        self.gru = nn.GRU(5, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        rows = torch_nn.functional.one_hot(x, 5).float() if self.embedding is None else self.embedding(x)
        rows *= 2  # written over
        out: Tensor = self.gru(rows)[0]
        return out[:, -1]


@pytest.mark.parametrize("embeds", [True, False])
def test_tokens_have_gradients(embeds: bool) -> None:
    """Of the states, and of what the layer is fed: torch's own numbers."""
    model, x = drawn(Tokens(embeds)), torch.tensor([[1, 4, 2, 2]])
    opened = of_models({"net": model}, x)
    about = {"network": "net", "item": 0, "layer": "gru.l0"}
    rows = torch.eye(5)[x] if model.embedding is None else model.embedding(x).detach()  # type: ignore[operator]
    fed = (2 * rows).requires_grad_()
    model.gru(fed)[0][0, 2, 1].backward()  # type: ignore[operator]
    assert fed.grad is not None
    found = torch.tensor(ask(opened, "attribution", about | {"unit": 1, "step": 2})["steps"])
    torch.testing.assert_close(found, (fed * fed.grad)[0].sum(1).detach())
    assert ask(opened, "reach", about)["states"][0]["start"] == 3


def test_the_input_stays_as_it_is() -> None:
    """Of a model that writes over it; nor does a hook stay behind, or a gradient of a weight come."""

    class Writes(torch_nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(2, 3, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x.mul_(2)
            out: Tensor = self.lstm(x)[0]
            return out[:, -1]

    x = torch.randn(1, 4, 2)
    before, opened = x.clone(), of_models({"net": Writes()}, x)
    assert torch.equal(x, before)
    model, x = opened.networks[0].model, opened.items[0].x
    done = opened.seen("net", 0)
    passes.gradients(done, done.output[0, 0])
    opened.seen_anew("net", 0)
    assert torch.equal(x, before[0])
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_number_that_is_cut_off_is_a_sentence() -> None:
    done = passes.run(nn.LSTM(2, 3), [torch.randn(4, 1, 2)])
    with pytest.raises(ArgumentError, match="cuts it off"):
        passes.gradients(done, done.output.detach().sum())

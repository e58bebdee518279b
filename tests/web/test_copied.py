"""The promise: a page never touches a person's model, so it may be trained while the page is open."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.web.test_passes import ASKED
from torch import Tensor
from torch import nn as torch_nn

from pellucid import nn
from pellucid.errors import ArgumentError
from pellucid.web.model import of_models
from pellucid.web.questions import ask


class Trained(torch_nn.Module):
    """What training changes in a model: weights, running means, and what dropout draws."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.ConvBlock(1, 4, 3, padding="same", pool_size=2)
        self.norm = torch_nn.BatchNorm2d(4)
        self.rectified = torch_nn.ReLU(inplace=True)
        self.lstm = nn.LSTM(16, 6)
        self.lstm.bias_ih_l0.requires_grad_(False)
        self.drop = torch_nn.Dropout(0.5)
        self.head = torch_nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.rectified(self.norm(self.block(x)))
        y, _ = self.lstm(maps.permute(2, 0, 1, 3).flatten(2))
        return self.head(self.drop(y[-1]))


def training(
    look: Callable[[torch_nn.Module, Tensor], object], steps: int = 5
) -> tuple[list[float], dict[str, Tensor]]:
    """The losses of some steps, before each of which someone looks, and what the model is then."""
    torch.manual_seed(0)
    model, x = Trained(), torch.rand(6, 1, 8, 8)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(steps):
        look(model, x)
        optimiser.zero_grad()
        loss = torch_nn.functional.cross_entropy(model(x), torch.arange(6) % 3)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    return losses, model.state_dict()


def asks(model: torch_nn.Module, x: Tensor) -> None:
    """Open a page, and ask it all; while its networks run the person's model is as it was."""
    shapes = [(p.requires_grad, p.grad is None) for p in model.parameters()]
    opened = of_models({"reader": model}, x)

    def same(*_: Any) -> None:
        assert [(p.requires_grad, p.grad is None) for p in model.parameters()] == shapes
        assert all(module.training for module in model.modules())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
        assert model.rectified.inplace

    opened.networks[0].model.lstm.register_forward_hook(same)  # type: ignore[operator,union-attr]
    for name, parameters in [*ASKED, ("forced", {"network": "reader", "item": 0, "layer": "lstm.l0"})]:
        ask(opened, name, parameters)


def test_training_goes_on_as_if_nobody_looked() -> None:
    """Bit for bit: losses, weights, running means and what is drawn."""
    alone, looked_at = training(lambda *_: None), training(asks)
    assert looked_at[0] == alone[0]
    assert all(torch.equal(looked_at[1][name], value) for name, value in alone[1].items())


def test_a_page_answers_while_the_model_is_trained() -> None:
    """At the same time in another thread: the same answers as before, and training ends where it ends alone."""
    torch.manual_seed(0)
    opened = of_models({"reader": Trained()}, torch.rand(6, 1, 8, 8))
    before = [ask(opened, *asked) for asked in ASKED]
    page: list[Any] = []
    open_, ended = threading.Event(), threading.Event()
    found: list[Any] = []

    def look() -> None:
        open_.wait(30)
        while not ended.is_set():
            page[0]._passes.clear()
            page[0]._gradients.clear()
            found.append([ask(page[0], *asked) for asked in ASKED])

    def opens(model: torch_nn.Module, x: Tensor) -> None:
        if not page:
            page.append(of_models({"reader": model}, x))
            open_.set()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        trained = training(opens, steps=40)
    finally:
        ended.set()
        open_.set()
        looking.join()
    assert found
    assert all(answers == before for answers in found)  # the page has what was opened
    alone = training(lambda *_: None, steps=40)
    assert trained[0] == alone[0]


def test_what_is_made_of_other_weights_is_copied() -> None:
    """Torch alone would refuse: such a tensor has a graph."""
    model = torch_nn.Sequential(nn.Conv1d(1, 2, 3))
    model[0].scaled = model[0].weight * 2  # type: ignore[union-attr]
    opened = of_models({"net": model}, torch.rand(1, 1, 8))
    assert opened.networks[0].model is not model
    assert torch.equal(opened.networks[0].model[0].scaled, 2 * model[0].weight)  # type: ignore[index,union-attr]


def test_what_cannot_be_copied_is_a_sentence() -> None:
    model = torch_nn.Sequential(nn.Conv1d(1, 2, 3))
    model.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(ArgumentError, match="a copy of net, and it cannot be copied: cannot pickle"):
        of_models({"net": model}, torch.rand(1, 1, 8))

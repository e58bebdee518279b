"""The promise: a cell that a model calls step by step is shown as one recurrence, with the numbers of the same cell as a layer."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from playwright.sync_api import expect
from tests.web.conftest import Open, drawn
from torch import Tensor
from torch import nn as torch_nn

from pellucid import nn
from pellucid.errors import ArgumentError
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.questions import ask

CELLS = ["RNN", "GRU", "LSTM"]


class Loop(torch_nn.Module):
    """A cell over the steps of (1, T, 2), and a class from what it said last."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.cell = getattr(nn, f"{kind}Cell")(2, 5)
        self.head = torch_nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class Layer(torch_nn.Module):
    """The same with a layer."""

    def __init__(self, loop: Loop, kind: str) -> None:
        super().__init__()
        self.layer = getattr(nn, kind)(2, 5, batch_first=True)
        self.layer.load_state_dict({f"{key}_l0": value for key, value in loop.cell.state_dict().items()})
        self.head = loop.head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


def both(kind: str) -> Opened:
    """The loop and the layer with the same weights, on two sequences of 20 steps."""
    loop = drawn(Loop(kind))
    batch = torch.randn(2, 20, 2, generator=torch.Generator().manual_seed(5))
    return of_models({"loop": loop, "layer": Layer(loop, kind)}, batch)  # type: ignore[arg-type]


def questions(memory: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("cell", {}), ("step", {"step": 7}), ("step", {"step": 0, "unit": 2}), ("sequence", {"name": memory}),
        ("sequence", {"name": "x"}), ("line", {"unit": 1}), ("telling", {}), ("reach", {}),
        ("reach", {"of": "unit", "unit": 3, "step": 12}), ("gradient", {"name": memory}), ("unit", {"unit": 4}),
        ("attribution", {"unit": 3, "step": 12}), ("drivers", {"unit": 0, "items": 2}), ("sofar", {"step": 9}),
    ]  # fmt: skip


def alike(mine: Any, theirs: Any, where: str) -> None:
    """The same but for rounding of the arithmetic, which goes another way; a picture's bytes may be one off."""
    if isinstance(theirs, dict):
        assert mine.keys() == theirs.keys(), where
        for key in theirs.keys() - {"bytes"}:
            alike(mine[key], theirs[key], f"{where} {key}")
    elif isinstance(theirs, list):
        assert len(mine) == len(theirs), where
        for one, other in zip(mine, theirs, strict=True):
            alike(one, other, where)
    elif isinstance(theirs, float):
        assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-5), where
    else:
        assert mine == theirs, where


@pytest.mark.parametrize("kind", CELLS)
def test_every_question_has_the_answer_of_the_layer(kind: str) -> None:
    opened = both(kind)
    (loop,), (layer,) = (ask(opened, "places", {"network": n, "item": 1})["places"] for n in ("loop", "layer"))
    assert (loop.pop("layer"), loop.pop("loop"), layer.pop("layer"), layer.pop("loop")) == (
        "cell", True, "layer.l0", False,
    )  # fmt: skip
    assert loop == layer
    for name, more in questions(layer["memory"]):
        about = {"network": "loop", "layer": "cell", "item": 1} | more
        alike(ask(opened, name, about), ask(opened, name, about | {"network": "layer", "layer": "layer.l0"}), name)


def test_states_are_those_that_a_call_was_given() -> None:
    """Where the model changes a state between calls, the step begins with what it made of it; unbatched calls are steps, too."""

    class Halved(torch_nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRUCell(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            h = torch.ones(3)
            for step in x[0]:
                h = self.cell(step, h / 2)
            return h[None]

    model = drawn(Halved())
    opened = of_models({"net": model}, torch.randn(1, 4, 2))
    about = {"network": "net", "item": 0, "layer": "cell"}
    h = opened.seen("net", 0).seen["cell.h"].values.detach()
    assert h.shape == (4, 1, 3)
    elements = ask(opened, "cell", about)["elements"]
    before = next(e["value"] for e in elements if e["kind"] == "state" and e["before"])
    for step, state in ((0, torch.ones(3)), (2, h[1, 0])):
        numbers = ask(opened, "step", about | {"step": step, "unit": 1})["numbers"]
        assert numbers[str(before)] == pytest.approx(float(state[1]) / 2, rel=1e-5)


def test_holding_a_gate_of_a_loop_is_a_sentence() -> None:
    with pytest.raises(ArgumentError, match="cell that the network calls itself"):
        ask(both("LSTM"), "forced", {"network": "loop", "item": 0, "layer": "cell", "name": "f"})


def test_the_view_of_a_loop(visit: Open) -> None:
    """It says that a step is a call, shows the numbers, and where a gate cannot be held a sentence stands."""
    opened = both("LSTM")
    page = visit(opened, "view=recurrence&network=loop&step=7&unit=2")
    expect(page.get_by_text("The network calls this cell itself, one step at a time")).to_be_visible()
    c = f"{float(opened.seen('loop', 0).seen['cell.c'].values.detach()[7, 0, 2]):.2f}".replace("-", "−")
    expect(page.get_by_role("button", name=re.compile(rf"^c t: .*{re.escape(c)}")).last).to_be_visible()
    held = page.get_by_role("region", name="What if a gate did not move")
    expect(held).to_contain_text("A gate can be held in a layer, and this network calls its cell itself")
    expect(held.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_text(re.compile(r"The gradient (never )?falls to 1\s%"))).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_role("slider", name="Time step").press("ArrowRight")
    assert "step=8" in page.url
    page.get_by_role("button", name="Side by side").click()
    for name in ("loop", "layer"):
        expect(page.get_by_role("article", name=name, exact=True).get_by_role("group")).to_be_visible()


def test_calls_of_other_sizes_are_no_recurrence(visit: Open) -> None:
    """A sentence says so, and side by side the others stand alone."""

    class Growing(torch_nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.RNNCell(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.cell(self.cell(x[0, :1]).new_zeros(2, 2)).sum(0, keepdim=True)

    models = {"growing": Growing(), "rnn": nn.RNN(2, 3, batch_first=True), "gru": nn.GRU(2, 3, batch_first=True)}
    page = visit(of_models(models, torch.randn(1, 6, 2)), "view=recurrence")
    expect(page.get_by_text("with different numbers of sequences from call to call")).to_be_visible()
    page.get_by_role("button", name="Side by side").click()
    expect(page.get_by_role("article")).to_have_count(2)

"""The promise: networks side by side are seen on the same input at the same step, and what is said of them is computed."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from playwright.sync_api import Page, expect
from tests.web.conftest import Open, drawn
from torch import nn as torch_nn

from pellucid import inside, nn, trace
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.questions import ask

NAMES = ["rnn", "lstm", "gru", "leaky"]
AT = "view=together"


def faded(opened: Opened, network: str, state: str, target: int) -> int | None:
    """Steps back at which less than 1 % of the gradient of a class is left, by pellucid.inside."""
    model, x = opened.network(network).model, opened.item(0).x[None]
    with trace(model) as seen:
        model(x.requires_grad_())[0, target].backward()
    reach = inside.gradient_reach(seen[f"layer.l0.{state}"])
    return next((k for k, share in enumerate(reach.tolist()) if share < 0.01), None)


def sentence(opened: Opened, states: dict[str, str], targets: dict[str, int]) -> re.Pattern[str]:
    """How the page says it; of one that never fades, how much is left is tested with the questions."""
    falls, lasts = [], []
    for name, state in states.items():
        steps = faded(opened, name, state, targets[name])
        if steps is None:
            lasts.append(rf"in the {name} \([\d.]+\s% is left after 23 steps\)")
        else:
            falls.append(f"in the {name} after {steps} steps?")
    said = [(r"The gradient falls to 1\s%", falls), (r"The gradient never falls to 1\s%", lasts)]
    return re.compile(r"\. ".join(f"{beginning} {', '.join(parts)}" for beginning, parts in said if parts))


def output(value: float) -> re.Pattern[str]:
    """The drawing's button of the new state, with its number."""
    return re.compile(f"^h ?t: {value:.2f}$".replace("-", "−"))


MEMORY = {"rnn": "h", "lstm": "c", "gru": "h", "leaky": "h"}


def test_every_network_has_a_side(four: Opened, visit: Open) -> None:
    """Its drawing, its memory, its answer; and where 1 % of each one's gradient is left is said in a sentence."""
    page = visit(four, AT)
    expect(page.get_by_role("article")).to_have_count(4)
    for name in NAMES:
        side = page.get_by_role("article", name=name, exact=True)
        expect(side.get_by_role("group", name=re.compile("One time step of the"))).to_be_visible()
        expect(side.get_by_role("application", name=re.compile("Its memory . over time"))).to_be_visible()
        answer = ask(four, "answer", {"network": name, "item": 0})["largest"][0]
        expect(side.locator("li").first).to_contain_text(f"{answer['value']:.2f}".replace("-", "−"))
    own = {name: int(four.seen(name, 0).output.argmax()) for name in NAMES}
    expect(page.get_by_text(sentence(four, MEMORY, own))).to_be_visible()


def test_one_cursor_moves_time_in_all(four: Opened, visit: Open) -> None:
    """Keys move it; every answer is then that of the beginning alone, and the step stands in the address."""
    page = visit(four, AT)
    expect(page.get_by_text("step 23 (0 to 23)")).to_be_visible()
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_text("step 5 (0 to 23)")).to_be_visible()
    assert "step=5" in page.url
    for name in NAMES:
        side = page.get_by_role("article", name=name, exact=True)
        expect(side.get_by_text("Its answer if the input ended at step 5")).to_be_visible()
        x = four.item(0).args[0]
        assert x is not None
        value = float(four.network(name).model(x[:, :6]).max().detach())
        expect(side.locator("li").first).to_contain_text(f"{value:.2f}".replace("-", "−"))
        h = four.seen(name, 0).seen["layer.l0.h"].values[5, 0].detach()
        drawing = side.get_by_role("group", name=re.compile("One time step of the"))
        expect(drawing.get_by_role("button", name=output(float(h.abs().mean()))).first).to_be_visible()


def test_the_output_is_chosen_for_all(four: Opened, visit: Open) -> None:
    """A class; where the gradient is looked at; and a state at the cursor, which then is where gradients start."""
    page = visit(four, AT)
    page.get_by_role("combobox", name="Gradient of").select_option(label="the answer “1”")
    expect(page.get_by_text(sentence(four, MEMORY, dict.fromkeys(NAMES, 1)))).to_be_visible()
    page.get_by_role("combobox", name="At", exact=True).select_option(label="the hidden state h")
    expect(page.get_by_text(sentence(four, dict.fromkeys(NAMES, "h"), dict.fromkeys(NAMES, 1)))).to_be_visible()
    assert "output=1" in page.url
    page.get_by_role("slider", name="Time step").fill("9")
    page.get_by_role("combobox", name="Gradient of").select_option("state")
    expect(page.get_by_role("heading", name="of the hidden state here, at step 9 reaches")).to_be_visible()
    legend = page.locator("figcaption", has_text="as a share of where it starts")
    expect(legend).to_contain_text(re.compile("rnn 100.%.*lstm 100.%.*gru 100.%.*leaky 100.%"))


def test_the_chart_says_what_is_left_at_the_cursor(four: Opened, visit: Open) -> None:
    """The pointer moves the cursor; the shares beside the names are those of the trace."""
    page = visit(four, f"{AT}&output=0")
    chart = page.get_by_role("img", name=re.compile("How far back the gradient"))
    box = chart.bounding_box()
    assert box is not None
    chart.click(position={"x": box["width"] * 20.5 / 24, "y": 20}, force=True)  # the cursor lies over it
    expect(page.get_by_text("step 20 (0 to 23)")).to_be_visible()
    legend = page.locator("figcaption", has_text="as a share of where it starts")
    for name in NAMES:
        found = ask(four, "reach", {"network": name, "item": 0, "layer": "layer.l0", "target": 0})
        state = next(s for s in found["states"] if s["name"] == found["memory"])
        share = 100 * state["norms"][20] / state["norms"][23]
        text = f"{share:.0f}" if share >= 10 else f"{share:#.2g}"
        expect(legend.locator("span", has_text=name)).to_contain_text(f"{text} %")


def test_a_unit_of_one_network(four: Opened, visit: Open) -> None:
    """A row of a memory is a unit: that network's drawing has its numbers, the others stay as they are."""
    page = visit(four, f"{AT}&step=7")
    side = page.get_by_role("article", name="gru", exact=True)
    memory = side.get_by_role("application")
    box = memory.bounding_box()
    assert box is not None
    memory.click(position={"x": box["width"] * 7.5 / 24, "y": box["height"] * 4.5 / 6})
    expect(side.get_by_text("unit 4")).to_be_visible()
    h = float(four.seen("gru", 0).seen["layer.l0.h"].values[7, 0, 4])
    expect(side.get_by_role("button", name=output(h)).first).to_be_visible()
    assert "unit.gru=4" in page.url
    side.get_by_role("button", name="All units again").click()
    expect(side.get_by_text("unit 4")).to_have_count(0)


def test_memories_of_one_name_share_their_colours(four: Opened, visit: Open) -> None:
    """h of RNN, GRU and the own cell on one range; c on its own."""
    page = visit(four, AT)
    expect(page.locator("article figcaption small")).to_have_count(4)
    texts = dict(zip(NAMES, page.locator("article figcaption small").all_inner_texts(), strict=True))
    assert texts["rnn"] == texts["gru"] == texts["leaky"]
    most = max(float(four.seen(n, 0).seen["layer.l0.h"].values.abs().max()) for n in NAMES if n != "lstm")
    assert texts["rnn"] == f"−{most:.2f} … {most:.2f}"
    c = float(four.seen("lstm", 0).seen["layer.l0.c"].values.abs().max())
    assert texts["lstm"] == f"−{c:.2f} … {c:.2f}"


class Every(torch_nn.Module):
    """A class after every step, of two layers in both directions or of one."""

    def __init__(self, layer: nn.Recurrent) -> None:
        super().__init__()
        self.layer = layer
        self.head = torch_nn.Linear(layer.output_size * len(layer.directions), 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(x)[0])


@pytest.fixture
def stepwise() -> Opened:
    """Answers after every step; one network has two layers."""
    models: dict[str, Any] = {
        "gru": Every(nn.GRU(2, 4, batch_first=True)),
        "lstm2": Every(nn.LSTM(2, 4, 2, batch_first=True)),
    }
    batch = torch.randn(1, 12, 2, generator=torch.Generator().manual_seed(2))
    return of_models({name: drawn(model) for name, model in models.items()}, batch)


def test_an_answer_after_a_step(stepwise: Opened, visit: Open) -> None:
    """Gradients then start there, and the cursor moves on freely."""
    page = visit(stepwise, f"{AT}&step=6&output=2")
    page.get_by_role("button", name="Answer after this step").click()
    expect(page.get_by_role("heading", name="the answer “2” after step 6 reaches")).to_be_visible()
    page.keyboard.press("ArrowRight")
    legend = page.locator("figcaption", has_text="as a share of where it starts")
    expect(legend).to_contain_text(re.compile("gru –.*lstm2 –"))
    assert "from=6" in page.url
    page.get_by_role("button", name="Answer at the end").click()
    expect(legend).not_to_contain_text("–")


def test_a_layer_of_several(stepwise: Opened, visit: Open) -> None:
    """The last is looked at; another can be."""
    page = visit(stepwise, AT)
    side = page.get_by_role("article", name="lstm2")
    layer = side.get_by_label("Layer")
    expect(layer).to_have_value("layer.l1")
    layer.select_option("layer.l0")
    h = stepwise.seen("lstm2", 0).seen["layer.l0.h"].values[11, 0]
    expect(side.get_by_role("button", name=output(float(h.abs().mean()))).first).to_be_visible()
    assert "layer.lstm2=layer.l0" in page.url


def test_one_below_the_other_on_a_phone(four: Opened, visit: Open) -> None:
    """Nothing is wider than the screen."""
    page = visit(four, AT, width=390)
    expect(page.get_by_role("article")).to_have_count(4)
    boxes = [side.bounding_box() for side in page.get_by_role("article").all()]
    tops = [box["y"] for box in boxes if box is not None]
    assert tops == sorted(tops)
    assert len(set(tops)) == 4
    assert all(box is not None and box["x"] + box["width"] <= 390 for box in boxes)
    assert wider(page) == []


def wider(page: Page) -> list[str]:
    """Parts of the view that stand out of the window to the right."""
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('article, article *, section *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    return found


def test_korean(four: Opened, visit: Open) -> None:
    page = visit(four, AT)
    page.get_by_role("button", name="한국어").click()
    expect(page.get_by_text(re.compile(r"기울기가 (끝까지 )?1\s%로 줄.*: rnn .*단계 뒤"))).to_be_visible()

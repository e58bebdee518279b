"""The promise: of a long input the gradient's nearest steps are shown before the way back over all is gone, and say so."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from playwright.sync_api import Page, Request, Route, expect
from tests.web.conftest import Last, Open, drawn, questions

from pellucid import nn
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.questions import ask

STEPS, BACK = 600, 128
FIRST = STEPS - BACK
COMING = f"steps 0 to {FIRST - 1}: still being computed"


@pytest.fixture
def long() -> Opened:
    """Networks that hold on to what they have, so that a gradient is left after many steps; two inputs."""
    lstm, gru = nn.LSTM(2, 6, batch_first=True), nn.GRU(2, 6, batch_first=True)
    models = {"lstm": drawn(Last(lstm)), "gru": drawn(Last(gru))}
    with torch.no_grad():
        lstm.weight_hh_l0.mul_(0.1)
        lstm.bias_ih_l0[6:12] = 6.0  # the forget gate
        gru.weight_hh_l0.mul_(0.1)
        gru.bias_ih_l0[6:12] = 6.0  # the gate that keeps
    return of_models(models, torch.randn(2, STEPS, 2, generator=torch.Generator().manual_seed(3)) / 4)


class Held:
    """Answers about all steps are held back on their way until they are let go."""

    def __init__(self, page: Page) -> None:
        self.held: list[Route] = []
        self.open = False
        page.route(re.compile(r"/ask$"), self._take)

    def _take(self, route: Route, request: Request) -> None:
        whole = any(name in ("reach", "gradient") and "back" not in more for name, more in questions(request))
        if self.open or not whole:
            route.continue_()
        else:
            self.held.append(route)

    def let_go(self) -> None:
        self.open = True
        for route in self.held:
            route.continue_()


def left(state: dict[str, Any], at: int) -> str:
    """What is left of a gradient at a step, as the page writes it."""
    return f"{round(100 * state['norms'][at] / state['norms'][state['start']])}\N{NO-BREAK SPACE}%"


def test_a_network_s_gradient(long: Opened, visit: Open) -> None:
    """The part says what is known and what is not, its picture ends where it does; then the whole takes its place."""
    page = visit(long, "view=guide")
    held = Held(page)
    page.goto(page.url.replace("view=guide", "view=recurrence&network=lstm&unit=3"))
    panel = page.locator("section", has=page.get_by_role("heading", name="How far back the gradient reaches"))
    state = ask(long, "reach", {"network": "lstm", "item": 0, "layer": "layer.l0"})["states"][1]
    panel.scroll_into_view_if_needed()
    expect(panel.get_by_text(COMING)).to_have_count(2)
    expect(panel).to_contain_text(
        re.compile(
            f"More than 1.% is left .*at c \\({left(state, FIRST)} is left after {BACK - 1} steps\\); further back"
        )
    )
    picture = panel.get_by_role("application")
    whole, part = panel.locator(".along").bounding_box(), picture.bounding_box()
    assert whole is not None
    assert part is not None
    assert part["width"] / whole["width"] == pytest.approx(BACK / STEPS, abs=0.01)
    held.let_go()
    expect(panel.get_by_text(COMING)).to_have_count(0)
    expect(panel).to_contain_text(re.compile(f"falls to 1.% .*at c after {state['fades']} steps"))
    expect(panel).not_to_contain_text("further back is")


def test_an_input_that_nobody_pointed_at(long: Opened, visit: Open) -> None:
    """Chosen out of the open list, with the panel in view: the way back over all of it has not been gone when its part is shown."""
    page = visit(long, "view=recurrence&network=lstm&unit=3&item=0")
    panel = page.locator("section", has=page.get_by_role("heading", name="How far back the gradient reaches"))
    panel.scroll_into_view_if_needed()
    expect(panel.get_by_role("application")).to_be_visible()
    # Else what is still asked of this input is held, and the next one's with it.
    expect(panel.get_by_text(COMING)).to_have_count(0)
    held = Held(page)
    page.get_by_role("combobox", name="Input").first.select_option("1")
    expect(panel.get_by_text(COMING).first).to_be_visible()
    ways = [str(key[2]) for key in long._gradients if key[1] == 1]  # a unit's own, in the panel above, among them
    assert [way for way in ways if way.startswith("answer") and "back" not in way] == []
    state = ask(long, "reach", {"network": "lstm", "item": 1, "layer": "layer.l0"})["states"][1]
    expect(panel).to_contain_text(f"at c ({left(state, FIRST)} is left after {BACK - 1} steps)")
    held.let_go()
    expect(panel).to_contain_text(re.compile(f"falls to 1.% .*at c after {state['fades']} steps"))


def test_side_by_side(long: Opened, visit: Open) -> None:
    page = visit(long, "view=guide")
    held = Held(page)
    page.goto(page.url.replace("view=guide", "view=together"))
    expect(page.get_by_text(COMING)).to_have_count(1)
    expect(
        page.get_by_text(re.compile("More than 1.% is left in the .*; further back is still being computed"))
    ).to_be_visible()
    held.let_go()
    expect(page.get_by_text(COMING)).to_have_count(0)
    expect(page.get_by_text(re.compile("The gradient never falls to 1.% in the "))).to_be_visible()


def test_short_inputs_are_gone_back_along_at_once(four: Opened, visit: Open) -> None:
    """What is asked of them is asked once."""
    page = visit(four, "view=guide")
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.extend(name for name, _ in questions(request)))
    page.goto(page.url.replace("view=guide", "view=together"))
    expect(page.get_by_text(re.compile("The gradient (falls|never)"))).to_be_visible()
    page.wait_for_timeout(600)
    assert asked.count("reach") == len(four.networks)

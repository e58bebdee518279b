"""The promise: of a layer with more units than a map holds, every unit can be seen, and the page says which are shown."""

from __future__ import annotations

import re

import pytest
import torch
from playwright.sync_api import Locator, Page, expect
from tests.web.conftest import Open, drawn

from pellucid import nn, trace
from pellucid.trace import Trace
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.questions import ask

UNITS, STEPS = 600, 6


@pytest.fixture
def large() -> Opened:
    """Two layers of 600 units, of which the second reads 600 numbers, beside a small network."""
    models = {"gru": nn.GRU(2, UNITS, 2, batch_first=True), "rnn": nn.RNN(2, 4, batch_first=True)}
    batch = torch.randn(1, STEPS, 2, generator=torch.Generator().manual_seed(3))
    return of_models({name: drawn(model) for name, model in models.items()}, batch)


def traced(opened: Opened) -> Trace:
    with trace(opened.network("gru").model, grad=False) as seen:
        opened.network("gru").model(*opened.item(0).args)
    return seen


def shown(value: torch.Tensor) -> str:
    return f"{float(value):.2f}".replace("-", "−").replace("−0.00", "0.00")


def pages(page: Page, sentence: str) -> Locator:
    return page.get_by_role("group", name=sentence, exact=True)


def click_first_row(page: Page, steps: int = STEPS) -> None:
    """Of the map of h, at step 2."""
    grid = page.get_by_role("application", name=re.compile("^h of"))
    box = grid.bounding_box()
    assert box is not None
    grid.click(position={"x": box["width"] * 2.5 / steps, "y": 0.1})


def test_the_other_units_are_a_click_away(large: Opened, visit: Open) -> None:
    """What is shown is said; a click then means a unit of that page, and its numbers are the trace's."""
    page = visit(large, "view=recurrence&network=gru&layer=l0&unit=0&step=1")
    first = pages(page, "units 0–511 of 600")
    expect(first.get_by_role("button", name="The rows before")).to_be_disabled()
    expect(page.get_by_role("application", name=f"h of 512 units over {STEPS} steps")).to_be_visible()
    first.get_by_role("button", name="The rows after").click()
    expect(pages(page, "units 512–599 of 600").get_by_role("button", name="The rows after")).to_be_disabled()
    expect(page.get_by_role("application", name=f"h of 88 units over {STEPS} steps")).to_be_visible()
    assert "rows=512" in page.url
    click_first_row(page)
    expect(page.get_by_role("heading", name="Unit 512", exact=True)).to_be_visible()
    h = traced(large)["l0.h"].values[2, 0, 512]
    expect(page.get_by_role("button", name=re.compile("^h t: ")).last).to_have_accessible_name(f"h t: {shown(h)}")
    page.reload()
    expect(pages(page, "units 512–599 of 600")).to_be_visible()


def test_the_page_with_the_unit_is_shown(large: Opened, visit: Open) -> None:
    """Until another is asked for; then a button leads to the unit."""
    page = visit(large, "view=recurrence&network=gru&layer=l0&unit=550")
    pages(page, "units 512–599 of 600").get_by_role("button", name="The rows before").click()
    expect(pages(page, "units 0–511 of 600")).to_be_visible()
    page.get_by_role("button", name="To unit 550").click()
    expect(pages(page, "units 512–599 of 600")).to_be_visible()
    expect(page.get_by_role("button", name="To unit 550")).to_have_count(0)
    page.get_by_role("spinbutton", name="Unit number").fill("7")
    page.keyboard.press("Tab")
    expect(pages(page, "units 0–511 of 600")).to_be_visible()


def test_pages_of_another_order(large: Opened, visit: Open) -> None:
    """Rows are then places in that order, and the page with the unit is found in it."""
    rows = ask(large, "order", {"network": "gru", "item": 0, "layer": "l0", "order": "mean"})["units"]
    page = visit(large, f"view=recurrence&network=gru&layer=l0&unit={rows[520]}&step=1")
    page.get_by_role("combobox", name="Units").select_option("mean")
    expect(pages(page, "rows 513–600 of 600 units")).to_be_visible()
    expect(page.get_by_role("application", name=f"h of 88 units over {STEPS} steps")).to_be_visible()
    click_first_row(page)
    expect(page.get_by_role("heading", name=f"Unit {rows[512]}", exact=True)).to_be_visible()


def test_what_a_layer_reads_has_its_own_pages(large: Opened, visit: Open) -> None:
    page = visit(large, "view=recurrence&network=gru&layer=l1&unit=0&step=1")
    pages(page, "numbers 0–511 of 600").get_by_role("button", name="The rows after").click()
    expect(pages(page, "numbers 512–599 of 600")).to_be_visible()
    expect(page.get_by_role("application", name=f"x of 88 units over {STEPS} steps")).to_be_visible()
    expect(pages(page, "units 0–511 of 600")).to_be_visible()
    assert "rows.x=512" in page.url


def test_what_a_unit_rests_on_has_pages(visit: Open) -> None:
    """Of many features of the input."""
    model = drawn(nn.GRU(700, 3, batch_first=True))
    page = visit(of_models({"gru": model}, torch.randn(1, 8, 700)), "view=recurrence&unit=1&step=4")
    panel = page.get_by_role("region", name="What unit 1 remembers")
    panel.get_by_role("button", name="The rows after").click()
    expect(panel.get_by_role("group", name="numbers 512–699 of 700")).to_be_visible()
    page.wait_for_function(
        "[...document.querySelectorAll('section[aria-label=\"What unit 1 remembers\"] canvas')].at(-1)?.height === 188"
    )


def test_memories_side_by_side_have_pages(large: Opened, visit: Open) -> None:
    """Where there are as many units, and only there."""
    page = visit(large, "view=together&step=1")
    side = page.get_by_role("article", name="gru", exact=True)
    side.get_by_role("button", name="The rows after").click()
    expect(side.get_by_role("group", name="units 512–599 of 600")).to_be_visible()
    grid = side.get_by_role("application", name="Its memory h over time")
    box = grid.bounding_box()
    assert box is not None
    page.wait_for_function("document.querySelector('article canvas')?.height === 88")
    grid.click(position={"x": box["width"] * 2.5 / STEPS, "y": box["height"] - 1})
    expect(side.get_by_text("unit 599")).to_be_visible()
    expect(page.get_by_role("article", name="rnn").get_by_role("button", name="The rows after")).to_have_count(0)


def test_a_small_layer_has_no_pages(large: Opened, visit: Open) -> None:
    page = visit(large, "view=recurrence&network=rnn&rows=512")
    expect(page.get_by_role("application", name=f"h of 4 units over {STEPS} steps")).to_be_visible()
    expect(page.get_by_role("button", name="The rows after")).to_have_count(0)


def test_pages_in_korean_on_a_phone(large: Opened, visit: Open) -> None:
    page = visit(large, "view=recurrence&network=gru&layer=l0&unit=550&rows=0", width=390, height=844)
    page.get_by_role("button", name="한국어").click()
    expect(pages(page, "유닛 600개 중 0–511번")).to_be_visible()
    expect(page.get_by_role("button", name="550번 유닛으로")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

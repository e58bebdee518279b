"""The recurrence view in a browser: each thing that can be done, and that its numbers are the trace's."""

from __future__ import annotations

import re

import pytest
import torch
from playwright.sync_api import Locator, Page, expect
from tests.web.conftest import Open, questions
from tests.web.memories import RESET, STEPS, memories
from torch import nn as torch_nn

from pellucid import nn, trace
from pellucid.trace import Trace
from pellucid.web.opened import Item, Opened, Opening


def traced(opened: Opened, network: str, item: int = 0) -> Trace:
    with trace(opened.network(network).model, grad=False) as seen:
        opened.network(network).model(*opened.item(item).args)
    return seen


def shown(value: torch.Tensor) -> str:
    """As the page writes a number."""
    return f"{float(value):.2f}".replace("-", "−").replace("−0.00", "0.00")


def element(page: Page, name: str) -> Locator:
    """One of the drawing, such as ``f t`` or ``c t−1``; a state's result stands in it twice."""
    return page.get_by_role("button", name=re.compile(rf"^{re.escape(name)}: ")).last


def at(page: Page) -> Locator:
    return page.get_by_role("slider", name="Time step")


def test_it_opens_where_something_is_forgotten(visit: Open) -> None:
    """A sentence says at which step which unit forgets, and what the gate does is in words and numbers."""
    opened = memories()
    seen = traced(opened, "lstm")
    page = visit(opened, "view=recurrence")
    before, after = (shown(seen["layer.l0.f"].values[t, 0, 0]) for t in (RESET - 1, RESET))
    expect(page.get_by_text(f"At step {RESET} unit 0 forgets: f falls from {before} to {after}")).to_be_visible()
    expect(at(page)).to_have_value(str(RESET))
    share = round(100 * float(seen["layer.l0.f"].values[RESET, 0, 0]))
    expect(page.get_by_text(f"The forget gate: it keeps {share} % of the memory.")).to_be_visible()
    expect(page.locator(".result")).to_have_text(f"= {after}")


@pytest.mark.parametrize("network", ["lstm", "gru", "rnn", "ctrnn", "own"])
def test_the_drawing_has_the_traces_numbers(visit: Open, network: str) -> None:
    """Of every kind of cell, a person's own too: each named value at each of some steps."""
    opened = memories()
    seen = traced(opened, network)
    page = visit(opened, f"view=recurrence&network={network}&unit=2&step=3&layer=layer.l0")
    names = [n.removeprefix("layer.l0.") for n in seen if n.startswith("layer.l0.")]
    drawn = 0
    for step in (3, 4):
        for name in names:
            place = element(page, f"{name} t")
            if name == "a":  # the RNN's sum is inside its box
                continue
            expect(place).to_have_accessible_name(f"{name} t: {shown(seen[f'layer.l0.{name}'].values[step, 0, 2])}")
            drawn += 1
        page.keyboard.press("ArrowRight")
    assert drawn >= 2


def test_keys_move_time(visit: Open) -> None:
    """Left and right, Home and End, and the address follows; the drawing shows that step."""
    opened = memories()
    memory = traced(opened, "lstm")["layer.l0.c"].values[:, 0, 0]
    page = visit(opened, "view=recurrence&unit=0")
    expect(at(page)).to_have_value(str(RESET))
    page.keyboard.press("ArrowLeft")
    expect(at(page)).to_have_value(str(RESET - 1))
    assert f"step={RESET - 1}" in page.url
    expect(element(page, "c t")).to_have_accessible_name(f"c t: {shown(memory[RESET - 1])}")
    page.keyboard.press("Home")
    expect(at(page)).to_have_value("0")
    page.keyboard.press("ArrowLeft")
    expect(at(page)).to_have_value("0")
    page.keyboard.press("End")
    expect(at(page)).to_have_value(str(STEPS - 1))
    page.reload()
    expect(at(page)).to_have_value(str(STEPS - 1))


def test_it_plays_and_stops(visit: Open) -> None:
    """Space plays, and again stops; at the end it stops by itself, and plays from the start."""
    page = visit(memories(), "view=recurrence&step=2")
    expect(at(page)).to_have_value("2")
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(at(page)).not_to_have_value("2")
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    stopped = at(page).input_value()
    page.wait_for_timeout(700)
    assert at(page).input_value() == stopped
    page.keyboard.press("End")
    page.get_by_role("button", name="Play").click()
    expect(at(page)).not_to_have_value(str(STEPS - 1))
    assert int(at(page).input_value()) < STEPS - 1


def test_buttons_and_slider_move_time(visit: Open) -> None:
    page = visit(memories(), "view=recurrence&step=5")
    page.get_by_role("button", name="Next step").click()
    expect(at(page)).to_have_value("6")
    page.get_by_role("button", name="Previous step").click()
    expect(at(page)).to_have_value("5")
    at(page).fill("9")
    expect(page.get_by_text(f"step 9 (0 to {STEPS - 1})")).to_be_visible()


def test_a_click_on_a_map_chooses_unit_and_step(visit: Open) -> None:
    """In the row and the column that were clicked, and arrow keys go on from there."""
    opened = memories()
    gate = traced(opened, "lstm")["layer.l0.i"].values[:, 0]
    page = visit(opened, "view=recurrence")
    grid = page.get_by_role("application", name=re.compile("^i of"))
    box = grid.bounding_box()
    assert box is not None
    grid.click(position={"x": box["width"] * 4.5 / STEPS, "y": box["height"] * 3.5 / 5})
    expect(page.get_by_role("heading", name="Unit 3", exact=True)).to_be_visible()
    expect(at(page)).to_have_value("4")
    expect(element(page, "i t")).to_have_accessible_name(f"i t: {shown(gate[4, 3])}")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Unit 4", exact=True)).to_be_visible()
    expect(at(page)).to_have_value("5")


def test_units_in_another_order(visit: Open) -> None:
    """A click then means the unit that stands in that row."""
    opened = memories()
    lowest = int(traced(opened, "lstm")["layer.l0.c"].values[:, 0].mean(0).argmin())
    assert lowest != 0  # the unit of that row before
    page = visit(opened, "view=recurrence")
    page.get_by_role("combobox", name="Units").select_option("mean")
    told = page.get_by_role("heading", name=f"Unit {lowest}", exact=True)
    for _ in range(100):  # until the map is drawn anew
        page.get_by_role("application", name=re.compile("^c of")).click(position={"x": 5, "y": 5})
        page.wait_for_timeout(100)
        if told.is_visible():
            break
    expect(told).to_be_visible()
    assert "order=mean" in page.url


def test_an_element_explains_itself(visit: Open) -> None:
    """On hover for the moment, on a click or Enter for good; its equation with the step's numbers."""
    opened = memories()
    seen = traced(opened, "lstm")
    f, c, i, g = (seen[f"layer.l0.{name}"].values[:, 0, 0] for name in "fcig")
    page = visit(opened, f"view=recurrence&unit=0&step={RESET}")
    element(page, "i t").hover()
    expect(page.get_by_text("The input gate")).to_be_visible()
    page.get_by_role("heading", level=1).hover()
    expect(page.get_by_text("The forget gate")).to_be_visible()
    element(page, "c t").click()
    page.get_by_role("heading", level=1).hover()
    numbers = " + ".join(f"{shown(a)} × {shown(b)}" for a, b in [(f[RESET], c[RESET - 1]), (i[RESET], g[RESET])])
    expect(page.get_by_text(f"= {numbers}", exact=True)).to_be_visible()
    expect(page.locator(".result")).to_have_text(f"= {shown(c[RESET])}")
    element(page, "o t").focus()
    page.keyboard.press("Enter")
    page.reload()
    expect(page.get_by_text("The output gate")).to_be_visible()


def test_wires_are_as_thick_as_what_flows(visit: Open) -> None:
    """The forget gate's wire is thinner at the step that forgets than before it."""
    page = visit(memories(), f"view=recurrence&unit=0&step={RESET - 1}")
    value = page.locator(".base .learned", has_text="f").get_attribute("data-value")
    wire = page.locator(f".base path[data-value='{value}']").first

    def width() -> float:
        return float(wire.evaluate("e => e.style.strokeWidth"))

    expect(element(page, "f t")).to_have_accessible_name(re.compile(r"0\.9"))
    wide = width()
    page.keyboard.press("ArrowRight")
    expect(element(page, "f t")).to_have_accessible_name(re.compile(r"0\.0"))
    assert width() < wide / 2


def test_all_units_and_units_that_are_compared(visit: Open) -> None:
    """Without a unit the numbers are means; units that are kept share one axis, until they are dropped."""
    opened = memories()
    seen = traced(opened, "lstm")
    page = visit(opened, "view=recurrence&step=4&unit=1")
    page.get_by_role("button", name="Keep to compare").click()
    page.get_by_role("spinbutton", name="Unit number").fill("3")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Keep to compare").click()
    expect(page.get_by_role("img", name="c of the units 1, 3 over time")).to_be_visible()
    page.get_by_role("combobox", name="Compare").select_option("o")
    expect(page.get_by_role("img", name="o of the units 1, 3 over time")).to_be_visible()
    page.get_by_role("button", name="Drop unit 1").click()
    expect(page.get_by_role("img", name="o of the units 3 over time")).to_be_visible()
    page.get_by_role("button", name="All units", exact=True).click()
    mean = seen["layer.l0.f"].values[4].mean()
    expect(element(page, "f t")).to_have_accessible_name(f"f t: {shown(mean)}")
    expect(page.get_by_text(f"The mean of all units is {shown(mean)}.")).to_be_visible()


def test_the_pointer_moves_time_on_lines_and_input(visit: Open) -> None:
    """By the unit's lines and by the series above."""
    page = visit(memories(), "view=recurrence&unit=0&step=0")
    chart = page.get_by_role("img", name="The memory of unit 0 over time")
    box = chart.bounding_box()
    assert box is not None
    chart.click(position={"x": box["width"] * 8.5 / STEPS, "y": 20})
    expect(at(page)).to_have_value("8")
    series = page.get_by_role("img", name=f"x2 over {STEPS} steps")
    box = series.bounding_box()
    assert box is not None
    series.click(position={"x": box["width"] * 2.5 / STEPS, "y": 10})
    expect(at(page)).to_have_value("2")


def test_numbers_of_a_series_are_changed(visit: Open) -> None:
    """By a number for the step, or by drawing the line anew: everything is computed again, and one can go back."""
    opened = memories()
    page = visit(opened, "view=recurrence&step=7")
    expect(element(page, "f t")).to_have_accessible_name(re.compile(r"0\.0"))
    page.get_by_role("button", name="Change values").click()
    page.get_by_role("spinbutton", name="x2 at step 7").fill("-0.5")
    page.keyboard.press("Tab")
    expect(page.get_by_role("combobox", name="Input")).to_have_value("2")  # a third one, after two
    assert float(opened.items[2].x[7, 1]) == -0.5
    gate = traced(opened, "lstm", 2)["layer.l0.f"].values[7, 0, 0]
    expect(element(page, "f t")).to_have_accessible_name(f"f t: {shown(gate)}")
    expect(page.get_by_role("heading", name="Unit 0", exact=True)).to_be_visible()
    line = page.get_by_role("img", name=f"x1 over {STEPS} steps")
    box = line.bounding_box()
    assert box is not None
    line.hover(position={"x": box["width"] * 2.5 / STEPS, "y": 2})  # the line's highest place
    page.mouse.down()
    line.hover(position={"x": box["width"] * 4.5 / STEPS, "y": 2})
    page.mouse.up()
    expect(page.get_by_role("combobox", name="Input")).to_have_value("3")
    highest = float(opened.items[0].x[:, 0].max())
    assert opened.items[3].x[2:5, 0].tolist() == pytest.approx([highest] * 3, abs=0.05)
    assert torch.equal(opened.items[3].x[5:, 0], opened.items[0].x[5:, 0])
    page.get_by_role("button", name="Back to the input as it was").click()
    expect(page.get_by_role("combobox", name="Input")).to_have_value("0")


def test_layers_and_directions(visit: Open) -> None:
    """Each can be looked at, and the backward one has its own sentence and numbers."""
    opened = memories()
    z = traced(opened, "gru")["layer.l1_reverse.z"].values[3, 0, 1]
    page = visit(opened, "view=recurrence&network=gru&step=3&unit=1")
    layers = page.get_by_role("navigation", name="Recurrent layers").get_by_role("button")
    expect(layers).to_have_text(["Layer 1 →", "Layer 1 ←, from the end", "Layer 2 →", "Layer 2 ←, from the end"])
    layers.nth(3).click()
    expect(element(page, "z t")).to_have_accessible_name(f"z t: {shown(z)}")
    assert "layer=layer.l1_reverse" in page.url


def test_an_image_is_read_by_rows(reader: Opened, visit: Open) -> None:
    """A step of the LSTM above the pooling stands for two rows of the image."""
    page = visit(reader, "view=recurrence&step=1")
    cursor = page.locator(".strip .cursor")
    assert float(cursor.evaluate("e => parseFloat(e.style.top)")) == pytest.approx(25)
    assert "25%" in str(cursor.evaluate("e => e.style.height"))
    image = page.get_by_role("img", name="The image, read row by row: 8 rows")
    box = image.bounding_box()
    assert box is not None
    image.click(position={"x": 5, "y": box["height"] * 7.5 / 8})
    expect(at(page)).to_have_value("3")


def test_a_texts_tokens_are_boxes(visit: Open) -> None:
    """A click on a token goes there; blanks are visible."""

    class Reads(torch_nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch_nn.Embedding(30, 4)
            self.layer = nn.GRU(4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(self.embedding(x).transpose(0, 1))[0]  # type: ignore[no-any-return]

    torch.manual_seed(0)
    text = "the cat\nsat"
    x = torch.tensor([ord(c) % 30 for c in text])
    opened = Opened("text", "tokens", [Opening("m", "m", Reads())], [Item("it", x, (x[None],), tuple(text))])
    page = visit(opened, "view=recurrence&step=0")
    tokens = page.get_by_role("group", name="Tokens in order of time").get_by_role("button")
    expect(tokens).to_have_text(["t", "h", "e", "␣", "c", "a", "t", "↵", "s", "a", "t"])
    tokens.nth(7).click()
    expect(at(page)).to_have_value("7")
    expect(tokens.nth(7)).to_have_attribute("aria-pressed", "true")


def test_a_long_sequence_is_shown_in_parts(visit: Open) -> None:
    """A hundred steps around the step, or all."""
    opened = memories(steps=600, items=1)
    page = visit(opened, "view=recurrence&network=rnn&step=300")
    expect(page.get_by_role("application", name="h of 5 units over 100 steps")).to_be_visible()
    page.get_by_role("combobox", name="Time").select_option("0")
    expect(page.get_by_role("application", name="h of 5 units over 600 steps")).to_be_visible()
    assert "span=0" in page.url


def test_what_is_slow_waits_until_time_rests(visit: Open) -> None:
    """While the step moves, nothing is asked about what the unit rests on; once it rests, that follows, out of view too."""
    page = visit(memories(), "view=recurrence&step=2&unit=0")
    expect(page.get_by_text(re.compile("at step 2 rests on"))).to_be_attached()
    asked: list[str] = []
    page.on("request", lambda request: asked.extend(name for name, _ in questions(request)))
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_text(re.compile("at step 6 rests on"))).to_be_attached()
    assert "step" in asked[: asked.index("attribution")]
    assert asked.count("attribution") < asked.count("step")


@pytest.mark.parametrize("dark", [False, True])
def test_a_phones_width_in_korean(visit: Open, dark: bool) -> None:
    """Nothing is wider than the screen."""
    page = visit(memories(), "view=recurrence", width=390, height=844, dark=dark)
    page.get_by_role("button", name="한국어").click()
    expect(page.get_by_text(re.compile("망각 게이트: 기억의 .*%를 남깁니다"))).to_be_visible()
    expect(page.get_by_text(f"{RESET}단계에서 0번 유닛이 잊습니다.")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

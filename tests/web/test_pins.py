"""The promise: a step that is pinned is marked wherever time runs, is a key away, and its values stand beside the cursor's."""

from __future__ import annotations

import re

import pytest
import torch
from playwright.sync_api import Locator, Page, expect
from tests.web.conftest import Open
from tests.web.memories import RESET, STEPS, memories

from pellucid import trace
from pellucid.trace import Trace
from pellucid.web.opened import Opened

AT = "view=recurrence&network=lstm&unit=0"


def traced(opened: Opened, network: str, item: int = 0) -> Trace:
    with trace(opened.network(network).model, grad=False) as seen:
        opened.network(network).model(*opened.item(item).args)
    return seen


def shown(value: torch.Tensor | float) -> str:
    """As the page writes a number."""
    return f"{float(value):.2f}".replace("-", "−").replace("−0.00", "0.00")


def signed(change: float) -> str:
    return ("+" if round(change, 2) > 0 else "") + shown(change)


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="Time step")


def marks(page: Page, where: str) -> list[float]:
    """Where the pins are drawn inside each element that is found: shares of its length, each once."""
    found = page.locator(f"{where} .pin").evaluate_all("pins => pins.map(pin => pin.style.left)")
    return sorted({round(float(left.removesuffix("%")) / 100, 4) for left in found})


def middles(*steps: int, of: int = STEPS) -> list[float]:
    return [round((step + 0.5) / of, 4) for step in steps]


def test_a_key_pins_a_step_and_takes_the_pin_out(visit: Open) -> None:
    """It is marked on the slider, on every map, on the input and on the lines; the address keeps it."""
    page = visit(memories(), f"{AT}&step=3")
    expect(slider(page)).to_have_value("3")
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="To the pin at step 3")).to_be_visible()
    assert marks(page, ".marks") == [round(3 / (STEPS - 1), 4)]
    maps = page.locator("section", has=page.get_by_role("heading", name="All units over time"))
    expect(maps.locator(".time")).to_have_count(7)  # f, i, g, c, o, h and x
    expect(maps.locator(".time .pin")).to_have_count(7)
    for where in (".time", ".strip .under", ".plot .under"):
        assert marks(page, where) == middles(3)
    assert "pins=3" in page.url
    page.reload()
    expect(page.get_by_role("button", name="To the pin at step 3")).to_be_visible()
    page.keyboard.press("p")
    expect(page.get_by_role("group", name="Pins")).to_have_count(0)
    expect(page.locator(".pin")).to_have_count(0)
    assert "pins" not in page.url


def test_a_button_pins_too(visit: Open) -> None:
    page = visit(memories(), f"{AT}&step=3")
    button = page.get_by_role("button", name="Pin", exact=True)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Take out the pin at step 3").click()
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".pin")).to_have_count(0)


def test_steps_are_pinned_while_time_plays(visit: Open) -> None:
    """It plays on; whoever goes to a pin stops it there."""
    page = visit(memories(), f"{AT}&step=0")
    expect(slider(page)).to_have_value("0")
    page.keyboard.press(" ")
    expect(slider(page)).not_to_have_value("0")
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    pinned = page.get_by_role("group", name="Pins").get_by_role("button", name=re.compile("^To the pin"))
    expect(pinned).to_have_count(1)
    step = pinned.inner_text()
    expect(slider(page)).not_to_have_value(step)
    page.keyboard.press("[")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    expect(slider(page)).to_have_value(step)


def test_keys_and_buttons_lead_to_pins(visit: Open) -> None:
    """Brackets to the next one on either side, and no further than the last; a pin's button to that pin."""
    page = visit(memories(), f"{AT}&step=5&pins=9,2,7,2")
    expect(slider(page)).to_have_value("5")
    for key, step in [("]", 7), ("]", 9), ("]", 9), ("[", 7), ("[", 2), ("[", 2)]:
        page.keyboard.press(key)
        expect(slider(page)).to_have_value(str(step))
    page.get_by_role("button", name="To the pin at step 9").click()
    expect(slider(page)).to_have_value("9")
    assert marks(page, ".plot .under") == middles(2, 7, 9)


def test_keys_of_pins_where_others_mean_something_else(visit: Open) -> None:
    """On a map and on the slider, whose own keys are arrows, they work; in a field for a number and with Control not."""
    page = visit(memories(), f"{AT}&step=4")
    grid = page.get_by_role("application", name=re.compile("^i of"))
    box = grid.bounding_box()
    assert box is not None
    grid.click(position={"x": box["width"] * 6.5 / STEPS, "y": 5})
    page.keyboard.press("p")
    slider(page).focus()
    page.keyboard.press("ArrowRight")
    page.evaluate("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'ㅔ', bubbles: true}))")
    pinned = page.get_by_role("group", name="Pins").get_by_role("button", name=re.compile("^To the pin"))
    expect(pinned).to_have_text(["6", "7"])
    page.get_by_role("spinbutton", name="Unit number").focus()
    page.keyboard.press("[")
    page.get_by_role("heading", level=1).click()
    page.evaluate("window.dispatchEvent(new Event('blur')); document.activeElement.blur()")
    page.keyboard.press("Control+[")
    expect(slider(page)).to_have_value("7")
    page.keyboard.press("[")
    expect(slider(page)).to_have_value("6")


def test_values_at_a_pin_and_at_the_cursor(visit: Open) -> None:
    """Those of the trace, of the unit that is chosen, and their difference; another pin, another unit, or none."""
    opened = memories()
    seen = traced(opened, "lstm")
    names = ["f", "i", "g", "c", "o", "h"]
    page = visit(opened, f"{AT}&step={RESET - 1}")
    expect(slider(page)).to_have_value(str(RESET - 1))
    page.keyboard.press("p")
    page.keyboard.press("ArrowRight")

    def beside(pin: int, step: int, unit: int) -> None:
        table = page.get_by_role("region", name=f"Unit {unit} at step {pin} and at step {step}")
        expect(table.get_by_role("row")).to_have_count(1 + len(names))
        changes = {}
        for number, name in enumerate(names):
            values = seen[f"layer.l0.{name}"].values[:, 0, unit]
            before, after = float(values[pin]), float(values[step])
            changes[name] = after - before
            cells = table.get_by_role("row").nth(1 + number).get_by_role("cell")
            expect(cells).to_have_text([shown(before), shown(after), signed(after - before)])
        most = max(names, key=lambda name: abs(changes[name]))
        values = seen[f"layer.l0.{most}"].values[:, 0, unit]
        told = f"{most} changes most: from {shown(values[pin])} to {shown(values[step])}."
        expect(table).to_contain_text(f"From the pin at step {pin} to step {step}, {told}")

    beside(RESET - 1, RESET, 0)
    page.keyboard.press("ArrowRight")
    beside(RESET - 1, RESET + 1, 0)
    page.get_by_role("spinbutton", name="Unit number").fill("2")
    page.keyboard.press("Tab")
    beside(RESET - 1, RESET + 1, 2)
    page.keyboard.press("p")  # the newest is compared with
    region = page.get_by_role("region", name=re.compile("^Unit 2 at step"))
    expect(region).to_contain_text(f"At the pin at step {RESET + 1} and at step {RESET + 1} all values are the same.")
    page.get_by_role("combobox", name="Compare with").select_option(label=f"step {RESET - 1}")
    beside(RESET - 1, RESET + 1, 2)
    assert f"against={RESET - 1}" in page.url
    page.get_by_role("combobox", name="Compare with").select_option(label="nothing")
    expect(region).to_have_count(0)


def test_over_all_units_means_are_compared(visit: Open) -> None:
    opened = memories()
    f = traced(opened, "lstm")["layer.l0.f"].values[:, 0].mean(1)
    page = visit(opened, "view=recurrence&network=lstm&unit=all&step=8&pins=2&against=2")
    row = page.get_by_role("region", name="All units at step 2 and at step 8").get_by_role("row").nth(1)
    expect(row.get_by_role("cell").nth(0)).to_have_text(shown(f[2]))
    expect(row.get_by_role("cell").nth(1)).to_have_text(shown(f[8]))


def test_side_by_side_every_network_is_compared(four: Opened, visit: Open) -> None:
    """One pin for all; each network's memory is marked, and its values stand below its drawing."""
    page = visit(four, "view=together&step=5&unit.gru=3")
    expect(page.get_by_role("article")).to_have_count(4)
    page.keyboard.press("p")
    page.keyboard.press("End")
    page.keyboard.press("p")
    page.get_by_role("combobox", name="Compare with").select_option(label="step 5")
    expect(page.locator("article .time .pin")).to_have_count(8)
    assert marks(page, "article .time") == middles(5, 23, of=24)
    assert marks(page, ".frame .under") == middles(5, 23, of=24)
    for name in ("rnn", "lstm", "gru", "leaky"):
        h = four.seen(name, 0).seen["layer.l0.h"].values[:, 0]
        before, after = (h[t, 3] if name == "gru" else h[t].abs().mean() for t in (5, 23))
        side = page.get_by_role("article", name=name, exact=True)
        row = side.get_by_role("row").last
        told = [shown(before), shown(after), signed(float(after) - float(before))]
        expect(row.get_by_role("cell")).to_have_text(told)
    page.keyboard.press("[")
    expect(slider(page)).to_have_value("5")


def test_pins_belong_to_an_input(visit: Open) -> None:
    """Another input has none; the same input with numbers changed keeps them."""
    opened = memories()
    page = visit(opened, f"{AT}&step=7&pins=3&against=3")
    page.get_by_role("button", name="Change values").click()
    page.get_by_role("spinbutton", name="x2 at step 7").fill("-0.5")
    page.keyboard.press("Tab")
    expect(page.get_by_role("combobox", name="Input")).to_have_value("2")
    c = traced(opened, "lstm", 2)["layer.l0.c"].values[:, 0, 0]
    row = page.get_by_role("region", name="Unit 0 at step 3 and at step 7").get_by_role("row").nth(4)
    expect(row.get_by_role("cell").nth(1)).to_have_text(shown(c[7]))
    page.get_by_role("button", name="Previous input").click()
    expect(page.get_by_role("group", name="Pins")).to_have_count(0)
    assert "pins" not in page.url
    assert "against" not in page.url


@pytest.mark.parametrize("dark", [False, True])
def test_pins_in_korean_on_a_phone(visit: Open, dark: bool) -> None:
    """Nothing is wider than the screen, with many pins too."""
    page = visit(memories(), f"{AT}&step=8&pins=0,1,2,3,4,5,6,8,9,10,11&against=2", width=390, height=844, dark=dark)
    page.get_by_role("button", name="한국어").click()
    expect(page.get_by_text("핀을 꽂은 2단계와 8단계 사이에서")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

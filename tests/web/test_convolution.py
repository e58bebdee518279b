"""The promise: in the convolution view one sees where each number comes from, by pointer and by keys, and it is the layers' own."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import parse_qs

import pytest
import torch
from playwright.sync_api import Locator, Page, expect
from tests.web.conftest import Open
from torch import nn as torch_nn

from pellucid import nn, trace
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.questions import ask


@pytest.fixture
def digits() -> Opened:
    """A block with max pooling, a convolution in two groups, and a linear head, with fixed weights; two images of 8 x 8."""
    generator = torch.Generator().manual_seed(0)
    model = torch_nn.Sequential(
        nn.ConvBlock(1, 4, 3, padding="same"),
        nn.Conv2d(4, 20, 3, groups=2),
        torch_nn.Flatten(),
        torch_nn.Linear(80, 3),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    opened = of_models({"cnn": model}, torch.rand(2, 1, 8, 8, generator=generator))
    opened.labels = ("cat", "dog", "owl")
    return opened


def stage(page: Page, name: str) -> Locator:
    return page.locator(f'[data-stage="{name}"]')


def numbered(value: float) -> str:
    """As the page writes a number below 10."""
    return f"{value:.3f}".replace("-", "−")


def frame(page: Page, name: str, index: int = 0) -> list[float]:
    """The frame on a stage's map, in per cent: left, top, width, height."""
    style = stage(page, name).locator(".mark").nth(index).get_attribute("style") or ""
    return [float(re.search(rf"{side}: ([\d.]+)%", style)[1]) for side in ("left", "top", "width", "height")]  # type: ignore[index]


def point(map: Locator, row: int, column: int, rows: int, columns: int) -> dict[str, float]:
    """The middle of a cell, for the mouse."""
    box = map.bounding_box()
    assert box is not None
    return {"x": (column + 0.5) * box["width"] / columns, "y": (row + 0.5) * box["height"] / rows}


def at(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(page.url.split("#")[1]).items()}


def test_the_network_is_a_row_of_stages(digits: Opened, visit: Open) -> None:
    """In the order in which they ran, each with its maps, up to the scores with their labels."""
    page = visit(digits)
    expect(page.locator("[data-stage] h3")).to_have_text(
        ["Input", "Convolution 3 × 3", "Activation ReLU", "Max pooling 2 × 2", "Convolution 3 × 3"]
    )
    expect(stage(page, "0.map").get_by_role("application")).to_have_count(4)
    output = digits.networks[0].model(digits.items[0].args[0])[0].tolist()
    scores = page.get_by_role("region", name="Scores")
    expect(scores.get_by_role("row")).to_have_text(
        [f"{x}{numbered(v)}" for x, v in zip(digits.labels, output, strict=True)]
    )


def test_maps_come_in_pages(digits: Opened, visit: Open) -> None:
    """Sixteen at a time, the rest by a button."""
    page = visit(digits)
    maps = stage(page, "1.out").get_by_role("application")
    expect(maps).to_have_count(16)
    page.get_by_role("button", name="More maps of Convolution").click()
    expect(maps).to_have_count(4)
    expect(maps.last).to_have_accessible_name("Convolution 3 × 3, map 20 of 20")


def test_the_pointer_frames_what_a_position_sees(digits: Opened, visit: Open) -> None:
    """A position of the last convolution: its window of 3 x 3 in the pooled maps, 8 x 8 of the input, cut at the edge."""
    page = visit(digits)
    map = stage(page, "1.out").get_by_role("application").first
    map.hover(position=point(map, 1, 0, 2, 2))
    expect(stage(page, "1.out").locator(".mark")).to_have_count(1)
    assert frame(page, "1.out") == [0, 50, 50, 50]
    assert frame(page, "0.pool") == [0, 25, 75, 75]
    assert frame(page, "0.act") == [0, 25, 75, 75]
    # Rows 2 - 1 to 7 + 1 and columns 0 - 1 to 5 + 1 of the input; what lies beyond it is padding.
    assert frame(page, "input") == [0, 12.5, 87.5, 87.5]
    expect(stage(page, "0.pool").locator(".mark.window")).to_have_count(4)
    expect(stage(page, "input").locator(".mark.field")).to_have_count(1)
    # Of two groups it reads the first two channels.
    expect(stage(page, "0.pool").locator(".mark.faint")).to_have_count(2)
    # A pooling reads its own map alone, and so does the activation that it pools.
    pooled = stage(page, "0.pool").get_by_role("application").nth(2)
    pooled.hover(position=point(pooled, 1, 1, 4, 4))
    expect(stage(page, "0.act").locator(".mark.faint")).to_have_count(3)
    expect(stage(page, "0.map").locator(".mark.faint")).to_have_count(3)
    page.mouse.move(2, 2)
    expect(stage(page, "1.out").locator(".mark")).to_have_count(1)  # the frame that was there at first
    assert frame(page, "1.out") == [50, 50, 50, 50]


def test_a_click_opens_the_number_and_escape_goes_back(digits: Opened, visit: Open) -> None:
    """Window x filter = products, whose sum with the bias is the number of the trace; the activation follows."""
    page = visit(digits)
    map = stage(page, "0.map").get_by_role("application").nth(2)
    map.click(position=point(map, 0, 5, 8, 8))
    detail = page.locator(".detail")
    expect(detail.get_by_role("heading", level=3)).to_have_text("Convolution 3 × 3: map 3, row 1, column 6")
    assert {k: at(page)[k] for k in ("layer", "map", "row", "column")} == {
        "layer": "0.map", "map": "2", "row": "0", "column": "5",
    }  # fmt: skip
    with trace(digits.networks[0].model, grad=False) as seen:
        digits.networks[0].model(*digits.items[0].args)
    value, after = (float(seen[name].values[0, 2, 0, 5]) for name in ("0.map", "0.act"))
    expect(detail.locator('[data-number="value"]')).to_have_text(numbered(value))
    expect(detail.locator('[data-number="value"]')).to_have_attribute("title", str(value))
    expect(detail.locator('[data-number="after"]')).to_have_text(numbered(after))
    x = digits.items[0].x[0]
    window = detail.get_by_role("table", name="Window").get_by_role("cell")
    expect(window).to_have_text(["0.00"] * 3 + [f"{v:.2f}" for v in x[:2, 4:7].flatten().tolist()])
    expect(detail.locator("td.padding")).to_have_count(3)
    layer = digits.networks[0].model[0]  # type: ignore[index]
    weights = layer.weight.detach()[2, 0].flatten().tolist()
    expect(detail.get_by_role("table", name="Filter").get_by_role("cell")).to_have_text(
        [f"{v:.2f}".replace("-", "−") for v in weights]
    )
    page.keyboard.press("Escape")
    expect(detail).to_have_count(0)
    assert "layer" not in at(page)


def test_empty_ground_goes_back(digits: Opened, visit: Open) -> None:
    """A click beside the maps closes the number; the back button opens it again."""
    page = visit(digits, "layer=0.map&map=1&row=2&column=3")
    expect(page.locator(".detail")).to_be_visible()
    row = page.get_by_role("group", name="The network, stage by stage")
    row.click(position={"x": 2, "y": 2})  # the corner: ground whatever the maps' height, which changes as they come
    expect(page.locator(".detail")).to_have_count(0)
    page.go_back()
    expect(page.locator(".detail").get_by_role("heading", level=3)).to_contain_text("map 2, row 3, column 4")


def test_keys_move_the_frame_and_open_the_number(digits: Opened, visit: Open) -> None:
    """Arrow keys move, Page Down changes the map, Enter opens; then the arrows move the number that is open."""
    page = visit(digits)
    stage(page, "0.map").get_by_role("application").first.focus()
    page.keyboard.press("ArrowRight")
    assert frame(page, "0.map") == [62.5, 50, 12.5, 12.5]
    page.keyboard.press("PageDown")
    expect(stage(page, "0.map").get_by_role("application").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    heading = page.locator(".detail").get_by_role("heading", level=3)
    expect(heading).to_have_text("Convolution 3 × 3: map 2, row 5, column 6")
    page.keyboard.press("ArrowUp")
    expect(heading).to_have_text("Convolution 3 × 3: map 2, row 4, column 6")
    assert at(page)["row"] == "3"


def test_channels_are_chosen(digits: Opened, visit: Open) -> None:
    """Of a filter of the second group: its two channels are the third and fourth map of the stage before."""
    page = visit(digits, "layer=1.out&map=15&row=1&column=1")
    detail = page.locator(".detail")
    expect(detail).to_contain_text("this filter reads channels 3 to 4 alone")
    position = {"network": "cnn", "item": 0, "stage": "1.out", "filter": 15, "row": 1, "column": 1}
    sums = ask(digits, "pixel", position)["sums"]
    expect(detail.locator('[data-number="sum"]')).to_have_text(numbered(sums[0]))
    detail.get_by_role("button", name="Next channel").click()
    expect(detail.locator('[data-number="sum"]')).to_have_text(numbered(sums[1]))
    expect(detail.get_by_role("combobox", name="Channel")).to_have_value("1")
    expect(detail.get_by_role("application", name="Max pooling 2 × 2, map 4 of 4")).to_have_count(0)
    expect(detail.get_by_role("img", name="Max pooling 2 × 2, map 4 of 4")).to_be_visible()
    detail.get_by_role("button", name="Channel 3: its products add up to").click()
    expect(detail.locator('[data-number="sum"]')).to_have_text(numbered(sums[0]))


def test_pooling_shows_which_number_won(digits: Opened, visit: Open) -> None:
    """The winner of the window is marked, and is the number of the pooled map."""
    with trace(digits.networks[0].model, grad=False) as seen:
        digits.networks[0].model(*digits.items[0].args)
    before = seen["0.act"].values[0]
    places = before.unfold(1, 2, 2).unfold(2, 2, 2).flatten(3).argmax(3)  # in windows of 2 x 2
    # The last number of a window's first row: a mark with rows and columns exchanged would stand elsewhere.
    filter, row, column = (int(i) for i in ((places == 1) & (seen["0.pool"].values[0] > 0)).nonzero()[0])
    page = visit(digits, f"layer=0.pool&map={filter}&row={row}&column={column}")
    position = {"network": "cnn", "item": 0, "stage": "0.pool", "filter": filter, "row": row, "column": column}
    answer = ask(digits, "pixel", position)
    assert answer["value"] > 0
    assert answer["winner"] == [0, 1]
    won = page.locator(".detail td.winner")
    expect(won).to_have_attribute("title", str(answer["value"]))
    cells = page.locator(".detail").get_by_role("table", name="Window").get_by_role("cell")
    place = 2 * answer["winner"][0] + answer["winner"][1]
    expect(cells.nth(place)).to_have_text(f"{answer['value']:.2f}the largest")
    expect(page.locator('.detail [data-number="value"]')).to_have_text(numbered(answer["value"]))
    expect(page.locator(".detail")).to_contain_text("The largest number of the window goes on")


def test_the_activation_says_what_became_of_a_number(digits: Opened, visit: Open) -> None:
    """Before and after."""
    page = visit(digits, "layer=0.act&map=0&row=1&column=2")
    at = {"network": "cnn", "item": 0, "filter": 0, "row": 1, "column": 2}
    before, after = (ask(digits, "pixel", {**at, "stage": name})["value"] for name in ("0.map", "0.act"))
    expect(page.locator(".detail")).to_contain_text(
        f"ReLU is applied to each number alone: {numbered(before)} becomes {numbered(after)}."
    )


def test_the_receptive_field_and_what_a_number_leans_on(digits: Opened, visit: Open) -> None:
    """The field in words; on request the gradient."""
    page = visit(digits, "layer=1.out&map=0&row=1&column=0")
    detail = page.locator(".detail")
    expect(detail).to_contain_text("This position sees 8 × 8 of the input: rows 2 to 9, columns 0 to 7.")
    button = detail.get_by_role("button", name="What it really leans on")
    button.click()
    picture = detail.get_by_role("img", name="gradient with respect to channel 1 of the input")
    expect(picture).to_be_visible()
    leaning = ask(
        digits, "leaning", {"network": "cnn", "item": 0, "stage": "1.out", "filter": 0, "row": 1, "column": 0}
    )
    expect(detail).to_contain_text(f"It leans on {leaning['positions']} positions.")
    button.click()
    expect(picture).to_have_count(0)


def test_another_window_is_computed_live(digits: Opened, visit: Open) -> None:
    """Sliders change the formula and the map; what cannot be is a sentence; a reload keeps what was tried; one click undoes it."""
    page = visit(digits, "layer=0.map&map=0&row=0&column=0")
    detail = page.locator(".detail")
    formula = detail.locator('[data-number="formula"]')
    expect(formula).to_have_text("floor((8 + 2·1 − 3)/1) + 1 = 8")
    detail.get_by_role("slider", name="Stride").fill("2")
    expect(formula).to_have_text("floor((8 + 0 + 1 − 3)/2) + 1 = 4")
    expect(detail.get_by_text("As tried · 4 × 4")).to_be_visible()
    detail.get_by_role("slider", name="Filter size").fill("5")
    expect(detail).to_contain_text("The filter gets zeros around it.")
    detail.get_by_role("combobox", name="Padding").select_option("2")
    expect(formula).to_have_text("floor((8 + 2·2 − 5)/2) + 1 = 4")
    detail.get_by_role("slider", name="Dilation").fill("4")
    expect(detail.get_by_role("alert")).to_contain_text("the height is 8, and a window of 5 that spans 17")
    page.reload()
    expect(detail.get_by_role("alert")).to_contain_text("the height is 8, and a window of 5 that spans 17")
    detail.get_by_role("button", name="As the layer has it").click()
    expect(formula).to_have_text("floor((8 + 2·1 − 3)/1) + 1 = 8")


def test_the_range_of_colours_is_chosen(digits: Opened, visit: Open) -> None:
    """By layer a weak map is pale; by map it uses all colours."""
    page = visit(digits)
    values = digits.networks[0].model[0](digits.items[0].args[0])[0]  # type: ignore[index]
    live = int((values.amax((1, 2)) > 0).sum())
    assert live > 1
    bright = """() => [...document.querySelectorAll('[data-stage="0.pool"] canvas')].filter((c) =>
        c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((red, i) => i % 4 === 0 && red === 254)).length"""
    expect(stage(page, "0.pool").locator("canvas")).to_have_count(4)
    page.wait_for_function(f"() => ({bright})() === 1")
    page.get_by_role("combobox", name="Colours").select_option("map")
    assert at(page)["range"] == "map"
    page.wait_for_function(f"() => ({bright})() === {live}")


def test_a_sequence(visit: Open) -> None:
    """Maps of one row; a causal window begins before the sequence, and no position sees a later step."""
    torch.manual_seed(0)
    model = torch_nn.Sequential(nn.Conv1d(2, 3, 3, padding="causal", dilation=2), nn.MaxPool1d(2))
    opened = of_models({"steps": model}, torch.rand(1, 2, 12))
    page = visit(opened, "layer=0.out&map=1&column=2")
    detail = page.locator(".detail")
    expect(detail.get_by_role("heading", level=3)).to_have_text("Convolution 3: map 2, step 3")
    expect(detail.locator("td.padding")).to_have_count(1)
    value = float(model[0](opened.items[0].args[0]).detach()[0, 1, 2])
    expect(detail.locator('[data-number="value"]')).to_have_text(numbered(value))
    expect(detail).to_contain_text("This position sees 5 of the input: steps −1 to 3.")
    map = stage(page, "0.out").get_by_role("application").first
    map.focus()
    page.keyboard.press("ArrowRight")
    expect(stage(page, "1.out").get_by_role("application")).to_have_count(3)


def test_a_text(visit: Open) -> None:
    """The tokens that a position sees are said as text, bytes as the characters that they are bytes of."""

    class Reader(torch_nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.conv = torch_nn.Embedding(9, 4), nn.Conv1d(4, 2, 3, padding="causal")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(self.embedding(x).mT)

    opened = of_models({"text": Reader()}, torch.tensor([[1, 2, 3, 4, 5]]))
    opened.items[0] = replace(opened.items[0], tokens=("a", "\\xec\\x9e", "\\x98", " b", "c"))
    page = visit(opened, "layer=conv.out&column=2")
    expect(page.locator(".detail q")).to_have_text("a잘")
    expect(page.locator("[data-stage=input] h3")).to_have_text("Given to the first layer")


def test_another_input_keeps_the_place(digits: Opened, visit: Open) -> None:
    """The same position of the next image, with its number."""
    page = visit(digits, "layer=0.map&map=1&row=3&column=3")
    page.get_by_role("button", name="Next input").click()
    position = {"network": "cnn", "item": 1, "stage": "0.map", "filter": 1, "row": 3, "column": 3}
    expect(page.locator('.detail [data-number="value"]')).to_have_text(
        numbered(ask(digits, "pixel", position)["value"])
    )


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_in_korean(digits: Opened, visit: Open, dark: bool) -> None:
    """Nothing is wider than the screen but the row, which scrolls; a tap opens; all controls are high enough for a finger."""
    page = visit(digits, width=390, dark=dark)
    page.get_by_role("button", name="한국어").click()
    expect(stage(page, "0.map").get_by_role("heading")).to_have_text("합성곱 3 × 3")
    map = stage(page, "0.map").get_by_role("application").first
    map.click()
    expect(page.locator(".detail").get_by_role("heading", level=3)).to_contain_text("합성곱 3 × 3: 맵 1")
    expect(page.locator('.detail [data-number="formula"]')).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    heights = page.locator("main button:visible, main select:visible, main input:visible").evaluate_all(
        "(all) => all.map((one) => one.getBoundingClientRect().height)"
    )
    assert min(heights) >= 32


def test_a_wide_row_shows_that_there_is_more(digits: Opened, visit: Open) -> None:
    """A button at the edge goes on, and another one back; where all is seen there is none."""
    page = visit(digits, width=700)
    right, left = page.get_by_role("button", name="To the right"), page.get_by_role("button", name="To the left")
    expect(right).to_be_visible()
    expect(left).to_have_count(0)
    answers = page.get_by_text("owl", exact=True).last
    expect(answers).not_to_be_in_viewport()
    while right.count():
        before = page.locator(".box").evaluate("(box) => box.scrollLeft")
        right.click()
        page.wait_for_function("(before) => document.querySelector('.box').scrollLeft > before + 10", arg=before)
        page.wait_for_timeout(400)  # until it has come to rest
    expect(answers).to_be_in_viewport()
    expect(left).to_be_visible()
    page.set_viewport_size({"width": 1900, "height": 900})
    expect(left).to_have_count(0)
    expect(right).to_have_count(0)


def test_an_address_beyond_the_network_is_brought_inside(digits: Opened, visit: Open) -> None:
    """Numbers of an old link that are too large name the last; a layer that is not there shows the network."""
    page = visit(digits, "layer=0.map&map=99&row=99&column=-4&channel=7")
    expect(page.locator(".detail").get_by_role("heading", level=3)).to_contain_text("map 4, row 8, column 1")
    expect(page.locator('.detail [data-number="value"]')).to_be_visible()
    other = visit(digits, "layer=nowhere")
    expect(other.locator("[data-stage]")).to_have_count(5)
    expect(other.locator(".detail")).to_have_count(0)

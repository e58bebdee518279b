"""The promise: each page's controls change its figure, and the numbers in it are the layers'."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.web.conftest import Open

from pellucid.web.model import of_nothing
from pellucid.web.opened import Opened
from pellucid.web.questions import ask
from pellucid.web.questions.guide.contents import Contents

PAGES = [page["name"] for page in Contents().answer(of_nothing())["pages"]]


def answer(name: str, **parameters: Any) -> dict[str, Any]:
    return ask(of_nothing(), f"guide-{name}", parameters)


def shown(values: list[Any], digits: int = 2) -> list[str]:
    """As the page writes numbers."""
    return [(str(v) if v == int(v) else f"{v:.{digits}f}").replace("-", "−") for v in values]


def cells(page: Page, label: str) -> list[str]:
    """The numbers in a grid."""
    return page.get_by_label(re.compile(label)).locator("text").all_text_contents()


def flat(rows: list[list[Any]]) -> list[Any]:
    return [value for row in rows for value in row]


def test_one_reads_from_page_to_page(visit: Open) -> None:
    """The index leads to every page; arrow keys turn pages, Escape leads back; the address says where one is."""
    page = visit(of_nothing())
    expect(page.get_by_role("listitem")).to_have_count(len(PAGES))
    page.get_by_role("button", name="Stride").click()
    expect(page.get_by_role("heading", level=2)).to_have_text("Stride")
    page.get_by_role("heading", level=2).click()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", level=2)).to_have_text("The size of a feature map")
    assert "page=size" in page.url
    page.go_back()
    expect(page.get_by_role("heading", level=2)).to_have_text("Stride")
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", level=2)).to_have_text("How these networks work")


@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_fits_and_speaks_both_languages(visit: Open, width: int) -> None:
    """Nothing is wider than a phone; every text and every control has its Korean; no question fails."""
    page = visit(of_nothing(), "view=guide", width=width)
    page.get_by_role("button", name="한국어").click()
    for name in PAGES:
        page.evaluate(f"location.hash = location.hash.replace(/&page=[^&]*|$/, '&page={name}')")
        expect(page.locator("article h2")).to_be_visible()
        expect(page.locator("section svg, section table").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        labels = page.locator(".controls span").all_inner_texts()
        assert labels, name
        assert all(re.search("[가-힣]", text) for text in labels), labels
        assert all(re.search("[가-힣]", text) for text in page.locator(".text p").all_inner_texts()), name
        expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize(("name", "said"), [("rnn", "ht = tanh(w·xt + u·ht−1 + b)"), ("lstm", "ct = f·ct−1 + i·g")])
def test_symbols_have_subscripts(visit: Open, name: str, said: str) -> None:
    page = visit(of_nothing(), f"view=guide&page={name}")
    text = page.locator(".text")
    expect(text).to_contain_text(said)
    assert "t−1" in text.locator("sub").all_text_contents()


def test_convolution(visit: Open) -> None:
    """Another filter is another map; a click and the arrow keys move the window, whose sum is the map's number."""
    page = visit(of_nothing(), "view=guide&page=convolution")
    page.get_by_role("button", name="horizontal edges").click()
    made = answer("filter", image="3", filter="horizontal")["map"]
    expect(page.get_by_label(re.compile("feature map")).locator("text").nth(3)).to_have_text(shown([made[0][3]])[0])
    assert cells(page, "feature map") == shown(flat(made))
    grid = page.get_by_label(re.compile("feature map"))
    grid.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator("output").first).to_have_text(shown([made[1][1]])[0])
    assert "at=1%2C1" in page.url
    grid.hover(position={"x": 170, "y": 20})
    expect(page.locator("output").first).to_have_text(shown([made[0][5]])[0])


def test_a_filter_of_ones_own(visit: Open) -> None:
    """Its numbers are typed, and stand in the address."""
    page = visit(of_nothing(), "view=guide&page=convolution")
    page.get_by_text("A filter of your own").click()
    page.get_by_label("weight 5").fill("2.5")
    page.get_by_label("weight 5").press("Tab")
    made = answer("filter", image="3", filter="-1,0,1,-1,2.5,1,-1,0,1")["map"]
    expect(page.locator("output").first).to_have_text(shown([made[0][0]])[0])


def test_a_drawing_is_convolved(visit: Open) -> None:
    """The space bar paints where the cursor is."""
    page = visit(of_nothing(), "view=guide&page=convolution&filter=copy")
    page.get_by_role("button", name="draw").click()
    board = page.get_by_label(re.compile("Drawing board"))
    board.focus()
    page.keyboard.press("Space")
    expect(page.get_by_label(re.compile("feature map")).locator("text").nth(2 * 6 + 2)).to_have_text("16")
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_label(re.compile("feature map")).locator("text").nth(2 * 6 + 2)).to_have_text("0")


def test_a_persons_own_image(reader: Opened, visit: Open) -> None:
    """Of a run of images a figure can be computed on the chosen item."""
    page = visit(reader, "view=guide&page=padding&item=1")
    page.get_by_role("button", name="my input").click()
    made = ask(reader, "guide-padding", {"image": "item 1", "mode": "zeros", "layers": 1})
    expect(page.get_by_label(re.compile("map of mean filters")).locator("text").nth(9)).to_have_text(
        shown([made["map"][1][1]], 1)[0]
    )
    assert cells(page, "map of mean filters") == shown(flat(made["map"]), 1)


def test_padding(visit: Open) -> None:
    """What stands around changes the map and what a corner counts."""
    page = visit(of_nothing(), "view=guide&page=padding")
    page.get_by_role("button", name="none").click()
    expect(page.get_by_text("A corner pixel enters by 1, a middle one by 9: 11 % of it.")).to_be_visible()
    page.get_by_label("layers").press("End")
    ways = answer("padding", image="3", mode="none", layers=3)["ways"]
    expect(page.get_by_text(f"a middle one by {ways[4][4]}")).to_be_visible()
    assert cells(page, "ways by which") == shown(flat(ways))


def test_stride(visit: Open) -> None:
    """The formula, the cost and the map follow the sliders."""
    page = visit(of_nothing(), "view=guide&page=stride")
    page.get_by_label("stride s").press("ArrowRight")
    page.get_by_label("padding p").press("End")
    made = answer("stride", image="3", kernel=3, stride=3, padding=2)
    expect(page.locator("output.formula")).to_have_text("⌊(8 + 2·2 − 3)/3⌋ + 1 = 4")
    expect(page.get_by_text(f"{made['macs']} multiply-adds")).to_be_visible()
    assert cells(page, "map of mean filters") == shown(flat(made["map"]), 1)


def test_size(visit: Open) -> None:
    """The formula follows the sliders; a window that does not fit is said; layers of one's own are computed."""
    page = visit(of_nothing(), "view=guide&page=size")
    page.get_by_label("stride s").press("Home")
    expect(page.locator("output.formula")).to_have_text("⌊(8 + 2·1 − 3)/1⌋ + 1 = 8")
    expect(page.locator("rect.taken")).to_have_count(24)
    page.get_by_label("filter size k").press("End")
    page.get_by_label("dilation d").press("End")
    expect(page.get_by_role("alert")).to_have_text(re.compile("spans 19 elements.* has 10"))
    own = page.get_by_role("textbox", name="Your own")
    own.fill("8x8x1 | conv 3 4 | flatten | linear 10")
    own.press("Enter")
    expect(page.get_by_role("row", name=re.compile("conv 3 4"))).to_contain_text("6 x 6 x 4")
    own.fill("100x12 | lstm 32 | linear 3")
    own.press("Enter")
    expect(page.get_by_role("row", name=re.compile("linear 3")).locator("td").last).to_have_text("all before")
    own.fill("100x12 | lstn 32")
    own.press("Enter")
    expect(page.get_by_role("alert").last).to_have_text("'lstn' is no layer; did you mean 'lstm'?")
    assert page.locator("pre").inner_text().splitlines() == ["  100x12 | lstn 32", "           ^^^^"]
    expect(page.get_by_role("table")).to_have_count(0)
    own.fill("100x12 | gru 32")
    own.press("Enter")
    expect(page.get_by_role("row", name=re.compile("gru 32"))).to_be_visible()
    expect(page.locator("pre")).to_have_count(0)


@pytest.mark.parametrize("name", ["max-pooling", "average-pooling"])
def test_pooling(visit: Open, name: str) -> None:
    """Both maps follow the disturbance and the window, and how far they moved is said."""
    page = visit(of_nothing(), f"view=guide&page={name}")
    page.get_by_role("button", name="normal noise").click()
    page.get_by_label("window").press("End")
    made = answer("pooling", image="3", window=4, noise="normal")
    expect(page.get_by_text(f"moved by {shown([made['moved']['average']])[0]} on average")).to_be_visible()
    assert cells(page, "^max pooling") == shown(flat(made["max"]))
    assert cells(page, "^average pooling") == shown(flat(made["average"]), 1)


def test_rnn(visit: Open) -> None:
    """The states follow weights and inputs; the arrow keys move the step whose equation is written out."""
    page = visit(of_nothing(), "view=guide&page=rnn")
    page.get_by_label("recurrent weight u").press("End")
    page.get_by_label("Numbers of your own").fill("1, 0, -1")
    page.get_by_label("Numbers of your own").press("Enter")
    made = answer("rnn", inputs="1,0,-1", w=1, u=2, b=0)
    expect(page.locator("circle")).to_have_count(3)
    page.get_by_label(re.compile("unrolled over time")).focus()
    page.keyboard.press("End")
    expect(page.locator("output").last).to_have_text(shown([made["h"][2]], 3)[0])
    assert "step=3" in page.url


def test_gradient(visit: Open) -> None:
    """The gradient that is left follows the radius, and clipping the weights'."""
    page = visit(of_nothing(), "view=guide&page=gradient&steps=20")
    expect(page.get_by_text("19 steps back, 0.0144 times the gradient is left.")).to_be_visible()
    before = page.locator("polyline").get_attribute("points")
    page.get_by_label("spectral radius").press("End")
    expect(page.get_by_text("19 steps back, 2220 times the gradient is left.")).to_be_visible()
    assert page.locator("polyline").get_attribute("points") != before
    page.get_by_label(re.compile("clip the weights")).check()
    expect(page.get_by_text(re.compile("clipped to 1$"))).to_be_visible()


@pytest.mark.parametrize(("name", "bias"), [("lstm", "forget gate’s bias"), ("gru", "update gate’s bias")])
def test_gates(visit: Open, name: str, bias: str) -> None:
    """The memory at the last step follows the gate's bias; its equation is written with the numbers of the step."""
    page = visit(of_nothing(), f"view=guide&page={name}")
    page.get_by_label(bias).press("Home")
    page.get_by_role("application").focus()
    page.keyboard.press("End")
    made = (
        answer("lstm", value=1, forget=-2, write="signal", read="signal")["c"]
        if name == "lstm"
        else answer("gru", value=1, update=-2, reset="open")["h"]
    )
    lost = shown([made[-1] or 0.001])[0]
    expect(page.locator(".equation output")).to_have_text(lost if float(lost.replace("−", "-")) else "0.00")
    page.get_by_label(bias).press("End")
    expect(page.locator(".equation output")).not_to_have_text(re.compile("0.00|" + lost))


def test_comparison(visit: Open) -> None:
    """Costs and reach follow the size; what was measured stands below with where it comes from."""
    page = visit(of_nothing(), "view=guide&page=comparison")
    page.get_by_label("hidden units H").press("Home")
    page.get_by_role("button", name="forget bias 1").click()
    lstm = answer("beside", hidden=8, steps=50, start="open")["networks"][1]
    row = page.get_by_role("row", name="LSTM").first
    expect(row).to_contain_text(str(lstm["parameters"]))
    expect(row).to_contain_text(str(next(k for k, v in enumerate(lstm["reach"]) if v < 0.01)))
    how = "6,000 batches of 32, 10 seeds. Measured by “pellucid claims” on"
    expect(page.get_by_text(how)).to_be_visible()

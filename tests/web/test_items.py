"""The promise: one chooses an input, or gives one's own, and sees at once whether the networks are right."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from playwright.sync_api import Page, expect
from tests.lab import finished
from tests.web.conftest import Open

from pellucid.web.opened import Opened
from pellucid.web.questions import ask
from pellucid.web.run import of_run


def run_of(kind: str) -> Opened:
    return of_run(finished.run(kind).folder)


def told(opened: Opened, network: str, item: int, **more: int) -> dict[str, object]:
    return ask(opened, "answer", {"network": network, "item": item, **more})


def test_pictures_are_chosen_by_mouse_and_keys(visit: Open) -> None:
    opened = run_of("images")
    page = visit(opened, "view=convolution")
    pictures = page.get_by_role("option", name=re.compile("right answer"))
    expect(pictures).to_have_count(len(opened.items))
    pictures.nth(2).click()
    expect(pictures.nth(2)).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("combobox", name="Input")).to_have_value("2")
    page.get_by_role("listbox", name="Inputs").press("ArrowRight")
    expect(page.get_by_role("combobox", name="Input")).to_have_value("3")
    page.get_by_role("listbox", name="Inputs").press("End")
    expect(page.get_by_role("button", name="Next input")).to_be_disabled()
    assert f"item={len(opened.items) - 1}" in page.url


def test_the_answer_stands_beside_the_right_one(visit: Open) -> None:
    """To the digits shown they are the network's; right and wrong are said in words."""
    opened = run_of("images")
    page = visit(opened, "view=convolution&network=cnn")
    for number in range(3):
        answer = told(opened, "cnn", number)
        best, right = answer["best"][0], answer["right"]  # type: ignore[index]
        page.get_by_role("combobox", name="Input").select_option(str(number))
        section = page.get_by_role("region", name="CNN")
        expect(section).to_contain_text(f"CNN says {best['name']}")
        expect(section).to_contain_text(f"{100 * best['probability']:.1f} %")
        expect(section).to_contain_text("right" if best == right else f"wrong: it is {right['name']}")
        expect(page.get_by_text(f"The right answer is {right['name']}")).to_be_visible()


def test_a_position_is_carried_over_to_another_input_and_a_step_is_not(visit: Open) -> None:
    """The same place of two images is worth comparing; the same step of two sequences says nothing."""
    page = visit(run_of("images"), "view=convolution&row=3&column=2&item=0&step=4")
    page.get_by_role("button", name="Next input").click()
    expect(page.get_by_role("combobox", name="Input")).to_have_value("1")
    assert "row=3&column=2" in page.url
    assert "step" not in page.url


def test_a_forecast_is_told_in_numbers(visit: Open) -> None:
    opened = run_of("series")
    page = visit(opened, "view=recurrence&network=gru&item=1")
    answer = told(opened, "gru", 1)
    section = page.get_by_role("region", name="GRU", exact=True)
    middle = answer["quantiles"].index(0.5)  # type: ignore[attr-defined]
    first = answer["values"][0][middle]  # type: ignore[index]
    expect(section).to_contain_text(f"GRU expects {float(f'{first:.4g}'):g} next")
    section.get_by_text("The forecast in numbers").click()
    cells = section.get_by_role("row").nth(1).get_by_role("cell")
    row = [*answer["values"][0], answer["truth"][0]]  # type: ignore[index]
    expect(cells).to_have_text([f"{float(f'{value:.4g}'):g}" for value in row])
    expect(section.get_by_role("img")).to_have_attribute("aria-label", re.compile("the forecast and its range"))


def test_the_next_token_follows_the_step(visit: Open) -> None:
    opened = run_of("characters")
    page = visit(opened, "view=recurrence&network=gru&item=0&step=4")
    answer = told(opened, "gru", 0, step=4)
    name = answer["best"][0]["name"].replace(" ", "␣")  # type: ignore[index]
    expect(page.get_by_role("region", name="GRU", exact=True)).to_contain_text(f"After step 4 GRU expects {name}")


def test_a_text_is_typed(visit: Open) -> None:
    opened = run_of("text")
    page = visit(opened, "view=recurrence&network=gru")
    before = len(opened.items)
    page.get_by_role("button", name="Type a text").click()
    page.get_by_label("A text of your own").fill("정말 좋아요 good")
    page.get_by_role("button", name="Show it to the networks").click()
    expect(page.get_by_role("combobox", name="Input")).to_have_value(str(before))
    expect(page.get_by_role("combobox", name="Input").locator("option:checked")).to_have_text("typed: 정말 좋아요 good")
    best = told(opened, "gru", before)["best"][0]["name"]  # type: ignore[index]
    expect(page.get_by_role("region", name="GRU", exact=True)).to_contain_text(f"GRU says {best}")


def draw(page: Page) -> None:
    page.get_by_role("button", name="Draw a picture").click()
    box = page.get_by_label("Draw here with a mouse, a pen or a finger").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] - 20, steps=5)
    page.mouse.up()


def test_a_picture_is_drawn(visit: Open) -> None:
    """A stroke down the left is bright there and dark elsewhere, as the networks see it; clear begins anew."""
    opened = run_of("images")
    page = visit(opened, "view=convolution&network=cnn")
    before = len(opened.items)
    draw(page)
    page.get_by_role("button", name="Clear").press("Enter")
    expect(page.get_by_role("button", name="Show it to the networks")).to_be_disabled()
    page.get_by_role("button", name="Draw a picture").click()
    draw(page)
    page.get_by_role("button", name="Show it to the networks").click()
    expect(page.get_by_role("combobox", name="Input")).to_have_value(str(before))
    seen = opened.items[before].own[0]
    assert seen[2:6, :2].mean() > 0.4
    assert seen[:, 4:].max() < 0.01
    expect(page.locator("[role=option][aria-label='drawn.png']")).to_have_attribute("aria-selected", "true")


def test_a_picture_is_drawn_by_keys(visit: Open) -> None:
    """Arrows move a pen, space sets it down and lifts it; where it is and what is there is told as text."""
    opened = run_of("images")
    page = visit(opened, "view=convolution&network=cnn")
    before = len(opened.items)
    page.get_by_role("button", name="Draw a picture").press("Enter")
    page.keyboard.press("Tab")
    board = page.get_by_role("application", name="Draw here")
    expect(board).to_be_focused()
    expect(board).to_have_accessible_description(re.compile("arrows move the pen"))
    told = page.get_by_role("status")
    expect(told).to_have_text("Pen at row 5 of 8, column 5 of 8, lifted; nothing here")
    for _ in range(9):  # no further than the first column
        page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("button", name="Show it to the networks")).to_be_disabled()
    page.keyboard.press("Space")
    expect(told).to_have_text("Pen at row 5 of 8, column 1 of 8, drawing; drawn here")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(told).to_have_text("Pen at row 3 of 8, column 3 of 8, lifted; nothing here")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Show it to the networks")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="Input")).to_have_value(str(before))
    seen = opened.items[before].own[0]
    assert seen[2:5, 0].mean() > 0.8
    assert max(seen[:, 2:].max(), seen[6:].max()) < 0.01


def test_a_file_is_given_by_a_button_or_dropped(visit: Open) -> None:
    """What cannot be read is a sentence, and what was open stays."""
    run = finished.run("images")
    opened = of_run(run.folder)
    page = visit(opened, "view=convolution&network=cnn")
    before = len(opened.items)
    file = next((run.source / "left").iterdir())
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="A file of your own").click()
    chosen.value.set_files(file)
    expect(page.get_by_role("combobox", name="Input")).to_have_value(str(before))
    drop(page, "torn.png", b"no picture")
    expect(page.get_by_role("alert")).to_contain_text("torn.png: the image cannot be read")
    expect(page.get_by_role("combobox", name="Input")).to_have_value(str(before))
    drop(page, "again.png", file.read_bytes())
    expect(page.get_by_role("combobox", name="Input")).to_have_value(str(before + 1))
    expect(page.get_by_role("alert")).to_have_count(0)


def drop(page: Page, name: str, content: bytes) -> None:
    page.evaluate(
        """([name, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name));
            for (const kind of ['dragover', 'drop'])
                document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }""",
        [name, list(content)],
    )


@pytest.mark.parametrize("kind", ["images", "series", "text"])
def test_nothing_is_wider_than_a_phone(kind: str, visit: Open) -> None:
    page = visit(run_of(kind), "view=recurrence&network=gru", width=390)
    expect(page.get_by_role("region", name="GRU", exact=True)).to_contain_text("GRU")
    assert page.evaluate("document.querySelector('.items').scrollWidth") <= 390
    for button in page.locator(".items button").all():
        box = button.bounding_box()
        assert box is None or box["height"] >= 31.5


def test_the_token_leaves_the_address_and_a_reload_keeps_it(visit: Open) -> None:
    """A link that is copied has no token; another tab of the browser still has it."""
    page = visit(run_of("images"), "view=convolution&item=1")
    expect(page.get_by_role("combobox", name="Input")).to_have_value("1")
    assert "token" not in page.url
    page.reload()
    expect(page.get_by_role("combobox", name="Input")).to_have_value("1")
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.get_by_role("combobox", name="Input")).to_have_value("1")


class Notebook(BaseHTTPRequestHandler):
    """A page with another in a frame."""

    address = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(f'<iframe src="{self.address}"></iframe>'.encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_notebook_may_show_it_in_a_frame(visit: Open) -> None:
    """A page of this machine's own address may, and one of another address may not."""
    page = visit(run_of("images"))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    handler = type("Handler", (Notebook,), {"address": page.url})
    for host, shown in (("127.0.0.1", True), ("127.0.0.2", False)):
        with HTTPServer((host, 0), handler) as notebook:
            threading.Thread(target=notebook.serve_forever, daemon=True).start()
            page.goto(f"http://{host}:{notebook.server_port}/")
            frame = page.frame_locator("iframe")
            if shown:  # what the browser keeps for the page is apart in a frame of another, so it asks for the token
                expect(frame.get_by_role("alert").or_(frame.get_by_role("heading", level=1))).to_be_visible()
            else:
                page.wait_for_load_state("networkidle")
                expect(frame.locator("#app")).to_have_count(0)
            notebook.shutdown()

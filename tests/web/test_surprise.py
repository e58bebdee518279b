"""The promise: an input that comes as a surprise is asked about at once, with what is known of the last one, which its answers correct."""

from __future__ import annotations

import threading

import pytest
import torch
from playwright.sync_api import Page, Response, expect
from tests.web.conftest import Last, Open, drawn, questions
from torch import nn as torch_nn

from pellucid import nn
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.questions import ask

LENGTHS = (300, 300, 10, 260)
ALL = {"network": "lstm", "layer": "layer.l0"}


@pytest.fixture
def uneven() -> Opened:
    """An LSTM, and sequences of unlike lengths."""
    generator = torch.Generator().manual_seed(4)
    batch = torch.randn(len(LENGTHS), max(LENGTHS), 2, generator=generator)
    return of_models({"lstm": drawn(Last(nn.LSTM(2, 6, batch_first=True)))}, batch, torch.tensor(LENGTHS))


@pytest.fixture
def row() -> Opened:
    """Convolutions in a row that is wider than the window; two images of one size and one of another."""
    blocks = (nn.ConvBlock(1 if i == 0 else 4, 4, 3, padding="same") for i in range(3))
    opened = of_models(
        {"cnn": drawn(torch_nn.Sequential(*blocks))},
        torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(5)),
    )
    other = of_models(
        {"cnn": torch_nn.Sequential()}, torch.rand(1, 1, 12, 10, generator=torch.Generator().manual_seed(6))
    )
    opened.items.append(other.items[0])
    return opened


def watched(page: Page) -> tuple[list[list[str]], list[str]]:
    """From now on the names that are asked in each request, and answers that are errors."""
    asked: list[list[str]] = []
    wrong: list[str] = []

    def note(response: Response) -> None:
        if questions(response.request) and '{"error":' in response.text():
            wrong.append(response.text())

    page.on("request", lambda request: asked.append([name for name, _ in questions(request)]))
    page.on("response", note)
    return asked, wrong


def choose(page: Page, item: int) -> None:
    page.get_by_role("combobox", name="Input").first.select_option(str(item))


def shows(page: Page, opened: Opened, item: int) -> None:
    """What is told of the item, its steps, and the memory's number of the step that is told about."""
    told = ask(opened, "telling", ALL | {"item": item})
    step = ask(opened, "step", ALL | {"item": item, "step": told["step"], "unit": told["unit"]})
    cell = ask(opened, "cell", ALL | {"item": item})
    memory = next(e["value"] for e in cell["elements"] if e["name"] == "c" and not e["before"])
    expect(page.get_by_text(f"step {told['step']} (0 to {LENGTHS[item] - 1})")).to_be_visible()
    expect(page.get_by_role("slider", name="Time step")).to_have_attribute("max", str(LENGTHS[item] - 1))
    number = step["numbers"][memory]
    text = f"{number:.{1 if abs(number) >= 100 else 2}f}".replace("-", "−")
    expect(page.locator(".diagram").get_by_role("button", name=f"c t: {text}", exact=True).first).to_be_visible()
    rows, columns = 6, min(100, LENGTHS[item])
    expect(page.get_by_role("application", name=f"c of {rows} units over {columns} steps")).to_be_visible()


def test_one_request_brings_the_answer_and_the_values(uneven: Opened, visit: Open) -> None:
    """Nothing is asked twice, and what fills the maps only once the step is known that they surround."""
    page = visit(uneven, "view=recurrence")
    shows(page, uneven, 0)
    page.wait_for_load_state("networkidle")
    asked, wrong = watched(page)
    choose(page, 1)
    shows(page, uneven, 1)
    assert asked[0] == ["answer", "places", "step", "telling"]
    first = [name for names in asked[:2] for name in names]
    assert first.count("step") == 1
    assert first.count("sequence") == 7  # i, f, g, o, c, h and the input
    assert wrong == []


def test_maps_are_asked_with_their_stages_and_where_they_are_seen(row: Opened, visit: Open) -> None:
    """Of a long row the columns in sight, and one beyond; the others once they are scrolled to."""
    page = visit(row, "view=convolution")
    expect(page.locator("[data-stage] canvas").first).to_be_visible()
    page.wait_for_timeout(500)
    asked, wrong = watched(page)
    choose(page, 1)
    page.wait_for_timeout(500)
    (with_stages,) = (names for names in asked if "stages" in names)
    stages = page.locator("[data-stage]").count()
    assert 3 <= with_stages.count("maps") < stages
    last = page.locator("[data-stage]").last
    assert last.locator("canvas").count() == 0
    last.scroll_into_view_if_needed()
    expect(last.get_by_role("application")).to_have_count(4)
    assert not wrong


def test_maps_of_images_of_unlike_sizes(row: Opened, visit: Open) -> None:
    """What the next image's stages correct is shown corrected."""
    page = visit(row, "view=convolution")
    first = page.locator("[data-stage]").first
    expect(first).to_contain_text("16 × 16")
    choose(page, 2)
    expect(first).to_contain_text("12 × 10")
    picture = first.get_by_role("application").first
    box = picture.bounding_box()
    assert box is not None
    picture.click(position={"x": 9.5 / 10 * box["width"], "y": 7.5 / 12 * box["height"]})
    expect(page.locator(".detail")).to_contain_text(f"is {row.items[2].x[0, 7, 9].item():.3f}")


def test_other_lengths_are_corrected(uneven: Opened, visit: Open) -> None:
    """Shorter, longer, and back; no question is about steps that do not exist."""
    page = visit(uneven, "view=recurrence")
    shows(page, uneven, 0)
    _, wrong = watched(page)
    for item in (2, 3, 2, 1):
        choose(page, item)
        shows(page, uneven, item)
    assert wrong == []
    assert page.get_by_role("alert").count() == 0


def test_a_chosen_step_that_the_next_input_has_not(uneven: Opened, visit: Open) -> None:
    """A link may hold a step: of a shorter input the last that there is takes its place, and none that is not is asked about."""
    page = visit(uneven, "view=recurrence&step=290")
    expect(page.get_by_text("step 290 (0 to 299)")).to_be_visible()
    _, wrong = watched(page)
    page.evaluate("location.hash = '#view=recurrence&step=290&item=2'")
    expect(page.get_by_text("step 9 (0 to 9)")).to_be_visible()
    expect(page.get_by_role("application", name="c of 6 units over 10 steps")).to_be_visible()
    assert wrong == []


def test_what_is_told_about_is_the_step_s_own(uneven: Opened) -> None:
    """A step that is left open is that of the telling, and so is a unit."""
    told = ask(uneven, "telling", ALL | {"item": 3})
    left_open = ask(uneven, "step", ALL | {"item": 3, "step": None, "unit": None})
    assert (left_open["step"], left_open["unit"]) == (told["step"], told["unit"])
    assert left_open == ask(uneven, "step", ALL | {"item": 3, "step": told["step"], "unit": told["unit"]})
    assert ask(uneven, "step", ALL | {"item": 3, "step": 5, "unit": None})["unit"] == told["unit"]


def test_who_asks_for_what_is_known_does_not_wait_for_a_model_that_runs(uneven: Opened) -> None:
    ask(uneven, "step", ALL | {"item": 0, "step": 5})
    answers: list[object] = []
    asking = threading.Thread(
        target=lambda: answers.append(ask(uneven, "step", ALL | {"item": 0, "step": 6})), daemon=True
    )
    with uneven.alone():
        asking.start()
        asking.join(20)
        assert len(answers) == 1

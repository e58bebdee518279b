"""The promise: the guide is a folder that a browser opens from a disk, and every control there has all of its answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.web.guide.test_guide import PAGES

from pellucid.web.guide import write
from pellucid.web.model import of_nothing
from pellucid.web.questions.guide import asked
from pellucid.web.questions.guide.contents import Contents
from pellucid.web.stored import record, whole


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("guide")
    assert write(made) < 3_000_000
    return made


@pytest.fixture
def page(browser: Browser) -> Page:
    context = browser.new_context(locale="en-GB", offline=True)
    return context.new_page()


@pytest.mark.parametrize("name", PAGES)
def test_every_setting_is_there(folder: Path, page: Page, name: str) -> None:
    """Each control goes through all of its settings; what is not recorded would be an alert."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{(folder / 'index.html').as_uri()}#view=guide&page={name}")
    expect(page.locator("section svg, section table").first).to_be_visible()
    moved = 0
    for slider in page.get_by_role("slider").all():
        slider.press("Home")
        for _ in range(int(slider.get_attribute("max") or 0)):
            before = page.url
            slider.press("ArrowRight")
            moved += page.url != before
            page.wait_for_timeout(15)
            assert not [text for text in page.get_by_role("alert").all_inner_texts() if "recorded" in text]
    for button in page.get_by_role("group").get_by_role("button").all():
        button.click()
        moved += 1
        expect(button).to_have_attribute("aria-pressed", "true")
        assert not [text for text in page.get_by_role("alert").all_inner_texts() if "recorded" in text]
    assert moved > 3
    assert errors == []


def test_what_is_not_stored_is_said(folder: Path, page: Page) -> None:
    """Own numbers and drawing are not offered; a sentence says where they are."""
    page.goto(f"{(folder / 'index.html').as_uri()}#view=guide&page=convolution")
    expect(page.get_by_text("For a filter of your own, run “pellucid see”.")).to_be_visible()
    expect(page.get_by_text("A filter of your own", exact=True)).to_have_count(0)
    expect(page.get_by_role("button", name="draw")).to_have_count(0)


def test_a_part_of_it_in_one_file(tmp_path: Path, page: Page) -> None:
    """Only the pages that are named, under a policy that lets this one script run."""
    made = whole(record(of_nothing(), asked(of_nothing(), "rnn,lstm")), "view=guide&pages=rnn,lstm")
    policy = f"<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src '{made.hashes[0]}' '{made.hashes[1]}'\">"
    (tmp_path / "part.html").write_text(made.html.replace("<head>", f"<head>{policy}"), encoding="utf-8")
    page.goto((tmp_path / "part.html").as_uri())
    expect(page.get_by_role("listitem")).to_have_count(2)
    page.get_by_role("button", name="The LSTM").click()
    expect(page.locator(".equation output")).to_be_visible()


def test_pages_that_do_not_exist_are_named() -> None:
    """With those that do."""
    with pytest.raises(ValueError, match="no page 'attention'; it has convolution"):
        Contents(pages="attention").answer(of_nothing())

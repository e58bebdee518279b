"""The promise: a report explains the networks that were compared by figures that move, in its one file, under its policy."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from tests.lab import finished

from pellucid.lab.report import figures
from pellucid.lab.report.page import render
from pellucid.lab.results import Comparison


@pytest.fixture(scope="module")
def run() -> finished.Finished:
    return finished.run("images", ("cnn", "lstm"))


@pytest.fixture(scope="module")
def compared(run: finished.Finished) -> Comparison:
    return run.found.model_copy(update={"title": "</script><script>document.title='taken'</script>"})


def test_figures_move_offline_in_the_report(
    run: finished.Finished, compared: Comparison, browser: Browser, tmp_path: Path
) -> None:
    """The frame has the pages on the CNN and the LSTM, whose controls work, and one on the run's own networks; a title cannot
    run, and nothing is loaded.
    """
    file = tmp_path / "report.html"
    file.write_text(render(compared, run.folder), encoding="utf-8")
    page = browser.new_context(locale="en-GB", offline=True).new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(file.as_uri())
    page.get_by_text("Figures to move").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("listitem")).to_have_count(9)
    frame.get_by_role("button", name="The LSTM").click()
    before = frame.locator(".equation output").inner_text()
    frame.get_by_label("forget gate’s bias").press("Home")
    frame.get_by_role("application").focus()
    page.keyboard.press("End")
    expect(frame.locator(".equation output")).not_to_have_text(before)
    frame.get_by_role("button", name="All pages").click()
    frame.get_by_role("button", name="Your networks").click()
    expect(frame.get_by_role("slider", name="test item")).to_have_attribute("max", "3")
    for item in (2, 3, 4):
        frame.get_by_role("slider", name="test item").press("ArrowRight")
        expect(frame.get_by_text(f"test item {item}", exact=False).first).to_be_visible()
        expect(frame.locator("polyline")).to_have_count(1)
        expect(frame.get_by_role("img", name="map 1")).not_to_have_count(0)
        expect(frame.get_by_role("alert")).to_have_count(0)
    frame.get_by_role("button", name="한국어").click()
    expect(frame.get_by_role("heading", level=2)).to_have_text("내 데이터를 보는 내 신경망")
    assert page.title() != "taken"
    assert problems == []


def test_only_the_pages_own_scripts_may_run(compared: Comparison) -> None:
    """The report's policy names the hashes of the frame's two scripts, and nothing else that is a script."""
    page = render(compared)
    (allowed,) = re.findall(r"script-src ([^\"]*)", unescape(page.split("<style>")[0]))
    (frame,) = re.findall(r'srcdoc="([^"]*)"', page)
    scripts = re.findall(r"<script>(.*?)</script>", unescape(frame), re.DOTALL)
    (packed,) = re.findall(r'id="pellucid-app">([^<]*)<', unescape(frame))
    scripts.append(gzip.decompress(base64.b64decode(packed)).decode())
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert allowed == " ".join(f"'sha256-{digest}'" for digest in digests)
    assert page.count("script-src") == 1


def test_a_run_that_cannot_be_opened_costs_no_report(compared: Comparison, tmp_path: Path) -> None:
    """The page on its networks is left out, and all others are there."""
    page = render(compared, tmp_path)
    assert "pages=convolution" in page
    assert "yours" not in page.split("pages=")[1][:200]


def test_the_pages_are_those_of_what_was_compared(compared: Comparison) -> None:
    """Of an LSTM alone none on convolution or on comparing; the figures stay below half a megabyte."""
    (lstm,) = (c for c in compared.candidates if c.name == "lstm")
    assert (
        "view=guide&amp;pages=gradient,lstm"
        in figures.figures(compared.model_copy(update={"candidates": [lstm]}), None).html
    )
    own = lstm.model_copy(update={"name": "leaky"})
    several = figures.figures(compared.model_copy(update={"candidates": [lstm, own]}), None)
    assert "pages=rnn,gradient,lstm,comparison" in several.html
    assert len(figures.framed(figures.figures(compared, None))) < 500_000


@pytest.mark.parametrize(("width", "shown"), [(1280, "broad"), (390, "narrow")])
def test_letters_of_a_figure_keep_their_size(
    compared: Comparison, browser: Browser, tmp_path: Path, width: int, shown: str
) -> None:
    """On a phone figures are drawn for its width instead of shrunk to it, and nothing sticks out at the side."""
    file = tmp_path / "report.html"
    file.write_text(render(compared), encoding="utf-8")
    page = browser.new_context(viewport={"width": width, "height": 800}).new_page()
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    figures = page.locator("figure .broad:visible, figure .narrow:visible")
    assert figures.count() == page.locator(f"figure .{shown}").count() > 0
    heights = figures.locator("text").evaluate_all("all => all.map(text => text.getBoundingClientRect().height)")
    assert min(heights) >= 12

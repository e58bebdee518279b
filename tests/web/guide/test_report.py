"""The promise: a report explains the networks that were compared by figures that move, in its one file, under its policy."""

from __future__ import annotations

import base64
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
def compared() -> Comparison:
    found = finished.run("images", ("cnn", "lstm")).found
    return found.model_copy(update={"title": "</script><script>document.title='taken'</script>"})


def test_figures_move_offline_in_the_report(compared: Comparison, browser: Browser, tmp_path: Path) -> None:
    """The frame has the pages on the CNN and the LSTM, whose controls work; a title cannot run, and nothing is loaded."""
    file = tmp_path / "report.html"
    file.write_text(render(compared), encoding="utf-8")
    page = browser.new_context(locale="en-GB", offline=True).new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(file.as_uri())
    page.get_by_text("Figures to move").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("listitem")).to_have_count(8)
    frame.get_by_role("button", name="The LSTM").click()
    before = frame.locator(".equation output").inner_text()
    frame.get_by_label("forget gate’s bias").press("Home")
    frame.get_by_role("application").focus()
    page.keyboard.press("End")
    expect(frame.locator(".equation output")).not_to_have_text(before)
    frame.get_by_role("button", name="한국어").click()
    expect(frame.get_by_role("heading", level=2)).to_have_text("LSTM")
    assert page.title() != "taken"
    assert problems == []


def test_only_the_pages_own_script_may_run(compared: Comparison) -> None:
    """The report's policy names the hash of the script in the frame, and nothing else that is a script."""
    page = render(compared)
    (allowed,) = re.findall(r"script-src ([^\"]*)", unescape(page.split("<style>")[0]))
    (frame,) = re.findall(r'srcdoc="([^"]*)"', page)
    (script,) = re.findall(r"<script>(.*?)</script>", unescape(frame), re.DOTALL)
    assert allowed == f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    assert page.count("script-src") == 1
    assert "unsafe-inline'; script" not in page.replace("style-src 'unsafe-inline'; img-src", "")


def test_the_pages_are_those_of_what_was_compared(compared: Comparison) -> None:
    """Of an LSTM alone none on convolution or on comparing; the figures stay below half a megabyte."""
    (lstm,) = (c for c in compared.candidates if c.name == "lstm")
    assert (
        "view=guide&amp;pages=gradient,lstm" in figures.figures(compared.model_copy(update={"candidates": [lstm]})).html
    )
    own = lstm.model_copy(update={"name": "leaky"})
    several = figures.figures(compared.model_copy(update={"candidates": [lstm, own]}))
    assert "pages=rnn,gradient,lstm,comparison" in several.html
    assert len(figures.framed(figures.figures(compared))) < 500_000

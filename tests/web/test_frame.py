"""The promise: the page says what is open, and everything that one chooses stands in its address."""

from __future__ import annotations

from playwright.sync_api import expect
from tests.web.conftest import Open

from pellucid.web.opened import Opened


def test_views_follow_from_the_layers(reader: Opened, visit: Open) -> None:
    """A model with both kinds of layers has both views; one recurrent network has none beside it."""
    page = visit(reader)
    expect(page.get_by_role("heading", level=1)).to_have_text("reader")
    views = page.get_by_role("navigation", name="Views").get_by_role("button")
    expect(views).to_have_text(["Convolution", "Recurrence", "Guide"])


def test_the_address_leads_back(reader: Opened, visit: Open) -> None:
    """A chosen view and item stand in the address; the back button undoes the view, and a reload keeps both."""
    page = visit(reader)
    page.get_by_role("button", name="Next input").click()
    page.get_by_role("button", name="Recurrence").click()
    assert "item=1" in page.url
    assert "view=recurrence" in page.url
    page.reload()
    expect(page.get_by_role("button", name="Recurrence")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("combobox", name="Input")).to_have_value("1")
    page.go_back()
    expect(page.get_by_role("button", name="Convolution")).to_have_attribute("aria-pressed", "true")


def test_without_the_token_nothing_is_shown(reader: Opened, visit: Open) -> None:
    """The page says why in a sentence."""
    page = visit(reader)
    page.evaluate("localStorage.clear()")  # which keeps it
    page.goto(page.url.split("#")[0])
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("token is missing or wrong")


def test_korean(reader: Opened, visit: Open) -> None:
    """The language changes in place."""
    page = visit(reader)
    page.get_by_role("button", name="한국어").click()
    expect(page.get_by_role("button", name="합성곱")).to_be_visible()

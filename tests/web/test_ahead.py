"""The promise: an input to which someone points has been shown to the networks before it is chosen, and only then."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from tests.web.conftest import Open, questions

from pellucid.web.opened import Opened


def passes(opened: Opened) -> set[tuple[object, ...]]:
    """The networks and items that have one."""
    return set(opened._passes)


def wait(page: Page, until: Callable[[], bool]) -> None:
    """As long as it takes, and while the page goes on; at most half a minute."""
    end = time.monotonic() + 30
    while not until() and time.monotonic() < end:
        page.wait_for_timeout(20)
    assert until()


def open_at_rest(visit: Open, opened: Opened, view: str = "view=recurrence") -> tuple[Page, list[str]]:
    """The page once what it asks last of its first input is answered, and what it asks from then on."""
    page = visit(opened, view)
    expect(page.get_by_text(re.compile("rests on"))).to_be_attached()
    every = len(opened.items)
    expect(page.get_by_text(re.compile(f"^Where .* is highest, in {every} inputs$"))).to_be_attached()
    asked: list[str] = []
    page.on("request", lambda request: asked.extend(name for name, _ in questions(request)))
    return page, asked


def test_a_picture_that_is_pointed_at(visit: Open, reader: Opened) -> None:
    """Its pass is there before a click, and the first gradient takes no other."""
    page, asked = open_at_rest(visit, reader)
    assert passes(reader) == {("reader", 0)}
    page.get_by_role("option", name="item 2").first.hover()
    wait(page, lambda: ("reader", 2) in passes(reader))
    wait(page, lambda: "ahead" in asked)  # which the server may have heard before the test does
    assert set(asked) == {"ahead"}
    assert "item=2" not in page.url
    there = reader._passes["reader", 2]
    page.get_by_role("option", name="item 2").first.click()
    wait(page, lambda: any(key[:2] == ("reader", 2) for key in reader._gradients))
    assert reader._passes["reader", 2] is there


def test_the_next_one_by_its_button(visit: Open, four: Opened) -> None:
    page, _ = open_at_rest(visit, four)
    page.get_by_role("button", name="Next input").hover()
    wait(page, lambda: ("rnn", 1) in passes(four))
    assert not any(item == 2 for _, item in passes(four))
    page.get_by_role("button", name="Next input").click()  # where the pointer stays on it, the one after that is next
    wait(page, lambda: ("rnn", 2) in passes(four))
    assert "item=1" in page.url


def test_an_option_of_the_open_list(visit: Open, four: Opened) -> None:
    """In a browser that lets the page draw its list."""
    page, _ = open_at_rest(visit, four)
    if not page.evaluate("CSS.supports('appearance', 'base-select')"):
        pytest.skip("this browser draws open lists itself and tells nobody what is pointed at")
    page.get_by_role("combobox", name="Input").first.click()
    page.get_by_role("option", name="item 2").first.hover()
    wait(page, lambda: ("rnn", 2) in passes(four))
    assert "item=2" not in page.url
    there = four._passes["rnn", 2]
    page.get_by_role("option", name="item 2").first.click()
    wait(page, lambda: "item=2" in page.url)
    wait(page, lambda: any(key[:2] == ("rnn", 2) for key in four._gradients))
    assert four._passes["rnn", 2] is there


def test_by_keys_those_beside_it(visit: Open, four: Opened) -> None:
    page, _ = open_at_rest(visit, four)
    page.get_by_role("combobox", name="Input").first.focus()
    wait(page, lambda: ("rnn", 1) in passes(four))


def test_whoever_passes_over_asks_for_nothing(visit: Open, four: Opened) -> None:
    page, asked = open_at_rest(visit, four)
    page.evaluate(  # in one task, as quick as can be
        """() => { const next = [...document.querySelectorAll('button')].find((b) => b.ariaLabel === 'Next input');
                   next.dispatchEvent(new PointerEvent('pointerenter')); next.dispatchEvent(new PointerEvent('pointerleave')); }"""
    )
    page.wait_for_timeout(400)
    assert asked == []
    assert passes(four) == {("rnn", 0)}


def test_what_a_list_offers(visit: Open, four: Opened) -> None:
    """While someone looks through the gates that can be held, each is; and none again when one is chosen."""
    page, asked = open_at_rest(visit, four, "view=recurrence&network=lstm")
    hold = page.get_by_role("combobox", name="Hold")
    hold.scroll_into_view_if_needed()
    asked.clear()
    offered = hold.locator("option").count()
    hold.hover()
    wait(page, lambda: asked.count("forced") == offered)
    asked.clear()
    hold.select_option("i")
    expect(page.get_by_role("application", name="c with i = 1.00")).to_be_visible()
    assert "forced" not in asked
    page.get_by_role("slider", name="at the value").press("ArrowLeft")
    expect(page.get_by_role("application", name="c with i = 0.95")).to_be_visible()
    page.wait_for_timeout(400)
    assert asked.count("forced") == 1  # nothing is looked through any more, though the pointer is where it was


def test_orders_that_are_looked_through(visit: Open, four: Opened) -> None:
    page, asked = open_at_rest(visit, four, "view=recurrence&network=lstm")
    page.get_by_role("combobox", name="Units").focus()
    wait(page, lambda: asked.count("order") == 4)

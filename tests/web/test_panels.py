"""The promise: below a layer's maps one sees what a unit remembers, how far its gradient reaches, and what a held gate would do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.web.conftest import Open

from pellucid import inside
from pellucid.web.opened import Opened
from pellucid.web.questions import ask

AT = "view=recurrence&network=lstm&unit=3&step=11"


def about(opened: Opened, question: str, **more: Any) -> dict[str, Any]:
    return ask(opened, question, {"network": "lstm", "item": 0, "layer": "layer.l0", **more})


def shown(value: float, decimals: int = 2) -> str:
    return f"{value:.{decimals}f}".replace("-", "−")


def test_what_a_unit_remembers(four: Opened, visit: Open) -> None:
    """Its half-life, and which other units go with it; one of them is a click away."""
    page = visit(four, AT)
    panel = page.get_by_role("region", name="What unit 3 remembers")
    half = float(inside.half_life(four.seen("lstm", 0).seen["layer.l0.f"])[3])
    expect(panel).to_contain_text(f"By its gate f, half of its memory is left after {shown(half, 1)} steps")
    other = about(four, "unit", unit=3)["others"][0]
    expect(panel).to_contain_text(f"unit {other['unit']} r = {shown(other['r'])}")
    panel.get_by_role("button", name=f"unit {other['unit']}", exact=True).click()
    expect(page.get_by_role("region", name=f"What unit {other['unit']} remembers")).to_be_visible()


def test_a_cell_without_a_keeping_gate_says_so(four: Opened, visit: Open) -> None:
    page = visit(four, "view=recurrence&network=rnn&unit=0")
    expect(page.get_by_text("This cell has no gate that keeps a share of the memory")).to_be_visible()


def test_which_steps_an_output_rests_on(four: Opened, visit: Open) -> None:
    """The largest share and its step; they follow the cursor."""
    page = visit(four, AT)
    for step in (11, 12):
        found = about(four, "attribution", unit=3, step=step)
        most = max(range(24), key=lambda t: abs(found["steps"][t]))
        expect(page.get_by_text(f"What its output {shown(found['value'])} at step {step} rests on")).to_be_visible()
        expect(page.get_by_text(f"Most on step {most}: {shown(found['steps'][most], 3)}.")).to_be_visible()
        page.keyboard.press("ArrowRight")


def test_what_drives_a_unit_is_a_click_away(four: Opened, visit: Open) -> None:
    page = visit(four, AT)
    expect(page.get_by_role("heading", name=f"Where c is highest, in {len(four.items)} inputs")).to_be_visible()
    best = about(four, "drivers", unit=3, items=3)["highest"][0]
    page.get_by_role("button", name=f"{best['name']['en']}, step {best['step']}: {shown(best['value'])}").click()
    expect(page.get_by_text(f"step {best['step']} (0 to 23)")).to_be_visible()
    expect(page.get_by_role("combobox", name="Input")).to_have_value(str(best["item"]))


@pytest.mark.parametrize("of", ["answer", "unit", "state"])
def test_how_far_back_the_gradient_reaches(four: Opened, visit: Open, of: str) -> None:
    page = visit(four, AT)
    page.get_by_role("combobox", name="Gradient of").select_option(of)
    more = {"of": of, "step": None if of == "answer" else 11} | ({"unit": 3} if of == "unit" else {})
    states = about(four, "reach", **more)["states"]
    for s in states:
        said = (
            f"never falls to 1.% .*at {s['name']} "
            if s["fades"] is None
            else f"at {s['name']} after {s['fades']} steps?"
        )
        expect(page.get_by_text(re.compile(f"The gradient .*{said}"))).to_be_visible()
    picture = page.get_by_role("application", name=re.compile("Gradient at c of every unit"))
    expect(picture).to_be_visible()
    picture.focus()
    page.keyboard.press("ArrowDown")
    assert "unit=4" in page.url


def test_a_gate_is_held(four: Opened, visit: Open) -> None:
    """Which, at what, from when on and in which units; the sentence and the answers are those of the held run."""
    page = visit(four, AT)
    panel = page.get_by_role("region", name="What if a gate did not move")

    def says(**more: Any) -> None:
        found = about(four, "forced", **more)
        norms = found["memory"]["norms"]
        most = max(range(24), key=lambda t: norms[t])
        expect(panel).to_contain_text(
            f"The memory c differs most at step {most}, by {shown(norms[most])}; at step 11 by {shown(norms[11])}."
        )
        for told, place in ((found["before"], 0), (found["after"], 1)):
            answer = panel.locator("ol").nth(place).locator("li").first
            expect(answer).to_contain_text(shown(told["largest"][0]["value"]))

    says(name="f", value=1.0)
    panel.get_by_role("slider", name="at the value").fill("0.25")
    says(name="f", value=0.25)
    panel.get_by_role("combobox", name="Hold").select_option("o")
    says(name="o", value=0.25)
    panel.get_by_role("button", name="from this step on").click()
    says(name="o", value=0.25, since=11)
    panel.get_by_role("button", name="in unit 3 alone").click()
    says(name="o", value=0.25, since=11, unit=3)
    assert all(part in page.url for part in ("held=o", "level=0.25", "since=11", "alone=1"))


def test_nothing_changes_where_a_gate_is_held_at_the_end(four: Opened, visit: Open) -> None:
    """o of the last step does not touch the memory any more."""
    page = visit(four, "view=recurrence&network=lstm&step=23&held=o&level=0&since=23")
    expect(page.get_by_text("The memory c stays the same.")).to_be_visible()

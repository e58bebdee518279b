"""Figures that explain the compared networks: the guide's pages on them, stored in the report with all of their answers."""

from __future__ import annotations

from functools import cache

from markupsafe import Markup

from pellucid.lab.results import Candidate, Comparison
from pellucid.web.model import of_nothing
from pellucid.web.questions.guide import asked
from pellucid.web.stored import Whole, record, whole

SPACE = ("convolution", "padding", "stride", "size", "max-pooling", "average-pooling")
TIME = {"rnn": ("rnn", "gradient"), "lstm": ("gradient", "lstm"), "gru": ("gradient", "gru")}


def figures(comparison: Comparison) -> Whole:
    """The page that stands in the report's frame, and its script's hash for the report's content policy."""
    return _page(",".join(_pages(comparison.candidates)))


def framed(page: Whole) -> Markup:
    """The page as the value of a frame's attribute ``srcdoc``."""
    return Markup(page.html.replace("&", "&amp;").replace('"', "&quot;"))


@cache
def _page(pages: str) -> Whole:
    return whole(record(of_nothing(), asked(pages)), f"view=guide&pages={pages}")


def _pages(candidates: list[Candidate]) -> list[str]:
    """The pages on what was compared, in the guide's order: of a cell of one's own those on recurrence as such."""
    recurrent = [c.name.removeprefix("cnn+") for c in candidates if c.diagram is not None]
    found = list(SPACE) if any(c.name.startswith("cnn") for c in candidates) else []
    kinds = {next((kind for kind in TIME if kind in name), "rnn") for name in recurrent}
    wanted = {page for kind in kinds for page in TIME[kind]} | ({"comparison"} if len(recurrent) > 1 else set())
    return [*found, *(page for page in ("rnn", "gradient", "lstm", "gru", "comparison") if page in wanted)]

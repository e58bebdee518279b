"""What is in the guide: its pages in the order in which one learns, and the controls of each figure with their settings."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Any

from pellucid.errors import ArgumentError
from pellucid.web.opened import Opened
from pellucid.web.questions.question import Answer, Question

Parameters = dict[str, Any]


YOURS, MOST_ITEMS = "yours", 4


class Contents(Question):
    """The pages of the guide, or those of them that are named.

    Attributes:
        pages: names with commas between them; empty for all. ``"yours"``, on the networks that are open, comes only by its name.
    """

    pages: str = ""

    def answer(self, opened: Opened) -> Answer:
        """For each page its name, and by question the controls of its figures."""
        return {"pages": [{"name": name, "figures": _figures(opened, name)} for name in _named(self.pages)]}


def asked(opened: Opened, pages: str = "") -> Iterator[tuple[str, Parameters]]:
    """Every question that the pages can ask by their controls, each once.

    Args:
        opened: of what they are asked.
        pages: as in :class:`Contents`.
    """
    yield "guide", {"pages": pages}
    done: set[str] = set()
    for page in _named(pages):
        for question, controls in _figures(opened, page).items():
            if question in done:
                continue
            done.add(question)
            for values in itertools.product(*(control["values"] for control in controls)):
                yield question, dict(zip((control["name"] for control in controls), values, strict=True))


@cache
def _pages() -> dict[str, dict[str, list[dict[str, Any]]]]:
    found: dict[str, dict[str, list[dict[str, Any]]]] = json.loads(
        resources.files(__package__).joinpath("settings.json").read_text(encoding="utf-8")
    )
    return found


def _figures(opened: Opened, page: str) -> dict[str, list[dict[str, Any]]]:
    """By question the controls of a page's figures."""
    if page == YOURS:
        items = list(range(min(MOST_ITEMS, len(opened.items))))
        return {"guide-yours": [{"name": "item", "values": items, "start": 0}]}
    return _pages()[page]


def _named(pages: str) -> Sequence[str]:
    if not pages:
        return list(_pages())
    names = pages.split(",")
    for name in names:
        if name not in _pages() and name != YOURS:
            raise ArgumentError(f"the guide has no page {name!r}; it has {', '.join(_pages())}")
    return names

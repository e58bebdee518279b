"""Figures that explain the compared networks, stored in the report with all of their answers: the guide's pages on them, and
what they make of a few test items.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from markupsafe import Markup

from pellucid.errors import PellucidError
from pellucid.lab.named import said
from pellucid.lab.results import Candidate, Comparison
from pellucid.web.model import of_nothing
from pellucid.web.questions import Answer
from pellucid.web.questions.guide import asked
from pellucid.web.run import of_run
from pellucid.web.stored import Whole, record, whole

_log = logging.getLogger(__name__)

SPACE = ("convolution", "padding", "stride", "size", "max-pooling", "average-pooling")
TIME = {"rnn": ("rnn", "gradient"), "lstm": ("gradient", "lstm"), "gru": ("gradient", "gru")}


def figures(comparison: Comparison, folder: Path | None) -> Whole:
    """The page that stands in the report's frame, and its scripts' hashes for the report's content policy.

    Args:
        comparison: what was compared.
        folder: of the run, whose networks are looked into; None where there is none.
    """
    pages = _pages(comparison.candidates)
    answers = _explained(tuple(pages))
    with_own = ["yours", *pages]
    if folder is not None and (own := _own(folder, ",".join(with_own))):
        answers, pages = own | answers, with_own  # the frame's own answer is the guide's, which has no networks to open
    return whole(answers, f"view=guide&pages={','.join(pages)}")


def framed(page: Whole) -> Markup:
    """The page as the value of a frame's attribute ``srcdoc``."""
    return Markup(page.html.replace("&", "&amp;").replace('"', "&quot;"))


@cache
def _explained(pages: Sequence[str]) -> dict[str, Answer]:
    """The guide's own answers, the same for every run."""
    return record(of_nothing(), asked(of_nothing(), ",".join(pages)))


def _own(folder: Path, pages: str) -> dict[str, Answer]:
    """What the run's networks make of its test items, and the contents with these pages; nothing where they cannot be opened."""
    try:
        opened = of_run(folder)
        return record(opened, [("guide", {"pages": pages}), *asked(opened, "yours")])
    except PellucidError:  # its files were moved or spoilt since, as a cell of one's own may be
        return {}
    except Exception as error:
        # A mistake of ours must not cost whoever trained for hours the report and the verdict, and is not kept quiet either.
        _log.error("the report has no page on the run's own networks (%s); please report it", said(error))
        return {}


def _pages(candidates: list[Candidate]) -> list[str]:
    """The pages on what was compared, in the guide's order: of a cell of one's own those on recurrence as such."""
    recurrent = [c.name.removeprefix("cnn+") for c in candidates if c.diagram is not None]
    found = list(SPACE) if any(c.name.startswith("cnn") for c in candidates) else []
    kinds = {next((kind for kind in TIME if kind in name), "rnn") for name in recurrent}
    wanted = {page for kind in kinds for page in TIME[kind]} | ({"comparison"} if len(recurrent) > 1 else set())
    return [*found, *(page for page in ("rnn", "gradient", "lstm", "gru", "comparison") if page in wanted)]

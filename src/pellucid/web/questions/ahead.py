"""What will probably be asked next."""

from __future__ import annotations

from pellucid.web.opened import Opened
from pellucid.web.questions.question import Answer, Question


class Ahead(Question):
    """An item to which someone points: when it is chosen, what is asked of it finds its pass."""

    network: str
    item: int

    def answer(self, opened: Opened) -> Answer:
        """Nothing, once the pass is there."""
        opened.seen(self.network, self.item)
        return {}

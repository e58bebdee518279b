"""What a network answers on an item, beside the right answer where it is known."""

from __future__ import annotations

from torch import Tensor

from pellucid.web.opened import Opened
from pellucid.web.questions.question import Answer, Question


class Answering(Question):
    """A network's answer on an item; where it answers after every step, after one of them."""

    network: str
    item: int
    step: int | None = None

    def answer(self, opened: Opened) -> Answer:
        """As :mod:`pellucid.web.reading` tells it: classes or next tokens with probabilities, or a forecast."""
        output = opened.seen(self.network, self.item).output
        if not isinstance(output, Tensor):  # a recurrent layer by itself returns its states, too
            output = output[0]
        return opened.reading.read(output.detach(), opened.item(self.item), self.step)

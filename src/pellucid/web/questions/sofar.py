"""What a network would answer if the item ended after a step."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid import device
from pellucid.errors import ArgumentError
from pellucid.web.opened import Item, Opened
from pellucid.web.passes import first
from pellucid.web.questions.question import Answer
from pellucid.web.questions.recurrence import OfLayer, Run


class SoFar(OfLayer):
    """A network's answer on the item up to a step of a layer, and nothing that comes later."""

    step: int

    def answer(self, opened: Opened) -> Answer:
        """As :mod:`pellucid.web.reading` tells it; where there is an answer after every step, that of the step.

        Raises:
            ArgumentError: the network cannot be shown a part of the item.
        """
        run, item = self.run(opened), opened.item(self.item)
        run.check_step(self.step)
        if self.step == run.steps - 1:
            return opened.reading.read(run.done.output.detach(), item, None)
        model = opened.network(self.network).model
        try:
            with opened.alone(), torch.no_grad():
                output = first(model(*_beginning(item, self.step + 1, run)))
        except (RuntimeError, ValueError, IndexError):
            raise ArgumentError(f"{self.network} cannot be shown the first {self.step + 1} steps alone") from None
        return opened.reading.read(output, item, None)


def _beginning(item: Item, steps: int, run: Run) -> list[Tensor | None]:
    """What the model is called with, up to a step of a layer; an image is cut below a row, a volume behind a slice."""
    x = item.args[0]
    assert x is not None
    image = item.x.dim() > 2
    axis = 2 if image else 1 if x.shape[0] == 1 else 0
    whole = item.x.shape[1] if image else len(item.x)
    count = min(whole, -(-steps * whole // len(run.done.seen[f"{run.name}.{run.memory[0]}"].values)))
    lengths = [None if v is None else v.clamp(max=count) if v.dtype == torch.int64 else v for v in item.args[1:]]
    there = run.done.output.device
    return [device.moved(x.narrow(axis, 0, count), there).clone(), *(device.moved(v, there) for v in lengths)]

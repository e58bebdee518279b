"""Where in the open items a unit is highest and lowest."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pellucid.errors import ArgumentError
from pellucid.web.korean import said
from pellucid.web.opened import Item, Opened, flat
from pellucid.web.questions.question import Answer
from pellucid.web.questions.recurrence import OfLayer, Run
from pellucid.web.questions.tiles import numbers, tile
from pellucid.web.questions.unit import channels

HIGHEST, LOWEST = 4, 2  # items that are shown
BEFORE, AFTER = 16, 8  # steps around the one that is shown
COLUMNS = 3  # of a sequence that are drawn


class Drivers(OfLayer):
    """The items, and the step in each, that drive a unit's memory most; every item counts once."""

    item: int = 0
    unit: int
    items: int  # of the open ones, the first so many

    def answer(self, opened: Opened) -> Answer:
        """Of each place the item, the step, the value there and what stands around it in the input."""
        run = self.run(opened)
        run.check_unit(self.unit)
        count = min(self.items, len(opened.items))
        if count < 1:
            raise ArgumentError(f"drivers: items={self.items}; give at least 1")
        values, steps = self._extremes(opened, run, count)

        def found(extreme: int, number: int) -> list[Answer]:
            order = values[extreme, :, self.unit].argsort(descending=extreme == 0)[:number].tolist()
            return [
                {
                    "item": at,
                    "name": said(opened.items[at].name),
                    "step": int(steps[extreme, at, self.unit]),
                    "value": float(values[extreme, at, self.unit]),
                    "around": _around(opened, opened.items[at], int(steps[extreme, at, self.unit])),
                }
                for at in order
            ]

        return {"memory": run.memory[0], "items": count, "highest": found(0, HIGHEST), "lowest": found(1, LOWEST)}

    def _extremes(self, opened: Opened, run: Run, count: int) -> tuple[Tensor, Tensor]:
        """(2, items, H) the highest and the lowest value of every unit in every item, and the steps where it has them."""
        # Item by item, so that whoever asks of one more each time waits for one.
        found: dict[int, tuple[Tensor, Tensor]] = opened.once(("extremes", self.network, run.name), dict)
        for number in range(count):
            if number not in found:
                own = run if number == self.item else replace(run, done=opened.seen_anew(self.network, number))
                pairs = own.values(run.memory[0]).max(0), own.values(run.memory[0]).min(0)
                found[number] = torch.stack([p.values for p in pairs]), torch.stack([p.indices for p in pairs])
        items = [found[number] for number in range(count)]
        return torch.stack([values for values, _ in items], 1), torch.stack([steps for _, steps in items], 1)


def _around(opened: Opened, item: Item, step: int) -> Answer:
    """Tokens or numbers of the steps near by; of an image all of it."""
    if opened.form == "image":
        return {"image": tile(flat(item.x)), "rows": item.x.shape[1]}
    start = max(0, step - BEFORE)
    window = slice(start, step + AFTER + 1)
    if opened.form == "tokens":
        said = item.tokens or tuple(str(int(token)) for token in item.x)
        return {"start": start, "tokens": list(said[window])}
    x = channels(item, len(item.x))
    return {"start": start, "values": [] if x is None else numbers(x[window, :COLUMNS])}

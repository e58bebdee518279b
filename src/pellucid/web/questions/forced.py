"""A gate that is held: what the memory and the answer become, beside what they are."""

from __future__ import annotations

from pydantic import FiniteFloat
from torch import Tensor

from pellucid import inside
from pellucid.errors import ArgumentError
from pellucid.nn.rnn_cells import OneStep
from pellucid.web.opened import Opened
from pellucid.web.questions.question import Answer
from pellucid.web.questions.recurrence import OfLayer, kind_of
from pellucid.web.questions.sequence import averaged
from pellucid.web.questions.tiles import around_zero, numbers, tile

NUMBERS = 2**18  # of a picture, of which there are three; where there are more, means over windows of steps are sent


class Forced(OfLayer):
    """A name of a layer's equations held at a value, for all steps or from one on, in all units or in one."""

    name: str = ""  # the gate that keeps, or the first name of the equations, where none is given
    value: FiniteFloat = 1.0
    since: int = 0  # the first step that is held, as the layer runs
    unit: int | None = None
    step: int | None = None  # after which the answer is asked for, where there is one after every step

    def answer(self, opened: Opened) -> Answer:
        """The memory before and after as tiles on one range, and their difference; the answers before and after, too."""
        free, item = self.run(opened), opened.item(self.item)
        names = {name: kind_of(name, node, free) for name, node in free.names.items()}
        if isinstance(free.layer, OneStep):
            raise ArgumentError(
                f"forced: {free.name} is a cell that the network calls itself, and a value is held in a layer; use nn.LSTM for "
                "nn.LSTMCell, or nn.Recurrent for any cell"
            )
        memory, keeper = free.memory
        name = self.name or keeper or next(iter(names))
        free.check_step(self.since)
        if self.unit is not None:
            free.check_unit(self.unit)
        held = inside.held(
            free.layer,
            name,
            self.value,
            place=free.place,
            steps=slice(0, free.steps - self.since) if free.along.reverse else slice(self.since, None),
            units=None if self.unit is None else [self.unit],
        )
        with opened.alone(), held:
            done = opened.seen_anew(self.network, self.item)
        after = done.seen[f"{free.name}.{memory}"].values[: free.steps, 0]
        return {
            "name": name,
            "names": [{"name": n, "kind": kind} for n, kind in names.items()],
            "memory": _memory(memory, free.values(memory), after, self.unit),
            "before": opened.reading.read(free.done.output.detach(), item, self.step),
            "after": opened.reading.read(done.output.detach(), item, self.step),
        }


def _memory(name: str, before: Tensor, after: Tensor, unit: int | None) -> Answer:
    most = max(float(before.abs().max()), float(after.abs().max())) or 1.0
    change = after - before
    window = -(-before.numel() // NUMBERS)
    about: Answer = {
        "name": name,
        "window": window,
        "before": tile(averaged(before, window).T, -most, most),
        "after": tile(averaged(after, window).T, -most, most),
        "change": around_zero(averaged(change, window).T),
        "norms": numbers(change.norm(dim=1)),
    }
    if unit is not None:
        about |= {"unit_before": numbers(before[:, unit]), "unit_after": numbers(after[:, unit])}
    return about

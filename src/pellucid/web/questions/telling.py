"""Where to look first: the step and the unit in which a layer's memory does something that shows what it is for."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.web.opened import Opened
from pellucid.web.questions.question import Answer
from pellucid.web.questions.recurrence import OfLayer
from pellucid.web.questions.step import rounded

LEAST = 0.05  # of the memory's largest value: what is lost below it is not called forgotten
FALL = 0.2  # of a gate: a lesser one is not called forgetting
WHILE = 8  # steps for which a gate should have kept what it then drops


class Telling(OfLayer):
    """A moment of forgetting, where a gate keeps the memory; else the largest change."""

    def answer(self, opened: Opened) -> Answer:
        """What happens (``"forgets"`` or ``"changes"``), at which step, in which unit, and the numbers before and after it."""
        run = self.run(opened)
        name, gate = run.memory
        after, before = run.values(name), run.along.before[name][: run.steps, 0]
        keeps = run.values(gate) if gate else None
        if run.along.reverse:
            after, before, keeps = after.flip(0), before.flip(0), None if keeps is None else keeps.flip(0)
        lost = torch.zeros_like(after) if keeps is None else forgotten(keeps, before)
        forgets = float(lost.max()) > LEAST * float(after.abs().max())
        score = lost if forgets else torch.nan_to_num(after - before).abs()
        place, unit = divmod(int(score.argmax()), score.shape[1])
        shown = keeps is not None and place > 0
        return {
            "happens": "forgets" if forgets else "changes",
            "step": run.steps - 1 - place if run.along.reverse else place,
            "unit": unit,
            "memory": name,
            "before": rounded(float(before[place, unit])),
            "after": rounded(float(after[place, unit])),
            "gate": gate if shown else "",
            "gate_before": rounded(float(keeps[place - 1, unit])) if keeps is not None and place > 0 else None,
            "gate_after": rounded(float(keeps[place, unit])) if keeps is not None else None,
        }


def forgotten(keeps: Tensor, before: Tensor) -> Tensor:
    """(T, H): how far the gate falls at each step, times what there was to forget, times how well it was kept until then."""
    fall = torch.zeros_like(keeps)
    fall[1:] = keeps[:-1] - keeps[1:]
    fall = torch.where(fall < FALL, 0.0, fall)
    sums = torch.cat([torch.zeros_like(keeps[:1]), keeps.cumsum(0)])
    steps = torch.arange(len(keeps), device=keeps.device)
    first = (steps - WHILE).clamp(min=0)
    count = (steps - first).clamp(min=1)
    kept = (sums[:-1] - sums[first]) / count[:, None]
    return fall * before.abs() * kept

"""Where to look first: the step and the unit in which a layer's memory does something that shows what it is for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pellucid.web.opened import Opened
from pellucid.web.questions.question import Answer
from pellucid.web.questions.recurrence import OfLayer, Run
from pellucid.web.questions.tiles import rounded

LEAST = 0.05  # of the memory's largest value: what is lost below it is not called forgotten
FALL = 0.2  # of a gate: a lesser one is not called forgetting
WHILE = 8  # steps for which a gate should have kept what it then drops


class Telling(OfLayer):
    """A moment of forgetting, where a gate keeps the memory; else the largest change."""

    def answer(self, opened: Opened) -> Answer:
        """What happens (``"forgets"`` or ``"changes"``), at which step, in which unit, and the numbers before and after it."""
        run = self.run(opened)
        told = moment(run)
        name, gate = run.memory
        keeps = run.values(gate)[:, told.unit] if gate else None
        earlier = told.step + 1 if run.along.reverse else told.step - 1
        shown = keeps is not None and 0 <= earlier < run.steps
        return {
            "happens": "forgets" if told.forgets else "changes",
            "step": told.step,
            "unit": told.unit,
            "memory": name,
            "before": rounded(float(run.along.before[name][told.step, 0, told.unit])),
            "after": rounded(float(run.values(name)[told.step, told.unit])),
            "gate": gate if shown else "",
            "gate_before": rounded(float(keeps[earlier])) if keeps is not None and shown else None,
            "gate_after": rounded(float(keeps[told.step])) if keeps is not None else None,
        }


@dataclass(frozen=True)
class Moment:
    """A step and a unit, and whether a gate lets go there what it kept."""

    forgets: bool
    step: int
    unit: int


def moment(run: Run) -> Moment:
    """The one that is told about; found once, and kept with the pass."""
    known = f"moment {run.name}"
    if known not in run.done.derived:
        run.done.derived[known] = _found(run)
    return run.done.derived[known]  # type: ignore[no-any-return]


def _found(run: Run) -> Moment:
    name, gate = run.memory
    after, before = run.values(name), run.along.before[name][: run.steps, 0]
    keeps = run.values(gate) if gate else None
    if run.along.reverse:
        after, before, keeps = after.flip(0), before.flip(0), None if keeps is None else keeps.flip(0)
    lost, place, unit = (0.0, 0, 0) if keeps is None else most_forgotten(keeps, before)
    forgets = lost > LEAST * run.most
    if not forgets:
        change = (after - before).abs_().nan_to_num_()
        place = int(change.amax(1).argmax())  # in two steps, which is many times as quick
        unit = int(change[place].argmax())
    return Moment(forgets, run.steps - 1 - place if run.along.reverse else place, unit)


def most_forgotten(keeps: Tensor, before: Tensor) -> tuple[float, int, int]:
    """Where most is forgotten: how far the gate falls there, times what there was to forget, times how well it was kept until then.

    Args:
        keeps, before: (T, H): the gate, and the memory before each step.

    Returns:
        That product, the step and the unit; 0 of each where no gate falls.
    """
    fall = keeps[:-1] - keeps[1:]
    # Gates seldom fall; and torch takes as long to find where they do as for all else.
    falls = torch.from_numpy(np.flatnonzero((fall >= FALL).cpu().numpy())).to(fall.device)
    if not len(falls):
        return 0.0, 0, 0
    step, unit = 1 + falls // fall.shape[1], falls % fall.shape[1]
    kept = fall.new_zeros(len(step))
    for back in range(1, WHILE + 1):
        kept += torch.where(step >= back, keeps[(step - back).clamp(min=0), unit], 0.0)
    lost = fall[step - 1, unit] * before[step, unit].abs() * kept / step.clamp(max=WHILE)
    most = int(lost.argmax())
    return float(lost[most]), int(step[most]), int(unit[most])

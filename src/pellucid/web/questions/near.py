"""The gradient in the steps nearest to what it is of, which is there long before that of all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pellucid import device
from pellucid.inside.part import gradients_in
from pellucid.nn.rnn_cells import OneStep
from pellucid.web.passes import Gradients, gradients, reaching
from pellucid.web.questions.recurrence import Run

FEW = 4  # times as many steps are gone back along at once


def gradients_near(run: Run, number: Tensor, back: int) -> Gradients:
    """Those of the last ``back`` steps that a gradient reaches, from a backward pass over these alone; exact there.

    All steps where there are few more, or where it cannot be told what reaches the layer from outside: of a cell that the model
    calls itself, of a direction that runs backward, of states that start anew, of sequences that came without padding.

    Args:
        run: the layer whose values are asked for.
        number: of its pass.
        back: how many steps.
    """
    came = _from_outside(run, number) if _can_be_cut(run, back) else {}
    if not came:
        return gradients(run.done, number)
    reached = torch.stack([gradient.flatten(1).any(1) for gradient in came.values()]).any(0).nonzero()
    stop = int(reached.max()) + 1 if len(reached) else run.steps
    since = max(0, stop - back)
    with device.working(number.device):
        found = gradients_in(run.along, came, slice(since, stop))
    return Gradients({f"{run.name}.{name}": gradient for name, gradient in found.items()}, {}, since)


def _can_be_cut(run: Run, back: int) -> bool:
    if isinstance(run.layer, OneStep) or run.along.reverse or run.steps <= FEW * back:
        return False
    return run.calls[0].arguments.get("resets") is None


def _from_outside(run: Run, number: Tensor) -> Mapping[str, Tensor]:
    """What reaches each state from outside the layer, by name; nothing where the values seen are copies beside the graph."""
    states = {name: run.done.seen[f"{run.name}.{name}"].values for name in run.layer.cell.states}
    if not all(v.requires_grad and v.dtype == run.along.inputs.dtype for v in states.values()):
        return {}
    found = reaching(number, list(states.values()))
    return {name: gradient for name, gradient in zip(states, found, strict=True) if gradient is not None}

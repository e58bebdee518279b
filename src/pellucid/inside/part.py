"""The gradient in a part of time: what a backward pass over its steps alone says exactly."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pellucid.inside.along import Along
from pellucid.ops.recurrence import Sight, recurrence


def gradients_in(along: Along, came: Mapping[str, Tensor], steps: slice) -> dict[str, Tensor]:
    r"""The gradient that reaches every value of a direction in some steps, where none reaches it from later ones.

    :math:`\partial L / \partial h_t` hangs on what comes after t alone, so the last steps need none of those before them: the
    layer runs once more over these, from the states before the first, and the backward pass ends there.

    Args:
        along: a direction that runs forward in time, without resets in these steps.
        came: by state what reaches it from outside the layer, (T, B, size); a state that is left out gets nothing.
        steps: the part; no gradient comes to any step after it.

    Returns:
        By name in the equations (steps, B, size), and ``"x"`` for what the layer reads, before its projection.
    """
    sight = Sight()
    before = {name: v[steps.start - 1] for name, v in along.after.items()} if steps.start else along.start
    x = along.inputs[steps].detach().requires_grad_()
    with torch.enable_grad():
        states = recurrence(
            along.cell,
            along.variant,
            along.parameters,
            x,
            [before[name] for name in along.cell.states],
            {name: given[steps] for name, given in along.step_inputs.items()},
            projection=along.projection,
            sight=sight,
        )
    (given,) = torch.autograd.grad([states[name] for name in came], [x], [g[steps] for g in came.values()])
    return {**sight.gradients, "x": given}

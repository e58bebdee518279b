"""How far back through time a gradient reaches."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.errors import ArgumentError
from pellucid.inside.given import Lengths, Value, ends_of
from pellucid.trace import Seen


def gradient_reach(state: Value, lengths: Lengths = None, *, relative: bool = True) -> Tensor:
    r"""The norm of :math:`\partial L / \partial h_t` by the distance of t from its sequence's last step.

    The mean over the sequences that are long enough of the Euclidean norm over units (Bengio, Simard and Frasconi 1994;
    Pascanu, Mikolov and Bengio 2013). It speaks of memory where the loss is that of the last step alone; of a layer that
    runs backward in time, whose first step is the sequence's last, it counts the steps that the gradient has *not* gone.

    Args:
        state: of a trace after ``backward()``, such as ``seen["l0.h"]``: values and gradient (T, B, H). Or the gradient itself.
        lengths: (B,) the steps that exist of each sequence; None where all do.
        relative: divide by the norm at the last step (where it is 0, nothing is divided).

    Returns:
        (longest length,), entry k for k steps back.

    Raises:
        ArgumentError: no gradient has come, or lengths that do not fit.
        SizeError: values that are not those of every step; another number of lengths.
    """
    gradient = state.grad if isinstance(state, Seen) else state
    if gradient is None:
        raise ArgumentError(
            "gradient_reach needs a state that a gradient has reached: call backward() on the loss first, of a trace with "
            "grad=True"
        )
    norms = gradient.norm(dim=-1)  # (T, B)
    ends = ends_of(gradient, lengths, "gradient_reach")
    back = torch.arange(int(ends.max()), device=ends.device)[:, None]
    there = ends > back
    reach: Tensor = (norms.gather(0, (ends - 1 - back).clamp(min=0)) * there).sum(1) / there.sum(1)
    return reach / reach[0] if relative and reach[0] > 0 else reach

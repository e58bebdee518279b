"""A cell that a model calls step by step, as one recurrence: what was seen in its calls, laid along time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.nn.rnn_cells import OneStep
from pellucid.ops.observe import Gradient
from pellucid.trace import Seen, Trace

AXES = "T B H"


def laid_along_time(seen: Trace) -> Trace:
    """The same trace, with each value of such a cell as one of all its calls, (T, B, H), and its gradient, too.

    Where calls differ in the number of sequences they cannot be laid side by side, and stay as they are.
    """
    whole = Trace()
    for name in seen:
        calls = seen.calls(name)
        alike = isinstance(calls[0].layer, OneStep) and len({call.values.shape for call in calls}) == 1
        for value in [_together(calls)] if alike else calls:
            whole._add(name, value)
    return whole


def _together(calls: Sequence[Seen]) -> Seen:
    def came() -> Tensor | None:
        found = [call.grad for call in calls]
        if all(gradient is None for gradient in found):
            return None
        return _stack([torch.zeros_like(c.values) if g is None else g for c, g in zip(calls, found, strict=True)])

    def forget() -> None:
        for call in calls:
            call._gradient.forget()

    return Seen(_stack([call.values for call in calls]), AXES, Gradient(came, forget), calls[0].layer)


def _stack(values: Sequence[Tensor]) -> Tensor:
    whole = torch.stack(list(values))
    return whole if whole.dim() == 3 else whole[:, None]

"""What analyses are given: a value of a trace or a tensor, and how many steps of each sequence exist."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.errors import ArgumentError, SizeError
from pellucid.trace import Seen

Value = Seen | Tensor
Lengths = Tensor | Sequence[int] | None


def steps_of(value: Value, what: str) -> Tensor:
    """The numbers (T, B, H) of a recurrent layer's value.

    Raises:
        SizeError: another number of axes.
    """
    values = (value.values if isinstance(value, Seen) else value).detach()
    if values.dim() != 3:
        raise SizeError(
            f"{what} takes values of every step, (T, B, H), and got {tuple(values.shape)}; give one of a recurrent layer, "
            'such as seen["l0.h"]'
        )
    return values


def existing(values: Tensor, lengths: Lengths, what: str) -> Tensor:
    """(T, B) bool: the steps that exist.

    Raises:
        SizeError: another number of lengths than of sequences.
        ArgumentError: a length that the values do not have.
    """
    ends = ends_of(values, lengths, what)
    return torch.arange(values.shape[0], device=values.device)[:, None] < ends


def ends_of(values: Tensor, lengths: Lengths, what: str) -> Tensor:
    """(B,) the number of steps of each sequence; raises as :func:`existing`."""
    steps, batch = values.shape[:2]
    if lengths is None:
        return torch.full((batch,), steps, device=values.device)
    ends = torch.as_tensor(lengths, device=values.device)
    if ends.shape != (batch,):
        raise SizeError(
            f"{what}: lengths has shape {tuple(ends.shape)}, and there are {batch} sequences; give one for each"
        )
    if int(ends.min()) < 0 or int(ends.max()) > steps or not ends.any():
        raise ArgumentError(
            f"{what}: lengths run from {int(ends.min())} to {int(ends.max())}, and the values have {steps} steps; give "
            f"numbers from 0 to {steps}, and one above 0"
        )
    return ends

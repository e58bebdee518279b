"""Pooling as the textbook has it: the largest, or the mean, of what each window sees."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.geometry.axis import Window
from pellucid.ops.reference.gather import views


def max_pool(input: Tensor, windows: Sequence[Window], padding_value: float | None) -> tuple[Tensor, Tensor]:
    """Take the maximum of every window of ``(B, C, *sizes)``, and where it was: ``(B, C, *outputs)`` each.

    A position is the row-major index into the input's plane ``sizes``. Among equals the first counts, so
    the gradient goes to it alone. A padding_value of None never wins: only the input does. The position is -1
    where the padding's value won, and where a window's taps all fall beside the input (its maximum is then
    the least value of the dtype).
    """
    dims = len(windows)
    lowest = least(input.dtype)
    seen = views(input, windows)
    values = torch.where(seen.inside, seen.values, lowest)
    candidate = seen.inside
    if padding_value is not None:
        values = torch.where(seen.within & ~seen.inside, padding_value, values).to(input.dtype)
        candidate = seen.within
    values, candidate, inside, place = (table.flatten(-dims) for table in (values, candidate, seen.inside, seen.place))
    first_candidate = candidate.to(torch.uint8).argmax(-1)
    best, tap = values.max(-1)
    tap = torch.where(best == lowest, first_candidate, tap)  # padding that is no candidate must not win a tie
    maximum = values.gather(-1, tap[..., None]).squeeze(-1)
    position = torch.where(inside, place, -1).expand_as(values).gather(-1, tap[..., None]).squeeze(-1)
    return maximum, position


def average_pool(
    input: Tensor,
    windows: Sequence[Window],
    count_include_pad: bool,
    divisor_override: int | None,
    padding_value: float,
) -> Tensor:
    """Take the mean of every window of ``(B, C, *sizes)`` to ``(B, C, *outputs)``.

    The divisor is the number of taps in the input, with count_include_pad those in the padding too (never
    those beyond it, which ceil mode brings), or divisor_override. Integers are divided towards zero, as
    in torch.
    """
    taps = tuple(range(-len(windows), 0))
    seen = views(input, windows)
    padding = torch.where(seen.within, padding_value, 0.0).to(input.dtype)
    total = torch.where(seen.inside, seen.values, padding).sum(taps, dtype=input.dtype)
    counted = seen.within if count_include_pad else seen.inside
    divisor = counted.sum(taps) if divisor_override is None else divisor_override
    exact = input.dtype.is_floating_point or input.dtype.is_complex
    return torch.div(total, divisor, rounding_mode=None if exact else "trunc")


def least(dtype: torch.dtype) -> float | int:
    """Return the least value of a dtype: what padding holds that must never be a maximum."""
    return -torch.inf if dtype.is_floating_point else torch.iinfo(dtype).min

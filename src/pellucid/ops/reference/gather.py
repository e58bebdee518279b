"""Every window of a feature map, gathered by index: padding is nothing but a map from place to place."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.geometry.axis import Window


class Views(NamedTuple):
    """The windows of a feature map ``(B, C, *sizes)``; O: outputs, K: taps, an axis each."""

    values: Tensor
    """``(B, C, *O, *K)``: what each tap of each window sees; without meaning where the tap is not inside."""
    place: Tensor
    """``(*O, *K)``: the row-major index into the input's plane of what the tap sees."""
    inside: Tensor
    """``(*O, *K)``: whether the tap sees a value of the input (borrowed ones of a padding mode included)."""
    within: Tensor
    """``(*O, *K)``: whether the tap lies in the input or its padding; in ceil mode some lie beyond both."""


def views(input: Tensor, windows: Sequence[Window], padding_mode: str = "zeros") -> Views:
    """Gather all windows of ``(B, C, *sizes)``, in any number of dimensions."""
    dims = len(windows)
    values = input
    place = torch.zeros((), dtype=torch.long, device=input.device)
    inside = within = torch.ones((), dtype=torch.bool, device=input.device)
    for axis, (size, window) in enumerate(zip(input.shape[2:], windows, strict=True)):
        begin, end = window.padding
        start = torch.arange(window.output(size), device=input.device) * window.stride - begin
        tap = torch.arange(window.kernel, device=input.device) * window.dilation
        position = start[:, None] + tap
        source = _source(position, size, padding_mode)
        seen = source.clamp(0, size - 1)
        taken = values.index_select(2 + axis, seen.flatten())
        taken = taken.reshape(*values.shape[: 2 + axis], *seen.shape, *values.shape[3 + axis :])
        values = taken.movedim(3 + axis, -1)  # the taps go behind all axes still to come

        def spread(table: Tensor, axis: int = axis) -> Tensor:
            shape = [1] * (2 * dims)
            shape[axis], shape[dims + axis] = table.shape
            return table.view(shape)

        place = place * size + spread(seen)
        inside = inside & spread(source == seen)
        within = within & spread(position < size + end)
    return Views(values, place, inside, within)


def _source(position: Tensor, size: int, padding_mode: str) -> Tensor:
    """Say where a place in the padding takes its value from; zeros takes it from nowhere in the input."""
    if padding_mode == "replicate":
        return position.clamp(0, size - 1)
    if padding_mode == "circular":
        return position % size
    if padding_mode == "reflect":
        period = max(2 * (size - 1), 1)
        return torch.minimum(position % period, period - position % period) if size > 1 else position
    return position

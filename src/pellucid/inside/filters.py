"""Filters that do nothing of their own: dead ones, and those that repeat another."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.errors import ArgumentError, SizeError
from pellucid.inside.given import Value
from pellucid.trace import Seen


def dead_filters(maps: Value) -> Tensor:
    """Filters whose map is nowhere above zero before the activation: a ReLU after it passes nothing, and no gradient.

    Args:
        maps: (B, C, ...), such as ``seen["conv.out"]`` or, of a ConvBlock, ``seen["block.map"]``.

    Returns:
        (C,) bool.

    Raises:
        SizeError: values without positions.
    """
    values = _maps(maps, "dead_filters")
    return values.amax([a for a in range(values.dim()) if a != 1]) <= 0


def duplicate_filters(maps: Value, above: float = 0.95) -> list[tuple[int, int, float]]:
    """Pairs of filters whose maps are nearly the same up to scale and sign (compare RoyChowdhury et al. 2017).

    Args:
        maps: (B, C, ...), as for :func:`dead_filters`.
        above: the absolute value of Pearson's correlation, over items and positions, from which two are duplicates.

    Returns:
        (filter, later filter, correlation), the strongest first. A filter whose map is constant has no correlation. Where
        much of every item is the same, such as the ground of a drawing, maps correlate the more for it.

    Raises:
        SizeError: values without positions. ArgumentError: a threshold outside [0, 1].
    """
    if not 0 <= above <= 1:
        raise ArgumentError(f"duplicate_filters: above={above} is no correlation; give a number from 0 to 1")
    values = _maps(maps, "duplicate_filters").double().movedim(1, 0).flatten(1)
    centred = values - values.mean(1, keepdim=True)
    scale = centred.norm(dim=1)
    varies = scale > 1e-9 * values.norm(dim=1)  # less is rounding
    unit = torch.where(varies[:, None], centred / scale[:, None], 0.0)
    correlation = (unit @ unit.T).clamp(-1, 1)
    pairs = torch.triu(correlation.abs() >= above, diagonal=1) & varies[:, None] & varies
    found = [(int(i), int(j), float(correlation[i, j])) for i, j in pairs.nonzero()]
    return sorted(found, key=lambda pair: -abs(pair[2]))


def _maps(maps: Value, what: str) -> Tensor:
    values = (maps.values if isinstance(maps, Seen) else maps).detach()
    if values.dim() < 3:
        raise SizeError(f"{what} takes feature maps (B, C, positions...), and got {tuple(values.shape)}")
    return values

"""Gates that stand at one of their ends: always shut, or always open."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.errors import ArgumentError
from pellucid.inside.given import Lengths, Value, existing, steps_of


@dataclass(frozen=True)
class Saturation:
    """Shares of a gate's values over steps and sequences.

    Attributes:
        below: share below the lower threshold, in [0, 1]: shut.
        above: share above the upper one: open.
        units_below, units_above: the same of each unit, (H,).
    """

    below: float
    above: float
    units_below: Tensor
    units_above: Tensor


def saturation(gate: Value, lengths: Lengths = None, *, below: float = 0.05, above: float = 0.95) -> Saturation:
    """How often a gate is shut and open (Karpathy, Johnson and Fei-Fei 2015, section 4.2, who use 0.1 and 0.9).

    Args:
        gate: values (T, B, H) in [0, 1], such as ``seen["lstm.l0.f"]``.
        lengths: (B,) the steps that exist of each sequence; others are not counted. None where all do.
        below, above: the thresholds.

    Raises:
        ArgumentError: thresholds that are not ordered within [0, 1], or lengths that do not fit.
        SizeError: values that are not those of every step; another number of lengths.
    """
    if not 0 <= below <= above <= 1:
        raise ArgumentError(f"saturation: below={below} and above={above}; give 0 <= below <= above <= 1")
    values = steps_of(gate, "saturation")
    own = values[existing(values, lengths, "saturation")]  # (steps that exist, H)
    shut, open_ = (own < below).double(), (own > above).double()
    return Saturation(float(shut.mean()), float(open_.mean()), shut.mean(0), open_.mean(0))


def is_gate(value: Value) -> bool:
    """Whether all numbers lie in [0, 1], as a gate's do."""
    values = value if isinstance(value, Tensor) else value.values
    low, high = torch.aminmax(values)
    return bool(low >= 0 and high <= 1)

"""Analyses of what a trained network does inside, on tensors that :func:`pellucid.trace` collects.

One module for each: how far back a gradient reaches, what one step does to the state, gates that are stuck, how long a unit
remembers, what a filter sees, which input an answer rests on, which items drive a unit, filters that do nothing of their own,
and what would be if a gate were held.
"""

from pellucid.inside.attribution import Attribution, integrated_gradients
from pellucid.inside.drivers import Drivers, drivers
from pellucid.inside.field import EffectiveField, effective_field
from pellucid.inside.filters import dead_filters, duplicate_filters
from pellucid.inside.held import held
from pellucid.inside.jacobian import StepJacobians, step_jacobians
from pellucid.inside.memory import half_life
from pellucid.inside.reach import gradient_reach
from pellucid.inside.saturation import Saturation, is_gate, saturation

__all__ = [
    "Attribution",
    "Drivers",
    "EffectiveField",
    "Saturation",
    "StepJacobians",
    "dead_filters",
    "drivers",
    "duplicate_filters",
    "effective_field",
    "gradient_reach",
    "half_life",
    "held",
    "integrated_gradients",
    "is_gate",
    "saturation",
    "step_jacobians",
]

"""One step of a sequence: a cell's own equations, and around them the equations of what a sequence needs.

Resets, unequal lengths, recurrent dropout and zoneout are written in the same language as cells, so what is derived
from a cell is derived from them too: a gradient that must not cross a reset does not, without further code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pellucid.cells.language import Value, select

if TYPE_CHECKING:
    from pellucid.cells.cell import Cell


@dataclass(frozen=True)
class Variant:
    """What surrounds the cell's equations in a run; one program is derived for each.

    Args:
        bias: whether the layer has bias vectors.
        given: names of the optional step inputs that are given.
        resets: a (T, B, 1) mask ``reset`` starts the state anew before a step.
        ragged: a (T, B, 1) mask ``alive`` says which steps exist; elsewhere the state stands still.
        dropout: recurrent dropout by a mask a sequence, ``dropout.SIZE`` (Gal and Ghahramani 2016, eq. 7), laid on
            whatever a recurrent matrix is multiplied with.
        zoneout: for each state the probability that a unit keeps its last value (Krueger et al. 2017, eq. 1), or
            () for none.
        sampled: whether zoneout draws masks ``zoneout.STATE`` (training) or takes their mean (evaluation).
        initial: whether the states that resets return to come as ``initial.STATE``; else they are the numbers that the cell
            declares.
    """

    bias: bool = True
    given: frozenset[str] = frozenset()
    resets: bool = False
    ragged: bool = False
    dropout: bool = False
    zoneout: tuple[float, ...] = ()
    sampled: bool = False
    initial: bool = False


def advance(cell: Cell, variant: Variant, values: Mapping[str, Any]) -> dict[str, Value]:
    """The states after one step.

    Args:
        cell: the cell whose equations are meant.
        variant: what surrounds them.
        values: by name, all that the equations may use: the declarations' values or parts, the states, and the
            variant's own ``reset``, ``alive``, ``initial.STATE`` and ``zoneout.STATE``, those that it has.
    """
    before = {name: values[name] for name in cell.states}
    if variant.resets:
        fresh = {name: values[f"initial.{name}"] if variant.initial else s.initial for name, s in cell.states.items()}
        before = {name: select(values["reset"], fresh[name], v) for name, v in before.items()}
    after = cell.run_equations({**values, **before})
    if variant.zoneout:
        for (name, new), rate in zip(after.items(), variant.zoneout, strict=True):
            if rate and variant.sampled:
                after[name] = select(values[f"zoneout.{name}"], before[name], new)
            elif rate:
                after[name] = rate * before[name] + (1.0 - rate) * new
    if variant.ragged:
        after = {name: select(values["alive"], new, values[name]) for name, new in after.items()}
    return after

"""What a layer of a cell hands over to a trace: the names of the equations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pellucid.cells import Cell
from pellucid.ops import observe
from pellucid.ops.recurrence import Sight


def names(cell: Cell) -> list[str]:
    """The names of a cell's equations that differ from step to step, and of its states."""
    return [name for name, node in cell.graph().named.items() if node.varies or name in cell.states]


def sight(module: nn.Module, cell: Cell, place: str = "") -> Sight | None:
    """What whoever is looking wants of one run of a cell, if anything; ``place`` stands before the names."""
    if not observe.active(module) or torch._C._are_functorch_transforms_active():
        return None  # a transform of torch.func has no tensors to show, but what stands for many
    wanted = frozenset(name for name in names(cell) if observe.wants(module, _full(place, name)))
    graded = frozenset(name for name in wanted if observe.wants_gradient(module, _full(place, name)))
    return Sight(wanted, graded) if wanted else None


def show(module: nn.Module, place: str, seen: Sight, form: Callable[[Tensor], Tensor], axes: str) -> None:
    """Hand what was seen to whoever is looking, in the form that has these axes; it is nobody else's from then on."""
    values = dict(seen.values)
    # The graph knows the sight, and some of the values know the graph: in a circle through it nothing would ever be let go.
    seen.values.clear()
    for name, value in values.items():

        def gradient(name: str = name) -> Tensor | None:
            found = seen.gradients.get(name)
            return None if found is None else form(found)

        observe.seen(module, _full(place, name), form(value), axes, observe.Gradient(gradient, seen.gradients.clear))


def _full(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name

"""What a layer would do if one of its gates did not move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.cells.cell import Cell
from pellucid.cells.held import Held, level, switch
from pellucid.errors import ArgumentError
from pellucid.nn import Recurrent
from pellucid.nn.stream import Stream
from pellucid.ops import library

_ALL = slice(None)


@contextmanager
def held(
    layer: Recurrent,
    name: str,
    value: float,
    *,
    place: str | None = None,
    steps: slice = _ALL,
    units: Sequence[int] | None = None,
) -> Iterator[None]:
    """Inside the block a layer runs with a name of its equations held at a value, and with its own weights.

    ``with held(model.lstm, "f", 1.0): model(x)`` is what the model computes if it never forgets. The cell's equations are
    changed, and whatever is derived from them follows: traces, gradients, the engine's program. Blocks may be nested. A stream
    of the layer holds nothing, and is refused inside the block.

    Args:
        layer: a recurrent layer of Pellucid; its own cell is back after the block.
        name: in the cell's equations: a gate (``"f"``), a state or any other value of every step.
        value: what it is held at.
        place: which layer and direction, ``"l0"``, ``"l1_reverse"``; None for all.
        steps: which time steps, in the input's own order of time.
        units: which; None for all.

    Raises:
        ArgumentError: a name, place or unit that the layer does not have; while the block runs, packed sequences and streams.
    """
    places = [f"l{i}{direction}" for i in range(layer.num_layers) for direction in layer.directions]
    if place is not None and place not in places:
        raise ArgumentError(f"held: the layers are {', '.join(places)}, and there is no {place!r}")
    cell = _held(layer.cell, name)
    size = layer.cell.size(layer.cell.graph().named[name].shape[0], layer.hidden_size)
    strange = [unit for unit in units or () if not 0 <= unit < size]
    if strange:
        raise ArgumentError(f"held: there is no unit {strange[0]}; {name} has {size}, counted from 0")
    which = _ALL if units is None else list(units)

    def give(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        x = args[0] if args else kwargs["input"]
        if not isinstance(x, Tensor):
            raise ArgumentError("held takes padded sequences with lengths=, and got a packed one")
        mask = x.new_zeros(
            len(places), *x.shape[:-1], size
        )  # (places, T, B, size), or with B and T as the input has them
        over_time = mask.transpose(1, 2) if x.dim() == 3 and layer.batch_first else mask
        for number, each in enumerate(places):
            if place in (None, each):
                over_time[number, steps, ..., which] = 1.0
        mask = mask if len(places) > 1 else mask[0]
        return args, kwargs | {switch(name): mask, level(name): torch.full_like(mask, value)}

    def stream(*_: object, **__: object) -> Stream:
        raise ArgumentError(
            f"held: a stream of this layer would not hold {name}; inside the block run the layer on whole sequences, or stream a "
            f"pellucid.nn.Recurrent of pellucid.cells.Held and give {switch(name)}= and {level(name)}= at every step"
        )

    own, layer.cell = layer.cell, cell
    above = vars(layer).get("stream")
    layer.stream = stream  # type: ignore[method-assign]
    handle = layer.register_forward_pre_hook(give, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
        layer.cell = own
        del layer.stream
        if above is not None:
            layer.stream = above  # type: ignore[method-assign]


@lru_cache(maxsize=32)
def _held(cell: Cell, name: str) -> Held:
    """Made once for a cell and a name, since all that is derived from it takes longer than most passes."""
    found = Held(cell, name)
    library.register(found)  # a layer that torch.compile has seen is compiled again with it
    return found

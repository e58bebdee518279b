"""Which items of a data set drive a filter or a hidden unit most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pellucid.errors import ArgumentError, SizeError
from pellucid.inside.running import evaluating
from pellucid.trace import Seen, trace


@dataclass(frozen=True)
class Drivers:
    """For each unit (or filter) U the k items in which it is highest, the highest first.

    Attributes:
        values: (U, k), what the unit reaches there.
        items: (U, k), the item's number in the data, from 0.
        positions: (U, k, P), where in the item: the step, or the row and column of the feature map; P is 0 where the
            layer has no positions.
    """

    values: Tensor
    items: Tensor
    positions: Tensor


def drivers(
    model: nn.Module,
    batches: Iterable[Tensor | tuple[Tensor, Tensor | Sequence[int]]],
    name: str,
    *,
    k: int = 9,
    largest: bool = True,
) -> Drivers:
    """The items that drive each unit of a layer most (Zeiler and Fergus 2014, section 4, with the items themselves).

    Every item counts once, with its best position (after a ReLU a dead filter is 0 everywhere, and its items say nothing). The model runs in evaluation mode, without gradients, one batch at a time;
    of its values only the named one is held, and of that only the best.

    Args:
        model: runs as ``model(x)`` or ``model(x, lengths=lengths)``.
        batches: the data in batches: x, or (x, lengths), a tensor or a list. Steps beyond an item's length do not count; nor do positions of a map
            over a sequence that has as many positions as the input has steps.
        name: of the value in a trace, such as ``"lstm.l0.h"`` or ``"block.act"``.
        k: how many items; fewer where the data has fewer.
        largest: the highest values; if not, the lowest.

    Raises:
        ArgumentError: k below 1, no data, or a name that is not that of one value.
        SizeError: values of which it is not known which axis is what, or another number of lengths than of items.
    """
    if k < 1:
        raise ArgumentError(f"drivers: k={k}; give at least 1")
    best: tuple[Tensor, Tensor, Tensor] | None = None
    shape: tuple[int, ...] = ()
    sign = 1 if largest else -1
    first = 0
    with evaluating(model):
        for batch in batches:
            x, lengths = batch if isinstance(batch, tuple | list) else (batch, None)
            with trace(model, [name], grad=False) as seen:
                model(x) if lengths is None else model(x, lengths=lengths)
            if name not in seen:
                raise ArgumentError(f"drivers: {name!r} is not one value; it has {', '.join(seen) or 'none'}: name one")
            values = _by_item(seen[name], name)
            if shape and values.shape[2:] != shape:
                raise SizeError(
                    f"drivers: {name} has {tuple(values.shape[2:])} positions in one batch and {shape} in another; pad all "
                    "batches to one size"
                )
            shape = tuple(values.shape[2:])
            if lengths is not None:
                values = _within(seen[name], values, x, lengths, sign)
            height, at = (
                (sign * values.flatten(2)).max(-1) if shape else (sign * values, torch.zeros_like(values).long())
            )
            items = torch.arange(first, first + len(values), device=at.device)[:, None].expand_as(at)
            first += len(values)
            found = (height, items, at)
            best = found if best is None else tuple(torch.cat(pair) for pair in zip(best, found, strict=True))  # type: ignore[assignment]
            assert best is not None
            order = best[0].topk(min(k, len(best[0])), dim=0).indices
            best = (best[0].gather(0, order), best[1].gather(0, order), best[2].gather(0, order))
    if best is None:
        raise ArgumentError("drivers: no batches came; give the data as batches, such as x.split(64)")
    height, items, at = (v.T.contiguous() for v in best)
    positions = torch.stack(torch.unravel_index(at, shape), -1) if shape else at.new_zeros(*at.shape, 0)
    return Drivers(sign * height, items, positions)


def _by_item(seen: Seen, name: str) -> Tensor:
    """(B, U, positions...)."""
    if seen.axes == "T B H":
        return seen.values.permute(1, 2, 0)
    if seen.axes.startswith("B C") or (not seen.axes and seen.values.dim() == 2):
        return seen.values
    raise SizeError(
        f"drivers: {name} has the shape {tuple(seen.values.shape)}, and which axis is what is not known; name a value of a "
        "recurrent layer, of a convolution over a batch, or one of (B, units)"
    )


def _within(seen: Seen, values: Tensor, x: Tensor, lengths: Tensor | Sequence[int], sign: int) -> Tensor:
    """With what lies beyond an item's end out of the contest."""
    over_steps = seen.axes == "T B H" or (seen.axes == "B C L" and values.shape[-1] in x.shape[1:])
    if not over_steps:
        return values
    ends = torch.as_tensor(lengths, device=values.device)
    if ends.shape != values.shape[:1]:
        raise SizeError(
            f"drivers: lengths has shape {tuple(ends.shape)}, and the batch has {len(values)} items; give one for each"
        )
    beyond = torch.arange(values.shape[-1], device=values.device) >= ends[:, None]
    return values.masked_fill(beyond[:, None], -sign * torch.inf)

"""What part of the input a filter really sees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pellucid.errors import ArgumentError
from pellucid.explain import explain
from pellucid.geometry import Field
from pellucid.inside.running import evaluating
from pellucid.nn import ConvBlock
from pellucid.trace import Seen, trace


@dataclass(frozen=True)
class EffectiveField:
    """The effective receptive field of a feature map's centre.

    Attributes:
        gradient: (positions of the input...), root mean square over items, filters and channels, its greatest value 1.
        size: positions above the threshold, as the side of a square (a cube, a line) that holds as many.
        theoretical: input rows that the centre can see at all, on the first axis, by :mod:`pellucid.geometry`; None where the
            layers before it are not a plain chain of windows.
        unit: the position in the feature map whose field this is.
    """

    gradient: Tensor
    size: float
    theoretical: int | None
    unit: tuple[int, ...]


def effective_field(
    model: nn.Module,
    input_shape: tuple[int, ...],
    name: str,
    *,
    channel: int | None = None,
    items: int = 32,
    threshold: float = 0.0455,
    seed: int = 0,
) -> EffectiveField:
    r"""The gradient of a feature map's centre with respect to the input, over random inputs (Luo et al. 2016).

    The root of the mean of :math:`(\partial y / \partial x)^2`, since gradients of either sign would cancel in their mean.
    Without a channel, all of them: each gets a random sign for each item, so that the expected square of the sum is the sum of
    squares. As there, positions count that have more than 1 - 95.45 % of the greatest (two standard deviations of a Gaussian).

    Args:
        model: takes (B, \*input_shape); it runs in evaluation mode.
        input_shape: of one item, (C, H, W) or (C, L).
        name: of a feature map in a trace, such as ``"conv2.out"`` or ``"block.map"``.
        channel: the filter; None for all.
        items: random inputs, standard normal.
        threshold: the share of the greatest value from which a position counts.
        seed: of the random inputs.

    Raises:
        ArgumentError: a name that is not that of a feature map, a filter that it does not have, or a map that no gradient
            leads from to the input.
    """
    weight = next(model.parameters(), torch.zeros(()))
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(items, *input_shape, generator=generator, dtype=torch.float64).to(weight)
    x.requires_grad_()
    with evaluating(model), torch.enable_grad(), trace(model, [name]) as seen:
        model(x)
    if name not in seen or not seen[name].axes.startswith("B C"):
        raise ArgumentError(
            f"effective_field: {name!r} is not a feature map; name one, such as 'conv.out' or 'block.map'"
        )
    maps = seen[name].values
    if channel is not None and not 0 <= channel < maps.shape[1]:
        raise ArgumentError(
            f"effective_field: {name} has {maps.shape[1]} filters, and no {channel}; give 0 to {maps.shape[1] - 1}"
        )
    unit: tuple[int, ...] = tuple(size // 2 for size in maps.shape[2:])
    at: tuple[slice | int, ...] = (slice(None), slice(None), *unit)
    centre = maps[at]  # (B, C)
    if channel is None:
        signs = torch.randint(0, 2, centre.shape, generator=generator).to(centre) * 2 - 1
        chosen = (centre * signs).sum()
    else:
        chosen = centre[:, channel].sum()
    if not chosen.requires_grad:
        raise ArgumentError(
            f"effective_field: no gradient leads from {name} to the input; the model cuts it off on the way"
        )
    (gradient,) = torch.autograd.grad(chosen, x)
    spread = gradient.square().mean((0, 1)).sqrt()
    spread = spread / spread.max().clamp(min=torch.finfo(spread.dtype).tiny)
    count = int((spread > threshold).sum())
    return EffectiveField(spread, count ** (1 / spread.dim()), _theoretical(model, input_shape, name, seen[name]), unit)


def _theoretical(model: nn.Module, input_shape: tuple[int, ...], name: str, seen: Seen) -> int | None:
    """By the size table of the model; of a block's map, what its pooling adds is taken off again."""
    path, _, value = name.rpartition(".")
    begins = f"{path or 'model'}: "
    field: Field | None = next((r.field for r in explain(model, input_shape).rows if r.layer.startswith(begins)), None)
    if field is None or field.size is None:
        return None
    block = seen.layer
    if isinstance(block, ConvBlock) and block.pool is not None and value != "pool":
        return field.size - (block.pool_size[0] - 1) * (field.jump // block.pool_stride[0])
    return field.size

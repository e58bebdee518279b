"""One number of a feature map: the window that it was computed from, and how."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pellucid import nn as layers
from pellucid.errors import ArgumentError
from pellucid.geometry import Window
from pellucid.ops.reference import pooling as reference
from pellucid.ops.reference.gather import views
from pellucid.web.opened import Opened
from pellucid.web.questions.convolution import does
from pellucid.web.questions.question import Answer, Question
from pellucid.web.questions.tiles import numbers, tile
from pellucid.web.stages import Stage, as_volume, named, pooling_of, stages_of

MOST_CHANNELS = 8  # of an input whose gradient is sent


class Position(Question):
    """A number of a feature map."""

    network: str
    item: int
    stage: str
    filter: int
    row: int
    column: int
    depth: int = 0  # of a volume

    def of(self, opened: Opened) -> tuple[list[Stage], int, tuple[int, ...]]:
        """The stages, the number of the one that is meant, and the index in its tensor (1, C, ...).

        Raises:
            ArgumentError: there is no such number.
        """
        stages = stages_of(opened, self.network, self.item)
        number = named(stages, self.stage)
        count, *sizes = stages[number].values.shape
        place = (self.depth, self.row, self.column)
        if not (0 <= self.filter < count and all(0 <= at < size for at, size in zip(place, sizes, strict=True))):
            where = f" at depth {self.depth}" if len(stages[number].sizes) > 2 else ""
            raise ArgumentError(
                f"{self.stage} has {count} maps of {' x '.join(map(str, stages[number].sizes))}; there is no map {self.filter} "
                f"with a row {self.row} and a column {self.column}{where}, counted from 0"
            )
        return stages, number, (0, self.filter, *place[3 - len(stages[number].sizes) :])


class Pixel(Position):
    """How one number came about. Of a convolution, one input channel's window at a time."""

    channel: int = 0  # of those that its filter reads, from 0

    def answer(self, opened: Opened) -> Answer:
        """Its value; of a convolution window, weights, products, sums; of a pooling what won; of an activation what it was."""
        stages, number, at = self.of(opened)
        stage = stages[number]
        about: Answer = {"value": _float(stage.tensor[at]), "kind": stage.kind, "does": does(stage)}
        if stage.sources:
            about["before"] = [
                {"stage": stages[n].name, "value": _float(stages[n].tensor[at])}
                for n in stage.sources
                if stage.effect is None and stages[n].tensor.shape == stage.tensor.shape
            ]
        following = [s for s in stages if s.sources == (number,) and s.kind in ("activation", "normalisation")]
        about["after"] = [{"stage": s.name, "does": does(s), "value": _float(s.tensor[at])} for s in following]
        if stage.effect is None or stage.layer is None or not stage.sources:
            return about
        source = stages[stage.sources[0]].tensor.detach()
        windows = [w.at(p, size) for w, p, size in zip(stage.effect.windows, at[2:], source.shape[2:], strict=True)]
        if stage.kind == "convolution":
            return about | self._products(stage.layer, source, windows)
        return about | self._pooled(stage, source, windows, at)

    def _products(self, layer: nn.Module, source: Tensor, windows: list[Window]) -> Answer:
        assert isinstance(layer, layers.ConvBlock | nn.Conv1d | nn.Conv2d | nn.Conv3d)
        weight = layer.weight.detach()[self.filter].double()  # (C / groups, *kernel)
        count = len(weight)
        if not 0 <= self.channel < count:
            raise ArgumentError(f"a filter of {self.stage} reads {count} channels; there is no {self.channel}, from 0")
        first = self.filter // (layer.out_channels // layer.groups) * count
        taps = _taps(source[:, first : first + count], windows, layer.padding_mode)
        values = torch.where(taps.inside, taps.values, getattr(layer, "padding_value", 0.0)).double()
        products = values * weight
        sums = products.flatten(1).sum(1)
        bias = _float(layer.bias[self.filter]) if layer.bias is not None else None
        return {
            "first": first,
            "window": _rows(values[self.channel]),
            "padding": _rows(taps.added),
            "weights": _rows(weight[self.channel]),
            "products": _rows(products[self.channel]),
            "sums": numbers(sums),
            "bias": bias,
            "total": float(sums.sum()) + (bias or 0.0),
        }

    def _pooled(self, stage: Stage, source: Tensor, windows: list[Window], at: tuple[int, ...]) -> Answer:
        assert stage.layer is not None
        assert stage.effect is not None
        pooling = pooling_of(stage.layer, tuple(source.shape[1:]))
        assert pooling is not None
        own = source[:, self.filter : self.filter + 1]
        taps = _taps(own, windows)
        values = torch.where(taps.inside, taps.values, pooling.value or 0.0)[0]
        answer: Answer = {"window": _rows(values), "padding": _rows(taps.added)}
        if pooling.kind == "max":
            _, position = reference.max_pool(own, windows, pooling.value)
            won = (taps.place == position.item()) & taps.inside
            return answer | {"winner": _place(won.nonzero().tolist())}
        counted = taps.inside
        if pooling.count_include_pad:  # but not what lies beyond the padding, where windows of ceil mode end
            ends = [s + w.padding[1] for w, s in zip(stage.effect.windows, source.shape[2:], strict=True)]
            counted = _grid([p < end for p, end in zip(_places(windows), ends, strict=True)], all_of=True)
        divisor = pooling.divisor or int(counted.sum())
        return answer | {"sum": float(values.double().sum()), "divisor": divisor}


class Leaning(Position):
    """What one number really leans on: its gradient with respect to the first stage."""

    def answer(self, opened: Opened) -> Answer:
        """The gradient of every channel as a tile (H, W) around zero, the first channels where there are many.

        Of a volume a slice: ``at`` is the depth where the gradient is largest.
        """
        stages, number, at = self.of(opened)
        first = stages[0].tensor
        value = stages[number].tensor[at]
        gradient = None
        if value.requires_grad and first.requires_grad:
            with opened.alone():
                (gradient,) = torch.autograd.grad(value, first, retain_graph=True, allow_unused=True)
        if gradient is None:
            raise ArgumentError(f"no gradient leads from {self.stage} to the input; the model cuts it off on the way")
        whole = as_volume(gradient[0])
        at_depth = int(whole.abs().amax((0, 2, 3)).argmax())
        shown = whole[:MOST_CHANNELS, at_depth]
        most = float(shown.abs().max()) or 1.0
        return {
            "channels": len(gradient[0]),
            "tiles": [tile(one, -most, most) for one in shown],
            "at": at_depth,
            "positions": int((gradient != 0).any(1).sum()),
        }


class _Taps(NamedTuple):
    """What one window sees."""

    values: Tensor
    """(C, *kernel), without meaning where a tap is not inside."""
    place: Tensor
    """(*kernel), the row-major index into the plane of what each tap sees."""
    inside: Tensor
    """(*kernel), whether the tap sees a value of the input, borrowed ones of a padding mode included."""
    added: Tensor
    """(*kernel), whether the tap lies in the padding, whatever that holds."""


def _taps(source: Tensor, windows: list[Window], mode: str = "zeros") -> _Taps:
    """Of windows that have one output, on (1, C, *sizes)."""
    kernel = [window.kernel for window in windows]
    seen = views(source, windows, mode)
    place = seen.place.reshape(kernel)
    outside = [(p < 0) | (p >= size) for p, size in zip(_places(windows), source.shape[2:], strict=True)]
    return _Taps(seen.values.reshape(-1, *kernel), place, seen.inside.reshape(kernel), _grid(outside, all_of=False))


def _places(windows: list[Window]) -> list[Tensor]:
    """The positions on each axis of the taps of windows that have one output."""
    return [torch.arange(window.kernel) * window.dilation - window.padding[0] for window in windows]


def _grid(axes: list[Tensor], *, all_of: bool) -> Tensor:
    """Booleans of each axis as booleans of the window: where they hold on all axes, or on any."""
    grids = torch.meshgrid(*axes, indexing="ij")
    together = torch.stack(grids)
    return together.all(0) if all_of else together.any(0)


def _rows(window: Tensor) -> list[Any]:
    """(*kernel) as rows; of a sequence one row, and of a volume rows by depth."""
    return numbers(window if window.dim() > 1 else window[None])


def _place(found: list[list[int]]) -> list[int] | None:
    """The row and column, in a volume the depth first, of the first of the places found; None where the padding won."""
    return ([0, *found[0]] if len(found[0]) == 1 else found[0]) if found else None


def _float(number: Tensor) -> float:
    return float(number.detach())

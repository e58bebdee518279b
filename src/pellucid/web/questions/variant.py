"""A layer as it would be with another window: computed anew on what it is really given."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from pellucid import nn as layers
from pellucid.errors import ArgumentError, SizeError
from pellucid.ops.convolution import convolution
from pellucid.ops.pooling import average_pool, max_pool
from pellucid.web.opened import Opened
from pellucid.web.questions.question import Answer, Question
from pellucid.web.questions.tiles import tile
from pellucid.web.stages import Stage, as_volume, geometry_of, named, pooling_of, stages_of

MOST = 64  # of a window's numbers


class Variant(Question):
    """One map of a layer, with some numbers of its window changed; 0, or an empty padding, leaves what the layer has."""

    network: str
    item: int
    stage: str
    filter: int
    kernel: int = 0
    stride: int = 0
    dilation: int = 0
    depth: int = 0  # of the slice that is shown of a volume; the last where there are fewer
    padding: str = ""  # a number of rows and columns on every side, or a name such as "same"

    def answer(self, opened: Opened) -> Answer:
        """The map as a tile (H, W) in the layer's own range, formula, costs; or the sentence why it cannot be."""
        stages = stages_of(opened, self.network, self.item)
        stage = stages[named(stages, self.stage)]
        if stage.effect is None or stage.layer is None or not stage.sources:
            raise ArgumentError(f"{self.stage} has no window; choose a convolution or a pooling")
        if not 0 <= self.filter < len(stage.values):
            raise ArgumentError(f"{self.stage} has {len(stage.values)} maps, and no {self.filter}, from 0")
        source = stages[stage.sources[0]].tensor.detach()
        changes = self._changes()
        try:
            geometry = geometry_of(stage.layer, stage.kind, tuple(source.shape[1:]), **changes)
            assert geometry is not None
            effect = geometry.effect(tuple(source.shape[1:]), stage.path or "the layer")
            computed = as_volume(self._computed(stage, source, changes)[0])[0]
        except SizeError as error:
            return {"sentence": str(error)}
        return {
            "formula": effect.formula,
            "depth": computed.shape[0],
            "shape": [effect.output[0], *computed.shape[1:]],
            "dropped": list(effect.dropped),
            "parameters": effect.parameters,
            "macs": effect.macs,
            "tile": self._slice(computed, stage),
            "own": self._slice(stage.values[self.filter], stage),
        }

    def _slice(self, volume: Tensor, stage: Stage) -> dict[str, Any]:
        return tile(volume[max(0, min(self.depth, len(volume) - 1))], *stage.span)

    def _changes(self) -> dict[str, Any]:
        given = {"kernel": self.kernel, "stride": self.stride, "dilation": self.dilation}
        for name, number in given.items():
            if not 0 <= number <= MOST:
                raise ArgumentError(f"variant: {name}={number}; give 1 to {MOST}, or 0 for the layer's own")
        changes: dict[str, Any] = {name: number for name, number in given.items() if number}
        if self.padding.isdecimal() and int(self.padding) <= MOST:
            changes["padding"] = int(self.padding)
        elif self.padding:
            changes["padding"] = self.padding  # a name; what is none is refused where it is read
        return changes

    def _computed(self, stage: Stage, source: Tensor, changes: dict[str, Any]) -> Tensor:
        """(1, 1, *sizes): the one map."""
        layer, dims = stage.layer, source.dim() - 2
        assert layer is not None
        where = stage.path or "the layer"
        if stage.kind == "convolution":
            assert isinstance(layer, layers.ConvBlock | nn.Conv1d | nn.Conv2d | nn.Conv3d)
            weight = layer.weight.detach()[self.filter : self.filter + 1]
            weight = resized(weight, changes.get("kernel", 0))
            first = self.filter // (layer.out_channels // layer.groups) * weight.shape[1]
            return convolution(
                source[:, first : first + weight.shape[1]],
                weight,
                None if layer.bias is None else layer.bias.detach()[self.filter : self.filter + 1],
                changes.get("stride", layer.stride),
                changes.get("padding", layer.padding),
                changes.get("dilation", layer.dilation),
                dims=dims,
                padding_mode=layer.padding_mode,
                padding_value=getattr(layer, "padding_value", 0.0),
                layer=where,
            )
        pooling = pooling_of(layer, tuple(source.shape[1:]))
        assert pooling is not None
        own = source[:, self.filter : self.filter + 1]
        kernel, stride = changes.get("kernel", pooling.kernel), changes.get("stride", pooling.stride)
        padding, dilation = changes.get("padding", pooling.padding), changes.get("dilation", pooling.dilation)
        if pooling.kind == "avg":
            return average_pool(
                own,
                kernel,
                stride,
                padding,
                pooling.ceil,
                pooling.count_include_pad,
                pooling.divisor,
                dims=dims,
                dilation=dilation,
                padding_value=pooling.value,
                layer=where,
            )
        pooled = max_pool(
            own, kernel, stride, padding, dilation, pooling.ceil, dims=dims, padding_value=pooling.value, layer=where
        )
        assert isinstance(pooled, Tensor)  # positions were not asked for
        return pooled


def resized(weight: Tensor, kernel: int) -> Tensor:
    """Filters (O, C, *K) cut down about their centre, or with zeros around them, to ``kernel`` on every axis; 0 for as they are.

    Where the difference is odd, the one more is at the end.
    """
    for axis in range(2, weight.dim() if kernel else 0):
        size = weight.shape[axis]
        if kernel < size:
            weight = weight.narrow(axis, (size - kernel) // 2, kernel)
        elif kernel > size:
            before = (kernel - size) // 2
            sides = [0, 0] * (weight.dim() - 1 - axis) + [before, kernel - size - before]
            weight = F.pad(weight, sides)
    return weight

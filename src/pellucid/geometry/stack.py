"""A chain of layers: sizes, costs and receptive field from the first to the last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pellucid.geometry.layers import Effect, Layer, Shape


@dataclass(frozen=True)
class Field:
    """What one output position sees of the input, on the first spatial axis.

    With window span d (k - 1) + 1 and padding begin pb, a layer makes r += d (k - 1) j, start += (d (k - 1) / 2 - pb) j
    and then j *= s (Araujo, Norris and Sim 2019, Computing receptive fields of convolutional neural networks).

    Attributes:
        size: r, input rows.
        jump: j, input rows from one output position to the next.
        start: centre of the first output position's view, in input rows from 0.
    """

    size: int = 1
    jump: int = 1
    start: float = 0.0

    def after(self, effect: Effect) -> Field | None:
        """The field after a layer, or None where it does not slide over positions."""
        if effect.windows:
            window = effect.windows[0]
            reach = window.span - 1
            return Field(
                self.size + reach * self.jump,
                self.jump * window.stride,
                self.start + (reach / 2 - window.padding[0]) * self.jump,
            )
        return None


@dataclass(frozen=True)
class Row:
    """One layer in its place.

    Attributes:
        layer: as it was written, or its path and class.
        formula: the size formula with its numbers.
        output: the shape after it, as H x W x C.
        parameters, macs: of this layer, for one item.
        activations: numbers that its output holds.
        field: what an output position sees of the input, where that is known.
        dropped: input rows that it leaves unused, on each axis.
    """

    layer: str
    formula: str
    output: str
    parameters: int
    macs: int
    activations: int
    field: Field | None
    dropped: tuple[int, ...] = ()


@dataclass(frozen=True)
class Stack:
    """Layers on an input.

    Attributes:
        shape: of the input, (channels, spatial...).
        layers: with the text that each was written as.
    """

    shape: Shape
    layers: Sequence[tuple[str, Layer]]

    def rows(self) -> list[Row]:
        """A row for each layer.

        Raises:
            SizeError: the layer that breaks, with its numbers and what would mend it.
        """
        shape, field = self.shape, Field() if len(self.shape) > 1 else None
        rows = []
        for number, (text, layer) in enumerate(self.layers, start=1):
            effect = layer.effect(shape, f"layer {number} ({text})")
            if (field is not None and effect.output[1:] != shape[1:]) or effect.windows:
                field = field.after(effect) if field is not None else None
            shape = effect.output
            rows.append(
                Row(
                    text,
                    effect.formula,
                    written(shape),
                    effect.parameters,
                    effect.macs,
                    math.prod(shape),
                    field,
                    effect.dropped,
                )
            )
        return rows

    def table(self) -> str:
        """The rows as text."""
        from pellucid.geometry.table import table

        return table(self.rows(), written(self.shape), math.prod(self.shape))


def written(shape: Shape) -> str:
    """A shape as a person writes it: H x W x C, T x I."""
    return " x ".join(map(str, (*shape[1:], shape[0])))

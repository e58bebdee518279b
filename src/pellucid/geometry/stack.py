"""A chain of layers: sizes, costs and receptive field from the first to the last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pellucid.geometry.layers import Effect, Layer, Reach, Shape


@dataclass(frozen=True)
class Field:
    """What one output position sees of the input, on the first spatial axis.

    With window span d (k - 1) + 1 and padding begin pb, a layer makes r += d (k - 1) j, start += (d (k - 1) / 2 - pb) j
    and then j *= s (Araujo, Norris and Sim 2019, Computing receptive fields of convolutional neural networks). A recurrent
    layer carries all that came before along: from there on a position sees it too, in both directions the whole sequence.

    Attributes:
        size: r, input rows; None where a recurrent layer carries along whatever there is.
        jump: j, input rows from one output position to the next.
        start: centre of what windows show the first output position, in input rows from 0.
        reach: "before" where every earlier input row is seen too, "all" where every input row is.
    """

    size: int | None = 1
    jump: int = 1
    start: float = 0.0
    reach: Reach = ""

    def __str__(self) -> str:
        if self.size is not None:
            return str(self.size)
        return "all" if self.reach == "all" else "all before"

    def after(self, effect: Effect) -> Field | None:
        """The field after a layer, or None where it neither slides over positions nor carries along what came before."""
        if effect.windows:
            window = effect.windows[0]
            wider = window.span - 1
            return replace(
                self,
                size=None if self.size is None else self.size + wider * self.jump,
                jump=self.jump * window.stride,
                start=self.start + (wider / 2 - window.padding[0]) * self.jump,
            )
        if effect.reach:
            return replace(self, size=None, reach="all" if "all" in (self.reach, effect.reach) else "before")
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
            if field is not None and (effect.windows or effect.reach or effect.output[1:] != shape[1:]):
                field = field.after(effect)
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

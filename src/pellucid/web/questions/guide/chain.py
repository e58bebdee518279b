"""The size of a feature map: one axis with its formula, and a chain of layers."""

from __future__ import annotations

from pydantic import Field

from pellucid.geometry import Window, parse
from pellucid.web.opened import Opened
from pellucid.web.questions.question import Answer, Question


class Size(Question):
    """One axis of a sliding window.

    Attributes:
        size: elements of the input; kernel, stride, padding (at each end), dilation: of the window.
    """

    size: int = Field(ge=1, le=64)
    kernel: int = Field(ge=1, le=16)
    stride: int = Field(ge=1, le=16)
    padding: int = Field(ge=0, le=8)
    dilation: int = Field(ge=1, le=8)

    def answer(self, opened: Opened) -> Answer:
        """The formula with its numbers, the output's size (below 1: no window fits), what a window spans, and what is left over.

        ``windows`` has for each output the places of the input that it takes, from 0; below 0 and from ``size`` on is padding.
        """
        window = Window(self.kernel, self.stride, self.dilation, (self.padding, self.padding))
        count = window.output(self.size)
        return {
            "formula": window.formula(self.size),
            "output": count,
            "span": window.span,
            "dropped": window.dropped(self.size) if count > 0 else 0,
            "windows": [
                [place * self.stride - self.padding + k * self.dilation for k in range(self.kernel)]
                for place in range(max(count, 0))
            ],
        }


class Chain(Question):
    """Layers one after the other, as ``pellucid size`` writes them.

    Attributes:
        layers: such as ``"28x28x1 | conv 5 16 p2 | pool 2 | flatten | linear 10"``.
    """

    layers: str = Field(max_length=300)

    def answer(self, opened: Opened) -> Answer:
        """A row for each layer: its formula, its output, what it costs, and how much an output position sees.

        That is a number of input rows, "before" for every one up to its own, "all", or None where there are no positions.
        """
        stack = parse(self.layers)
        return {
            "input": " x ".join(map(str, (*stack.shape[1:], stack.shape[0]))),
            "rows": [
                {
                    "layer": row.layer,
                    "formula": row.formula,
                    "output": row.output,
                    "parameters": row.parameters,
                    "macs": row.macs,
                    "sees": (row.field.size or row.field.reach) if row.field else None,
                }
                for row in stack.rows()
            ],
        }

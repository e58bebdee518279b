"""What each kind of layer makes of a shape, and what it costs.

A shape is (channels, spatial...): an image (C, H, W), a sequence (I, T), or features (N,). Multiply-adds are those of
products with weights; biases, activations and comparisons are not counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pellucid.errors import SizeError
from pellucid.geometry.axis import TransposedWindow, Window, causal_padding, counted, same_padding, too_small

Shape = tuple[int, ...]
Reach = Literal["", "before", "all"]
Padding = str | tuple[tuple[int, int], ...]
AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
GATES = {"rnn": 1, "gru": 3, "lstm": 4}


@dataclass(frozen=True)
class Effect:
    """What a layer does to a shape.

    Attributes:
        output: the shape after it.
        formula: the size formula with this layer's numbers, one axis, or two where they differ.
        parameters, macs: learnable numbers; multiply-adds for one item.
        windows: the window of each axis where the layer has one, for the receptive field.
        reach: what a position sees beside its own, where the layer carries it along: "before", or "all" the sequence.
        dropped: input rows that no window reaches, on each axis.
    """

    output: Shape
    formula: str = ""
    parameters: int = 0
    macs: int = 0
    windows: tuple[Window, ...] = ()
    dropped: tuple[int, ...] = ()
    reach: Reach = ""


@dataclass(frozen=True)
class Layer:
    """The base: a layer that changes nothing (an activation, dropout)."""

    name: str = "identity"

    def effect(self, shape: Shape, where: str) -> Effect:
        """What it does to a shape; ``where`` names the layer in messages.

        Raises:
            SizeError: the shape does not fit; the message says what would mend it.
        """
        return Effect(shape)


@dataclass(frozen=True)
class BatchNorm(Layer):
    """A gain and a shift for each channel."""

    name: str = "batchnorm"

    def effect(self, shape: Shape, where: str) -> Effect:
        """2 C parameters."""
        return Effect(shape, parameters=2 * shape[0])


@dataclass(frozen=True)
class Sliding(Layer):
    """A window that slides over every spatial axis; numbers are an axis each, or one for all."""

    kernel: tuple[int, ...] = (1,)
    stride: tuple[int, ...] = (1,)
    dilation: tuple[int, ...] = (1,)
    padding: Padding = ((0, 0),)
    ceil: bool = False

    def windows(self, shape: Shape, where: str) -> tuple[Window, ...]:
        """The window of each axis, named paddings worked out."""
        axes = len(shape) - 1
        if axes == 0:
            raise SizeError(
                f"{where}: needs an image or a sequence, and gets {counted(shape[0], 'feature')}; put it before flatten"
            )
        if axes > max(AXES):
            raise SizeError(
                f"{where}: slides over at most {max(AXES)} axes, and the input has {axes} beside its channels"
            )
        if isinstance(self.padding, tuple) and len(self.padding) not in (1, axes):
            raise SizeError(f"{where}: has padding for {len(self.padding)} axes, and the input has {axes}")
        kernel, stride, dilation = (_each(v, axes, where) for v in (self.kernel, self.stride, self.dilation))
        made = []
        for k, size in enumerate(shape[1:]):
            if isinstance(self.padding, tuple):
                padding = self.padding[k] if len(self.padding) > 1 else self.padding[0]
            elif self.padding in ("same", "same_lower"):
                padding = same_padding(size, kernel[k], stride[k], dilation[k], lower=self.padding == "same_lower")
            else:
                padding = causal_padding(kernel[k], dilation[k]) if self.padding == "causal" else (0, 0)
            made.append(Window(kernel[k], stride[k], dilation[k], padding, self.ceil))
        return tuple(made)

    def slide(self, shape: Shape, where: str) -> tuple[tuple[Window, ...], Shape, str]:
        """Windows, spatial sizes after them, and the formula."""
        windows = self.windows(shape, where)
        sizes = tuple(w.output(size) for w, size in zip(windows, shape[1:], strict=True))
        for name, size, out, window in zip(AXES[len(sizes)], shape[1:], sizes, windows, strict=True):
            if out < 1:
                raise SizeError(too_small(where, name, size, window))
        formulas = dict.fromkeys(w.formula(size) for w, size in zip(windows, shape[1:], strict=True))
        return windows, sizes, "; ".join(formulas)

    def dropped(self, windows: tuple[Window, ...], shape: Shape) -> tuple[int, ...]:
        """Rows at the end that no window reaches."""
        return tuple(w.dropped(size) for w, size in zip(windows, shape[1:], strict=True))


@dataclass(frozen=True)
class Conv(Sliding):
    """Convolution: filters * (C / groups) * prod(kernel) weights, each used once for every output position."""

    name: str = "conv"
    filters: int = 1
    groups: int = 1
    bias: bool = True

    def effect(self, shape: Shape, where: str) -> Effect:
        """The shape with ``filters`` channels."""
        windows, sizes, formula = self.slide(shape, where)
        if shape[0] % self.groups or self.filters % self.groups:
            raise SizeError(
                f"{where}: {counted(shape[0], 'channel')} and {counted(self.filters, 'filter')} cannot be cut into "
                f"{self.groups} groups; both must be multiples of {self.groups}"
            )
        weights = self.filters * (shape[0] // self.groups) * math.prod(w.kernel for w in windows)
        return Effect(
            (self.filters, *sizes),
            formula,
            weights + self.bias * self.filters,
            weights * math.prod(sizes),
            windows,
            self.dropped(windows, shape),
        )


@dataclass(frozen=True)
class ConvTranspose(Conv):
    """Transposed convolution: every input position spreads prod(kernel) * filters / groups products."""

    name: str = "tconv"
    output_padding: tuple[int, ...] = (0,)

    def effect(self, shape: Shape, where: str) -> Effect:
        """The enlarged shape; it has no receptive-field window of its own."""
        windows = self.windows(shape, where)
        extra = _each(self.output_padding, len(windows), where)
        for e, w in zip(extra, windows, strict=True):
            if e >= max(w.stride, w.dilation):
                raise SizeError(
                    f"{where}: output padding {e} must be smaller than the stride or the dilation, {max(w.stride, w.dilation)}"
                )
        made = [
            TransposedWindow(w.kernel, w.stride, w.dilation, w.padding, e) for w, e in zip(windows, extra, strict=True)
        ]
        sizes = tuple(w.output(size) for w, size in zip(made, shape[1:], strict=True))
        for name, size, out, window in zip(AXES[len(sizes)], shape[1:], sizes, made, strict=True):
            if out < 1:
                raise SizeError(too_small(where, name, size, window))
        weights = self.filters * shape[0] // self.groups * math.prod(w.kernel for w in windows)
        formula = "; ".join(dict.fromkeys(w.formula(size) for w, size in zip(made, shape[1:], strict=True)))
        return Effect(
            (self.filters, *sizes), formula, weights + self.bias * self.filters, weights * math.prod(shape[1:])
        )


@dataclass(frozen=True)
class Pool(Sliding):
    """Max or average pooling: no parameters, no multiply-adds."""

    name: str = "pool"

    def effect(self, shape: Shape, where: str) -> Effect:
        """The shape with fewer positions."""
        windows, sizes, formula = self.slide(shape, where)
        return Effect((shape[0], *sizes), formula, windows=windows, dropped=self.dropped(windows, shape))


@dataclass(frozen=True)
class GlobalPool(Layer):
    """One number a channel."""

    name: str = "gpool"

    def effect(self, shape: Shape, where: str) -> Effect:
        """(C,)."""
        if len(shape) == 1:
            raise SizeError(
                f"{where}: needs an image or a sequence, and gets {counted(shape[0], 'feature')}; put it before flatten, or leave it out"
            )
        return Effect(shape[:1], " x ".join(map(str, shape[1:])) + " positions to 1")


@dataclass(frozen=True)
class Flatten(Layer):
    """All numbers in a row."""

    name: str = "flatten"

    def effect(self, shape: Shape, where: str) -> Effect:
        """(N,)."""
        return Effect((math.prod(shape),), " * ".join(map(str, (*shape[1:], shape[0]))) + f" = {math.prod(shape)}")


@dataclass(frozen=True)
class Linear(Layer):
    """in * out weights, used once for each position (a sequence's every step)."""

    name: str = "linear"
    outputs: int = 1
    inputs: int | None = None
    bias: bool = True

    def effect(self, shape: Shape, where: str) -> Effect:
        """The shape with ``outputs`` channels."""
        if len(shape) > 2:
            raise SizeError(f"{where}: needs features, and gets an image of {_written(shape)}; put flatten before it")
        if self.inputs not in (None, shape[0]):
            raise SizeError(
                f"{where}: in_features is {self.inputs}, and {_arrive(shape[0])}; write linear {shape[0]} {self.outputs}"
            )
        weights = shape[0] * self.outputs
        return Effect(
            (self.outputs, *shape[1:]),
            f"{shape[0]} * {self.outputs}",
            weights + self.bias * self.outputs,
            weights * math.prod(shape[1:]),
        )


@dataclass(frozen=True)
class Recurrent(Layer):
    """RNN, GRU or LSTM: a layer and direction has G H (I + P) weights, and H P of a projection; G is 1, 3, 4.

    P is the size of the output, H without projection; biases are two of G H, as in torch. Each step uses every weight
    once.
    """

    name: str = "lstm"
    hidden: int = 1
    layers: int = 1
    bidirectional: bool = False
    projection: int = 0
    last: bool = False
    bias: bool = True

    def effect(self, shape: Shape, where: str) -> Effect:
        """(D P, T), or (D P,) with ``last``."""
        if len(shape) != 2:
            raise SizeError(f"{where}: needs a sequence T x I, and gets {_written(shape)}")
        gates, directions, out = GATES[self.name], 1 + self.bidirectional, self.projection or self.hidden
        weights = 0
        for layer in range(self.layers):
            inputs = shape[0] if layer == 0 else directions * out
            weights += directions * (gates * self.hidden * (inputs + out) + self.hidden * self.projection)
        biases = self.bias * self.layers * directions * 2 * gates * self.hidden
        output = (directions * out,) if self.last else (directions * out, *shape[1:])
        reach: Reach = "" if self.last else "all" if self.bidirectional else "before"
        return Effect(output, f"{shape[1]} steps * {weights:,}", weights + biases, weights * shape[1], reach=reach)


def _each(values: tuple[int, ...], axes: int, where: str) -> tuple[int, ...]:
    if len(values) not in (1, axes):
        raise SizeError(f"{where}: has numbers for {len(values)} axes, and the input has {axes}")
    return values * axes if len(values) == 1 else values


def _arrive(count: int) -> str:
    return f"{counted(count, 'number')} arrive{'s' * (count == 1)}"


def _written(shape: Shape) -> str:
    """As a person writes it: H x W x C."""
    return " x ".join(map(str, (*shape[1:], shape[0])))

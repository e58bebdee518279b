"""A causal convolution one time step at a time."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from pellucid.errors import ArgumentError, SizeError
from pellucid.geometry.axis import Window
from pellucid.ops.activations import ACTIVATIONS
from pellucid.ops.block import Shape
from pellucid.ops.convolution import torch_convolution
from pellucid.ops.tensors import engine_takes


class CausalLayer(Protocol):
    """What a stream needs of its layer: a convolution over one axis."""

    weight: Tensor
    bias: Tensor | None
    kernel_size: Any
    stride: Any
    dilation: Any
    padding: Any
    groups: int
    padding_mode: Any
    padding_value: float


class ConvStream:
    """Made by ``stream`` of a causal Conv1d or ConvBlock: the last inputs that a window spans, and a step.

    What :meth:`step` gives for the inputs of a sequence, one after the other, are the outputs of the layer for the whole
    sequence. The parameters are read at every step, so changes take effect at once; nothing is kept for a backward pass.
    A stream is not to be stepped by two threads at once.
    """

    def __init__(self, layer: CausalLayer, batch: int, activation: str | None = None) -> None:
        name = type(layer).__name__
        (kernel,), (stride,), (dilation,) = (tuple(v) for v in (layer.kernel_size, layer.stride, layer.dilation))
        window = Window(kernel, stride, dilation)
        if layer.padding not in ("causal", ((window.span - 1, 0),)) or layer.padding_mode != "zeros":
            raise ArgumentError(
                f"{name}: a stream gives every output as its step comes, so no output may see a later step; make the layer "
                f'with padding="causal" (it has padding={layer.padding!r}, padding_mode={layer.padding_mode!r})'
            )
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise ArgumentError(f"{name}: a stream needs the number of sequences that step together, and got {batch!r}")
        self._layer, self._batch, self._window, self._activation = layer, batch, window, activation
        self._channels = layer.weight.shape[1] * layer.groups
        # Every input is written twice, a span apart: so the last ones always lie side by side, wherever the next one goes.
        self._held = layer.weight.new_full((batch, self._channels, 2 * window.span), layer.padding_value).detach()
        self._seen = [self._held[:, :, at + 1 : at + 1 + window.span] for at in range(window.span)]
        self._outs = [layer.weight.new_empty((batch, layer.weight.shape[0], 1)).detach() for _ in range(2)]
        self._results = [out[:, :, 0] for out in self._outs]
        self._engine = Shape(
            batch=batch,
            sizes=(window.span,),
            filters=layer.weight.shape[0],
            channels=layer.weight.shape[1],
            windows=(window,),
            groups=layer.groups,
            padding_mode="zeros",
            padding_value=0.0,
            activation=activation,
            pooling=None,
        ).engine
        self._steps = 0

    def step(self, x: Tensor) -> Tensor | None:
        """One time step.

        Args:
            x: (B, C).

        Returns:
            (B, O); None at the steps that the layer's stride leaves out, all but every ``stride``-th from the first on. The
            memory is the stream's own and is written again two outputs later: ``clone()`` what is to stay.

        Raises:
            SizeError: an input that does not fit.
        """
        if x.shape != (self._batch, self._channels):
            raise SizeError(
                f"{type(self._layer).__name__}: this stream steps with an input of {self._batch} × {self._channels} (sequences × "
                f"channels), and was given {' × '.join(map(str, x.shape))}"
            )
        span, stride = self._window.span, self._window.stride
        at, count = self._steps % span, self._steps
        with torch.no_grad():
            self._held[:, :, at] = x
            self._held[:, :, at + span] = x
            self._steps += 1
            if count % stride:
                return None
            index = count // stride % 2
            self._convolve(self._seen[at], self._outs[index])
        return self._results[index]

    def _convolve(self, seen: Tensor, out: Tensor) -> None:
        weight, bias = self._layer.weight.detach(), self._layer.bias
        bias = None if bias is None else bias.detach()
        if seen.dtype != torch.bfloat16 and engine_takes(seen, weight, bias):
            self._engine.run(seen, weight.contiguous(), bias, out, None, None, None, 1)
            return
        made = torch_convolution(seen, weight, bias, [self._window], self._layer.groups, "zeros", 0.0)
        out.copy_(made if self._activation is None else ACTIVATIONS[self._activation].torch(made))

    def reset(self, rows: Tensor | None = None) -> None:
        """Let sequences start anew: what they saw is padding again. With a stride, all of them together.

        Args:
            rows: (B,) bool, or whole numbers, of the sequences; None for all, and the count of steps begins anew too.
        """
        self._held[slice(None) if rows is None else rows] = self._layer.padding_value
        if rows is None:
            self._steps = 0

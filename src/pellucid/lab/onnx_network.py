"""The networks of a comparison in ONNX operators: each function mirrors one ``forward`` of ``lab.bodies``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import nn

import pellucid.nn as layers
from pellucid.errors import DataError
from pellucid.lab.bodies import (
    ConvolutionsFirst,
    ImageConvolutions,
    Network,
    Recurrence,
    SequenceConvolutions,
    SpectrogramConvolutions,
)
from pellucid.lab.onnx_graph import Graph
from pellucid.lab.onnx_recurrent import add_recurrent
from pellucid.nn.recurrent import Recurrent
from pellucid.ops.windows import padding_pairs


def add_network(graph: Graph, model: Network, x: str, lengths: str | None, channels: int) -> str:
    """Add a whole network; return its raw output.

    Args:
        graph: to add to.
        model: in evaluation: what only training has is left out.
        x: as a split has it; channels: of it.
        lengths: (B,) int64, or None.

    Raises:
        DataError: the network has a part that is not known here.
    """
    if model.embedding is not None:
        x = graph.add("Gather", graph.constant(model.embedding.weight), x, axis=0)
    if model.by_rows:
        x = _rows(graph, x)
    if model.goal != "forecast":
        return _linear(graph, model.head, _body(graph, model.body, x, lengths))
    last = _slice(graph, x, -1, axis=1)
    if model.levelled < channels:
        last = graph.add("Mul", last, graph.constant(np.arange(channels) < model.levelled))
    moves = _linear(graph, model.head, _body(graph, model.body, graph.add("Sub", x, last), lengths))
    moves = graph.add("Reshape", moves, graph.constant([0, -1, model.quantiles], np.int64))
    if model.quantiles > 1:
        count = graph.constant([model.quantiles], np.int64)
        moves = graph.several("TopK", [moves, count], 2, axis=-1, largest=0, sorted=1)[0]
    return graph.add("Add", moves, _slice(graph, last, model.target, axis=2))


def _body(graph: Graph, body: nn.Module, x: str, lengths: str | None) -> str:
    if isinstance(body, ImageConvolutions):
        return _images(graph, body, x)
    if isinstance(body, SpectrogramConvolutions):
        return _spectrograms(graph, body, x, lengths)
    if isinstance(body, SequenceConvolutions):
        return _sequences(graph, body, x, lengths)
    if isinstance(body, ConvolutionsFirst):
        if body.image:
            return _body(graph, body.back, _rows(graph, _block(graph, body.front, x)), None)
        return _body(graph, body.back, _body(graph, body.front, x, lengths), lengths)
    if isinstance(body, Recurrence) and isinstance(body.layer, Recurrent):
        states, last = add_recurrent(graph, body.layer, graph.add("Transpose", x, perm=[1, 0, 2]), lengths)
        return graph.add("Transpose", states, perm=[1, 0, 2]) if body.every_step else last
    raise _unknown(f"a {type(body).__name__}")


def _images(graph: Graph, body: ImageConvolutions, x: str) -> str:
    for block in body.blocks:
        x = _block(graph, block, x)
    return graph.add("ReduceMean", x, graph.constant([2, 3], np.int64), keepdims=0)


def _spectrograms(graph: Graph, body: SpectrogramConvolutions, x: str, lengths: str | None) -> str:
    maps = graph.add("Unsqueeze", graph.add("Transpose", x, perm=[0, 2, 1]), graph.constant([1], np.int64))
    if lengths is None:
        steps, count = (graph.add("Shape", x, start=k, end=k + 1) for k in (1, 0))
        lengths = graph.add("Expand", steps, count)
    for block in body.blocks:
        maps = _block(graph, block, _silenced(graph, maps, lengths))
        half = graph.add("Div", lengths, graph.constant(2, np.int64))
        lengths = graph.add("Max", half, graph.constant(1, np.int64))
    total = graph.add("ReduceSum", _silenced(graph, maps, lengths), graph.constant([3], np.int64), keepdims=0)
    frames = graph.add("Unsqueeze", graph.add("CastLike", lengths, total), graph.constant([1, 2], np.int64))
    return graph.add("Flatten", graph.add("Div", total, frames), axis=1)


def _silenced(graph: Graph, maps: str, lengths: str) -> str:
    """(B, C, bands, T) with zeros beyond each length."""
    there = _there(graph, graph.add("Shape", maps, start=3, end=4), lengths)
    there = graph.add("Unsqueeze", there, graph.constant([1, 2], np.int64))
    return graph.add("Where", there, maps, graph.constant(0.0))


def _sequences(graph: Graph, body: SequenceConvolutions, x: str, lengths: str | None) -> str:
    x = graph.add("Transpose", x, perm=[0, 2, 1])
    for k, convolution in enumerate(body.convolutions):
        assert isinstance(convolution, layers.Conv1d)
        y = graph.add("Relu", _convolution(graph, convolution, x))
        x = y if k == 0 else graph.add("Add", x, y)
    x = graph.add("Transpose", x, perm=[0, 2, 1])
    if body.every_step:
        return x
    axis, seen = graph.constant([1], np.int64), x
    if lengths is None:
        last = graph.add("Squeeze", _slice(graph, x, -1, axis=1), axis)
    else:
        there = _there(graph, graph.add("Shape", x, start=1, end=2), lengths)
        there = graph.add("Unsqueeze", there, graph.constant([2], np.int64))
        seen = graph.add("Where", there, x, graph.constant(-math.inf))
        place = graph.add("Sub", graph.add("Unsqueeze", lengths, axis), graph.constant([[1]], np.int64))
        last = graph.add("GatherND", x, place, batch_dims=1)
    return graph.add("Concat", graph.add("ReduceMax", seen, axis, keepdims=0), last, axis=-1)


def _there(graph: Graph, steps: str, lengths: str) -> str:
    """(B, T): which of so many steps exist."""
    count = graph.add("Squeeze", steps)
    place = graph.add("Range", graph.constant(0, np.int64), count, graph.constant(1, np.int64))
    return graph.add("Less", place, graph.add("Unsqueeze", lengths, graph.constant([1], np.int64)))


def _rows(graph: Graph, images: str) -> str:
    """(B, C, H, W) to (B, H, C W)."""
    rows = graph.add("Transpose", images, perm=[0, 2, 1, 3])
    return graph.add("Reshape", rows, graph.constant([0, 0, -1], np.int64))


def _block(graph: Graph, block: nn.Module, x: str) -> str:
    if not isinstance(block, layers.ConvBlock) or (block.activation, block.pool) != ("relu", "max"):
        raise _unknown(f"the layer {block}")
    x = graph.add("Relu", _convolution(graph, block, x))
    padding = _padding(block.pool_padding, block.pool_size, (1, 1))
    return graph.add("MaxPool", x, kernel_shape=list(block.pool_size), strides=list(block.pool_stride), **padding)


def _convolution(graph: Graph, layer: layers.ConvBlock | layers.Conv1d, x: str) -> str:
    if layer.padding_mode != "zeros" or layer.padding_value:
        raise _unknown(f"the padding of {layer}")
    padding = _padding(layer.padding, layer.kernel_size, layer.dilation)
    weights = [graph.constant(t) for t in (layer.weight, layer.bias) if t is not None]
    stride, dilation = list(layer.stride), list(layer.dilation)
    return graph.add("Conv", x, *weights, strides=stride, dilations=dilation, group=layer.groups, **padding)


def _padding(given: Any, window: tuple[int, ...], dilation: tuple[int, ...]) -> dict[str, Any]:
    """A padding as attributes: all beginnings, then all ends, or ONNX's name for it."""
    pairs = padding_pairs("export", given, len(window))
    if pairs == "causal":
        return {"pads": [(k - 1) * d for k, d in zip(window, dilation, strict=True)] + [0] * len(window)}
    if isinstance(pairs, str):
        return {"auto_pad": {"same": "SAME_UPPER", "same_lower": "SAME_LOWER", "valid": "VALID"}[pairs]}
    return {"pads": [a for a, _ in pairs] + [b for _, b in pairs]}


def _linear(graph: Graph, layer: nn.Linear, x: str) -> str:
    product = graph.add("MatMul", x, graph.constant(layer.weight.T))
    return product if layer.bias is None else graph.add("Add", product, graph.constant(layer.bias))


def _slice(graph: Graph, x: str, at: int, axis: int) -> str:
    """One place along an axis, which stays."""
    return graph.add("Gather", x, graph.constant([at], np.int64), axis=axis)


def _unknown(what: str) -> DataError:
    return DataError(f"{what} cannot be exported yet; export another network of the run")

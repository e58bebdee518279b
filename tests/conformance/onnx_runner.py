"""An ONNX graph, run by Pellucid's operators and layers.

Convolution, pooling and the recurrent nodes go through Pellucid; the few nodes that stand around them
(shapes, casts, slices, a sigmoid) are plain torch. An attribute that an adapter does not read is an error,
so none is passed over in silence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

import pellucid.nn
from pellucid.ops.convolution import convolution
from pellucid.ops.pooling import average_pool, max_pool

NAMED_PADDING = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower", "VALID": "valid"}


@dataclass
class Node:
    """One node of a graph: its attributes, and its inputs as tensors (None where left out)."""

    kind: str
    attributes: dict[str, Any]
    inputs: list[Tensor | None]
    outputs: Sequence[str]

    def take(self, name: str, default: Any = None) -> Any:
        """Read an attribute; what nobody takes is an error at the end."""
        return self.attributes.pop(name, default)

    def input(self, place: int) -> Tensor | None:
        return self.inputs[place] if place < len(self.inputs) else None


def run(model: onnx.ModelProto, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run a model on the inputs of its graph that are not initializers; return the graph's outputs."""
    values = evaluate(model.graph, inputs)
    return [values[each.name].detach().numpy() for each in model.graph.output]


def evaluate(graph: onnx.GraphProto, inputs: Sequence[np.ndarray]) -> dict[str, Tensor | None]:
    """Compute every value of a graph by its name."""
    values: dict[str, Tensor | None] = {"": None}
    values |= {each.name: _tensor(numpy_helper.to_array(each)) for each in graph.initializer}
    given = [each.name for each in graph.input if each.name not in values]
    values |= {name: _tensor(array) for name, array in zip(given, inputs, strict=True)}
    for proto in graph.node:
        node = Node(proto.op_type, attributes(proto), [values[name] for name in proto.input], proto.output)
        results = OPERATORS[proto.op_type](node)
        if node.attributes:
            raise NotImplementedError(f"{proto.op_type} does not know the attributes {node.attributes}")
        results = results if isinstance(results, tuple) else (results,)
        values |= {name: result for name, result in zip(proto.output, results, strict=False) if name}
    return values


def window(node: Node, dims: int) -> dict[str, Any]:
    """Translate what convolution and pooling nodes have in common; ONNX writes all begins, then all ends."""
    auto_pad = node.take("auto_pad", "NOTSET")
    pads = node.take("pads", [0] * 2 * dims)
    padding = NAMED_PADDING.get(auto_pad, tuple(zip(pads[:dims], pads[dims:], strict=True)))
    return {
        "stride": tuple(node.take("strides", [1] * dims)),
        "padding": padding,
        "dilation": tuple(node.take("dilations", [1] * dims)),
        "dims": dims,
    }


def _conv(node: Node) -> Tensor:
    x, w, b = node.input(0), node.input(1), node.input(2)
    assert tuple(node.take("kernel_shape", w.shape[2:])) == tuple(w.shape[2:])
    return convolution(x, w, b, groups=node.take("group", 1), **window(node, x.dim() - 2))


def _max_pool(node: Node) -> Tensor | tuple[Tensor, Tensor]:
    x = node.input(0)
    column_major, ceil = node.take("storage_order", 0), bool(node.take("ceil_mode", 0))
    arguments = {"kernel_size": tuple(node.take("kernel_shape")), "ceil_mode": ceil} | window(node, x.dim() - 2)
    if len(node.outputs) == 1:
        return max_pool(x, **arguments)
    maximum, position = max_pool(x, return_indices=True, **arguments)
    height, width = x.shape[-2:]
    if column_major:
        position = position % width * height + position // width
    planes = torch.arange(x.shape[0] * x.shape[1]).view(*x.shape[:2], *[1] * (x.dim() - 2))
    return maximum, position + planes * x[0, 0].numel()  # ONNX counts through the whole tensor


def _average_pool(node: Node) -> Tensor:
    x = node.input(0)
    return average_pool(
        x,
        tuple(node.take("kernel_shape")),
        ceil_mode=bool(node.take("ceil_mode", 0)),
        count_include_pad=bool(node.take("count_include_pad", 0)),
        **window(node, x.dim() - 2),
    )


def _global_average_pool(node: Node) -> Tensor:
    x = node.input(0)
    return average_pool(x, tuple(x.shape[2:]), dims=x.dim() - 2)


def _global_max_pool(node: Node) -> Tensor:
    x = node.input(0)
    return max_pool(x, tuple(x.shape[2:]), dims=x.dim() - 2)


def _rnn(node: Node) -> tuple[Tensor, ...]:
    return _recurrent(node, pellucid.nn.RNN, gates="x", ours="x")


def _gru(node: Node) -> tuple[Tensor, ...]:
    reset_before = not node.take("linear_before_reset", 0)
    return _recurrent(node, pellucid.nn.GRU, gates="zrn", ours="rzn", reset_before=reset_before)


def _lstm(node: Node) -> tuple[Tensor, ...]:
    return _recurrent(node, pellucid.nn.LSTM, gates="iofg", ours="ifgo", peepholes=node.input(7) is not None)


def _recurrent(node: Node, layer_class: Callable[..., Any], *, gates: str, ours: str, **options: Any) -> Any:
    """Load a node's weights into a layer and run it; the states come in and go out as ONNX lays them out."""
    x, w, r, bias = (node.input(place) for place in range(4))
    lengths, peepholes = node.input(4), node.input(7)
    direction, batch_first = node.take("direction", "forward"), bool(node.take("layout", 0))
    hidden_size = node.take("hidden_size", r.shape[-1])
    layer = layer_class(
        w.shape[-1],
        hidden_size,
        bias=bias is not None,
        batch_first=batch_first,
        bidirectional=direction != "forward",
        dtype=x.dtype,
        **options,
    )
    arrays = {"weight_ih_l0": w, "weight_hh_l0": r}
    if bias is not None:
        arrays["bias_ih_l0"], arrays["bias_hh_l0"] = bias.chunk(2, dim=1)
    arrays = {name: _reordered(array, gates, ours) for name, array in arrays.items()}
    if peepholes is not None:
        arrays["weight_ph_l0"] = _reordered(peepholes, "iof", "ifo")
    state = {}
    for name, array in arrays.items():
        # A reversed layer is the second half of a bidirectional one whose first half nobody looks at.
        forward, backward = (array[0], array[-1]) if direction != "reverse" else (0 * array[0], array[0])
        state[name] = forward
        if direction != "forward":
            state[f"{name}_reverse"] = backward
    layer.load_state_dict(state, strict=True)

    initial = [node.input(place) for place in (5, 6)[: 2 if node.kind == "LSTM" else 1]]
    batch = x.shape[0 if batch_first else 1]
    zeros = torch.zeros(w.shape[0], batch, hidden_size, dtype=x.dtype)
    states = [zeros if each is None else each.transpose(0, 1) if batch_first else each for each in initial]
    if direction == "reverse":
        states = [torch.cat([torch.zeros_like(each), each]) for each in states]
    y, last = layer(x, tuple(states) if len(states) == 2 else states[0], lengths=lengths)
    y = y.unflatten(-1, (-1, hidden_size))  # two leading axes, directions, H
    finals = list(last) if len(states) == 2 else [last]
    if direction == "reverse":
        y, finals = y[:, :, 1:], [each[1:] for each in finals]
    if batch_first:
        return y, *(each.transpose(0, 1) for each in finals)
    return y.transpose(1, 2), *finals


def _reordered(array: Tensor, gates: str, ours: str) -> Tensor:
    """Bring blocks of rows, one a gate, of (directions, gates × H, ...) into our order."""
    blocks = dict(zip(gates, array.chunk(len(gates), dim=1), strict=True))
    return torch.cat([blocks[gate] for gate in ours], dim=1)


def _slice(node: Node) -> Tensor:
    x, starts, ends, axes = node.inputs
    for start, end, axis in zip(starts.tolist(), ends.tolist(), axes.tolist(), strict=True):
        x = x.narrow(axis, start, min(end, x.shape[axis]) - start)
    return x


def _squeeze(node: Node) -> Tensor:
    return node.input(0).squeeze(tuple(node.take("axes")))


def _unsqueeze(node: Node) -> Tensor:
    x = node.input(0)
    for axis in sorted(node.take("axes")):
        x = x.unsqueeze(axis)
    return x


OPERATORS: dict[str, Callable[[Node], Any]] = {
    "AveragePool": _average_pool,
    "Conv": _conv,
    "GRU": _gru,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "LSTM": _lstm,
    "MaxPool": _max_pool,
    "RNN": _rnn,
    # What stands around them, in plain torch.
    "Cast": lambda node: node.input(0).to(_torch_dtype(node.take("to"))),
    "CastLike": lambda node: node.input(0).to(node.input(1).dtype),
    "Concat": lambda node: torch.cat(node.inputs, dim=node.take("axis")),
    "Constant": lambda node: _tensor(numpy_helper.to_array(node.take("value"))),
    "ConstantOfShape": lambda node: torch.zeros(node.input(0).tolist()),
    "Identity": lambda node: node.input(0),
    "Mul": lambda node: node.input(0) * node.input(1),
    "Shape": lambda node: torch.tensor(node.input(0).shape[node.take("start", 0) : node.take("end")]),
    "Sigmoid": lambda node: node.input(0).sigmoid(),
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": lambda node: node.input(0) - node.input(1),
    "Unsqueeze": _unsqueeze,
}


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array))  # a copy: the case's own arrays may be read-only


def attributes(proto: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes by name, strings as strings."""
    values = {each.name: helper.get_attribute_value(each) for each in proto.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


def _torch_dtype(code: int) -> torch.dtype:
    return torch.from_numpy(np.empty(0, helper.tensor_dtype_to_np_dtype(code))).dtype

"""Recurrent layers in ONNX: the operators RNN, LSTM and GRU where they fit, otherwise a Scan over the cell's equations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid import cells
from pellucid.cells.graph import Node, ancestors
from pellucid.cells.sequence import Variant
from pellucid.errors import DataError
from pellucid.lab.onnx_graph import Graph
from pellucid.nn.recurrent import Recurrent

# Our gates in ONNX's order: ONNX has the LSTM's as i o f c, where c is our g, and the GRU's as z r h, where h is our n.
_GATES = {"LSTM": "i o f g", "GRU": "z r n"}

_POINTWISE = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "neg": "Neg",
    "abs": "Abs",
    "sign": "Sign",
    "maximum": "Max",
    "minimum": "Min",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "relu": "Relu",
    "softplus": "Softplus",
    "erf": "Erf",
    "sin": "Sin",
    "cos": "Cos",
    "select": "Where",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
}
_CONDITIONS = frozenset({"greater", "greater_equal"})


def add_recurrent(graph: Graph, layer: Recurrent, x: str, lengths: str | None) -> tuple[str, str]:
    """Add the layers.

    Args:
        graph: to add to.
        layer: in evaluation: what only training has is left out.
        x: (T, B, I).
        lengths: (B,) int64, or None.

    Returns:
        The output (T, B, D H) of D directions, and the output of each row's last step, (B, D H); for the backward
        direction that is the first step of the row.

    Raises:
        DataError: something that a cell of one's own reads and that nobody gives.
    """
    last, found = "", _operator(layer)
    for k in range(layer.num_layers):
        places = [f"l{k}{direction}" for direction in layer.directions]
        if found is not None:
            x, last = _one(graph, layer, places, *found, x, lengths)
            continue
        parts = [_scan(graph, layer, places[0], x, lengths)]
        if layer.bidirectional:
            y, end = _scan(graph, layer, places[1], _mirrored(graph, x, lengths), lengths)
            parts.append((_mirrored(graph, y, lengths), end))
        x, last = (_joined(graph, list(values)) for values in zip(*parts, strict=True))
    return x, last


def _joined(graph: Graph, values: list[str]) -> str:
    """Directions side by side."""
    return graph.add("Concat", *values, axis=-1) if len(values) > 1 else values[0]


def _mirrored(graph: Graph, x: str, lengths: str | None) -> str:
    """(T, B, ...) with each row's own steps in the opposite order."""
    if lengths is None:
        steps, count = (graph.add("Shape", x, start=k, end=k + 1) for k in (0, 1))
        lengths = graph.add("Expand", steps, count)
    return graph.add("ReverseSequence", x, lengths, time_axis=0, batch_axis=1)


def _operator(layer: Recurrent) -> tuple[str, dict[str, Any]] | None:
    """The ONNX operator whose equations are the cell's, and its attributes; None where there is none."""
    known: dict[str, tuple[str, dict[str, Any]]] = {
        cells.LSTM().key: ("LSTM", {}),
        cells.GRU().key: ("GRU", {"linear_before_reset": 1}),  # the reset comes after the product, as in torch
        cells.RNN(nonlinearity="tanh").key: ("RNN", {"activations": ["Tanh"]}),
        cells.RNN(nonlinearity="relu").key: ("RNN", {"activations": ["Relu"]}),
    }
    return None if any(layer.zoneout) else known.get(layer.cell.key)


def _one(
    graph: Graph,
    layer: Recurrent,
    places: list[str],
    operator: str,
    attributes: dict[str, Any],
    x: str,
    lengths: str | None,
) -> tuple[str, str]:
    gates = layer.cell.input[1].parts

    def ordered(tensor: Tensor) -> Tensor:
        if operator not in _GATES:
            return tensor
        blocks = dict(zip(gates, tensor.chunk(len(gates)), strict=True))
        return torch.cat([blocks[gate] for gate in _GATES[operator].split()])

    def stacked(*keys: str) -> str:
        """(D, ...): parameters by direction, several one after the other."""
        own = [torch.cat([ordered(getattr(layer, f"{key}_{place}")) for key in keys]) for place in places]
        return graph.constant(torch.stack(own))

    weights = [stacked("weight_ih"), stacked("weight_hh")]
    bias = stacked("bias_ih", "bias_hh") if layer.bias else ""
    start = [""] * len(layer.cell.states)
    if layer.learned_initial_state:
        axis = graph.constant([0], np.int64)
        each = [[graph.add("Unsqueeze", v, axis) for v in _start(graph, layer, place, x)] for place in places]
        start = [graph.add("Concat", *own, axis=0) for own in zip(*each, strict=True)]
    steps = "" if lengths is None else graph.add("Cast", lengths, to=_onnx_type(np.int32))
    if layer.bidirectional:
        attributes = {name: 2 * v if isinstance(v, list) else v for name, v in attributes.items()}
        attributes["direction"] = "bidirectional"
    y, last = graph.several(
        operator, [x, *weights, bias, steps, *start], 2, hidden_size=layer.hidden_size, **attributes
    )
    y = graph.add("Transpose", y, perm=[0, 2, 1, 3])  # (T, B, D, H)
    last = graph.add("Transpose", last, perm=[1, 0, 2])  # (B, D, H)
    together = graph.add("Reshape", y, graph.constant([0, 0, -1], np.int64))
    return together, graph.add("Reshape", last, graph.constant([0, -1], np.int64))


def _scan(graph: Graph, layer: Recurrent, place: str, x: str, lengths: str | None) -> tuple[str, str]:
    """The cell's graph of one step as the body of a Scan; what does not vary is computed before it."""
    cell = layer.cell
    needed = [name for name, declared in cell.step_inputs.items() if not declared.optional]
    if needed:
        raise DataError(f"{cell.name} reads {needed[0]!r} at every step, and a comparison gives it none")
    variant = Variant(bias=layer.bias, ragged=lengths is not None, zoneout=layer.zoneout)
    step = cell.graph(variant)
    weight, bias = layer._projection(place)
    projected = graph.add("MatMul", x, graph.constant(weight.T))
    if bias is not None:
        projected = graph.add("Add", projected, graph.constant(bias))
    body = Graph(graph)
    states = list(cell.states)
    inside = {name: body.input(body.name(f"state_{name}"), np.float32, None) for name in states}
    sequences = [projected]
    now = body.input(body.name("projection"), np.float32, None)
    alive = ""
    if lengths is not None:
        sequences.append(_alive(graph, x, lengths))
        alive = body.input(body.name("alive"), np.bool_, None)
    values = _Step(graph, body, layer, place)
    parts = cell.input[1].parts
    blocks = body.several("Split", [now], len(parts), axis=-1, num_outputs=len(parts)) if parts else [now]
    given = {
        "projection": dict(zip(parts or ("",), blocks, strict=True)),
        "state": inside,
        "step_input": {"alive": alive},
    }
    found = values.all(list(step.after.values()), given)
    after = {}
    for name, node in step.after.items():
        value = values.number(node) if node.op in _CONDITIONS else found[node]
        after[name] = (
            value
            if node.shape == step.states[name].shape and node.varies
            else body.add("Expand", value, body.add("Shape", inside[name]))
        )
    for name in states:
        body.output(after[name], body.name(f"next_{name}"), None)
    body.output(after[states[0]], body.name("output"), None)
    start = _start(graph, layer, place, x)
    *last, y = graph.several(
        "Scan", [*start, *sequences], len(states) + 1, body=body.proto(cell.name), num_scan_inputs=len(sequences)
    )
    return y, last[0]


class _Step:
    """The nodes of one step as ONNX nodes: those that vary in the body, the others once in the graph around it."""

    def __init__(self, graph: Graph, body: Graph, layer: Recurrent, place: str) -> None:
        self.graph, self.body, self.layer = graph, body, layer
        self.parameters = layer._parameters_of(place) | layer._fresh(place)
        self.values: dict[Node, str] = {}

    def all(self, roots: list[Node], given: dict[str, dict[str, str]]) -> dict[Node, str]:
        """The name of every node's value."""
        for node in ancestors(roots):
            if node.op in given:
                self.values[node] = given[node.op][node.key]
            elif node.is_leaf:
                self.values[node] = self.graph.constant(self._fixed(node))
            else:
                self.values[node] = self._computed(node, self.body if node.varies else self.graph)
        return self.values

    def number(self, node: Node) -> str:
        """A node's value as numbers: a condition counts 1 where it holds."""
        if node.op not in _CONDITIONS:
            return self.values[node]
        return (self.body if node.varies else self.graph).add("Cast", self.values[node], to=_onnx_type(np.float32))

    def _fixed(self, node: Node) -> Any:
        if node.op == "number":
            return node.key
        if node.op == "reciprocal_size":
            return 1 / self.layer.cell.size(node.key, self.layer.hidden_size)
        name, part = node.key
        value = self.parameters[name]
        if not part:
            return value
        parts = self.layer.cell.declarations[name].parts
        return value.chunk(len(parts))[parts.index(part)]

    def _computed(self, node: Node, into: Graph) -> str:
        if node.op == "product":
            return self._product(node, into)
        if node.op == "sum":
            return into.add("ReduceSum", self.number(node.args[0]), into.constant([-1], np.int64), keepdims=1)
        if node.op == "select":
            condition, *rest = node.args
            holds = self.values[condition]
            if condition.op not in _CONDITIONS and condition.key != "alive":
                holds = into.add("Cast", holds, to=_onnx_type(np.bool_))
            return into.add("Where", holds, *map(self.number, rest))
        return into.add(_POINTWISE[node.op], *map(self.number, node.args))

    def _product(self, node: Node, into: Graph) -> str:
        """matrix @ v for each sequence: (B, columns) to (B, rows); with heads, block by block."""
        matrix, v = node.args
        if matrix.heads == 1:
            return into.add("MatMul", self.number(v), self.graph.add("Transpose", self.values[matrix], perm=[1, 0]))
        cell, hidden = self.layer.cell, self.layer.hidden_size
        rows, columns = (cell.size(letter, hidden) for letter in matrix.shape)
        heads = matrix.heads

        def shaped(value: str, *axes: int, to: Graph) -> str:
            return to.add("Reshape", value, to.constant(axes, np.int64))

        blocks = shaped(self.values[matrix], heads, rows // heads, columns // heads, to=self.graph)
        blocks = self.graph.add("Transpose", blocks, perm=[0, 2, 1])
        by_head = shaped(self.number(v), -1, heads, 1, columns // heads, to=into)
        return shaped(into.add("MatMul", by_head, blocks), -1, rows, to=into)


def _start(graph: Graph, layer: Recurrent, place: str, x: str) -> list[str]:
    """(B, size) for each state: what sequences start from."""
    count = graph.add("Shape", x, start=1, end=2)
    made = []
    for name in layer.cell.states:
        value = layer._fresh(place)[f"initial.{name}"]
        axes = graph.add("Concat", count, graph.constant([len(value)], np.int64), axis=0)
        made.append(graph.add("Expand", graph.constant(value), axes))
    return made


def _alive(graph: Graph, x: str, lengths: str) -> str:
    """(T, B, 1): which steps exist."""
    steps = graph.add("Squeeze", graph.add("Shape", x, start=0, end=1))
    place = graph.add("Range", graph.constant(0, np.int64), steps, graph.constant(1, np.int64))
    there = graph.add("Less", graph.add("Unsqueeze", place, graph.constant([1], np.int64)), lengths)
    return graph.add("Unsqueeze", there, graph.constant([2], np.int64))


def _onnx_type(kind: Any) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(kind)))

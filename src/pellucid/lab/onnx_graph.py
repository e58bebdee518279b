"""An ONNX graph under construction: nodes by operator, constants once, names given automatically."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor

OPSET, IR = 21, 10  # what ONNX Runtime reads since 1.19


class Graph:
    """A graph; the subgraph of a Scan is one too, and sees the values of the graph around it.

    Args:
        outer: the graph around it, which keeps the constants and gives the names.
    """

    def __init__(self, outer: Graph | None = None) -> None:
        self.root: Graph = outer.root if outer else self
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._count = 0

    def name(self, stem: str) -> str:
        """A name that nothing else has."""
        self.root._count += 1
        return f"{stem}_{self.root._count}"

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        """A fixed array; equal ones are kept once."""
        array: NDArray[Any] = np.array(value.detach().numpy() if isinstance(value, Tensor) else value, dtype=kind)
        key = (array.dtype.str, array.shape, array.tobytes())
        root = self.root
        if key not in root._constants:
            root._constants[key] = self.name("constant")
            root._initializers.append(numpy_helper.from_array(array, root._constants[key]))
        return root._constants[key]

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output; its name. An input that is left out is ""."""
        return self.several(operator, inputs, 1, **attributes)[0]

    def several(self, operator: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """A node with several outputs; their names."""
        names = [self.name(operator.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def input(self, name: str, kind: Any, axes: Sequence[str | int] | None) -> str:
        """An input of the graph; its name."""
        self.inputs.append(_info(name, kind, axes))
        return name

    def output(self, value: str, name: str, axes: Sequence[str | int] | None) -> None:
        """Make a value an output of the graph, under a name."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(_info(name, np.float32, axes))

    def proto(self, name: str) -> onnx.GraphProto:
        """The graph itself."""
        return helper.make_graph(self.nodes, name, self.inputs, self.outputs, self._initializers)

    def model(self, name: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The whole as a model that the ONNX checker has passed."""
        model = helper.make_model(
            self.proto(name), opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="pellucid"
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model


def _info(name: str, kind: Any, axes: Sequence[str | int] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), axes)

"""What both engines need of one call of the recurrence: the programs, and which tensor goes where in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.cells import Cell
from pellucid.cells.derivative import Derivative
from pellucid.cells.graph import Node, ancestors
from pellucid.cells.sequence import Variant
from pellucid.ops.reference.recurrence import recurrence as reference


@dataclass
class Sight:
    """What a trace asks of one run: every named value of every step, and after backward the gradients.

    Attributes:
        values: (T, B, size) by name.
        gradients: the same, of the loss with respect to each value; filled by the backward pass.
    """

    values: dict[str, Tensor] = field(default_factory=dict)
    gradients: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Plan:
    """One call's programs, and where each tensor goes in them."""

    cell: Cell
    variant: Variant
    derivative: Derivative
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    sight: Sight | None
    numbers: dict[Node, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        both = (self.derivative.forward, self.derivative.backward)
        weights = [p.registers[r] for p in both for r in p.weights] + [
            n for n in self.derivative.adjoints if not n.varies
        ]
        self.weights = tuple(dict.fromkeys(weights))
        self.matrices = tuple(
            dict.fromkeys([*(m for p in both for m in p.matrices), *(o.blocks for o in self.derivative.outers)])
        )

    def differentiable_backward(
        self, tensors: Sequence[Tensor], outputs: Sequence[Tensor], gradients: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, ...]:
        """The backward pass of the reference, which torch can differentiate again."""
        given = [torch.zeros_like(o) if g is None else g for o, g in zip(outputs, gradients, strict=True)]
        states, inputs = len(self.cell.states), len(self.inputs)
        x, before, rest = tensors[0], tensors[1 : 1 + states], tensors[1 + states :]
        parameters = dict(zip(self.parameters, rest[inputs : inputs + len(self.parameters)], strict=True))
        by_name = dict(zip(self.inputs, rest[:inputs], strict=True))
        again = reference(self.cell, self.variant, parameters, x, before, by_name)
        first = tensors[: 1 + states + inputs + len(self.parameters)]
        wanted = [i for i, t in enumerate(first) if t.requires_grad]
        found = torch.autograd.grad(
            list(again.values()), [first[i] for i in wanted], given, create_graph=True, allow_unused=True
        )
        result: list[Tensor | None] = [None] * (2 + len(tensors))
        for i, gradient in zip(wanted, found, strict=True):
            result[2 + i] = gradient
        return tuple(result)

    def fixed_leaves(self, parameters: Mapping[str, Tensor], hidden_size: int) -> dict[Node, Any]:
        """What the leaves that do not vary stand for."""
        leaves: dict[Node, Any] = {}
        wanted = [n for group in (self.weights, *self.matrices) for n in group]
        for node in ancestors(wanted):
            if node.op == "number":
                leaves[node] = node.key
            elif node.op == "reciprocal_size":
                leaves[node] = 1.0 / self.cell.size(node.key, hidden_size)
            elif node.op == "constant":
                leaves[node] = parameters[node.key[0]]
            elif node.op == "parameter":
                name, part = node.key
                parts = self.cell.declarations[name].parts if part else ()
                tensor = parameters[name]
                leaves[node] = tensor.chunk(len(parts))[parts.index(part)] if parts else tensor
        return leaves

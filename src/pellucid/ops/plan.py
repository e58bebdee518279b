"""What both engines need of one call of the recurrence: the programs, and which tensor goes where in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

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


@dataclass(frozen=True)
class Places:
    """Where each kind of tensor stands among those of a call."""

    x: int
    weight: int | None
    bias: int | None
    before: slice
    inputs: slice
    parameters: slice
    weights: slice
    matrices: slice


@dataclass
class Plan:
    """One call's programs, and where each tensor goes in them.

    The tensors of a call, in this order: x; W and b of its projection, if the engine is to project it; the states
    before the first step; the inputs; the parameters; and, computed from these, the weights and the matrices.

    Attributes:
        keeps: whether a backward pass may follow (an autograd function is not told under ``torch.no_grad``).
        passing: the states of which the last step is enough.
        projects: whether W is among the tensors.
        has_bias: whether b is.
        numbers: weights that are plain numbers.
    """

    cell: Cell
    variant: Variant
    derivative: Derivative
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    sight: Sight | None
    keeps: bool = True
    passing: frozenset[str] = frozenset()
    projects: bool = False
    has_bias: bool = False
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

    @property
    def reads_projection(self) -> bool:
        """Whether the backward program reads the projected input."""
        backward = self.derivative.backward
        return any(backward.registers[r].op == "projection" for r in backward.inputs)

    def places(self, count: int) -> Places:
        """The order of a call's ``count`` tensors."""
        weight = 1 if self.projects else None
        bias = 2 if self.has_bias else None
        ends = [1 + self.projects + self.has_bias]
        learned = len(self.weights) - len(self.numbers)
        for size in (len(self.cell.states), len(self.inputs), len(self.parameters), learned):
            ends.append(ends[-1] + size)
        slices = [slice(a, b) for a, b in zip(ends, [*ends[1:], count], strict=True)]
        return Places(0, weight, bias, *slices)

    def differentiable_backward(
        self, tensors: Sequence[Tensor], outputs: Sequence[Tensor], gradients: Sequence[Tensor | None]
    ) -> list[Tensor | None]:
        """The backward pass of the reference, which torch can differentiate again."""
        given = [torch.zeros_like(o) if g is None else g for o, g in zip(outputs, gradients, strict=True)]
        at = self.places(len(tensors))
        x = tensors[0]
        if at.weight is not None:
            x = F.linear(x, tensors[at.weight], None if at.bias is None else tensors[at.bias])
        parameters = dict(zip(self.parameters, tensors[at.parameters], strict=True))
        by_name = dict(zip(self.inputs, tensors[at.inputs], strict=True))
        again = reference(self.cell, self.variant, parameters, x, tensors[at.before], by_name)
        wanted = [i for i, t in enumerate(tensors[: at.parameters.stop]) if t.requires_grad]
        found = torch.autograd.grad(
            list(again.values()), [tensors[i] for i in wanted], given, create_graph=True, allow_unused=True
        )
        result: list[Tensor | None] = [None] * len(tensors)
        for i, gradient in zip(wanted, found, strict=True):
            result[i] = gradient
        return result

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

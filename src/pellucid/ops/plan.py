"""What both engines need of one call of the recurrence: the programs, and which tensor goes where in them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.cells import Cell
from pellucid.cells.derivative import Derivative
from pellucid.cells.graph import Node, ancestors
from pellucid.cells.sequence import Variant
from pellucid.ops.ragged import Ragged
from pellucid.ops.reference.program import evaluate
from pellucid.ops.reference.recurrence import recurrence as reference


@dataclass
class Sight:
    """What a trace asks of one run: named values of every step, and after backward the gradients.

    Attributes:
        names: of the values that are wanted; None for all.
        graded: of those whose gradient is wanted, too; None for all.
        values: (T, B, size) by name.
        gradients: the same, of the loss with respect to each value; filled by the backward pass.
    """

    names: frozenset[str] | None = None
    graded: frozenset[str] | None = None
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


@dataclass(frozen=True)
class Fixed:
    """What the programs read that is the same in every step; found once for a derivative.

    Attributes:
        weights: numbers and vectors.
        matrices: of products, by their blocks of rows.
        whole: the matrices that are a parameter as it lies, with its name.
        leaves: parameters, constants and numbers that the others are computed from, or are.
        order: what is computed from them, operands first.
        plain: whether nothing is computed: every weight is a part of a parameter or a number, every matrix a parameter.
    """

    weights: tuple[Node, ...]
    matrices: tuple[tuple[Node, ...], ...]
    whole: dict[tuple[Node, ...], str]
    leaves: tuple[Node, ...]
    order: tuple[Node, ...]
    plain: bool

    @classmethod
    def of(cls, cell: Cell, derivative: Derivative) -> Fixed:
        """Those of a derivative."""
        if "fixed" not in derivative.lowered:
            both = (derivative.forward, derivative.backward)
            weights = [p.registers[r] for p in both for r in p.weights]
            weights += [n for n in derivative.adjoints if not n.varies]
            matrices = [*(m for p in both for m in p.matrices), *(o.blocks for o in derivative.outers)]
            whole = {blocks: blocks[0].key[0] for blocks in matrices if _is_whole(cell, blocks)}
            order = ancestors([*weights, *(n for blocks in matrices if blocks not in whole for n in blocks)])
            derivative.lowered["fixed"] = cls(
                tuple(dict.fromkeys(weights)),
                tuple(dict.fromkeys(matrices)),
                whole,
                tuple(n for n in order if n.op in _LEAVES),
                tuple(n for n in order if n.op not in _LEAVES),
                all(n.op in _LEAVES for n in weights) and all(blocks in whole for blocks in matrices),
            )
        found: Fixed = derivative.lowered["fixed"]
        return found


_LEAVES = frozenset({"number", "reciprocal_size", "constant", "parameter"})


def _is_whole(cell: Cell, blocks: tuple[Node, ...]) -> bool:
    if any(n.op != "parameter" or n.key[0] != blocks[0].key[0] for n in blocks):
        return False
    return tuple(n.key[1] for n in blocks) == (cell.declarations[blocks[0].key[0]].parts or ("",))


@dataclass
class Plan:
    """One call's programs, and where each tensor goes in them.

    The tensors of a call, in this order: x; W and b of its projection, if the engine is to project it; the states
    before the first step; the inputs; the parameters; and, computed from these, the weights and the matrices.

    Attributes:
        ragged: which row is which, of sequences without padding.
        keeps: whether a backward pass may follow (an autograd function is not told under ``torch.no_grad``).
        passing: the states of which the last step is enough.
        projects: whether W is among the tensors.
        has_bias: whether b is.
        half: whether the engine's products multiply bfloat16.
        direct: whether a weight that is a part of a parameter is read where it lies, and its gradient is the parameter's;
            otherwise it is a tensor of its own.
        numbers: weights that are plain numbers.
    """

    cell: Cell
    variant: Variant
    derivative: Derivative
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    sight: Sight | None
    ragged: Ragged | None = None
    keeps: bool = True
    passing: frozenset[str] = frozenset()
    projects: bool = False
    has_bias: bool = False
    half: bool = False
    direct: bool = False
    numbers: dict[Node, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fixed = Fixed.of(self.cell, self.derivative)
        self.weights, self.matrices = self.fixed.weights, self.fixed.matrices

    @cached_property
    def at(self) -> Places:
        """The order of a call's tensors; asked for once all else is settled."""
        weight = 1 if self.projects else None
        bias = 2 if self.has_bias else None
        ends = [1 + self.projects + self.has_bias]
        learned = len(self.learned)
        for size in (len(self.cell.states), len(self.inputs), len(self.parameters), learned, len(self.matrices)):
            ends.append(ends[-1] + size)
        return Places(0, weight, bias, *map(slice, ends, ends[1:]))

    @property
    def learned(self) -> list[Node]:
        """The weights that are tensors of their own."""
        return [n for n in self.weights if n not in self.numbers and not self.as_it_lies(n)]

    def as_it_lies(self, weight: Node) -> bool:
        """Whether a weight is read where it lies in its parameter."""
        return self.direct and weight.op == "parameter"

    @property
    def facts(self) -> tuple[Hashable, ...]:
        """What the call of a derivative depends on besides its tensors and what a trace wants."""
        order = (self.inputs, self.parameters, self.projects, self.has_bias)
        return self.keeps, self.passing, *order, tuple(self.numbers.values())

    def seen_in_outputs(self) -> tuple[str, ...]:
        """States that a trace wants and no equation computes: another's old value, or a number. What they are is in the outputs."""
        named = self.cell.graph(self.variant).named
        return self.watched(n for n in self.cell.states if named[n].is_leaf)

    def computed(self) -> tuple[str, ...]:
        """Names that a trace wants of what the equations compute anew in every step."""
        named = self.cell.graph(self.variant).named
        return self.watched(n for n, node in named.items() if node.varies and not node.is_leaf)

    def watched(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of these names whose values a trace wants."""
        return () if self.sight is None else _among(names, self.sight.names)

    def graded(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of these names whose gradients a trace wants."""
        return () if self.sight is None else _among(names, self.sight.graded)

    @property
    def reads_projection(self) -> bool:
        """Whether the backward program reads the projected input."""
        backward = self.derivative.backward
        return any(backward.registers[r].op == "projection" for r in backward.inputs)

    def differentiable_backward(
        self, tensors: Sequence[Tensor], outputs: Sequence[Tensor], gradients: Sequence[Tensor | None]
    ) -> list[Tensor | None]:
        """The backward pass of the reference, which torch can differentiate again where gradients are recorded."""
        recorded = torch.is_grad_enabled()
        with torch.enable_grad():
            return self._backward_again(tensors, outputs, gradients, recorded=recorded)

    def _backward_again(
        self,
        tensors: Sequence[Tensor],
        outputs: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        *,
        recorded: bool,
    ) -> list[Tensor | None]:
        given = [torch.zeros_like(o) if g is None else g for o, g in zip(outputs, gradients, strict=True)]
        at = self.at
        # A view of its own for each: one tensor may come from another (x or a state from the weights of an earlier run),
        # and the gradient that is asked for here is not to go that way.
        tensors = [t.view_as(t) for t in tensors]
        x = tensors[0]
        if at.weight is not None:
            x = F.linear(x, tensors[at.weight], None if at.bias is None else tensors[at.bias])
        parameters = dict(zip(self.parameters, tensors[at.parameters], strict=True))
        by_name = dict(zip(self.inputs, tensors[at.inputs], strict=True))
        again = self._again(parameters, x, tensors[at.before], by_name)
        wanted = [i for i, t in enumerate(tensors[: at.parameters.stop]) if t.requires_grad]
        reached = [
            (o, g) for o, g in zip(again.values(), given, strict=True) if o.requires_grad
        ]  # not what only counts
        outputs, given = [o for o, _ in reached], [g for _, g in reached]
        found = torch.autograd.grad(
            outputs, [tensors[i] for i in wanted], given, create_graph=recorded, allow_unused=True
        )
        result: list[Tensor | None] = [None] * len(tensors)
        for i, gradient in zip(wanted, found, strict=True):
            result[i] = gradient
        return result

    def _again(
        self, parameters: dict[str, Tensor], x: Tensor, before: Sequence[Tensor], inputs: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """All states by the reference, which takes sequences of different lengths with padding."""
        ragged = self.ragged
        if ragged is None:
            return reference(self.cell, self.variant, parameters, x, before, inputs)
        held = {name for name in inputs if name.startswith("dropout.")}
        padded = {name: v if name in held else ragged.pad(v) for name, v in inputs.items()}
        padded["alive"] = ragged.alive
        states = reference(self.cell, replace(self.variant, ragged=True), parameters, ragged.pad(x), before, padded)
        return {name: ragged.unpad(v) for name, v in states.items()}

    def evaluate(self, parameters: Mapping[str, Tensor], hidden_size: int) -> tuple[list[Tensor], list[Tensor]]:
        """The weights that are tensors of their own, and the matrices, under autograd; finds ``numbers``."""
        plain = self.direct and self.fixed.plain
        with torch.set_grad_enabled(torch.is_grad_enabled() and not plain):
            values = evaluate(self.fixed.order, self._leaves(parameters, hidden_size, parts=not plain))
            whole = self.fixed.whole
            matrices = [
                parameters[whole[blocks]] if blocks in whole else torch.cat([values[n] for n in blocks])
                for blocks in self.matrices
            ]
        self.numbers = {n: values[n] for n in self.weights if n in values and not isinstance(values[n], Tensor)}
        return [values[n] for n in self.learned], matrices

    def _leaves(self, parameters: Mapping[str, Tensor], hidden_size: int, *, parts: bool) -> dict[Node, Any]:
        """Numbers, constants and, if wanted, the parts of parameters."""
        cut: dict[str, dict[str, Tensor]] = {}
        values: dict[Node, Any] = {}
        for node in self.fixed.leaves:
            if node.op == "number":
                values[node] = node.key
            elif node.op == "reciprocal_size":
                values[node] = 1.0 / self.cell.size(node.key, hidden_size)
            elif node.op == "constant":
                values[node] = parameters[node.key[0]]
            elif parts:
                name, part = node.key
                if part and name not in cut:
                    names = self.cell.declarations[name].parts
                    cut[name] = dict(zip(names, parameters[name].chunk(len(names)), strict=True))
                values[node] = cut[name][part] if part else parameters[name]
        return values


def _among(names: Iterable[str], wanted: frozenset[str] | None) -> tuple[str, ...]:
    return tuple(name for name in names if wanted is None or name in wanted)

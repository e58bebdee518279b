"""The two passes of a recurrence on a GPU for calls that are alike: what a kernel reads and leaves, and what torch does with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from pellucid.cells.derivative import Outer
from pellucid.cells.graph import Node
from pellucid.ops import lowering
from pellucid.ops.cuda.layout import Layout, Place
from pellucid.ops.lowering import Lowered, Role
from pellucid.ops.plan import Plan
from pellucid.ops.reference.program import outer as outer_product

Somewhere = TypeVar("Somewhere", Place, Place | None)


class Forward:
    """All states after all steps.

    The tensors of a call: the plan's, and the projected input where the plan projects it.
    """

    def __init__(self, plan: Plan, tensors: Sequence[Tensor]) -> None:
        """For calls whose tensors lie as these do.

        Raises:
            DoesNotFitError: the weights are more than the GPU holds.
        """
        passing: frozenset[str] = frozenset() if plan.keeps else plan.passing
        self.kept = plan.derivative.kept if plan.keeps else ()
        named, lowered = _forward_program(plan, passing)
        layout = self.layout = Layout(plan, tensors, lowered)
        projected = layout.whole[plan.at.x if plan.at.weight is None else -1]
        layout.found |= layout.parts_of(projected, "x")
        starts: dict[int, Place] = {}
        self.states: list[Place] = []
        for name, state in plan.cell.graph(plan.variant).states.items():
            size = layout.sizes[state.shape[0]]
            role: Role = ("flow", name) if name in passing else ("after", name)
            place = layout.new(None, size) if name in passing else layout.new(1, size)._replace(first=1)
            self.states.append(place)
            layout.found[role] = place
            starts[lowered.where[role]] = layout.before[name]
        self.saved: list[int] = []
        if plan.keeps:
            record = layout.room([("kept", n) for n in self.kept])
            self.saved = [*(place.tensor for place in self.states), record.tensor]
            self.saved += [projected.tensor] if plan.reads_projection else []
            layout.check_fit(_backward_program(plan, [*layout.before], (), has_bias=plan.has_bias))
        layout.settle(starts, reverse=False)
        self.named = {n: layout.left(("named", n)) for n in named}

    def run(self, plan: Plan, given: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Of one call.

        Returns:
            The states (T, B, size), or (1, B, size) where the last step is enough; and, for the backward pass, the states
            with those before the first step (T + 1, B, size), the other kept values side by side, and the projected input
            if it is read.
        """
        tensors = self.layout.run(given)
        outputs = tuple([tensors[t][1:] if first else tensors[t][None] for t, _, _, first in self.states])
        if plan.sight is not None:
            # Of a state the output itself, which autograd knows, so that a traced state can be differentiated.
            known = dict(zip(self.states, outputs, strict=True))
            found = {n: known[place] if place in known else place.of(tensors) for n, place in self.named.items()}
            plan.sight.values.update(found)
        return outputs, [tensors[t] for t in self.saved]

    def left_behind(self) -> dict[Role, Place]:
        """Where the values are that the backward pass reads, in what was saved for it."""
        order = {tensor: i for i, tensor in enumerate(self.saved)}
        places = {role: self.layout.left(role) for role in (("kept", n) for n in self.kept)}
        return {role: place._replace(tensor=order[place.tensor]) for role, place in places.items()}


def _forward_program(plan: Plan, passing: frozenset[str]) -> tuple[tuple[str, ...], Lowered]:
    """The names that a trace wants, and the program, made once."""
    graph = plan.cell.graph(plan.variant)
    named = plan.watched(n for n, node in graph.named.items() if node.varies)
    key = ("forward", plan.keeps, passing, named)
    made = plan.derivative.lowered
    if key not in made:
        made[key] = lowering.forward(plan.derivative, graph.states, passing, named, keep=plan.keeps)
    return named, made[key]


def _backward_program(plan: Plan, came: Sequence[str], named: tuple[str, ...], *, has_bias: bool) -> Lowered:
    """The program for gradients of these states, made once."""
    derivative, states = plan.derivative, plan.cell.graph(plan.variant).states
    key = ("cuda backward", frozenset(came), named, has_bias)
    if key not in derivative.lowered:
        parts = plan.cell.input[1].parts or ("",)
        derivative.lowered[key] = lowering.backward(
            derivative, states, frozenset(came), named, parts, totals=True, biases=has_bias
        )
    found: Lowered = derivative.lowered[key]
    return found


def _parts(plan: Plan, name: str) -> list[Node | None]:
    """A parameter's parts in their order, as the programs read them; None for one that they do not read."""
    found = {n.key[1]: n for n in plan.weights if plan.as_it_lies(n) and n.key[0] == name}
    declared = plan.cell.declarations.get(name)
    return [found.get(part) for part in (declared.parts if declared is not None else ()) or ("",)]


class _Vector(NamedTuple):
    """A vector whose gradient is a sum over all sequences.

    Attributes:
        tensor: its index.
        parts: where they stand among all such sums, neighbours as one; None for one that nothing adds to.
        size: of a part.
    """

    tensor: int
    parts: tuple[Place | None, ...]
    size: int


class _Matrix(NamedTuple):
    """A packed matrix, whose gradient is all steps' adjoints transposed times all steps' operands.

    Attributes:
        tensor: its index.
        adjoints: of the blocks of rows, those side by side as one where heads are not apart.
        operand: of all steps.
        heads: that the rows are cut into.
    """

    tensor: int
    adjoints: tuple[Place, ...]
    operand: Place
    heads: int


class Backward:
    """The backward program in reverse time, and the products that gather what it leaves.

    The tensors of a call: the plan's, what the forward pass saved, and the gradients of the states that have one.
    """

    def __init__(
        self,
        plan: Plan,
        tensors: Sequence[Tensor],
        count: int,
        left_behind: dict[Role, Place],
        came: Sequence[bool],
        wanted: Sequence[bool],
    ) -> None:
        """For calls whose tensors lie as these do.

        Args:
            plan: of such a call.
            tensors: of such a call.
            count: how many are the plan's.
            left_behind: where the forward pass left what it kept, in what it saved.
            came: which states have a gradient.
            wanted: which of the plan's tensors are to have one.

        Raises:
            DoesNotFitError: the weights are more than the GPU holds.
        """
        self.count, at = count, plan.at
        states = plan.cell.graph(plan.variant).states
        with_gradient = [name for name, comes in zip(states, came, strict=True) if comes]
        named = plan.graded(plan.derivative.named)
        has_bias = at.bias is not None and wanted[at.bias]
        layout = self.layout = Layout(plan, tensors, _backward_program(plan, with_gradient, named, has_bias=has_bias))
        where = layout.lowered.where
        whole = layout.whole
        self.planes = dict(zip(states, whole[count:], strict=False))
        layout.found |= {("after", n): planes for n, planes in self.planes.items()}
        layout.found |= {role: place._replace(tensor=count + place.tensor) for role, place in left_behind.items()}
        gradients = whole[len(whole) - len(with_gradient) :]
        layout.found |= {("gradient", n): p for n, p in zip(with_gradient, gradients, strict=True)}
        if plan.reads_projection:
            layout.found |= layout.parts_of(whole[count + len(states) + 1], "x")
        complete = all(("dx", p) in where for p in layout.parts)
        self.dx = layout.new(0, layout.width, zero=not complete).tensor
        layout.found |= layout.parts_of(Place(self.dx, 0, layout.width), "dx")
        self.totals = layout.room(self._of_weights(plan), steps=False).tensor
        for outer in plan.derivative.outers:
            layout.room([("outer", n) for n in outer.adjoints])
        layout.settle({}, reverse=True)
        self.named = {n: layout.left(("dnamed", n)) for n in named}
        self.wanted = wanted
        self.flows = {
            i: layout.left(("flow", name)) if ("flow", name) in where else None
            for i, name in enumerate(states, start=at.before.start)
        }
        self.inputs = {
            i: layout.left((kind, name))
            for i, name in enumerate(plan.inputs, start=at.inputs.start)
            for kind in ("dinput", "dheld")
            if (kind, name) in where and tensors[i].is_floating_point()
        }
        self.vectors = [v for v in self._vectors(plan, tensors) if wanted[v.tensor]]
        self.matrices = [m for m in (self._matrix(plan, o) for o in plan.derivative.outers) if wanted[m.tensor]]

    def _of_weights(self, plan: Plan) -> list[Role]:
        """What is summed over all sequences, the parts of a parameter side by side in their order."""
        order: list[Role] = [("dbias", p) for p in self.layout.parts]
        for name in plan.parameters:
            order += [("dweight", node) for node in _parts(plan, name) if node is not None]
        order += [("dweight", node) for node in plan.learned]
        return [role for role in order if role in self.layout.lowered.where]

    def _vectors(self, plan: Plan, tensors: Sequence[Tensor]) -> list[_Vector]:
        """The projection's bias, parameters, whose parts the program has, and what is computed from these."""
        at, layout = plan.at, self.layout
        where = layout.lowered.where
        found: list[_Vector] = []

        def add(index: int, roles: Sequence[Role], size: int) -> None:
            places = [layout.left(role) if role in where else None for role in roles]
            found.append(_Vector(index, _merged(places), size))

        if at.bias is not None:
            add(at.bias, [("dbias", p) for p in layout.parts], layout.hidden)
        for i, node in enumerate(plan.learned, start=at.weights.start):
            if ("dweight", node) in where:
                add(i, [("dweight", node)], layout.whole[i].size)
        for i, name in enumerate(plan.parameters, start=at.parameters.start):
            nodes = _parts(plan, name)
            if any(node is not None for node in nodes):
                add(i, [("dweight", node) for node in nodes], tensors[i].numel() // len(nodes))
        return found

    def _matrix(self, plan: Plan, outer: Outer) -> _Matrix:
        layout = self.layout
        place = plan.at.matrices.start + plan.matrices.index(outer.blocks)
        adjoints = tuple([layout.left(("outer", n)) for n in outer.adjoints])
        heads = outer.blocks[0].heads
        return _Matrix(place, _merged(adjoints) if heads == 1 else adjoints, self._operand(plan, outer), heads)

    def _operand(self, plan: Plan, outer: Outer) -> Place:
        """Of all steps: the states before them, a kept value, or what the backward program left."""
        for name, state in plan.cell.graph(plan.variant).states.items():
            if outer.operand is state:
                return self.planes[name]
        kept = self.layout.found.get(("kept", outer.operand))
        return kept if isinstance(kept, Place) else self.layout.left(("outer", outer.operand))

    def run(self, plan: Plan, given: Sequence[Tensor]) -> list[Tensor | None]:
        """Of one call: the gradients of the plan's tensors, None where there is none."""
        tensors = self.layout.run(given)
        if plan.sight is not None:
            plan.sight.gradients.update({n: place.of(tensors) for n, place in self.named.items()})
        result: list[Tensor | None] = [None] * self.count
        for i, place in self.flows.items():
            result[i] = torch.zeros_like(given[i]) if place is None else place.of(tensors)
        for i, place in self.inputs.items():
            result[i] = place.of(tensors).expand_as(given[i]).clone()
        self._projection(plan, given, tensors[self.dx], result)
        self._sums(given, tensors[self.totals], result)
        steps = tensors[self.dx].shape[0]
        for index, adjoints, operand, heads in self.matrices:
            rows = operand.of(tensors)[:steps]
            values = [place.of(tensors) for place in adjoints]
            if heads == 1:
                flat = rows.flatten(0, 1)
                shares = [v.flatten(0, 1).mT @ flat for v in values]
                share = shares[0] if len(shares) == 1 else torch.cat(shares)
            else:
                share = outer_product(values, rows, heads)
            before = result[index]
            result[index] = share if before is None else before + share
        return result

    def _projection(self, plan: Plan, given: Sequence[Tensor], dx: Tensor, result: list[Tensor | None]) -> None:
        at = plan.at
        if at.weight is None:
            result[at.x] = dx
            return
        x, flat = given[at.x], dx.flatten(0, 1)
        if self.wanted[at.x]:
            result[at.x] = (flat @ given[at.weight]).view(x.shape)
        if self.wanted[at.weight]:
            result[at.weight] = flat.mT @ x.flatten(0, 1)

    def _sums(self, given: Sequence[Tensor], totals: Tensor, result: list[Tensor | None]) -> None:
        """The gradients of vectors: sums over all sequences, in the type of the vector.

        Each in memory of its own: two biases of one sum have one column, and whoever trains changes gradients in place.
        """
        if not self.vectors:
            return
        total = totals.sum(0)
        for index, places, size in self.vectors:
            tensor = given[index]
            parts = [total.new_zeros(size) if p is None else total[p.column : p.column + p.size] for p in places]
            whole = parts[0] if len(parts) == 1 else torch.cat(parts)
            whole = whole.view(tensor.shape) if whole.numel() == tensor.numel() else whole.expand(tensor.shape)
            result[index] = whole.to(tensor.dtype, copy=len(parts) == 1)


def _merged(places: Sequence[Somewhere]) -> tuple[Somewhere, ...]:
    """Those that lie side by side in a tensor as one."""
    found: list[Any] = []
    for place in places:
        last = found[-1] if found else None
        if place is None or last is None or (place.tensor, place.column) != (last.tensor, last.column + last.size):
            found.append(place)
        else:
            found[-1] = last._replace(size=last.size + place.size)
    return tuple(found)

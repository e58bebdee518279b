"""One direction of one layer along sequences: what its equations are given at every step, and what they then compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from pellucid.cells import Cell
from pellucid.cells.graph import Node, ancestors
from pellucid.cells.sequence import Variant
from pellucid.cells.tracing import Graph
from pellucid.errors import ArgumentError
from pellucid.inside.given import Lengths, ends_of
from pellucid.nn import Recurrent
from pellucid.nn import batch as batches
from pellucid.nn.recurrent import States
from pellucid.nn.rnn_cells import OneStep
from pellucid.ops.reference.program import evaluate
from pellucid.trace import Trace


@dataclass(frozen=True)
class Along:
    """What a direction of a layer runs with, or a cell that is called again and again.

    Attributes:
        cell: whose equations; hidden: its size H.
        parameters: by declared name; projection: W and b of the input.
        reverse: whether it runs from the end to the beginning.
        variant: what surrounds the cell's equations, but for lengths and resets: ``before`` has done with them.
        inputs: (T, B, I), before the projection.
        before: by state, (T, B, size): the states before each step, in the input's own order of time; made once they are asked for.
        after: the same after each step; nothing of calls, whose states the model may change in between.
        start: by state, (B, size): what the sequences start from.
        step_inputs: by name, (T, B, size).
        ends: (B,) the steps that exist.
    """

    cell: Cell
    hidden: int
    parameters: Mapping[str, Tensor]
    projection: tuple[Tensor, Tensor | None]
    reverse: bool
    variant: Variant
    inputs: Tensor
    before: Mapping[str, Tensor]
    after: Mapping[str, Tensor]
    start: Mapping[str, Tensor]
    step_inputs: Mapping[str, Tensor]
    ends: Tensor

    @property
    def graph(self) -> Graph:
        """The cell's equations as they run here."""
        return self.cell.graph(self.variant)

    def values(self, step: int, sequence: int = 0) -> dict[Node, Tensor]:
        """Everything that the equations compute at one step of one sequence: every value that has a name, and every other.

        Returns:
            By node of :attr:`graph`, (size,) tensors; of what does not vary too.
        """
        order = ancestors(self.graph.after.values())
        projected = F.linear(self.inputs[step, sequence], *self.projection)
        leaves = {node: self._leaf(node, projected, step, sequence) for node in order if node.is_leaf}
        with torch.no_grad():
            return {node: value.detach() for node, value in evaluate(order, leaves).items()}

    def _leaf(self, node: Node, projected: Tensor, step: int, sequence: int) -> Tensor:
        cell = self.cell
        match node.op:
            case "number":
                return projected.new_tensor(node.key)
            case "reciprocal_size":
                return projected.new_tensor(1 / cell.size(node.key, self.hidden))
            case "projection":
                return _part(projected, cell.input[1].parts, node.key)
            case "state":
                return self.before[node.key][step, sequence]
            case "step_input":
                return self.step_inputs[node.key][step, sequence]
            case "parameter" | "constant":
                name, part = node.key
                return _part(self.parameters[name], cell.declarations[name].parts, part)
            case _:
                raise AssertionError(f"{node.op} is no leaf of a cell's own equations in evaluation mode")


def along(
    layer: Recurrent,
    seen: Trace,
    x: Tensor | PackedSequence,
    hx: States | None = None,
    *,
    place: str,
    path: str = "",
    lengths: Lengths = None,
    resets: Tensor | None = None,
    step_inputs: Mapping[str, Tensor] = MappingProxyType({}),
) -> Along:
    """What a direction of a layer ran with in a trace. It reaches into the layer, as the layer's stream does, to get the very same.

    Args:
        layer: as it ran, in evaluation mode.
        seen: of that run; it has the layer's states.
        x, hx, lengths, resets, step_inputs: what the layer was called with.
        place: which layer and direction, ``"l0"``, ``"l1_reverse"``.
        path: of the layer in the model that was traced.

    Raises:
        ArgumentError: a place that the layer does not have.
    """
    cell, ways = layer.cell, len(layer.directions)
    places = [f"l{i}{direction}" for i in range(layer.num_layers) for direction in layer.directions]
    if place not in places:
        raise ArgumentError(f"this {type(layer).__name__} has no {place!r}; its layers are {', '.join(places)}")
    start_of_names = f"{path}." if path else ""
    index = places.index(place)
    number, reverse = index // ways, index % ways == 1
    batch = batches.read(type(layer).__name__, x, layer.batch_first, lengths, layer.weight_ih_l0, layer.cell)
    first = next(iter(cell.states))
    below = [seen[f"{start_of_names}l{number - 1}{d}.{first}"].values for d in layer.directions] if number else []
    inputs = (torch.cat(below, -1) if below else batch.padded(batch.x)).detach()
    ends = ends_of(inputs, _lengths(batch) if lengths is None else lengths, "along")

    def in_order(given: Tensor) -> Tensor:
        """(T, B, ...) of what was given in the layer's own form."""
        return given.unsqueeze(1) if not batch.batched else given.transpose(0, 1) if batch.batch_first else given

    start = _start(layer, hx, index, place, inputs.shape[1], batched=batch.batched)
    after = {n: seen[f"{start_of_names}{place}.{n}"].values.detach() for n in cell.states}

    def before(state: str) -> Tensor:
        found = _before(after[state], start[state], ends, reverse=reverse)
        if resets is None:
            return found
        anew = in_order(resets.bool())
        if reverse:  # a segment that begins at t ends, for the sweep back, before t - 1
            anew = torch.cat([anew[1:], torch.zeros_like(anew[:1])])
        return torch.where(anew[..., None], layer._fresh(place)[f"initial.{state}"].detach(), found)

    own = {n: in_order(v[index] if layer._places > 1 else v) for n, v in step_inputs.items()}
    variant = layer._variant(step_inputs, resets=False, ragged=False, training=False)
    return Along(
        cell,
        layer.hidden_size,
        layer._parameters_of(place),
        layer._projection(place),
        reverse,
        variant,
        inputs,
        _Made({n: partial(before, n) for n in cell.states}),
        after,
        start,
        own,
        ends,
    )


def along_calls(cell: OneStep, calls: Sequence[tuple[Tensor, States | None]]) -> Along:
    """What a cell ran with that was called again and again, as one recurrence whose steps are the calls.

    The states before a step are those that the call was given, whatever the model did between the calls.

    Args:
        cell: the module.
        calls: of each the input, (B, I) or (I,), and the states that it was given.
    """
    inputs = torch.stack([x if x.dim() == 2 else x[None] for x, _ in calls]).detach()
    nothing = inputs.new_zeros(inputs.shape[1], cell.hidden_size)
    given = [(hx,) if isinstance(hx, Tensor) else hx or (nothing,) * len(cell.cell.states) for _, hx in calls]
    before = {
        name: torch.stack([states[k].detach().reshape(nothing.shape) for states in given])
        for k, name in enumerate(cell.cell.states)
    }
    return Along(
        cell.cell,
        cell.hidden_size,
        cell.declared,
        (cell.weight_ih, cell.bias_ih),
        False,
        Variant(bias=cell.bias),
        inputs,
        before,
        {},
        {name: states[0] for name, states in before.items()},
        {},
        torch.full((inputs.shape[1],), len(inputs), device=inputs.device),
    )


class _Made(Mapping[str, Tensor]):
    """Tensors that are made once each is asked for, since copies of all steps take as long as many steps do."""

    def __init__(self, ways: Mapping[str, Callable[[], Tensor]]) -> None:
        self._ways = ways
        self._found: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._found:
            self._found[name] = self._ways[name]()
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ways)

    def __len__(self) -> int:
        return len(self._ways)


def _lengths(batch: batches.Batch) -> Tensor | None:
    """Of a packed sequence, in its own order; None where every step exists."""
    if batch.ragged is None:
        return batch.lengths
    return batch.ragged.lengths if batch.order is None else batch.ragged.lengths[batch.order[1]]


def _part(whole: Tensor, parts: tuple[str, ...], part: str) -> Tensor:
    """The rows of one part of a declaration."""
    return whole.chunk(len(parts))[parts.index(part)] if parts else whole


def _start(
    layer: Recurrent, hx: States | None, index: int, place: str, count: int, *, batched: bool
) -> dict[str, Tensor]:
    """(B, size) by state: what the sequences start from."""
    if hx is None:
        found: Any = layer._start(place, count)
    else:
        given = (hx,) if isinstance(hx, Tensor) else hx
        found = [v[index] if batched else v[index].unsqueeze(0) for v in given]
    return {n: v.detach() for n, v in zip(layer.cell.states, found, strict=True)}


def _before(after: Tensor, start: Tensor, ends: Tensor, *, reverse: bool) -> Tensor:
    """(T, B, size): a state before each step, of the state after each."""
    if not reverse:
        return torch.cat([start[None], after[:-1]])
    later = torch.cat([after[1:], start[None]])
    last = torch.arange(len(after), device=ends.device)[:, None] == ends - 1
    return torch.where(last[..., None], start, later)

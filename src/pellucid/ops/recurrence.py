"""The recurrence operator: a cell's equations swept over time.

One path today: the cell's program and its derived backward program, executed phase by phase in PyTorch
(:mod:`pellucid.ops.reference.program`); a native engine executes the same programs in its place. Where a program
cannot go (derivatives of derivatives, forward mode, ``torch.func``), the reference does the work: the cell's own
equations under torch's autograd.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from pellucid.cells import Cell
from pellucid.cells.derivative import Derivative
from pellucid.cells.graph import Node, ancestors
from pellucid.cells.sequence import Variant
from pellucid.ops.reference import program as engine
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


def recurrence(
    cell: Cell,
    variant: Variant,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    before: Sequence[Tensor],
    inputs: Mapping[str, Tensor],
    *,
    sight: Sight | None = None,
) -> dict[str, Tensor]:
    """Every state after every step.

    Args:
        cell: the cell.
        variant: what surrounds its equations.
        parameters: by declared name, parts stacked: ``"U"`` (parts * H, columns / heads), ``"b"`` (parts * H,), the
            cell's constants, and ``"initial.STATE"`` (size,), which resets return to.
        x: (T, B, parts * H), the projected input of all steps, with its bias.
        before: the states before the first step, (B, size) each, in the cell's order.
        inputs: the cell's step inputs (T, B, size); masks ``"reset"`` and ``"alive"`` (T, B, 1) and
            ``"zoneout.STATE"`` (T, B, size), all bool; ``"dropout.LETTER"`` (B, size), already scaled.
        sight: filled for a trace, if one is asked for.

    Returns:
        (T, B, size) by state, differentiable in every tensor that was given.
    """
    if sight is None and _beyond_programs([x, *before, *inputs.values(), *parameters.values()]):
        return reference(cell, variant, parameters, x, before, inputs)
    return _run(cell, variant, parameters, x, before, inputs, sight)


def _beyond_programs(tensors: Sequence[Tensor]) -> bool:
    """Whether a transform is at work that only plain PyTorch operations can follow."""
    if torch._C._are_functorch_transforms_active():
        return True
    if forward_ad._current_level < 0:
        return False
    return any(forward_ad.unpack_dual(t).tangent is not None for t in tensors)  # type: ignore[no-untyped-call]


def _run(
    cell: Cell,
    variant: Variant,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    before: Sequence[Tensor],
    inputs: Mapping[str, Tensor],
    sight: Sight | None,
) -> dict[str, Tensor]:
    plan = _Plan(cell, variant, cell.derivative(variant), tuple(inputs), tuple(parameters), sight)
    leaves = plan.fixed_leaves(parameters, x.shape[-1] // max(len(cell.input[1].parts), 1))
    weights = engine.evaluate(plan.weights, leaves)
    matrices = [_packed(engine.evaluate(blocks, leaves), leaves) for blocks in plan.matrices]
    plan.numbers = {n: w for n, w in zip(plan.weights, weights, strict=True) if not isinstance(w, Tensor)}
    tensors = [w for w in weights if isinstance(w, Tensor)]
    given = (x, *before, *inputs.values(), *parameters.values())
    outputs = _Recurrence.apply(plan, len(tensors), *given, *tensors, *matrices)  # type: ignore[no-untyped-call]
    return dict(zip(cell.states, outputs, strict=True))


def _packed(blocks: list[Tensor], leaves: Mapping[Node, Any]) -> Tensor:
    """Blocks of rows as one matrix; a whole parameter is taken as it lies, without a copy."""
    whole = blocks[0]._base
    if whole is not None and sum(b.shape[0] for b in blocks) == whole.shape[0]:
        at = [b.storage_offset() for b in blocks]
        if all(b._base is whole for b in blocks) and at == sorted(at) and whole.is_contiguous():
            return whole
    return torch.cat(blocks)


@dataclass
class _Plan:
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


class _Recurrence(torch.autograd.Function):
    """The sweep over time and its reverse; the programs in it are derived, none is written by hand."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, weights: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        sweep = _Sweep(plan, weights, tensors)
        program = plan.derivative.forward
        kept_registers = [program.outputs[f"#{n.index}"] for n in plan.derivative.kept]
        named = plan.cell.graph(plan.variant).named if plan.sight is not None else {}
        watched = {name: program.outputs[name] for name, node in named.items() if node.varies}
        keep = any(ctx.needs_input_grad)
        states = sweep.before
        history: list[list[Tensor]] = [[] for _ in states]
        kept: list[list[Tensor]] = [[] for _ in kept_registers]
        seen: dict[str, list[Tensor]] = {name: [] for name in watched}
        for t in range(sweep.steps):
            registers = engine.execute(program, sweep.given(t, states), sweep.matrices, sweep.sizes)
            states = tuple(
                sweep.full(registers[program.outputs[f"after {name}"]], b)
                for name, b in zip(plan.cell.states, states, strict=True)
            )
            for sequence, state in zip(history, states, strict=True):
                sequence.append(state)
            if keep:
                for sequence, register in zip(kept, kept_registers, strict=True):
                    sequence.append(registers[register])
            for name, register in watched.items():
                seen[name].append(registers[register])
        outputs = tuple(_stack(h, b) for h, b in zip(history, sweep.before, strict=True))
        if plan.sight is not None:
            plan.sight.values.update({name: _stack(v, sweep.before[0]) for name, v in seen.items()})
        if keep:
            ctx.plan, ctx.weights = plan, weights
            ctx.save_for_backward(*tensors, *outputs, *(_stack(k, sweep.before[0]) for k in kept))
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        plan: _Plan = ctx.plan
        saved = ctx.saved_tensors
        kept = saved[len(saved) - len(plan.derivative.kept) :]
        outputs = saved[len(saved) - len(kept) - len(plan.cell.states) : len(saved) - len(kept)]
        tensors = saved[: len(saved) - len(kept) - len(outputs)]
        if torch.is_grad_enabled():
            return _differentiable_backward(ctx, plan, tensors, gradients)
        return (None, None, *_reverse(_Sweep(plan, ctx.weights, tensors), outputs, kept, gradients))


class _Sweep:
    """The tensors of one run, by the nodes that they stand for."""

    def __init__(self, plan: _Plan, weights: int, tensors: Sequence[Tensor]) -> None:
        self.plan = plan
        self.tensors = tensors
        states, inputs, parameters = len(plan.cell.states), len(plan.inputs), len(plan.parameters)
        self.x = tensors[0]
        self.steps = self.x.shape[0]
        self.before = tuple(tensors[1 : 1 + states])
        self.inputs = dict(zip(plan.inputs, tensors[1 + states : 1 + states + inputs], strict=True))
        self.first_parameter = 1 + states + inputs
        self.first_weight = self.first_parameter + parameters
        given = iter(tensors[self.first_weight : self.first_weight + weights])
        self.weights = {n: plan.numbers[n] if n in plan.numbers else next(given) for n in plan.weights}
        self.matrices = dict(zip(plan.matrices, tensors[self.first_weight + weights :], strict=True))
        parts = plan.cell.input[1].parts
        self.parts = parts or ("",)
        hidden = self.x.shape[-1] // len(self.parts)
        self.sizes = {"H": hidden, "1": 1, **plan.cell.sizes}
        self.x_parts = dict(zip(self.parts, self.x.chunk(len(self.parts), -1), strict=True))
        self.state_nodes = tuple(plan.cell.graph(plan.variant).states.values())
        needed = {p.registers[r] for p in (plan.derivative.forward, plan.derivative.backward) for r in p.inputs}
        self.projections = [(n, self.x_parts[n.key]) for n in needed if n.op == "projection"]
        self.step_inputs = [(n, self.inputs[n.key]) for n in needed if n.op == "step_input"]
        self.held = {n: self.inputs[n.key] for n in needed if n.op == "held"}

    def given(self, t: int, states: Sequence[Tensor]) -> dict[Node, Any]:
        """What the leaves stand for at step t."""
        return {
            **self.weights,
            **self.held,
            **dict(zip(self.state_nodes, states, strict=True)),
            **{n: tensor[t] for n, tensor in self.projections},
            **{n: tensor[t] for n, tensor in self.step_inputs},
        }

    def full(self, value: Any, like: Tensor) -> Tensor:
        """A new state at its full size, also where its equation is one number for all."""
        return value.expand_as(like) if isinstance(value, Tensor) else torch.full_like(like, value)


def _reverse(
    sweep: _Sweep, outputs: Sequence[Tensor], kept: Sequence[Tensor], gradients: Sequence[Tensor]
) -> list[Tensor | None]:
    """The backward program in reverse time, then one large product for each packed matrix."""
    if not sweep.steps:
        return [torch.zeros_like(t) for t in sweep.tensors]
    plan, derivative = sweep.plan, sweep.plan.derivative
    program, names = derivative.backward, list(sweep.plan.cell.states)
    register = {node: program.outputs[f"#{node.index}"] for node in derivative.adjoints.values()}
    per_step: dict[Node, list[Tensor]] = {n: [] for n in derivative.adjoints if n.op in ("projection", "step_input")}
    total: dict[Node, Tensor] = {}
    outers: list[list[list[Tensor]]] = [[[] for _ in (*o.adjoints, o.operand)] for o in derivative.outers]
    named: dict[str, list[Tensor]] = {name: [] for name in derivative.named} if plan.sight is not None else {}
    flowing = [torch.zeros_like(b) for b in sweep.before]
    for t in reversed(range(sweep.steps)):
        states = [o[t - 1] for o in outputs] if t else sweep.before
        given = sweep.given(t, states)
        given |= {n: k[t] for n, k in zip(derivative.kept, kept, strict=True)}
        given |= {derivative.incoming[n]: flowing[i] + gradients[i][t] for i, n in enumerate(names)}
        values = engine.execute(program, given, sweep.matrices, sweep.sizes)
        flowing = []
        for node, before in zip(sweep.state_nodes, sweep.before, strict=True):
            share = derivative.adjoints.get(node)
            flowing.append(sweep.full(0.0 if share is None else values[register[share]], before))
        for node, share in derivative.adjoints.items():
            value = values[register[share]]
            if node in per_step:
                per_step[node].append(value)
            elif node.op != "state":
                total[node] = total[node] + value if node in total else value
        for collected, o in zip(outers, derivative.outers, strict=True):
            for sequence, node in zip(collected, (*o.adjoints, o.operand), strict=True):
                sequence.append(values[program.outputs[f"#{node.index}"]])
        for name, sequence in named.items():
            sequence.append(values[program.outputs[f"#{derivative.named[name].index}"]])
    if plan.sight is not None:
        plan.sight.gradients.update({name: _stack(v[::-1], sweep.before[0]) for name, v in named.items()})
    found = {n: _stack(v[::-1], sweep.before[0]) for n, v in per_step.items()} | total
    return _by_tensor(sweep, found, outers, flowing)


def _by_tensor(
    sweep: _Sweep, found: dict[Node, Tensor], outers: list[list[list[Tensor]]], flowing: list[Tensor]
) -> list[Tensor | None]:
    """The gradients in the order of the tensors that were given."""
    result: list[Tensor | None] = [None] * len(sweep.tensors)
    shares = {n.key: v for n, v in found.items() if n.op == "projection"}
    x = torch.zeros_like(sweep.x)
    for part, block in zip(sweep.parts, x.chunk(len(sweep.parts), -1), strict=True):
        if part in shares:
            block.copy_(shares[part])
    result[0] = x
    result[1 : 1 + len(flowing)] = flowing
    by_name = {n.key: v for n, v in found.items() if n.op in ("step_input", "held")}
    for position, name in enumerate(sweep.plan.inputs, start=1 + len(flowing)):
        if name in by_name and sweep.tensors[position].is_floating_point():
            result[position] = by_name[name].expand_as(sweep.tensors[position])
    position = sweep.first_weight
    for node in sweep.plan.weights:
        if node in sweep.plan.numbers:
            continue
        if node in found:
            result[position] = _summed_to(found[node], sweep.tensors[position])
        position += 1
    matrices = {blocks: i for i, blocks in enumerate(sweep.plan.matrices, start=position)}
    for outer, (*adjoints, operand) in zip(sweep.plan.derivative.outers, outers, strict=True):
        if operand:
            share = engine.outer([torch.stack(a) for a in adjoints], torch.stack(operand), outer.blocks[0].heads)
            before = result[matrices[outer.blocks]]
            result[matrices[outer.blocks]] = share if before is None else before + share
    return result


def _summed_to(gradient: Tensor, weight: Tensor) -> Tensor:
    """A weight's gradient, summed over the batch."""
    return gradient.expand(gradient.shape[0], weight.shape[-1]).sum(0).reshape(weight.shape)


def _stack(steps: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(steps) if steps else like.new_zeros(0, *like.shape)


def _differentiable_backward(
    ctx: Any, plan: _Plan, tensors: Sequence[Tensor], gradients: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """The backward pass of the reference, which torch can differentiate again."""
    states, inputs = len(plan.cell.states), len(plan.inputs)
    x, before, rest = tensors[0], tensors[1 : 1 + states], tensors[1 + states :]
    parameters = dict(zip(plan.parameters, rest[inputs : inputs + len(plan.parameters)], strict=True))
    by_name = dict(zip(plan.inputs, rest[:inputs], strict=True))
    outputs = reference(plan.cell, plan.variant, parameters, x, before, by_name)
    given = tensors[: 1 + states + inputs + len(plan.parameters)]
    wanted = [i for i, t in enumerate(given) if t.requires_grad]
    found = torch.autograd.grad(
        list(outputs.values()), [given[i] for i in wanted], gradients, create_graph=True, allow_unused=True
    )
    result: list[Tensor | None] = [None] * (2 + len(tensors))
    for i, gradient in zip(wanted, found, strict=True):
        result[2 + i] = gradient
    return tuple(result)

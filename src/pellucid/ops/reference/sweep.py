"""The sweep over time in PyTorch: a cell's program and its derived backward program, executed phase by phase.

The twin of the native engine: the same programs, one torch operation for each instruction, on any device and number type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid.cells.graph import Node
from pellucid.ops.plan import Plan
from pellucid.ops.reference import program as engine
from pellucid.ops.transforms import wrapped


class Twin(torch.autograd.Function):
    """The sweep over time and its reverse; the programs in it are derived, none is written by hand."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, weights: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        """All states after all steps; ``tensors`` as in :class:`_Sweep`."""
        sweep = _Sweep(plan, weights, tensors)
        program = plan.derivative.forward
        kept_registers = [program.outputs[f"#{n.index}"] for n in plan.derivative.kept]
        named = plan.cell.graph(plan.variant).named
        watched = {n: program.outputs[n] for n in plan.computed()}
        keep = plan.keeps
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
            # A state is handed over as the output that it is, so that what is computed from it has a gradient.
            whose = dict(zip(plan.cell.graph(plan.variant).after.values(), outputs, strict=True))
            plan.sight.values.update({name: whose[named[name]] for name in seen if named[name] in whose})
            by_name = dict(zip(plan.cell.states, outputs, strict=True))
            plan.sight.values.update({name: by_name[name] for name in plan.seen_in_outputs()})
        if keep:
            ctx.plan, ctx.weights = plan, weights
            ctx.save_for_backward(*tensors, *outputs, *(_stack(k, sweep.before[0]) for k in kept))
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of all tensors."""
        plan: Plan = ctx.plan
        saved = ctx.saved_tensors
        kept = saved[len(saved) - len(plan.derivative.kept) :]
        outputs = saved[len(saved) - len(kept) - len(plan.cell.states) : len(saved) - len(kept)]
        tensors = saved[: len(saved) - len(kept) - len(outputs)]
        if torch.is_grad_enabled() or any(wrapped(g) for g in gradients):
            return (None, None, *plan.differentiable_backward(tensors, outputs, gradients))
        return (None, None, *_reverse(_Sweep(plan, ctx.weights, tensors), outputs, kept, gradients))


class _Sweep:
    """The tensors of one run, by the nodes that they stand for."""

    def __init__(self, plan: Plan, weights: int, tensors: Sequence[Tensor]) -> None:
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
    named: dict[str, list[Tensor]] = {name: [] for name in plan.graded(derivative.named)}
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

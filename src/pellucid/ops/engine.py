"""The recurrence on the native engine: tensors to the ports of a lowered program, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid import _native
from pellucid.cells.derivative import Outer
from pellucid.cells.graph import Node
from pellucid.ops import lowering
from pellucid.ops.lowering import Lowered, Role
from pellucid.ops.plan import Plan
from pellucid.ops.reference.program import outer as outer_by_heads


class Engine(torch.autograd.Function):
    """The sweep over time and its reverse; the programs in it are derived, none is written by hand."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, weights: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        """All states after all steps; ``tensors`` as in :class:`_Run`."""
        ctx.set_materialize_grads(False)
        run = _Run(plan, weights, tensors)
        derivative, graph = plan.derivative, plan.cell.graph(plan.variant)
        named = [n for n, node in graph.named.items() if node.varies] if plan.sight is not None else []
        keep = any(ctx.needs_input_grad)
        key = ("forward", keep, bool(named))
        if key not in derivative.lowered:
            derivative.lowered[key] = lowering.forward(derivative, graph.states, named, keep=keep)
        program: Lowered = derivative.lowered[key]
        outputs = [run.x.new_empty(run.steps, run.batch, run.sizes[s.shape[0]]) for s in graph.states.values()]
        found = run.given() | {("after", n): o for n, o in zip(graph.states, outputs, strict=True)}
        run.execute(program, found, initial=dict(zip(graph.states, run.before, strict=True)))
        if plan.sight is not None:
            plan.sight.values.update({n: found[program.roles[program.where["named", n]]] for n in named})
        if keep:
            kept = [found[program.roles[program.where["kept", n]]] for n in derivative.kept]
            ctx.plan, ctx.weights = plan, weights
            ctx.save_for_backward(*tensors, *outputs, *kept)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients of all tensors."""
        plan: Plan = ctx.plan
        saved = ctx.saved_tensors
        kept = saved[len(saved) - len(plan.derivative.kept) :]
        outputs = saved[len(saved) - len(kept) - len(plan.cell.states) : len(saved) - len(kept)]
        tensors = saved[: len(saved) - len(kept) - len(outputs)]
        if torch.is_grad_enabled():
            return plan.differentiable_backward(tensors, outputs, gradients)
        run = _Run(plan, ctx.weights, tensors)
        return (None, None, *_backward(run, outputs, kept, gradients))


class _Run:
    """The tensors of one call, by what they are."""

    def __init__(self, plan: Plan, weights: int, tensors: Sequence[Tensor]) -> None:
        self.plan, self.tensors = plan, tensors
        self.x = tensors[0]
        self.steps, self.batch = self.x.shape[:2]
        states, inputs = len(plan.cell.states), len(plan.inputs)
        self.before = tensors[1 : 1 + states]
        self.inputs = dict(zip(plan.inputs, tensors[1 + states : 1 + states + inputs], strict=True))
        self.first_input = 1 + states
        self.first_weight = 1 + states + inputs + len(plan.parameters)
        given = iter(tensors[self.first_weight : self.first_weight + weights])
        self.weights: dict[Node, Tensor] = {
            n: self.x.new_tensor([plan.numbers[n]]) if n in plan.numbers else next(given) for n in plan.weights
        }
        self.matrices = dict(zip(plan.matrices, tensors[self.first_weight + weights :], strict=True))
        self.parts = plan.cell.input[1].parts or ("",)
        hidden = self.x.shape[-1] // len(self.parts)
        self.sizes = {"": 1, "1": 1, "H": hidden, **plan.cell.sizes}

    def given(self) -> dict[Role, Tensor]:
        """What comes from outside."""
        found: dict[Role, Tensor] = {
            ("x", p): v for p, v in zip(self.parts, self.x.chunk(len(self.parts), -1), strict=True)
        }
        found |= {("input", n): _dense(v.to(self.x.dtype)) for n, v in self.inputs.items()}
        found |= {("weight", n): _dense(w) for n, w in self.weights.items()}
        return found

    def execute(
        self, lowered: Lowered, found: dict[Role, Tensor], *, initial: dict[str, Tensor], reverse: bool = False
    ) -> None:
        """Run the program; what is not found yet is made and added."""
        buffers = []
        for role, letter in zip(lowered.roles, lowered.letter, strict=True):
            if role not in found:
                found[role] = self._made(role[0], letter)
            buffers.append(found[role])
        first = [_dense(initial[r[1]]) if r[0] == "after" else None for r in lowered.roles]
        lowered.program.run(
            self.steps,
            self.batch,
            [self.sizes[letter] for letter in lowered.letters],
            reverse,
            -1,
            buffers,
            first,
            [_dense(self.matrices[m]) for m in lowered.matrices],
            torch.get_num_threads(),
        )

    def _made(self, what: str, letter: str) -> Tensor:
        size = self.sizes[letter]
        if what == "flow":
            return self.x.new_zeros(2, self.batch, size)
        if what in ("dheld", "dweight"):
            return self.x.new_zeros(self.batch, size)
        return self.x.new_empty(self.steps, self.batch, size)


def _dense(v: Tensor) -> Tensor:
    """A tensor whose last axis is contiguous, detached from autograd as the engine wants it."""
    v = v.detach()
    return v if v.stride(-1) == 1 and v.shape[-1] != 1 else v.contiguous()


def _backward(
    run: _Run, outputs: Sequence[Tensor], kept: Sequence[Tensor], gradients: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The backward program in reverse time, then one large product for each packed matrix."""
    plan, derivative = run.plan, run.plan.derivative
    graph = plan.cell.graph(plan.variant)
    states = graph.states
    came = {n: g for n, g in zip(states, gradients, strict=True) if g is not None}
    named = list(derivative.named) if plan.sight is not None else []
    key = ("backward", frozenset(came), bool(named))
    if key not in derivative.lowered:
        derivative.lowered[key] = lowering.backward(derivative, states, frozenset(came), named, run.parts)
    lowered: Lowered = derivative.lowered[key]
    dx = torch.empty_like(run.x, memory_format=torch.contiguous_format)
    found = run.given()
    found |= {("kept", n): k for n, k in zip(derivative.kept, kept, strict=True)}
    found |= {("after", n): o for n, o in zip(states, outputs, strict=True)}
    found |= {("gradient", n): _dense(g) for n, g in came.items()}
    slices = dict(zip(run.parts, dx.chunk(len(run.parts), -1), strict=True))
    for part, block in slices.items():
        if ("dx", part) in lowered.where:
            found["dx", part] = block
        else:
            block.zero_()
    run.execute(lowered, found, initial=dict(zip(states, run.before, strict=True)), reverse=True)

    def at(role: Role) -> Tensor:
        return found[lowered.roles[lowered.where[role]]]

    if plan.sight is not None:
        plan.sight.gradients.update({n: at(("dnamed", n)) for n in named})
    result: list[Tensor | None] = [None] * len(run.tensors)
    result[0] = dx
    last = run.steps & 1
    for i, (name, before) in enumerate(zip(states, run.before, strict=True), start=1):
        flow = ("flow", name)
        result[i] = at(flow)[last] if flow in lowered.where else torch.zeros_like(before)
    for i, (name, tensor) in enumerate(run.inputs.items(), start=run.first_input):
        if not tensor.is_floating_point():
            continue
        for role in (("dinput", name), ("dheld", name)):
            if role in lowered.where:
                result[i] = at(role).expand_as(tensor).clone()
    place = run.first_weight
    for node in plan.weights:
        if node in plan.numbers:
            continue
        if ("dweight", node) in lowered.where:
            each = at(("dweight", node))  # a sequence's share, or every step's
            result[place] = each.flatten(0, -2).sum(0).expand(run.tensors[place].shape).clone()
        place += 1
    position = {blocks: i for i, blocks in enumerate(plan.matrices, start=place)}
    for outer in derivative.outers:
        share, i = _outer(run, outer, lowered, found, outputs), position[outer.blocks]
        known = result[i]
        result[i] = share if known is None else known + share
    return result


def _outer(run: _Run, outer: Outer, lowered: Lowered, found: dict[Role, Tensor], outputs: Sequence[Tensor]) -> Tensor:
    """A packed matrix's gradient: all steps' adjoints transposed times all steps' operands."""

    def value(node: Node) -> Tensor:
        if ("kept", node) in found:
            return found["kept", node]
        return found[lowered.roles[lowered.where["outer", node]]]

    states = {node: i for i, node in enumerate(run.plan.cell.graph(run.plan.variant).states.values())}
    adjoints = [value(n) for n in outer.adjoints]
    heads = outer.blocks[0].heads
    if outer.operand in states:
        i = states[outer.operand]
        pairs = [(slice(1, None), outputs[i][:-1]), (slice(0, 1), run.before[i].unsqueeze(0))]
    else:
        pairs = [(slice(None), value(outer.operand))]
    if heads > 1:
        return sum(outer_by_heads([a[s].contiguous() for a in adjoints], v.contiguous(), heads) for s, v in pairs)  # type: ignore[return-value]
    rows = [a.shape[-1] for a in adjoints]
    result = run.x.new_empty(sum(rows), run.sizes[outer.operand.shape[0]])
    for adjoint, block in zip(*_joined(adjoints, result), strict=True):
        for number, (steps, operand) in enumerate(pairs):
            a, v = adjoint[steps].flatten(0, 1), _dense(operand.detach()).flatten(0, 1)
            _native.multiply(a.mT, v, block, number > 0, None, torch.get_num_threads())
    return result


def _joined(adjoints: list[Tensor], result: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Adjoints that lie side by side in one tensor as one, with their rows of the result."""
    groups: list[list[Tensor]] = []
    for a in adjoints:
        last = groups[-1][-1] if groups else None
        beside = (
            last is not None
            and a.untyped_storage().data_ptr() == last.untyped_storage().data_ptr()
            and a.storage_offset() == last.storage_offset() + last.shape[-1]
            and a.stride() == last.stride()
            and a.stride(-1) == 1
        )
        if beside:
            groups[-1].append(a)
        else:
            groups.append([a])
    joined = [g[0].as_strided((*g[0].shape[:2], sum(a.shape[-1] for a in g)), g[0].stride()) for g in groups]
    return joined, list(torch.split(result, [j.shape[-1] for j in joined]))

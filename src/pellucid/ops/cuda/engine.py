"""The recurrence on a GPU: tensors to the buffers of a lowered program, forward and backward, one kernel each.

The projection of the input and the products that sum over all steps are torch's (cuBLAS); everything that goes from step to
step is in the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.cells.derivative import Outer
from pellucid.cells.graph import Node
from pellucid.ops import lowering
from pellucid.ops.cuda import compile as kernels
from pellucid.ops.cuda.choose import choose
from pellucid.ops.cuda.generate import Bound, Kernel, Spec
from pellucid.ops.cuda.share import independent_heads
from pellucid.ops.lowering import Lowered, Role
from pellucid.ops.plan import Plan
from pellucid.ops.reference.program import outer as outer_product

TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
    torch.bool: "bool",
}
Starts = dict[int, Tensor]


class DoesNotFitError(Exception):
    """The weights of a cell are more than the GPU's registers and shared memory hold."""


class Engine(torch.autograd.Function):
    """The sweep over time and its reverse; the programs in it are derived, none is written by hand."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, *tensors: Tensor) -> tuple[Tensor, ...]:
        """All states after all steps; ``tensors`` in the plan's order."""
        ctx.set_materialize_grads(False)
        outputs, saved = run_forward(plan, tensors)
        ctx.plan, ctx.count = plan, len(tensors)
        ctx.save_for_backward(*tensors, *saved)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients of all tensors."""
        plan: Plan = ctx.plan
        tensors, saved = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        if not torch.is_grad_enabled():
            try:
                return (None, *_Backward(_Call(plan, tensors), ctx.needs_input_grad[1:], saved, gradients).run())
            except DoesNotFitError:  # its weights come in other shapes than the forward pass's
                pass
        outputs = [planes[1:] for planes in saved[: len(plan.cell.states)]]
        with torch.enable_grad():
            return (None, *plan.differentiable_backward(tensors, outputs, gradients))


def run_forward(plan: Plan, tensors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], list[Tensor]]:
    """All states after all steps, and what the backward pass reads besides.

    Returns:
        The states (T, B, size), or (1, B, size) where the last step is enough; and, for the backward pass, the states with
        those before the first step (T + 1, B, size), the kept values, and the projected input if it is read.
    """
    call = _Call(plan, tensors)
    derivative, graph, keep = plan.derivative, plan.cell.graph(plan.variant), plan.keeps
    named = plan.watched(n for n, node in graph.named.items() if node.varies)
    passing = frozenset() if keep else plan.passing
    key = ("forward", keep, passing, named)
    if key not in derivative.lowered:
        derivative.lowered[key] = lowering.forward(derivative, graph.states, passing, named, keep=keep)
    lowered: Lowered = derivative.lowered[key]
    found: dict[Role, Any] = call.given()
    starts: dict[int, Tensor] = {}
    projected = call.projected()
    found.update(call.parts_of(projected, "x"))
    outputs: dict[str, Tensor] = {}
    planes: list[Tensor] = []
    for name, state in graph.states.items():
        size = call.sizes[state.shape[0]]
        if name in passing:
            role: Role = ("flow", name)
            found[role] = call.new(call.batch, size)
            outputs[name] = found[role][None]
        else:
            role = ("after", name)
            planes.append(call.new(call.steps + 1, call.batch, size))
            outputs[name] = found[role] = planes[-1][1:]
        starts[lowered.where[role]] = call.before[name]
    call.run(lowered, found, starts, reverse=False)
    if plan.sight is not None:
        plan.sight.values.update({n: found[lowered.roles[lowered.where["named", n]]] for n in named})
    kept = [found[lowered.roles[lowered.where["kept", n]]] for n in derivative.kept] if keep else []
    return tuple(outputs[name] for name in graph.states), [
        *planes,
        *kept,
        *([projected] if keep and plan.reads_projection else []),
    ]


class _Call:
    """The tensors of one call by what they are, and the launch of a kernel on them."""

    def __init__(self, plan: Plan, tensors: Sequence[Tensor]) -> None:
        self.plan, self.tensors, self.at = plan, tensors, plan.at
        self.x = tensors[self.at.x]
        self.steps, self.batch = self.x.shape[:2]
        self.before = dict(zip(plan.cell.states, tensors[self.at.before], strict=True))
        self.inputs = dict(zip(plan.inputs, tensors[self.at.inputs], strict=True))
        learned = iter(tensors[self.at.weights])
        self.weights: dict[Node, Tensor | float] = {
            n: plan.numbers[n] if n in plan.numbers else next(learned) for n in plan.weights
        }
        self.matrices = dict(zip(plan.matrices, tensors[self.at.matrices], strict=True))
        self.parts = plan.cell.input[1].parts or ("",)
        self.width = self.x.shape[-1] if self.at.weight is None else tensors[self.at.weight].shape[0]
        self.hidden = self.width // len(self.parts)
        self.sizes = {"": 1, "1": 1, "H": self.hidden, **plan.cell.sizes}
        self.real = torch.float64 if self.x.dtype == torch.float64 else torch.float32

    def new(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor that a kernel fills."""
        return torch.empty(shape, dtype=dtype or self.x.dtype, device=self.x.device)

    def given(self) -> dict[Role, Any]:
        """What comes from outside."""
        found: dict[Role, Any] = {("input", n): v for n, v in self.inputs.items()}
        found |= {("weight", n): w for n, w in self.weights.items()}
        return found

    def projected(self) -> Tensor:
        """The projected input of all steps."""
        if self.at.weight is None:
            return self.x
        return F.linear(
            self.x, self.tensors[self.at.weight], None if self.at.bias is None else self.tensors[self.at.bias]
        )

    def parts_of(self, whole: Tensor, what: str) -> dict[Role, Tensor]:
        """A tensor whose last axis holds all parts, part by part."""
        return {(what, p): v for p, v in zip(self.parts, whole.chunk(len(self.parts), -1), strict=True)}

    def run(self, lowered: Lowered, found: dict[Role, Any], starts: Starts, *, reverse: bool) -> None:
        """Run a program; what is not found is made and added."""
        kinds = {b: kind for _, kind, b in (*lowered.inputs, *lowered.outputs)}
        strides: dict[tuple[int, int], int] = {}
        bound: list[tuple[torch.dtype, int] | float] = []
        pointers: list[int] = []
        held: list[Tensor] = []  # until the launch
        even = True

        def bind(tensor: Tensor) -> tuple[torch.dtype, int]:
            nonlocal even
            steps = tensor.stride()
            wide = bool(steps) and tensor.shape[-1] > 1  # one number a row is read alone
            if tensor.is_neg() or (wide and steps[-1] != 1):
                tensor = tensor.resolve_neg().contiguous()
                steps = tensor.stride()
            held.append(tensor)
            pointer = tensor.data_ptr()
            pointers.append(pointer)
            pair = steps[:2] if len(steps) == 3 else (0, steps[0] if len(steps) == 2 else 0)
            if wide and even:
                even = not (tensor.shape[-1] % 2 or pair[0] % 2 or pair[1] % 2 or pointer % (2 * tensor.itemsize))
            return tensor.dtype, strides.setdefault(pair, len(strides))

        for buffer, (role, letter) in enumerate(zip(lowered.roles, lowered.letter, strict=True)):
            if role not in found:
                found[role] = self._made(kinds[buffer], role[0], self.sizes[letter])
            value = found[role]
            if isinstance(value, float):
                bound.append(value)
                pointers.append(0)
            else:
                bound.append(bind(value))
        first = tuple((buffer, bind(v)) for buffer, v in starts.items())
        apart = independent_heads(lowered) > 1
        matrices = [self._whole(m, apart) for m in lowered.matrices]
        types = tuple(m.dtype for m in matrices)
        kernel = self._kernel(lowered, tuple(bound), first, types, reverse=reverse, even=even)
        tiles = -(-self.batch // kernel.share.tile)
        size = tiles * kernel.share.groups * kernel.exchange
        meeting = torch.zeros(size, dtype=torch.uint8, device=self.x.device) if size else None
        places = [number for pair in strides for number in pair]
        of_matrices = [word for m in matrices for word in (m.data_ptr(), m.stride(0))] or [0, 0]
        at = 0 if meeting is None else meeting.data_ptr()
        call = [self.steps, self.batch, 0, at, *places, *pointers, *of_matrices]
        kernels.run(kernel, call, tiles, self.x.device)

    def _kernel(
        self,
        lowered: Lowered,
        buffers: tuple[tuple[torch.dtype, int] | float, ...],
        starts: tuple[tuple[int, tuple[torch.dtype, int]], ...],
        matrices: tuple[torch.dtype, ...],
        *,
        reverse: bool,
        even: bool,
    ) -> Kernel:
        """The kernel for such buffers, made once."""
        key = (buffers, starts, matrices, self.x.dtype, even, self.hidden, self.batch, self.x.device)
        if key not in lowered.kernels:
            spec = Spec(
                TYPES[self.x.dtype],
                TYPES[self.real],
                tuple(b if isinstance(b, float) else Bound(TYPES[b[0]], b[1]) for b in buffers),
                tuple((buffer, Bound(TYPES[dtype], k)) for buffer, (dtype, k) in starts),
                tuple(TYPES[dtype] for dtype in matrices),
                reverse,
                even,
            )
            sizes = tuple(self.sizes[letter] for letter in lowered.letters)
            lowered.kernels[key] = choose(lowered, spec, sizes, self.batch, self.x.device)
        kernel: Kernel | None = lowered.kernels[key]
        if kernel is None:
            raise DoesNotFitError
        return kernel

    def _whole(self, blocks: tuple[Node, ...], apart: bool) -> Tensor:
        """A packed matrix, with zeros between its heads where these are no sweeps of their own."""
        matrix, heads = self.matrices[blocks], blocks[0].heads
        if heads > 1 and not apart:
            matrix = torch.cat([torch.block_diag(*block.chunk(heads)) for block in matrix.chunk(len(blocks))])  # type: ignore[no-untyped-call]
        return _dense(matrix)

    def _made(self, kind: str, what: str, size: int) -> Tensor:
        if kind in ("swing", "total"):
            return self.new(self.batch, size, dtype=self.real if what in ("dweight", "dbias") else None)
        return self.new(self.steps, self.batch, size)


def _dense(v: Tensor) -> Tensor:
    """A tensor whose last axis is contiguous, and whose memory holds its numbers as they are."""
    if v.is_neg():
        v = v.resolve_neg()
    return v if v.dim() == 0 or v.shape[-1] == 1 or v.stride(-1) == 1 else v.contiguous()


class _Backward:
    """The backward program in reverse time, and the products that gather what it leaves."""

    def __init__(
        self, call: _Call, wanted: Sequence[bool], saved: Sequence[Tensor], gradients: Sequence[Tensor | None]
    ) -> None:
        self.call, self.wanted, self.plan = call, wanted, call.plan
        derivative = self.derivative = call.plan.derivative
        self.states = call.plan.cell.graph(call.plan.variant).states
        count = len(self.states)
        self.planes = dict(zip(self.states, saved[:count], strict=True))
        kept = saved[count : count + len(derivative.kept)]
        came = {n: g for n, g in zip(self.states, gradients, strict=True) if g is not None}
        self.named = self.plan.graded(derivative.named)
        has_bias = call.at.bias is not None and wanted[call.at.bias]
        key = ("cuda backward", frozenset(came), self.named, has_bias)
        if key not in derivative.lowered:
            derivative.lowered[key] = lowering.backward(
                derivative, self.states, frozenset(came), self.named, call.parts, totals=True, biases=has_bias
            )
        self.lowered: Lowered = derivative.lowered[key]
        self.found: dict[Role, Any] = call.given()
        self.found |= {("kept", n): k for n, k in zip(derivative.kept, kept, strict=True)}
        self.found |= {("after", n): planes[:-1] for n, planes in self.planes.items()}
        self.found |= {("gradient", n): g for n, g in came.items()}
        if self.plan.reads_projection:
            self.found |= call.parts_of(saved[count + len(derivative.kept)], "x")
        self.result: list[Tensor | None] = [None] * len(call.tensors)

    def run(self) -> list[Tensor | None]:
        """The gradients in the order of the tensors."""
        call, at, where = self.call, self.call.at, self.lowered.where
        whole = all(("dx", p) in where for p in call.parts)
        make = torch.empty if whole else torch.zeros
        dx = make(call.steps, call.batch, call.width, dtype=call.x.dtype, device=call.x.device)
        self.found |= call.parts_of(dx, "dx")
        room = self._totals()
        for outer in self.derivative.outers:
            self._side_by_side([("outer", n) for n in outer.adjoints], [call.sizes[n.shape[0]] for n in outer.adjoints])
        call.run(self.lowered, self.found, {}, reverse=True)
        if self.plan.sight is not None:
            self.plan.sight.gradients.update({n: self._left(("dnamed", n)) for n in self.named})
        total = room.sum(0)
        self._projection(dx, total)
        for i, (name, before) in enumerate(call.before.items(), start=at.before.start):
            flow = ("flow", name)
            self.result[i] = self._left(flow) if flow in where else torch.zeros_like(before)
        for i, (name, tensor) in enumerate(call.inputs.items(), start=at.inputs.start):
            for role in (("dinput", name), ("dheld", name)):
                if tensor.is_floating_point() and role in where:
                    self.result[i] = self._left(role).expand_as(tensor).clone()
        self._small_weights(total)
        for outer in self.derivative.outers:
            self._outer(outer)
        return self.result

    def _left(self, role: Role) -> Tensor:
        found: Tensor = self.found[self.lowered.roles[self.lowered.where[role]]]
        return found

    def _totals(self) -> Tensor:
        """Room for the totals of every sequence, side by side, so that one sum over the batch is enough for all."""
        call, lowered = self.call, self.lowered
        kinds = ("dbias", "dweight")
        buffers = [b for _, kind, b in lowered.outputs if kind == "total" and lowered.roles[b][0] in kinds]
        sizes = {b: call.sizes[lowered.letter[b]] for b in buffers}
        # Those whose numbers are read and written two at a time first: all of them begin at an even place then.
        order = sorted(sizes, key=lambda b: sizes[b] % 2)
        width = sum(sizes.values())
        room = call.new(call.batch, width + width % 2, dtype=call.real)
        self.column: dict[int, tuple[int, int]] = {}
        at = 0
        for buffer in order:
            self.column[buffer] = at, at + sizes[buffer]
            self.found[lowered.roles[buffer]] = room[:, at : at + sizes[buffer]]
            at += sizes[buffer]
        return room

    def _gathered(self, total: Tensor, roles: Sequence[Role], size: int, dtype: torch.dtype) -> Tensor:
        """The sums over all sequences of some totals, one after the other; zero for one that there is not."""
        where = self.lowered.where
        columns = [self.column.get(where[r]) if r in where else None for r in roles]
        if columns[0] is not None and all(
            a is not None and b is not None and a[1] == b[0] for a, b in pairwise(columns)
        ):
            last = columns[-1]
            assert last is not None
            return total[columns[0][0] : last[1]].to(dtype)
        none = total.new_zeros(size)
        return torch.cat([none if c is None else total[c[0] : c[1]] for c in columns]).to(dtype)

    def _small_weights(self, total: Tensor) -> None:
        """Vectors' gradients: of parameters, whose parts the program has, and of what is computed from these."""
        plan, at, where = self.plan, self.call.at, self.lowered.where
        parts: dict[str, dict[str, Node]] = {}
        for i, node in enumerate(plan.learned, start=at.weights.start):
            if node.op == "parameter":
                parts.setdefault(node.key[0], {})[node.key[1]] = node
            elif ("dweight", node) in where and self.wanted[i]:
                tensor = self.call.tensors[i]
                begin, end = self.column[where["dweight", node]]
                self.result[i] = total[begin:end].expand(tensor.shape).to(tensor.dtype, copy=True)
        for i, name in enumerate(plan.parameters, start=at.parameters.start):
            if name in parts and self.wanted[i]:
                tensor = self.call.tensors[i]
                names = plan.cell.declarations[name].parts if name in plan.cell.declarations else ()
                order = [parts[name].get(part) for part in names or ("",)]
                size = tensor.numel() // len(order)
                roles = [("dweight", node) for node in order]
                self.result[i] = self._gathered(total, roles, size, tensor.dtype).view(tensor.shape)

    def _side_by_side(self, roles: Sequence[Role], sizes: Sequence[int]) -> None:
        """Room for results that one product reads: those that have none yet get theirs beside one another."""
        where, names = self.lowered.where, self.lowered.roles
        fresh = {where[r]: size for r, size in zip(roles, sizes, strict=True) if names[where[r]] not in self.found}
        if fresh:
            room = self.call.new(self.call.steps, self.call.batch, sum(fresh.values()))
            for buffer, v in zip(fresh, torch.split(room, list(fresh.values()), -1), strict=True):
                self.found[names[buffer]] = v

    def _projection(self, dx: Tensor, total: Tensor) -> None:
        call, at = self.call, self.call.at
        if at.weight is None:
            self.result[at.x] = dx
            return
        flat = dx.flatten(0, 1)
        if self.wanted[at.x]:
            self.result[at.x] = (flat @ call.tensors[at.weight]).view_as(call.x)
        if self.wanted[at.weight]:
            self.result[at.weight] = flat.mT @ call.x.flatten(0, 1)
        if at.bias is not None and self.wanted[at.bias]:
            roles = [("dbias", p) for p in call.parts]
            self.result[at.bias] = self._gathered(total, roles, call.hidden, call.x.dtype)

    def _outer(self, outer: Outer) -> None:
        """A packed matrix's gradient: all steps' adjoints transposed times all steps' operands."""
        place = self.call.at.matrices.start + self.plan.matrices.index(outer.blocks)
        if not self.wanted[place]:
            return
        heads = outer.blocks[0].heads
        adjoints, operand = [self._left(("outer", n)) for n in outer.adjoints], self._operand(outer.operand)
        if heads == 1:
            flat = operand.flatten(0, 1)
            shares = [v.flatten(0, 1).mT @ flat for v in _joined(adjoints)]
            share = shares[0] if len(shares) == 1 else torch.cat(shares)
        else:
            share = outer_product(adjoints, operand, heads)
        before = self.result[place]
        self.result[place] = share if before is None else before + share

    def _operand(self, node: Node) -> Tensor:
        """Of all steps: the states before them, a kept value, or what the backward program left."""
        for name, state in self.states.items():
            if node is state:
                return self.planes[name][:-1]
        return self.found["kept", node] if ("kept", node) in self.found else self._left(("outer", node))


def _joined(tensors: Sequence[Tensor]) -> list[Tensor]:
    """(T, B, size) tensors; those that lie side by side in memory as one."""
    found = [tensors[0]]
    for v in tensors[1:]:
        last = found[-1]
        if v.stride() == last.stride() and v.data_ptr() == last.data_ptr() + last.shape[-1] * last.element_size():
            found[-1] = last.as_strided((*last.shape[:-1], last.shape[-1] + v.shape[-1]), last.stride())
        else:
            found.append(v)
    return found

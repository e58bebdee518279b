"""The recurrence on a GPU: tensors to the buffers of a lowered program, forward and backward, one kernel each.

The projection of the input and the products that sum over all steps are torch's (cuBLAS); everything that goes from step to
step is in the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

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
MOST = 2**31  # numbers in a plane of one step: what a kernel counts with inside it has 32 bits


class Part(NamedTuple):
    """Some columns of a tensor whose last axis holds several buffers side by side."""

    whole: Tensor
    column: int
    size: int

    def view(self) -> Tensor:
        """As a tensor."""
        return self.whole[..., self.column : self.column + self.size]


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
        those before the first step (T + 1, B, size), the other kept values side by side, and the projected input if it is
        read.
    """
    call = _Call(plan, tensors)
    derivative, graph, keep = plan.derivative, plan.cell.graph(plan.variant), plan.keeps
    passing = frozenset() if keep else plan.passing
    named, lowered = _forward(plan, passing)
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
    record = call.room(lowered, found, [("kept", n) for n in derivative.kept]) if keep else None
    call.run(lowered, found, starts, reverse=False)
    if plan.sight is not None:
        plan.sight.values.update({n: _view(found[lowered.roles[lowered.where["named", n]]]) for n in named})
    saved = [*planes] if record is None else [*planes, record]
    return tuple(outputs[name] for name in graph.states), [
        *saved,
        *([projected] if keep and plan.reads_projection else []),
    ]


def _forward(plan: Plan, passing: frozenset[str]) -> tuple[tuple[str, ...], Lowered]:
    """The names that a trace wants, and the forward program, made once."""
    graph = plan.cell.graph(plan.variant)
    named = plan.watched(n for n, node in graph.named.items() if node.varies)
    key = ("forward", plan.keeps, passing, named)
    made = plan.derivative.lowered
    if key not in made:
        made[key] = lowering.forward(plan.derivative, graph.states, passing, named, keep=plan.keeps)
    return named, made[key]


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

    def parts_of(self, whole: Tensor, what: str) -> dict[Role, Part]:
        """A tensor whose last axis holds all parts, part by part."""
        return {(what, p): Part(whole, k * self.hidden, self.hidden) for k, p in enumerate(self.parts)}

    def room(self, lowered: Lowered, found: dict[Role, Any], roles: Sequence[Role], *, steps: bool = True) -> Tensor:
        """Room for these results, side by side, for those that have none yet; a number for each step and sequence, or
        for each sequence."""
        columns, width = self.columns(lowered, found, roles)
        whole = self.new(self.steps, self.batch, width) if steps else self.new(self.batch, width, dtype=self.real)
        found.update({role: Part(whole, column, size) for role, (column, size) in columns.items()})
        return whole

    def columns(
        self, lowered: Lowered, found: Mapping[Role, Any], roles: Sequence[Role]
    ) -> tuple[dict[Role, tuple[int, int]], int]:
        """Where such results lie side by side, those that lie nowhere yet, and how many columns these are."""
        buffers = dict.fromkeys(lowered.where[r] for r in roles)
        sizes = {lowered.roles[b]: self.sizes[lowered.letter[b]] for b in buffers}
        fresh = {role: size for role, size in sizes.items() if role not in found}
        placed, column = {}, 0
        # Those whose numbers are read and written two at a time first: all of them begin at an even place then.
        for role, size in sorted(fresh.items(), key=lambda item: item[1] % 2):
            placed[role] = column, size
            column += size
        return placed, column + column % 2

    def run(self, lowered: Lowered, found: dict[Role, Any], starts: dict[int, Tensor], *, reverse: bool) -> None:
        """Run a program; what is not found is made and added."""
        kinds, apart = _facts(lowered)
        strides: dict[tuple[int, int], int] = {}
        bound: list[tuple[torch.dtype, int] | float] = []
        pointers: list[int] = []
        known: dict[int, tuple[tuple[torch.dtype, int], int, int, bool]] = {}
        held: list[Tensor] = []  # until the launch
        even = True

        def bind(value: Tensor | Part) -> tuple[torch.dtype, int]:
            nonlocal even
            tensor, column, size = value if isinstance(value, Part) else (value, 0, -1)
            if id(tensor) not in known:
                dense = _dense(tensor)
                held.append(dense)
                steps, pointer, each = dense.stride(), dense.data_ptr(), dense.itemsize
                pair = steps[:2] if len(steps) == 3 else (0, steps[0] if len(steps) == 2 else 0)
                paired = not (pair[0] % 2 or pair[1] % 2 or pointer % (2 * each))
                known[id(tensor)] = (dense.dtype, strides.setdefault(pair, len(strides))), pointer, each, paired
            found, pointer, each, paired = known[id(tensor)]
            pointers.append(pointer + column * each)
            if even:
                if size < 0:
                    size = tensor.shape[-1] if tensor.dim() else 1
                even = size == 1 or (paired and size % 2 == 0 and column % 2 == 0)  # one number a row is read alone
            return found

        for buffer, (role, letter) in enumerate(zip(lowered.roles, lowered.letter, strict=True)):
            value = found.get(role)
            if value is None:
                value = found[role] = self._made(kinds[buffer], self.sizes[letter])
            if isinstance(value, float):
                bound.append(value)
                pointers.append(0)
            else:
                bound.append(bind(value))
        first = tuple((buffer, bind(v)) for buffer, v in starts.items())
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

    def _made(self, kind: str, size: int) -> Tensor:
        return self.new(self.batch, size) if kind in ("swing", "total") else self.new(self.steps, self.batch, size)


def _facts(lowered: Lowered) -> tuple[dict[int, str], bool]:
    """How each buffer goes with time, and whether heads are sweeps of their own."""
    if "facts" not in lowered.kernels:
        kinds = {b: kind for _, kind, b in (*lowered.inputs, *lowered.outputs)}
        lowered.kernels["facts"] = kinds, independent_heads(lowered) > 1
    facts: tuple[dict[int, str], bool] = lowered.kernels["facts"]
    return facts


def _view(value: Tensor | Part) -> Tensor:
    return value.view() if isinstance(value, Part) else value


def _dense(v: Tensor) -> Tensor:
    """A tensor whose last axis is contiguous, whose rows are near enough, and whose memory holds its numbers as they are."""
    if v.is_neg():
        v = v.resolve_neg()
    if v.dim() > 1 and v.shape[-2] * v.stride(-2) >= MOST:
        return v.contiguous()
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
        record = saved[count]
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
        self.found |= self._kept(record)
        self.found |= {("after", n): planes[:-1] for n, planes in self.planes.items()}
        self.found |= {("gradient", n): g for n, g in came.items()}
        if self.plan.reads_projection:
            self.found |= call.parts_of(saved[count + 1], "x")
        self.result: list[Tensor | None] = [None] * len(call.tensors)

    def run(self) -> list[Tensor | None]:
        """The gradients in the order of the tensors."""
        call, at, where = self.call, self.call.at, self.lowered.where
        whole = all(("dx", p) in where for p in call.parts)
        make = torch.empty if whole else torch.zeros
        dx = make(call.steps, call.batch, call.width, dtype=call.x.dtype, device=call.x.device)
        self.found |= call.parts_of(dx, "dx")
        of_weights = [r for r in where if r[0] in ("dbias", "dweight")]
        room = call.room(self.lowered, self.found, of_weights, steps=False)
        for outer in self.derivative.outers:
            call.room(self.lowered, self.found, [("outer", n) for n in outer.adjoints])
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

    def _kept(self, record: Tensor) -> dict[Role, Any]:
        """Where the forward pass left the values that it kept: those of new states among the states, the others aside."""
        _, forward = _forward(self.plan, frozenset())
        found: dict[Role, Any] = {("after", n): planes[1:] for n, planes in self.planes.items()}
        roles: list[Role] = [("kept", n) for n in self.derivative.kept]
        aside, _ = self.call.columns(forward, found, roles)
        found.update({role: Part(record, *place) for role, place in aside.items()})
        return {role: found[forward.roles[forward.where[role]]] for role in roles}

    def _left(self, role: Role) -> Tensor:
        return _view(self.found[self.lowered.roles[self.lowered.where[role]]])

    def _columns(self, role: Role) -> tuple[int, int]:
        """Of a weight's total among all totals."""
        part = self.found[self.lowered.roles[self.lowered.where[role]]]
        return part.column, part.column + part.size

    def _gathered(self, total: Tensor, roles: Sequence[Role], size: int, dtype: torch.dtype) -> Tensor:
        """The sums over all sequences of some totals, one after the other; zero for one that there is not."""
        where = self.lowered.where
        columns = [self._columns(r) if r in where else None for r in roles]
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
                begin, end = self._columns(("dweight", node))
                self.result[i] = total[begin:end].expand(tensor.shape).to(tensor.dtype, copy=True)
        for i, name in enumerate(plan.parameters, start=at.parameters.start):
            if name in parts and self.wanted[i]:
                tensor = self.call.tensors[i]
                names = plan.cell.declarations[name].parts if name in plan.cell.declarations else ()
                order = [parts[name].get(part) for part in names or ("",)]
                size = tensor.numel() // len(order)
                roles = [("dweight", node) for node in order]
                self.result[i] = self._gathered(total, roles, size, tensor.dtype).view(tensor.shape)

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
        operand = self._operand(outer.operand)
        adjoints = [self.found[self.lowered.roles[self.lowered.where["outer", n]]] for n in outer.adjoints]
        if heads == 1:
            flat = operand.flatten(0, 1)
            shares = [v.flatten(0, 1).mT @ flat for v in _joined(adjoints)]
            share = shares[0] if len(shares) == 1 else torch.cat(shares)
        else:
            share = outer_product([_view(v) for v in adjoints], operand, heads)
        before = self.result[place]
        self.result[place] = share if before is None else before + share

    def _operand(self, node: Node) -> Tensor:
        """Of all steps: the states before them, a kept value, or what the backward program left."""
        for name, state in self.states.items():
            if node is state:
                return self.planes[name][:-1]
        return _view(self.found["kept", node]) if ("kept", node) in self.found else self._left(("outer", node))


def _joined(values: Sequence[Tensor | Part]) -> list[Tensor]:
    """(T, B, size) tensors; those that lie side by side as one."""
    found: list[Tensor | Part] = []
    for v in values:
        last = found[-1] if found else None
        if (
            isinstance(v, Part)
            and isinstance(last, Part)
            and v.whole is last.whole
            and v.column == last.column + last.size
        ):
            found[-1] = Part(v.whole, last.column, last.size + v.size)
        else:
            found.append(v)
    return [_view(v) for v in found]

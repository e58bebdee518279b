"""The recurrence on the native engine: tensors to the ports of a lowered program, forward and backward.

The projection of the input, and in the backward pass the products that sum over all steps, belong to the same run: the
engine works on a block of steps at a time, so what lies between them (a *window*) stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from pellucid.cells.derivative import Outer
from pellucid.cells.graph import Node
from pellucid.ops import lowering
from pellucid.ops.lowering import Lowered, Role
from pellucid.ops.plan import Plan
from pellucid.ops.saved import saved_by, to_save
from pellucid.ops.transforms import wrapped


class Engine(torch.autograd.Function):
    """The sweep over time and its reverse; the programs in it are derived, none is written by hand."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, *tensors: Tensor) -> tuple[Tensor, ...]:
        """All states after all steps; ``tensors`` in the plan's order."""
        ctx.set_materialize_grads(False)
        outputs, kept = run_forward(plan, tensors)
        ctx.plan, ctx.count = plan, len(tensors)
        ctx.save_for_backward(*tensors, *to_save(outputs, (*outputs, *kept)))
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients of all tensors."""
        plan: Plan = ctx.plan
        states, saved = len(plan.cell.states), saved_by(ctx, ctx.count)
        tensors, rest = saved[: ctx.count], saved[ctx.count :]
        if not rest:
            after, more = run_forward(plan, tensors)
            rest = (*after, *more)
        after_kept = states + len(plan.derivative.kept)
        outputs, kept, projected = rest[:states], rest[states:after_kept], rest[after_kept:]
        if torch.is_grad_enabled() or any([wrapped(g) for g in gradients]):
            return (None, *plan.differentiable_backward(tensors, outputs, gradients))
        backward = _Backward(Call(plan, tensors), ctx.needs_input_grad[1:], outputs, kept, projected, gradients)
        return (None, *backward.run())


def run_forward(plan: Plan, tensors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], list[Tensor]]:
    """All states after all steps, and what the backward pass reads besides; ``tensors`` in the plan's order."""
    call = Call(plan, tensors)
    derivative, graph, keep = plan.derivative, plan.cell.graph(plan.variant), plan.keeps
    named, in_outputs = plan.computed(), plan.seen_in_outputs()
    passing = frozenset() if keep else plan.passing.difference(in_outputs)
    key = ("forward", keep, passing, named)
    if key not in derivative.lowered:
        derivative.lowered[key] = lowering.forward(derivative, graph.states, passing, named, keep=keep)
    program: Lowered = derivative.lowered[key]
    outputs = {}
    found = call.given()
    for name, state in graph.states.items():
        size = call.sizes[state.shape[0]]
        if name in passing:
            flow = found["flow", name] = call.x.new_empty(2, call.batch, size)
            flow[0] = call.before[name]
        else:
            outputs[name] = found["after", name] = call.x.new_empty(*call.rows, size)
    projected = project(call, program, found, keep=keep and plan.reads_projection)
    call.execute(program, found)
    outputs |= {name: call.last_plane(found["flow", name]) for name in passing}
    if plan.sight is not None:
        plan.sight.values.update({n: found[program.roles[program.where["named", n]]] for n in named})
        plan.sight.values.update({n: outputs[n] for n in in_outputs})
    kept = [found[program.roles[program.where["kept", n]]] for n in derivative.kept] if keep else []
    return tuple(outputs[name] for name in graph.states), [*kept, *projected]


class Call:
    """The tensors of one call by what they are, and what the engine is told besides its buffers."""

    def __init__(self, plan: Plan, tensors: Sequence[Tensor]) -> None:
        self.plan, self.tensors = plan, tensors
        at = self.at = plan.at
        self.x = tensors[at.x]
        self.rows = self.x.shape[:-1]  # (T, B), or (N,) of a ragged batch
        self.steps, self.batch = self.rows if plan.ragged is None else plan.ragged.size
        self.before = dict(zip(plan.cell.states, tensors[at.before], strict=True))
        self.inputs = dict(zip(plan.inputs, tensors[at.inputs], strict=True))
        given = iter(tensors[at.weights])
        self.weights: dict[Node, Tensor] = {
            n: _number(plan.numbers[n], self.x.dtype) if n in plan.numbers else next(given) for n in plan.weights
        }
        self.matrices = dict(zip(plan.matrices, tensors[at.matrices], strict=True))
        self.parts = plan.cell.input[1].parts or ("",)
        self.width = self.x.shape[-1] if at.weight is None else tensors[at.weight].shape[0]
        self.hidden = self.width // len(self.parts)
        self.sizes = {"": 1, "1": 1, "H": self.hidden, **plan.cell.sizes}
        self.windows: list[tuple[Tensor | None, list[tuple[int, int]], int]] = []
        self.projections: list[Any] = []
        self.input_gradients: list[Any] = []
        self.weight_gradients: list[Any] = []
        self.bias_gradients: list[Any] = []

    def given(self) -> dict[Role, Tensor]:
        """What comes from outside."""
        found: dict[Role, Tensor] = {("input", n): _dense(v.to(self.x.dtype)) for n, v in self.inputs.items()}
        found |= {("weight", n): _dense(w) for n, w in self.weights.items()}
        return found

    def execute(self, lowered: Lowered, found: dict[Role, Tensor], *, reverse: bool = False) -> None:
        """Run the program; what is neither found nor in a window is made and added."""
        first = [None if name is None else _dense(self.before[name]) for name in lowered.starts]
        lowered.program.run(
            self.steps,
            self.batch,
            [] if self.plan.ragged is None else self.plan.ragged.starts,
            self.sizes_of(lowered),
            reverse,
            self.buffers(lowered, found),
            first,
            self.matrices_of(lowered),
            self.windows,
            self.projections,
            self.input_gradients,
            self.weight_gradients,
            self.bias_gradients,
            self.x.dtype == torch.float64,
            torch.get_num_threads(),
            self.plan.half,
        )

    def buffers(self, lowered: Lowered, found: dict[Role, Tensor]) -> list[Tensor | None]:
        """What the program's ports read and write; what is neither found nor in a window is made and added."""
        in_window = {buffer for _, columns, _ in self.windows for buffer, _ in columns}
        for i, (role, letter) in enumerate(zip(lowered.roles, lowered.letter, strict=True)):
            if i not in in_window and role not in found:
                found[role] = self._made(role[0], letter)
        return [None if i in in_window else found[role] for i, role in enumerate(lowered.roles)]

    def sizes_of(self, lowered: Lowered) -> list[int]:
        """Of the program's size letters."""
        return [self.sizes[letter] for letter in lowered.letters]

    def matrices_of(self, lowered: Lowered) -> list[Tensor]:
        """Of the program's products."""
        return [_dense(self.matrices[m]) for m in lowered.matrices]

    def _made(self, what: str, letter: str) -> Tensor:
        size = self.sizes[letter]
        if what == "flow":
            return self.x.new_zeros(2, self.batch, size)
        if what in ("dheld", "dweight"):
            return self.x.new_zeros(self.batch, size)
        return self.x.new_empty(*self.rows, size)

    def last_plane(self, flow: Tensor) -> Tensor:
        """(1, B, size): what the last step of each sequence left, of (2, B, size); a step reads one plane and writes the other."""
        if self.plan.ragged is None:
            return flow.narrow(0, self.steps & 1, 1)
        lengths = self.plan.ragged.lengths
        return flow[lengths & 1, torch.arange(len(lengths))][None]

    def window(self, columns: dict[int, int], width: int, tensor: Tensor | None = None) -> int:
        """A window that holds these buffers, each from its column on."""
        self.windows.append((tensor, list(columns.items()), width))
        return len(self.windows) - 1


def project(call: Call, lowered: Lowered, found: dict[Role, Tensor], *, keep: bool) -> list[Tensor]:
    """The projected input: as it was given, or from a window that the engine fills before each block of steps.

    Returns:
        The projection of all steps, if it is to be kept.
    """
    if call.at.weight is None:
        found.update({("x", p): v for p, v in zip(call.parts, _dense(call.x).chunk(len(call.parts), -1), strict=True)})
        return []
    columns = {
        lowered.where["x", part]: i * call.hidden for i, part in enumerate(call.parts) if ("x", part) in lowered.where
    }
    whole = call.x.new_empty(*call.rows, call.width) if keep else None
    window = call.window(columns, call.width, whole)
    weight = call.tensors[call.at.weight]
    bias = None if call.at.bias is None else _dense(call.tensors[call.at.bias])
    call.projections.append((window, _even(call.x), _dense(weight), bias))
    return [] if whole is None else [whole]


@cache
def _number(value: float, dtype: torch.dtype) -> Tensor:
    """A weight that is a plain number, and the same in every call."""
    return torch.tensor([value], dtype=dtype, device="cpu")


def _dense(v: Tensor) -> Tensor:
    """A tensor whose last axis is contiguous, and whose memory holds its numbers as they are."""
    if v.is_neg():  # a view of minus what lies in memory, such as the imaginary part of a conjugate
        v = v.resolve_neg()
    return v if v.is_contiguous() or (v.stride(-1) == 1 and v.shape[-1] != 1) else v.contiguous()


def _even(v: Tensor) -> Tensor:
    """(T, B, size) or (N, size) with contiguous last axis and all rows evenly apart."""
    v = _dense(v)
    return v if v.dim() == 2 or v.stride(0) == v.shape[1] * v.stride(1) else v.contiguous()


class _Backward:
    """The backward program in reverse time, and the products that gather what it leaves."""

    def __init__(
        self,
        call: Call,
        wanted: Sequence[bool],
        outputs: Sequence[Tensor],
        kept: Sequence[Tensor],
        projected: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
    ) -> None:
        self.call, self.wanted, self.plan = call, wanted, call.plan
        self.derivative = call.plan.derivative
        self.states = call.plan.cell.graph(call.plan.variant).states
        self.outputs = dict(zip(self.states, outputs, strict=True))
        came = {n: g for n, g in zip(self.states, gradients, strict=True) if g is not None}
        self.named = self.plan.graded(self.derivative.named)
        key = ("backward", frozenset(came), self.named)
        if key not in self.derivative.lowered:
            self.derivative.lowered[key] = lowering.backward(
                self.derivative, self.states, frozenset(came), self.named, call.parts
            )
        self.lowered: Lowered = self.derivative.lowered[key]
        self.found = call.given()
        self.found |= {("kept", n): k for n, k in zip(self.derivative.kept, kept, strict=True)}
        self.found |= {("after", n): o for n, o in self.outputs.items()}
        self.found |= {("gradient", n): _dense(g) for n, g in came.items()}
        x = projected[0] if projected else _dense(call.x)
        if call.at.weight is None or projected:
            self.found |= {("x", p): v for p, v in zip(call.parts, x.chunk(len(call.parts), -1), strict=True)}
        self.place: dict[int, tuple[int, int]] = {}  # window and column of a buffer
        self.seen = {b for role, b in self.lowered.where.items() if role[0] in ("dinput", "dnamed")}
        self.result: list[Tensor | None] = [None] * len(call.tensors)

    def run(self) -> list[Tensor | None]:
        """The gradients in the order of the tensors."""
        call, at = self.call, self.call.at
        self._input()
        self._small_weights()
        for outer in self.derivative.outers:
            self._outer(outer)
        call.execute(self.lowered, self.found, reverse=True)
        if self.plan.sight is not None:
            self.plan.sight.gradients.update({n: self._left(("dnamed", n)) for n in self.named})
        last = call.steps & 1
        for i, (name, before) in enumerate(call.before.items(), start=at.before.start):
            flow = ("flow", name)
            self.result[i] = self._left(flow)[last] if flow in self.lowered.where else torch.zeros_like(before)
        for i, (name, tensor) in enumerate(call.inputs.items(), start=at.inputs.start):
            if not tensor.is_floating_point():
                continue
            for role in (("dinput", name), ("dheld", name)):
                if role in self.lowered.where:
                    self.result[i] = self._left(role).expand_as(tensor).clone()
        for place, node in self._vectors():
            each, shape = self.result[place], call.tensors[place].shape
            if each is None:  # every sequence left its share
                each = self._left(("dweight", node)).sum(0)
            self.result[place] = each if each.shape == shape else each.expand(shape).clone()
        return self.result

    def _left(self, role: Role) -> Tensor:
        return self.found[self.lowered.roles[self.lowered.where[role]]]

    def _window(self, buffers: dict[int, int], width: int) -> int:
        """A window; a whole tensor if a person, too, wants to see what lies in it."""
        whole = None
        if seen := self.seen & set(buffers):
            whole = self.call.x.new_zeros(*self.call.rows, width)
            for buffer in seen:
                size, column = self.call.sizes[self.lowered.letter[buffer]], buffers[buffer]
                self.found[self.lowered.roles[buffer]] = whole[..., column : column + size]
        window = self.call.window(buffers, width, whole)
        self.place.update({buffer: (window, column) for buffer, column in buffers.items()})
        return window

    def _input(self) -> None:
        """The adjoint of the projected input: in a window, from which the gradients of x, W and b are gathered."""
        call, at = self.call, self.call.at
        columns = {
            self.lowered.where["dx", part]: i * call.hidden
            for i, part in enumerate(call.parts)
            if ("dx", part) in self.lowered.where
        }
        if at.weight is None:
            dx = call.x.new_zeros(call.x.shape)
            window = call.window(columns, call.width, dx)
            self.place.update({buffer: (window, column) for buffer, column in columns.items()})
            for buffer, column in columns.items():
                self.found[self.lowered.roles[buffer]] = dx[..., column : column + call.hidden]
            self.result[at.x] = dx
        else:
            window = self._window(columns, call.width)
            weight = call.tensors[at.weight]
            if self.wanted[at.x]:
                dx = torch.empty_like(call.x, memory_format=torch.contiguous_format)
                call.input_gradients.append((window, dx, _dense(weight)))
                self.result[at.x] = dx
            if self.wanted[at.weight]:
                dw = torch.zeros_like(weight, memory_format=torch.contiguous_format)
                call.weight_gradients.append((window, 0, dw, _even(call.x), None, -1, 0))
                self.result[at.weight] = dw
            if at.bias is not None and self.wanted[at.bias]:
                self.result[at.bias] = call.x.new_zeros(call.width)
                call.bias_gradients.append((window, 0, self.result[at.bias]))

    def _small_weights(self) -> None:
        """Vectors' gradients: sums over steps and sequences of what each leaves in the window of the input."""
        for place, node in self._vectors():
            window, column = self.place.get(self.lowered.where["dweight", node], (-1, 0))
            if window >= 0:
                total = self.call.x.new_zeros(self.call.sizes[(node.shape or ("1",))[0]])
                self.call.bias_gradients.append((window, column, total))
                self.result[place] = total

    def _vectors(self) -> list[tuple[int, Node]]:
        """The weights that have a gradient and want it, by their place among the tensors."""
        learned = (n for n in self.plan.weights if n not in self.plan.numbers)
        numbered = enumerate(learned, start=self.call.at.weights.start)
        return [(i, n) for i, n in numbered if ("dweight", n) in self.lowered.where and self.wanted[i]]

    def _outer(self, outer: Outer) -> None:
        """A packed matrix's gradient: all steps' adjoints transposed times all steps' operands."""
        call = self.call
        position = call.at.matrices.start + self.plan.matrices.index(outer.blocks)
        if not self.wanted[position]:
            return
        heads = outer.blocks[0].heads
        total = self.result[position]
        if total is None:
            total = self.result[position] = torch.zeros_like(
                call.tensors[position], memory_format=torch.contiguous_format
            )
        operand, initial, operand_window, operand_column = self._operand(outer.operand)
        row = 0
        for window, column, size in self._adjoints(outer.adjoints, heads):
            rows, columns = size // heads, total.shape[1]
            for head in range(heads):
                block = total[row + head * rows : row + (head + 1) * rows]
                call.weight_gradients.append(
                    (
                        window,
                        column + head * rows,
                        block,
                        operand,
                        initial,
                        operand_window,
                        operand_column + head * columns,
                    )
                )
            row += size

    def _operand(self, node: Node) -> tuple[Tensor | None, Tensor | None, int, int]:
        """Where an operand lies: a tensor, the state before the first step, a window, a column of it."""
        for name, state in self.states.items():
            if node is state:
                return self.outputs[name], _dense(self.call.before[name]), -1, 0
        if ("kept", node) in self.found:
            return self.found["kept", node], None, -1, 0
        return None, None, *self._placed([node])[0][:2]

    def _adjoints(self, nodes: Sequence[Node], heads: int) -> list[tuple[int, int, int]]:
        """Windows and columns of adjoints; those that lie side by side are taken together."""
        together: list[tuple[int, int, int]] = []
        for window, column, size in self._placed(nodes):
            last = together[-1] if together else None
            if last is not None and heads == 1 and last[0] == window and last[1] + last[2] == column:
                together[-1] = (window, last[1], last[2] + size)
            else:
                together.append((window, column, size))
        return together

    def _placed(self, nodes: Sequence[Node]) -> list[tuple[int, int, int]]:
        """Window, column and size of each; those that are in no window yet get one, side by side."""
        sizes = [self.call.sizes[n.shape[0]] for n in nodes]
        buffers = [self.lowered.where["outer", n] for n in nodes]
        fresh: dict[int, int] = {}
        width = 0
        for buffer, size in zip(buffers, sizes, strict=True):
            if buffer not in self.place and buffer not in fresh:
                fresh[buffer] = width
                width += size
        if fresh:
            self._window(fresh, width)
        return [(*self.place[b], size) for b, size in zip(buffers, sizes, strict=True)]

"""From a derived program to one that an engine executes: registers, phases, and a buffer for each port.

A *role* says what a buffer is, so that whoever runs the program can bring the right tensor; see :func:`forward` and
:func:`backward` for the roles that each of them uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pellucid.cells.derivative import Derivative
from pellucid.cells.graph import Node
from pellucid.cells.program import Pointwise, Product, Program, Reduce, TransposedProduct
from pellucid.ops.native import _native

Role = tuple[Any, ...]


Port = tuple[int, str, int]  # a register, how its buffer goes with time, and the buffer
Multiply = tuple[int, int, bool, list[int], list[int]]  # matrix, heads, whether transposed, sources, destinations
Phase = tuple[list[Multiply], list[tuple[int, int]], list[tuple[str, int, list[int]]]]


@dataclass(frozen=True)
class Lowered:
    """A program for an engine.

    Attributes:
        sizes: the size letter of each register, by its index.
        inputs, outputs: the ports. How a buffer goes with time: ``"step"``, a row for each step; ``"shifted"``, the row of
            the step before; ``"swing"``, two planes in turn; ``"held"``, the same at every step; ``"total"``, summed over them.
        phases: products; sums over units, each a destination and a source; and instructions. One kind a phase.
        letters: the size letters, by the index that the engine knows them by (0 is a number, 1 is ``"1"``).
        roles: for each buffer what it is; where one buffer serves several roles, the first.
        where: the buffer of each role.
        letter: the size letter of each buffer ("" for a number).
        matrices: the packed matrices, by their blocks of rows.
        starts: for each buffer the state that it holds after all steps, whose first step is read from elsewhere.
        kernels: what engines made of the program, kept here so that it is made once.
    """

    sizes: tuple[int, ...]
    inputs: tuple[Port, ...]
    phases: tuple[Phase, ...]
    outputs: tuple[Port, ...]
    letters: tuple[str, ...]
    roles: tuple[Role, ...]
    where: dict[Role, int]
    letter: tuple[str, ...]
    matrices: tuple[tuple[Node, ...], ...]
    starts: tuple[str | None, ...]
    kernels: dict[object, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def program(self) -> _native.Program:
        """What the native engine executes."""
        return _native.Program(
            list(self.sizes),
            len(self.letters),
            len(self.roles),
            len(self.matrices),
            list(self.inputs),
            list(self.phases),
            list(self.outputs),
        )


class _Builder:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.letters = ["", "1"]
        self.sizes = [self.index(node) for node in program.registers]
        self.inputs: list[tuple[int, str, int]] = []
        self.outputs: list[tuple[int, str, int]] = []
        self.given = set(program.inputs)
        self.first: list[tuple[str, int, list[int]]] = []
        self.last: list[tuple[str, int, list[int]]] = []
        self.roles: list[Role] = []
        self.where: dict[Role, int] = {}
        self.letter: list[str] = []
        self.steps: dict[int, int] = {}
        self.totals: dict[int, int] = {}

    def index(self, node: Node) -> int:
        (letter,) = node.shape or ("",)
        if letter not in self.letters:
            self.letters.append(letter)
        return self.letters.index(letter)

    def register(self, size: int) -> int:
        self.sizes.append(size)
        return len(self.sizes) - 1

    def buffer(self, role: Role, register: int) -> int:
        self.roles.append(role)
        self.letter.append(self.letters[self.sizes[register]])
        self.where[role] = len(self.roles) - 1
        return len(self.roles) - 1

    def input(self, role: Role, register: int, kind: str, buffer: int | None = None) -> None:
        place = self.buffer(role, register) if buffer is None else buffer
        self.inputs.append((register, kind, place))

    def output(self, role: Role, register: int, kind: str, *, own: bool = False, buffer: int | None = None) -> None:
        """Leave a computed register in a buffer; what several roles want is written once, unless it must be own."""
        written = self.steps if kind == "step" else self.totals if kind == "total" else {}
        if register in written and not own:
            self.where[role] = written[register]
            return
        place = self.buffer(role, register) if buffer is None else buffer
        self.where[role] = place
        self.outputs.append((register, kind, place))
        written.setdefault(register, place)

    def computed(self, register: int, letter: str) -> int:
        """A register that the program computes, of the size asked for: itself, or a copy of it."""
        size = self.letters.index(letter)
        if register not in self.given and self.sizes[register] == size:
            return register
        copy = self.register(size)
        self.last.append(("copy", copy, [register]))
        return copy

    def finish(self) -> Lowered:
        phases: list[Phase] = [([], [], self.first)] if self.first else []
        for phase in self.program.phases:
            match phase:
                case Product(matrix, source, destinations):
                    heads = self.program.matrices[matrix][0].heads
                    phases.append(([(matrix, heads, False, [source], list(destinations))], [], []))
                case TransposedProduct(matrix, sources, destination):
                    heads = self.program.matrices[matrix][0].heads
                    phases.append(([(matrix, heads, True, list(sources), [destination])], [], []))
                case Reduce(instructions):
                    phases.append(([], [(i.destination, i.sources[0]) for i in instructions], []))
                case Pointwise(instructions):
                    ops = [("copy" if i.op == "expand" else i.op, i.destination, list(i.sources)) for i in instructions]
                    phases.append(([], [], ops))
        if self.last:
            phases.append(([], [], self.last))
        return Lowered(
            tuple(self.sizes),
            tuple(self.inputs),
            tuple(phases),
            tuple(self.outputs),
            tuple(self.letters),
            tuple(self.roles),
            self.where,
            tuple(self.letter),
            self.program.matrices,
            tuple(what[0] if kind == "after" else None for kind, *what in self.roles),
        )


def _leaf(build: _Builder, register: int, node: Node) -> None:
    """An input that is the same in forward and backward programs."""
    if node.op == "projection":
        build.input(("x", node.key), register, "step")
    elif node.op == "step_input":
        build.input(("input", node.key), register, "step")
    elif node.op == "held":
        build.input(("input", node.key), register, "held")
    else:
        build.input(("weight", node), register, "held")


def forward(
    derivative: Derivative, states: dict[str, Node], passing: frozenset[str], watched: Iterable[str], *, keep: bool
) -> Lowered:
    """A step forward.

    Roles: ``("x", part)``, ``("input", name)``, ``("weight", node)`` are given; ``("after", state)``, ``("kept", node)``
    and ``("named", name)`` are left. A state's buffer holds all its steps, and is where the next step finds it; those of
    which only the last step is wanted are ``passing``, and ``("flow", state)`` holds two steps of them in turn.
    """
    program = derivative.forward
    build = _Builder(program)
    for name, state in states.items():
        letter = state.shape[0]
        if letter not in build.letters:
            build.letters.append(letter)
        register = build.computed(program.outputs[f"after {name}"], letter)
        if any(register == other for other, _, _ in build.outputs):  # two states with one value
            build.given.add(register)
            register = build.computed(register, letter)
        if name in passing:
            build.output(("flow", name), register, "swing")
        else:
            build.output(("after", name), register, "step")
    by_node = {node: name for name, node in states.items()}
    for register in program.inputs:
        node = program.registers[register]
        if node.op == "state" and by_node[node] in passing:
            build.input(("before", node.key), register, "swing", build.where["flow", by_node[node]])
        elif node.op == "state":
            build.input(("before", node.key), register, "shifted", build.where["after", by_node[node]])
        else:
            _leaf(build, register, node)
    if keep:
        for node in derivative.kept:
            build.output(("kept", node), program.outputs[f"#{node.index}"], "step")
    for name in watched:
        build.output(("named", name), program.outputs[name], "step")
    return build.finish()


def backward(
    derivative: Derivative,
    states: dict[str, Node],
    arriving: frozenset[str],
    watched: Iterable[str],
    parts: tuple[str, ...],
    *,
    totals: bool = False,
    biases: bool = False,
) -> Lowered:
    """A step of the backward pass.

    Args:
        derivative: what is lowered.
        states: by name.
        arriving: the states whose every step has a gradient from outside.
        watched: names whose gradients are wanted.
        parts: of the projected input.
        totals: whether every weight's gradient is summed by the program, also that of one that stands in the adjoint of
            the projected input, where whoever runs it may sum it over all steps afterwards.
        biases: whether the sums of the adjoints of the projected input are wanted, too: ``("dbias", part)``.

    Roles given: those of :func:`forward`, ``("kept", node)``, ``("after", state)`` (all steps, read at the step before),
    ``("gradient", state)``. Roles left: ``("flow", state)`` (two planes; the last one written is the gradient of the state
    before the first step), ``("dx", part)``, ``("dinput", name)``, ``("dheld", name)``, ``("dweight", node)`` (one for each
    sequence), ``("outer", node)`` (the adjoint of a block, or an operand, for the product over all steps), ``("dnamed", name)``.
    """
    program = derivative.backward
    build = _Builder(program)
    incoming = {node: name for name, node in derivative.incoming.items()}
    for name, node in derivative.incoming.items():
        build.index(node)
        flow = ("flow", name)
        if node not in program.registers:
            continue
        register = program.registers.index(node)
        if name in arriving:
            size = build.sizes[register]
            came, gradient = build.register(size), build.register(size)
            build.input(flow, came, "swing")
            build.input(("gradient", name), gradient, "step")
            build.given |= {came, gradient}
            build.given.discard(register)
            build.first.append(("add", register, [came, gradient]))
        else:
            build.input(flow, register, "swing")
    for register in program.inputs:
        node = program.registers[register]
        if node in incoming:
            continue
        if node in derivative.kept:
            build.input(("kept", node), register, "step")
        elif node.op == "state":
            build.input(("after", node.key), register, "shifted")
        else:
            _leaf(build, register, node)
    in_dx: set[int] = set()
    for leaf, adjoint in sorted(derivative.adjoints.items(), key=lambda item: item[0].op != "projection"):
        in_dx = {build.where["dx", part] for part in parts if ("dx", part) in build.where}
        (letter,) = adjoint.shape or ("",)
        register = program.outputs[f"#{adjoint.index}"]
        if leaf.op == "projection":
            adjoint_register = build.computed(register, "H")
            build.output(("dx", leaf.key), adjoint_register, "step", own=True)
            if biases:
                build.output(("dbias", leaf.key), adjoint_register, "total")
        elif leaf.op == "step_input":
            build.output(("dinput", leaf.key), build.computed(register, letter or "1"), "step")
        elif leaf.op == "held":
            build.output(("dheld", leaf.key), build.computed(register, letter or "1"), "total")
        elif leaf.op == "state":
            flow = ("flow", leaf.key)
            build.output(flow, build.computed(register, leaf.shape[0]), "swing", buffer=build.where.get(flow))
        elif not totals and (place := build.steps.get(register)) is not None and place in in_dx:
            build.where["dweight", leaf] = place  # summed over all steps afterwards
        else:
            build.output(("dweight", leaf), build.computed(register, letter or "1"), "total")
    for outer in derivative.outers:
        for node in (*outer.adjoints, *([outer.operand] if outer.operand.op != "state" else [])):
            if node in derivative.kept:
                continue
            build.output(("outer", node), build.computed(program.outputs[f"#{node.index}"], node.shape[0]), "step")
    for name in watched:
        node = derivative.named[name]
        build.output(
            ("dnamed", name), build.computed(program.outputs[f"#{node.index}"], (node.shape or ("1",))[0]), "step"
        )
    return build.finish()

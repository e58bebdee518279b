"""The register program of one step: phases of matrix products, sums over units and pointwise instructions.

A program is what an engine executes. Its values stand in numbered registers, each written once (SSA). Products of the
same operand are one packed product; everything that does not vary from step to step (a leak made from its logit, a
masked weight matrix) is computed before the first step and enters as a weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pellucid.cells.graph import Node, ancestors


@dataclass(frozen=True)
class Instruction:
    """``destination = op(sources)``, unit by unit; ``op`` is in the opcode table, or ``"sum"`` over the units."""

    op: str
    destination: int
    sources: tuple[int, ...]


@dataclass(frozen=True)
class Pointwise:
    """Instructions on registers, unit by unit, in order."""

    instructions: tuple[Instruction, ...]


@dataclass(frozen=True)
class Reduce:
    """Sums over units, in order."""

    instructions: tuple[Instruction, ...]


@dataclass(frozen=True)
class Product:
    """``destinations = packed matrix @ source``: one product, its rows split among the destinations."""

    matrix: int  # index into Program.matrices
    source: int
    destinations: tuple[int, ...]


@dataclass(frozen=True)
class TransposedProduct:
    """``destination = packed matrix transposed @ sources``, the sources one below the other."""

    matrix: int
    sources: tuple[int, ...]
    destination: int


Phase = Pointwise | Reduce | Product | TransposedProduct


@dataclass(frozen=True)
class Program:
    """One step in phases.

    Attributes:
        registers: the node that each register holds.
        inputs: registers that are given before the first phase, everything that varies first, then weights.
        phases: in order of execution.
        matrices: for each packed matrix the nodes of its blocks of rows; they do not vary.
        outputs: register by name.
    """

    registers: tuple[Node, ...]
    inputs: tuple[int, ...]
    phases: tuple[Phase, ...]
    matrices: tuple[tuple[Node, ...], ...]
    outputs: dict[str, int]

    @property
    def weights(self) -> tuple[int, ...]:
        """The inputs that are the same at every step."""
        return tuple(r for r in self.inputs if not self.registers[r].varies)

    def text(self) -> str:
        """The program as text, one instruction a line."""

        def show(register: int) -> str:
            node = self.registers[register]
            return f"r{register}" + (f":{node.name}" if node.name else "")

        lines = []
        for phase in self.phases:
            lines.append(f"{type(phase).__name__.lower()}:")
            match phase:
                case Pointwise() | Reduce():
                    lines += [
                        f"  {show(i.destination)} = {i.op} {' '.join(map(show, i.sources))}" for i in phase.instructions
                    ]
                case Product():
                    lines.append(
                        f"  {' '.join(map(show, phase.destinations))} = M{phase.matrix} @ {show(phase.source)}"
                    )
                case TransposedProduct():
                    lines.append(
                        f"  {show(phase.destination)} = M{phase.matrix}' @ {' '.join(map(show, phase.sources))}"
                    )
        return "\n".join(lines)


def levels(nodes: Iterable[Node], given: Callable[[Node], bool]) -> dict[Node, int]:
    """The phase of each node, as early as its operands allow: even phases are pointwise, odd ones matrix or sum.

    Args:
        nodes: operands before results.
        given: whether a node is an input, in phase 0.
    """
    level: dict[Node, int] = {}
    for node in nodes:
        if given(node):
            level[node] = 0
            continue
        before = max((level[arg] for arg in node.args if arg in level), default=0)
        wants_odd = node.op in ("product", "transposed_product", "sum")
        level[node] = before + 1 if before % 2 != wants_odd else before + 2 * wants_odd
    return level


def compile_program(outputs: dict[str, Node], given: frozenset[Node] = frozenset()) -> Program:
    """Schedule the nodes that the outputs need.

    Args:
        outputs: by name.
        given: varying nodes that are inputs though they could be computed; leaves are always inputs.
    """

    def is_input(node: Node) -> bool:
        return node in given or node.is_leaf or not node.varies

    nodes = [n for n in ancestors(outputs.values(), stop=frozenset(given)) if n.varies or n in given]
    reached = dict.fromkeys(
        [*(n for n in nodes if is_input(n)), *outputs.values()]
        + [arg for n in nodes if not is_input(n) for arg in _register_operands(n) if is_input(arg)]
    )
    inputs = sorted((n for n in reached if is_input(n)), key=lambda n: not n.varies)
    level = levels(nodes, is_input)
    registers: dict[Node, int] = {node: index for index, node in enumerate(inputs)}
    matrices: dict[tuple[Node, ...], int] = {}
    phases: list[Phase] = []

    def write(node: Node) -> int:
        return registers.setdefault(node, len(registers))

    def instructions(chosen: Sequence[Node]) -> tuple[Instruction, ...]:
        return tuple(Instruction(n.op, write(n), tuple(registers[a] for a in n.args)) for n in chosen)

    computed = [n for n in nodes if not is_input(n)]
    for depth in range(max(level.values(), default=0) + 1):
        here = [n for n in computed if level[n] == depth]
        for group in packed(here, level):
            index = matrices.setdefault(tuple(n.args[0] for n in group), len(matrices))
            phases.append(Product(index, registers[group[0].args[1]], tuple(write(n) for n in group)))
        for n in here:
            if n.op == "transposed_product":
                blocks, operands = n.args[: len(n.args) // 2], n.args[len(n.args) // 2 :]
                index = matrices.setdefault(blocks, len(matrices))
                phases.append(TransposedProduct(index, tuple(registers[a] for a in operands), write(n)))
        if sums := [n for n in here if n.op == "sum"]:
            phases.append(Reduce(instructions(sums)))
        if pointwise := [n for n in here if n.op not in ("product", "transposed_product", "sum")]:
            phases.append(Pointwise(instructions(pointwise)))
    return Program(
        registers=tuple(registers),
        inputs=tuple(range(len(inputs))),
        phases=tuple(phases),
        matrices=tuple(matrices),
        outputs={name: registers[node] for name, node in outputs.items()},
    )


def packed(nodes: Iterable[Node], level: dict[Node, int]) -> list[tuple[Node, ...]]:
    """The products among the nodes, grouped into packed ones: same phase, same operand, blocks of one kind.

    The blocks of a group are in the order of their declaration, in which a parameter holds them.
    """
    groups: dict[tuple[object, ...], list[Node]] = {}
    for n in sorted(nodes, key=lambda n: n.index):
        if n.op == "product" and n.varies:
            matrix, operand = n.args
            groups.setdefault((level[n], operand, matrix.shape, matrix.heads), []).append(n)
    return [tuple(sorted(group, key=lambda n: n.args[0].index)) for group in groups.values()]


def _register_operands(node: Node) -> tuple[Node, ...]:
    if node.op == "product":
        return node.args[1:]
    if node.op == "transposed_product":
        return node.args[len(node.args) // 2 :]
    return node.args

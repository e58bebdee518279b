"""The graph of one time step: what the equations become when they are traced.

A node is one value: a leaf (a projected input, a state, a parameter part, ...), a pointwise operation, a product of
a matrix and a vector, or a sum over units. Equal nodes are one node, and what an option leaves out (a zero, a one)
folds away, so a cell with an option turned off is exactly the cell without it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pellucid.cells.language import Operand, Value
from pellucid.cells.opcodes import OPCODES

Shape = tuple[str, ...]  # (): a number; ("H",): a vector; ("1",): one number a sequence; ("H", "H"): a matrix

LEAVES = frozenset(
    {
        "number",
        "reciprocal_size",
        "projection",
        "state",
        "step_input",
        "held",
        "parameter",
        "constant",
        "adjoint",
    }
)

_ARITHMETIC: dict[str, Callable[..., float]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
    "abs": abs,
    "sign": lambda a: float((a > 0) - (a < 0)),
    "maximum": max,
    "minimum": min,
}


class Node(Value):
    """One value of the graph.

    Attributes:
        op: a leaf's kind, ``"product"``, ``"sum"``, or a name in :data:`pellucid.cells.opcodes.OPCODES`.
        args: the operands.
        key: what tells leaves of one kind apart: a number, a name, or (declaration, part).
        shape: its axes as letters, without time and batch.
        varies: whether it differs from step to step or from sequence to sequence; what does not is computed once.
        name: its name in the equations, or "".
    """

    def __init__(self, builder: Builder, op: str, args: tuple[Node, ...], key: Any, shape: Shape, varies: bool):
        self.builder = builder
        self.op = op
        self.args = args
        self.key = key
        self.shape = shape
        self.varies = varies
        self.name = ""
        self.index = builder.count

    def apply(self, op: str, *operands: Operand) -> Node:
        """Add the operation to the graph, or find it there."""
        return self.builder.apply(op, tuple(self.builder.node(operand) for operand in operands))

    @property
    def is_leaf(self) -> bool:
        """Whether the node is given, not computed."""
        return self.op in LEAVES

    def __repr__(self) -> str:
        return self.name or f"%{self.index}"


class Builder:
    """Makes the nodes of one graph; equal nodes are made once."""

    def __init__(self) -> None:
        self.count = 0
        self._made: dict[tuple[Any, ...], Node] = {}

    def leaf(self, op: str, key: Any, shape: Shape, *, varies: bool) -> Node:
        """A given value."""
        return self._make(op, (), key, shape, varies)

    def node(self, operand: Operand) -> Node:
        """The operand itself, or a plain number as a node."""
        if isinstance(operand, Node):
            return operand
        if isinstance(operand, int | float):
            return self.leaf("number", float(operand), (), varies=False)
        raise TypeError(
            f"an equation computes with declared names and plain numbers, and was given a {type(operand).__name__}; "
            "declare a fixed array as Constant and a learnable one as Vector or Matrix"
        )

    def apply(self, op: str, args: tuple[Node, ...]) -> Node:
        """The node of an operation, simplified."""
        if op == "product":
            return self._product(*args)
        if op == "mean":
            (v,) = args
            if v.shape in ((), ("1",)):
                return v
            return self.apply("mul", (self.sum(v), self.leaf("reciprocal_size", v.shape[-1], (), varies=False)))
        folded = _fold(self, op, args)
        if folded is not None:
            return folded
        node = self._make(op, args, None, _broadcast(op, args), any(arg.varies for arg in args))
        if len(node.shape) == 2:
            node.inherit(args)
        return node

    def sum(self, v: Node) -> Node:
        """The sum over units: a vector becomes one number a sequence."""
        if len(v.shape) != 1:
            raise TypeError(f"a mean is taken over a vector's units, and {describe(v)} is no vector")
        return self._make("sum", (v,), None, ("1",), v.varies)

    def expand(self, v: Node, shape: Shape) -> Node:
        """One number a sequence, repeated for every unit: the adjoint of a sum."""
        return v if v.shape == shape else self._make("expand", (v,), shape, shape, v.varies)

    def transposed_product(self, blocks: tuple[Node, ...], operands: tuple[Node, ...], shape: Shape) -> Node:
        """The sum of each block transposed times its operand: the adjoint of a packed product."""
        return self._make("transposed_product", (*blocks, *operands), None, shape, True)

    def _product(self, matrix: Node, operand: Node) -> Node:
        if len(matrix.shape) != 2:
            raise TypeError(
                f"the left side of `@` must be a matrix, and {describe(matrix)} is not one; "
                "write `self.U.gate @ h` with U declared as Matrix, or `*` for a product unit by unit"
            )
        if matrix.varies:
            raise TypeError(
                f"the matrix {describe(matrix)} differs from step to step; a matrix may be computed from "
                "parameters and constants only"
            )
        if len(operand.shape) != 1:
            raise TypeError(f"the right side of `@` must be a vector, and {describe(operand)} is not one")
        if matrix.shape[1] != operand.shape[0]:
            raise TypeError(
                f"{describe(matrix)} multiplies a vector of size {matrix.shape[1]}, and {describe(operand)} has size "
                f"{operand.shape[0]}; declare the matrix with columns={operand.shape[0]!r} or multiply another vector"
            )
        return self._make("product", (matrix, operand), None, (matrix.shape[0],), operand.varies)

    def _make(self, op: str, args: tuple[Node, ...], key: Any, shape: Shape, varies: bool) -> Node:
        identity = (op, *map(id, args), key)
        if identity not in self._made:
            self._made[identity] = Node(self, op, args, key, shape, varies)
            self.count += 1
        return self._made[identity]


def ancestors(roots: Iterable[Node], stop: frozenset[Node] = frozenset()) -> list[Node]:
    """All nodes that the roots are computed from, the roots included, operands first; not past ``stop``."""
    order: dict[Node, None] = {}

    def visit(node: Node) -> Iterator[Node]:
        return iter(()) if node in stop else iter(node.args)

    for root in roots:
        stack = [(root, visit(root))] if root not in order else []
        while stack:
            node, pending = stack[-1]
            following = next((arg for arg in pending if arg not in order), None)
            if following is None:
                order.setdefault(node)
                stack.pop()
            else:
                stack.append((following, visit(following)))
    return list(order)


def describe(node: Node) -> str:
    """A node in the words of the equations, with its size: ``U.i (H x P)``."""
    size = " x ".join(node.shape) or "a number"
    if node.op in ("parameter", "constant"):
        declared, part = node.key
        return f"{declared}.{part} ({size})" if part else f"{declared} ({size})"
    if node.op == "projection":
        return f"x.{node.key} ({size})" if node.key else f"x ({size})"
    if node.op == "number":
        return f"{node.key:g}"
    return f"{node.name or node.key or node.op} ({size})"


def _broadcast(op: str, args: tuple[Node, ...]) -> Shape:
    shapes = {arg.shape for arg in args if arg.shape}
    if len(shapes) > 1:
        shapes.discard(("1",))
    if len(shapes) <= 1:
        return shapes.pop() if shapes else ()
    matrices = {shape for shape in shapes if len(shape) == 2}
    vectors = shapes - matrices
    if len(matrices) == 1 and vectors == {next(iter(matrices))[1:]}:
        return matrices.pop()
    given = " and ".join(describe(arg) for arg in args if arg.shape)
    raise TypeError(
        f"`{OPCODES[op].latex.format('a', 'b', 'c') if op not in _SIGNS else _SIGNS[op]}` combines values of one "
        f"size unit by unit, and was given {given}; declare them with the same size, or bring one to the other's "
        "size with a Matrix"
    )


_SIGNS = {
    "add": "a + b",
    "sub": "a - b",
    "mul": "a * b",
    "div": "a / b",
    "select": "select",
    "maximum": "maximum",
}


def _fold(builder: Builder, op: str, args: tuple[Node, ...]) -> Node | None:
    """The simpler node that equals the operation, if there is one."""
    numbers = [arg.key if arg.op == "number" else None for arg in args]
    if op in _ARITHMETIC and None not in numbers and not (op == "div" and numbers[1] == 0):
        return builder.node(_ARITHMETIC[op](*numbers))
    match op, numbers:
        case "add", [0, _]:
            return args[1]
        case "add" | "sub", [_, 0]:
            return args[0]
        case "sub", [0, _]:
            return builder.apply("neg", args[1:])
        case "mul", [0, _] | [_, 0]:
            return builder.node(0.0)
        case "mul", [1, _]:
            return args[1]
        case "mul" | "div", [_, 1]:
            return args[0]
        case "mul", [-1, _]:
            return builder.apply("neg", args[1:])
        case "mul", [_, -1]:
            return builder.apply("neg", args[:1])
        case "div", [0, _]:
            return builder.node(0.0)
        case "neg", _ if args[0].op == "neg":
            return args[0].args[0]
        case "select", [_, a, b] if a is not None and a == b:
            return args[1]
    return None

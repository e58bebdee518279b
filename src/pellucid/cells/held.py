"""A cell with one of its names held: what would it do if its forget gate stayed open?"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from pellucid.cells import language
from pellucid.cells.cell import Cell
from pellucid.cells.declare import StepInput
from pellucid.cells.graph import Node, ancestors
from pellucid.cells.language import Value, mean, select
from pellucid.cells.patterns import mean as mean_of
from pellucid.errors import ArgumentError

_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
    "abs": abs,
    "product": operator.matmul,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}


class Held(Cell):
    r"""The equations of another cell, where one name has a value from outside while it is held.

    Of an LSTM's forget gate, with the step inputs ``held.f`` (m, 1 where it is held and 0 elsewhere) and ``level.f`` (v):

    .. math:: f_t = \begin{cases} v_t & m_t > 1/2 \\ \sigma(W_f x_t + \dots) & \text{otherwise} \end{cases}

    All else, the parameters among it, is the cell's own; held cells can be held again by another name.

    Args:
        cell: whose equations they are.
        held: a name in them, of a gate, a state or any other value that differs from step to step.

    Raises:
        ArgumentError: the cell has no such name, or it is held already.
    """

    def __init__(self, cell: Cell, held: str) -> None:
        names = {name: node for name, node in cell.graph().named.items() if node.varies}
        if held not in names:
            raise ArgumentError(f"{cell.name} names no {held!r} that could be held; it has {', '.join(names)}")
        if switch(held) in cell.declarations:
            raise ArgumentError(f"{held} is held already; hold another name, or give it other levels")
        vars(self).update(cell.__getstate__() | cell.declarations)
        size = names[held].shape[0]
        vars(self).update({switch(held): StepInput(size), level(held): StepInput(size)})
        self.cell, self.held, self.sizes = cell, held, cell.sizes

    @property
    def name(self) -> str:
        """The cell's own, and what is held."""
        return f"{self.cell.name} with {self.held} held"

    def run_equations(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """Run the cell's equations as they were traced, on nodes or tensors alike; return the new states by name."""
        graph = self.cell.graph()
        found: dict[Node, Any] = {}
        for node in sorted(ancestors(graph.after.values()), key=lambda n: n.index):  # in the equations' own order
            if node.op in ("sum", "reciprocal_size"):  # a mean is made of both
                continue
            v = mean_of(node)
            if v is not None:
                result = mean(found[v])
            elif node.is_leaf:
                result = self._given(node, values)
            else:
                operation = _OPERATORS.get(node.op) or getattr(language, node.op)
                result = operation(*(found[arg] for arg in node.args))
            if node is graph.named[self.held]:
                result = select(values[switch(self.held)] > 0.5, values[level(self.held)], result)
            if node.name and isinstance(result, Node) and not result.is_leaf and not result.name:
                result.name = node.name
            found[node] = result
        return {name: found[node] for name, node in graph.after.items()}

    def _given(self, leaf: Node, values: Mapping[str, Any]) -> Any:
        if leaf.op == "number":
            return leaf.key
        if leaf.op in ("state", "step_input"):
            return values[leaf.key]
        name, part = (self.input[0], leaf.key) if leaf.op == "projection" else leaf.key
        return getattr(values[name], part) if part else values[name]


def switch(name: str) -> str:
    """The step input that says where a name is held."""
    return f"held.{name}"


def level(name: str) -> str:
    """The step input that says at what."""
    return f"level.{name}"

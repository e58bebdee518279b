"""From equations to a graph: ``step`` is run once on nodes, and the names it gave them are read off."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from pellucid.cells.cell import Cell, Parts, _last_line
from pellucid.cells.declare import Bias, Constant, Declaration, Input, Matrix, Parameter, State, StepInput
from pellucid.cells.graph import Builder, Node, Shape, ancestors
from pellucid.cells.sequence import Variant, advance
from pellucid.errors import CellError


@dataclass(frozen=True)
class Graph:
    """One step of a cell.

    Attributes:
        builder: makes further nodes of the same graph.
        states: the states before the step; after: the states after it.
        named: every value that the equations name, in the order in which they were computed. A state's new value
            goes by the state's name.
    """

    builder: Builder
    states: dict[str, Node]
    after: dict[str, Node]
    named: dict[str, Node]


def trace(cell: Cell, variant: Variant) -> Graph:
    """Run a cell's equations on nodes.

    Raises:
        CellError: the declaration is wrong.
    """
    for declared in cell.declarations.values():
        size = getattr(declared, "size", None)
        for letter in getattr(declared, "shape", (size,) if size else ()):
            cell.size(letter, 1)
    _check_names(cell)
    _check_keys(cell)
    builder = Builder()
    values = _leaves(cell, variant, builder)
    with _locals_of(type(cell).step.__code__) as names:
        after = {name: builder.node(v) for name, v in advance(cell, variant, values).items()}
    states = {name: values[name] for name in cell.states}
    for name, node in after.items():
        _check_state(cell, name, states[name], node)
    named: dict[str, Node] = {}
    for name, node in after.items():
        new = node.args[1] if variant.ragged else node  # what a step computes, not what stands still after the last one
        if not new.name and not new.is_leaf:  # the old value of a state keeps its own
            new.name = name
        named[name] = new
    for name, node in names.items():
        fresh = name not in named and name not in cell.declarations
        if isinstance(node, Node) and not node.is_leaf and not node.name and fresh:
            node.name = name
            named[name] = node
    for node in ancestors(after.values()):  # a cell that runs another's equations names its nodes itself
        if node.name:
            named.setdefault(node.name, node)
    return Graph(builder, states, after, dict(sorted(named.items(), key=lambda item: item[1].index)))


def _check_names(cell: Cell) -> None:
    """Declared names that something else has already."""
    for name, declared in cell.declarations.items():
        if name in ("reset", "alive") and isinstance(declared, State | StepInput):
            raise CellError(
                f"{cell.name}: {name!r} is a mask that layers give every cell; give the {_kind(declared)} another name"
            )
        if isinstance(declared, StepInput) and name in ("input", "hx", "lengths", "resets"):
            raise CellError(
                f"{cell.name}: a layer takes an argument {name!r} of its own, so the {_kind(declared)} of this name could "
                "never be given; give it another"
            )


def _kind(declared: Declaration) -> str:
    return {"State": "state", "StepInput": "step input"}.get(type(declared).__name__, "declaration")


def _check_keys(cell: Cell) -> None:
    """Each parameter is kept under a key of its own, and beside it what every layer has."""
    taken = {"weight_ih": "the weights of the input", "bias_ih": "their bias"}
    taken |= {f"initial_{name}": f"the learned start of {name}" for name in cell.states}
    for name, declared in cell.parameters.items():
        key = declared.key or name
        if key in taken:
            own = name if name not in taken else f"{name}_own"
            raise CellError(
                f"{cell.name} keeps {taken[key]} and {name} both as {key!r}, which would make them one; give {name} a key of "
                f"its own: {name} = {type(declared).__name__}(..., key={own!r})"
            )
        if not key.isidentifier():
            raise CellError(
                f"{cell.name}: {name} has the key {key!r}; a key is a name, with letters, digits and _ alone"
            )
        taken[key] = name


def _check_state(cell: Cell, name: str, before: Node, after: Node) -> None:
    if after is before:
        raise CellError(
            f"{_last_line(cell)}: the state {name} is never assigned: step returns it as it came; write an equation "
            f"`{name} = ...` before the return, or drop the state"
        )
    if after.shape not in (before.shape, (), ("1",)):
        raise CellError(
            f"{_last_line(cell)}: the state {name} is declared with size {before.shape[0]}, and its new value has "
            f"size {' x '.join(after.shape)}; declare `{name} = State({after.shape[0]!r})`, or bring the value to size "
            f"{before.shape[0]} with a Matrix(rows={before.shape[0]!r}, columns={after.shape[0]!r})"
        )


def _leaves(cell: Cell, variant: Variant, builder: Builder) -> dict[str, Any]:
    """A value for every name that equations may use."""
    values: dict[str, Any] = {}
    for name, declared in cell.declarations.items():
        if isinstance(declared, Input):
            values[name] = _parts(
                cell, name, declared, lambda part: builder.leaf("projection", part, ("H",), varies=True)
            )
        elif isinstance(declared, Parameter):
            values[name] = _parts(cell, name, declared, _parameter(builder, variant, name, declared))
        elif isinstance(declared, Constant):
            given = declared.values is not None
            values[name] = builder.leaf("constant", (name, ""), declared.shape, varies=False) if given else 1.0
        elif isinstance(declared, StepInput):
            given = not declared.optional or name in variant.given
            values[name] = builder.leaf("step_input", name, (declared.size,), varies=True) if given else 0.0
    for index, (name, state) in enumerate(cell.states.items()):
        values[name] = builder.leaf("state", name, (state.size,), varies=True)
        values[f"initial.{name}"] = builder.leaf("parameter", (f"initial.{name}", ""), (state.size,), varies=False)
        if variant.zoneout and variant.zoneout[index] and variant.sampled:
            values[f"zoneout.{name}"] = builder.leaf("step_input", f"zoneout.{name}", (state.size,), varies=True)
    for mask in ("reset", "alive"):
        values[mask] = builder.leaf("step_input", mask, ("1",), varies=True)
    return values


def _parameter(builder: Builder, variant: Variant, name: str, declared: Parameter) -> Any:
    def leaf(part: str) -> Any:
        if isinstance(declared, Bias) and not variant.bias:
            return 0.0
        node = builder.leaf("parameter", (name, part), declared.shape, varies=False)
        if isinstance(declared, Matrix):
            node.heads = declared.heads
            if variant.dropout and declared.recurrent:
                columns: Shape = declared.shape[1:]
                node.operand_mask = builder.leaf("held", f"dropout.{columns[0]}", columns, varies=True)
        return node

    return leaf


def _parts(cell: Cell, name: str, declared: Declaration, leaf: Any) -> Any:
    return Parts(cell, name, {part: leaf(part) for part in declared.parts}) if declared.parts else leaf("")


@contextmanager
def _locals_of(code: CodeType) -> Iterator[Mapping[str, Any]]:
    """Collect the local variables that a function held when it returned: the names in the equations."""
    found: dict[str, Any] = {}

    def on_event(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            found.update(frame.f_locals)

    before: Any = sys.getprofile()
    sys.setprofile(on_event)
    try:
        yield found
    finally:
        if before is None or callable(before):
            sys.setprofile(before)
        else:  # cProfile's, which takes its place again in its own way
            sys.setprofile(None)
            before.enable()

"""The derivative of a step, by symbolic reverse mode: equations in, equations out.

Nothing here knows a cell. The step's nodes are visited in reverse; each adds its operands' shares of its adjoint, by
the rules of :mod:`pellucid.cells.opcodes`. The result is again a graph, and is scheduled into a program like any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pellucid.cells.graph import Node, ancestors
from pellucid.cells.opcodes import OPCODES
from pellucid.cells.program import Program, compile_program, levels, packed
from pellucid.cells.tracing import Graph


@dataclass(frozen=True)
class Outer:
    """A packed matrix's gradient: the sum over steps and sequences of adjoint times operand, one large product.

    Attributes:
        blocks: the matrices, one below the other.
        adjoints: each block's adjoint.
        operand: the vector that they multiplied.
    """

    blocks: tuple[Node, ...]
    adjoints: tuple[Node, ...]
    operand: Node


@dataclass(frozen=True)
class Derivative:
    """What an engine needs to run a step and its backward pass.

    Attributes:
        forward: the step; its outputs are ``after STATE``, every name of the equations, and the values to keep.
        backward: its inputs are kept values, leaves of the step, adjoints of the new states, and weights.
        kept: computed values of the step that the backward program reads.
        incoming: for each state the adjoint of its new value, an input of the backward program.
        adjoints: the adjoint of every leaf and weight that has one.
        outers: the gradients of matrices.
        named: the total adjoint of each value that the equations name.
        lowered: what engines made of the programs, kept here so that it is made once.
    """

    forward: Program
    backward: Program
    kept: tuple[Node, ...]
    incoming: dict[str, Node]
    adjoints: dict[Node, Node]
    outers: tuple[Outer, ...]
    named: dict[str, Node]
    lowered: dict[object, Any] = field(default_factory=dict, compare=False, repr=False)


def differentiate(graph: Graph) -> Derivative:
    """The step's program and the program of its derivative."""
    nodes = [n for n in ancestors(graph.after.values()) if n.varies]
    incoming = {
        name: graph.builder.leaf("adjoint", name, node.shape, varies=True) for name, node in graph.states.items()
    }
    names = {name: node for name, node in graph.named.items() if node.varies}
    adjoint, outers = _adjoints(graph, nodes, incoming)
    wanted = {n: a for n, a in adjoint.items() if (n.varies and n.is_leaf) or _is_learned(n)}
    named = {name: adjoint[n] for name, n in names.items() if n in adjoint}
    results = [*wanted.values(), *named.values()]
    results += [v for outer in outers for v in (*outer.adjoints, outer.operand)]
    backward = compile_program(_by_number(results), _kept(nodes, graph, results))
    inputs = (backward.registers[r] for r in backward.inputs)
    kept = tuple(n for n in inputs if n.varies and not n.is_leaf)
    outputs = {**{f"after {n}": v for n, v in graph.after.items()}, **names, **_by_number(kept)}
    return Derivative(compile_program(outputs), backward, kept, incoming, wanted, tuple(outers), named)


def _adjoints(graph: Graph, nodes: list[Node], incoming: dict[str, Node]) -> tuple[dict[Node, Node], list[Outer]]:
    """Every node's adjoint, added up from the results to the leaves, and each packed matrix's gradient."""
    builder = graph.builder
    adjoint: dict[Node, Node] = {}
    outers: list[Outer] = []

    def add(node: Node, share: Node, shape: tuple[str, ...]) -> None:
        if node.shape == ("1",) and shape not in ((), ("1",)):
            share = builder.sum(builder.expand(share, shape))
        adjoint[node] = builder.apply("add", (adjoint[node], share)) if node in adjoint else share

    for name, after in graph.after.items():
        add(after, incoming[name], graph.states[name].shape)
    groups = {n: group for group in packed(nodes, levels(nodes, _is_given)) for n in group}
    for node in _results_first(nodes, groups):
        if node.is_leaf or node not in adjoint:
            continue
        if node.op == "product":
            group = tuple(n for n in groups[node] if n in adjoint)
            if node is group[0]:
                blocks, shares = tuple(n.args[0] for n in group), tuple(adjoint[n] for n in group)
                operand = node.args[1]
                outers.append(Outer(blocks, shares, operand))
                add(operand, builder.transposed_product(blocks, shares, operand.shape), operand.shape)
        elif node.op == "sum":
            (operand,) = node.args
            add(operand, builder.expand(adjoint[node], operand.shape), operand.shape)
        elif (rule := OPCODES[node.op].adjoint) is not None:
            for operand, share in zip(node.args, rule(adjoint[node], node, *node.args), strict=True):
                if share is not None and operand.shape:
                    add(operand, builder.expand(builder.node(share), node.shape), node.shape)
    return adjoint, outers


def _is_given(node: Node) -> bool:
    return node.is_leaf or not node.varies


def _is_learned(node: Node) -> bool:
    """Whether a value that does not vary is made from parameters, so that its gradient is wanted."""
    return not node.varies and any(n.op == "parameter" for n in ancestors([node]))


def _by_number(nodes: Iterable[Node]) -> dict[str, Node]:
    return {f"#{node.index}": node for node in nodes}


def _results_first(nodes: list[Node], groups: dict[Node, tuple[Node, ...]]) -> list[Node]:
    """Results before operands, and all that uses any member of a packed product before every member."""
    members = {n: groups.get(n, (n,)) for n in nodes}
    order: list[Node] = []
    done: set[Node] = set()
    stack = [(node, False) for node in nodes]
    while stack:
        node, operands_done = stack.pop()
        if node in done:
            continue
        if operands_done:
            done.update(members[node])
            order.extend(members[node])
        else:
            stack.append((node, True))
            stack.extend((arg, False) for m in members[node] for arg in m.args if arg in members)
    return order[::-1]


def _kept(nodes: list[Node], graph: Graph, results: list[Node]) -> frozenset[Node]:
    """The step's values that the backward program may read from memory; all others it computes again.

    Values that the equations name are kept (they are what a person wants to see, too), and so are new states and what
    cannot be had again without a product or a sum. Another value costs less to recompute than to read, unless it takes
    the place of more: a gate's argument stands for its product and its projection, and the gate for its argument.
    """
    names = {*graph.named.values(), *graph.after.values()}
    kept = {n for n in nodes if not n.is_leaf and (n in names or n.op in ("product", "sum"))}

    def cost(kept: set[Node]) -> tuple[int, int, int]:
        """What the backward program reads besides, values of all units before single ones, and what it computes."""
        needed = [n for n in ancestors(results, stop=frozenset(kept)) if n.varies]
        read = [n for n in needed if (n in kept and n not in names) or n.is_leaf]
        vectors = sum(n.shape != ("1",) for n in read)
        return vectors, len(read) - vectors, sum(n not in kept and not n.is_leaf for n in needed)

    candidates, least = set(nodes), cost(kept)
    for node in ancestors(results):
        if node in candidates and (found := cost(kept | {node})) < least:
            kept, least = kept | {node}, found
    return frozenset(kept.intersection(ancestors(results)))

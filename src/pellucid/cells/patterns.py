"""Composite operations, recognised in a graph: what readers call by one name is several nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.cells.graph import Node

if TYPE_CHECKING:
    from pellucid.cells.tracing import Graph


def mean(node: Node) -> Node | None:
    """v, where the node is its mean over units."""
    if node.op == "mul" and node.args[0].op == "sum" and node.args[1].op == "reciprocal_size":
        return node.args[0].args[0]
    return None


def layer_norm(node: Node) -> tuple[Node, Node, Node] | None:
    """(v, gain, shift), where the node is what :func:`pellucid.cells.language.layer_norm` makes."""
    if node.op != "add" or node.args[0].op != "mul":
        return None
    shift, (divided, gain) = node.args[1], node.args[0].args
    if divided.op != "div" or divided.args[1].op != "sqrt" or divided.args[0].op != "sub":
        return None
    v, centre = divided.args[0].args
    return (v, gain, shift) if mean(centre) is v else None


def log_sigmoid(node: Node) -> Node | None:
    """v, where the node is log(sigmoid(v)) as :func:`pellucid.cells.language.log_sigmoid` makes it."""
    if node.op == "neg" and node.args[0].op == "softplus" and node.args[0].args[0].op == "neg":
        return node.args[0].args[0].args[0]
    return None


def keeper(after: Node, before: Node) -> Node | None:
    """The gate that says how much of a state is kept, where its new value is a sum with gate times old value: f in the LSTM."""
    if after.op in ("add", "sub"):  # what is taken away keeps nothing
        added = after.args if after.op == "add" else after.args[:1]
        return next((found for arg in added if (found := keeper(arg, before)) is not None), None)
    if after.op == "mul" and before in after.args:
        gate = after.args[after.args[0] is before]
        return gate if gate.varies else None
    return None


def memory(graph: Graph) -> str:
    """The state that carries: the first whose equation keeps a part of it, c in the LSTM, else the first."""
    kept = (name for name, before in graph.states.items() if keeper(graph.after[name], before) is not None)
    return next(kept, next(iter(graph.states)))


def opener(gate: Node) -> tuple[str, int] | None:
    """The part p of the input that opens a gate, and 1; -1 where it shuts it, as f does in (1 - f) h + f n.

    A gate is a sigmoid of a sum with p in it, normalised or not, 1 minus that, or an exponential with the logarithm of that in it.
    """
    if gate.op == "sub" and gate.args[0].op == "number" and gate.args[0].key == 1.0:
        found = opener(gate.args[1])
        return found and (found[0], -found[1])
    inner = gate.args if gate.op == "sigmoid" else ()
    if gate.op == "exp":
        inner = tuple(v for term in _terms(gate.args[0]) if (v := log_sigmoid(term)) is not None)
    parts = [term.key for node in inner for term in _terms(node) if term.op == "projection"]
    return (parts[0], 1) if len(parts) == 1 else None


def _terms(node: Node) -> list[Node]:
    """What is added up, also before it is normalised."""
    normalised = layer_norm(node)
    if normalised is not None:
        return _terms(normalised[0])
    if node.op == "sub":
        return _terms(node.args[0])
    return [term for arg in node.args for term in _terms(arg)] if node.op == "add" else [node]

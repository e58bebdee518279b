"""What a cell's structure drawing shows, read off its graph: boxes, circles, and what feeds each of them.

A box is learned: weights times the wires that enter it, plus biases, then the function written in it. A circle or an
oval works unit by unit.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.cells import patterns
from pellucid.cells.graph import Node, ancestors
from pellucid.cells.latex import GREEK
from pellucid.cells.layout import Place
from pellucid.cells.tracing import Graph

FUNCTIONS = {
    "sigmoid": "σ",
    "sqrt": "√",
    "greater": ">",
    "greater_equal": "≥",
    "maximum": "max",
    "minimum": "min",
    "abs": "|·|",
}
SIGNS = {"mul": "×", "div": "÷", "product": "×", "sum": "Σ"}
PORTS = {"div": ("", "/"), "select": ("?", "1", "0")}
RADIUS = 13.0  # of a circle


@dataclass(eq=False)
class Element(Place):
    """One thing drawn.

    Attributes:
        kind: ``"learned"``, ``"unit"``, ``"state"``, ``"input"`` or ``"join"`` (wires that go on together).
        text: what is written in it; time: what stands below that, ``t`` or ``t−1``.
        name: what the equations call its result.
        node: whose value its result is; None of the step's input, which is several projections, and of a join.
        signs: what is written at each port: "−" where a sum subtracts, "/" at what a quotient divides by; "?" at the
            condition of a selection, "1" at what is taken where it holds.
    """

    kind: str = "unit"
    text: str = ""
    time: str = ""
    name: str = ""
    signs: tuple[str, ...] = ()
    node: Node | None = None

    @property
    def value(self) -> str:
        """Whose value its result is, as a name: its node's number in the graph; ``x`` of the step's input; nothing of a join."""
        if self.node is not None:
            return str(self.node.index)
        return "x" if self.kind == "input" else ""

    @property
    def half(self) -> float:
        """Half its width."""
        if self.kind == "join":
            return 4.0
        return max(
            RADIUS + (9.0 if self.kind == "learned" else 3.0 * (self.kind != "unit")),
            4.6 * len(self.text) + 3.4 * len(self.time) + 7,
        )


def read(graph: Graph) -> tuple[list[Element], list[Element]]:
    """What is drawn, inputs before what they feed, and of that the states after the step, in the order declared."""
    return _Reading(graph).elements()


class _Reading:
    """From nodes to elements: sums of products become the box they feed, nested sums one circle."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = [node for node in ancestors(graph.after.values()) if node.varies]
        self.users: dict[Node, list[Node]] = {}
        for node in self.nodes:
            for arg in node.args:
                self.users.setdefault(arg, []).append(node)
        self.results = set(graph.after.values())
        self.made: dict[Node, Element] = {}
        self.order: list[Element] = []
        self.projected = Element(kind="input", text="x", time="t")

    def elements(self) -> tuple[list[Element], list[Element]]:
        """See :func:`read`."""
        states = list(self.graph.states.items())
        lanes = [*states[1:], states[0]]  # the output runs lowest, memory above it, as it is usually drawn
        for name, node in states:
            self.made[node] = Element(kind="state", text=_plain(name), time="t−1", fixed=True, node=node)
        after = self.graph.after
        ends = [
            Element([self.of(after[n])], kind="state", text=_plain(n), time="t", fixed=True, node=after[n])
            for n, _ in states
        ]
        sources = [self.made[node] for _, node in states]
        sources += [e for e in self.order if e.kind == "input"]
        inner = [e for e in self.order if e.kind != "input"]
        joins = self.join(inner)
        depth = max(2, len(states), sum(e.kind == "learned" for e in inner))
        rows = {name: row if name != states[0][0] else depth for row, (name, _) in enumerate(lanes)}
        for (name, _), source, end in zip(states, sources, ends, strict=False):
            source.row = end.row = rows[name]
            for element in _way(source, end):
                element.lane = rows[name]
        for row, given in enumerate(sources[len(states) :], depth + 1):
            given.row, given.fixed = row, True
        return [*sources, *joins, *inner, *ends], ends

    def join(self, elements: list[Element]) -> list[Element]:
        """The pair of inputs that most boxes share, as one wire."""
        pairs: dict[frozenset[Place], list[Element]] = {}
        for element in elements:
            given = [e for e in element.inputs if isinstance(e, Element) and e.kind in ("input", "state")]
            if element.kind == "learned":
                for number, a in enumerate(given):
                    for b in given[:number]:
                        pairs.setdefault(frozenset((a, b)), []).append(element)
        shared = max(pairs, key=lambda pair: len(pairs[pair]), default=frozenset())
        if len(pairs.get(shared, ())) < 2:
            return []
        ordered = [place for place in [*self.made.values(), self.projected] if place in shared]
        joined = Element(list(ordered), kind="join")
        for element in pairs[shared]:
            element.inputs = [joined, *(given for given in element.inputs if given not in shared)]
        return [joined]

    def of(self, node: Node) -> Element:
        """The element that stands for a node, made on first use."""
        if node not in self.made:
            element = self.read(node)
            element.node = node
            element.name = _plain(node.name) if node not in self.results else ""
            self.made[node] = element
            if element not in self.order:
                self.order.append(element)
        return self.made[node]

    def read(self, node: Node) -> Element:
        """A new element for a node."""
        if node.op == "projection":
            return Element([self.x()], kind="learned", text="W")
        if node.is_leaf:
            return Element(kind="input", text=_plain(str(node.key)), time="t")
        text, inside = function(node)
        if inside is not None:
            normalised = patterns.layer_norm(inside)
            summed = normalised[0] if normalised and self.private(inside) else inside
            text = f"{text}∘LN" if summed is not inside else text
            if self.is_linear(summed) and self.private(summed, inside=node):
                return Element(self.wires(summed), kind="learned", text=text)
            return Element([self.of(summed)], text=text)
        if self.is_linear(node):
            return Element(self.wires(node), kind="learned", text=self.weights(node))
        if node.op in ("add", "sub", "neg"):
            return self.sum(node)
        signs = PORTS.get(node.op, ("",) * len(node.args))
        varying = [(self.of(arg), sign) for arg, sign in zip(node.args, signs, strict=True) if arg.varies]
        return Element([e for e, _ in varying], text=_operation(node), signs=tuple(sign for _, sign in varying))

    def x(self) -> Element:
        """The input of the step; there is one, however many gates project it."""
        if self.projected not in self.order:
            self.order.append(self.projected)
        return self.projected

    def private(self, node: Node, inside: Node | None = None) -> bool:
        """Whether a node is no result and used once (or only inside a given one): it may be drawn inside what uses it."""
        if inside is not None:
            whole = set(ancestors([inside]))
            return node not in self.results and all(user in whole for user in self.users[node])
        return len(self.users.get(node, ())) <= 1 and node not in self.results

    def is_linear(self, node: Node) -> bool:
        """Whether a sum has a product with weights among its terms."""
        return any(term.op in ("product", "projection") for term, _ in self.terms(node))

    def terms(self, node: Node, sign: str = "") -> list[tuple[Node, str]]:
        """The terms of a sum, with the sign of each; sums inside it are taken apart unless something else uses them."""
        if node.op not in ("add", "sub", "neg") or function(node)[1] is not None:
            return [(node, sign)]
        found = []
        for place, arg in enumerate(node.args):
            minus = node.op == "neg" or (node.op == "sub" and place == 1)
            below = ("" if sign else "−") if minus else sign
            found += self.terms(arg, below) if self.private(arg) else [(arg, below)]
        return found

    def wires(self, node: Node) -> list[Place]:
        """What enters a box: the vectors that weights multiply, and other varying terms."""
        found: dict[Place, None] = {}
        for term, _ in self.terms(node):
            own = term is node or self.private(term)
            if term.op == "projection":
                found[self.x()] = None
            elif term.op == "product" and own:
                found[self.of(term.args[1])] = None
            elif term.op == "mul" and own and sum(arg.varies for arg in term.args) == 1:
                found[self.of(next(arg for arg in term.args if arg.varies))] = None
            elif term.varies:
                found[self.of(term)] = None
        return list(found)

    def weights(self, node: Node) -> str:
        """The letters of a box that has no function: ``W, U``."""
        letters: dict[str, None] = {}
        for term, _ in self.terms(node):
            if term.op == "projection":
                letters["W"] = None
            elif term.op == "product":
                used = [n for n in ancestors(term.args[:1]) if n.op == "parameter" and len(n.shape) == 2]
                letters |= {_plain(n.key[0]): None for n in used}
        return ", ".join(letters)

    def sum(self, node: Node) -> Element:
        """A circle that adds; ``1−`` and ``−`` where there is one wire."""
        terms = self.terms(node)
        varying = [(term, sign) for term, sign in terms if term.varies]
        still = [term for term, _ in terms if not term.varies]
        if len(varying) == 1:
            ((term, sign),) = varying
            head = _expression(still[0]) if len(still) == 1 else "" if not still else "…"
            text = f"{head}{sign or '+'}" if head or sign else "+"
            return Element([self.of(term)], text=text if sign or not head else f"+{head}")
        return Element([self.of(term) for term, _ in varying], text="+", signs=tuple(sign for _, sign in varying))


def _way(source: Place, end: Place) -> list[Place]:
    """The shortest way from one place to another, both included; nothing where there is none."""
    ways = [[end]]
    for way in ways:
        if way[0] is source:
            return way
        ways += [[given, *way] for given in way[0].inputs]
    return []


def function(node: Node) -> tuple[str, Node | None]:
    """(what is written, the argument) of a function of one value; ("", None) of anything else."""
    if (v := patterns.log_sigmoid(node)) is not None:
        return "log σ", v
    if (v := patterns.mean(node)) is not None:
        return "mean", v
    if normalised := patterns.layer_norm(node):
        return "LN", normalised[0]
    if len(node.args) == 1 and node.op not in ("neg", "sum"):
        return FUNCTIONS.get(node.op, node.op), node.args[0]
    return "", None


def _operation(node: Node) -> str:
    """A circle's text; what does not vary has no wire and is written in."""
    sign = SIGNS.get(node.op) or FUNCTIONS.get(node.op, node.op)
    still = [arg for arg in node.args if not arg.varies]
    return f"{sign}{_expression(still[0])}" if len(still) == 1 and node.op not in ("sum", "product") else sign


def _expression(node: Node) -> str:
    """A short value that does not vary, such as ``α`` or ``1−α``."""
    if node.op == "number":
        return f"{node.key:g}"
    if node.name:
        return _plain(node.name)
    if node.op in ("parameter", "constant"):
        return _plain(node.key[0])
    if node.op == "sub" and all(arg.name or arg.is_leaf for arg in node.args):
        return f"({'−'.join(_expression(arg) for arg in node.args)})"
    return "…"


def _plain(name: str) -> str:
    return " ".join(GREEK.get(word, word) for word in name.split("_") if word)

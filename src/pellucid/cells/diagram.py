"""A cell's structure drawing as SVG, made from its graph: no cell is drawn by hand.

A box is learned: weights times the wires that enter it, plus biases, then the function written in it. A circle or an
oval works unit by unit. Each state enters on the left and leaves on the right at the same height.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from pellucid.cells import patterns
from pellucid.cells.cell import Cell
from pellucid.cells.graph import Node, ancestors
from pellucid.cells.latex import GREEK
from pellucid.cells.layout import Place, Wire, arrange, tracks

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
ROW, TRACK, RADIUS, EDGE = 54.0, 9.0, 13.0, 30.0
INK, LINE, MUTED, GROUND = "#14202a", "#5c6b76", "#4a5964", "#f5f8fa"
LOOKS = {  # kind: (fill, stroke)
    "learned": ("#ffe2b3", "#b87a00"),
    "unit": ("#ffffff", "#0072b2"),
    "state": ("#d6e8f5", "#0072b2"),
    "input": ("#d9efe6", "#007a5a"),
}


@dataclass(eq=False)
class Element(Place):
    """One thing drawn.

    Attributes:
        kind: ``"learned"``, ``"unit"``, ``"state"``, ``"input"`` or ``"join"`` (wires that go on together).
        text: what is written in it; time: what stands below that, ``t`` or ``t−1``.
        name: what the equations call its result.
        signs: what is written at each port: "−" where a sum subtracts, "/" at what a quotient divides by; "?" at the
            condition of a selection, "1" at what is taken where it holds.
    """

    kind: str = "unit"
    text: str = ""
    time: str = ""
    name: str = ""
    signs: tuple[str, ...] = ()

    @property
    def half(self) -> float:
        """Half its width."""
        if self.kind == "join":
            return 4.0
        return max(
            RADIUS + (9.0 if self.kind == "learned" else 3.0 * (self.kind != "unit")),
            4.6 * len(self.text) + 3.4 * len(self.time) + 7,
        )


def diagram(cell: Cell) -> str:
    """The drawing of one time step as SVG text, the same for the same cell."""
    elements, ends = read(cell)
    wires = arrange(elements, ends)
    return _draw(cell, elements, wires)


def read(cell: Cell) -> tuple[list[Element], list[Element]]:
    """What is drawn, inputs before what they feed, and of that the states after the step, in the order declared."""
    return _Reading(cell).elements()


class _Reading:
    """From nodes to elements: sums of products become the box they feed, nested sums one circle."""

    def __init__(self, cell: Cell) -> None:
        graph = cell.graph()
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
            self.made[node] = Element(kind="state", text=_plain(name), time="t−1", fixed=True)
        ends = [
            Element([self.of(self.graph.after[name])], kind="state", text=_plain(name), time="t", fixed=True)
            for name, _ in states
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
        text, inside = _function(node)
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
        if node.op not in ("add", "sub", "neg") or _function(node)[1] is not None:
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


def _function(node: Node) -> tuple[str, Node | None]:
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


def _draw(cell: Cell, elements: list[Element], wires: list[Wire]) -> str:
    """Heights first, then the gaps' tracks, which give the columns their places; then wires below elements."""
    places = list(dict.fromkeys([*elements, *(w.source for w in wires), *(w.target for w in wires)]))
    y = {place: EDGE + 24 + ROW * place.row for place in places}
    entry = _ports(wires, y)
    count = 1 + max(place.column for place in places)
    lanes: dict[tuple[Place, int], float] = {}
    centre: dict[int, float] = {}
    left = 0.0
    for column in range(count):
        half = max((e.half for e in elements if e.column == column), default=0.0)
        gap = [w for w in wires if w.target.column == column]
        found = tracks(gap, entry, y)
        start = left + 12.0
        lanes |= {(source, column): start + TRACK * k for k, track in enumerate(found) for source in track}
        room = 20.0 if any(any(e.signs) for e in elements if e.column == column) else 14.0
        centre[column] = start + TRACK * max(len(found) - 1, 0) + room + half if column else half + 4
        left = centre[column] + half
    width, height = left + 4, max(y.values()) + 24 + EDGE
    drawn = [_wire(w, y, entry, lanes, centre) for w in wires]
    shapes = [_shape(e, centre[e.column], y[e]) for e in elements]
    marks = [_mark(w, entry, centre) for w in wires]
    states = ", ".join(cell.states)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" role="img" font-family="system-ui, sans-serif" font-size="13">',
            f"<title>One time step of the cell {escape(cell.name)}</title>",
            f"<desc>The states {escape(states)} enter on the left and leave on the right. A box is learned: weights "
            "times what enters it, then its function. Circles and ovals work unit by unit.</desc>",
            f'<rect x="{centre[0]:.0f}" y="12" width="{centre[count - 1] - centre[0]:.0f}" height="{height - 24:.0f}" rx="16" '
            f'fill="{GROUND}" stroke="#b4c1cb"/>',
            f'<g fill="none" stroke="{LINE}" stroke-width="1.6">',
            *drawn,
            "</g>",
            *_branches(wires, y, entry, lanes),
            *shapes,
            *filter(None, marks),
            "</svg>",
            "",
        ]
    )


def _ports(wires: list[Wire], y: dict[Place, float]) -> dict[tuple[Place, int], float]:
    """The height at which each wire enters: apart from each other, in the order of where they come from."""
    entering: dict[Place, list[Wire]] = {}
    for wire in wires:
        entering.setdefault(wire.target, []).append(wire)
    entry = {}
    for target, found in entering.items():
        found.sort(key=lambda w: (y[w.source], w.port))
        middle = (len(found) - 1) / 2
        level = next((k for k, w in enumerate(found) if w.source.row == target.row), middle)
        if abs(level - middle) > 0.5:  # a port would lie beside the element
            level = middle
        step = 0.0 if getattr(target, "kind", "") == "join" else 8.0
        for k, wire in enumerate(found):
            entry[target, wire.port] = y[target] + step * (k - level)
    return entry


def _wire(
    wire: Wire,
    y: dict[Place, float],
    entry: dict[tuple[Place, int], float],
    lanes: dict[tuple[Place, int], float],
    centre: dict[int, float],
) -> str:
    """Level, or level, along its track with round corners, and level again."""
    start, end = centre[wire.source.column], centre[wire.target.column]
    y1, y2 = y[wire.source], entry[wire.target, wire.port]
    turn = lanes.get((wire.source, wire.target.column))
    if turn is None or abs(y1 - y2) < 0.5:
        return f'<path d="M{start:.1f} {y1:.1f}H{end:.1f}"/>'
    r = min(6.0, abs(y2 - y1) / 2)
    bend = r if y2 > y1 else -r
    return (
        f'<path d="M{start:.1f} {y1:.1f}H{turn - r:.1f}q{r:.1f} 0 {r:.1f} {bend:.1f}V{y2 - bend:.1f}'
        f'q0 {bend:.1f} {r:.1f} {bend:.1f}H{end:.1f}"/>'
    )


def _shape(e: Element, x: float, y: float) -> str:
    if e.kind == "join":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{LINE}"/>'
    fill, stroke = LOOKS[e.kind]
    look = f'fill="{fill}" stroke="{stroke}" stroke-width="1.5"'
    tall = 19.0 if e.kind == "learned" else RADIUS + 3.0 * (e.kind != "unit")
    corner = 5.0 if e.kind == "learned" else tall
    box = (
        f'<rect x="{x - e.half:.1f}" y="{y - tall:.1f}" width="{2 * e.half:.1f}" height="{2 * tall:.1f}" '
        f'rx="{corner:.0f}" {look}/>'
    )
    small = f'<tspan dy="4" font-size="9">{e.time}</tspan>' if e.time else ""
    inside = e.kind == "learned" and bool(e.name)
    text = (
        f'<text x="{x:.1f}" y="{y + (-1 if inside else 4.5):.1f}" text-anchor="middle" fill="{INK}">'
        f"{escape(e.text)}{small}</text>"
    )
    italic = f'font-style="italic" font-size="11.5" fill="{MUTED}">{escape(e.name)}</text>'
    if inside:
        text += f'<text x="{x:.1f}" y="{y + 13:.1f}" text-anchor="middle" {italic}'
    elif e.name:
        text += f'<text x="{x:.1f}" y="{y - tall - 4:.1f}" text-anchor="middle" {italic}'
    return box + text


def _branches(
    wires: list[Wire],
    y: dict[Place, float],
    entry: dict[tuple[Place, int], float],
    lanes: dict[tuple[Place, int], float],
) -> list[str]:
    """A dot where a wire divides, so that it is not taken for a crossing."""
    dots = []
    for (source, column), x in lanes.items():
        goals = {entry[w.target, w.port] for w in wires if w.source is source and w.target.column == column}
        heights = goals | {y[source]}
        for height in sorted(heights):
            ways = (height == y[source]) + (height in goals) + (height > min(heights)) + (height < max(heights))
            if ways > 2:
                dots.append(f'<circle cx="{x:.1f}" cy="{height:.1f}" r="2.6" fill="{LINE}"/>')
    return dots


def _mark(wire: Wire, entry: dict[tuple[Place, int], float], centre: dict[int, float]) -> str:
    """The sign at a port, on the wire itself."""
    if not isinstance(wire.target, Element) or not any(wire.target.signs[wire.port :][:1]):
        return ""
    x, y = centre[wire.target.column] - wire.target.half - 7, entry[wire.target, wire.port]
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{GROUND}" stroke="{LINE}" stroke-width=".8"/>'
        f'<text x="{x:.1f}" y="{y + 3.1:.1f}" text-anchor="middle" font-size="9" '
        f'fill="{INK}">{wire.target.signs[wire.port]}</text>'
    )

"""A cell's structure drawing as SVG, made from its graph: no cell is drawn by hand.

Each state enters on the left and leaves on the right at the same height. Elements and wires carry ``data-value``, which says
whose value of the equations they have (see :attr:`Element.value`), and their kind as a class, so that a page can colour them.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from pellucid.cells.cell import Cell
from pellucid.cells.elements import RADIUS, Element, read
from pellucid.cells.layout import Place, Wire, arrange, tracks
from pellucid.cells.sequence import Variant

ROW, TRACK, EDGE = 54.0, 9.0, 30.0
INK, LINE, MUTED, GROUND = "#14202a", "#5c6b76", "#4a5964", "#f5f8fa"
LOOKS = {  # kind: (fill, stroke)
    "learned": ("#ffe2b3", "#b87a00"),
    "unit": ("#ffffff", "#0072b2"),
    "state": ("#d6e8f5", "#0072b2"),
    "input": ("#d9efe6", "#007a5a"),
}


@dataclass(frozen=True)
class Drawn:
    """An element and where it is: the centre, and half its width and height."""

    element: Element
    x: float
    y: float
    half: float
    tall: float


@dataclass(frozen=True)
class Drawing:
    """The drawing of one time step.

    Attributes:
        svg: its text, the same for the same cell.
        width, height: of its view box, in which ``elements`` are placed.
        elements: all but joins.
    """

    svg: str
    width: float
    height: float
    elements: tuple[Drawn, ...]


def diagram(cell: Cell, variant: Variant | None = None, room: float = 0.0) -> Drawing:
    """Draw one time step.

    Args:
        cell: the cell.
        variant: what surrounds its equations in a run, as in :meth:`Cell.graph`.
        room: left free below every row, for what is written there.
    """
    elements, ends = read(cell.graph(variant))
    return _draw(cell, elements, arrange(elements, ends), ROW + room)


def _draw(cell: Cell, elements: list[Element], wires: list[Wire], row: float) -> Drawing:
    """Heights first, then the gaps' tracks, which give the columns their places; then wires below elements."""
    places = list(dict.fromkeys([*elements, *(w.source for w in wires), *(w.target for w in wires)]))
    y = {place: EDGE + 24 + row * place.row for place in places}
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
    width, height = left + 4, max(y.values()) + row - ROW + 24 + EDGE
    drawn = [_wire(w, y, entry, lanes, centre) for w in wires]
    placed = [Drawn(e, centre[e.column], y[e], e.half, _tall(e)) for e in elements]
    shapes = [_shape(drawn) for drawn in placed]
    marks = [_mark(w, entry, centre) for w in wires]
    states = ", ".join(cell.states)
    svg = "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" role="img" font-family="system-ui, sans-serif" font-size="13">',
            f"<title>One time step of the cell {escape(cell.name)}</title>",
            f"<desc>The states {escape(states)} enter on the left and leave on the right. A box is learned: weights "
            "times what enters it, then its function. Circles and ovals work unit by unit.</desc>",
            f'<rect x="{centre[0]:.0f}" y="12" width="{centre[count - 1] - centre[0]:.0f}" height="{height - 24:.0f}" rx="16" '
            f'fill="{GROUND}" stroke="#b4c1cb" class="cell"/>',
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
    return Drawing(svg, width, height, tuple(d for d in placed if d.element.kind != "join"))


def _tall(e: Element) -> float:
    """Half an element's height."""
    return 4.0 if e.kind == "join" else 19.0 if e.kind == "learned" else RADIUS + 3.0 * (e.kind != "unit")


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
    value = _value(wire.source)
    if turn is None or abs(y1 - y2) < 0.5:
        return f'<path{value} d="M{start:.1f} {y1:.1f}H{end:.1f}"/>'
    r = min(6.0, abs(y2 - y1) / 2)
    bend = r if y2 > y1 else -r
    return (
        f'<path{value} d="M{start:.1f} {y1:.1f}H{turn - r:.1f}q{r:.1f} 0 {r:.1f} {bend:.1f}V{y2 - bend:.1f}'
        f'q0 {bend:.1f} {r:.1f} {bend:.1f}H{end:.1f}"/>'
    )


def _value(place: Place) -> str:
    """Whose value an element has, or a wire on its way."""
    while not isinstance(place, Element):
        (place,) = place.inputs
    return f' data-value="{place.value}"' if place.value else ""


def _shape(drawn: Drawn) -> str:
    e, x, y, tall = drawn.element, drawn.x, drawn.y, drawn.tall
    if e.kind == "join":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{LINE}"/>'
    fill, stroke = LOOKS[e.kind]
    look = f'fill="{fill}" stroke="{stroke}" stroke-width="1.5"'
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
    return f'<g class="{e.kind}"{_value(e)}>{box}{text}</g>'


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
        f'<g class="port"><circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{GROUND}" stroke="{LINE}" stroke-width=".8"/>'
        f'<text x="{x:.1f}" y="{y + 3.1:.1f}" text-anchor="middle" font-size="9" '
        f'fill="{INK}">{wire.target.signs[wire.port]}</text></g>'
    )

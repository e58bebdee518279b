"""The figures: panels under one another, in the report's colours, on a ground of their own for light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from markupsafe import escape

from pellucid.lab.claims.judgement import plain
from pellucid.lab.claims.results import Dots, Lines
from pellucid.lab.report import words
from pellucid.lab.report.charts import COLOURS, Scale, svg
from pellucid.lab.results import Interval

WIDTH = 720
ROW, PLOT = 24, 190  # heights of a row of dots, and of the space of lines
LETTER = 6.3  # width of a letter of the labels, roughly
STYLE = """<style>
svg { --ink: #1b1f24; --soft: #5c6570; --paper: #ffffff; --line: #d9dfe5; }
@media (prefers-color-scheme: dark) { svg { --ink: #e8ebee; --soft: #a2abb5; --paper: #15181c; --line: #39414a; } }
text { fill: var(--ink); font: 12px system-ui, "DejaVu Sans", sans-serif; }
.title { font-weight: 600; font-size: 13px; } .small { fill: var(--soft); font-size: 11.5px; }
.grid { stroke: var(--line); stroke-width: 1; } .base { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 5 4; }
.paper { fill: var(--paper); }
</style>"""


def figure(title: str, panels: Sequence[Lines | Dots]) -> str:
    """An SVG file's text."""
    body: list[str] = []
    top = 14
    for panel in panels:
        parts, height = _lines(panel, top) if isinstance(panel, Lines) else _dots(panel, top)
        body += parts
        top += height + 16
    ground = f'<rect class="paper" width="{WIDTH}" height="{top}" rx="6"/>'
    return str(svg(WIDTH, top, title, [STYLE, ground, *body])) + "\n"


def _dots(panel: Dots, top: int) -> tuple[list[str], int]:
    """Rows of figures with their intervals; the figures stand at the right, too."""
    left = min(400.0, 24 + LETTER * max(len(label) for label, *_ in panel.rows))
    ends = [v for *_, y in panel.rows for v in (y.low, y.high)]
    ends += [panel.reference[1]] if panel.reference else []
    x = Scale(*_room(ends), left, WIDTH - 90)
    first, bottom = top + 24, top + 24 + ROW * len(panel.rows)
    body = [_text(14, top + 12, panel.title, kind="title"), *_bottom_axis(x, x.ticks(6), first, bottom)]
    if panel.reference:
        body += _upright(x(panel.reference[1]), first, bottom)
    groups = list(dict.fromkeys(group for _, group, _ in panel.rows))
    for number, (label, group, y) in enumerate(panel.rows):
        middle, colour = first + ROW * (number + 0.5), COLOURS[groups.index(group) % len(COLOURS)]
        body.append(_text(left - 10, middle + 4, label, anchor="end"))
        body.append(
            f'<line x1="{x(y.low):.1f}" x2="{x(y.high):.1f}" y1="{middle}" y2="{middle}" stroke="{colour}" stroke-width="5" stroke-linecap="round" opacity=".45"/>'
        )
        body.append(f'<circle cx="{x(y.value):.1f}" cy="{middle}" r="5" fill="{colour}"/>')
        body.append(_text(WIDTH - 12, middle + 4, _figure(y), anchor="end", kind="small"))
    reference = f" (dashed: {panel.reference[0]})" if panel.reference else ""
    body.append(_text((left + WIDTH - 90) / 2, bottom + 30, panel.x + reference, anchor="middle", kind="small"))
    return body, bottom + 34 - top


def _lines(panel: Lines, top: int) -> tuple[list[str], int]:
    """Lines through the means, with their intervals; each is named at its end."""
    left, right = 56.0, WIDTH - 30 - LETTER * max(len(line.label) for line in panel.lines)
    first, bottom = top + 30, top + 30 + PLOT
    places = sorted({p.x for line in panel.lines for p in line.points})
    at = math.log10 if panel.log_x else float
    x = Scale(at(places[0]), at(places[-1]), left + 8, right - 10)
    ends = [v for line in panel.lines for p in line.points for v in (p.y.low, p.y.high)]
    ends += [panel.reference[1]] if panel.reference else []
    y = Scale(*_room(ends), bottom, first)
    body = [_text(14, top + 12, f"{panel.title}, {panel.y}", kind="title")]
    for tick in y.ticks(5):
        body.append(f'<line x1="{left}" x2="{right:.1f}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" class="grid"/>')
        body.append(_text(left - 6, y(tick) + 4, _number(tick), anchor="end", kind="small"))
    for place in places:
        body.append(_text(x(at(place)), bottom + 15, f"{place:g}", anchor="middle", kind="small"))
    if panel.reference:
        level = y(panel.reference[1])
        body.append(f'<line x1="{left}" x2="{right:.1f}" y1="{level:.1f}" y2="{level:.1f}" class="base"/>')
    for number, line in enumerate(panel.lines):
        colour = COLOURS[number % len(COLOURS)]
        way = " ".join(f"{x(at(p.x)):.1f},{y(p.y.value):.1f}" for p in line.points)
        body.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for p in line.points:
            place = x(at(p.x)) + 3 * (number - (len(panel.lines) - 1) / 2)  # side by side where they are equal
            body.append(
                f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{y(p.y.low):.1f}" y2="{y(p.y.high):.1f}" stroke="{colour}" stroke-width="4" stroke-linecap="round" opacity=".45"/>'
            )
            body.append(f'<circle cx="{place:.1f}" cy="{y(p.y.value):.1f}" r="4" fill="{colour}"/>')
    heights = [y(line.points[-1].y.value) for line in panel.lines]
    for number, (line, level) in enumerate(zip(panel.lines, _apart(heights), strict=True)):
        colour, end = COLOURS[number % len(COLOURS)], x(at(line.points[-1].x))
        body.append(
            f'<line x1="{end:.1f}" y1="{heights[number]:.1f}" x2="{right + 8:.1f}" y2="{level:.1f}" stroke="{colour}" stroke-width="1"/>'
        )
        body.append(_text(right + 12, level + 4, line.label))
    reference = f" (dashed: {panel.reference[0]})" if panel.reference else ""
    body.append(_text((left + right) / 2, bottom + 32, panel.x + reference, anchor="middle", kind="small"))
    return body, bottom + 36 - top


def _apart(levels: list[float], least: float = 15) -> list[float]:
    """The levels, moved as little as lets each label stand free of the next."""
    order = sorted(range(len(levels)), key=lambda k: levels[k])
    placed = list(levels)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + least)
    shift = sum(placed) / len(placed) - sum(levels) / len(levels)
    return [level - shift for level in placed]


def _room(values: Sequence[float]) -> tuple[float, float]:
    """The range of the values, and a little more."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or max(0.1 * abs(high), 0.5)
    return low - room, high + room


def _bottom_axis(x: Scale, ticks: list[float], top: float, bottom: float) -> list[str]:
    parts = []
    for tick in ticks:
        parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{bottom}" class="grid"/>')
        parts.append(_text(x(tick), bottom + 14, _number(tick), anchor="middle", kind="small"))
    return parts


def _upright(place: float, top: float, bottom: float) -> list[str]:
    return [f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{top}" y2="{bottom}" class="base"/>']


def _figure(y: Interval) -> str:
    y = plain(y)
    return words.number(y.value, 2 if abs(y.value) < 10 else 1) if y.low == y.high else words.figure(y)


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−") if abs(value) > 1e-9 else "0"


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'

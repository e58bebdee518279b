"""report.html from a comparison."""

from __future__ import annotations

import base64
from functools import partial
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pellucid.lab.counted import counted
from pellucid.lab.files import write as write_whole
from pellucid.lab.report import charts, words
from pellucid.lab.report.figures import figures, framed
from pellucid.lab.results import Candidate, Comparison

BESIDE = 540  # the width of a figure that stands beside another


def write(comparison: Comparison, path: Path) -> None:
    """Write the page, whole or not at all; it needs nothing from anywhere and says so in its content policy."""
    write_whole(path, render(comparison, path.parent))


def render(comparison: Comparison, folder: Path | None = None) -> str:
    """The page as text; with the run's folder its networks are looked into."""
    environment = Environment(
        loader=PackageLoader("pellucid.lab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    explaining = figures(comparison, folder)
    colours = {c.name: charts.COLOURS[i % len(charts.COLOURS)] for i, c in enumerate(comparison.candidates)}
    return environment.get_template("report.html.jinja").render(
        c=comparison,
        words=words,
        counted=counted,
        colours=colours,
        open=_open(comparison),
        intervals=charts.fitted(partial(charts.intervals, comparison)),
        beside=[(c.label, c.figures) for c in comparison.candidates]
        + [(comparison.baseline.name, comparison.baseline.figures)],
        learning=[charts.learning(comparison, c, colours[c.name]) for c in comparison.candidates],
        confusions=[
            (c, _confusion(comparison, c), _mistakes(comparison, c)) for c in comparison.candidates if c.confusion
        ],
        numbers=[charts.numbers(c.numbers, c.label, colours[c.name]) for c in comparison.candidates if c.numbers],
        rolls=[(c.label, charts.roll(c.roll, c.label, colours[c.name])) for c in comparison.candidates if c.roll],
        reach=charts.fitted(partial(charts.reach, comparison), BESIDE if comparison.need else charts.BROAD),
        need=charts.need(comparison),
        by_data=charts.fitted(partial(charts.by_data, comparison)),
        forecasts=charts.forecasts(comparison.candidates, comparison.baseline),
        explaining=explaining,
        framed=framed(explaining),
        data=_embedded(comparison),
        picture=_picture,
    )


def _open(comparison: Comparison) -> list[str]:
    """The best network and those whose difference to it may be zero, by its interval."""
    return [c.label for c in comparison.candidates if c.behind is None or c.behind.low <= 0 <= c.behind.high]


def _picture(svg: str) -> str:
    """An SVG as the address of an image: the page's style does not reach into it."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _confusion(comparison: Comparison, candidate: Candidate) -> Markup:
    return charts.confusion(candidate.confusion or [], comparison.labels, candidate.label)


def _mistakes(comparison: Comparison, candidate: Candidate) -> list[str]:
    """The three most frequent mistakes, in words."""
    pairs = [
        (number, comparison.labels[row], comparison.labels[column])
        for row, counts in enumerate(candidate.confusion or [])
        for column, number in enumerate(counts)
        if row != column and number
    ]
    return [f"{true} taken for {said}: {number}" for number, true, said in sorted(pairs, key=lambda p: -p[0])[:3]]


def _embedded(comparison: Comparison) -> Markup:
    """The comparison as JSON that cannot end its script element."""
    text = comparison.model_dump_json()
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)

"""A comparison in a notebook: the verdict, the figures as a chart, and the table."""

from __future__ import annotations

from markupsafe import Markup, escape

from pellucid.lab.report import charts, words
from pellucid.lab.results import Comparison

# The charts are drawn for the report's page, whose style a notebook has not.
STYLE = (
    "<style>.pellucid svg{max-width:100%;height:auto}.pellucid svg text{font:13px system-ui,sans-serif;fill:currentColor}"
    ".pellucid svg text.small{font-size:11.5px;opacity:.7}.pellucid .grid{stroke:currentColor;opacity:.15}"
    ".pellucid .base{stroke:currentColor;opacity:.6;stroke-dasharray:5 4}</style>"
)


def summary(comparison: Comparison) -> str:
    """HTML for a notebook's cell."""
    headings = [
        "",
        comparison.metric,
        "95 % interval",
        "behind the best",
        f"ahead of {comparison.baseline.name}",
        "parameters",
        "training",
        "one item",
    ]
    lines = [
        [
            c.label,
            words.figure(c.score, comparison.unit),
            words.span(c.score),
            "" if c.behind is None else words.span(c.behind, signed=True),
            "" if c.ahead is None else words.span(c.ahead, signed=True),
            f"{c.cost.parameters:,}",
            words.seconds(c.cost.training_seconds),
            words.milliseconds(c.cost.latency_ms_p50),
        ]
        for c in comparison.candidates
    ]
    baseline = comparison.baseline
    lines.append([baseline.name, words.figure(baseline.score, comparison.unit), words.span(baseline.score), *[""] * 5])
    table = Markup("").join(Markup("<tr>{}</tr>").format(_cells("td", line)) for line in lines)
    reasons = Markup("").join(Markup("<li>{}</li>").format(r) for r in comparison.verdict.reasons)
    return (
        f'{STYLE}<div class="pellucid"><p><strong>{escape(comparison.verdict.sentence)}</strong></p>'
        f"{charts.intervals(comparison)}<table><thead><tr>{_cells('th', headings)}</tr></thead><tbody>{table}</tbody></table>"
        f"<ul>{reasons}</ul></div>"
    )


def _cells(tag: str, texts: list[str]) -> Markup:
    return Markup("").join(Markup(f"<{tag}>{{}}</{tag}>").format(text) for text in texts)

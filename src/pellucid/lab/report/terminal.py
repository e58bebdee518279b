"""The comparison as a table of at most 80 columns."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pellucid.lab.report import words
from pellucid.lab.results import Comparison


def terminal_table(comparison: Comparison) -> RenderableType:
    """The verdict, the table best first, and what to be careful about."""
    better = "higher" if comparison.higher_is_better else "lower"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    unit = f", {comparison.unit}" if comparison.unit else ""
    table.add_column("", overflow="fold")
    for heading in ("test\nfigure", "95 %\ninterval", "behind\nthe best", "para-\nmeters", "train-\ning", "one\nitem"):
        table.add_column(heading, justify="right", overflow="fold")
    for c in comparison.candidates:
        behind = "" if c.behind is None else words.span(c.behind, signed=True)
        table.add_row(
            Text(c.label, style="bold" if c.name == comparison.verdict.choice and c.beats_baseline else ""),
            words.figure(c.score),
            words.span(c.score),
            behind,
            words.count(c.cost.parameters),
            words.seconds(c.cost.training_seconds),
            words.milliseconds(c.cost.latency_ms_p50),
        )
    table.add_row(
        Text(comparison.baseline.name), words.figure(comparison.baseline.score), words.span(comparison.baseline.score)
    )
    notes = [*comparison.verdict.reasons, *comparison.cautions]
    if comparison.device != "cpu":
        notes.append(f"Trained and timed on the {comparison.device}.")
    what = Text(f"{comparison.metric}{unit} ({better} is better)")
    lines: list[RenderableType] = [Text(comparison.verdict.sentence, style="bold"), Text(""), what, table, Text("")]
    if comparison.candidates[0].figures:
        lines += [_beside(comparison), Text("")]
    return Group(*lines, *(Text(note) for note in notes))


def _beside(comparison: Comparison) -> Table:
    """The figures beside the one that decides; their intervals are in the report."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("beside it", overflow="fold")
    for figure in comparison.candidates[0].figures:
        unit = f", {figure.unit}" if figure.unit == "%" else ""
        table.add_column(figure.name + unit, justify="right", overflow="fold", max_width=14)
    rows = [
        *((c.label, c.figures) for c in comparison.candidates),
        (comparison.baseline.name, comparison.baseline.figures),
    ]
    for name, figures in rows:
        table.add_row(Text(name), *(words.figure(figure.value) for figure in figures))
    return table

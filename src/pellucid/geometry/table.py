"""A stack as a table of plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pellucid.geometry.stack import Row

HEADINGS = ("", "layer", "size", "output", "parameters", "multiply-adds", "sees", "jump", "unused")


def table(rows: Sequence[Row], given: str, numbers: int) -> str:
    """The rows, aligned, with totals and a line on memory."""
    cells = [[
        str(number),
        row.layer,
        row.formula,
        row.output,
        f"{row.parameters:,}" if row.parameters else "",
        f"{row.macs:,}" if row.macs else "",
        str(row.field) if row.field else "",
        str(row.field.jump) if row.field else "",
        " ".join(map(str, row.dropped)) if any(row.dropped) else "",
    ] for number, row in enumerate(rows, start=1)]  # fmt: skip
    first = ["", "input", "", given, "", "", "", "", ""]
    total = ["", "total", "", "", f"{sum(r.parameters for r in rows):,}", f"{sum(r.macs for r in rows):,}", "", "", ""]
    lines = [list(HEADINGS), first, *cells, total]
    used = [k for k in range(len(HEADINGS)) if k < 2 or any(line[k] for line in lines[1:])]
    widths = {k: max(len(line[k]) for line in lines) for k in used}
    text = []
    for line in lines:
        parts = [line[k].ljust(widths[k]) if k in (1, 2) else line[k].rjust(widths[k]) for k in used]
        text.append("  ".join(parts).rstrip())
    rule = "-" * max(map(len, text))
    kept = numbers + sum(r.activations for r in rows)
    text[1:1], text[-1:-1] = [rule], [rule]
    notes = [f"input and outputs of all layers: {kept:,} numbers, {4 * kept:,} bytes as float32"]
    if any(r.field for r in rows):
        notes.append("sees: input rows that one output position sees; jump: input rows from one position to the next")
    reaches = {r.field.reach for r in rows if r.field}
    if "before" in reaches:
        notes.append("all before: its own input rows and every one before them, which a recurrent layer carries along")
    if "all" in reaches:
        notes.append("all: every input row, which a recurrent layer carries along in both directions")
    if any(any(r.dropped) for r in rows):
        notes.append("unused: input rows (and columns) at the end that no window reaches")
    return "\n".join([*text, *notes])

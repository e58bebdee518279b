"""The findings as a table of at most 80 columns, and what is shown while they are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from pellucid.lab.claims.claim import Claim, Unit
from pellucid.lab.claims.judgement import shown
from pellucid.lab.claims.results import Report
from pellucid.lab.report import words

STYLES = {"holds": "green", "does not hold here": "red"}


def table(report: Report) -> RenderableType:
    """A row for each claim: its verdict, its main effect, and how many of its parts are as claimed."""
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), width=80)
    rows.add_column("claim", no_wrap=True)
    rows.add_column("verdict", overflow="fold")
    rows.add_column("main effect (95 % interval)", overflow="fold")
    rows.add_column("parts", justify="right", no_wrap=True)
    for f in report.findings:
        hold = sum(p.verdict == "holds" for p in f.parts)
        rows.add_row(
            f.name,
            Text(f.verdict, style=STYLES.get(f.verdict, "yellow")),
            shown(f.parts[0]),
            f"{hold} of {len(f.parts)}",
        )
    quick = all(f.quick for f in report.findings)
    few = "The quick set: few seeds, short sequences, short training." if quick else "The full set."
    return Group(rows, Text(""), Text(f"{few} Parts are effects that a claim promises; the page names them all."))


def listing(claims: Sequence[Claim]) -> RenderableType:
    """The claims, with who says so."""
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), width=80, show_header=False)
    rows.add_column(no_wrap=True, style="bold")
    rows.add_column(overflow="fold")
    for claim in claims:
        rows.add_row(claim.name, f"{claim.claimed} ({claim.source})")
    return rows


class Schedule:
    """How much is done, in reckoned seconds, and how long the rest takes at the pace so far."""

    def __init__(self, claims: Sequence[Claim], workers: int, now: Callable[[], float] = monotonic) -> None:
        costs = {(u.experiment, tuple(sorted(u.settings.items()))): u.cost for c in claims for u in c.units}
        self.whole, self.units, self.count = sum(costs.values()), len(costs), 0
        self.workers, self.now = workers, now
        self.done = self.measured = 0.0
        self.began = now()

    def note(self, unit: Unit, was_there: bool) -> None:
        """A unit is done."""
        self.count += 1
        self.done += unit.cost
        self.measured += 0.0 if was_there else unit.cost

    def left(self) -> float:
        """Seconds."""
        pace = (self.now() - self.began) / self.measured if self.measured else 1 / self.workers
        return (self.whole - self.done) * pace


@contextmanager
def progress(claims: Sequence[Claim], workers: int, console: Console) -> Iterator[Callable[[Unit, bool], None]]:
    """A line for the whole; yields what the runner calls for each unit."""
    columns = (
        TextColumn("{task.percentage:3.0f} %"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[at]}", markup=False),
    )
    schedule = Schedule(claims, workers)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        line = bars.add_task("all", total=schedule.whole or 1, at=f"about {words.seconds(schedule.left())} left")

        def tell(unit: Unit, was_there: bool) -> None:
            schedule.note(unit, was_there)
            at = f"{schedule.count:,} of {schedule.units:,} units, about {words.seconds(schedule.left())} left"
            bars.update(line, completed=schedule.done, at=at)

        yield tell
        bars.update(line, completed=schedule.whole or 1, at="done")

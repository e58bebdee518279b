"""The findings as a table of at most 80 columns, and what is shown while they are measured."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from time import monotonic

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column, Table
from rich.text import Text

from pellucid.lab.claims.claim import Claim, Unit
from pellucid.lab.claims.judgement import shown
from pellucid.lab.claims.results import Report
from pellucid.lab.claims.runner import Watcher
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
        self.claims = [{_key(u): u.cost for u in c.units} for c in claims]  # they share units
        self.whole = sum({key: cost for units in self.claims for key, cost in units.items()}.values())
        self.workers, self.now = workers, now
        self.there: set[Hashable] = set()
        self.done = self.measured = 0.0
        self.began = self.noted = now()

    def note(self, unit: Unit, was_there: bool) -> None:
        """A unit is done."""
        self.there.add(_key(unit))
        self.done += unit.cost
        self.measured += 0.0 if was_there else unit.cost
        self.noted = self.now()

    def left(self) -> float:
        """Seconds; 0 where it takes longer than was reckoned when the last unit was done."""
        pace = (self.noted - self.began) / self.measured if self.measured else 1 / self.workers
        return max(0.0, (self.whole - self.done) * pace - (self.now() - self.noted))


class _Bars(Watcher):
    """Draws what it is told."""

    def __init__(self, bars: Progress, claims: Sequence[Claim], workers: int) -> None:
        self.bars, self.schedule = bars, Schedule(claims, workers)
        self.at_work: set[Hashable] = set()
        named = [(c.name, units) for c, units in zip(claims, self.schedule.claims, strict=True) if units]
        self.claims = [units for _, units in named]
        self.lines = [bars.add_task(name, total=sum(units.values()), at="") for name, units in named]
        self.total = bars.add_task("all", total=self.schedule.whole or 1, at=self._left)
        self._draw()

    def begun(self, unit: Unit) -> None:
        self.at_work.add(_key(unit))
        self._draw(unit)

    def done(self, unit: Unit, was_there: bool) -> None:
        self.at_work.discard(_key(unit))
        self.schedule.note(unit, was_there)
        self._draw(unit)

    def end(self) -> None:
        """All is done."""
        self.bars.update(self.total, completed=self.schedule.whole or 1, at="done")

    def _draw(self, unit: Unit | None = None) -> None:
        """The lines of the claims that have the unit, or all; which are shown depends on the room that there is now."""
        for line, units in zip(self.lines, self.claims, strict=True):
            if unit is None or _key(unit) in units:
                there = units.keys() & self.schedule.there
                at = f"{len(there):,} of {len(units):,} units" if len(there) < len(units) else "done"
                at += ", at work" if units.keys() & self.at_work else ""
                self.bars.update(line, completed=sum(units[key] for key in there), at=at)
        self.bars.update(self.total, completed=self.schedule.done)
        shown = self.lines
        room = self.bars.console.height - 2  # beside the line for the whole, and the one where the cursor stands
        if len(shown) > room:
            at_work = (k for k, units in zip(self.lines, self.claims, strict=True) if units.keys() & self.at_work)
            shown = list(islice(at_work, max(0, room)))
        for line in self.lines:
            self.bars.update(line, visible=line in shown)

    def _left(self) -> str:
        left = self.schedule.left()
        return f"about {words.seconds(left)} left" if left else "longer than reckoned"


class _At(ProgressColumn):
    """What a line says at its end; the time left goes on while a unit is at work."""

    def render(self, task: Task) -> Text:
        at = task.fields["at"]
        return Text(at if isinstance(at, str) else at(), no_wrap=True, overflow="ellipsis")


@contextmanager
def progress(claims: Sequence[Claim], workers: int, console: Console) -> Iterator[Watcher]:
    """A line for each claim that is measured and one for the whole; yields what the runner tells of each unit.

    Where the terminal is too low for all of them, the claims that are at work have one.
    """
    widest = max((len(c.name) for c in claims), default=0)
    columns = (
        TextColumn(f"{{task.description:>{widest}}}", markup=False),
        *([BarColumn(bar_width=20 if console.width >= 72 else 10)] if console.width >= 56 else []),
        TextColumn("{task.percentage:3.0f} %"),
        _At(Column()),  # the one that gives way
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        drawn = _Bars(bars, claims, workers)
        yield drawn
        drawn.end()


def _key(unit: Unit) -> Hashable:
    return unit.experiment, tuple(sorted(unit.settings.items()))

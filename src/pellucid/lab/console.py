"""Progress: a line for each network and one for the whole, with the time left; nothing in a pipe."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from pellucid.lab.crew import GLANCE, Several, Watcher
from pellucid.lab.plan import SHARES, Plan
from pellucid.lab.report import words
from pellucid.lab.results import Epoch


class _Schedule:
    """How far each network is, in epochs (or in seconds, where these are what is equal), and how long the rest takes.

    Args:
        made: the plan.
        workers: how many units are in work at a time.
    """

    def __init__(self, made: Plan, workers: int = 1) -> None:
        self.timed = made.budget.seconds is not None
        self.workers = workers
        trials, seeds = made.config.trials, range(1, made.config.seeds + 1)
        self.budgets: dict[str, float] = {}
        first, whole = made.first_budget, made.trial_budget
        if trials > 1:
            self.budgets = {f"trial {k}": first.seconds or first.epochs for k in range(1, trials + 1)}
        on = (whole.seconds or whole.epochs) - (first.seconds or first.epochs)
        self.second = on * ((trials + 1) // 2) if trials > 1 else 0.0  # of the trials that go on, whichever these are
        for share in (1.0, *(SHARES if made.config.curve else ())):
            budget = made.budget if share == 1 else made.share_budget(share)
            for k in seeds:
                self.budgets[f"seed {k}" if share == 1 else f"share {share:g} seed {k}"] = (
                    budget.seconds or budget.epochs
                )
        self.whole = sum(self.budgets.values()) + self.second
        self.units: dict[str, dict[str, float]] = {b.name: {} for b in made.blueprints}
        self.seconds: dict[str, list[float]] = {b.name: [] for b in made.blueprints}

    def note(self, network: str, what: str, epoch: Epoch) -> None:
        """An epoch is done."""
        self.seconds[network].append(epoch.seconds)
        before = self.units[network].get(what, 0.0)
        self.units[network][what] = before + epoch.seconds if self.timed else max(before, epoch.epoch)

    def finish(self, network: str, what: str) -> None:
        """A unit is done; one that stopped early frees what it did not need."""
        self.units[network][what] = max(self.units[network].get(what, 0.0), self.budgets[what])

    def done(self, network: str) -> float:
        """Of a network's whole."""
        units = self.units[network]
        trials = sum(v for w, v in units.items() if w.startswith("trial"))
        most = sum(v for w, v in self.budgets.items() if w.startswith("trial")) + self.second
        rest = [w for w in units if not w.startswith("trial")]
        # The seeds follow all trials.
        return (most if rest else min(trials, most)) + sum(min(units[w], self.budgets[w]) for w in rest)

    def left(self) -> float:
        """Seconds at most: all remaining epochs, each as long as the network's last ones (or the slowest network's)."""
        rest = {name: self.whole - self.done(name) for name in self.units}
        if self.timed:
            return sum(rest.values()) / self.workers
        last = {name: sum(s[-5:]) / len(s[-5:]) for name, s in self.seconds.items() if s}
        slowest = max(last.values(), default=0.0)
        return sum(epochs * last.get(name, slowest) for name, epochs in rest.items()) / self.workers


class _Bars(Watcher):
    """Draws what it is told."""

    def __init__(self, bars: Progress, made: Plan, workers: int) -> None:
        self.bars, self.schedule = bars, _Schedule(made, workers)
        self.unit, self.metric = made.task.metric.unit, made.task.metric.name
        self.lines = {b.name: bars.add_task(b.label, total=self.schedule.whole, at="") for b in made.blueprints}
        self.total = bars.add_task("all", total=self.schedule.whole * len(self.lines), at="")

    def epoch(self, network: str, what: str, epoch: Epoch) -> None:
        self.schedule.note(network, what, epoch)
        score = f"{self.metric} {epoch.valid_score:.4g} {self.unit}".rstrip()
        self._draw(network, f"{what}, epoch {epoch.epoch}: {score}")

    def done(self, network: str, what: str) -> None:
        self.schedule.finish(network, what)
        self._draw(network, f"{what} done")

    def end(self) -> None:
        """All is done."""
        for line in self.lines.values():
            self.bars.update(line, completed=self.schedule.whole, at="done")
        self.bars.update(self.total, completed=self.schedule.whole * len(self.lines), at="done")

    def _draw(self, network: str, at: str) -> None:
        self.bars.update(self.lines[network], completed=self.schedule.done(network), at=at)
        left = f"at most {words.seconds(self.schedule.left())} left"
        self.bars.update(self.total, completed=sum(map(self.schedule.done, self.lines)), at=left)


class _Cell(Watcher):
    """Shows the lines below a notebook's cell, in place; rich itself would need a library of widgets for that."""

    def __init__(self, bars: Progress) -> None:
        from IPython.display import HTML, display

        self.bars, self.shape, self.drawn = bars, HTML, time.monotonic()
        self.handle = display(HTML(self._lines()), display_id=True)

    def epoch(self, network: str, what: str, epoch: Epoch) -> None:
        if time.monotonic() - self.drawn >= GLANCE:
            self.draw()

    def done(self, network: str, what: str) -> None:
        self.draw()

    def draw(self) -> None:
        """As things stand."""
        self.drawn = time.monotonic()
        self.handle.update(self.shape(self._lines()))

    def _lines(self) -> str:
        paper = Console(file=io.StringIO(), width=100, force_jupyter=False, color_system=None)
        with paper.capture() as captured:
            paper.print(self.bars.get_renderable())
        return f"<pre>{escape(captured.get())}</pre>"


@contextmanager
def progress(made: Plan, console: Console, workers: int = 1) -> Iterator[Watcher]:
    """Lines for a plan's networks; yields what ``compare`` tells of its epochs."""
    columns = (
        TextColumn("{task.description:>6}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[at]}", markup=False),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        drawn = _Bars(bars, made, workers)
        if not console.is_jupyter or console.quiet:
            yield drawn
            drawn.end()
            return
        cell = _Cell(bars)
        yield Several(drawn, cell)
        drawn.end()
        cell.draw()

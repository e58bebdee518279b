"""What a person sees while it runs: a line for each network and one for the whole, with the time left; nothing in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from pellucid.lab.comparison import Tell
from pellucid.lab.plan import Plan
from pellucid.lab.report import words
from pellucid.lab.results import Epoch


class _Schedule:
    """How far each network is, in epochs (or in seconds, where these are what is equal), and how long the rest takes."""

    def __init__(self, made: Plan) -> None:
        self.timed = made.budget.seconds is not None
        trial, seed = made.trial_budget, made.budget
        self.budgets: dict[str, float] = {}
        for k in range(made.config.trials):
            self.budgets[f"trial {k + 1}"] = trial.seconds or trial.epochs
        for k in range(made.config.seeds):
            self.budgets[f"seed {k + 1}"] = seed.seconds or seed.epochs
        self.whole = sum(self.budgets.values())
        self.done = {b.name: 0.0 for b in made.blueprints}
        self.seconds: dict[str, list[float]] = {b.name: [] for b in made.blueprints}

    def note(self, name: str, what: str, epoch: Epoch) -> None:
        """A unit that stopped early frees what it did not need; so does a network that is through."""
        for other in self.done:
            if other == name:
                break
            self.done[other] = self.whole
        self.seconds[name].append(epoch.seconds)
        units = list(self.budgets)
        here = sum(self.seconds[name][-epoch.epoch :]) if self.timed else epoch.epoch
        self.done[name] = sum(self.budgets[u] for u in units[: units.index(what)]) + min(here, self.budgets[what])

    def left(self) -> float:
        """Seconds at most: all remaining epochs, each as long as the network's last ones (or the slowest network's)."""
        if self.timed:
            return sum(self.whole - done for done in self.done.values())
        last = {name: sum(s[-5:]) / len(s[-5:]) for name, s in self.seconds.items() if s}
        slowest = max(last.values(), default=0.0)
        return sum((self.whole - done) * last.get(name, slowest) for name, done in self.done.items())


@contextmanager
def progress(made: Plan, console: Console) -> Iterator[Tell]:
    """Lines for a plan's networks; yields what ``compare`` calls after each epoch."""
    columns = (
        TextColumn("{task.description:>6}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[at]}", markup=False),
    )
    schedule = _Schedule(made)
    unit, metric = made.task.metric.unit, made.task.metric.name
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        lines: dict[str, TaskID] = {
            b.name: bars.add_task(b.label, total=schedule.whole, at="") for b in made.blueprints
        }
        total = bars.add_task("all", total=schedule.whole * len(lines), at="")

        def tell(name: str, what: str, epoch: Epoch) -> None:
            schedule.note(name, what, epoch)
            for each, done in schedule.done.items():
                bars.update(lines[each], completed=done)
                if each != name and done == schedule.whole:
                    bars.update(lines[each], at="done")
            most = "" if schedule.timed else f" of at most {schedule.budgets[what]}"
            at = f"{what}, epoch {epoch.epoch}{most}: {metric} {epoch.valid_score:.4g} {unit}"
            bars.update(lines[name], at=at)
            left = f"at most {words.seconds(schedule.left())} left"
            bars.update(total, completed=sum(schedule.done.values()), at=left)

        yield tell
        for line in lines.values():
            bars.update(line, completed=schedule.whole, at="done")
        bars.update(total, completed=schedule.whole * len(lines), at="done")

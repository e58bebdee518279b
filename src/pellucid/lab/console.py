"""What a person sees while it runs: one line for each network, with the time left; nothing in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pellucid.lab.compare import Plan, Tell
from pellucid.lab.results import Epoch


@contextmanager
def progress(made: Plan, console: Console) -> Iterator[Tell]:
    """Lines for a plan's networks; yields what ``compare`` calls after each epoch."""
    columns = (
        TextColumn("{task.description:>6}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[at]}"),
    )
    whole = made.config.trials * made.trial_budget.epochs + made.config.seeds * made.budget.epochs
    unit, metric = made.task.metric.unit, made.task.metric.name
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        lines: dict[str, TaskID] = {b.name: bars.add_task(b.label, total=whole, at="") for b in made.blueprints}
        ended: dict[str, tuple[str, int]] = {}

        def tell(name: str, what: str, epoch: Epoch) -> None:
            """A unit that stopped early frees the epochs that it did not need."""
            last, done_before = ended.get(name, ("", 0))
            budget = made.budget if what.startswith("seed") else made.trial_budget
            if last and last != what:
                before = made.budget if last.startswith("seed") else made.trial_budget
                done_before += before.epochs
            ended[name] = (what, done_before)
            place = f"{what}, epoch {epoch.epoch} of at most {budget.epochs}: {metric} {epoch.valid_score:.4g} {unit}"
            bars.update(lines[name], completed=done_before + epoch.epoch, at=place)
            final = what == f"seed {made.config.seeds}"
            if final:
                bars.update(lines[name], completed=max(done_before + epoch.epoch, whole - budget.epochs + epoch.epoch))

        yield tell
        for line in lines.values():
            bars.update(line, completed=whole, at="done")

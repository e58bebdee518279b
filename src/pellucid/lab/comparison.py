"""The comparison: the same budget for every network, several seeds, one look at the test part, and what it says."""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

import pellucid
from pellucid.errors import DataError
from pellucid.lab import costs, recipe, report
from pellucid.lab.candidates import Blueprint
from pellucid.lab.outcome import Trained, candidate, first, forecasts, safe, write_tables
from pellucid.lab.plan import LEARNING_RATES, Plan
from pellucid.lab.results import BaselineResult, Comparison, Epoch, Trial
from pellucid.lab.runs import Run, default_folder, write
from pellucid.lab.statistics import Bootstrap
from pellucid.lab.train import Budget, Unit, best_of, predict, train
from pellucid.lab.verdict import verdict

Tell = Callable[[str, str, Epoch], None]  # candidate, what it is at, the epoch


def compare(
    made: Plan, *, out: Path | None = None, command: str = "", fresh: bool = False, tell: Tell | None = None
) -> tuple[Comparison, Path]:
    """Do it, or go on with it, or read what was done; return the comparison and its folder.

    Raises:
        DataError: the folder cannot be used.
    """
    run = Run(out or default_folder(made.task.source, made.config))
    with run.alone(), run.writing():
        if fresh:
            run.clear()
        run.begin(made.config)
        recipe.keep(made, run)
        found = run.result()
        if found is None:
            found = _all(made, run, command, tell or (lambda *_: None))
            write(run.file("result.json"), found.model_dump_json(indent=1))
        report.write(found, run.file("report.html"))
    return found, run.folder


def _all(made: Plan, run: Run, command: str, tell: Tell) -> Comparison:
    task = made.task
    trained = [_train(made, run, b, w, tell) for b, w in zip(made.blueprints, made.widths, strict=True)]
    predictions = [[predict(u.model, task.test) for u in t.units] for t in trained]
    scores = [
        np.stack([task.metric.per_item(p, task.test.y).numpy() for p in own]).astype(np.float64) for own in predictions
    ]
    whole = [i for i, own in enumerate(scores) if np.isfinite(own).all()]
    if not whole:
        raise DataError(
            f"{task.source}: every network diverged, its figures are not numbers; are there values far outside the rest?"
        )
    diverged = tuple(
        f"The {t.blueprint.label} diverged, and is left out: its figures are not numbers."
        for i, t in enumerate(trained)
        if i not in whole
    )
    trained, predictions = [trained[i] for i in whole], [predictions[i] for i in whole]
    scores = [scores[i] for i in whole]
    bootstrap = Bootstrap(len(task.test), block=2 * task.horizon if task.goal == "forecast" else 1)
    baseline_scores = task.baseline.scores.numpy()[None]
    sign = -1.0 if task.metric.higher_is_better else 1.0
    order = sorted(range(len(trained)), key=lambda i: sign * scores[i].mean())
    best = scores[order[0]]
    speeds = costs.latencies([t.units[0].model for t in trained], first(task.test))
    candidates = [
        candidate(
            made,
            trained[i],
            predictions[i],
            scores[i],
            best if i != order[0] else None,
            baseline_scores,
            bootstrap,
            speeds[i],
            run,
        )
        for i in order
    ]
    write_tables(run, trained, predictions, scores, made.task)
    baseline = BaselineResult(
        name=task.baseline.name,
        sentence=task.baseline.sentence,
        score=bootstrap.interval(baseline_scores),
        forecast=None if task.goal != "forecast" else forecasts(task, task.baseline.prediction),
    )
    return Comparison(
        pellucid=pellucid.__version__,
        torch=torch.__version__,
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        threads=made.config.threads,
        title=task.title,
        source=str(task.source),
        kind=task.kind,
        goal=task.goal,
        equal=made.config.equal,
        metric=task.metric.name,
        unit=task.metric.unit,
        higher_is_better=task.metric.higher_is_better,
        labels=list(task.labels),
        step=task.step,
        facts=list(task.facts),
        cautions=[*task.cautions, *made.cautions, *diverged],
        baseline=baseline,
        candidates=candidates,
        verdict=verdict(candidates, baseline, task.metric, bootstrap.independent),
    )


def _train(made: Plan, run: Run, plan: Blueprint, width: int, tell: Tell) -> Trained:
    """Tune on validation, then train the seeds; the test part is not at hand here."""
    task = made.task

    def unit(what: str, rate: float, budget: Budget) -> Unit:
        return train(
            f"{plan.name} {what}",
            run.file("units", f"{safe(plan.name)}-{what.replace(' ', '-')}.safetensors"),
            lambda: plan.build(task, width),
            rate,
            task.lesson,
            budget,
            lambda epoch: tell(plan.name, what, epoch),
        )

    trials = []
    for k, rate in enumerate(LEARNING_RATES[: made.config.trials]):
        history = unit(f"trial {k + 1}", rate, made.trial_budget).history
        trials.append(
            Trial(
                settings={"learning rate": rate},
                valid_score=best_of(history, task.metric).valid_score,
                epochs=len(history),
                seconds=sum(e.seconds for e in history),
            )
        )
    sign = -1 if task.metric.higher_is_better else 1
    chosen = min(trials, key=lambda t: (not math.isfinite(t.valid_score), sign * t.valid_score))
    units = [unit(f"seed {k + 1}", chosen.settings["learning rate"], made.budget) for k in range(made.config.seeds)]
    return Trained(plan, width, trials, units)


def command_line() -> str:
    """The command as it was typed, as nearly as a process can know."""
    return " ".join(["pellucid", *sys.argv[1:]])

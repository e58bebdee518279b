"""The comparison: the same budget for every network, several seeds, one look at the test part, and what it says."""

from __future__ import annotations

import platform
import sys
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import pellucid
from pellucid import device
from pellucid.errors import DataError
from pellucid.lab import costs, recipe, report, sealed, team, why
from pellucid.lab.bodies import Network
from pellucid.lab.counted import counted
from pellucid.lab.crew import Alone, Crew, Job, Watcher, Workshop
from pellucid.lab.files import writing
from pellucid.lab.outcome import Trained, Yardstick, candidate, figures, first, forecasts, scores_of, write_tables
from pellucid.lab.pace import best_of
from pellucid.lab.plan import SHARES, Plan
from pellucid.lab.results import BaselineResult, Comparison, Need, Trial
from pellucid.lab.runs import Run, default_folder
from pellucid.lab.statistics import Bootstrap, Scores
from pellucid.lab.task import Task
from pellucid.lab.train import evaluate
from pellucid.lab.tune import Study
from pellucid.lab.verdict import verdict


def compare(
    made: Plan,
    *,
    out: Path | None = None,
    command: str = "",
    fresh: bool = False,
    watcher: Watcher | None = None,
    crew: Crew | None = None,
    storage: str | None = None,
) -> tuple[Comparison, Path]:
    """Do it, or go on with it, or read what was done; return the comparison and its folder.

    Args:
        made: the plan.
        out: the run's folder; one named after the data where None.
        command: as it was typed, for the report.
        fresh: start anew, even if the run was begun or done.
        watcher: is told of each epoch, and of the end.
        crew: who trains; this process where None.
        storage: of the tuning studies, as in :class:`~pellucid.lab.tune.Study`.

    Raises:
        DataError: the folder cannot be used.
    """
    run = Run(out or default_folder(made.task.source, made.config))
    watcher = watcher or Watcher()
    with run.alone() if team.leads() else nullcontext(), writing(run.folder), device.working(made.device):
        if team.leads():
            if fresh:
                run.clear()
            run.begin(made.config)
            recipe.keep(made, run)
        team.meet()
        found = run.result()
        if found is None:
            with closing(crew or Alone()) as hired:
                trained = _train(Workshop(made, run), hired, watcher, storage)
            if team.leads():
                found = _judge(made, run, command, trained)
                sealed.save_record(run.file("result.json"), found)
        if team.leads() and found is not None:
            report.write(found, run.file("report.html"))
            watcher.finish(found)
        team.meet()
    found = found or run.result()
    assert found is not None
    return found, run.folder


# Training: the test part is not looked at


def _train(workshop: Workshop, crew: Crew, watcher: Watcher, storage: str | None) -> list[Trained]:
    """Tune every network on validation, then train its seeds with the best setting, and on smaller parts if asked.

    Of one setting there is nothing to choose, and the first seed is its trial.
    """
    made, metric = workshop.made, workshop.made.task.metric
    networks = range(len(made.blueprints))
    kept = storage if team.leads() else None  # a team has one record
    studies = [
        Study(f"{made.config.key} {b.name}", made.config.trials, metric.higher_is_better, kept, made.config.settings)
        for b in made.blueprints
    ]

    def trial(network: int, number: int, whole: bool) -> Job:
        budget = made.trial_budget if whole else made.first_budget
        return Job(network, f"trial {number + 1}", studies[network].settings[number], budget)

    def score(job: Job) -> float:
        return best_of(workshop.do(job).history, metric).valid_score

    numbers = range(made.config.trials)
    several = len(numbers) > 1
    on, chosen = [list(numbers) for _ in networks], [0 for _ in networks]
    if several:
        begun = [[trial(n, k, whole=False) for k in numbers] for n in networks]
        crew.work(workshop, [job for own in begun for job in own], watcher)
        on = [studies[n].better_half([score(job) for job in begun[n]], made.first_budget.epochs) for n in networks]
        crew.work(workshop, [trial(n, k, whole=True) for n in networks for k in on[n]], watcher)
        chosen = [studies[n].best({k: score(trial(n, k, whole=True)) for k in on[n]}) for n in networks]

    def seeds(network: int, share: float) -> list[Job]:
        part = "" if share == 1 else f"share {share:g} "
        budget = made.budget if share == 1 else made.share_budget(share)
        settings = studies[network].settings[chosen[network]]
        return [Job(network, f"{part}seed {k + 1}", settings, budget, share) for k in range(made.config.seeds)]

    shares = [1.0, *(SHARES if made.config.curve else ())]
    crew.work(workshop, [job for share in shares for n in networks for job in seeds(n, share)], watcher)
    if not several:
        for n in networks:
            studies[n].best({0: score(seeds(n, 1.0)[0])})

    def record(network: int, number: int) -> Trial:
        tuned = trial(network, number, whole=number in on[network])
        history = workshop.do(tuned if several else seeds(network, 1.0)[0]).history
        return Trial(
            settings=studies[network].settings[number],
            valid_score=best_of(history, metric).valid_score,
            epochs=len(history),
            seconds=sum(e.seconds for e in history) if several else 0.0,
            stopped=number not in on[network],
        )

    return [
        Trained(
            blueprint=made.blueprints[n],
            width=made.widths[n],
            trials=[record(n, k) for k in numbers],
            units=[workshop.do(job) for job in seeds(n, 1.0)],
            parts={share: [workshop.do(job) for job in seeds(n, share)] for share in shares[1:]},
        )
        for n in networks
    ]


# Judging: one look at the test part


@dataclass
class _Tested:
    """A network and what it says on the test part: for each seed the raw output, and a score for each item."""

    trained: Trained
    predictions: list[Tensor]
    scores: Scores


def _judge(made: Plan, run: Run, command: str, trained: list[Trained]) -> Comparison:
    task = made.task
    tested = [_test(t, task) for t in trained]
    whole = [t for t in tested if np.isfinite(t.scores).all()]
    if not whole:
        raise DataError(
            f"{task.source}: every network diverged, its figures are not numbers; are there values far outside the rest?"
        )
    diverged = [
        f"The {t.trained.blueprint.label} diverged, and is left out: its figures are not numbers."
        for t in tested
        if t not in whole
    ]
    sign = -1.0 if task.metric.higher_is_better else 1.0
    whole.sort(key=lambda t: sign * float(t.scores.mean()))
    bootstrap = Bootstrap(len(task.test), block=task.block)
    baseline_scores = task.baseline.scores.numpy()[None]
    rope = made.config.rope or (1.0 if task.metric.unit == "%" else 0.01 * abs(float(baseline_scores.mean())))
    yardstick = Yardstick(bootstrap, baseline_scores, rope)
    speeds = costs.latencies([_network(t.trained) for t in whole], first(task.test))
    candidates = [
        candidate(
            made, run, t.trained, t.predictions, t.scores, None if t is whole[0] else whole[0].scores, yardstick, speed
        )
        for t, speed in zip(whole, speeds, strict=True)
    ]
    tables = write_tables(
        run, [t.trained for t in whole], [t.predictions for t in whole], [t.scores for t in whole], task
    )
    baseline = BaselineResult(
        name=task.baseline.name,
        sentence=task.baseline.sentence,
        score=bootstrap.interval(baseline_scores, task.metric.bounds),
        forecast=None if task.goal != "forecast" else forecasts(task, task.baseline.prediction),
        figures=[] if task.baseline.prediction is None else figures(task, [task.baseline.prediction], bootstrap),
    )
    need = _need(whole[0].trained, task, rope)
    return Comparison(
        pellucid=pellucid.__version__,
        torch=torch.__version__,
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        threads=made.config.threads,
        device=made.config.device,
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
        need=need,
        tables=tables,
        verdict=verdict(candidates, baseline, task.metric, bootstrap.independent, need, _test_part(task)),
    )


def _test_part(task: Task) -> str:
    """What the test part holds, in words; the bootstrap draws blocks of two forecasts that do not overlap."""
    count = len(task.test)
    if task.block == 1:
        return counted(count, "item")
    apart = -(-count // -(-task.block // 2))
    whole = "one forecast that overlaps no other" if apart == 1 else f"about {apart:,} forecasts that do not overlap"
    return whole + (f", which count as {count / task.block:.0f} independent ones" if count >= 2 * task.block else "")


def _test(trained: Trained, task: Task) -> _Tested:
    predictions = [evaluate(unit.model, task.test, task.goal) for unit in trained.units]
    return _Tested(trained, predictions, scores_of(predictions, task))


def _need(best: Trained, task: Task, rope: float) -> Need | None:
    if task.form == "image" or task.extent[0] < 2:
        return None
    return why.need(_network(best), best.blueprint.label, task.test, task.lesson, rope)


def _network(trained: Trained) -> Network:
    """The first seed's."""
    model = trained.units[0].model
    assert isinstance(model, Network)
    return model


def command_line() -> str:
    """The command as it was typed, as nearly as a process can know."""
    return " ".join(["pellucid", *sys.argv[1:]])

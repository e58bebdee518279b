"""The comparison: the same budget for every network, several seeds, one look at the test part, and what it says."""

from __future__ import annotations

import csv
import io
import json
import math
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import pellucid
from pellucid.errors import ArgumentError, DataError
from pellucid.lab import costs, report
from pellucid.lab.candidates import TOLERANCE, Blueprint, Network, blueprint, common_size, solve_width
from pellucid.lab.data.split import digest
from pellucid.lab.results import BaselineResult, Candidate, Comparison, Cost, Epoch, Forecast, SeedRun, Trial
from pellucid.lab.runs import Config, Run, default_folder, write
from pellucid.lab.statistics import Bootstrap, Scores
from pellucid.lab.task import Split, Task
from pellucid.lab.train import Budget, Unit, best_of, predict, train
from pellucid.lab.verdict import verdict

LEARNING_RATES = (0.003, 0.01, 0.001, 0.03, 0.0003)  # tried in this order by every network
Tell = Callable[[str, str, Epoch], None]  # candidate, what it is at, the epoch


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        task: the data.
        blueprints, widths: the networks.
        config: all that decides the figures.
        budget: of a seed's training; tuning trials get half its epochs.
        cautions: what a reader must know of the plan.
    """

    task: Task
    blueprints: list[Blueprint]
    widths: list[int]
    config: Config
    budget: Budget
    cautions: tuple[str, ...]

    @property
    def trial_budget(self) -> Budget:
        """Of a tuning trial: half of a seed's."""
        half = math.ceil(self.budget.epochs / 2)
        seconds = None if self.budget.seconds is None else self.budget.seconds / 2
        return Budget(half, self.budget.patience, self.budget.batch, seconds)

    def sentence(self) -> str:
        """The plan in one line."""
        names = ", ".join(f"{b.label} ({w} wide)" for b, w in zip(self.blueprints, self.widths, strict=True))
        trials, seeds = self.config.trials, self.config.seeds
        most = (
            f"{self.budget.epochs} epochs" if self.budget.seconds is None else f"{self.budget.seconds:g} s of training"
        )
        return (
            f"{names}; about {self.config.parameters:,} parameters each; {trials} settings tried and "
            f"{seeds} seeds trained, at most {most} each"
        )


def plan(
    task: Task,
    candidates: list[str],
    *,
    equal: Literal["params", "time"] = "params",
    parameters: int | None = None,
    trials: int = 3,
    seeds: int = 3,
    epochs: int | None = None,
    seconds: float | None = None,
) -> Plan:
    """Settle what will be done.

    Args:
        task: the data.
        candidates: names, or cells as ``file.py:Class``.
        equal: whether networks are equal in parameters, or in the seconds that they may train, too.
        parameters: of each network; about 6 for each training item, between 4,000 and 40,000, where None.
        trials: learning rates that each network tries.
        seeds: trainings of each with the best.
        epochs: at most; fewer for more data where None.
        seconds: for each training with ``equal="time"``.

    Raises:
        ArgumentError: a count that cannot be, an unknown network, the same one twice.
    """
    for name, value, most in (
        ("trials", trials, len(LEARNING_RATES)),
        ("seeds", seeds, 100),
        ("epochs", epochs, 10_000),
        ("params", parameters, 1_000_000_000),
    ):
        if value is not None and not 1 <= value <= most:
            raise ArgumentError(f"{name} is {value}; give a number from 1 to {most:,}")
    if equal not in ("params", "time"):
        raise ArgumentError(f"equal is {equal!r}; choose params or time")
    if seconds is not None and equal != "time":
        raise ArgumentError(f"seconds is {seconds:g}, and counts only with --equal time; add that, or leave it out")
    if seconds is not None and not 0 < seconds < math.inf:
        raise ArgumentError(f"seconds is {seconds:g}; give a number above 0")
    if epochs is not None and equal == "time":
        raise ArgumentError("with --equal time the seconds decide, not the epochs; leave one of them out")
    plans = [blueprint(name) for name in candidates]
    by_name: dict[str, str] = {}
    for wanted_name, found in zip(candidates, plans, strict=True):
        if found.name in by_name:
            raise ArgumentError(
                f"{by_name[found.name]} and {wanted_name} are both called {found.label}; name each network once, and give "
                "a cell's class a name of its own"
            )
        by_name[found.name] = wanted_name
    if not plans:
        raise ArgumentError("no network is named; give some of cnn, rnn, lstm, gru, or a cell as my_cell.py:MyCell")
    items = len(task.train)
    wanted = parameters or int(np.clip(6 * items, 4_000, 40_000))
    wanted = common_size(plans, task, wanted)
    widths = [solve_width(p, task, wanted) for p in plans]
    sizes = [p.size(task, w) for p, w in zip(plans, widths, strict=True)]
    cautions: tuple[str, ...] = ()
    if max(sizes) > (1 + TOLERANCE) * min(sizes):
        cautions = (
            f"No widths make the networks equal within 5 %: they have {min(sizes):,} to {max(sizes):,} parameters.",
        )
    epochs = epochs or int(np.clip(80_000 / items, 5, 60))
    if equal == "time":
        seconds, epochs = seconds or 20.0, 10_000
    batch = int(np.clip(2 ** round(math.log2(max(items, 2) / 20)), 8, 64))
    config = Config(
        pellucid=pellucid.__version__,
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        data=task.fingerprint,
        candidates=candidates,
        equal=equal,
        parameters=wanted,
        trials=trials,
        seeds=seeds,
        epochs=epochs,
        seconds=seconds,
        cells=digest(*(Path(name.rpartition(":")[0]).read_bytes() for name in candidates if ":" in name)),
    )
    return Plan(task, plans, widths, config, Budget(epochs, max(3, epochs // 4), batch, seconds), cautions)


def compare(
    made: Plan, *, out: Path | None = None, command: str = "", fresh: bool = False, tell: Tell | None = None
) -> tuple[Comparison, Path]:
    """Do it, or go on with it, or read what was done; return the comparison and its folder.

    Raises:
        DataError: the folder cannot be used.
    """
    run = Run(out or default_folder(made.task.source, made.config))
    with run.alone():
        if fresh:
            run.clear()
        run.begin(made.config)
        found = run.result()
        if found is None:
            found = _all(made, run, command, tell or (lambda *_: None))
            write(run.file("result.json"), found.model_dump_json(indent=1))
        report.write(found, run.file("report.html"))
    return found, run.folder


@dataclass
class _Trained:
    """A network after training, before the test part was looked at."""

    blueprint: Blueprint
    width: int
    trials: list[Trial]
    units: list[Unit]


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
    speeds = costs.latencies([t.units[0].model for t in trained], _first(task.test))
    candidates = [
        _candidate(
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
    _write_tables(run, trained, predictions, scores, made.task)
    baseline = BaselineResult(
        name=task.baseline.name,
        sentence=task.baseline.sentence,
        score=bootstrap.interval(baseline_scores),
        forecast=None if task.goal != "forecast" else _forecasts(task, task.baseline.prediction),
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


def _train(made: Plan, run: Run, plan: Blueprint, width: int, tell: Tell) -> _Trained:
    """Tune on validation, then train the seeds; the test part is not at hand here."""
    task = made.task

    def unit(what: str, rate: float, budget: Budget) -> Unit:
        return train(
            f"{plan.name} {what}",
            run.file("units", f"{_safe(plan.name)}-{what.replace(' ', '-')}.safetensors"),
            lambda: plan.build(task, width),
            rate,
            task.train,
            task.valid,
            task.goal,
            task.metric,
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
    return _Trained(plan, width, trials, units)


def _candidate(
    made: Plan,
    trained: _Trained,
    predictions: list[Tensor],
    scores: Scores,
    best: Scores | None,
    baseline: Scores,
    bootstrap: Bootstrap,
    speed: tuple[float, float],
    run: Run,
) -> Candidate:
    task, metric = made.task, made.task.metric
    model = trained.units[0].model
    assert isinstance(model, Network)
    item = _first(task.test)
    rows = costs.structure(model, item)
    name = trained.blueprint.name
    for k, u in enumerate(trained.units):
        path = run.file("models", f"{_safe(name)}-seed-{k + 1}.safetensors")
        about = {"network": name, "width": trained.width, "task": task.title}
        metadata = {"pellucid": json.dumps(about)}  # one entry: safetensors writes several in no fixed order
        save_file({n: v.contiguous() for n, v in u.model.state_dict().items()}, path, metadata)
    better = bootstrap.difference(scores, baseline)
    worse = None
    if best is not None:
        worse = bootstrap.difference(best, scores) if metric.higher_is_better else bootstrap.difference(scores, best)
    return Candidate(
        name=name,
        label=trained.blueprint.label,
        sentence=model.body.sentence + "; then a linear layer",
        width=trained.width,
        cost=Cost(
            parameters=sum(p.numel() for p in model.parameters()),
            macs=sum(r.macs for r in rows),
            training_seconds=statistics.mean(sum(e.seconds for e in u.history) for u in trained.units),
            tuning_seconds=sum(t.seconds for t in trained.trials),
            latency_ms_p50=speed[0],
            latency_ms_p99=speed[1],
            training_bytes=costs.training_bytes(model, _first(task.train, made.budget.batch)),
            file_bytes=run.file("models", f"{_safe(name)}-seed-1.safetensors").stat().st_size,
        ),
        layers=rows,
        diagram=None if trained.blueprint.cell is None else trained.blueprint.cell.diagram(),
        trials=trained.trials,
        seeds=[
            SeedRun(
                seed=k + 1,
                history=u.history,
                best_epoch=u.best_epoch(metric).epoch,
                test_score=float(scores[k].mean()),
                seconds=sum(e.seconds for e in u.history),
            )
            for k, u in enumerate(trained.units)
        ],
        score=bootstrap.interval(scores),
        seed_spread=float(scores.mean(1).std(ddof=1)) if len(scores) > 1 else 0.0,
        behind=worse,
        beats_baseline=better.low > 0 if metric.higher_is_better else better.high < 0,
        confusion=_confusion(task, predictions) if task.goal == "class" else None,
        forecast=_forecasts(task, predictions[0]) if task.goal == "forecast" else None,
        sample=_sample(task, model) if task.goal == "next" else None,
    )


def _first(split: Split, count: int = 1) -> Split:
    """The first items as a batch."""
    lengths = None if split.lengths is None else split.lengths[:count]
    return Split(split.x[:count], split.y[:count], lengths, split.items[:count])


def _confusion(task: Task, predictions: list[Tensor]) -> list[list[int]]:
    count = len(task.labels)
    pairs = torch.cat([task.test.y * count + p.argmax(-1) for p in predictions])
    return torch.bincount(pairs, minlength=count * count).reshape(count, count).tolist()


def _forecasts(task: Task, prediction: Tensor | None) -> list[Forecast]:
    """Three test windows, evenly spread, in the data's own unit."""
    assert prediction is not None
    (offset,), (factor,) = task.scale
    columns = task.preprocessing["columns"]
    assert isinstance(columns, list)
    column = columns.index(task.preprocessing["target"])

    def raw(values: Tensor) -> list[float]:
        return [float(v) for v in values.double() * factor + offset]

    return [
        Forecast(
            start=task.test.items[i],
            channel=task.labels[0],
            past=raw(task.test.x[i, :, column]),
            actual=raw(task.test.y[i, :, 0]),
            predicted=raw(prediction[i, :, 0]),
        )
        for i in sorted({len(task.test) // 6, len(task.test) // 2, 5 * len(task.test) // 6})
    ]


def _sample(task: Task, model: nn.Module, length: int = 200) -> str:
    """Text that the network writes when each character is drawn as it says."""
    generator = torch.Generator().manual_seed(0)
    tokens = task.test.x[0, :1].tolist()
    model.eval()
    with torch.no_grad():
        while len(tokens) < length:
            window = torch.tensor([tokens[-task.extent[0] :]])
            probabilities = model(window)[0, -1].softmax(-1)
            tokens.append(int(torch.multinomial(probabilities, 1, generator=generator)))
    return "".join(task.labels[t] for t in tokens)


def _write_tables(
    run: Run, trained: list[_Trained], predictions: list[list[Tensor]], scores: list[Scores], task: Task
) -> None:
    """metrics.csv and a file of test predictions for each network."""
    metrics = io.StringIO()
    writer = csv.writer(metrics)
    writer.writerow(["network", "seed", *Epoch.model_fields])
    for t in trained:
        for k, u in enumerate(t.units):
            writer.writerows([t.blueprint.name, k + 1, *e.model_dump().values()] for e in u.history)
    write(run.file("metrics.csv"), metrics.getvalue())
    for t, own, score in zip(trained, predictions, scores, strict=True):
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(["item", "seed", "score", "answer"])
        for k, prediction in enumerate(own):
            answers = _answers(task, prediction)
            writer.writerows(zip(task.test.items, [k + 1] * len(answers), score[k].tolist(), answers, strict=True))
        write(run.file("predictions", f"{_safe(t.blueprint.name)}.csv"), table.getvalue())


def _answers(task: Task, prediction: Tensor) -> list[str]:
    if task.goal == "class":
        return [task.labels[i] for i in prediction.argmax(-1).tolist()]
    if task.goal == "forecast":
        (offset,), (factor,) = task.scale
        return [" ".join(f"{v * factor + offset:.6g}" for v in row) for row in prediction[..., 0].tolist()]
    return [""] * len(prediction)


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)


def command_line() -> str:
    """The command as it was typed, as nearly as a process can know."""
    return " ".join(["pellucid", *sys.argv[1:]])

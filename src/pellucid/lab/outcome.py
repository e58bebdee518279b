"""What came of a network's training: its figures on the test part, its costs, and the tables that are kept of it."""

from __future__ import annotations

import csv
import io
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pellucid import device
from pellucid.lab import costs, sealed, why
from pellucid.lab.bodies import Network
from pellucid.lab.candidates import Blueprint
from pellucid.lab.files import write
from pellucid.lab.goals import GOALS
from pellucid.lab.plan import Plan
from pellucid.lab.results import Candidate, Cost, CurvePoint, Epoch, Figure, Forecast, Interval, Roll, SeedRun, Trial
from pellucid.lab.runs import Run, answers_of, safe
from pellucid.lab.statistics import Bootstrap, Scores
from pellucid.lab.task import Metric, Split, Task
from pellucid.lab.train import Unit, evaluate, predict

SHOWN = 300  # numbers that the report draws
STEPS = 64  # of an item, whose labels it draws


@dataclass
class Trained:
    """A network after training, before the test part was looked at.

    Attributes:
        blueprint, width: of the network.
        trials: of its tuning.
        units: its seeds with the best setting.
        parts: the same on shares of the training part.
    """

    blueprint: Blueprint
    width: int
    trials: list[Trial]
    units: list[Unit]
    parts: dict[float, list[Unit]]


@dataclass
class Yardstick:
    """What figures are held against: resamples of the test part, the baseline's scores, and what difference is negligible."""

    bootstrap: Bootstrap
    baseline: Scores
    rope: float


def candidate(
    made: Plan,
    run: Run,
    trained: Trained,
    predictions: list[Tensor],
    scores: Scores,
    best: Scores | None,
    yardstick: Yardstick,
    speed: tuple[costs.Speed, costs.Speed | None],
) -> Candidate:
    """A network's record, and its models in the run folder.

    Args:
        made: the plan.
        run: the folder.
        trained: the network.
        predictions: of each seed on the test part.
        scores: of each seed and test item.
        best: the scores of the best network; None for itself.
        yardstick: what they are held against.
        speed: for one item, and for one more step.
    """
    task, metric, bootstrap = made.task, made.task.metric, yardstick.bootstrap
    model = trained.units[0].model
    assert isinstance(model, Network)
    rows = costs.structure(model, first(task.test))
    name = trained.blueprint.name
    for k, unit in enumerate(trained.units):
        _save(unit.model, run, trained, k, task)
    ahead = bootstrap.difference(scores, yardstick.baseline, metric.bounds)
    if not metric.higher_is_better:
        ahead = Interval(value=-ahead.value, low=-ahead.high, high=-ahead.low)
    behind, odds = None, None
    if best is not None:
        pair = (best, scores) if metric.higher_is_better else (scores, best)
        behind = bootstrap.difference(*pair, metric.bounds)
        odds = bootstrap.odds(best, scores, yardstick.rope, metric.bounds)
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
            latency_ms_p50=speed[0][0],
            latency_ms_p99=speed[0][1],
            step_ms_p50=None if speed[1] is None else speed[1][0],
            step_ms_p99=None if speed[1] is None else speed[1][1],
            training_bytes=costs.training_bytes(model, first(task.train, made.budget.batch)),
            gpu_bytes=costs.gpu_bytes(model, first(task.train, made.budget.batch), task.lesson),
            file_bytes=_model_file(run, name, 0).stat().st_size,
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
        score=bootstrap.interval(scores, metric.bounds),
        seed_spread=float(scores.mean(1).std(ddof=1)) if len(scores) > 1 else 0.0,
        odds=odds,
        behind=behind,
        ahead=ahead,
        beats_baseline=ahead.low > 0,
        curve=_curve(task, trained, scores, bootstrap),
        why=why.explain(model, task.test, task.lesson),
        confusion=_confusion(task, predictions) if task.goal == "class" else None,
        forecast=forecasts(task, predictions[0]) if task.goal == "forecast" else None,
        sample=_sample(task, model) if task.goal == "next" else None,
        figures=figures(task, predictions, bootstrap),
        numbers=_numbers(task, predictions) if task.goal == "number" else None,
        roll=_roll(task, model) if task.goal == "next labels" else None,
    )


def scores_of(predictions: list[Tensor], task: Task, metric: Metric | None = None) -> Scores:
    """(seeds, items) of a metric on the test part, the one that decides where None."""
    metric = metric or task.metric
    return np.stack([metric.per_item(p, task.test.y).numpy() for p in predictions]).astype(np.float64)


def _curve(task: Task, trained: Trained, scores: Scores, bootstrap: Bootstrap) -> list[CurvePoint]:
    """The figure by the number of training items, the whole part last."""
    if not trained.parts:
        return []
    found = [
        CurvePoint(
            items=len(task.lesson.part(share).used),
            score=bootstrap.interval(
                scores_of([evaluate(u.model, task.test, task.goal) for u in units], task), task.metric.bounds
            ),
        )
        for share, units in sorted(trained.parts.items())
    ]
    return [*found, CurvePoint(items=len(task.train), score=bootstrap.interval(scores, task.metric.bounds))]


def _model_file(run: Run, name: str, seed: int) -> Path:
    return run.file("models", f"{safe(name)}-seed-{seed + 1}.safetensors")


def _save(model: nn.Module, run: Run, trained: Trained, seed: int, task: Task) -> None:
    name = trained.blueprint.name
    about = {"network": name, "width": trained.width, "task": task.title}
    sealed.save(_model_file(run, name, seed), model.state_dict(), about)


def figures(task: Task, predictions: list[Tensor], bootstrap: Bootstrap) -> list[Figure]:
    """What is reported beside the figure that decides, over test items and seeds."""
    return [
        Figure(name=m.name, unit=m.unit, value=bootstrap.interval(scores_of(predictions, task, m), m.bounds))
        for m in task.figures
    ]


def first(split: Split, count: int = 1) -> Split:
    """The first items as a batch."""
    lengths = None if split.lengths is None else split.lengths[:count]
    return Split(split.x[:count], split.y[:count], lengths, split.items[:count])


def _confusion(task: Task, predictions: list[Tensor]) -> list[list[int]]:
    count = len(task.labels)
    pairs = torch.cat([task.test.y * count + p.argmax(-1) for p in predictions])
    return torch.bincount(pairs, minlength=count * count).reshape(count, count).tolist()


def forecasts(task: Task, prediction: Tensor | None) -> list[Forecast]:
    """Three test windows, evenly spread, in the data's own unit."""
    assert prediction is not None
    middle, sure = task.quantiles.index(0.5), len(task.quantiles) > 1 and prediction.shape[-1] > 1
    columns = task.preprocessing["columns"]
    assert isinstance(columns, list)
    column = columns.index(task.preprocessing["target"])

    return [
        Forecast(
            start=task.test.items[i],
            channel=task.labels[0],
            past=task.raw(task.test.x[i, :, column], i),
            actual=task.raw(task.test.y[i, :, 0], i),
            predicted=task.raw(prediction[i, :, middle if prediction.shape[-1] > 1 else 0], i),
            low=task.raw(prediction[i, :, 0], i) if sure else None,
            high=task.raw(prediction[i, :, -1], i) if sure else None,
        )
        for i in sorted({len(task.test) // 6, len(task.test) // 2, 5 * len(task.test) // 6})
    ]


def _numbers(task: Task, predictions: list[Tensor]) -> list[tuple[float, float]]:
    """True and said, the seeds' mean, of test items that are evenly spread."""
    rows = torch.linspace(0, len(task.test) - 1, min(SHOWN, len(task.test))).round().long()
    true, said = (task.raw(v[rows, 0], 0) for v in (task.test.y, torch.stack(predictions).mean(0)))
    return list(zip(true, said, strict=True))


def _roll(task: Task, model: nn.Module) -> Roll:
    """The first test item's first steps."""
    asked = int((task.test.y[0, :STEPS, 0] >= 0).sum())
    actual, said = task.test.y[0, :asked].T, predict(model, first(task.test))[0, :asked].sigmoid().T
    rows = ((actual > 0) | (said > 0.5)).any(1).nonzero()[:, 0].tolist()
    return Roll(
        item=task.test.items[0],
        labels=[task.labels[k] for k in rows],
        actual=[actual[k].int().tolist() for k in rows],
        said=[[round(v, 3) for v in said[k].tolist()] for k in rows],
    )


def _sample(task: Task, model: nn.Module, length: int = 200) -> str:
    """Text that the network writes when each token is drawn as it says."""
    generator = torch.Generator().manual_seed(0)
    tokens = task.test.x[0, :1].tolist()
    model.eval()
    with torch.no_grad():
        while len(tokens) < length:
            window = device.moved(torch.tensor([tokens[-task.extent[0] :]]), device.of(model))
            probabilities = model(window)[0, -1].softmax(-1).cpu()
            tokens.append(int(torch.multinomial(probabilities, 1, generator=generator)))
    assert task.decode is not None
    return task.decode(tokens)


def write_tables(
    run: Run, trained: list[Trained], predictions: list[list[Tensor]], scores: list[Scores], task: Task
) -> dict[str, str]:
    """metrics.csv and a file of test predictions for each network; of each its SHA-256."""
    metrics = io.StringIO()
    writer = csv.writer(metrics)
    writer.writerow(["network", "seed", *Epoch.model_fields])
    for t in trained:
        for k, u in enumerate(t.units):
            writer.writerows([t.blueprint.name, k + 1, *e.model_dump().values()] for e in u.history)
    tables = {"metrics.csv": metrics.getvalue()}
    for t, own, score in zip(trained, predictions, scores, strict=True):
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(["item", "seed", "score", "answer"])
        for k, prediction in enumerate(own):
            answers = GOALS[task.goal].said(task, prediction)
            writer.writerows(zip(task.test.items, [k + 1] * len(answers), score[k].tolist(), answers, strict=True))
        tables[answers_of(t.blueprint.name)] = table.getvalue()
    for name, text in tables.items():
        write(run.file(name), text)
    return {name: sealed.digest(text.encode()) for name, text in tables.items()}

"""The promise: where validation is no longer better training goes back to its best epoch with a lower rate, never to a worse figure,
and a unit that was stopped anywhere goes on as if it had not been.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.lab import tasks

from pellucid.lab import data, sealed
from pellucid.lab import plan as planning
from pellucid.lab.pace import LOWER, Budget, Pace, best_of, pace
from pellucid.lab.results import Epoch
from pellucid.lab.task import Metric, Task
from pellucid.lab.train import Unit, _epoch, train

ERROR = Metric("error", "", False, 0.01, lambda said, _target: said)
SHARE = Metric("share right", "%", True, 1.0, lambda said, _target: said)


def epochs(scores: list[float], loss: float = 1.0) -> list[Epoch]:
    return [
        Epoch(epoch=k, train_loss=loss, valid_loss=1.0, valid_score=score, seconds=1.0)
        for k, score in enumerate(scores, 1)
    ]


def walk(scores: list[float], budget: Budget, metric: Metric = ERROR) -> tuple[list[int], list[int], int | None]:
    """The epochs after which training goes back, the times that each epoch's rate was lowered, and where it ends."""
    history, back, lowered = epochs(scores), [], []
    for count in range(len(history)):
        now = pace(history[:count], metric, budget)
        if now.ends is not None:
            return back, lowered, now.ends
        lowered.append(now.lowered)
        if now.back:
            back.append(count)
    return back, lowered, pace(history, metric, budget).ends


@pytest.mark.parametrize(
    ("scores", "back", "lowered", "ends"),
    [
        pytest.param([5, 4, 3, 2, 1], [], [0] * 5, None, id="better each time"),
        pytest.param([5, 4] + [6] * 20, [8], [0] * 8 + [1] * 2, 10, id="a lower rate gains nothing"),
        pytest.param([5, 4] + [6] * 6 + [3, 3] + [6] * 9, [8, 11], [0] * 8 + [1] * 3 + [2] * 2, 13, id="it gains once"),
        pytest.param([5] * 5 + [4] + [5] * 5 + [3] + [5], [], [0] * 13, None, id="rare gains at one rate"),
        pytest.param([math.nan] * 9, [7], [0] * 7 + [1] * 2, 9, id="never a number"),
        pytest.param([5, 4, *[math.nan] * 6, 3], [8], [0] * 8 + [1], None, id="no number for a time"),
    ],
)
def test_when_it_goes_back_and_when_it_ends(
    scores: list[float], back: list[int], lowered: list[int], ends: int | None
) -> None:
    assert walk(scores, Budget(40, 6, 8)) == (back, lowered, ends)
    assert walk([-s for s in scores], Budget(40, 6, 8), SHARE) == (back, lowered, ends)


def test_what_else_ends_it() -> None:
    flat = epochs([5.0] * 30)
    assert pace(flat[:3], ERROR, Budget(3, 6, 8)) == Pace(3, 0, False)
    assert pace(flat[:4], ERROR, Budget(40, 6, 8, seconds=4.0)) == Pace(4, 0, False)
    assert pace(flat[:2] + epochs([5.0], math.inf), ERROR, Budget(40, 6, 8)).ends == 3
    assert pace([], ERROR, Budget(1, 1, 8)) == Pace(None, 0, False)
    assert pace(flat, ERROR, Budget(40, 6, 8)).ends == 9  # what there is beyond the end was of a larger budget


def test_a_larger_budget_goes_back_where_the_smaller_one_ended() -> None:
    """A trial that goes on: its epochs ran out at the very epoch after which the rate is lowered."""
    flat = epochs([4.0] + [5.0] * 6)
    assert pace(flat, ERROR, Budget(7, 6, 8)) == Pace(7, 0, False)
    assert pace(flat, ERROR, Budget(14, 6, 8)) == Pace(None, 1, True)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return data.load(tasks.write_series(tmp_path_factory.mktemp("pace") / "series.csv", rows=160), horizon=2, window=8)


BUDGET = Budget(30, 3, 16)
RATE = 0.05  # coarse, so that validation soon is no better


def training(task: Task, file: Path, tell: Callable[[Epoch], None] = lambda _: None, budget: Budget = BUDGET) -> Unit:
    made = planning.plan(task, ["gru"], size=400)
    return train(
        "gru seed 1", file, lambda: made.blueprints[0].build(task, made.widths[0]), RATE, task.lesson, budget, tell
    )


def figures(history: list[Epoch]) -> list[tuple[float | None, ...]]:
    return [(e.train_loss, e.valid_loss, e.valid_score, e.learning_rate) for e in history]


class StoppedError(Exception):
    """Where the test stops a training."""


def test_lowering_the_rate_only_adds_to_a_training(task: Task, tmp_path: Path) -> None:
    unit = training(task, tmp_path / "unit.safetensors")
    metric = task.lesson.metric
    rates = [e.learning_rate for e in unit.history]
    first = rates.count(RATE)
    assert 0 < first < len(rates)
    assert sorted(set(rates), reverse=True) == pytest.approx([RATE * LOWER**k for k in range(len(set(rates)))])
    kept = training(task, tmp_path / "kept.safetensors", budget=Budget(first, first, BUDGET.batch))
    assert figures(unit.history[:first]) == figures(
        kept.history
    )  # as if the rate stayed; what comes after is better here
    assert best_of(unit.history, metric).epoch > first
    assert best_of(unit.history, metric).valid_score < best_of(unit.history[:first], metric).valid_score


def test_it_goes_on_from_the_weights_of_the_best_epoch(task: Task, tmp_path: Path) -> None:
    """The first epoch after a return is the one that the best epoch's weights give with a fresh optimiser."""
    whole = training(task, tmp_path / "whole.safetensors")
    back = [e.learning_rate for e in whole.history].count(RATE)
    best = best_of(whole.history[:back], task.lesson.metric).epoch
    weights: dict[str, torch.Tensor] = {}

    def remember(epoch: Epoch) -> None:
        if epoch.epoch == best:
            weights.update(sealed.load(tmp_path / "again.safetensors")[0])

    training(task, tmp_path / "again.safetensors", remember)
    made = planning.plan(task, ["gru"], size=400)
    model = made.blueprints[0].build(task, made.widths[0])
    model.load_state_dict({k.removeprefix("model."): v for k, v in weights.items() if k.startswith("model.")})
    unit = Unit("gru seed 1", tmp_path / "by-hand.safetensors", model, whole.history[:back], {})
    by_hand = _epoch(unit, torch.optim.Adam(model.parameters(), lr=RATE * LOWER), task.lesson, BUDGET.batch)
    assert figures([by_hand]) == figures([whole.history[back]])


def test_stopped_after_any_epoch_it_goes_on_the_same(task: Task, tmp_path: Path) -> None:
    whole = training(task, tmp_path / "whole.safetensors")
    for last in range(1, len(whole.history)):
        file = tmp_path / f"{last}.safetensors"

        def stop(epoch: Epoch, last: int = last) -> None:
            if epoch.epoch == last:
                raise StoppedError

        with pytest.raises(StoppedError):
            training(task, file, stop)
        again = training(task, file)
        assert figures(again.history) == figures(whole.history)
        assert all(torch.equal(again.best[k], v) for k, v in whole.best.items())

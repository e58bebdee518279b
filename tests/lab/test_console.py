"""Progress tells how far the run is and how long it takes at most; in a pipe it is silent."""

from __future__ import annotations

import io
import sys
import time
import types
from pathlib import Path

import pytest
from rich.console import Console
from tests.lab import tasks

from pellucid.lab import data
from pellucid.lab import plan as planning
from pellucid.lab.console import _Schedule, progress
from pellucid.lab.results import Epoch


def made(folder: Path, **options: object) -> planning.Plan:
    task = data.load(tasks.write_images(folder / "images"))
    given = {"trials": 2, "seeds": 1, "size": 2000} | options
    return planning.plan(task, ["cnn", "gru"], **given)  # type: ignore[arg-type]


def epoch(number: int, seconds: float = 2.0) -> Epoch:
    return Epoch(epoch=number, train_loss=1.0, valid_loss=1.0, valid_score=50.0, seconds=seconds)


def test_time_left_is_all_remaining_epochs_at_the_networks_own_pace(tmp_path: Path) -> None:
    schedule = _Schedule(
        made(tmp_path, epochs=12)
    )  # two trials of 3 epochs, one goes on for 3, and a seed of 12, twice
    schedule.note("cnn", "trial 1", epoch(1))
    assert schedule.left() == 2.0 * (20 + 21)  # the GRU at the slowest known pace
    schedule.finish("cnn", "trial 1")  # it stopped early
    assert schedule.done("cnn") == 3
    schedule.note("gru", "trial 1", epoch(1, 4.0))
    assert schedule.left() == 2.0 * 18 + 4.0 * 20
    schedule.note("cnn", "seed 1", epoch(1))  # its trials are through, whatever they took
    assert schedule.done("cnn") == 10


def test_of_one_setting_the_seeds_are_all_there_is(tmp_path: Path) -> None:
    schedule = _Schedule(made(tmp_path, trials=1, epochs=12))
    schedule.note("cnn", "seed 1", epoch(1))
    assert schedule.done("cnn") == 1
    assert schedule.left() == 2.0 * (11 + 12)


def test_with_equal_time_the_rest_is_known_in_seconds(tmp_path: Path) -> None:
    plan = made(tmp_path, equal="time", seconds=8.0)
    assert any("not give quite the same figures again" in caution for caution in plan.cautions)
    schedule = _Schedule(plan)
    schedule.note("cnn", "trial 1", epoch(1, 1.5))
    assert schedule.left() == 2 * (2 + 2 + 2 + 8) - 1.5


def test_several_workers_are_done_sooner(tmp_path: Path) -> None:
    plan = made(tmp_path, epochs=12)
    alone, four = _Schedule(plan), _Schedule(plan, workers=4)
    for schedule in (alone, four):
        schedule.note("cnn", "trial 1", epoch(1))
    assert four.left() == alone.left() / 4


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_shown(tmp_path: Path, terminal: bool) -> None:
    screen = Console(file=io.StringIO(), force_terminal=terminal, width=80, no_color=True)
    with progress(made(tmp_path, epochs=10), screen) as watcher:
        watcher.epoch("cnn", "trial 1", epoch(3))
        time.sleep(0.5)  # the screen is drawn ten times a second
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert ("trial 1, epoch 3: accuracy 50 %" in shown) is terminal
    assert ("at most 66 s left" in shown) is terminal
    assert ("100 % done" in shown) is terminal
    assert bool(shown) is terminal


def test_in_a_notebook_the_lines_are_drawn_below_the_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what every notebook has, IPython's display, and in place; where a person wants it quiet, nothing."""
    drawn: list[str] = []
    offered = types.ModuleType("IPython.display")
    handle = types.SimpleNamespace(update=lambda shown: drawn.append(shown))
    offered.HTML = lambda text: text  # type: ignore[attr-defined]
    offered.display = lambda shown, display_id: (drawn.append(shown), handle)[1]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", offered)
    plan = made(tmp_path, epochs=12)
    for quiet in (True, False):
        screen = Console(file=io.StringIO(), force_jupyter=True, quiet=quiet)
        with progress(plan, screen) as watcher:
            watcher.epoch("cnn", "trial 1", epoch(1))
            watcher.done("cnn", "trial 1")
        assert len(drawn) == (0 if quiet else 3)
    first, middle, last = drawn
    assert first.startswith("<pre>")
    assert "CNN" in first
    assert "0 %" in first
    assert "trial 1 done" in middle
    assert "left" in middle
    assert last.count("100 % done") == 3

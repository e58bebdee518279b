"""The promise: whoever trains, the figures are the same, and a worker that is lost loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.lab import tasks
from tests.lab.test_compare import figures

from pellucid.errors import ArgumentError, DataError
from pellucid.lab import comparison, crew, data
from pellucid.lab import plan as planning
from pellucid.lab.results import Epoch
from pellucid.lab.task import Task


def made(task: Task) -> planning.Plan:
    return planning.plan(task, ["rnn", "cnn"], trials=2, seeds=2, epochs=4, size=1500)


class Watching(crew.Watcher):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.epochs: dict[tuple[str, str], list[int]] = {}
        self.ended: list[tuple[str, str]] = []

    def epoch(self, network: str, what: str, epoch: Epoch) -> None:
        self.epochs.setdefault((network, what), []).append(epoch.epoch)

    def done(self, network: str, what: str) -> None:
        self.ended.append((network, what))


def test_two_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    task = data.load(tasks.write_images(tmp_path / "images"))
    alone, _ = comparison.compare(made(task), out=tmp_path / "alone")
    watching = Watching()
    two, _ = comparison.compare(made(task), out=tmp_path / "two", crew=crew.Workers(2), watcher=watching)
    assert figures(alone) == figures(two)
    assert watching.epochs["rnn", "seed 2"] == list(range(1, len(watching.epochs["rnn", "seed 2"]) + 1))
    assert len(watching.ended) == 2 * (2 + 1 + 2)  # trials, the one that went on, seeds


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    task = data.load(tasks.write_images(tmp_path / "images"))
    whole, _ = comparison.compare(made(task), out=tmp_path / "whole")
    killed = []

    def kill() -> None:
        children = Path(f"/proc/self/task/{threading.main_thread().native_id}/children")
        while not killed:
            for child in children.read_text().split():
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes() and any(
                    (tmp_path / "killed" / "units").glob("*.safetensors")
                ):
                    os.kill(int(child), signal.SIGKILL)
                    killed.append(child)
                    return
            time.sleep(0.01)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    found, _ = comparison.compare(made(task), out=tmp_path / "killed", crew=crew.Workers(2))
    assert killed
    assert figures(found) == figures(whole)


def _die(*_: object) -> None:
    os._exit(1)


def test_workers_that_keep_dying_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "_do", _die)
    task = data.load(tasks.write_images(tmp_path / "images"))
    with pytest.raises(DataError, match="a worker was lost for the 3rd time"):
        comparison.compare(made(task), out=tmp_path / "run", crew=crew.Workers(1))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_is_left_behind(how: signal.Signals, tmp_path: Path) -> None:
    """Whoever is interrupted does not wait for what its workers are at; and whoever is killed takes them along."""
    data = tasks.write_images(tmp_path / "images", per_class=60)
    command = [sys.executable, "-m", "pellucid", "compare", str(data), "--with", "lstm,gru", "--workers", "2"]
    command += ["--epochs", "5000", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while process.poll() is None and not any((tmp_path / "run" / "units").glob("*.safetensors")):
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(how)
    _, said = process.communicate(timeout=30)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "Stopped. The same command goes on from here." in said
    assert "Traceback" not in said
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}/cmdline").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_team_has_no_other_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processes would each hire their own, who would be at the same files."""
    monkeypatch.setattr(crew.team, "place", lambda: (1, 2))
    assert crew.hire(1, None)[1] == 1
    for workers, ray in ((2, None), (1, "auto")):
        with pytest.raises(ArgumentError, match="under torchrun"):
            crew.hire(workers, ray)


def test_data_that_is_no_file_is_for_one_process(tmp_path: Path) -> None:
    from dataclasses import replace

    task = replace(data.load(tasks.write_images(tmp_path / "images")), origin=None)
    with pytest.raises(ArgumentError, match="several workers each read the data"):
        comparison.compare(made(task), out=tmp_path / "run", crew=crew.Workers(2))


def test_a_worker_with_other_data_does_nothing(tmp_path: Path) -> None:
    task = data.load(tasks.write_images(tmp_path / "images"))
    plan = made(task)
    next((tmp_path / "images" / "left").iterdir()).unlink()
    with pytest.raises(DataError, match="a worker finds other data"):
        comparison.compare(plan, out=tmp_path / "run", crew=crew.Workers(1))

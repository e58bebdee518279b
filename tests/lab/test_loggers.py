"""The promise: a log holds every epoch once, also after a stop, and the final figures; without the library, a sentence."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab import tasks

from pellucid.errors import ArgumentError
from pellucid.lab import compare, comparison, crew, data, loggers
from pellucid.lab import plan as planning
from pellucid.lab.results import Comparison, Epoch
from pellucid.lab.settings import Logger


def plan(place: Path) -> planning.Plan:
    task = data.load(tasks.write_images(place / "images"))
    return planning.plan(task, ["cnn", "rnn"], trials=1, seeds=1, epochs=3, size=800)


class StoppedError(Exception):
    """As good as a kill: the comparison ends at once."""


class Stopping(crew.Watcher):
    """Ends the comparison after four epochs."""

    def __init__(self) -> None:
        self.count = iter(range(100))

    def epoch(self, network: str, what: str, epoch: Epoch) -> None:
        if next(self.count) == 4:
            raise StoppedError


def logged(kind: Logger, made: planning.Plan, folder: Path) -> Comparison:
    """A comparison with a log, stopped after four epochs, then gone on with, then shown again."""
    with pytest.raises(StoppedError):
        comparison.compare(made, out=folder, watcher=crew.Several(loggers.open_log(kind, folder), Stopping()))
    for _ in range(2):
        found, _ = comparison.compare(made, out=folder, watcher=loggers.open_log(kind, folder))
    return found


def scalars(folder: Path, name: str, tag: str) -> list[tuple[int, float]]:
    """(epoch, value) of a training's log."""
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulators.EventAccumulator(str(folder / "tensorboard" / name))
    events.Reload()
    return [(e.step, e.value) for e in events.Scalars(tag)]


def test_tensorboard_holds_every_epoch_once(tmp_path: Path) -> None:
    found = logged("tensorboard", plan(tmp_path), tmp_path / "run")
    for c in found.candidates:
        history = c.seeds[0].history
        for tag, values in (
            ("loss/train", [e.train_loss for e in history]),
            ("loss/validation", [e.valid_loss for e in history]),
            ("score/validation", [e.valid_score for e in history]),
            ("learning_rate", [e.learning_rate for e in history]),
        ):
            told = scalars(tmp_path / "run", f"{c.name}-seed-1", tag)
            assert [step for step, _ in told] == [1, 2, 3]
            assert [v for _, v in told] == pytest.approx(values)
        assert scalars(tmp_path / "run", "comparison", f"test_value/{c.name}") == [(0, pytest.approx(c.score.value))]
    from pellucid.lab import catalogue

    assert catalogue.remove(tmp_path / "run") == []


def test_with_several_workers_each_training_has_its_own_log(tmp_path: Path) -> None:
    """Epochs of several trainings come in turn, and a trial that goes on is told of twice."""
    task = data.load(tasks.write_images(tmp_path / "images"))
    made = planning.plan(task, ["cnn", "rnn"], trials=2, seeds=2, epochs=4, size=800)
    log = loggers.open_log("tensorboard", tmp_path / "run")
    found, folder = comparison.compare(made, out=tmp_path / "run", watcher=log, crew=crew.Workers(2))
    for c in found.candidates:
        for seed in c.seeds:
            wanted = [(e.epoch, pytest.approx(e.train_loss)) for e in seed.history]
            assert scalars(folder, f"{c.name}-seed-{seed.seed}", "loss/train") == wanted
        for k, trial in enumerate(c.trials):
            told = scalars(folder, f"{c.name}-trial-{k + 1}", "loss/train")
            assert [step for step, _ in told] == list(range(1, trial.epochs + 1))


def test_python_logs_as_the_command_line_does(tmp_path: Path) -> None:
    images = tasks.write_images(tmp_path / "images")
    given = {"trials": 1, "seeds": 1, "epochs": 2, "size": 800, "out": tmp_path / "run", "quiet": True}
    found = compare(images, ["rnn"], log="tensorboard", **given)  # type: ignore[arg-type]
    wanted = [(e.epoch, pytest.approx(e.valid_score)) for e in found.candidates[0].seeds[0].history]
    assert scalars(tmp_path / "run", "rnn-seed-1", "score/validation") == wanted


def _server(folder: Path) -> Iterator[str]:
    """The address of an MLflow server of its own."""
    if importlib.util.find_spec("flask") is None:
        pytest.skip("MLflow's server is not installed, the client alone")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--artifacts-destination", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture(params=["files", "database", "server"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where MLflow keeps what it is told: a folder, a database, or a server, by their addresses."""
    if request.param == "server":
        yield from _server(tmp_path)
    else:
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        yield f"sqlite:///{tmp_path / 'mlflow.db'}" if request.param == "database" else (tmp_path / "mlruns").as_uri()


def test_mlflow_holds_every_epoch_once(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard output, where the result goes, stays as it is, and so does the terminal where nothing is wrong."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(store)
    monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)  # of the store before
    found = logged("mlflow", plan(tmp_path), tmp_path / "run")
    said = capsys.readouterr()
    assert not said.out
    assert "INFO" not in said.err
    client = mlflow.MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("pellucid").experiment_id])
    by_name = {r.data.tags["pellucid.training"]: r for r in runs}
    assert len(by_name) == len(runs) == 3  # two networks' seeds, and the comparison
    for c in found.candidates:
        one = by_name[f"{c.name} seed 1"]
        told = client.get_metric_history(one.info.run_id, "train_loss")
        assert [(m.step, m.value) for m in told] == [(e.epoch, e.train_loss) for e in c.seeds[0].history]
        assert one.data.tags["mlflow.parentRunId"] == by_name["comparison"].info.run_id
        assert by_name["comparison"].data.metrics[f"test_{c.name}_value"] == c.score.value
    assert by_name["comparison"].data.tags["pellucid.verdict"] == found.verdict.sentence


@pytest.mark.parametrize(("kind", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow")])
def test_a_missing_library_is_a_sentence(
    kind: Logger, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ArgumentError, match=rf"--log {kind} needs .*pip install 'pellucid\[{kind}\]'"):
        loggers.open_log(kind, tmp_path)
    assert not any(tmp_path.iterdir())

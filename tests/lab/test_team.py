"""The promise: two processes under torchrun train what one process trains on the same batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.lab import tasks

from pellucid.lab import sealed
from pellucid.lab.results import Comparison, Epoch

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
DATA = {
    "images": lambda folder: tasks.write_images(folder / "images", per_class=31),  # shifted and mirrored
    "texts": lambda folder: tasks.write_texts(
        folder / "texts.csv", rows=57
    ),  # 41 in training: a process is left without
    "plain": lambda folder: tasks.write_text(folder / "plain.txt"),  # an answer, and a mask, at every step
}
OPTIONS = {"images": ["--augment", "shift,flip"], "texts": [], "plain": ["--window", "32"]}


@pytest.mark.parametrize("kind", DATA)
def test_two_processes_are_as_one(kind: str, tmp_path: Path) -> None:
    """But for float32's rounding: gradients are added up in another order. The second trial drops features out."""
    data = DATA[kind](tmp_path)
    for name, starter in (("one", []), ("two", TORCHRUN)):
        done = _compare(data, tmp_path / name, starter, *OPTIONS[kind])
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("is better)") == 1  # the leader speaks, nobody else
    one, two = (sealed.load_record(tmp_path / name / "result.json", Comparison) for name in ("one", "two"))
    assert all(c.trials[1].settings["dropout"] > 0 for c in one.candidates)
    assert {c.name: c.trials[0].epochs for c in one.candidates} == {c.name: c.trials[0].epochs for c in two.candidates}
    units = sorted(path.name for path in (tmp_path / "one" / "units").iterdir())
    assert len(units) == 2 * (2 + 1)
    for unit in units:
        for a, b in zip(_history(tmp_path / "one", unit), _history(tmp_path / "two", unit), strict=True):
            assert a.train_loss == pytest.approx(b.train_loss, rel=1e-3)
            assert a.valid_loss == pytest.approx(b.valid_loss, rel=1e-3)


def test_another_number_of_processes_is_another_run(tmp_path: Path) -> None:
    """Their figures differ in rounding, so they are not mixed."""
    data = tasks.write_texts(tmp_path / "texts.csv", rows=57)
    assert _compare(data, tmp_path / "run", []).returncode == 0
    done = _compare(data, tmp_path / "run", TORCHRUN)
    assert done.returncode != 0
    assert "holds a run with processes 1, and 2 is asked for now" in " ".join(done.stderr.split())


def _compare(data: Path, out: Path, starter: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    command = ["-m", "pellucid", "compare", str(data), "--with", "cnn,lstm", "--trials", "2", "--seeds", "1"]
    command += ["--epochs", "3", "--params", "1000", *options, "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *starter, *command], capture_output=True, text=True, env=environment, timeout=300
    )


def _history(run: Path, unit: str) -> list[Epoch]:
    _tensors, about = sealed.load(run / "units" / unit)
    return [Epoch.model_validate(e) for e in about["history"]]

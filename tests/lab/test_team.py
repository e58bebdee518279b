"""The promise: two processes under torchrun train what one process trains on the same batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.lab import tasks

from pellucid.lab.results import Comparison


@pytest.mark.parametrize("kind", ["images", "texts"])
def test_two_processes_are_as_one(kind: str, tmp_path: Path) -> None:
    """But for float32's rounding: gradients are added up in another order."""
    data = (
        tasks.write_images(tmp_path / "images", per_class=31)
        if kind == "images"
        else tasks.write_texts(tmp_path / "texts.csv", rows=61)
    )
    command = ["-m", "pellucid", "compare", str(data), "--with", "cnn,lstm", "--trials", "1", "--seeds", "1"]
    command += ["--epochs", "3", "--params", "1000"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, starter in (("one", []), ("two", torchrun)):
        done = subprocess.run(
            [sys.executable, *starter, *command, "--out", str(tmp_path / name)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("is better)") == 1  # the leader speaks, nobody else
    one, two = (Comparison.model_validate_json((tmp_path / n / "result.json").read_text()) for n in ("one", "two"))
    for mine in one.candidates:
        theirs = next(c for c in two.candidates if c.name == mine.name)
        for a, b in zip(mine.seeds[0].history, theirs.seeds[0].history, strict=True):
            assert a.train_loss == pytest.approx(b.train_loss, rel=1e-3)
            assert a.valid_loss == pytest.approx(b.valid_loss, rel=1e-3)

"""The promise: whatever ends a comparison or spoils its folder, the same command goes on to the same figures, or says why not.

PELLUCID_SLOW=1 adds twenty kills at random moments.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.lab import tasks

from pellucid.errors import DataError
from pellucid.lab import comparison, data
from pellucid.lab import plan as planning
from pellucid.lab.results import Comparison

OPTIONS = ["--with", "rnn,cnn", "--trials", "1", "--seeds", "2", "--epochs", "4", "--params", "1000"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> planning.Plan:
    task = data.load(tasks.write_images(tmp_path_factory.mktemp("data") / "images"))
    return planning.plan(task, ["rnn", "cnn"], trials=1, seeds=2, epochs=3, size=1000)


@contextmanager
def files_of_at_most(largest: int) -> Iterator[None]:
    """No file can grow past that many bytes, which fails as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def command(images: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "pellucid", "compare", str(images), *OPTIONS, "--out", str(out)]


def figures(folder: Path) -> dict[str, object]:
    """All that must be equal in two runs: everything but times and the order of equals."""
    found = Comparison.model_validate_json((folder / "result.json").read_text())
    return {
        c.name: (
            c.score,
            [(s.test_score, [(e.train_loss, e.valid_loss, e.valid_score) for e in s.history]) for s in c.seeds],
            (folder / "predictions" / f"{c.name}.csv").read_bytes(),
            [(folder / "models" / f"{c.name}-seed-{k + 1}.safetensors").read_bytes() for k in range(2)],
        )
        for c in found.candidates
    }


def test_on_a_full_disk_nothing_is_lost(made: planning.Plan, tmp_path: Path) -> None:
    whole, full = tmp_path / "whole", tmp_path / "full"
    comparison.compare(made, out=whole)
    page = (whole / "report.html").stat().st_size
    units = [f.stat().st_size for f in (whole / "units").iterdir()]
    assert (
        max(*units, (whole / "result.json").stat().st_size) < page - 2000
    )  # its size changes with the digits of times
    for largest, reached in (
        (100, "."),
        (1000, "config.json"),
        (min(units) - 1, "task.json"),
        (page - 2000, "result.json"),
    ):
        with (
            files_of_at_most(largest),
            pytest.raises(DataError, match=r"cannot be written to \(File too large\); make room"),
        ):
            comparison.compare(made, out=full)
        assert (full / reached).exists()
        assert not (full / "report.html").exists()
    comparison.compare(made, out=full)
    assert figures(full) == figures(whole)
    assert not list(full.rglob("*.part"))


def test_a_spoilt_file_is_named_and_can_be_removed(made: planning.Plan, tmp_path: Path) -> None:
    """Cut, emptied, replaced by a folder: a sentence that names the file; without it the same figures come again."""
    comparison.compare(made, out=tmp_path)
    before = figures(tmp_path)
    for file, words in (
        ("result.json", "the result cannot be read"),
        ("units/rnn-seed-1.safetensors", "the checkpoint cannot be read"),
        ("config.json", "not the configuration of a run"),
    ):
        path = tmp_path / file
        content = path.read_bytes()
        if file.startswith("units"):
            (tmp_path / "result.json").unlink()
        for spoilt in (content[: len(content) // 2], b"", None):
            path.unlink()
            if spoilt is None:
                path.mkdir()
            else:
                path.write_bytes(spoilt)
            with pytest.raises(DataError, match=words) as error:
                comparison.compare(made, out=tmp_path)
            assert path.name in str(error.value)
        path.rmdir()
        if file == "config.json":  # what was asked is not to be guessed: the file has to come back
            path.write_bytes(content)
        comparison.compare(made, out=tmp_path)
        assert figures(tmp_path) == before


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    images = tasks.write_images(tmp_path / "images")
    (tmp_path / "file").write_text("")
    told = subprocess.run(command(images, tmp_path / "file" / "run"), capture_output=True, text=True, timeout=300)
    assert told.returncode == 2
    assert "the folder cannot be made" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.skipif("PELLUCID_SLOW" not in os.environ, reason="some minutes; PELLUCID_SLOW=1 asks for it")
def test_twenty_kills_at_random_moments(tmp_path: Path) -> None:
    images = tasks.write_images(tmp_path / "images", per_class=40)
    quiet: dict[str, Any] = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "env": {**os.environ, "OMP_NUM_THREADS": "1"},
    }
    started = time.monotonic()
    subprocess.run(command(images, tmp_path / "whole"), check=True, **quiet)
    needed = time.monotonic() - started
    whole = figures(tmp_path / "whole")
    generator = random.Random(0)
    kills = finished = 0
    folder = tmp_path / "killed-0"
    while kills < 20:
        process = subprocess.Popen(command(images, folder), **quiet)
        try:
            process.wait(generator.uniform(0, needed))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        assert process.returncode == 0
        assert figures(folder) == whole
        finished += 1
        folder = tmp_path / f"killed-{finished}"
    subprocess.run(command(images, folder), check=True, **quiet)
    assert figures(folder) == whole

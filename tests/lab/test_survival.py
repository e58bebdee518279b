"""The promise: whatever ends a comparison or spoils its folder, the same command goes on to the same figures, or says why not.

PELLUCID_SLOW=1 has twenty kills of each case instead of one.
"""

from __future__ import annotations

import os
import pty
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.lab import tasks

from pellucid.errors import DataError
from pellucid.lab import catalogue, comparison, data, sealed
from pellucid.lab import plan as planning
from pellucid.lab.files import write_bytes
from pellucid.lab.predict import predict
from pellucid.lab.results import Comparison

OPTIONS = ["--with", "rnn,cnn", "--seeds", "2", "--epochs", "4", "--params", "1000"]


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


def command(data: Path, out: Path, trials: int = 1) -> list[str]:
    return ["-m", "pellucid", "compare", str(data), *OPTIONS, "--trials", str(trials), "--out", str(out)]


def figures(folder: Path) -> dict[str, object]:
    """All that must be equal in two runs: everything but times and the order of equals."""
    found = sealed.load_record(folder / "result.json", Comparison)
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
        assert not list(full.rglob("*.part"))
        assert not (full / "report.html").exists()
    comparison.compare(made, out=full)
    assert figures(full) == figures(whole)
    assert not list(full.rglob("*.part"))


def test_a_spoilt_file_is_named_and_can_be_removed(made: planning.Plan, tmp_path: Path) -> None:
    """A digit changed, cut, emptied, replaced by a folder: a sentence that names the file; without it the same figures come again."""
    comparison.compare(made, out=tmp_path)
    before = figures(tmp_path)
    for file, words in (
        ("result.json", "the result cannot be read"),
        ("units/rnn-seed-1.safetensors", "the checkpoint cannot be read"),
    ):
        path = tmp_path / file
        content = path.read_bytes()
        if file.startswith("units"):
            (tmp_path / "result.json").unlink()
        changed = content.replace(b"1", b"2", 1) if file.endswith("json") else content[:-1] + bytes([content[-1] ^ 1])
        for spoilt in (changed, content[: len(content) // 2], b"", None):
            path.unlink()
            if spoilt is None:
                path.mkdir()
            else:
                path.write_bytes(spoilt)
            with pytest.raises(DataError, match=words) as error:
                comparison.compare(made, out=tmp_path)
            assert path.name in str(error.value)
        path.rmdir()
        comparison.compare(made, out=tmp_path)
        assert figures(tmp_path) == before


SPOILT: dict[str, Callable[[dict[str, torch.Tensor], dict[str, Any]], object]] = {
    "it has no 'run'": lambda _tensors, about: about.clear(),
    "it has no 'history'": lambda _tensors, about: about.pop("history"),
    "'int' object is not iterable": lambda _tensors, about: about.update(history=3),
    "train_loss: Field required": lambda _tensors, about: about.update(history=[{"epoch": 1}]),
    "lacks weights of the best epoch": lambda tensors, _about: [tensors.pop(k) for k in [*tensors] if "best" in k],
    "Missing key": lambda tensors, _about: [tensors.pop(k) for k in [*tensors] if "model" in k],
    "not enough values to unpack": lambda tensors, _about: tensors.update({"adam.0": torch.zeros(1)}),
}


def test_a_checkpoint_of_something_else_is_a_sentence(made: planning.Plan, tmp_path: Path) -> None:
    """Whole and sealed, and yet no checkpoint; or the right one with a bit changed."""
    comparison.compare(made, out=tmp_path)
    (tmp_path / "result.json").unlink()
    path = tmp_path / "units" / "rnn-seed-1.safetensors"
    content = path.read_bytes()
    tensors, about = sealed.load(path)
    for words, spoil in SPOILT.items():
        given, noted = dict(tensors), dict(about)
        spoil(given, noted)
        if "run" in words:
            noted["history"] = about["history"]
        sealed.save(path, given, noted)
        with pytest.raises(DataError, match=rf"the checkpoint cannot be read \(.*{words}") as error:
            comparison.compare(made, out=tmp_path)
        assert path.name in str(error.value)
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 4]) + content[-8:])
    with pytest.raises(DataError, match="its content is not what was written"):
        comparison.compare(made, out=tmp_path)


def test_a_model_that_was_changed_does_not_answer(made: planning.Plan, tmp_path: Path) -> None:
    comparison.compare(made, out=tmp_path)
    path = tmp_path / "models" / "rnn-seed-2.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    with pytest.raises(DataError, match=r"its content is not what was written.*remove result\.json"):
        predict(tmp_path, made.task.source, network="rnn")
    (tmp_path / "result.json").unlink()
    comparison.compare(made, out=tmp_path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("spoilt", ["changed", "cut", "empty", "gone"])
def test_a_run_without_its_configuration_goes_on(spoilt: str, made: planning.Plan, tmp_path: Path) -> None:
    """Its checkpoints tell which run they are of; nothing is trained again, and another run is not taken for it."""
    run = tmp_path / "run"
    comparison.compare(made, out=run)
    before, config = figures(run), run / "config.json"
    units = {f.name: f.stat().st_mtime_ns for f in (run / "units").iterdir()}
    content = config.read_bytes()

    def spoil() -> None:
        config.unlink()
        if spoilt != "gone":
            changed = content.replace(b'"seeds": 2', b'"seeds": 3')
            config.write_bytes({"changed": changed, "cut": content[: len(content) // 2], "empty": b""}[spoilt])

    spoil()
    (entry,) = catalogue.entries(tmp_path)
    assert entry.state.startswith("damaged: its config.json is gone")
    with pytest.raises(
        DataError, match=r"its config\.json is gone or cannot be read; the compare command that made it mends it"
    ):
        catalogue.summary(run)
    comparison.compare(made, out=run)
    assert figures(run) == before
    assert {f.name: f.stat().st_mtime_ns for f in (run / "units").iterdir()} == units
    assert config.read_bytes() == content
    spoil()
    other = planning.plan(made.task, ["rnn", "cnn"], trials=1, seeds=2, epochs=2, size=1000)
    with pytest.raises(DataError, match="the checkpoint is of another run"):
        comparison.compare(other, out=run)
    spoil()
    comparison.compare(other, out=run, fresh=True)
    spoil()
    assert catalogue.remove(run) == []
    assert not run.exists()


def test_somebody_elses_configuration_stays(made: planning.Plan, tmp_path: Path) -> None:
    """Even where a person asks to start anew."""
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    (tmp_path / "units").mkdir()
    for other in ("", "model.safetensors"):
        if other:
            (tmp_path / "units" / "rnn-seed-1.safetensors").write_bytes(b"")
            (tmp_path / other).write_bytes(b"")
        for fresh in (False, True):
            with pytest.raises(DataError, match=r"not the configuration of a run \(.*; choose another --out"):
                comparison.compare(made, out=tmp_path, fresh=fresh)
        with pytest.raises(DataError, match="this is no run"):
            catalogue.remove(tmp_path)
        assert catalogue.entries(tmp_path) == []
    assert (tmp_path / "config.json").read_text() == '{"model_type": "gpt2"}'
    assert (tmp_path / "model.safetensors").exists()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    images = tasks.write_images(tmp_path / "images")
    (tmp_path / "file").write_text("")
    told = subprocess.run(
        [sys.executable, *command(images, tmp_path / "file" / "run")], capture_output=True, text=True, timeout=300
    )
    assert told.returncode == 2
    assert "the folder cannot be made" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_device_is_written_to_and_not_replaced() -> None:
    """--out /dev/null and /dev/stdout are places, too."""
    terminal, screen = pty.openpty()
    place = Path(os.ttyname(screen))
    write_bytes(place, b"answers")
    assert place.is_char_device()
    assert os.read(terminal, 100) == b"answers"
    write_bytes(Path(os.devnull), b"answers")
    assert Path(os.devnull).is_char_device()


@dataclass(frozen=True)
class Killed:
    """A comparison that is killed: its data, how it starts, and what it is asked beside OPTIONS."""

    write: Callable[[Path], Path]
    options: tuple[str, ...] = ()
    trials: int = 1
    starter: tuple[str, ...] = ()


KILLED = {
    "images": Killed(lambda p: tasks.write_images(p / "images", per_class=40), ("--augment", "shift"), trials=2),
    "series": Killed(lambda p: tasks.write_series(p / "series.csv"), trials=2),
    "texts": Killed(lambda p: tasks.write_texts(p / "texts.csv"), trials=2),
    "plain text": Killed(lambda p: tasks.write_text(p / "text.txt"), ("--window", "32")),
    "sounds": Killed(lambda p: tasks.write_sounds(p / "sounds")),
    "curve": Killed(lambda p: tasks.write_images(p / "images", per_class=40), ("--curve",)),
    "workers": Killed(lambda p: tasks.write_texts(p / "texts.csv"), ("--workers", "2")),
    "torchrun": Killed(
        lambda p: tasks.write_texts(p / "texts.csv"),
        starter=("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    ),
}
KILLS = 20 if "PELLUCID_SLOW" in os.environ else 1


@pytest.mark.parametrize("case", KILLED)
def test_kills_at_random_moments(case: str, tmp_path: Path) -> None:
    """kill -9 from when the run's folder is at work to the report's last byte; each time the same command goes on."""
    of = KILLED[case]
    data = of.write(tmp_path)

    def begin(folder: Path) -> subprocess.Popen[bytes]:
        """Start, and come back when the run's folder is at work."""
        lock = folder / ".lock"
        lock.unlink(missing_ok=True)
        started = subprocess.Popen(
            [sys.executable, *of.starter, *command(data, folder, of.trials), *of.options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        while not lock.exists():
            assert started.poll() is None, "it ended before it began"
            time.sleep(0.005)
        return started

    process, begun = begin(tmp_path / "whole"), time.monotonic()
    assert process.wait(600) == 0
    needed = time.monotonic() - begun
    whole = figures(tmp_path / "whole")
    generator = random.Random(case)
    kills = finished = 0
    folder = tmp_path / "killed-0"
    while kills < KILLS:
        process = begin(folder)
        try:
            process.wait(generator.uniform(0, needed))
        except subprocess.TimeoutExpired:
            if case == "workers":  # who are left see that their parent is gone
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        assert process.returncode == 0
        assert figures(folder) == whole
        finished += 1
        folder = tmp_path / f"killed-{finished}"
    assert begin(folder).wait(600) == 0
    assert figures(folder) == whole

"""The promise: runs are found and told apart as they are, and a removal takes only what a run wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.lab import finished, tasks

from pellucid.errors import DataError
from pellucid.lab import catalogue, comparison, data
from pellucid.lab import plan as planning
from pellucid.lab.runs import Run
from pellucid.lab.task import Task


def copy(kind: str, place: Path) -> Path:
    shutil.copytree(finished.run(kind).folder, place)
    return place


def smaller(task: Task, place: Path, **options: int) -> Path:
    made = planning.plan(task, ["gru", "rnn"], trials=1, seeds=1, size=1500, **options)
    comparison.compare(made, out=place)
    return place


def command(*arguments: object, typed: str | None = None) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "pellucid", "runs", *map(str, arguments)]
    return subprocess.run(whole, capture_output=True, text=True, timeout=300, input=typed)


def test_every_run_is_listed_as_it_stands(tmp_path: Path) -> None:
    copy("images", tmp_path / "whole")
    stopped = copy("series", tmp_path / "some" / "stopped")
    (stopped / "result.json").unlink()
    next((stopped / "units").iterdir()).unlink()
    bare = copy("images", tmp_path / "bare")
    for file in ("task.json", "result.json"):
        (bare / file).unlink()
    damaged = copy("images", tmp_path / "damaged")
    (damaged / "result.json").write_text("{")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.json").write_text('{"name": "somebody else"}')
    by_name = {Path(e.folder).name: e for e in catalogue.entries(str(tmp_path))}
    assert set(by_name) == {"whole", "stopped", "bare", "damaged"}
    found = finished.run("images").found
    whole = by_name["whole"]
    assert whole.state == "finished"
    assert (whole.metric, whole.title, whole.created) == (found.metric, found.title, found.created)
    best = next(c for c in found.candidates if c.name == found.verdict.choice)
    assert (whole.choice, whole.score) == (best.label, best.score)
    assert whole.simplest == ("" if best.beats_baseline else found.baseline.name)
    assert whole.bytes == sum(f.stat().st_size for f in (tmp_path / "whole").rglob("*") if f.is_file())
    # Two seeds of five networks; of one setting there are no trials.
    assert by_name["stopped"].state == "9 of 10 trainings begun"
    assert by_name["stopped"].title == finished.run("series").found.title
    assert by_name["bare"].networks[:4] == ["cnn", "rnn", "lstm", "gru"]
    assert by_name["damaged"].state.startswith("damaged: ")
    with pytest.raises(DataError, match="no such folder"):
        catalogue.entries(tmp_path / "gone")


def test_two_runs_on_the_same_items_differ_in_pairs(tmp_path: Path) -> None:
    run = finished.run("series")
    other = smaller(run.task, tmp_path / "other", epochs=4)
    found = catalogue.difference(str(run.folder), other)
    assert {s.name for s in found.settings} >= {"candidates", "seeds", "epochs"}
    assert {p.network for p in found.networks} == {"RNN", "GRU"}
    assert set(found.only_first) == {"CNN", "LSTM", "Leaky"}
    assert found.only_second == []
    for pair in found.networks:
        assert pair.difference is not None
        assert pair.difference.value == pytest.approx(pair.second.value - pair.first.value, rel=1e-6)
        assert pair.difference.low <= pair.difference.value <= pair.difference.high
    (same,) = {p.difference.value for p in catalogue.difference(other, other).networks if p.difference}
    assert same == 0
    table = other / "predictions" / "rnn.csv"
    content = table.read_bytes()
    table.write_bytes(content.replace(b",1,", b",1,9", 1))
    with pytest.raises(DataError, match=r"rnn\.csv: its content is not what was written; remove result\.json"):
        catalogue.difference(run.folder, other)
    table.write_bytes(content)
    (other / "predictions" / "gru.csv").unlink()  # without the items there is no pair, and the figures stay
    lost = {p.network: p.difference for p in catalogue.difference(run.folder, other).networks}
    assert lost["GRU"] is None
    assert lost["RNN"] is not None


def test_other_data_gets_no_difference(tmp_path: Path) -> None:
    run = finished.run("images")
    other = smaller(data.load(tasks.write_images(tmp_path / "more", per_class=20)), tmp_path / "other", epochs=1)
    found = catalogue.difference(run.folder, other)
    assert "not the same" in found.sentence
    assert all(p.difference is None for p in found.networks)
    apart = catalogue.difference(run.folder, finished.run("series").folder)
    assert "One run is measured by accuracy, the other by mean absolute error" in apart.sentence
    assert (apart.networks, apart.metric) == ([], "")
    (other / "result.json").unlink()
    with pytest.raises(DataError, match="not finished"):
        catalogue.difference(run.folder, other)


def test_removal_takes_what_a_run_wrote_and_nothing_else(tmp_path: Path) -> None:
    whole = copy("images", tmp_path / "whole")
    assert catalogue.remove(whole) == []
    assert not whole.exists()
    mine = copy("images", tmp_path / "mine")
    (mine / "notes.txt").write_text("keep")
    (mine / "models" / "mine.safetensors").write_bytes(b"keep")
    assert catalogue.remove(mine) == ["models", "notes.txt"]
    assert {f.name for f in mine.rglob("*") if f.is_file()} == {"notes.txt", "mine.safetensors"}
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.json").write_text("{}")
    with pytest.raises(DataError, match="this is no run"):
        catalogue.remove(tmp_path / "foreign")
    assert (tmp_path / "foreign" / "config.json").exists()
    busy = copy("images", tmp_path / "busy")
    with Run(busy).alone(), pytest.raises(DataError, match="another process"):
        catalogue.remove(busy)
    assert (busy / "result.json").exists()


def test_a_removal_that_was_cut_short_is_still_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy("images", tmp_path / "run")
    real, count = Path.unlink, iter(range(100))

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if next(count) == 5:
            raise OSError(5, "Input/output error", str(path))
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(DataError, match="cannot be removed"):
        catalogue.remove(folder)
    monkeypatch.undo()
    assert catalogue.summary(folder).state != "finished"
    catalogue.remove(folder)
    assert not folder.exists()


def test_the_commands_are_readable_and_ask(tmp_path: Path) -> None:
    one, two = copy("images", tmp_path / "one"), copy("images", tmp_path / "two")
    shown = command(tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "accuracy" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 120
    assert [e["state"] for e in json.loads(command(tmp_path, "--json").stdout)] == ["finished"] * 2
    assert "Both were asked the same." in command("compare", one, two).stdout
    assert len(json.loads(command("compare", one, two, "--json").stdout)["networks"]) == 5
    refused = command("remove", one)
    assert refused.returncode == 2
    assert "say --yes" in refused.stderr
    assert (one / "result.json").exists()
    removed = json.loads(command("remove", one, "--yes", "--json").stdout)
    assert removed["left"] == []
    assert not one.exists()

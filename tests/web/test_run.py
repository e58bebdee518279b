"""The promise: a run's networks are opened with what they were tested on, in words and units of the data."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.lab import finished

from pellucid.errors import ArgumentError, DataError
from pellucid.lab import recipe
from pellucid.lab.predict import predict
from pellucid.lab.runs import Run
from pellucid.web.opened import Opened
from pellucid.web.questions import ask
from pellucid.web.run import of_run

KINDS = [
    "images",
    "series",
    "shops",
    "sequences",
    "number",
    "labels",
    "events",
    "text",
    "words",
    "characters",
    "next subwords",
    "sound",
]


def opened(kind: str, data: Path | None = None) -> tuple[Opened, finished.Finished]:
    run = finished.run(kind)
    return of_run(run.folder, data), run


@pytest.mark.parametrize("kind", KINDS)
def test_kept_items_are_answered_as_in_the_comparison(kind: str) -> None:
    """Names, right answers and each network's raw output are those of the test part; a lone item needs no padding."""
    found, run = opened(kind)
    test = run.task.test
    named = {name: k for k, name in enumerate(test.items)}
    assert [n.name for n in found.networks] == [c.name for c in run.found.candidates]
    assert found.networks[0].sentence == run.found.candidates[0].sentence
    kept, y = recipe.items(Run(run.folder))
    assert y is not None
    assert kept.items[0] == test.items[0]
    assert kept.items[-1] == test.items[-1]
    assert len(found.items) == min(len(test), 32)
    for network in found.networks:
        model = recipe.read(Run(run.folder)).network(Run(run.folder), network.name, 1)
        for k, item in enumerate(found.items[:6]):
            row = named[kept.items[k]]
            one = test.rows(torch.tensor([row]))
            with torch.no_grad():
                wanted, given = model(one.x, one.lengths), model(*item.args)
            torch.testing.assert_close(given, wanted[:, : given.shape[1]], atol=1e-5, rtol=1e-4)
            if run.task.goal == "class":
                assert item.answer == run.task.labels[int(test.y[row])]


@pytest.mark.parametrize("kind", ["images", "text", "sequences", "sound"])
def test_the_answer_is_the_one_in_the_table_of_predictions(kind: str) -> None:
    found, run = opened(kind)
    kept, _ = recipe.items(Run(run.folder))
    for network in found.networks:
        with (run.folder / "predictions" / f"{network.name}.csv").open(newline="", encoding="utf-8") as file:
            table = {row["item"]: row for row in csv.DictReader(file) if row["seed"] == "1"}
        for k, name in enumerate(kept.items):
            told = ask(found, "answer", {"network": network.name, "item": k})
            assert told["best"][0]["name"] == table[name]["answer"]
            assert (told["right"]["number"] == told["best"][0]["number"]) == (float(table[name]["score"]) == 100)
            assert sum(one["probability"] for one in told["best"]) <= 1 + 1e-9


@pytest.mark.parametrize("kind", ["series", "shops"])
def test_a_forecast_is_in_its_own_unit(kind: str, tmp_path: Path) -> None:
    """Past, truth and quantiles are the table's numbers; from the table's end they are what prediction says."""
    found, run = opened(kind)
    column = run.task.preprocessing["columns"].index(run.task.preprocessing["target"])  # type: ignore[attr-defined]
    several = run.task.test.scales
    for k, item in enumerate(found.items[:5]):
        row = run.task.test.items.index(item.name)
        told = ask(found, "answer", {"network": "gru", "item": k})
        assert told["truth"] == pytest.approx(run.task.raw(run.task.test.y[row, :, 0], row), rel=1e-5)
        assert told["past"] == pytest.approx(run.task.raw(run.task.test.x[row, :, column], row), rel=1e-5, abs=1e-5)
        assert ask(found, "input", {"item": k})["own"][3][column] == pytest.approx(told["past"][3], rel=1e-5, abs=1e-5)
        assert len(found.columns) == item.x.shape[1]
    assert (several is None) == (kind == "series")
    source = run.source
    if kind == "shops":  # what is known ahead is needed for the steps to come
        lines = source.read_text().splitlines()
        source = tmp_path / "ahead.csv"
        source.write_text("\n".join(lines[:-4] + [cut(line) for line in lines[-4:] if "south" in line]) + "\n")
        only = [line for line in source.read_text().splitlines() if "north" not in line]
        source.write_text("\n".join(only) + "\n")
    newest = of_run(run.folder, source)
    wanted = predict(run.folder, source, network="gru", seed=1)
    told = ask(newest, "answer", {"network": "gru", "item": 0})
    rows = [[float(v) for v in row[-3:]] for row in wanted.rows[: len(told["values"])]]
    torch.testing.assert_close(torch.tensor(told["values"]), torch.tensor(rows), rtol=1e-5, atol=1e-5)
    assert told["truth"] is None
    assert len(told["times"]) == len(told["values"])


def cut(line: str) -> str:
    """A row to come: without the sales."""
    time, promotion, _, shop = line.split(",")
    return f"{time},{promotion},,{shop}"


@pytest.mark.parametrize("kind", ["text", "words", "characters", "next subwords"])
def test_tokens_say_what_they_stand_for(kind: str) -> None:
    found, run = opened(kind)
    item = found.items[1]
    assert (
        list(item.tokens) == [run.task.labels[n] for n in item.x.tolist()] if run.task.goal == "next" else item.tokens
    )
    assert "<padding>" not in item.tokens
    assert ask(found, "input", {"item": 1})["tokens"] == list(item.tokens)
    assert run.task.decode is not None
    assert " ".join(run.task.decode(item.x.tolist()).split())[:20] in item.name


@pytest.mark.parametrize("kind", ["characters", "next subwords"])
def test_the_next_token_is_told_after_any_step(kind: str) -> None:
    found, _ = opened(kind)
    item, network = found.items[0], found.networks[0]
    output = found.seen(network.name, 0).output[0].double().softmax(-1)
    for step in (0, 5, None):
        told = ask(found, "answer", {"network": network.name, "item": 0, "step": step})
        at = len(item.x) - 1 if step is None else step
        assert told["best"][0]["probability"] == pytest.approx(float(output[at].max()))
        assert step is None or told["right"]["number"] == int(item.x[at + 1])
    with pytest.raises(ArgumentError, match="there is no step 10000"):
        ask(found, "answer", {"network": network.name, "item": 0, "step": 10000})


def test_numbers_and_labels_are_told_as_they_are() -> None:
    """A number in its own unit; labels each with its own probability, and all that hold."""
    found, run = opened("number")
    (offset,), (factor,) = run.task.scale
    told = ask(found, "answer", {"network": "gru", "item": 0})
    output = found.seen("gru", 0).output.detach()
    assert told["value"] == pytest.approx(float(output.double()) * factor + offset)
    assert told["truth"] == pytest.approx(run.task.raw(run.task.test.y[0], 0)[0], rel=1e-5)
    for kind in ("labels", "events"):
        found, run = opened(kind)
        step = {"step": 3} if kind == "events" else {}
        told = ask(found, "answer", {"network": "gru", "item": 0, **step})
        output, y = found.seen("gru", 0).output[0], run.task.test.y[0]
        logits, y = (output[3], y[3]) if step else (output, y)
        assert told["best"][0]["probability"] == pytest.approx(float(logits.double().sigmoid().max()))
        assert [one["number"] for one in told["right"]] == y.nonzero()[:, 0].tolist()
    assert ask(found, "answer", {"network": "gru", "item": 0})["step"] == len(found.items[0].x) - 1


def test_a_long_text_is_cut_into_pieces(tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("gate state " * 400)
    found, _ = opened("characters", tmp_path / "new.txt")
    assert [len(item.x) for item in found.items] == [2000, 2000, 400]
    assert found.items[1].name.startswith("character 2001: ")
    assert found.items[0].truth is not None
    assert int(found.items[0].truth[-1]) == int(found.items[1].x[0])  # known across the cut
    assert int(found.items[2].truth[-1]) == -1  # type: ignore[index]
    assert ask(found, "answer", {"network": "gru", "item": 2})["right"] is None


@pytest.mark.parametrize("kind", ["images", "sound"])
def test_a_folder_of_classes_says_what_is_right(kind: str) -> None:
    run = finished.run(kind)
    found = of_run(run.folder, run.source)
    assert {item.answer for item in found.items} == set(run.task.labels)
    assert all(item.name.startswith(f"{item.answer}/") for item in found.items)
    one = of_run(run.folder, next((run.source / run.task.labels[1]).iterdir()))
    assert len(one.items) == 1


def test_pictures_are_seen_in_their_own_brightness() -> None:
    found, run = opened("images")
    assert found.items[0].own.min() >= -1e-5
    assert found.items[0].own.max() <= 1 + 1e-5
    mean, spread = run.task.scale
    torch.testing.assert_close(found.items[0].own, run.task.test.x[0] * spread[0] + mean[0])
    pictures = ask(found, "thumbnails", {"first": 0, "count": 4})["pictures"]
    assert [p["shape"] for p in pictures] == [[1, 8, 8]] * 4
    assert (pictures[0]["low"], pictures[0]["high"]) == (0.0, 1.0)


def test_older_runs_are_opened(tmp_path: Path) -> None:
    """They kept neither names nor right answers."""
    run = finished.run("images")
    shutil.copytree(run.folder, tmp_path / "old")
    tensors = load_file(tmp_path / "old/items.safetensors")
    save_file({"x": tensors["x"][:8].clone()}, tmp_path / "old/items.safetensors")
    found = of_run(tmp_path / "old")
    assert [item.name for item in found.items][:2] == ["test item 1", "test item 2"]
    assert ask(found, "answer", {"network": "cnn", "item": 0})["right"] is None


def test_what_a_run_keeps_is_small_and_spread(tmp_path: Path) -> None:
    _, run = opened("sequences")
    about, y = recipe.items(Run(run.folder))
    assert y is not None
    assert len(set(y.tolist())) == len(run.task.labels)  # the test part is in order of classes
    (tmp_path / "r").mkdir()
    (tmp_path / "r/items.safetensors").write_bytes(b"damaged")
    with pytest.raises(DataError, match="remove this file, and the same compare command writes it again"):
        recipe.items(Run(tmp_path / "r"))
    assert about.items[0] == run.task.test.items[0]


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    run = finished.run("images")
    with pytest.raises(DataError, match="this is no run"):
        of_run(tmp_path)
    with pytest.raises(ArgumentError, match="seed is 7, and the run has the seeds 1 to 2"):
        of_run(run.folder, seed=7)
    with pytest.raises(ArgumentError, match="--cell names Other, and no network"):
        of_run(run.folder, cell="x.py:Other")
    moved = tmp_path / "moved.py"
    moved.write_text(finished.CELL)
    assert len(of_run(run.folder, cell=f"{moved}:Leaky").networks) == 5
    shutil.copytree(run.folder, tmp_path / "stopped")
    (tmp_path / "stopped/result.json").unlink()
    assert [n.name for n in of_run(tmp_path / "stopped").networks] == ["cnn", "rnn", "lstm", "gru", "leaky"]
    (tmp_path / "stopped/models/gru-seed-1.safetensors").unlink()
    with pytest.raises(DataError, match="there is no such model"):
        of_run(tmp_path / "stopped")

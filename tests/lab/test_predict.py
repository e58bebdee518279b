"""The promise: new data is prepared exactly as training's was, and what cannot be is a sentence."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from tests.lab import finished, tasks

from pellucid.errors import ArgumentError, DataError, PellucidError
from pellucid.lab import recipe
from pellucid.lab.data import images, inputs, sound, text
from pellucid.lab.predict import predict
from pellucid.lab.runs import Run


def kept_answers(run: finished.Finished, network: str, seed: int) -> dict[str, str]:
    """What the comparison itself answered on the test part, by item."""
    with (run.folder / "predictions" / f"{network}.csv").open(newline="", encoding="utf-8") as file:
        return {row["item"]: row["answer"] for row in csv.DictReader(file) if row["seed"] == str(seed)}


@pytest.mark.parametrize("network", ["cnn", "lstm", "leaky"])
@pytest.mark.parametrize("kind", ["images", "sound", "text"])
def test_raw_test_items_get_the_answers_that_they_got_in_the_comparison(kind: str, network: str) -> None:
    run = finished.run(kind)
    answers = predict(run.folder, run.source, network=network, seed=2)
    by_item = {str(row[0]).removeprefix(f"{run.source}/"): row[1] for row in answers.rows}
    wanted = kept_answers(run, network, 2)
    assert wanted
    assert {item: by_item[item] for item in wanted} == wanted
    assert answers.columns[2:] == tuple(f"p({label})" for label in run.task.labels)
    assert all(sum(map(float, row[2:])) == pytest.approx(1) for row in answers.rows)


@pytest.mark.parametrize("kind", ["images", "sound", "text"])
def test_preparation_gives_the_very_numbers_of_training(kind: str) -> None:
    run = finished.run(kind)
    how = recipe.read(Run(run.folder)).preprocessing
    if kind == "images":
        given = images.prepare(inputs.files_at(run.source, images.SUFFIXES, "image"), how)
    elif kind == "sound":
        given = sound.prepare(inputs.files_at(run.source, sound.SUFFIXES, "sound"), how)
    else:
        given = text.prepare(run.source, how)
    place = {item.removeprefix(f"{run.source}/"): k for k, item in enumerate(given.items)}
    for split in (run.task.train, run.task.test):
        rows = [place[item] for item in split.items]
        assert torch.equal(given.x[rows], split.x)
        assert split.lengths is None or torch.equal(given.lengths[rows], split.lengths)  # type: ignore[index]


@pytest.mark.parametrize("network", ["cnn", "gru"])
def test_a_table_cut_before_a_test_window_gets_that_windows_forecast_and_its_times(
    network: str, tmp_path: Path
) -> None:
    run = finished.run("series")
    start, wanted = list(kept_answers(run, network, 1).items())[3]
    lines = run.source.read_text().splitlines()
    until = next(k for k, line in enumerate(lines) if line.startswith(start.replace(" ", "T")))
    (tmp_path / "past.csv").write_text("\n".join(lines[:until]) + "\n")
    answers = predict(run.folder, tmp_path / "past.csv", network=network, seed=1)
    assert answers.columns == ("step", "time", "other")
    values = [float(row[2]) for row in answers.rows]
    assert values == pytest.approx([float(v) for v in wanted.split()], rel=1e-5)
    times = [line.split(",")[0].replace("T", " ").removesuffix(" 00:00:00") for line in lines[until:]]
    assert [row[1] for row in answers.rows] == times[: len(values)]


def test_several_seeds_answer_with_their_mean() -> None:
    run = finished.run("images")
    each = [predict(run.folder, run.source, network="rnn", seed=k).rows for k in (1, 2)]
    both = predict(run.folder, run.source, network="rnn")
    assert both.seeds == (1, 2)
    for a, b, mean in zip(*each, both.rows, strict=True):
        assert [(x + y) / 2 for x, y in zip(a[2:], b[2:], strict=True)] == pytest.approx(list(mean[2:]))
        assert a[2:] != b[2:]
    assert predict(run.folder, run.source).network == run.found.verdict.choice


def test_a_text_goes_on_in_its_own_characters_and_always_in_the_same_way() -> None:
    run = finished.run("characters")
    first, again = (predict(run.folder, None, prompt="gate st", network="gru", length=100) for _ in range(2))
    ((prompt, written),) = first.rows
    assert prompt == "gate st"
    assert len(str(written)) == 100
    assert set(str(written)) <= set(run.source.read_text())
    assert first == again
    ((_, other),) = predict(run.folder, None, prompt="gate st", network="cnn", length=100).rows
    assert other != written
    strange = predict(run.folder, None, prompt="gate €", network="gru", length=1)
    assert strange.notes == ("The training text has no '€'; read as unknown.",)


def test_months_go_on_by_the_calendar(tmp_path: Path) -> None:
    from pellucid.lab.data.series import _ahead

    ends = pl.Series(["2023-10-31", "2023-11-30", "2023-12-31"]).str.to_date()
    assert _ahead(ends, "month", 3) == ("2024-01-31", "2024-02-29", "2024-03-31")
    firsts = pl.Series(["2023-09-01", "2023-12-01"]).str.to_datetime()
    assert _ahead(firsts, "3 months", 2) == ("2024-03-01", "2024-06-01")
    years = pl.Series([1998, 1999, 2000])
    assert _ahead(years, "", 2) == ("2001", "2002")


def _table(place: Path, columns: dict[str, list[object]]) -> Path:
    pl.DataFrame(columns, strict=False).write_csv(place / "new.csv")
    return place / "new.csv"


def _colour(place: Path) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(place / "colour.png")
    return place / "colour.png"


def _hours(place: Path, rows: int, step: int = 1, **more: object) -> Path:
    times = [str(np.datetime64("2024-01-01T00:00:00") + k * np.timedelta64(step, "h")) for k in range(rows)]
    columns: dict[str, list[object]] = {"time": list(times), "load": [float(k) for k in range(rows)]}
    columns |= {name: [value] * rows for name, value in more.items()}
    return _table(place, columns)


WRONG = {
    "no column": ("series", lambda p: _hours(p, 100), "no column 'other', and the networks saw load, other"),
    "few rows": ("series", lambda p: _hours(p, 5, other=1.0), "has 5 rows, and a forecast needs the last"),
    "other step": ("series", lambda p: _hours(p, 100, step=2, other=1.0), "one each 2 hours, and .* one each hour"),
    "words": ("series", lambda p: _hours(p, 100, other="high"), "'other' holds no numbers"),
    "a folder": ("series", lambda p: p, "this is no file"),
    "colour": ("images", _colour, "has colours, and the networks saw grey ones"),
    "no images": ("images", lambda p: p, "no images are there"),
    "nothing": ("images", lambda p: p / "gone.png", "no such file or folder"),
    "no recording": ("sound", _colour, "no sounds are there"),
    "no texts": ("text", lambda p: _table(p, {"words": ["a"]}), "no column 'review'.*--text"),
    "empty text": (
        "text",
        lambda p: _table(p, {"review": ["a", None], "k": [1, 2]}),
        "line 3: column 'review' is empty",
    ),
    "no prompt": ("characters", lambda p: p / "gone.txt", "or the text with --prompt"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_data_is_a_sentence(case: str, tmp_path: Path) -> None:
    kind, write, words = WRONG[case]
    with pytest.raises(DataError, match=words):
        predict(finished.run(kind).folder, write(tmp_path), network="rnn")


def test_a_missing_value_is_named_by_its_line_in_the_file(tmp_path: Path) -> None:
    file = _hours(tmp_path, 100, other=1.0)
    lines = file.read_text().splitlines()
    lines[98] = lines[98].rpartition(",")[0] + ","
    file.write_text("\n".join(lines))
    with pytest.raises(DataError, match="line 99: column 'other' has no value"):
        predict(finished.run("series").folder, file, network="rnn")
    lines[3], lines[98] = lines[3].rpartition(",")[0] + ",", lines[97].replace("T00", "T01")
    early = [line for k, line in enumerate(lines) if k != 98]  # what lies before the window need not be known
    file.write_text("\n".join(early))
    assert predict(finished.run("series").folder, file, network="rnn").rows


def test_another_size_is_brought_to_trainings_and_said(tmp_path: Path) -> None:
    run = finished.run("images")
    tasks.write_images(tmp_path / "large", per_class=2, size=16)
    answers = predict(run.folder, tmp_path / "large", network="cnn")
    assert answers.notes == ("4 of 4 images were resized to 8 x 8.",)
    assert len(answers.rows) == 4


def test_wrong_questions_are_sentences(tmp_path: Path) -> None:
    run = finished.run("images")
    wrong: list[tuple[dict[str, object], str]] = [
        ({"network": "lsmt"}, "no network 'lsmt'; it has cnn, rnn, lstm, gru, leaky"),
        ({"network": "lstm", "seed": 3}, "seed is 3, and the run has the seeds 1 to 2"),
        ({"column": "a"}, "this run is of images"),
        ({"prompt": "a"}, "only a run of characters"),
        ({"network": "lstm", "cell": "a.py:A"}, "the LSTM is built in"),
    ]
    for options, words in wrong:
        with pytest.raises(ArgumentError, match=words):
            predict(run.folder, run.source, **options)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="this is no run"):
        predict(tmp_path, run.source)


def test_a_cell_that_was_changed_or_moved_is_noticed(tmp_path: Path) -> None:
    run = finished.run("images")
    moved = tmp_path / "moved.py"
    moved.write_text("# moved\n" + finished.CELL)
    told = predict(run.folder, run.source, network="leaky", cell=f"{moved}:Leaky")
    assert told == predict(run.folder, run.source, network="leaky")
    moved.write_text(finished.CELL.replace("0.5 * new", "0.4 * new"))
    with pytest.raises(DataError, match="equations are not those that the run was trained with"):
        predict(run.folder, run.source, network="leaky", cell=f"{moved}:Leaky")


def test_a_damaged_run_is_a_sentence(tmp_path: Path) -> None:
    run = finished.run("images")
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)

    def said(file: str, content: bytes | None) -> str:
        before = (folder / file).read_bytes()
        (folder / file).unlink()
        if content is not None:
            (folder / file).write_bytes(content)
        with pytest.raises(PellucidError) as error:
            predict(folder, run.source)
        (folder / file).write_bytes(before)
        return str(error.value)

    for seed in (1, 2):
        model = f"models/{run.found.verdict.choice}-seed-{seed}.safetensors"
        assert "the model cannot be read" in said(model, b"broken")
        assert "there is no such model" in said(model, None)
    assert "task.json: cannot be read" in said("task.json", b"{}")
    assert "the same compare command writes it" in said("task.json", None)
    assert "none is named best; name one with --network" in said("result.json", None)
    other = (folder / "task.json").read_bytes().replace(b'"mean"', b'"average"')
    assert "preprocessing and this version differ in 'average'" in said("task.json", other)


def test_the_command_writes_a_table_or_json(tmp_path: Path) -> None:
    run = finished.run("images")
    command = [sys.executable, "-m", "pellucid", "predict", str(run.folder), str(run.source)]

    def told(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], capture_output=True, text=True, timeout=300)

    printed = told("--network", "cnn")
    written = told("--network", "cnn", "--out", str(tmp_path / "answers.csv"), "--json")
    assert (printed.returncode, written.returncode) == (0, 0), printed.stderr + written.stderr
    rows = list(csv.DictReader(printed.stdout.splitlines()))
    assert rows == list(csv.DictReader((tmp_path / "answers.csv").read_text().splitlines()))
    answers = json.loads(written.stdout)["answers"]
    assert [a["answer"] for a in answers] == [r["answer"] for r in rows]
    failed = told("--out", str(tmp_path / "gone" / "a.csv"))
    assert failed.returncode == 2
    assert "cannot be written" in failed.stderr
    assert "Traceback" not in failed.stderr

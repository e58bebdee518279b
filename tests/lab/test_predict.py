"""The promise: new data is prepared exactly as training's was, and what cannot be is a sentence."""

from __future__ import annotations

import csv
import io
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
from tests.lab import finished, tasks, test_events, test_pictures, test_sequences

from pellucid.errors import ArgumentError, DataError, PellucidError
from pellucid.lab import data, recipe
from pellucid.lab.data import characters, images, plain, sequences, sound, text, unlabelled_pictures
from pellucid.lab.data.inputs import Inputs
from pellucid.lab.predict import predict
from pellucid.lab.runs import Run
from pellucid.lab.task import Task


def kept_answers(run: finished.Finished, network: str, seed: int) -> dict[str, str]:
    """What the comparison itself answered on the test part, by item."""
    with (run.folder / "predictions" / f"{network}.csv").open(newline="", encoding="utf-8") as file:
        return {row["item"]: row["answer"] for row in csv.DictReader(file) if row["seed"] == str(seed)}


@pytest.mark.parametrize("network", ["cnn", "lstm", "leaky"])
@pytest.mark.parametrize("kind", ["images", "sound", "text", "words", "sequences", "labels"])
def test_raw_test_items_get_the_answers_that_they_got_in_the_comparison(kind: str, network: str) -> None:
    run = finished.run(kind)
    answers = predict(run.folder, run.source, network=network, seed=2)
    by_item = {str(row[0]).removeprefix(f"{run.source}/"): row[1] for row in answers.rows}
    wanted = kept_answers(run, network, 2)
    assert wanted
    assert {item: by_item[item] for item in wanted} == wanted
    assert answers.columns[2:] == tuple(f"p({label})" for label in run.task.labels)
    if run.task.goal == "class":
        assert all(sum(map(float, row[2:])) == pytest.approx(1) for row in answers.rows)
    else:
        assert all(
            row[1] == " ".join(n for n, p in zip(run.task.labels, row[2:], strict=True) if p > 0.5)
            for row in answers.rows
        )  # type: ignore[operator]


@pytest.mark.parametrize("network", ["cnn", "gru"])
def test_a_number_is_said_in_its_own_unit_as_in_the_comparison(network: str) -> None:
    run = finished.run("number")
    answers = predict(run.folder, run.source, network=network, seed=2)
    assert answers.columns == ("item", "target")
    wanted = {item: float(said) for item, said in kept_answers(run, network, 2).items()}
    said = {str(item): value for item, value in answers.rows}
    assert len(wanted) == 12
    assert {item: said[item] for item in wanted} == pytest.approx(wanted, rel=1e-4)
    other, both = (
        {str(item): value for item, value in predict(run.folder, run.source, network=network, seed=k).rows}
        for k in (1, None)
    )
    assert both == pytest.approx({item: (other[item] + said[item]) / 2 for item in said})  # type: ignore[operator]


def test_what_follows_the_last_step_is_said_of_events(tmp_path: Path) -> None:
    """Without its last step a test sequence gets the answer that the comparison gave for that step."""
    run = finished.run("events")
    folder = tmp_path / "new"
    folder.mkdir()
    for k, roll in enumerate(test_events.rolls()[32:]):
        np.save(folder / f"{k}.npy", roll[:-1])
    answers = predict(run.folder, folder, network="lstm", seed=2)
    assert [row[1] for row in answers.rows] == list(kept_answers(run, "lstm", 2).values())
    assert answers.columns == ("item", "answer", *(f"p({n})" for n in run.task.labels))


def same_numbers(given: Inputs, task: Task) -> None:
    place = {item.removeprefix(f"{task.source}/"): k for k, item in enumerate(given.items)}
    for split in (task.train, task.valid, task.test):
        rows = [place[item] for item in split.items]
        assert torch.equal(given.x[rows], split.x)
        assert (split.lengths is None) == (given.lengths is None)
        assert split.lengths is None or torch.equal(given.lengths[rows], split.lengths)  # type: ignore[index]


@pytest.mark.parametrize("kind", ["images", "sound", "text", "subwords", "words", "sequences"])
def test_preparation_gives_the_very_numbers_of_training(kind: str) -> None:
    run = finished.run(kind)
    how = recipe.read(Run(run.folder)).preprocessing
    if kind == "images":
        given = images.prepare(unlabelled_pictures.find(run.source), how)
    elif kind == "sound":
        given = sound.prepare(run.source, how)
    elif kind == "sequences":
        given = sequences.prepare(run.source, how)
    else:
        given = text.prepare(run.source, how)
    same_numbers(given, run.task)


@pytest.mark.parametrize("form", test_sequences.FORMS)
def test_sequences_in_every_form_are_prepared_as_in_training(form: str, tmp_path: Path) -> None:
    source = test_sequences.FORMS[form](tmp_path)
    task = data.load(source, kind="sequences")
    same_numbers(sequences.prepare(source, task.preprocessing), task)


def test_sequences_need_no_classes(tmp_path: Path) -> None:
    """Without its classes each form gives the same numbers; what else differs from training is a sentence."""
    ts = test_sequences.write_ts(tmp_path / "a.ts")
    how = data.load(ts).preprocessing
    before = sequences.prepare(ts, how)
    lines = ts.read_text().replace("true low high", "false").splitlines()
    bare = [line if line.startswith("@") else line.rpartition(":")[0] for line in lines]
    (tmp_path / "b.ts").write_text("\n".join(bare))
    assert torch.equal(sequences.prepare(tmp_path / "b.ts", how).x, before.x)
    values, _ = test_sequences.cases()
    np.savez(tmp_path / "c.npz", values=before.x.numpy(), lengths=[len(v) for v in values])
    assert torch.equal(sequences.prepare(tmp_path / "c.npz", how).lengths, before.lengths)  # type: ignore[arg-type]
    np.savez(tmp_path / "d.npz", values=before.x[..., :1].numpy())
    with pytest.raises(DataError, match="sequence 1 has 1 channels, and the networks saw 2"):
        sequences.prepare(tmp_path / "d.npz", how)
    long = test_sequences.write_long(tmp_path / "e.csv")
    how = data.load(long).preprocessing
    frame = pl.read_csv(long)
    frame.drop("label").write_csv(tmp_path / "f.csv")
    assert torch.equal(sequences.prepare(tmp_path / "f.csv", how).x, sequences.prepare(long, how).x)
    for gone, words in (("id", "no column 'id', and it tells sequences apart"), ("a", "the networks saw a, b")):
        frame.drop(gone).write_csv(tmp_path / "g.csv")
        with pytest.raises(DataError, match=words):
            sequences.prepare(tmp_path / "g.csv", how)
    files = test_sequences.write_folder(tmp_path / "files")
    how = data.load(files).preprocessing
    alone = sequences.prepare(files / "low" / "00.csv", how)
    assert torch.equal(alone.x[0], sequences.prepare(files, how).x[20, : len(values[0])])  # 20 high ones come before


@pytest.mark.parametrize("form", ["parquet", "npz", "split npz", "folder of parquet", "colour"])
def test_images_in_tables_and_archives_are_prepared_as_in_training(form: str, tmp_path: Path) -> None:
    folder = tasks.write_images(tmp_path / "x", per_class=14, size=16)
    encoded, labels = test_pictures.pictures(folder)
    arrays = np.stack([np.asarray(Image.open(io.BytesIO(i))) for i in encoded])
    order = np.random.default_rng(0).permutation(len(arrays))
    source = tmp_path / ("set" if "folder" in form else "x.parquet" if form == "parquet" else "x.npz")
    if form == "parquet":
        test_pictures.encoded(source, encoded, labels)
    elif form == "folder of parquet":
        source.mkdir()
        for part, rows in (("train", order[:20]), ("test", order[20:])):
            some = [encoded[k] for k in rows], [labels[k] for k in rows]
            test_pictures.encoded(source / f"{part}-00000-of-00001.parquet", *some)
    elif form == "split npz":
        parts = {"train": order[:20], "test": order[20:]}
        np.savez(
            source, **{f"x_{p}": arrays[k] for p, k in parts.items()}, **{f"y_{p}": k // 14 for p, k in parts.items()}
        )
    else:
        colour = np.random.default_rng(0).integers(0, 255, (len(arrays), 9, 8, 3), dtype=np.uint8)
        np.savez(source, images=colour if form == "colour" else arrays, labels=labels)
    task = data.load(source)
    same_numbers(images.prepare(unlabelled_pictures.find(source), task.preprocessing), task)
    if form == "npz":
        np.savez(tmp_path / "bare.npz", anything=arrays)
        bare = images.prepare(unlabelled_pictures.find(tmp_path / "bare.npz"), task.preprocessing)
        assert torch.equal(bare.x, images.prepare(unlabelled_pictures.find(source), task.preprocessing).x)
        np.savez(tmp_path / "two.npz", a=arrays, b=arrays)
        with pytest.raises(DataError, match="holds a, b; call the array of images 'images'"):
            unlabelled_pictures.find(tmp_path / "two.npz")


@pytest.mark.parametrize("tokens", ["characters", "subwords"])
def test_a_prompt_is_cut_as_the_training_text_was(tokens: str, tmp_path: Path) -> None:
    source = tasks.write_text(tmp_path / "text.txt", 9000)
    task = data.load(source, tokens=tokens)
    given = characters.prepare(plain.read(source), task.preprocessing)
    assert torch.equal(given.x[0, : task.train.x.numel()], task.train.x.flatten())


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
    assert answers.columns == ("step", "time", "other 10 %", "other", "other 90 %")
    assert all(row[2] <= row[3] <= row[4] for row in answers.rows)  # type: ignore[operator]
    values = [float(row[3]) for row in answers.rows]
    assert values == pytest.approx([float(v) for v in wanted.split()], rel=1e-5)
    times = [line.split(",")[0].replace("T", " ").removesuffix(" 00:00:00") for line in lines[until:]]
    assert [row[1] for row in answers.rows] == times[: len(values)]


def test_several_series_get_a_forecast_each_from_what_is_known_ahead(tmp_path: Path) -> None:
    run = finished.run("shops")
    wanted = kept_answers(run, "gru", 1)
    start = "2024-01-09 00:00:00"  # in the test part of both
    frame = pl.read_csv(run.source, try_parse_dates=True)
    hour = pl.col("time").str.to_datetime() if frame["time"].dtype == pl.String else pl.col("time")
    until = pl.lit(start).str.to_datetime()
    coming = frame.with_columns(sales=pl.when(hour < until).then(pl.col("sales")))
    coming.filter(hour < until + pl.duration(hours=4)).write_csv(tmp_path / "new.csv")
    answers = predict(run.folder, tmp_path / "new.csv", network="gru", seed=1)
    assert answers.columns == ("series", "step", "time", "sales 10 %", "sales", "sales 90 %")
    assert [row[:2] for row in answers.rows] == [(shop, k) for shop in ("north", "south") for k in (1, 2, 3, 4)]
    assert [str(row[2]) for row in answers.rows[:2]] == ["2024-01-09", "2024-01-09 01:00:00"]
    for place, shop in enumerate(("north", "south")):
        values = [float(row[4]) for row in answers.rows[4 * place : 4 * place + 4]]
        assert values == pytest.approx([float(v) for v in wanted[f"{shop}, 2024-01-09"].split()], rel=1e-5)
    coming.filter(hour < until).write_csv(tmp_path / "short.csv")
    with pytest.raises(DataError, match="promotion of the 4 steps to come of series 'north' are needed"):
        predict(run.folder, tmp_path / "short.csv", network="gru", seed=1)


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
    subwords = predict(finished.run("next subwords").folder, None, prompt="gate 한", network="gru", length=50)
    assert subwords.notes == ()  # bytes can write any text
    ((prompt, written),) = subwords.rows
    assert prompt == "gate 한"
    assert 0 < len(str(written)) <= 50
    strange = predict(run.folder, None, prompt="gate €", network="gru", length=1)
    assert strange.notes == ("The training text has no '€'; read as unknown.",)


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
    "no column": ("series", lambda p: _hours(p, 100), "no column 'other'"),
    "few rows": ("series", lambda p: _hours(p, 5, other=1.0), "there are 5 rows, and a forecast needs the last"),
    "other step": ("series", lambda p: _hours(p, 100, step=2, other=1.0), "one every 2 hours, and .* one every hour"),
    "words": ("series", lambda p: _hours(p, 100, other="high"), "column 'other' holds words, such as 'high'"),
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
    "no sequences": ("sequences", _colour, "no tables are there"),
    "no events": ("events", lambda p: p / "gone.mat", "no such file or folder; give matrices of 0 and 1"),
    "other events": (
        "events",
        lambda p: _table(p, {"a": [0, 1], "b": [1, 1]}),
        "2 columns, and the networks saw 5 events",
    ),
    "no archive": ("images", lambda p: p / "gone.npz", "no such file or folder"),
    "NUL": ("text", lambda p: _table(p, {"review": ["a\0b"], "k": [1]}), "line 2: column 'review' holds NUL"),
    "no prompt": ("characters", lambda p: p / "gone.txt", "or the text with --prompt"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_data_is_a_sentence(case: str, tmp_path: Path) -> None:
    kind, write, words = WRONG[case]
    with pytest.raises(PellucidError, match=words):
        predict(finished.run(kind).folder, write(tmp_path), network="rnn")


def test_a_missing_value_is_named_by_its_line_in_the_file(tmp_path: Path) -> None:
    file = _hours(tmp_path, 100, other=1.0)
    lines = file.read_text().splitlines()
    whole = lines[98]
    lines[98] = f"{lines[98].split(',')[0]},,1.0"
    file.write_text("\n".join(lines))
    with pytest.raises(DataError, match="line 99: column 'load' has no value"):
        predict(finished.run("series").folder, file, network="rnn")
    lines[3], lines[98] = f"{lines[3].split(',')[0]},,1.0", whole  # what lies before the window need not be known
    file.write_text("\n".join(lines))
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
        ({"prompt": "a"}, "only a run of a plain text"),
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
    mixed = finished.run("images", finished.DEEP)
    for name, label in (("cnn+leaky", "CNN+Leaky"), ("bileaky2", "BiLeaky x2")):
        told = predict(mixed.folder, run.source, network=name, cell=f"{moved}:Leaky")
        assert told == predict(mixed.folder, run.source, network=label)
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
        assert "remove result.json from the run, and the same compare command writes it" in said(model, None)
    result = (folder / "result.json").read_bytes()
    (folder / "result.json").unlink()
    (folder / model).unlink()
    with pytest.raises(DataError, match="unless the network diverged, the same compare command writes it"):
        predict(folder, run.source, network=run.found.verdict.choice, seed=2)
    shutil.copy(run.folder / model, folder / model)
    (folder / "result.json").write_bytes(result)
    assert "task.json: cannot be read" in said("task.json", b"{}")
    assert "the same compare command writes it" in said("task.json", None)
    config = (folder / "config.json").read_bytes().replace(b'"seeds": 2', b'"seeds": 3')
    assert "the compare command that made it mends it" in said("config.json", config)
    assert "none is named best; name one with --network" in said("result.json", None)
    changed = (folder / "task.json").read_bytes().replace(b'"mean"', b'"average"')
    assert "task.json: cannot be read (its content is not what was written); remove" in said("task.json", changed)
    unsealed = json.loads(changed)
    del unsealed["sha256"]  # as from before there were seals
    other = json.dumps(unsealed).encode()
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

"""The promise: sequences of unequal length become a task in which nothing behind a sequence's end is ever seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.lab import tasks

from pellucid.errors import DataError, PellucidError
from pellucid.lab import comparison, data
from pellucid.lab import plan as planning
from pellucid.lab.candidates import blueprint
from pellucid.lab.data import ts_files
from pellucid.lab.data.sequences import prepare
from pellucid.lab.data.summaries import nearest

NETWORKS = ["cnn", "rnn", "lstm", "gru"]
HEAD = "@problemName tones\n@timeStamps false\n@univariate false\n@classLabel true low high\n@data\n"


def cases(per_class: int = 20, seed: int = 0) -> tuple[list[np.ndarray], list[str]]:  # type: ignore[type-arg]
    """Two channels, 5 to 12 steps: what tells the classes apart is the order of the first channel's values."""
    generator = np.random.default_rng(seed)
    values, labels = [], []
    for k in range(2 * per_class):
        steps = int(generator.integers(5, 13))
        rising = np.sort(generator.normal(size=steps))
        first = rising if k % 2 else rising[::-1]
        values.append(np.round(np.stack([first, generator.normal(size=steps)], 1), 4))
        labels.append("high" if k % 2 else "low")
    return values, labels


def write_ts(file: Path, per_class: int = 20, seed: int = 0) -> Path:
    lines = [
        ":".join([*(",".join(map(str, column)) for column in v.T), label])
        for v, label in zip(*cases(per_class, seed), strict=True)
    ]
    file.write_text(HEAD + "\n".join(lines) + "\n")
    return file


def write_long(file: Path) -> Path:
    rows = [
        (f"s{k}", t, *step, label)
        for k, (v, label) in enumerate(zip(*cases(), strict=True))
        for t, step in enumerate(v.tolist())
    ]
    pl.DataFrame(rows, schema=["id", "time", "a", "b", "label"], orient="row").write_csv(file)
    return file


def write_folder(folder: Path) -> Path:
    for k, (v, label) in enumerate(zip(*cases(), strict=True)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        pl.DataFrame({"time": range(len(v)), "a": v[:, 0], "b": v[:, 1]}).write_csv(folder / label / f"{k:02d}.csv")
    return folder


def write_npz(file: Path) -> Path:
    values, labels = cases()
    padded = np.full((len(values), 12, 2), 77.0)
    for k, v in enumerate(values):
        padded[k, : len(v)] = v
    np.savez(file, values=padded, lengths=np.array([len(v) for v in values]), labels=np.array(labels))
    return file


def write_other_names(file: Path, parts: tuple[str, ...] = ("",)) -> Path:
    """As scikit-learn's users call arrays, the rows dealt to the parts in turn."""
    arrays = dict(np.load(write_npz(file)))
    called = {"values": "X", "labels": "y", "lengths": "lengths"}
    named = {f"{called[k]}{part}": v[n :: len(parts)] for k, v in arrays.items() for n, part in enumerate(parts)}
    np.savez(file, **named)
    return file


FORMS: dict[str, Callable[[Path], Path]] = {
    "ts": lambda p: write_ts(p / "a.ts"),
    "long table": lambda p: write_long(p / "a.csv"),
    "folder": lambda p: write_folder(p / "a"),
    "npz": lambda p: write_npz(p / "a.npz"),
    "X and y": lambda p: write_other_names(p / "a.npz"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_sequences(tmp_path: Path, form: str) -> None:
    source = FORMS[form](tmp_path)
    recognised = data.recognise(source)
    assert recognised.kind == "sequences"
    assert "sequences to classify" in recognised.sentence
    task = data.load(source)
    assert (task.form, task.goal, task.channels, task.extent) == ("sequence", "class", 2, (12,))
    assert set(task.labels) == {"low", "high"}
    lengths, sums = [], []
    mean, spread = (torch.tensor(v) for v in task.scale)
    for part in (task.train, task.valid, task.test):
        assert part.lengths is not None
        lengths += part.lengths.tolist()
        sums += [float((x[:n].double() * spread + mean).sum()) for x, n in zip(part.x, part.lengths, strict=True)]
    values, _ = cases()
    assert sorted(lengths) == sorted(map(len, values))
    np.testing.assert_allclose(sorted(sums), sorted(v.sum() for v in values), atol=1e-4)


def test_a_mark_at_the_beginning_of_a_file_is_none_of_its_text(tmp_path: Path) -> None:
    file = write_ts(tmp_path / "a.ts")
    plain = data.load(file).fingerprint
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert data.load(file).fingerprint == plain


def test_a_split_that_the_archive_gives_is_kept(tmp_path: Path) -> None:
    write_ts(tmp_path / "Tones_TRAIN.ts", 20)
    write_ts(tmp_path / "Tones_TEST.ts", 30, seed=1)
    for source in (tmp_path, tmp_path / "Tones_TRAIN.ts", tmp_path / "Tones_TEST.ts"):
        task = data.load(source)
        assert len(task.test) == 60
        assert all("TEST" in item for item in task.test.items)
        assert all("TRAIN" in item for item in [*task.train.items, *task.valid.items])
        assert len(task.train) + len(task.valid) == 40
        assert len(task.valid) >= 4


def test_a_split_in_an_archive_is_kept(tmp_path: Path) -> None:
    file = write_other_names(tmp_path / "a.npz", ("_train", "_valid", "_test"))
    task, arrays = data.load(file), np.load(file)
    for part, name in ((task.train, "train"), (task.valid, "valid"), (task.test, "test")):
        assert part.lengths is not None
        assert part.lengths.tolist() == arrays[f"lengths_{name}"].tolist()
        assert [task.labels[k] for k in part.y] == arrays[f"y_{name}"].tolist()
        assert part.items[0] == f"X_{name} 1"
    how = task.preprocessing
    x = prepare(file, how)
    rows = [x.items.index(item) for item in task.test.items]
    assert torch.equal(x.x[rows], task.test.x)


def test_one_hot_labels_are_classes_and_several_are_not(tmp_path: Path) -> None:
    values, labels = np.random.default_rng(0).normal(size=(40, 9, 2)), np.arange(40) % 4
    ones = np.eye(4)[labels]
    np.savez(tmp_path / "plain.npz", values=values, labels=labels)
    np.savez(tmp_path / "hot.npz", values=values, labels=ones)
    np.savez(tmp_path / "named.npz", values=values, labels=ones, names=["a", "b", "c", "d"])
    plain, hot, named = (data.load(tmp_path / f"{name}.npz") for name in ("plain", "hot", "named"))
    assert (hot.goal, hot.labels, named.labels) == ("class", plain.labels, ("a", "b", "c", "d"))
    assert torch.equal(plain.train.y, hot.train.y)
    assert "with a class each" in data.recognise(tmp_path / "hot.npz").sentence
    ones[3, 0] = 1
    np.savez(tmp_path / "several.npz", values=values, labels=ones)
    assert data.load(tmp_path / "several.npz").goal == "labels"


@pytest.mark.parametrize(
    ("name", "shape", "kind", "taken"),
    [
        ("X", (40, 128, 9), "float32", "sequences"),
        ("x", (40, 60, 1), "float32", "sequences"),
        ("X", (40, 50), "float64", "sequences"),
        ("data", (40, 28, 28), "float32", "images"),
        ("X", (40, 32, 100), "uint8", "images"),
        ("images", (40, 32, 100), "float32", "images"),
        ("X", (40, 8, 8, 3), "float32", "images"),
    ],
)
def test_arrays_of_any_name_are_told_by_their_shape(
    tmp_path: Path, name: str, shape: tuple[int, ...], kind: str, taken: str
) -> None:
    values = np.random.default_rng(0).integers(0, 255, shape).astype(kind)
    np.savez(tmp_path / "a.npz", **{name: values, "y": np.arange(40) % 2})  # type: ignore[arg-type]
    assert data.recognise(tmp_path / "a.npz").kind == taken
    assert data.load(tmp_path / "a.npz").kind == taken


@pytest.mark.parametrize(("far", "said"), [(1000.0, "1,0.. times as far"), (0.001, "times closer together"), (1.0, "")])
def test_another_unit_than_trainings_is_told(tmp_path: Path, far: float, said: str) -> None:
    values = np.random.default_rng(0).normal(size=(40, 9, 2))
    np.savez(tmp_path / "a.npz", values=values, labels=np.arange(40) % 2)
    how = data.load(tmp_path / "a.npz").preprocessing
    np.savez(tmp_path / "b.npz", values=values * far)
    notes = prepare(tmp_path / "b.npz", how).notes
    assert bool(notes) == bool(said)
    assert not said or re.search(
        f"The values of channel 'channel [12]' are .*{said}.*; are they in the same unit", notes[0]
    )


def test_tables_beside_the_folders_of_classes_are_told(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    assert not [c for c in data.load(folder).cautions if "beside" in c]
    (folder / "labels.csv").write_text("a,b\n1,2\n")
    (folder / "about.txt").write_text("what these are\n")
    assert "labels.csv lies beside the folders of classes, and no network saw it." in data.load(folder).cautions


def test_sequences_on_both_sides_of_a_given_split_are_cautioned(tmp_path: Path) -> None:
    write_ts(tmp_path / "Tones_TRAIN.ts", 20)
    write_ts(tmp_path / "Tones_TEST.ts", 20)
    assert any("test sequences are equal to sequences in train" in c for c in data.load(tmp_path).cautions)


def test_equal_sequences_stay_on_one_side(tmp_path: Path) -> None:
    file = write_ts(tmp_path / "a.ts")
    head, _, lines = file.read_text().partition("@data\n")
    file.write_text(head + "@data\n" + lines + lines)
    task = data.load(file)
    seen = {x.numpy().tobytes() for x in task.train.x}
    assert not any(x.numpy().tobytes() in seen for x in task.test.x)
    assert any("twin" in c for c in task.cautions)


def test_scaling_is_by_the_valid_steps_of_the_training_part(tmp_path: Path) -> None:
    task = data.load(write_npz(tmp_path / "a.npz"))  # what is behind the ends is 77 there
    assert task.train.lengths is not None
    steps = torch.cat([x[:n] for x, n in zip(task.train.x, task.train.lengths, strict=True)])
    torch.testing.assert_close(steps.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(steps.std(0, correction=0), torch.ones(2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_behind_a_sequences_end_changes_nothing(tmp_path: Path, name: str) -> None:
    task = data.load(write_ts(tmp_path / "a.ts"))
    model = blueprint(name).build(task, 8).eval()
    x, lengths = task.train.x, task.train.lengths
    assert lengths is not None
    nonsense = x.clone()
    for row, n in enumerate(lengths.tolist()):
        nonsense[row, n:] = 1e3
    with torch.no_grad():
        torch.testing.assert_close(model(nonsense, lengths), model(x, lengths))
        short = int(lengths.argmin())
        alone = model(x[short : short + 1, : int(lengths[short])], None)
        torch.testing.assert_close(alone, model(x, lengths)[short : short + 1], atol=1e-5, rtol=1e-5)


def test_series_to_forecast_are_no_sequences_to_classify(tmp_path: Path) -> None:
    frame = pl.read_csv(write_long(tmp_path / "a.csv"))
    frame.drop("label").write_csv(tmp_path / "b.csv")  # several series, no label
    assert data.recognise(tmp_path / "b.csv").kind == "series"
    varying = frame.with_columns(pl.Series("label", [k % 2 for k in range(frame.height)]))
    varying.write_csv(tmp_path / "c.csv")  # what changes along a series is a value, not its class
    assert data.recognise(tmp_path / "c.csv").kind == "series"
    assert data.recognise(tasks.write_series(tmp_path / "d.csv")).kind == "series"


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        ({}, "series", "a series to forecast"),
        ({"id": "engine"}, "series", "several series by column 'engine'"),
        ({"id": "engine", "horizon": 2}, "series", "several series by column 'engine'"),
        (
            {"id": "engine", "label": "made"},
            "sequences",
            "'made' is the same along each 'engine': sequences to classify",
        ),
        ({"id": "engine", "label": "life"}, "sequences", "'life' is the same along each 'engine': say the number"),
        ({"label": "life"}, "sequences", "labels are asked for"),
        ({"regress": True}, "sequences", "say the number"),
        ({"text": "made"}, "text", "'made'"),
        ({"kind": "text", "label": "life"}, "text", "is read as text"),
        ({"label": "life", "horizon": 2}, "series", ""),  # nothing has both
    ],
)
def test_what_is_asked_of_a_table_says_what_it_is(tmp_path: Path, asked: dict[str, Any], kind: str, said: str) -> None:
    """With columns that no name tells: an engine's cycles, what it holds out, and who made it."""
    table = pl.read_csv(write_long(tmp_path / "a.csv")).rename({"id": "engine", "label": "made"})
    life = table.group_by("engine", maintain_order=True).len().with_columns(life=pl.int_range(pl.len()) * 7)
    table.join(life.drop("len"), on="engine", maintain_order="left").write_csv(tmp_path / "b.csv")
    found = data.recognise(tmp_path / "b.csv", **asked)
    assert found.kind == kind
    assert said in found.sentence
    if kind == "sequences" and "id" in asked:
        task = data.load(tmp_path / "b.csv", **asked)
        assert task.goal == ("number" if asked["label"] == "life" else "class")
    elif asked == {"label": "life"}:
        with pytest.raises(DataError, match=r"no column says which sequence a row is of \(--id\)"):
            data.load(tmp_path / "b.csv", **asked)


def test_the_nearest_training_sequence_says_the_class() -> None:
    train = [np.zeros((4, 1)), np.ones((6, 1))]
    asked = [np.full((5, 1), 0.9), np.full((5, 1), 0.1)]
    found = nearest(train, torch.tensor([0, 1]), asked, asked[:1], 2)
    assert found.valid.argmax(-1).tolist() == [1, 0]
    assert found.test.argmax(-1).tolist() == [1]


def test_the_better_baseline_on_validation_is_the_one_to_beat(tmp_path: Path) -> None:
    """First and last values tell rising from falling; noise does not tell classes of one to three apart."""
    assert data.load(write_ts(tmp_path / "a.ts")).baseline.name == "nearest summary"
    generator = np.random.default_rng(0)
    values, labels = generator.normal(size=(400, 6)), (np.arange(400) % 3 == 0).astype(int)
    np.savez(tmp_path / "b.npz", values=values, labels=labels)
    task = data.load(tmp_path / "b.npz")
    assert task.baseline.name == "majority class"
    assert task.train.lengths is None


def test_missing_values_are_refused_or_filled(tmp_path: Path) -> None:
    file = tmp_path / "a.ts"
    write_ts(file)
    lines = file.read_text().splitlines()
    lines[5] = "?,1,?,4,4,4:0,0,0,0,0,0:low"
    file.write_text("\n".join(lines))
    with pytest.raises(DataError, match="2 values are missing in 1 of 40 sequences"):
        data.load(file)
    with pytest.raises(PellucidError, match="no season in common"):
        data.load(file, missing="seasonal")
    for how, expected in (("linear", [1, 1, 2.5, 4, 4, 4]), ("last", [1, 1, 1, 4, 4, 4])):
        task = data.load(file, missing=how)
        split, row = next(
            (s, s.items.index("a.ts case 1")) for s in (task.train, task.valid, task.test) if "a.ts case 1" in s.items
        )
        raw = split.x[row, :6, 0] * task.scale[1][0] + task.scale[0][0]
        np.testing.assert_allclose(raw, expected, atol=1e-5)


def test_learning_happens(tmp_path: Path) -> None:
    task = data.load(write_ts(tmp_path / "a.ts", per_class=60))
    made = planning.plan(task, ["cnn", "gru"], trials=1, seeds=1, epochs=15, size=2000)
    found, _ = comparison.compare(made, out=tmp_path / "run")
    assert all(c.score.value > 85 for c in found.candidates)


def _ts(text: str) -> Callable[[Path], Path]:
    def make(p: Path) -> Path:
        (p / "a.ts").write_text(text)
        return p / "a.ts"

    return make


def _npz(**arrays: object) -> Callable[[Path], Path]:
    def make(p: Path) -> Path:
        np.savez(p / "a.npz", **arrays)  # type: ignore[arg-type]
        return p / "a.npz"

    return make


def _another_column(p: Path) -> Path:
    write_folder(p / "a")
    pl.DataFrame({"a": [1.0], "c": [1.0]}).write_csv(p / "a" / "low" / "zz.csv")
    return p / "a"


def _two_labels(p: Path) -> Path:
    file = write_long(p / "a.csv")
    lines = file.read_text().splitlines()
    lines[3] = lines[3].replace("low", "high")
    file.write_text("\n".join(lines))
    return file


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_ts(HEAD), "no cases"),
        (_ts(HEAD + "1,2,x:1,2,3:low\n"), "line 6: could not convert"),
        (_ts(HEAD + "1,2:1,2:middle\n"), "line 6: 'middle' is none of the classes"),
        (_ts(HEAD + "1,2:1,2:low\n1,2:high\n"), "cases have 1 to 2 dimensions"),
        (_ts(HEAD.replace("timeStamps false", "timeStamps true") + "1,2:low\n"), "time stamps"),
        (_ts("1,2,3:low\n"), "begins with @"),
        (_ts(HEAD.replace("true low high", "false") + "1,2,3\n"), "have no classes"),
        (_npz(values=np.ones((4, 3))), "values .* and labels .* are needed"),
        (
            _npz(values=np.ones((4, 1, 9)), labels=np.arange(4)),
            "one step each; if steps come last there, save numpy.swapax",
        ),
        (
            _npz(x_train=np.ones((4, 3)), y_train=np.arange(4) % 2, x_test=np.ones((2, 3)), y_test=np.eye(2)),
            "have the shapes",
        ),
        (_npz(values=np.ones((4, 3)), labels=np.ones(3)), r"labels have shape \(3,\)"),
        (_npz(values=np.ones((4, 3)), labels=np.arange(4), lengths=np.array([1, 2, 3, 4])), "lengths go from 1 to 4"),
        (_npz(values=np.array([[1], [2, 3]], dtype=object), labels=np.arange(2)), "cannot be read"),
        (_another_column, "zz.csv: its columns are a, c, and those of .* are a, b"),
        (_two_labels, "line 4: the label of id 's0' changes from 'low' to 'high'"),
    ],
)
def test_bad_sequences_are_a_sentence(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    with pytest.raises(DataError, match=words):
        data.load(make(tmp_path), kind="sequences")


def test_lines_of_an_archive_file_are_read_exactly(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text("# a comment\n" + HEAD + "1,2.5,?:-1e3,0,1:low\n\n7:8,9:high\n")
    values, labels, classes = ts_files.read(tmp_path / "a.ts")
    np.testing.assert_array_equal(values[0], [[1, -1000], [2.5, 0], [np.nan, 1]])
    np.testing.assert_array_equal(values[1], [[7, 8], [np.nan, 9]])
    assert labels == classes == ["low", "high"]


def test_steps_at_the_end_that_are_missing_in_every_channel_are_none(tmp_path: Path) -> None:
    """Archives fill up to equal lengths so; a value that is missing in one channel is a gap."""
    (tmp_path / "a.ts").write_text(HEAD + "1,2,?,?:3,4,5,?:low\n")
    values, _, _ = ts_files.read(tmp_path / "a.ts")
    np.testing.assert_array_equal(values[0], [[1, 3], [2, 4], [np.nan, 5]])
    padded = np.full((8, 5), np.nan)
    padded[:, :3] = np.arange(24).reshape(8, 3)
    np.savez(tmp_path / "b.npz", values=padded, labels=np.arange(8) % 2)
    assert data.load(tmp_path / "b.npz").extent == (3,)

"""The promise: every kind of data becomes a task without leakage, and bad data becomes one clear sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from tests.lab import tasks

from pellucid.errors import DataError, PellucidError
from pellucid.lab import data
from pellucid.lab.data.series import baselines
from pellucid.lab.task import Task

REAL = Path(__file__).parents[2].parent / "shared" / "data"


def equal(a: Task, b: Task) -> bool:
    return a.fingerprint == b.fingerprint and all(
        torch.equal(getattr(a, part).x, getattr(b, part).x) for part in ("train", "valid", "test")
    )


def test_images(tmp_path: Path) -> None:
    folder = tasks.write_images(tmp_path / "photos")
    task = data.load(folder)
    assert (task.kind, task.form, task.goal, task.channels, task.extent, task.labels) == (
        "images",
        "image",
        "class",
        1,
        (8, 8),
        ("left", "right"),
    )
    names = [set(getattr(task, part).items) for part in ("train", "valid", "test")]
    assert sum(map(len, names)) == len(set.union(*names)) == 24
    assert abs(task.train.x.mean()) < 1e-5
    assert equal(task, data.load(folder))


def test_equal_images_stay_on_one_side(tmp_path: Path) -> None:
    folder = tasks.write_images(tmp_path / "photos")
    for k in range(5):
        Image.open(folder / "left" / "00.png").save(folder / "left" / f"twin{k}.png")
    task = data.load(folder)
    sides = [
        part
        for part in ("train", "valid", "test")
        if any("twin" in i or "left/00" in i for i in getattr(task, part).items)
    ]
    assert len(sides) == 1
    assert any("twin" in caution for caution in task.cautions)


def test_a_split_that_the_folder_gives_is_kept(tmp_path: Path) -> None:
    tasks.write_images(tmp_path / "set" / "train")
    tasks.write_images(tmp_path / "set" / "test", per_class=4)
    task = data.load(tmp_path / "set")
    assert all(item.startswith("test") for item in task.test.items)
    assert all(item.startswith("train") for item in [*task.train.items, *task.valid.items])
    assert any("leaks" in caution for caution in task.cautions)  # both were drawn alike


def test_series_windows_do_not_straddle(tmp_path: Path) -> None:
    task = data.load(tasks.write_series(tmp_path / "a.csv"), target="load", horizon=6, window=24)
    assert task.train.x.shape[1:] == (24, 2)
    assert task.test.y.shape[1:] == (6, 1)
    last_of_train, first_of_valid = task.train.items[-1], task.valid.items[0]
    assert pl.Series([last_of_train]).str.to_datetime()[0] < pl.Series([first_of_valid]).str.to_datetime()[0]
    assert len(task.train) == 280 - 30 + 1
    assert task.step == "hour"


def test_what_comes_later_changes_nothing_before(tmp_path: Path) -> None:
    file = tasks.write_series(tmp_path / "a.csv")
    before = data.load(file, target="load")
    lines = file.read_text().splitlines()
    lines[350:] = [f"{line.split(',')[0]},999,-999" for line in lines[350:]]
    file.write_text("\n".join(lines) + "\n")
    after = data.load(file, target="load")
    assert torch.equal(before.train.x, after.train.x)
    assert torch.equal(before.train.y, after.train.y)
    assert before.scale == after.scale
    assert before.preprocessing == after.preprocessing


def test_the_seasonal_naive_is_the_value_one_season_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MOST_ROWS", 0)  # without exponential smoothing, which is better here
    file = tasks.write_series(tmp_path / "a.csv", season=12)
    task = data.load(file, target="load", horizon=15)
    assert task.baseline.name == "seasonal naive (12)"
    values = pl.read_csv(file)["load"].to_numpy()
    at = len(values) - 15
    expected = [values[at + k - 12 * (1 + k // 12)] for k in range(15)]
    assert task.baseline.scores[-1].item() == pytest.approx(np.abs(np.array(expected) - values[at:]).mean(), rel=1e-5)


def test_texts(tmp_path: Path) -> None:
    task = data.load(tasks.write_texts(tmp_path / "a.csv"))
    assert (task.kind, task.form, task.labels) == ("text", "tokens", ("down", "up"))
    assert task.train.lengths is not None
    assert task.train.x.max() < task.channels
    assert "좋" in str(task.preprocessing["vocabulary"])


def as_parquet(file: Path) -> Path:
    """The same table as Parquet, times as times."""
    pl.read_csv(file, try_parse_dates=True).write_parquet(file.with_suffix(".parquet"))
    return file.with_suffix(".parquet")


@pytest.mark.parametrize("write", [tasks.write_series, tasks.write_texts])
def test_parquet_gives_the_task_that_csv_gives(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    file = write(tmp_path / "a.csv")
    task, twin = data.load(file), data.load(as_parquet(file))
    assert equal(task, twin)
    assert task.title == twin.title
    assert task.step == twin.step
    assert task.fingerprint == twin.fingerprint


def test_a_hole_in_parquet_is_named_by_its_row(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pl.DataFrame({"v": [1.0] * 40 + [None] + [2.0] * 60}).write_parquet(file)
    with pytest.raises(DataError, match="row 41: column 'v' has no value"):
        data.load(file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match=r"a\.parquet: the table cannot be read"):
        data.load(file)


def test_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    file = tasks.write_series(tmp_path / "a.csv")
    task = data.load(file)
    lines = file.read_text().splitlines()
    (tmp_path / "points.csv").write_text("\n".join(line.replace(",", ";") for line in lines), encoding="utf-8-sig")
    (tmp_path / "commas.csv").write_text("\n".join(line.replace(",", ";").replace(".", ",") for line in lines))
    (tmp_path / "tabs.tsv").write_text("\n".join(line.replace(",", "\t") for line in lines))
    for name in ("points.csv", "commas.csv", "tabs.tsv"):
        assert equal(task, data.load(tmp_path / name)), name


def test_characters(tmp_path: Path) -> None:
    file = tasks.write_text(tmp_path / "a.txt")
    task = data.load(file)
    assert torch.equal(task.train.x[0, 1:], task.train.y[0, :-1])
    assert task.baseline.name.endswith("-gram")
    letters = len(set(file.read_text()))
    assert 0 < task.baseline.scores.mean() < np.log2(letters) / 2


def test_the_ngram_is_a_distribution() -> None:
    from pellucid.lab.data.ngrams import Counts

    counts = Counts([0, 1, 2, 0, 1, 3, 0, 1, 2], 3, 4)
    for context in ([0], [0, 1], [3, 3], [2, 0]):
        total = sum(2 ** -counts.bits([*context, c], 3)[-1] for c in range(4))
        assert total == pytest.approx(1)


def test_sounds(tmp_path: Path) -> None:
    task = data.load(tasks.write_sounds(tmp_path / "tones"))
    assert (task.kind, task.form, task.channels) == ("sound", "sequence", 40)
    lengths = task.train.lengths
    assert lengths is not None
    assert len(set(lengths.tolist())) > 1
    row = int(lengths.argmin())
    assert (task.train.x[row, int(lengths[row]) :] == 0).all()


def test_a_tone_lies_in_its_band() -> None:
    from pellucid.lab.data.sound import log_mel, mel_filters

    filters = mel_filters(8000, 256)
    wave = np.sin(2 * np.pi * 1000 * np.arange(4000) / 8000).astype(np.float32)
    loudest = int(log_mel(wave, 8000, filters).mean(0).argmax())
    frequency = np.fft.rfftfreq(256, 1 / 8000)
    low, high = frequency[filters[loudest] > 0][[0, -1]]
    assert low - 32 <= 1000 <= high + 32  # within a bin of the band's edges


def _empty(p: Path) -> Path:
    (p / "x").mkdir()
    return p / "x"


def _one_class(p: Path) -> Path:
    tasks.write_images(p / "x")
    for file in (p / "x" / "right").iterdir():
        file.unlink()
    (p / "x" / "right").rmdir()
    return p / "x"


def _broken_image(p: Path) -> Path:
    tasks.write_images(p / "x")
    (p / "x" / "left" / "03.png").write_bytes(b"\x89PNG not an image")
    return p / "x"


def _csv(text: str) -> Callable[[Path], Path]:
    def make(p: Path) -> Path:
        (p / "a.csv").write_text(text)
        return p / "a.csv"

    return make


def _hole(p: Path) -> Path:
    file = tasks.write_series(p / "a.csv")
    lines = file.read_text().splitlines()
    lines[41] = lines[41].split(",")[0] + ",,1"
    file.write_text("\n".join(lines) + "\n")
    return file


def _backwards(p: Path) -> Path:
    file = tasks.write_series(p / "a.csv")
    lines = file.read_text().splitlines()
    lines[10], lines[11] = lines[11], lines[10]
    file.write_text("\n".join(lines) + "\n")
    return file


def _few_rows(p: Path) -> Path:
    return tasks.write_series(p / "a.csv", rows=20)


def _broken_sound(p: Path) -> Path:
    tasks.write_sounds(p / "x")
    (p / "x" / "low" / "0.wav").write_bytes(b"RIFFxxxx")
    return p / "x"


def _nothing(name: str) -> Callable[[Path], Path]:
    def make(p: Path) -> Path:
        (p / name).touch()
        return p / name

    return make


def _wrapped(p: Path) -> Path:
    tasks.write_images(p / "unpacked" / "x")
    return p / "unpacked"


def _strange_arrays(p: Path) -> Path:
    np.savez(p / "a.npz", a=np.zeros(3), b=np.zeros(3))
    return p / "a.npz"


def _latin(p: Path) -> Path:
    (p / "a.txt").write_bytes("caf\xe9 ".encode("latin-1") * 1000)
    return p / "a.txt"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p / "nothing.csv", "there is no such file"),
        (_empty, "no images, sounds or tables that are known"),
        (_nothing("a.zip"), "this is an archive; unpack it"),
        (_wrapped, r"there is one class, 'x', .*; give .*x, whose folders they may be"),
        (_one_class, "one class"),
        (_broken_image, r"03.png: the image cannot be read \(it is of no kind that is known\)"),
        (_csv(""), "empty"),
        (_csv("a,b\n"), "no rows"),
        (_csv("name\nfoo\nbar\n"), "no column holds numbers"),
        (_csv("v\n" + "1\n" * 30 + "oops\n" + "2\n" * 90), "line 32: column 'v' has 'oops'"),
        (_hole, "line 42: column 'load' has no value"),
        (_backwards, "line 12: the time .* does not come after"),
        (_few_rows, "has 14 of 20 rows"),
        (_broken_sound, "0.wav: the recording cannot be read"),
        (_latin, "is not UTF-8"),
        (lambda p: tasks.write_text(p / "a.txt", 300), "at least"),
        (lambda p: (p / "a.xyz").write_text("x") and p / "a.xyz", "'.xyz' are not known"),
        (_nothing("a.txt"), "a.txt: the file is empty; give a text"),
        (_nothing("a.npz"), "a.npz: the file is no NPZ archive"),
        (_strange_arrays, "the archive holds a, b; images are the arrays"),
        (
            _csv(
                "id,x,label\n" + "".join(f"s{k // 9},{k},{'nan' if k // 9 == 4 else k // 9 % 2}\n" for k in range(99))
            ),
            "line 38: .* is empty",
        ),
    ],
)
def test_bad_data_is_a_sentence(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    with pytest.raises(DataError, match=words):
        data.load(make(tmp_path))


def test_options_that_do_not_fit_are_sentences(tmp_path: Path) -> None:
    file = tasks.write_series(tmp_path / "a.csv")
    for options, words in (
        ({"target": "lod"}, "its columns are time, load, other"),
        ({"augment": "flip"}, "its options are"),
        ({"label": "x"}, "no column 'x'; its columns are time, load, other"),
        ({"split": "1,2"}, "three numbers"),
    ):
        with pytest.raises(PellucidError, match=words):
            data.load(file, **options)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets do not lie beside the project")
def test_real_data_loads() -> None:
    assert len(data.load(REAL / "ETTh1.csv", split="8640,2880,2880", horizon=1).train) > 2000
    assert data.load(REAL / "nsmc20k.csv").labels == ("0", "1")
    assert len(data.load(REAL / "fsdd").test) == 300


@pytest.mark.parametrize("given", [".", "", "below/.."])
def test_the_folder_that_one_is_in_has_its_name(tmp_path: Path, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tasks.write_images(tmp_path / "photos")
    (folder / "below").mkdir()
    monkeypatch.chdir(folder)
    assert data.recognise(Path(given)).sentence.startswith("photos holds ")

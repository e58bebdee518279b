"""Data as people have it: dates of every kind, odd images, few items, and mistakes that are easy to make."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from tests.lab import tasks

from pellucid.errors import DataError, PellucidError
from pellucid.lab import comparison, data, sealed
from pellucid.lab import plan as planning
from pellucid.lab.data.metrics import accuracy, balanced_accuracy, macro_f1, mean_absolute_error
from pellucid.lab.report import words
from pellucid.lab.report.page import render
from pellucid.lab.results import Comparison, Interval
from pellucid.lab.statistics import Bootstrap
from pellucid.lab.task import SHARE


def compare(*arguments: object) -> subprocess.CompletedProcess[str]:
    quick = ("--trials", "1", "--seeds", "1", "--epochs", "1")
    command = [sys.executable, "-m", "pellucid", "compare", *map(str, arguments), *quick]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def write_rows(file: Path, header: str, rows: list[str]) -> Path:
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def sine(count: int = 200) -> list[float]:
    noise = np.random.default_rng(0).normal(0, 0.1, count)
    return [float(v) for v in np.sin(np.arange(count) / 5) + noise]


DATES: dict[str, tuple[Callable[[int], str], str]] = {
    "day": (lambda k: str(np.datetime64("2020-01-01") + k), "day"),
    "American months": (lambda k: f"{k % 12 + 1:02d}/01/{2000 + k // 12}", "month"),
    "American days": (lambda k: (np.datetime64("2020-01-01") + k).item().strftime("%m/%d/%Y"), "day"),
    "German days": (lambda k: (np.datetime64("2020-01-01") + k).item().strftime("%d.%m.%Y"), "day"),
    "month": (lambda k: f"{2000 + k // 12}-{k % 12 + 1:02d}", "month"),
    "offset": (lambda k: f"{np.datetime64('2020-01-01T00:00:00') + k * np.timedelta64(1, 'h')}+01:00", "hour"),
    "fractions": (lambda k: f"{np.datetime64('2020-01-01T00:00:00') + k * np.timedelta64(1, 's')}.000000", "second"),
}


@pytest.mark.parametrize("name", DATES)
def test_dates_of_every_kind_say_when(tmp_path: Path, name: str) -> None:
    when, step = DATES[name]
    rows = [f"{when(k)},{v}" for k, v in enumerate(sine())]
    task = data.load(write_rows(tmp_path / "a.csv", "when,y", rows))
    assert task.kind == "series"
    assert task.step == step
    assert task.channels == 1
    rows.reverse()
    with pytest.raises(DataError, match="does not come after"):
        data.load(write_rows(tmp_path / "b.csv", "when,y", rows))


def test_a_year_beside_a_month_is_no_time(tmp_path: Path) -> None:
    rows = [f"{2000 + k // 12},{k % 12 + 1},{v}" for k, v in enumerate(sine())]
    assert data.load(write_rows(tmp_path / "a.csv", "year,month,y", rows)).channels == 3


def test_a_changed_time_is_another_task(tmp_path: Path) -> None:
    prints = [
        data.load(
            write_rows(tmp_path / f"{y}.csv", "year,y", [f"{y + k},{v}" for k, v in enumerate(sine())])
        ).fingerprint
        for y in (1700, 1701)
    ]
    assert prints[0] != prints[1]


def test_a_random_walk_has_no_season(tmp_path: Path) -> None:
    found = []
    for seed in range(20):
        walk = 100 + np.random.default_rng(seed).normal(size=600).cumsum()
        task = data.load(write_rows(tmp_path / "a.csv", "price", [str(v) for v in walk]))
        found.append(dict(task.facts)["Season"])
    assert found.count("none found") >= 19


def test_seasons_are_found_where_they_are(tmp_path: Path) -> None:
    facts = dict(data.load(write_rows(tmp_path / "a.csv", "y", [str(v) for v in sine(400)])).facts)
    assert 29 <= int(facts["Season"].split()[0]) <= 34  # 10 pi, under noise as large as the steps
    line = data.load(write_rows(tmp_path / "b.csv", "y", [str(0.1 * k) for k in range(200)]))
    assert dict(line.facts)["Season"] == "none found"  # what differs from a line is rounding


def test_a_column_that_is_constant_in_training_is_not_blown_up(tmp_path: Path) -> None:
    rows = [f"{1.1 if k < 185 else 1.2},{v}" for k, v in enumerate(sine())]
    task = data.load(write_rows(tmp_path / "a.csv", "price,y", rows))
    assert task.test.x.abs().max() < 10


def test_texts_that_are_equal_up_to_the_cut_stay_on_one_side(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    bodies = ["".join(generator.choice(list("abcdefgh "), 200)) for _ in range(10)]
    rows = [f"{bodies[k % 10]} signed {k},{'ab'[k % 2]}" for k in range(60)]
    task = data.load(write_rows(tmp_path / "a.csv", "text,label", rows))
    seen = {tuple(row) for row in task.train.x.tolist()}
    assert not any(tuple(row) in seen for row in task.test.x.tolist())
    assert any("twin" in caution for caution in task.cautions)


def test_words_that_look_like_nothing_are_words(tmp_path: Path) -> None:
    rows = [f"some longer text number {k} here,{['NA', 'EU'][k % 2]}" for k in range(30)]
    assert data.load(write_rows(tmp_path / "a.csv", "text,label", rows)).labels == ("EU", "NA")


def test_short_texts_are_texts(tmp_path: Path) -> None:
    rows = [f"{'ab'[k % 2]}{k},{'xy'[k % 2]}" for k in range(40)]
    assert data.load(write_rows(tmp_path / "a.csv", "word,label", rows)).kind == "text"


def test_short_texts_beside_numbers_are_texts_and_names_of_kinds_are_not(tmp_path: Path) -> None:
    adjectives, nouns = ("good", "bad", "long", "short", "odd"), ("film", "plot", "cast", "score", "end")
    rows = [f"{a} {n},{k % 2}" for k, (a, n) in enumerate((a, n) for a in adjectives for n in nouns)]
    assert data.recognise(write_rows(tmp_path / "a.csv", "review,stars", rows)).kind == "text"
    rows = [f"{('light rain', 'clear sky')[k % 2]},{k / 7}" for k in range(40)]
    assert data.recognise(write_rows(tmp_path / "b.csv", "weather,warmth", rows)).kind == "series"


def test_rows_are_counted_by_lines_also_behind_line_breaks_in_texts(tmp_path: Path) -> None:
    rows = [f'"a text of\nsome lines, number {k}",{"xy"[k % 2]}' for k in range(20)]
    rows[15] = '"a text without\na label",'
    with pytest.raises(DataError, match="line 32: column 'label' is empty"):
        data.load(write_rows(tmp_path / "a.csv", "text,label", rows), kind="text")


def images(folder: Path, make: Callable[[int, int], Image.Image], suffix: str = "png") -> Path:
    for label in range(2):
        (folder / f"class {label}").mkdir(parents=True)
        for k in range(8):
            make(label, k).save(folder / f"class {label}" / f"{k}.{suffix}")
    return folder


def glyph(label: int, k: int) -> np.ndarray:  # type: ignore[type-arg]
    array = np.zeros((12, 12), np.uint8)
    array[k : k + 4, (2 if label else 7) :][:, :3] = 255
    return array


def transparent(label: int, k: int) -> Image.Image:
    alpha = glyph(label, k)
    return Image.fromarray(np.dstack([alpha * 0, alpha * 0, alpha * 0, alpha]), "RGBA")


FORMS: dict[str, tuple[Callable[[int, int], Image.Image], str]] = {
    "black on transparent": (transparent, "png"),
    "floats from 0 to 1": (lambda a, k: Image.fromarray(glyph(a, k).astype(np.float32) / 255), "tiff"),
    "sixteen bits, dark": (lambda a, k: Image.fromarray(glyph(a, k).astype(np.uint16)), "png"),
    "sixteen bits": (lambda a, k: Image.fromarray(glyph(a, k).astype(np.uint16) * 257), "png"),
    "palette": (lambda a, k: Image.fromarray(glyph(a, k)).convert("P"), "gif"),
    "bits": (lambda a, k: Image.fromarray(glyph(a, k)).convert("1"), "png"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_image_keeps_what_is_in_it(tmp_path: Path, form: str) -> None:
    plain = data.load(images(tmp_path / "plain", lambda a, k: Image.fromarray(glyph(a, k))))
    task = data.load(images(tmp_path / "form", *FORMS[form]))
    sign = -1 if form == "black on transparent" else 1
    torch.testing.assert_close(task.train.x[:, :1], sign * plain.train.x, atol=1e-5, rtol=1e-5)


def test_turned_photos_stand_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter
    picture = np.arange(16 * 8, dtype=np.uint8).reshape(8, 16)
    for label in "ab":
        (tmp_path / "x" / label).mkdir(parents=True)
        for k in range(4):
            Image.fromarray(picture + (k if label == "a" else 60 + k)).save(
                tmp_path / "x" / label / f"{k}.png", exif=exif
            )
    assert data.load(tmp_path / "x").extent == (16, 8)


def test_large_photos_are_made_smaller_and_slivers_are_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    large = images(tmp_path / "a", lambda a, k: Image.fromarray(noise.integers(0, 255, (300, 400), dtype=np.uint8)))
    assert data.load(large).extent == (96, 128)
    sliver = images(tmp_path / "b", lambda a, k: Image.fromarray(noise.integers(0, 255, (1, 40), dtype=np.uint8)))
    with pytest.raises(DataError, match="at least 4 x 4"):
        data.load(sliver)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "validation", "TEST")])
def test_a_given_split_goes_by_any_usual_name(tmp_path: Path, names: tuple[str, ...]) -> None:
    for seed, name in enumerate(names):
        noise = np.random.default_rng(seed)
        images(tmp_path / "x" / name, lambda a, k, g=noise: Image.fromarray(g.integers(0, 255, (8, 8), dtype=np.uint8)))
    task = data.load(tmp_path / "x")
    assert task.labels == ("class 0", "class 1")
    assert len(task.train) == len(task.valid) == len(task.test) == 16
    assert task.cautions == ()


def test_a_given_split_is_checked(tmp_path: Path) -> None:
    for name in ("train", "valid", "test"):
        tasks.write_images(tmp_path / "x" / name)
    cautions = " ".join(data.load(tmp_path / "x").cautions)
    assert "24 test items are equal to items in train" in cautions
    assert "24 validation items are equal to items in train" in cautions
    (tmp_path / "x" / "other").mkdir()
    with pytest.raises(DataError, match=r"beside .* there is the folder 'other'"):
        data.load(tmp_path / "x")
    (tmp_path / "x" / "other").rename(tmp_path / "x" / "test" / "other")
    Image.fromarray(glyph(0, 0)).save(tmp_path / "x" / "test" / "other" / "0.png")
    with pytest.raises(DataError, match="the class 'other' has no image in the train part"):
        data.load(tmp_path / "x")


def test_a_run_inside_the_data_is_no_class(tmp_path: Path) -> None:
    folder = tasks.write_images(tmp_path / "x")
    (folder / "runs" / "x-1234").mkdir(parents=True)
    (folder / "runs" / "x-1234" / "config.json").write_text("{}")
    assert data.load(folder).labels == ("left", "right")


def test_names_that_are_no_unicode(tmp_path: Path) -> None:
    folder = tasks.write_images(tmp_path / "x")
    (folder / "left" / "00.png").rename(folder / "left" / "\udcff\udcfe.png")
    task = data.load(folder)
    assert all(name.encode() for split in (task.train, task.valid, task.test) for name in split.items)


# Statistics with few items


@pytest.mark.parametrize("items", [6, 15, 30])
def test_intervals_of_few_items_still_cover(items: int) -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        scores = 100.0 * (generator.random((1, items)) < 0.9)
        interval = Bootstrap(items, seed=seed).interval(scores)
        covered += interval.low <= 90 <= interval.high
    assert covered >= 0.93 * 200


def test_intervals_of_overlapping_windows_still_cover() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for seed in range(200):
        noise = np.abs(generator.normal(size=480 + 23))
        scores = np.convolve(noise, np.ones(24) / 24, "valid")[None]  # windows of 24 steps, each shifted by one
        interval = Bootstrap(480, block=48, seed=seed).interval(scores)
        covered += interval.low <= np.sqrt(2 / np.pi) <= interval.high
    assert covered >= 0.9 * 200


def test_all_right_is_not_certainly_right() -> None:
    interval = Bootstrap(4).interval(np.full((1, 4), 100.0))
    assert interval.low < 60
    difference = Bootstrap(4).difference(np.full((1, 4), 100.0), np.zeros((1, 4)), SHARE)
    assert difference.low < 30
    assert difference.high == 100
    back = Bootstrap(4).difference(np.zeros((1, 4)), np.array([[0.0, 100, 100, 100]]), SHARE)
    assert back.low == -100 < back.value < back.high


def test_no_interval_holds_what_a_figure_cannot_be() -> None:
    """Widened for few items it would go past 100 %; a figure's own influence function may, too."""
    target = torch.tensor([0, 1] * 5)
    for metric in (accuracy(), balanced_accuracy(), macro_f1()):
        scores = metric.per_item(torch.eye(2)[target.clone().index_fill_(0, torch.tensor([0]), 1)], target).numpy()[
            None
        ]
        assert Bootstrap(10, block=2).interval(scores).high > 100
        assert Bootstrap(10, block=2).interval(scores, metric.bounds).high == 100
    error = mean_absolute_error((1.0,), "").bounds
    assert Bootstrap(3).interval(np.array([[0.0, 0.1, 9.0]]), error).low == 0
    assert Bootstrap(3).interval(np.zeros((1, 3)), error).high == 0  # no error is no share of right answers


def test_very_few_windows_tell_nothing_apart(tmp_path: Path) -> None:
    file = tasks.write_series(tmp_path / "a.csv", rows=200)
    task = data.load(file, horizon=4, window=16, split="150,30,20")
    made = planning.plan(task, ["cnn", "rnn", "gru"], trials=1, seeds=1, epochs=1, size=1000)
    found, _ = comparison.compare(made, out=tmp_path / "run")
    assert len(found.verdict.equivalent) == 3
    assert any("too few to tell networks apart" in reason for reason in found.verdict.reasons)


@pytest.mark.parametrize(
    ("horizon", "test", "said"),
    [
        (12, 23, "The test part holds one forecast that overlaps no other, too few for an interval"),
        (12, 40, "The test part holds about 3 forecasts that do not overlap, too few for an interval"),
        (
            4,
            35,
            "The test part holds about 8 forecasts that do not overlap, which count as 4 independent ones, too few to",
        ),
    ],
)
def test_what_few_windows_allow_to_say(horizon: int, test: int, said: str, tmp_path: Path) -> None:
    """In the terminal, the report and the data alike."""
    file = tasks.write_series(tmp_path / "a.csv", rows=150 + test)
    task = data.load(file, horizon=horizon, window=16, split=f"120,30,{test}")
    made = planning.plan(task, ["cnn", "rnn"], trials=1, seeds=1, epochs=1, size=1000, curve=True)
    found, folder = comparison.compare(made, out=tmp_path / "run")
    assert found == sealed.load_record(folder / "result.json", Comparison)
    assert any(reason.startswith(said) for reason in found.verdict.reasons)
    page, without = render(found), "an interval" in said
    assert found.baseline.score.known is not without
    assert not (without and any(c.beats_baseline for c in found.candidates))
    assert ("There are no intervals" in page) is ("without intervals" in page) is without
    assert not re.search(r"\b(inf|nan)\b", page)
    assert f"The simplest answer, {found.baseline.name}: {words.together(found.baseline.sentence)}" in page


def test_items_that_cannot_overlap_are_counted_plainly(tmp_path: Path) -> None:
    task = data.load(tasks.write_images(tmp_path / "images"))
    made = planning.plan(task, ["cnn", "rnn"], trials=1, seeds=1, epochs=1, size=1000)
    found, _ = comparison.compare(made, out=tmp_path / "run")
    assert any(f"The test part holds {len(task.test)} items, too few" in reason for reason in found.verdict.reasons)


def test_a_caption_says_what_its_table_shows(tmp_path: Path) -> None:
    """Where items are few nothing is told apart, though an interval may not hold 0."""
    task = data.load(tasks.write_images(tmp_path / "images"))
    made = planning.plan(task, ["cnn", "rnn", "gru"], trials=1, seeds=1, epochs=1, size=1000)
    found, _ = comparison.compare(made, out=tmp_path / "run")
    ahead, open_ = Interval(value=3, low=1, high=5), Interval(value=2, low=-1, high=5)
    first, *others = found.candidates
    others = [c.model_copy(update={"behind": b}) for c, b in zip(others, (ahead, open_), strict=True)]
    all_ = [first.name, *(c.name for c in others)]
    for few in (True, False):
        made_up = found.verdict.model_copy(update={"few": few, "equivalent": all_})
        page = render(found.model_copy(update={"candidates": [first, *others], "verdict": made_up}))
        assert (f"cannot be told apart (here {first.label}, {others[1].label})" in page) is not few
        assert ("too few of them to tell networks apart, whatever its interval" in page) is few


def test_small_figures_keep_their_digits() -> None:
    interval = Interval(value=2.346e-7, low=2.1e-7, high=2.6e-7)
    assert words.figure(interval) == "2.35e−07"
    assert words.figure(Interval(value=0.9997887, low=0.9997870, high=0.9997900)) == "0.999789"
    assert words.span(Interval(value=1.2, low=0.004, high=2.4), signed=True) == "0.004 to 2.400"
    assert words.span(Interval(value=0, low=-1.5, high=1.5)) == "−1.5 to 1.5"


# The command line

DIVERGES = """
from pellucid import Cell
from pellucid.cells import Input, State

class Explodes(Cell):
    x = Input()
    h = State()

    def step(self, x, h):
        return h * h * 1e30 + x
"""


def test_a_network_that_diverges_is_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "cell.py").write_text(DIVERGES)
    file = write_rows(tmp_path / "a.csv", "y", [str(v) for v in sine()])
    arguments = (file, "--with", f"{tmp_path}/cell.py:Explodes,rnn", "--out", tmp_path / "run")
    for _ in range(2):  # the second time it is read from the folder
        result = compare(*arguments)
        assert result.returncode == 0, result.stderr
        assert "The Explodes diverged" in result.stdout
    result = compare(file, "--with", f"{tmp_path}/cell.py:Explodes", "--out", tmp_path / "alone")
    assert result.returncode == 2
    assert "every network diverged" in result.stderr


def test_mistakes_in_what_is_asked(tmp_path: Path) -> None:
    series = write_rows(tmp_path / "a.csv", "y [m/s]", [str(v) for v in sine()])
    (tmp_path / "lstm.py").write_text(DIVERGES.replace("Explodes", "LSTM"))
    (tmp_path / "needs.py").write_text(
        DIVERGES.replace("    x = Input()", "    x = Input()\n    def __init__(self, k): ...")
    )
    (tmp_path / "stops.py").write_text("import sys\nsys.exit(0)")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "metrics.csv").write_text("mine")
    for arguments, words_of_it in (
        (["--with", f"lstm,{tmp_path}/lstm.py:LSTM"], "are both called LSTM"),
        (["--with", "cnn,CNN"], "are both called CNN"),
        (["--with", f"{tmp_path}/needs.py:Explodes"], "needs no arguments"),
        (["--with", f"{tmp_path}/stops.py:Explodes"], "running the file failed with SystemExit"),
        (["--horizon", "0"], "horizon is 0"),
        (["--window", "-5"], "window is -5"),
        (["--params", "-5"], "params is -5"),
        (["--params", "1000000000000"], "params is 1000000000000"),
        (["--threads", "100000"], "threads is 100000"),
        (["--seconds", "3"], "only with --equal time"),
        (["--kind", "images"], "no column holds images"),
        (["--kind", "sound"], "needs a folder"),
        (["--out", series], "choose another --out"),
        (["--out", series / "x"], "choose another --out"),
        (["--out", tmp_path / "mine"], "is no run and is not empty (it holds 'metrics.csv')"),
        (["--out", tmp_path / "mine", "--fresh"], "is no run and is not empty"),
    ):
        result = compare(series, *arguments)
        assert (result.returncode, result.stdout) == (2, ""), (arguments, result.stderr)
        assert words_of_it in result.stderr.replace("\n", " "), (arguments, result.stderr)
        assert "Traceback" not in result.stderr
    assert (tmp_path / "mine" / "metrics.csv").read_text() == "mine"


def test_brackets_in_names_are_no_markup_and_any_terminal_will_do(tmp_path: Path) -> None:
    series = write_rows(tmp_path / "a.csv", "flow [/s]", [str(v) for v in sine()])
    command = [
        sys.executable,
        "-m",
        "pellucid",
        "compare",
        str(series),
        "--with",
        "rnn",
        "--out",
        str(tmp_path / "run[/x]"),
    ]
    command += ["--trials", "1", "--seeds", "1", "--epochs", "1"]
    environment = {"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert result.returncode == 0, result.stderr
    assert "flow [/s]" in result.stderr
    assert "run[/x]/report.html" in result.stderr


def test_the_kind_overrides_what_the_name_says(tmp_path: Path) -> None:
    tasks.write_text(tmp_path / "book.log")
    result = compare(tmp_path / "book.log", "--kind", "characters", "--with", "rnn", "--out", tmp_path / "r")
    assert result.returncode == 0, result.stderr


def test_parquet_columns_of_every_kind(tmp_path: Path) -> None:
    pl.DataFrame(
        {
            "nothing": [None] * 30,
            "vector": [[1.0, 2.0]] * 30,
            "words": [f"some text that is long enough {k}" for k in range(30)],
            "label": pl.Series(["a", "b"] * 15, dtype=pl.Categorical),
        }
    ).write_parquet(tmp_path / "a.parquet")
    assert data.load(tmp_path / "a.parquet", kind="text").labels == ("a", "b")
    with pytest.raises(PellucidError):
        data.load(tmp_path / "a.parquet", kind="series")

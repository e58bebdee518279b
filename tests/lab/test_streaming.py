"""The promise: texts, sounds, sequences, events and series that do not fit into memory are read, trained on and judged from files in the cache folder,
with the figures that they have in memory.
"""

from __future__ import annotations

import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.lab import tasks, test_events
from tests.lab.test_sequences import write_folder, write_long, write_npz, write_ts

from pellucid.errors import DataError
from pellucid.lab import data
from pellucid.lab.data import archives, paging, plain, sequence_files, sequences, table
from pellucid.lab.data.paging import step_moments
from pellucid.lab.data.ragged import Ragged
from pellucid.lab.data.series import newest, reading, scaling, seasons
from pellucid.lab.data.split import deviation
from pellucid.lab.data.tokens import normal

MB = 10**6

LIMITED = """
import resource, sys
from pathlib import Path
import torch
from pellucid.lab import data, plan as planning
from pellucid.lab.data import ngrams, table, text_answers
from pellucid.lab.statistics import Bootstrap
from pellucid.lab.pace import Budget
from pellucid.lab.train import evaluate, train

def score(source, held, out):
    options = {
        "texts": {"tokens": "characters", "longest": 250},
        "plain": {"tokens": "characters"},
        "series": {"missing": "seasonal", "calendar": True, "window": 250, "horizon": 4},
    }
    task = data.load(source, memory=held, **options.get(Path(source).name.split("-")[0], {}))
    made = planning.plan(task, ["cnn"], size=1000)
    build = lambda: made.blueprints[0].build(task, made.widths[0])
    unit = train("cnn", Path(out), build, 0.01, task.lesson.part(0.02), Budget(1, 1, 16), lambda _: None)
    said = task.metric.per_item(evaluate(unit.model, task.test, task.goal), task.test.y)
    return sum(s.x.nbytes for s in (task.train, task.valid, task.test)), Bootstrap(len(said)).interval(said.numpy()[None])

torch.set_num_threads(1)
large, small, held, room, out = *sys.argv[1:3], float(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
text_answers.MOST, ngrams.COUNTED = 200, 2_000  # what simple methods count of large data is bounded
table.WHOLE, table.BLOCK = float("inf"), 2**16  # no table is read at once
score(small, 9.0, out + "-small")  # what is imported, and the gigabyte that Arrow reserves, is there before the limit
used = 1024 * int(next(l for l in open("/proc/self/status") if l.startswith("VmData")).split()[1])
resource.setrlimit(resource.RLIMIT_DATA, (used + room, used + room))
size, found = score(large, held, out)
print(size, found.value)
"""


def write_texts(folder: Path, count: int) -> Path:
    """Texts of two classes, 250 letters each."""
    generator = np.random.default_rng(0)
    letters = np.frombuffer(b"abcdefgh     ", np.uint8)
    texts = ["ab"[k % 2] * 9 + letters[generator.integers(0, 13, 241)].tobytes().decode() for k in range(count)]
    file = folder / f"texts-{count}.csv"
    pl.DataFrame({"text": texts, "label": [k % 2 for k in range(count)]}).write_csv(file)
    return file


def write_plain(folder: Path, characters: int) -> Path:
    generator = np.random.default_rng(0)
    letters = np.frombuffer(b"abcdefgh    \n", np.uint8)
    file = folder / f"plain-{characters}.txt"
    file.write_bytes(letters[generator.integers(0, 13, characters)].tobytes())
    return file


def write_sounds(folder: Path, count: int) -> Path:
    """Noise of two classes, loud and quiet, 20 s each at 2,000 Hz."""
    generator = np.random.default_rng(0)
    for k in range(count):
        name = folder / f"sounds-{count}" / "ab"[k % 2]
        name.mkdir(parents=True, exist_ok=True)
        with wave.open(str(name / f"{k}.wav"), "wb") as file:
            file.setparams((1, 2, 2000, 0, "NONE", ""))
            file.writeframes(generator.normal(0, 3000 * (1 + k % 2), 40_000).astype("<i2").tobytes())
    return folder / f"sounds-{count}"


def write_arrays(folder: Path, count: int) -> Path:
    """Noise of two classes, around 4 and around 5: 250 steps of 4 channels, compressed."""
    generator = np.random.default_rng(0)
    values = (
        generator.integers(0, 9, (count, 250, 4), dtype=np.int8) + np.arange(count, dtype=np.int8)[:, None, None] % 2
    )
    np.savez_compressed(folder / f"arrays-{count}.npz", values=values, labels=np.arange(count) % 2)
    return folder / f"arrays-{count}.npz"


def write_long_table(folder: Path, count: int) -> Path:
    """The same in a long table, in which the rows of every two sequences come in turn."""
    generator = np.random.default_rng(0)
    row = np.arange(250 * count)
    which = row // 500 * 2 + row % 2
    noise = {name: generator.normal(size=len(which)).astype(np.float32) + which % 2 for name in "abcd"}
    file = folder / f"long-{count}.parquet"
    pl.DataFrame({"id": which, "label": which % 2, **noise}).write_parquet(file, row_group_size=50_000)
    return file


def write_series_table(folder: Path, count: int) -> Path:
    """Two series of two columns, a day's season, of whose rows every thousandth is missing; their rows come in turn."""
    generator = np.random.default_rng(0)
    at = np.delete(np.arange(count), slice(500, None, 1000))
    row = np.repeat(at, 2)
    times = np.datetime64("2000-01-01T00:00:00", "us") + row * np.timedelta64(1, "h")
    values = {name: generator.normal(size=len(row)) + np.sin(row * np.pi / 12) for name in "ab"}
    file = folder / f"series-{count}.parquet"
    frame = pl.DataFrame({"id": np.tile(["north", "south"], len(at)), "time": times, **values})
    frame.write_parquet(file, row_group_size=50_000)
    return file


def write_rolls(folder: Path, count: int) -> Path:
    """Noise: 250 steps of 20 events, of which a third hold, compressed."""
    generator = np.random.default_rng(0)
    np.savez_compressed(folder / f"rolls-{count}.npz", events=generator.random((count, 250, 20)) < 0.3)
    return folder / f"rolls-{count}.npz"


LARGE: dict[str, tuple[Callable[[Path, int], Path], int, int]] = {
    "text": (write_texts, 22_000, 1_000),
    "characters": (write_plain, 9_000_000, 200_000),
    "sound": (write_sounds, 150, 20),
    "sequences in arrays": (write_arrays, 11_000, 200),
    "sequences in a table": (write_long_table, 11_000, 200),
    "events": (write_rolls, 2_500, 50),
    "series": (write_series_table, 400_000, 3_000),
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit on memory is Linux's")
@pytest.mark.parametrize("kind", LARGE)
def test_what_does_not_fit_into_memory_is_streamed(kind: str, tmp_path: Path) -> None:
    """44 to 72 MB as networks see it, and as much again on the way there: with 70 MB to use they load, train and are judged."""
    write, many, few = LARGE[kind]
    (tmp_path / "cache").mkdir()
    large, small = write(tmp_path, many), write(tmp_path, few)
    found = []
    for held in ("0.005", "9"):
        command = [sys.executable, "-c", LIMITED, str(large), str(small), held, str(70 * MB), str(tmp_path / held)]
        environment = {"PELLUCID_CACHE": str(tmp_path / "cache"), "PATH": "/usr/bin", "OMP_NUM_THREADS": "1"}
        found.append(subprocess.run(command, capture_output=True, text=True, env=environment))
    assert not found[0].returncode, found[0].stderr
    assert float(found[0].stdout.split()[0]) > 40 * MB
    assert "does not fit into memory; give a smaller --memory" in found[1].stderr
    assert list((tmp_path / "cache").iterdir()) == []  # nothing is left


def write_holes(file: Path) -> Path:
    """Sequences that lack values, of which some are filled and others are as they were."""
    values = np.random.default_rng(0).normal(size=(40, 9, 2))
    values[::3, 4, 1] = np.nan
    np.savez(file, values=values, labels=np.arange(40) % 2)
    return file


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path / "cache"))
    return tmp_path


def write_series(file: Path) -> Path:
    """Two series whose rows come in turn, with steps without a row, missing values, and columns that begin late."""
    generator = np.random.default_rng(0)
    rows = np.sort(generator.choice(900, 800, replace=False))
    times = np.datetime64("2024-01-01T00:00:00", "us") + rows * np.timedelta64(1, "h")
    frame = pl.DataFrame({"id": np.array(["b", "a"])[rows % 2], "time": times})
    for k, name in enumerate(("other", "y")):
        values = np.sin(rows * np.pi / 12) + generator.normal(0, 0.1, 800)
        values[generator.choice(800, 60, replace=False)] = np.nan
        values[: 10 * k] = np.nan
        frame = frame.with_columns(pl.Series(name, values.round(4)).fill_nan(None))
    frame.with_columns(pl.col("time").dt.to_string("%d/%m/%Y %H:%M")).write_csv(file)
    return file


SEQUENCES = ["ts", "long", "folder", "npz", "holes"]
EVENTS = ["rolls in mat", "rolls in npz", "rolls in a folder"]
SERIES: dict[str, dict[str, Any]] = {
    "a series": {"horizon": 4, "window": 20, "calendar": True, "missing": "linear"},
    "series each step": {"horizon": 4, "window": 20, "missing": "last", "known": "other"},
    "series by season": {"horizon": 4, "window": 20, "missing": "seasonal", "target": "all"},
}


@pytest.mark.parametrize(
    "kind", ["text", "subwords of a table", "characters", "subwords", "sound", *SEQUENCES, *EVENTS, *SERIES]
)
def test_streamed_and_held_data_are_the_same(kind: str, cached: Path) -> None:
    """To the last bit: what networks see, the baseline's scores, the scaling, and the fingerprint, by which a run goes on."""
    options = SERIES.get(kind) or (
        {"tokens": "subwords"} if "subwords" in kind else {"missing": "linear"} if kind == "holes" else {}
    )
    source = {
        "text": lambda: tasks.write_texts(cached / "a.csv"),
        "subwords of a table": lambda: tasks.write_texts(cached / "a.csv"),
        "characters": lambda: tasks.write_text(cached / "a.txt", 9000),
        "subwords": lambda: tasks.write_text(cached / "a.txt", 60_000),
        "sound": lambda: tasks.write_sounds(cached / "a"),
        "ts": lambda: write_ts(cached / "a.ts"),
        "long": lambda: write_long(cached / "a.csv"),
        "folder": lambda: write_folder(cached / "a"),
        "npz": lambda: write_npz(cached / "a.npz"),
        "holes": lambda: write_holes(cached / "a.npz"),
        "rolls in mat": lambda: test_events.write_mat(cached / "a.mat"),
        "rolls in npz": lambda: test_events.write_npz(cached / "a.npz"),
        "rolls in a folder": lambda: test_events.write_folder(cached / "a"),
        "a series": lambda: tasks.write_series(cached / "a.csv"),
        "series each step": lambda: write_series(cached / "a.csv"),
        "series by season": lambda: write_series(cached / "a.csv"),
    }[kind]()
    held, streamed = (data.load(source, memory=memory, **options) for memory in (1.0, 0.0))
    assert (cached / "cache").is_dir()
    assert held.fingerprint == streamed.fingerprint
    assert held.preprocessing == streamed.preprocessing
    assert torch.equal(held.baseline.scores, streamed.baseline.scores)
    for figure, same in zip(held.figures, streamed.figures, strict=True):
        if held.baseline.prediction is not None and held.kind == "series":
            judged = (one.per_item(held.baseline.prediction, held.test.y) for one in (figure, same))
            assert torch.equal(*judged)
    for a, b in zip((held.train, held.valid, held.test), (streamed.train, streamed.valid, streamed.test), strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)
        assert a.items == b.items
        assert (a.lengths is None and b.lengths is None) or torch.equal(a.lengths, b.lengths)
    assert dict(streamed.facts)["Memory"].endswith("are paged from there")
    assert "Memory" not in dict(held.facts)


@pytest.mark.parametrize("form", ["comma", "decimal comma", "parquet"])
def test_a_large_table_of_sequences_is_read_as_a_small_one(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of sequences that lie in any order, whole numbers that are broken ones further down, decimal commas, gaps."""
    generator = np.random.default_rng(0)
    which = generator.permutation(np.repeat(np.arange(30), 10))
    a = np.where(np.arange(300) < 200, np.arange(300), np.round(generator.normal(size=300), 3)).tolist()
    frame = pl.DataFrame({"id": which, "label": which % 2, "a": a, "b": generator.normal(size=300).round(4)})
    frame = frame.with_columns(b=pl.when(pl.arange(0, 300) == 250).then(None).otherwise(pl.col("b")))

    def write(frame: pl.DataFrame) -> Path:
        source = tmp_path / ("a.parquet" if form == "parquet" else "a.csv")
        if form == "parquet":
            frame.write_parquet(source)
        else:
            text = frame.write_csv()
            source.write_text(text.replace(",", ";").replace(".", ",") if form == "decimal comma" else text)
        return source

    source = write(frame)
    small = data.load(source, missing="linear")
    monkeypatch.setattr(table, "ROWS", 50)
    monkeypatch.setattr(table, "BLOCK", 500)
    assert table.glance(source, 0).height < 300
    large = data.load(source, missing="linear", memory=0.0)
    assert small.fingerprint == large.fingerprint
    assert small.facts == large.facts[:-1]  # the last says what lies in a file
    assert torch.equal(small.train.x, large.train.x)
    assert small.test.items == large.test.items
    read = [
        sequence_files.read(write(rows), label=None, id=None, held=0, progress=None)
        for rows in (frame, frame.sort("id", maintain_order=True))
    ]
    mixed, sorted_ = (dict(zip(found.items, found.values, strict=True)) for found in read)
    assert all(np.array_equal(mixed[item], sorted_[item], equal_nan=True) for item in mixed)
    one = pl.Series("label", [5 if k == 280 else v for k, v in enumerate(frame["label"])])
    with pytest.raises(DataError, match=r"(line 282|row 281): the label of id .* changes from '[01]' to '5'"):
        data.load(write(frame.with_columns(one)), kind="sequences", memory=0.0)
    if form != "parquet":
        words = pl.Series("a", ["oops" if k == 280 else str(v) for k, v in enumerate(a)])
        with pytest.raises(DataError, match="line 282: column 'a' has 'oops' where a number is needed"):
            data.load(write(frame.with_columns(words)), missing="linear", memory=0.0)


@pytest.mark.parametrize("form", ["comma", "decimal comma", "parquet"])
def test_a_large_table_of_series_is_read_as_a_small_one(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days before months, two series in turn, steps without a row, whole numbers and yes or no that go on further down."""
    frame = pl.read_csv(write_series(tmp_path / "a.csv"))
    grows = pl.when(pl.int_range(pl.len()) < 500).then(3.0).otherwise(pl.col("other"))
    frame = frame.with_columns(other=grows, open=pl.int_range(pl.len()) % 5 == 0).select(
        "id", "time", "other", "open", "y"
    )

    def write(frame: pl.DataFrame) -> Path:
        if form == "parquet":
            frame.write_parquet(tmp_path / "b.parquet")
            return tmp_path / "b.parquet"
        text = frame.write_csv()
        text = text.replace(",", ";").replace(".", ",") if form == "decimal comma" else text
        (tmp_path / "b.csv").write_text(text)
        return tmp_path / "b.csv"

    options = {"horizon": 4, "window": 20, "missing": "linear", "calendar": True}
    small = data.load(write(frame), **options)
    assert dict(small.facts)["Rows"].endswith("one every 2 hours")
    monkeypatch.setattr(table, "ROWS", 400)  # of the first rows only some days come after the twelfth
    monkeypatch.setattr(table, "BLOCK", 5000)
    monkeypatch.setattr(paging, "SLICE", 500)
    assert table.glance(write(frame), 0).height < 500
    large = data.load(write(frame), **options, memory=0.0)
    assert small.fingerprint == large.fingerprint
    assert small.facts == tuple(fact for fact in large.facts if fact[0] != "Memory")
    assert torch.equal(small.train.x, large.train.x)
    assert small.test.items == large.test.items
    monkeypatch.setattr(newest, "HELD", 0.0)
    found = newest.newest(write(frame), small.preprocessing)
    monkeypatch.setattr(newest, "HELD", 1.0)
    assert torch.equal(found.x, newest.newest(write(frame), small.preprocessing).x)
    late = pl.int_range(pl.len()) == 700
    for strange, said in (
        (frame.with_columns(time=pl.when(late).then(pl.lit("2024-02-02")).otherwise("time")), "'2024-02-02' in column"),
        (frame.with_columns(time=pl.when(late).then(pl.col("time").first()).otherwise("time")), "does not come after"),
        (frame.with_columns(time=pl.when(late).then(None).otherwise("time")), "the time in column 'time' is missing"),
        (frame.with_columns(id=pl.when(late).then(None).otherwise("id")), "say which series the row is of"),
        (frame.with_columns(y=pl.when(late).then(float("inf")).otherwise("y")), "infinite"),
    ):
        with pytest.raises(DataError, match=f"(line 702|row 701): .*{said}"):
            data.load(write(strange), kind="series", **options, memory=0.0)


def test_a_season_is_found_in_blocks_of_a_long_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """The autocorrelation of blocks is that of the whole, whatever is left for the last of them."""
    generator = np.random.default_rng(0)
    moves = generator.normal(size=2_000)
    whole = moves - moves.mean()
    expected = [float(whole[: len(whole) - k] @ whole[k:]) for k in range(101)]
    for block in (5_000, 1_000, 999, 150, 30):
        monkeypatch.setattr(seasons, "BLOCK", block)
        np.testing.assert_allclose(seasons._correlation(moves, 100), expected, atol=1e-9)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_large_table_is_read_as_a_small_one(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in quotes, of several lines, and ones that stand past the first that are looked at."""
    generator = np.random.default_rng(0)
    words = ["영화", 'said "good"', "two\nlines", "a, comma", "plain"]
    texts = [" ".join(generator.choice(words, 8)) + f" {k}" for k in range(300)]
    frame = pl.DataFrame({"number": range(300), "text": texts, "label": ["ab"[k % 2] for k in range(300)]})
    source = tmp_path / f"a{suffix}"
    frame.write_csv(source) if suffix == ".csv" else frame.write_parquet(source)
    small = data.load(source)
    monkeypatch.setattr(table, "ROWS", 50)
    monkeypatch.setattr(table, "BLOCK", 2000)
    assert table.glance(source, 0).height < 300
    large = data.load(source, memory=0.0)
    assert small.fingerprint == large.fingerprint
    assert small.facts == large.facts[:-1]
    assert torch.equal(small.test.x, large.test.x)
    assert data.recognise(source, memory=0.0).kind == "text"
    for bad, said in ((None, "column 'text' is empty there"), ("a\0b", "column 'text' holds NUL there")):
        texts[123] = bad  # type: ignore[call-overload]
        frame = frame.with_columns(text=pl.Series(texts))
        frame.write_csv(source) if suffix == ".csv" else frame.write_parquet(source)
        with pytest.raises(DataError, match=said):
            data.load(source, memory=0.0)


@pytest.mark.parametrize("memory", [1.0, 0.0])
def test_what_a_cell_says_does_not_depend_on_memory(
    memory: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and labels keep their zeros, a column may begin late, and an empty line of a single column is a missing value."""
    monkeypatch.setattr(table, "ROWS", 10)
    monkeypatch.setattr(table, "BLOCK", 100)
    rows = [f"0{k // 9},0{k // 9 % 2},{k if k > 90 else ''},{k % 7}" for k in range(270)]
    (tmp_path / "a.csv").write_text("\n".join(["id,label,late,x", *rows]))
    found = sequence_files.read(tmp_path / "a.csv", label=None, id=None, held=1e9 * memory, progress=None)
    assert found.items[:2] == ["id 00", "id 01"]
    assert found.classes == ["00", "01"]
    assert found.channels == ["late", "x"]
    rows = [f"{k // 9};{k // 9},5;{k},25" for k in range(270)]
    (tmp_path / "c.csv").write_text("\n".join(["id;label;x", *rows]))
    numbers = sequence_files.read(tmp_path / "c.csv", label=None, id=None, held=1e9 * memory, progress=None)
    assert numbers.labels[:2] == ["0.5", "1.5"]
    assert numbers.values[0][1, 0] == 1.25
    (tmp_path / "b.csv").write_text("\n".join(["y", *(str(k % 5) if k != 60 else "" for k in range(200))]))
    task = data.load(tmp_path / "b.csv", missing="linear", horizon=3, window=8, memory=memory)
    assert dict(task.facts)["Rows"] == "200"
    assert "1" in dict(task.facts)["Missing"]


def test_a_row_that_is_larger_than_what_is_read_at_a_time_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "ROWS", 2)
    monkeypatch.setattr(table, "BLOCK", 2000)
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"{k} {'word ' * 900},{k % 2}\n" for k in range(40)))
    with pytest.raises(DataError, match=r"a row has more than .* MB, .*; give --memory 0.0018 or more"):
        data.load(tmp_path / "a.csv", memory=0.0)
    assert data.load(tmp_path / "a.csv", memory=0.0018).kind == "text"


def test_a_plain_text_in_pieces_is_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many bytes are read at a time: characters of several bytes, composed ones, line ends of two characters, BOM."""
    text = "e\u0301a\u0308  한국어 한국 \r\n\r\nwords and words\rlast\n\n x" * 5
    source = tmp_path / "a.txt"
    source.write_bytes(b"\xef\xbb\xbf" + text.encode())
    for size in (1, 2, 3, 7, 64, 10**6):
        monkeypatch.setattr(plain, "PIECE", size)
        found = list(plain.pieces(source))
        assert "".join(found) == text
        assert "".join(map(normal, found)) == normal(text)
        read = plain.Text(source, 10)
        assert read.line_ends
        assert len(read) == len(normal(text))
        assert "".join(read.part(7, 50)) == normal(text)[7:50]
    monkeypatch.setattr(plain, "PIECE", 16)
    for raw, said in ((b"a" * 20 + b"\xff" + b"b" * 20, "byte 20 is not UTF-8"), (b"a" * 33 + b"\0", "byte 33 is NUL")):
        source.write_bytes(raw)
        with pytest.raises(DataError, match=said):
            list(plain.pieces(source))


def test_words_are_whole_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Subwords are learnt and cut as of the whole text, whatever is read at a time."""
    source = tmp_path / "a.txt"
    source.write_text("The  state, the gate's\n\n step: don't 12 34 stop!  \n한국어 문장\n" * 200, encoding="utf-8")
    found = []
    for size in (10**6, 100):
        monkeypatch.setattr(plain, "PIECE", size)
        found.append(data.load(source, tokens="subwords", window=8))
    assert found[0].preprocessing == found[1].preprocessing
    assert torch.equal(found[0].train.x, found[1].train.x)


def test_items_of_unequal_length_in_memory_and_on_a_file(cached: Path) -> None:
    generator = np.random.default_rng(0)
    items = [generator.bytes(int(size)) for size in (*generator.integers(0, 50, 30), 0, 9)]
    for held in (0, 200, 10**6):
        kept = Ragged(held)
        for k, item in enumerate(items):
            kept.append(item)
            assert kept[k // 2] == items[k // 2]  # reading between does not disturb what is appended
        assert list(kept) == items
        assert kept.sizes.tolist() == [len(item) for item in items]
        assert kept.flat(np.uint8).tobytes() == b"".join(items)
    assert Ragged(0).flat(np.int64).size == 0


def test_moments_of_parts_are_those_of_the_whole() -> None:
    generator = np.random.default_rng(0)
    whole = (5 + generator.normal(size=(20_000, 3))).astype(np.float32)
    whole[:, 1] = 7
    cuts = np.sort(generator.integers(1, len(whole), 30))
    mean, spread = step_moments(lambda: np.split(whole, cuts))
    assert (mean == whole.mean(0)).all()
    assert (spread == deviation(whole, 0)).all()
    assert spread[1] == 1


@pytest.mark.parametrize("columns", [1, 3])
def test_a_long_series_is_scaled_as_numpy_says(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit, a few steps at a time."""
    values = 5 + np.random.default_rng(0).normal(size=(3_000, columns))
    values[:2_500, columns // 2] = 7
    series = reading.Series("", values, None, np.arange(len(values)))
    monkeypatch.setattr(paging, "SLICE", 500)
    found = scaling.fit(Path("a.csv"), series, 2_500)
    assert (found.offset == values[:2_500].mean(0)).all()
    assert (found.factor == deviation(values[:2_500], 0)).all()
    assert found.factor[columns // 2] == 1


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_of_an_archive_are_the_array_s(save: Any, order: Any, tmp_path: Path) -> None:
    """One at a time, compressed or not, also of an array whose columns lie together."""
    array = np.asarray(np.random.default_rng(0).normal(size=(5, 4, 3)), order=order)
    save(tmp_path / "a.npz", x=array)
    found = list(archives.rows(tmp_path / "a.npz", "x"))
    assert len(found) == 5
    assert np.array_equal(np.stack(found), array)


def test_no_room_on_the_disk_is_a_sentence(cached: Path) -> None:
    (cached / "cache").write_text("")
    with pytest.raises(DataError, match="set PELLUCID_CACHE to a folder that has it"):
        data.load(tasks.write_text(cached / "a.txt"), memory=0.0)


def test_what_torch_cannot_allocate_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences, "_padded", lambda *_: torch.empty(2**50))
    with pytest.raises(DataError, match="does not fit into memory; give a smaller --memory"):
        data.load(write_npz(tmp_path / "a.npz"))


def test_a_learning_curve_copies_no_items(tmp_path: Path) -> None:
    """A part of the training items is named by their numbers, and is not taken out of the file that they lie on."""
    task = data.load(tasks.write_texts(tmp_path / "a.csv"))
    part = task.lesson.part(0.5)
    assert part.train is task.train
    assert len(part.used) == round(0.5 * len(task.train))

"""Every command that the README and ``--help`` show for a comparison is one that its data can be read and planned with."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.lab import tasks
from tests.lab.test_events import write_mat
from tests.lab.test_pictures import encoded, pictures
from tests.lab.test_sequences import write_ts

from pellucid.cli import app
from pellucid.cli.compare import compare
from pellucid.lab import data
from pellucid.lab.plan import plan

README = Path(__file__).parents[2] / "README.md"
CELL = """
from pellucid import Cell
from pellucid.cells import Input, Matrix, State, tanh

class MyCell(Cell):
    x = Input()
    U = Matrix()
    h = State()

    def step(self, x, h):
        return tanh(x + self.U @ h)
"""


def write_images_table(file: Path) -> Path:
    return encoded(file, *pictures(tasks.write_images(file.parent / "pictures", size=16)))


def write_pixels(file: Path) -> Path:
    """A label and a column for each pixel."""
    drawn = np.random.default_rng(0).integers(0, 256, (60, 64))
    frame = pl.DataFrame({"label": np.arange(60) % 3} | {f"pixel{k}": drawn[:, k] for k in range(64)})
    frame.write_csv(file)
    return file


def write_daily(file: Path) -> Path:
    """Sales of three shops below each other, and their holidays; or of one."""
    days = np.datetime64("2024-01-01") + np.arange(300)
    shops = ["north", "south", "east"] if "shops" in file.name else ["north"]
    rows = [
        (shop, str(day), int(k % 30 == 0), float(10 + k % 7 + 5 * (k % 30 == 0)))
        for shop, (k, day) in itertools.product(shops, enumerate(days))
    ]
    frame = pl.DataFrame(rows, schema=["shop", "date", "holiday", "units"], orient="row")
    (frame if len(shops) > 1 else frame.drop("shop", "holiday")).write_csv(file)
    return file


def write_engines(file: Path) -> Path:
    """Cycles of forty engines, and what each still holds out for."""
    rows = [(f"e{k}", t, float(np.sin(k + t)), 7.5 * k, 7.5 * k) for k in range(40) for t in range(5 + k % 6)]
    pl.DataFrame(rows, schema=["engine", "cycle", "heat", "life", "remaining_life"], orient="row").write_csv(file)
    return file


DATA: dict[str, Callable[[Path], Path]] = {
    "photos/": tasks.write_images,
    "data/": tasks.write_images,
    "recordings/": tasks.write_sounds,
    "images.parquet": write_images_table,
    "mnist_train.csv": write_pixels,
    "sales.csv": write_daily,
    "shops.csv": write_daily,
    "load.csv": tasks.write_series,
    "engines.csv": write_engines,
    "reviews.csv": tasks.write_texts,
    "book.txt": lambda file: tasks.write_text(file, 12_000),
    "Vowels_TRAIN.ts": write_ts,
    "JapaneseVowels_TRAIN.ts": write_ts,
    "chorales.mat": write_mat,
    "JSB_Chorales.mat": write_mat,
}


def examples() -> list[str]:
    shown = f"{README.read_text(encoding='utf-8')}\n{compare.__doc__}"
    found = re.findall(r"^ *(?:torchrun .* -m )?pellucid compare (.+?)(?:  .*|\s+# .*)?$", shown, re.MULTILINE)
    return sorted(set(found))


def test_examples_are_found() -> None:
    assert {shlex.split(line)[0] for line in examples()} == DATA.keys()


@pytest.mark.parametrize("line", examples())
def test_the_example_can_be_planned(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_cell.py").write_text(CELL)
    _, given, _ = app.parse_args(["compare", *shlex.split(line)], exit_on_error=False, print_error=False)
    source = given.arguments["data"]
    DATA[shlex.split(line)[0]](source)
    asked: dict[str, Any] = given.arguments.get("reading") or {}
    task = data.load(source, **asked)
    networks = given.arguments.get("with_", "cnn,rnn,lstm,gru").split(",")
    made = plan(task, networks, **(given.arguments.get("asking") or {}))
    assert len(made.widths) == len(networks)

"""Small finished comparisons for the tests of what comes after one, each made once in a test session's process."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tests.lab import tasks
from tests.lab.test_sequences import write_long

from pellucid.lab import comparison, data
from pellucid.lab import plan as planning
from pellucid.lab.results import Comparison
from pellucid.lab.task import Task

CELL = """
from pellucid import Cell
from pellucid.cells import Input, Matrix, State, Vector, select, sigmoid, tanh

class Leaky(Cell):
    x = Input()
    U = Matrix()
    a = Vector(initial=0.0)
    h = State()

    def step(self, x, h):
        alpha = sigmoid(self.a)
        new = (1 - alpha) * h + alpha * tanh(x + self.U @ h)
        return select(new > 0, new, 0.5 * new)
"""


def write_shops(file: Path) -> Path:
    """Two shops below each other, a column known ahead, a step each hour."""
    hours = np.arange(200)
    times = np.datetime64("2024-01-01T00:00:00", "us") + hours * np.timedelta64(1, "h")
    generator = np.random.default_rng(0)
    parts = []
    for name, size in (("north", 1.0), ("south", 50.0)):
        promotion = generator.integers(0, 2, 200)
        sales = size * (3 + np.sin(2 * np.pi * hours / 12) + promotion + generator.normal(0, 0.1, 200))
        parts.append(
            pl.DataFrame({"time": times, "promotion": promotion, "sales": sales}).with_columns(shop=pl.lit(name))
        )
    pl.concat(parts).write_csv(file)
    return file


KINDS: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "images": (lambda p: tasks.write_images(p / "images"), {}),
    "series": (lambda p: tasks.write_series(p / "series.csv", rows=200), {}),
    "shops": (
        lambda p: write_shops(p / "shops.csv"),
        {"id": "shop", "known": "promotion", "calendar": True, "horizon": 4, "window": 16},
    ),
    "sequences": (lambda p: write_long(p / "long.csv"), {}),
    "text": (lambda p: tasks.write_texts(p / "texts.csv", rows=60), {}),
    "subwords": (lambda p: tasks.write_texts(p / "texts.csv", rows=60), {"tokens": "subwords"}),
    "words": (lambda p: tasks.write_texts(p / "texts.csv", rows=60), {"tokens": "words"}),
    "characters": (lambda p: tasks.write_text(p / "text.txt", 4000), {}),
    "next subwords": (lambda p: tasks.write_text(p / "text.txt", 9000), {"tokens": "subwords", "window": 16}),
    "sound": (lambda p: tasks.write_sounds(p / "sounds"), {}),
}
SIMPLE = ("cnn", "rnn", "lstm", "gru", "CELL")
DEEP = ("gru2", "bilstm2", "birnn", "cnn+gru", "cnn+bigru2", "cnn+CELL")


@dataclass(frozen=True)
class Finished:
    """A comparison, its folder, its data and its task."""

    found: Comparison
    folder: Path
    source: Path
    task: Task


def is_next(kind: str) -> bool:
    """Whether each step is asked for the next one."""
    return kind in ("characters", "next subwords")


_folders: list[tempfile.TemporaryDirectory[str]] = []  # they go when the process ends


@functools.cache
def run(kind: str, networks: tuple[str, ...] = SIMPLE) -> Finished:
    """A comparison of all four networks and a cell of one's own (or of others), from two seeds; not to be written to."""
    _folders.append(tempfile.TemporaryDirectory())
    place = Path(_folders[-1].name)
    write, options = KINDS[kind]
    source = write(place)
    (place / "my_cell.py").write_text(CELL)
    task = data.load(source, **options)
    named = [name.replace("CELL", f"{place / 'my_cell.py'}:Leaky") for name in networks]
    made = planning.plan(task, named, trials=1, seeds=2, epochs=2, size=1500)
    found, folder = comparison.compare(made, out=place / "run")
    return Finished(found, folder, source, task)

"""Small finished comparisons for the tests of what comes after one, each made once in a test session's process.

Where only networks of a run are asked for, those that were never trained do, and are sooner made.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors.torch import save_file
from tests.lab import tasks, test_events, test_numbers
from tests.lab.test_sequences import write_long

from pellucid.lab import comparison, data, recipe
from pellucid.lab import plan as planning
from pellucid.lab.results import Comparison
from pellucid.lab.runs import Run, safe
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
    "number": (lambda p: test_numbers.write_long(p / "numbers.csv"), {}),
    "labels": (lambda p: test_numbers.write_marks(p / "marks.npz"), {}),
    "events": (lambda p: test_events.write_mat(p / "events.mat"), {"window": 12}),
    "text": (lambda p: tasks.write_texts(p / "texts.csv", rows=60), {}),
    "subwords": (lambda p: tasks.write_texts(p / "texts.csv", rows=60), {"tokens": "subwords"}),
    "words": (lambda p: tasks.write_texts(p / "texts.csv", rows=60), {"tokens": "words"}),
    "characters": (lambda p: tasks.write_text(p / "text.txt", 4000), {}),
    "next subwords": (lambda p: tasks.write_text(p / "text.txt", 9000), {"tokens": "subwords", "window": 16}),
    "sound": (lambda p: tasks.write_sounds(p / "sounds"), {}),
}
SIMPLE = ("cnn", "rnn", "lstm", "gru", "CELL")
DEEP = ("gru2", "bilstm2", "birnn", "cnn+gru", "cnn+bigru2", "cnn+CELL", "bi+CELL:2", "cnn2")


@dataclass(frozen=True)
class Finished:
    """A comparison, its folder, its data and its task."""

    found: Comparison
    folder: Path
    source: Path
    task: Task


def is_next(kind: str) -> bool:
    """Whether each step is asked for the next one."""
    return kind in ("characters", "next subwords", "events")


_folders: list[tempfile.TemporaryDirectory[str]] = []  # they go when the process ends


@dataclass(frozen=True)
class Made:
    """The folder of a run whose networks were not trained, and its task."""

    folder: Path
    task: Task


@functools.cache
def run(kind: str, networks: tuple[str, ...] = SIMPLE) -> Finished:
    """A comparison of all four networks and a cell of one's own (or of others), from two seeds; not to be written to."""
    source, made = _plan(kind, networks)
    found, folder = comparison.compare(made, out=source.parent / "run")
    return Finished(found, folder, source, made.task)


@functools.cache
def untrained(kind: str, networks: tuple[str, ...] = SIMPLE) -> Made:
    """A run's folder with a model of each network, of random weights that are large enough to move every gate; seed 2 alone."""
    source, made = _plan(kind, networks)
    run = Run(source.parent / "run")
    recipe.keep(made, run)
    torch.manual_seed(0)
    for blueprint, width in zip(made.blueprints, made.widths, strict=True):
        model = blueprint.build(made.task, width)
        weights = {name: v + 0.2 * torch.randn(v.shape) for name, v in model.state_dict().items()}
        save_file(weights, run.file("models", f"{safe(blueprint.name)}-seed-2.safetensors"))
    (run.folder / "config.json").write_text(made.config.model_dump_json())
    return Made(run.folder, made.task)


def _plan(kind: str, networks: tuple[str, ...]) -> tuple[Path, planning.Plan]:
    """The data, written for it, and what is planned on it."""
    _folders.append(tempfile.TemporaryDirectory())
    place = Path(_folders[-1].name)
    write, options = KINDS[kind]
    source = write(place)
    (place / "my_cell.py").write_text(CELL)
    named = [name.replace("CELL", f"{place / 'my_cell.py'}:Leaky") for name in networks]
    made = planning.plan(data.load(source, **options), named, trials=1, seeds=2, epochs=2, size=1500)
    return source, made

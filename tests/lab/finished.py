"""Small finished comparisons for the tests of what comes after one, each made once in a test session's process."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.lab import tasks

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
KINDS = {
    "images": lambda p: tasks.write_images(p / "images"),
    "series": lambda p: tasks.write_series(p / "series.csv", rows=200),
    "text": lambda p: tasks.write_texts(p / "texts.csv", rows=60),
    "characters": lambda p: tasks.write_text(p / "text.txt", 4000),
    "sound": lambda p: tasks.write_sounds(p / "sounds"),
}


@dataclass(frozen=True)
class Finished:
    """A comparison, its folder, its data and its task."""

    found: Comparison
    folder: Path
    source: Path
    task: Task


_folders: list[tempfile.TemporaryDirectory[str]] = []  # they go when the process ends


@functools.cache
def run(kind: str) -> Finished:
    """A comparison of all four networks and a cell of one's own, from two seeds; not to be written to."""
    _folders.append(tempfile.TemporaryDirectory())
    place = Path(_folders[-1].name)
    source = KINDS[kind](place)
    (place / "my_cell.py").write_text(CELL)
    task = data.load(source)
    networks = ["cnn", "rnn", "lstm", "gru", f"{place / 'my_cell.py'}:Leaky"]
    made = planning.plan(task, networks, trials=1, seeds=2, epochs=2, parameters=1500)
    found, folder = comparison.compare(made, out=place / "run")
    return Finished(found, folder, source, task)

"""The networks by name, and the width that makes them equal in what is made equal."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

import pellucid.nn as layers
from pellucid.cells import Cell
from pellucid.errors import ArgumentError, DataError
from pellucid.explain import explain
from pellucid.lab.bodies import (
    ConvolutionsFirst,
    ImageConvolutions,
    Network,
    Recurrence,
    SequenceConvolutions,
    SpectrogramConvolutions,
)
from pellucid.lab.goals import GOALS
from pellucid.lab.named import run_named, said
from pellucid.lab.task import Described, Task

NAMES = ("cnn", "rnn", "lstm", "gru")
TOLERANCE = 0.05  # of what is made equal
Size = Callable[[int], int]  # what a network of a width has of what is made equal

_RECURRENT: dict[str, Callable[..., layers.Recurrent]] = {"rnn": layers.RNN, "lstm": layers.LSTM, "gru": layers.GRU}
_SPELLED = re.compile(r"(bi)?(rnn|lstm|gru)([2-9])?")


def embedding_size(task: Described) -> int:
    """Numbers that a token is read as; 0 where the input is no tokens."""
    return min(32, max(4, round(math.sqrt(task.channels) * 2))) if task.form == "tokens" else 0


@dataclass(frozen=True)
class Blueprint:
    """A candidate before its width is known.

    Attributes:
        name: as the person asked for it; label: as the report prints it.
        cell: the recurrent cell, or None for the CNN.
        layer: makes the recurrent layers from (input size, hidden size, number of layers, bidirectional=).
        depth: recurrent layers.
        bidirectional: whether they run in both directions.
        convolutions: whether convolutions come first.
    """

    name: str
    label: str
    cell: Cell | None
    layer: Callable[..., layers.Recurrent] | None
    depth: int = 1
    bidirectional: bool = False
    convolutions: bool = False

    def build(self, task: Described, width: int, dropout: float = 0.0) -> Network:
        """The model at a width."""
        embedding = embedding_size(task)
        every_step = GOALS[task.goal].every_step
        channels = embedding or task.channels
        if self.layer is None:
            if task.form == "image":
                return Network(task, ImageConvolutions(channels, task.extent, width), embedding, False, dropout)
            if task.kind == "sound":
                return Network(task, SpectrogramConvolutions(channels, task.extent, width), embedding, False, dropout)
            convolutions = SequenceConvolutions(channels, task.extent, width, every_step)
            return Network(task, convolutions, embedding, False, dropout)
        layer = self.layer

        def recurrence(inputs: int) -> Recurrence:
            return Recurrence(layer, inputs, width, every_step, self.depth, self.bidirectional)

        if self.convolutions:
            body = ConvolutionsFirst(task, channels, width, every_step, recurrence)
            return Network(task, body, embedding, False, dropout)
        by_rows = task.form == "image"
        return Network(
            task, recurrence(channels * task.extent[1] if by_rows else channels), embedding, by_rows, dropout
        )

    def check(self, task: Described) -> None:
        """Raise :class:`~pellucid.errors.ArgumentError` where the task does not allow this network."""
        if self.bidirectional and GOALS[task.goal].every_step:
            raise ArgumentError(
                f"{self.name} reads in both directions, and on this data each step is asked for the next one, which the "
                f"backward direction has seen; leave 'bi' out"
            )
        if self.convolutions and task.form == "image" and min(task.extent) < 4:
            raise ArgumentError(f"{self.name} needs images of 4 x 4 at least, and these are {task.extent}")

    def parameters(self, task: Described, width: int) -> int:
        """Parameters at a width, counted on a model without memory."""
        with torch.device("meta"):
            return sum(p.numel() for p in self.build(task, width).parameters())

    def macs(self, task: Task) -> Size:
        """Multiply-adds of one item, by width.

        Products are of a width with a width, or with what does not depend on it: the count is a polynomial of second degree,
        and three models give it.
        """
        one, two, three = (
            sum(row.macs for row in explain(self.build(task, width), tuple(task.train.x.shape[1:])).rows)
            for width in (1, 2, 3)
        )
        bend = (three - 2 * two + one) // 2  # exact: a second difference is twice the square's factor
        return lambda width: one + (width - 1) * (two - one) + (width - 1) * (width - 2) * bend


def blueprint(wanted: str) -> Blueprint:
    """A network by name, or a person's own cell as ``file.py:Class``.

    ``gru2`` has two layers, ``bigru`` runs in both directions, ``cnn+gru`` has convolutions first; ``cnn+bigru2`` is all of
    it.

    Raises:
        ArgumentError: an unknown name; DataError: the file does not give the cell.
    """
    front, plus, rest = wanted.strip().partition("+")
    convolutions = bool(plus) and front.strip().lower() == "cnn"
    given = rest.strip() if convolutions else wanted.strip()
    before, mark = ("cnn+", "CNN+") if convolutions else ("", "")
    if ":" in given:
        cell = load_cell(given)
        return Blueprint(
            before + cell.name.lower(),
            mark + cell.name,
            cell,
            lambda inputs, hidden, depth, bidirectional: layers.Recurrent(
                cell, inputs, hidden, depth, bidirectional=bidirectional
            ),
            convolutions=convolutions,
        )
    name = given.lower()
    if name == "cnn" and not convolutions:
        return Blueprint("cnn", "CNN", None, None)
    spelled = _SPELLED.fullmatch(name)
    if spelled is None:
        raise ArgumentError(
            f"there is no candidate {wanted!r}; choose from {', '.join(NAMES)}, gru2 (two layers), bigru (both directions), "
            "cnn+gru (convolutions first), or name a cell of your own as my_cell.py:MyCell"
        )
    both, kind, depth = spelled.groups()
    label = mark + ("Bi" if both else "") + kind.upper() + (f" x{depth}" if depth else "")
    layer = _RECURRENT[kind]
    return Blueprint(before + name, label, layer(1, 1).cell, layer, int(depth or 1), both is not None, convolutions)


def load_cell(wanted: str) -> Cell:
    """A person's own cell; the file is run, because the person named it."""
    module, name = run_named(wanted, "a cell as my_cell.py:MyCell")
    file = wanted.rpartition(":")[0]
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, Cell)):
        cells = [n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, Cell) and v is not Cell]
        raise DataError(
            f"{file}: there is no cell {name!r} in it; it has {', '.join(cells) or 'no subclass of pellucid.Cell'}"
        )
    try:
        cell = found()
    except (Exception, SystemExit) as error:
        raise DataError(
            f"{file}: making a {name}() failed with {said(error)}; a cell that is compared needs no arguments"
        ) from error
    cell.derivative()
    return cell


def solve_width(size: Size, wanted: int) -> int:
    """The width whose size comes nearest to the wanted one (it grows with the width: bisection)."""
    low, high = 1, 2
    while size(high) < wanted:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < wanted else (low, middle)
    return min((low, high), key=lambda width: abs(size(width) - wanted))


def common_size(sizes: Sequence[Size], wanted: int) -> int:
    """The wanted size, or the nearest above it at which all networks are equal within the tolerance.

    A CNN of three blocks grows in large steps, so small sizes are not all within its reach.
    """
    for size in (round(wanted * 1.02**k) for k in range(120)):
        found = [of(solve_width(of, size)) for of in sizes]
        if max(found) <= (1 + TOLERANCE) * min(found):
            return size
    return wanted

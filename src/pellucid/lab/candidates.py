"""The networks by name, and the width that makes them equal in what is made equal."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

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
from pellucid.nn.initialise import memory_gates

NAMES = ("cnn", "rnn", "lstm", "gru")
TOLERANCE = 0.05  # of what is made equal
Size = Callable[[int], int]  # what a network of a width has of what is made equal

_RECURRENT: dict[str, Callable[..., layers.Recurrent]] = {"rnn": layers.RNN, "lstm": layers.LSTM, "gru": layers.GRU}
_CONVOLUTIONAL = re.compile(r"cnn([1-9])?")
_BUILT_IN = re.compile(r"(bi)?(rnn|lstm|gru)([2-9])?")
_OWN = re.compile(r"(bi\+)?(.+?:[^:]+?)(?::([2-9]))?")  # bi+file.py:Class:2
HOW = (
    "choose cnn, rnn, lstm or gru; gru2 to gru9 (as many layers), bigru (both directions), bigru2; cnn2 (as many convolutions, "
    "1 to 9); cnn+gru (convolutions first), cnn+bigru2; or name a cell of your own as my_cell.py:MyCell, bi+my_cell.py:MyCell "
    "(both directions), my_cell.py:MyCell:2 (two layers) or cnn+my_cell.py:MyCell"
)


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
        depth: recurrent layers; of the CNN its convolutions, None where the data decides.
        bidirectional: whether they run in both directions.
        convolutions: whether convolutions come first.
    """

    name: str
    label: str
    cell: Cell | None
    layer: Callable[..., layers.Recurrent] | None
    depth: int | None = None
    bidirectional: bool = False
    convolutions: bool = False

    def build(self, task: Described, width: int, dropout: float = 0.0, *, long_memory: bool = False) -> Network:
        """The model at a width.

        Args:
            task: whose items it reads, and what it answers.
            width: filters, or units.
            dropout: share of the features that are dropped in training.
            long_memory: whether recurrent layers start with memories of up to an item's steps: the gate that keeps a state by
                Tallec and Ollivier 2018; where a cell has none, orthogonal recurrent weights (Saxe et al. 2014).
        """
        embedding = embedding_size(task)
        every_step = GOALS[task.goal].every_step
        channels = embedding or task.channels
        if self.layer is None:
            if task.form == "image":
                images = ImageConvolutions(channels, task.extent, width, self.depth)
                return Network(task, images, embedding, False, dropout)
            if task.kind == "sound":
                sounds = SpectrogramConvolutions(channels, task.extent, width, self.depth)
                return Network(task, sounds, embedding, False, dropout)
            convolutions = SequenceConvolutions(channels, task.extent, width, every_step, depth=self.depth)
            return Network(task, convolutions, embedding, False, dropout)
        steps = task.extent[0] // 2 if self.convolutions and task.form == "image" else task.extent[0]  # pooled before
        layer = partial(self.layer, **self._start(steps)) if long_memory else self.layer

        def recurrence(inputs: int) -> Recurrence:
            return Recurrence(layer, inputs, width, every_step, self.depth or 1, self.bidirectional)

        if self.convolutions:
            body = ConvolutionsFirst(task, channels, width, every_step, recurrence)
            return Network(task, body, embedding, False, dropout)
        by_rows = task.form == "image"
        return Network(
            task, recurrence(channels * task.extent[1] if by_rows else channels), embedding, by_rows, dropout
        )

    def _start(self, steps: int) -> dict[str, Any]:
        """How recurrent layers start that remember this long."""
        assert self.cell is not None
        if memory_gates(self.cell):
            return {"initialisation": "chrono", "longest_lag": max(3, steps)}
        return {"initialisation": "orthogonal"}  # which is of matrices, where the cell has any

    def check(self, task: Described) -> None:
        """Raise :class:`~pellucid.errors.ArgumentError` where the task does not allow this network."""
        if self.bidirectional and GOALS[task.goal].every_step:
            raise ArgumentError(
                f"{self.name} reads in both directions, and on this data each step is asked for the next one, which the "
                f"backward direction has seen; leave 'bi' out"
            )
        if self.convolutions and task.form == "image" and min(task.extent) < 4:
            raise ArgumentError(f"{self.name} needs images of 4 x 4 at least, and these are {task.extent}")
        if self.layer is None and self.depth and (task.form == "image" or task.kind == "sound"):
            sides = (*task.extent, *([task.channels] if task.kind == "sound" else []))
            most = int(math.log2(min(sides)))
            if self.depth > most:
                raise ArgumentError(
                    f"{self.name} halves its maps {self.depth} times, and the data, {' x '.join(map(str, sides))}, allows "
                    f"{most}; ask for cnn{max(most, 1)} or fewer"
                )

    def parameters(self, task: Described) -> Size:
        """Parameters by width, counted on models without memory."""

        def count(width: int) -> int:
            with torch.device("meta"):
                return sum(p.numel() for p in self.build(task, width).parameters())

        return _by_width(count)

    def macs(self, task: Task) -> Size:
        """Multiply-adds of one item, by width."""
        shape = tuple(task.train.x.shape[1:])
        return _by_width(lambda width: sum(row.macs for row in explain(self.build(task, width), shape).rows))


def _by_width(count: Size) -> Size:
    """The same for any width, from three widths.

    Weights and products are of a width with a width, or with what does not depend on it: a polynomial of second degree.
    """
    one, two, three = map(count, (1, 2, 3))
    bend = (three - 2 * two + one) // 2  # exact: a second difference is twice the square's factor
    return lambda width: one + (width - 1) * (two - one) + (width - 1) * (width - 2) * bend


@dataclass(frozen=True)
class Wanted:
    """A recurrent network as it was asked for.

    Attributes:
        convolutions: whether they come first; bidirectional: whether it runs in both directions; depth: layers.
        cell: ``"gru"``, or ``file.py:Class`` of a person's own.
    """

    convolutions: bool
    bidirectional: bool
    depth: int
    cell: str

    @property
    def own(self) -> bool:
        """Whether the cell is a person's own."""
        return ":" in self.cell

    @property
    def file(self) -> Path:
        """Where a person's own cell stands."""
        return Path(self.cell.rpartition(":")[0])

    def at(self, cell: str) -> str:
        """As it is asked for with a person's own cell that stands elsewhere."""
        depth = f":{self.depth}" if self.depth > 1 else ""
        return f"{'cnn+' if self.convolutions else ''}{'bi+' if self.bidirectional else ''}{cell}{depth}"


def recurrent(wanted: str) -> Wanted | None:
    """What is asked for; None where it is no recurrent network, or none that there is."""
    front, plus, rest = wanted.strip().partition("+")
    convolutions = bool(plus) and front.strip().lower() == "cnn"
    given = rest.strip() if convolutions else wanted.strip()
    found = _OWN.fullmatch(given) or _BUILT_IN.fullmatch(given.lower())
    if found is None:
        return None
    both, cell, depth = found.groups()
    return Wanted(convolutions, both is not None, int(depth or 1), cell.strip())


def blueprint(wanted: str) -> Blueprint:
    """A network by name, or a person's own cell as ``file.py:Class``.

    ``gru2`` has two layers, ``bigru`` runs in both directions, ``cnn+gru`` has convolutions first; ``cnn+bigru2`` is all of it.
    ``cnn2`` has two convolutions, each with its pooling where the data has two axes. A cell of one's own is put into both
    directions by ``bi+`` before the file, and stacked by ``:2`` behind the class.

    Raises:
        ArgumentError: an unknown name; DataError: the file does not give the cell.
    """
    if only := _CONVOLUTIONAL.fullmatch(wanted.strip().lower()):
        return Blueprint(
            only[0], f"CNN x{only[1]}" if only[1] else "CNN", None, None, int(only[1]) if only[1] else None
        )
    asked = recurrent(wanted)
    if asked is None:
        raise ArgumentError(f"there is no candidate {wanted!r}; {HOW}")
    if asked.own:
        cell = load_cell(asked.cell)
        called, layer = cell.name, partial(layers.Recurrent, cell)
    else:
        called, layer = asked.cell.upper(), partial(_RECURRENT[asked.cell])
        cell = layer(1, 1).cell
    first, many = asked.convolutions, asked.depth > 1
    name = ("cnn+" if first else "") + ("bi" if asked.bidirectional else "") + called.lower()
    label = ("CNN+" if first else "") + ("Bi" if asked.bidirectional else "") + called
    return Blueprint(
        name + (str(asked.depth) if many else ""),
        label + (f" x{asked.depth}" if many else ""),
        cell,
        layer,
        asked.depth,
        asked.bidirectional,
        first,
    )


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

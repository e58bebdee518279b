"""The networks that are compared, each one readable model, and the width that makes them equal in size."""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import pellucid.nn as layers
from pellucid.cells import Cell
from pellucid.errors import ArgumentError, DataError
from pellucid.lab.task import Task

NAMES = ("cnn", "rnn", "lstm", "gru")
TOLERANCE = 0.05  # of the number of parameters


class Body(nn.Module):
    """Turns (B, T, I) with lengths, or (B, C, H, W), into features: (B, F) of the whole, or (B, T, F) of every step."""

    features: int
    sentence: str


class ImageConvolutions(Body):
    """Blocks of 3 x 3 convolution, ReLU and 2 x 2 max pooling, each twice as wide as the last; then the mean."""

    def __init__(self, channels: int, extent: tuple[int, ...], width: int) -> None:
        super().__init__()
        depth = max(1, min(3, int(math.log2(min(extent))) - 1))
        widths = [channels, *(width * 2**k for k in range(depth))]
        self.blocks = nn.Sequential(
            *(layers.ConvBlock(a, b, 3, padding="same", pool="max") for a, b in itertools.pairwise(widths))
        )
        self.features = widths[-1]
        self.sentence = (
            f"{depth} blocks of 3x3 convolution, ReLU and 2x2 max pooling, {_list(widths[1:])} filters; mean"
        )

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, C, H, W) to (B, F)."""
        maps: Tensor = self.blocks(x)
        return maps.mean((2, 3))


class SpectrogramConvolutions(Body):
    """The blocks of :class:`ImageConvolutions` over bands and frames; then the mean over the frames that are there.

    Bands keep their place, since a pitch is one. What lies beyond a recording's end is silenced before each block, so that
    a recording's features do not depend on what it is batched with.
    """

    def __init__(self, bands: int, extent: tuple[int, ...], width: int) -> None:
        super().__init__()
        depth = max(1, min(3, int(math.log2(min(bands, *extent))) - 1))
        widths = [1, *(width * 2**k for k in range(depth))]
        self.blocks = nn.ModuleList(
            layers.ConvBlock(a, b, 3, padding="same", pool="max") for a, b in itertools.pairwise(widths)
        )
        self.features = widths[-1] * (bands // 2**depth)
        self.sentence = (
            f"{depth} blocks of 3x3 convolution over bands and frames, ReLU and 2x2 max pooling, {_list(widths[1:])} "
            "filters; mean over the frames"
        )

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, T, bands) to (B, F)."""
        maps = x.mT.unsqueeze(1)
        lengths = torch.full((len(x),), x.shape[1]) if lengths is None else lengths
        for block in self.blocks.children():
            maps = block(_silenced(maps, lengths))
            lengths = (lengths // 2).clamp(min=1)  # a last odd frame is dropped, as by pooling of the recording alone
        means = _silenced(maps, lengths).sum(3) / lengths[:, None, None]
        return means.flatten(1)


class SequenceConvolutions(Body):
    """Causal 1-d convolutions of growing dilation with ReLU; an output sees what came before it and nothing after."""

    def __init__(self, channels: int, extent: tuple[int, ...], width: int, every_step: bool) -> None:
        super().__init__()
        depth = max(1, min(4, math.ceil(math.log2(max(extent[0], 2) / 4)) + 1))
        self.every_step = every_step
        self.convolutions = nn.ModuleList(
            layers.Conv1d(channels if k == 0 else width, width, 5, padding="causal", dilation=2**k)
            for k in range(depth)
        )
        self.features = width if every_step else 2 * width
        sees = 1 + 4 * (2**depth - 1)
        self.sentence = f"{depth} causal convolutions of 5 with {width} filters, dilation 1 to {2 ** (depth - 1)}, ReLU: each output sees {sees} steps"
        self.sentence += "" if every_step else "; then maximum and last step"

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, T, I) to (B, F) or (B, T, F)."""
        x = x.mT
        for k, convolution in enumerate(self.convolutions.children()):
            y = torch.relu(convolution(x))
            x = y if k == 0 else x + y
        x = x.mT
        if self.every_step:
            return x
        return torch.cat([_highest(x, lengths), _last(x, lengths)], -1)


class Recurrence(Body):
    """One recurrent layer of any cell; the features are its hidden state after the last step, or after every step."""

    def __init__(self, layer: Callable[[int, int], nn.Module], channels: int, width: int, every_step: bool) -> None:
        super().__init__()
        self.layer = layer(channels, width)
        self.every_step = every_step
        self.features = width
        self.sentence = f"one recurrent layer of {width} units" + ("" if every_step else ", its last hidden state")

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, T, I) to (B, F) or (B, T, F)."""
        states, _ = self.layer(x.transpose(0, 1), lengths=lengths)
        states = states.transpose(0, 1)
        return states if self.every_step else _last(states, lengths)


class Network(nn.Module):
    """A candidate: what reads the input, its body, and a linear layer to the answer.

    A forecast is the window's last value plus what the network says, and the network sees the window relative to that
    value (Zeng et al. 2023, NLinear): a level that the training part never had is then no obstacle to anyone.
    """

    def __init__(self, task: Task, body: Body, embedding: int, by_rows: bool) -> None:
        super().__init__()
        self.goal, self.by_rows, self.quantiles = task.goal, by_rows, len(task.quantiles)
        self.target = _target_column(task) if task.goal == "forecast" else 0
        self.embedding = nn.Embedding(task.channels, embedding) if task.form == "tokens" else None
        self.body = body
        self.head = nn.Linear(body.features, task.outputs)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """A split's ``x`` to logits (B, classes) or (B, T, vocabulary), or scaled forecasts (B, horizon, quantiles)."""
        if self.embedding is not None:
            x = self.embedding(x)
        if self.by_rows:
            x = x.movedim(1, 2).flatten(2)  # (B, C, H, W): a row of all channels is a time step
        if self.goal != "forecast":
            return self.head(self.body(x, lengths))  # type: ignore[no-any-return]
        last = x[:, -1:]
        moves: Tensor = self.head(self.body(x - last, lengths)).unflatten(-1, (-1, self.quantiles))
        # Sorted, so that no quantile lies below a lower one (Chernozhukov, Fernandez-Val and Galichon 2010).
        return moves.sort(-1).values + last[..., [self.target]]


def embedding_size(task: Task) -> int:
    """Numbers that a token is read as; 0 where the input is no tokens."""
    return min(32, max(4, round(math.sqrt(task.channels) * 2))) if task.form == "tokens" else 0


@dataclass(frozen=True)
class Blueprint:
    """A candidate before its width is known.

    Attributes:
        name: as the person asked for it; label: as the report prints it.
        cell: the recurrent cell, or None for the CNN.
        layer: makes the recurrent layer from (input size, hidden size).
    """

    name: str
    label: str
    cell: Cell | None
    layer: Callable[[int, int], nn.Module] | None

    def build(self, task: Task, width: int) -> Network:
        """The model at a width."""
        embedding = embedding_size(task)
        every_step = task.goal == "next"
        channels = embedding or task.channels
        if self.layer is not None:
            by_rows = task.form == "image"
            inputs = task.channels * task.extent[1] if by_rows else channels
            return Network(task, Recurrence(self.layer, inputs, width, every_step), embedding, by_rows)
        if task.form == "image":
            return Network(task, ImageConvolutions(channels, task.extent, width), embedding, False)
        if task.kind == "sound":
            return Network(task, SpectrogramConvolutions(channels, task.extent, width), embedding, False)
        return Network(task, SequenceConvolutions(channels, task.extent, width, every_step), embedding, False)

    def size(self, task: Task, width: int) -> int:
        """Parameters at a width, counted on a model without memory."""
        with torch.device("meta"):
            return sum(p.numel() for p in self.build(task, width).parameters())


def blueprint(wanted: str) -> Blueprint:
    """A built-in network by name, or a person's own cell as ``file.py:Class``.

    Raises:
        ArgumentError: an unknown name; DataError: the file does not give the cell.
    """
    if ":" in wanted:
        cell = load_cell(wanted)
        return Blueprint(cell.name.lower(), cell.name, cell, lambda i, h: layers.Recurrent(cell, i, h))
    name = wanted.strip().lower()
    if name == "cnn":
        return Blueprint(name, "CNN", None, None)
    known: dict[str, Callable[[int, int], nn.Module]] = {"rnn": layers.RNN, "lstm": layers.LSTM, "gru": layers.GRU}
    if name not in known:
        raise ArgumentError(
            f"there is no candidate {wanted!r}; choose from {', '.join(NAMES)}, or name a cell of your own as my_cell.py:MyCell"
        )
    return Blueprint(name, name.upper(), known[name](1, 1).cell, known[name])  # type: ignore[arg-type]


def load_cell(wanted: str) -> Cell:
    """A person's own cell; the file is run, because the person named it."""
    file, _, name = wanted.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise DataError(f"{file}: there is no such file; give a cell as my_cell.py:MyCell")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise DataError(f"{file}: not a Python file; give a cell as my_cell.py:MyCell")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise DataError(f"{file}: running the file failed with {_said(error)}") from error
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
            f"{file}: making a {name}() failed with {_said(error)}; a cell that is compared needs no arguments"
        ) from error
    cell.derivative()
    return cell


def _said(error: BaseException) -> str:
    first = (str(error).splitlines() or [""])[0]
    return type(error).__name__ + (f": {first}" if first else "")


def solve_width(plan: Blueprint, task: Task, parameters: int) -> int:
    """The width whose number of parameters comes nearest to the wanted one (it grows with the width: bisection)."""
    low, high = 1, 2
    while plan.size(task, high) < parameters:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if plan.size(task, middle) < parameters else (low, middle)
    return min((low, high), key=lambda w: abs(plan.size(task, w) - parameters))


def common_size(plans: list[Blueprint], task: Task, parameters: int) -> int:
    """The wanted size, or the nearest above it at which all networks are equal within the tolerance.

    A CNN of three blocks grows in large steps, so small sizes are not all within its reach.
    """
    for wanted in (round(parameters * 1.02**k) for k in range(120)):
        sizes = [p.size(task, solve_width(p, task, wanted)) for p in plans]
        if max(sizes) <= (1 + TOLERANCE) * min(sizes):
            return wanted
    return parameters


def _target_column(task: Task) -> int:
    columns = task.preprocessing["columns"]
    assert isinstance(columns, list)
    return columns.index(task.preprocessing["target"])


def _last(x: Tensor, lengths: Tensor | None) -> Tensor:
    return x[:, -1] if lengths is None else x[torch.arange(len(x)), lengths - 1]


def _silenced(maps: Tensor, lengths: Tensor) -> Tensor:
    """(B, C, bands, T) with zeros beyond each length."""
    return maps.masked_fill((torch.arange(maps.shape[3]) >= lengths[:, None])[:, None, None], 0.0)


def _highest(x: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is not None:
        beyond = torch.arange(x.shape[1]) >= lengths[:, None]
        x = x.masked_fill(beyond[..., None], -math.inf)
    return x.amax(1)


def _list(widths: list[int]) -> str:
    return (
        " and ".join(map(str, widths)) if len(widths) < 3 else ", ".join(map(str, widths[:-1])) + f" and {widths[-1]}"
    )

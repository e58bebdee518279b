"""The networks that are compared, each one readable model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pellucid.nn as layers
from pellucid import device
from pellucid.lab import team
from pellucid.lab.counted import counted
from pellucid.lab.task import Described

MOST_CONVOLUTIONS = 4  # of a sequence, one upon the other
Step = Callable[[Tensor], Tensor]  # (B, I) of one time step to what is said after it


class Body(nn.Module):
    """Turns (B, T, I) with lengths, or (B, C, H, W), into features: (B, F) of the whole, or (B, T, F) of every step."""

    features: int
    sentence: str
    least = 1  # steps, below which it computes nothing
    # Steps, or rows of an image, that a filter of the last map sees; None where a recurrence carries on.
    sees: int | None = None

    def stream(self, batch: int = 1) -> Step | None:
        """One time step at a time, (B, I) to the features (B, F) of the steps so far; None where these need later steps."""
        return None


class ImageConvolutions(Body):
    """Blocks of 3 x 3 convolution, ReLU and 2 x 2 max pooling, each twice as wide as the last; then the mean."""

    def __init__(self, channels: int, extent: tuple[int, ...], width: int, depth: int | None = None) -> None:
        super().__init__()
        depth = depth or max(1, min(3, int(math.log2(min(extent))) - 1))
        widths = [channels, *(width * 2**k for k in range(depth))]
        self.blocks = nn.Sequential(
            *(layers.ConvBlock(a, b, 3, padding="same", pool="max") for a, b in itertools.pairwise(widths))
        )
        self.features = widths[-1]
        self.sees = _seen_by_blocks(depth)
        self.sentence = (
            f"{counted(depth, 'block')} of 3x3 convolution, ReLU and 2x2 max pooling, {_list(widths[1:])} filters; mean"
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

    def __init__(self, bands: int, extent: tuple[int, ...], width: int, depth: int | None = None) -> None:
        super().__init__()
        depth = depth or max(1, min(3, int(math.log2(min(bands, *extent))) - 1))
        widths = [1, *(width * 2**k for k in range(depth))]
        self.blocks = nn.ModuleList(
            layers.ConvBlock(a, b, 3, padding="same", pool="max") for a, b in itertools.pairwise(widths)
        )
        self.features = widths[-1] * (bands // 2**depth)
        self.least = 2**depth
        self.sees = _seen_by_blocks(depth)
        self.sentence = (
            f"{counted(depth, 'block')} of 3x3 convolution over bands and frames, ReLU and 2x2 max pooling, {_list(widths[1:])} "
            "filters; mean over the frames"
        )

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, T, bands) to (B, F)."""
        maps = x.mT.unsqueeze(1)
        lengths = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
        for block in self.blocks.children():
            maps = block(_silenced(maps, lengths))
            lengths = (lengths // 2).clamp(min=1)  # a last odd frame is dropped, as by pooling of the recording alone
        means = _silenced(maps, lengths).sum(3) / lengths[:, None, None]
        return means.flatten(1)


class SequenceConvolutions(Body):
    """Causal 1-d convolutions of growing dilation with ReLU; an output sees what came before it and nothing after."""

    def __init__(
        self,
        channels: int,
        extent: tuple[int, ...],
        width: int,
        every_step: bool,
        most: int = MOST_CONVOLUTIONS,
        depth: int | None = None,
    ) -> None:
        super().__init__()
        depth = depth or max(1, min(most, math.ceil(math.log2(max(extent[0], 2) / 4)) + 1))
        self.every_step = every_step
        self.convolutions = nn.ModuleList(
            layers.Conv1d(channels if k == 0 else width, width, 5, padding="causal", dilation=2**k)
            for k in range(depth)
        )
        self.features = width if every_step else 2 * width
        self.sees = 1 + 4 * (2**depth - 1)
        self.sentence = f"{counted(depth, 'causal convolution')} of 5 with {counted(width, 'filter')}, dilation 1 to {2 ** (depth - 1)}, ReLU: each output sees {counted(self.sees, 'step')}"
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

    def stream(self, batch: int = 1) -> Step:
        """The last inputs of each convolution are kept, and the maximum so far."""
        streams = [cast(layers.Conv1d, c).stream(batch) for c in self.convolutions.children()]
        first, *others = (cast(Step, stream.step) for stream in streams)  # with stride 1 each step has an output
        highest: Tensor | None = None

        def step(x: Tensor) -> Tensor:
            nonlocal highest
            x = torch.relu(first(x))
            for convolution in others:
                x = x + torch.relu(convolution(x))
            if self.every_step:
                return x
            highest = x if highest is None else torch.maximum(highest, x)
            return torch.cat([highest, x], -1)

        return step


class Recurrence(Body):
    """Recurrent layers of any cell; the features are the last one's hidden state after the last step, or after every step.

    In both directions, each direction's last state: that of the backward one stands at the first step.
    """

    def __init__(
        self,
        layer: Callable[..., layers.Recurrent],
        channels: int,
        width: int,
        every_step: bool,
        depth: int = 1,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        self.layer = layer(channels, width, depth, bidirectional=bidirectional)
        self.every_step, self.bidirectional, self.width = every_step, bidirectional, width
        self.features = 2 * width if bidirectional else width
        count = "one recurrent layer" if depth == 1 else f"{depth} recurrent layers"
        ways = " in each direction" if bidirectional else ""
        self.sentence = f"{count} of {counted(width, 'unit')}{ways}" + ("" if every_step else ", the last hidden state")

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, T, I) to (B, F) or (B, T, F)."""
        states: Tensor = self.layer(x.transpose(0, 1), lengths=lengths)[0].transpose(0, 1)
        if self.every_step:
            return states
        if not self.bidirectional:
            return _last(states, lengths)
        return torch.cat([_last(states[..., : self.width], lengths), states[:, 0, self.width :]], -1)

    def stream(self, batch: int = 1) -> Step | None:
        """The state is kept; in both directions there is none."""
        return None if self.bidirectional else self.layer.stream(batch).step


class ConvolutionsFirst(Body):
    """Convolutions, and on their feature maps a recurrence: over the rows of an image's map, or over a sequence's steps."""

    def __init__(
        self, task: Described, channels: int, width: int, every_step: bool, recurrence: Callable[[int], Recurrence]
    ) -> None:
        super().__init__()
        self.image = task.form == "image"
        if self.image:
            self.front: nn.Module = layers.ConvBlock(channels, width, 3, padding="same", pool="max")
            features = width * (task.extent[1] // 2)
            first = f"a block of 3x3 convolution, ReLU and 2x2 max pooling with {counted(width, 'filter')}"
        else:
            convolutions = SequenceConvolutions(channels, task.extent, width, True, most=2)
            self.front, features, first = convolutions, width, convolutions.sentence
        self.back = recurrence(features)
        self.features = self.back.features
        over = ", and over the rows of its map " if self.image else ", and on top "
        self.sentence = first + over + self.back.sentence

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, C, H, W), or (B, T, I) with lengths, to (B, F) or (B, T, F)."""
        if self.image:
            return self.back(rows(self.front(x)), None)  # type: ignore[no-any-return]
        return self.back(self.front(x, lengths), lengths)  # type: ignore[no-any-return]

    def stream(self, batch: int = 1) -> Step | None:
        """Of a sequence, one after the other."""
        back = None if self.image else self.back.stream(batch)
        if back is None:
            return None
        front = cast(SequenceConvolutions, self.front).stream(batch)
        return lambda x: back(front(x))


def rows(images: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H, C W): a row of all channels is a time step."""
    return images.movedim(1, 2).flatten(2)


class Network(nn.Module):
    """A candidate: what reads the input, its body, and a linear layer to the answer.

    A forecast is the window's last value plus what the network says, and the network sees the window relative to that
    value (Zeng et al. 2023, NLinear): a level that the training part never had is then no obstacle to anyone.
    """

    def __init__(self, task: Described, body: Body, embedding: int, by_rows: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout  # of the features
        self.goal, self.by_rows, self.quantiles = task.goal, by_rows, len(task.quantiles)
        self.target, self.levelled = _target_column(task) if task.goal == "forecast" else (0, 0)
        self.embedding = nn.Embedding(task.channels, embedding) if task.form == "tokens" else None
        self.body = body
        self.head = nn.Linear(body.features, task.outputs)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """A split's ``x`` to logits (B, classes) or (B, T, vocabulary), or scaled forecasts (B, horizon, quantiles)."""
        if self.embedding is not None:
            x = self.embedding(x)
        if self.by_rows:
            x = rows(x)
        if self.goal != "forecast":
            return self.head(self._features(x, lengths))  # type: ignore[no-any-return]
        # What the calendar says and what is known ahead follow the columns, and are seen as they are.
        last = F.pad(x[:, -1:, : self.levelled], (0, x.shape[-1] - self.levelled))
        moves: Tensor = self.head(self._features(x - last, lengths)).unflatten(-1, (-1, self.quantiles))
        # Sorted, so that no quantile lies below a lower one (Chernozhukov, Fernandez-Val and Galichon 2010).
        return moves.sort(-1).values + last[..., [self.target]]

    def stream(self, batch: int = 1) -> Step | None:
        """One time step at a time, for input that comes as it comes: what the network says of the steps so far.

        Nothing is kept for a backward pass.

        Args:
            batch: B, the items that step together.

        Returns:
            (B, I), or tokens (B,), to logits (B, outputs). None where there is no such answer: images, networks in both
            directions, what takes a mean over all frames, and forecasts, which see a window relative to its last value.
        """
        body = None if self.by_rows or self.goal == "forecast" else self.body.stream(batch)
        if body is None:
            return None

        def step(x: Tensor) -> Tensor:
            with torch.no_grad():
                return self.head(body(x if self.embedding is None else self.embedding(x)))  # type: ignore[no-any-return]

        return step

    def _features(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        found: Tensor = self.body(x, lengths)
        return _dropped(found, self.dropout) if self.training and self.dropout else found


def _dropped(x: Tensor, share: float) -> Tensor:
    """torch's dropout, drawn by the processor's generator wherever ``x`` is."""

    def masks(items: int) -> Tensor:
        return torch.empty(items, *x.shape[1:], dtype=x.dtype).bernoulli_(1 - share).div_(1 - share)

    return x * device.moved(team.drawn(masks, len(x)), x.device)


def _target_column(task: Described) -> tuple[int, int]:
    """The place of the forecast column, and how many columns of the series there are."""
    columns = task.preprocessing["columns"]
    assert isinstance(columns, list)
    return columns.index(task.preprocessing["target"]), len(columns)


def _last(x: Tensor, lengths: Tensor | None) -> Tensor:
    return x[:, -1] if lengths is None else x[torch.arange(len(x), device=x.device), lengths - 1]


def _silenced(maps: Tensor, lengths: Tensor) -> Tensor:
    """(B, C, bands, T) with zeros beyond each length."""
    beyond = torch.arange(maps.shape[3], device=maps.device) >= lengths[:, None]
    return maps.masked_fill(beyond[:, None, None], 0.0)


def _highest(x: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is not None:
        beyond = torch.arange(x.shape[1], device=x.device) >= lengths[:, None]
        x = x.masked_fill(beyond[..., None], -math.inf)
    return x.amax(1)


def _seen_by_blocks(depth: int) -> int:
    """The receptive field of blocks of 3 x 3 convolution and 2 x 2 pooling, along one axis: each adds 2 j + j and doubles j."""
    return 1 + 3 * ((1 << depth) - 1)


def _list(widths: list[int]) -> str:
    return (
        " and ".join(map(str, widths)) if len(widths) < 3 else ", ".join(map(str, widths[:-1])) + f" and {widths[-1]}"
    )

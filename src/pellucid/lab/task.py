"""A task: a person's data, split and scaled, ready for every candidate alike.

``lab.data`` makes tasks, ``lab.train`` and ``lab.comparison`` use them; neither knows the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from pellucid import device
from pellucid.lab.settings import Kind

Form = Literal["image", "sequence", "tokens"]
ANY, SHARE, ERROR = (
    (-math.inf, math.inf),
    (0.0, 100.0),
    (0.0, math.inf),
)  # bounds of metrics: none, of a share in percent
Goal = Literal["class", "number", "labels", "forecast", "next", "next labels"]


@dataclass(frozen=True)
class Metric:
    """The figure that decides: the mean of a score that every test item has on its own.

    Args:
        name: as the report prints it, e.g. ``"accuracy"``.
        unit: e.g. ``"%"``, ``"bits/character"``, or the series' own unit (may be empty).
        higher_is_better: the direction.
        per_item: (prediction, target) -> (N,) float64 scores whose mean is the metric. The prediction is the
            model's raw output on a split: logits (N, classes), scaled forecasts (N, horizon, quantiles), ..., or what
            the goal keeps of it; the target is the split's ``y``.
        bounds: what the metric can be at least and at most, which no interval leaves.
    """

    name: str
    unit: str
    higher_is_better: bool
    per_item: Callable[[Tensor, Tensor], Tensor]
    bounds: tuple[float, float] = ANY


@dataclass(frozen=True)
class Split:
    """One part of the data.

    Args:
        x: images (N, C, H, W) float32, sequences (N, T, I) float32, or tokens (N, T) int64.
        y: classes (N,) int64, forecasts (N, horizon, 1) float32 scaled like ``x``, numbers (N, 1) float32 scaled, labels
            (N, labels) float32 of 0 and 1, next tokens (N, T) int64, or next labels (N, T, labels), -1 behind the ends.
        lengths: (N,) int64 valid steps of each row of ``x``, or None where all rows are full.
        items: N names for the predictions file: a file's path, a row number, a window's first time.
        scales: (N, 2) float64 offset and factor of each forecast, where items are of several series; None elsewhere.
    """

    x: Tensor
    y: Tensor
    lengths: Tensor | None
    items: list[str]
    scales: Tensor | None = None

    def __len__(self) -> int:
        return len(self.items)

    def rows(self, rows: Tensor) -> Split:
        """Some of the items, by number."""
        lengths = None if self.lengths is None else self.lengths[rows]
        scales = None if self.scales is None else self.scales[rows]
        return Split(self.x[rows], self.y[rows], lengths, [self.items[i] for i in rows.tolist()], scales)

    def on(self, there: torch.device) -> Split:
        """The same items where a model is; their scales stay."""
        x, y = device.moved(self.x, there), device.moved(self.y, there)
        return replace(self, x=x, y=y, lengths=device.moved(self.lengths, there))


@dataclass(frozen=True)
class Baseline:
    """The simplest answer that a candidate has to beat, with its score on every test item.

    Args:
        name: e.g. ``"majority class"``, ``"seasonal naive (24)"``, ``"3-gram"``.
        sentence: what it does, for the report.
        scores: (N_test,) float64, by the task's metric.
        prediction: its test predictions in the form of a model's output, or None where it has no such form.
    """

    name: str
    sentence: str
    scores: Tensor
    prediction: Tensor | None = None


@dataclass(frozen=True)
class Origin:
    """How a task was made from a file or a folder, so that another process can make it.

    Attributes:
        source: where the data lies.
        kind: what it was read as.
        options: of the reading, those that were given.
    """

    source: Path
    kind: Kind
    options: tuple[tuple[str, object], ...]


class Described(Protocol):
    """What a network is made from: the part of a task that needs no data. The fields are :class:`Task`'s."""

    @property
    def kind(self) -> Kind: ...  # noqa: D102
    @property
    def form(self) -> Form: ...  # noqa: D102
    @property
    def goal(self) -> Goal: ...  # noqa: D102
    @property
    def channels(self) -> int: ...  # noqa: D102
    @property
    def extent(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def outputs(self) -> int: ...  # noqa: D102
    @property
    def quantiles(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def preprocessing(self) -> dict[str, Any]: ...  # noqa: D102


@dataclass(frozen=True)
class Task:
    """Everything that training and evaluation may know about the data.

    Args:
        kind: what the data is.
        form: what ``x`` is; goal: what ``y`` is.
        source: where the data lies.
        title: one line for a person, e.g. ``"1,797 grey images 8x8 of 10 classes"``.
        fingerprint: hex digest of the data and of every choice that made the splits; a resumed run compares it.
        channels: C of an image, I of a sequence, vocabulary size of tokens.
        extent: (H, W) of an image, (T,) of a sequence or tokens: the longest.
        outputs: number of classes or labels, or horizon times quantiles, or vocabulary size, or 1.
        labels: names of classes or labels, of the forecast column or the number, or the vocabulary.
        horizon: forecast steps ahead (0 where nothing is forecast).
        scale: per-channel (offset, factor) with raw = scaled * factor + offset, from the training part only;
            for a forecast or a number the offsets and factors of the *target*.
        step: the time step of a series in words, e.g. ``"1 hour"``, or "".
        metric: decides; baseline: to be beaten.
        train, valid, test: the splits.
        facts: (what, value) pairs for the report: sizes of splits, how they were made, seasonality, missing values.
        cautions: sentences a careful colleague would add (imbalance, few test items, duplicates across classes...).
        preprocessing: all that prediction on new data needs, JSON-serialisable.
        figures: further metrics that are reported beside the one that decides; they score the test part, in its order.
        quantiles: of a forecast, ascending, 0.5 among them; ``(0.5,)`` is a forecast without an interval.
        class_weights: (classes,) float32 of the loss, where the training part is out of balance; None for equal ones.
        augment: makes another training batch of one, ``x`` alone, drawing from torch's global generator; None for none.
        origin: how it was made, or None where it is of no file.
        block: neighbouring test items that the bootstrap draws together, because their forecasts overlap: two that do not, and all
            between; 1 for none.
        hint: a sentence on what could be asked for besides, or "".
        decode: token numbers to the text that they stand for; None where ``x`` is no tokens.
    """

    kind: Kind
    form: Form
    goal: Goal
    source: Path
    title: str
    fingerprint: str
    channels: int
    extent: tuple[int, ...]
    outputs: int
    labels: tuple[str, ...]
    horizon: int
    scale: tuple[tuple[float, ...], tuple[float, ...]]
    step: str
    metric: Metric
    baseline: Baseline
    train: Split
    valid: Split
    test: Split
    facts: tuple[tuple[str, str], ...]
    cautions: tuple[str, ...]
    preprocessing: dict[str, object]
    figures: tuple[Metric, ...] = ()
    quantiles: tuple[float, ...] = (0.5,)
    class_weights: Tensor | None = None
    augment: Callable[[Tensor], Tensor] | None = None
    origin: Origin | None = None
    block: int = 1
    hint: str = ""
    decode: Callable[[Sequence[int]], str] | None = None

    def raw(self, values: Tensor, item: int) -> list[float]:
        """Scaled values of a test item's forecast column, or numbers, in the data's own unit."""
        offset, factor = (
            (self.scale[0][0], self.scale[1][0]) if self.test.scales is None else self.test.scales[item].tolist()
        )
        return [float(v) for v in values.double() * factor + offset]

    @property
    def lesson(self) -> Lesson:
        """What training may see of it."""
        return Lesson(self.train, self.valid, self.goal, self.metric, self.quantiles, self.class_weights, self.augment)


@dataclass(frozen=True)
class Lesson:
    """The part of a task that training sees; the test part is not in it. The fields are the task's.

    Attributes:
        some: the items of the training part that are used; all where None.
    """

    train: Split
    valid: Split
    goal: Goal
    metric: Metric
    quantiles: tuple[float, ...] = (0.5,)
    class_weights: Tensor | None = None
    augment: Callable[[Tensor], Tensor] | None = None
    some: Tensor | None = None

    @property
    def used(self) -> Tensor:
        """The numbers of the training items that are used."""
        return torch.arange(len(self.train)) if self.some is None else self.some

    def part(self, share: float) -> Lesson:
        """The same with a share of the training part: the last windows of a series or a text, any others of the rest."""
        count = max(1, round(share * len(self.train)))
        if count == len(self.train):
            return self
        if self.goal in ("class", "number", "labels", "next labels"):
            rows = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(0))[:count].sort().values
        else:
            rows = torch.arange(len(self.train) - count, len(self.train))
        return replace(self, some=rows)

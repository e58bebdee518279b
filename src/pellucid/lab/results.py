"""What a comparison found, as data: written to the run folder, read by the report and the terminal table."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A record that refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Interval(Record):
    """A figure with its 95 % interval, in the metric's unit."""

    value: float
    low: float
    high: float


class Figure(Record):
    """A further figure, reported beside the one that decides."""

    name: str
    unit: str
    value: Interval


class Epoch(Record):
    """One pass over the training part."""

    epoch: int
    train_loss: float
    valid_loss: float
    valid_score: float
    seconds: float


class Trial(Record):
    """One tuning trial: a setting tried with the same budget that every other candidate had."""

    settings: dict[str, float]
    valid_score: float
    epochs: int
    seconds: float


class SeedRun(Record):
    """The chosen setting trained from one seed and tested once."""

    seed: int
    history: list[Epoch]
    best_epoch: int
    test_score: float
    seconds: float


class LayerRow(Record):
    """One line of a model's structure table."""

    layer: str
    formula: str
    output: str
    parameters: int
    macs: int


class Cost(Record):
    """What a candidate costs."""

    parameters: int
    macs: int  # multiply-adds for one item (image, window, sequence of the longest length)
    training_seconds: float  # mean over seeds, tuning left out
    tuning_seconds: float
    latency_ms_p50: float  # one item, one thread
    latency_ms_p99: float
    training_bytes: int  # weights, gradients, Adam's two moments, and what a batch keeps for the backward pass
    file_bytes: int


class Candidate(Record):
    """One network: its structure, its tuning, its seeds and its figures."""

    name: str  # "cnn", "rnn", "lstm", "gru", or a cell's class name in lower case
    label: str  # "CNN", ...
    sentence: str  # "2 blocks of 3x3 convolution, ReLU and 2x2 max pooling, 14 and 28 filters; then a linear layer"
    width: int
    cost: Cost
    layers: list[LayerRow]
    diagram: str | None  # SVG of the recurrent cell, drawn from its equations
    trials: list[Trial]
    seeds: list[SeedRun]
    score: Interval  # over test items and seeds
    seed_spread: float  # standard deviation of the test score over seeds
    behind: Interval | None  # paired difference to the best candidate, positive = worse; None for the best itself
    beats_baseline: bool  # the interval of the paired difference to the baseline lies on the good side
    confusion: list[list[int]] | None  # rows: true class; summed over seeds
    forecast: list[Forecast] | None  # a few test windows, in the data's own unit
    sample: str | None  # generated text, for next-character models
    figures: list[Figure] = []  # beside the one that decides


class Forecast(Record):
    """One test window: what came before, what came, and what the candidate said (first seed)."""

    start: str
    channel: str
    past: list[float]
    actual: list[float]
    predicted: list[float]  # the median
    low: list[float] | None = None  # the lowest and the highest quantile, where there is an interval
    high: list[float] | None = None


class BaselineResult(Record):
    """The baseline's figure."""

    name: str
    sentence: str
    score: Interval
    forecast: list[Forecast] | None
    figures: list[Figure] = []


class Verdict(Record):
    """The answer: one sentence that the figures support."""

    sentence: str
    choice: str  # the candidate to use
    equivalent: list[str]  # candidates that cannot be told apart from the best, the best included
    reasons: list[str]  # further sentences: margins, costs, what would make it surer


class Comparison(Record):
    """The whole result, enough to draw the report from."""

    pellucid: str
    torch: str
    command: str
    created: str  # ISO time
    machine: str
    threads: int
    title: str
    source: str
    kind: str
    goal: str
    equal: str  # "params" or "time"
    metric: str
    unit: str
    higher_is_better: bool
    labels: list[str]
    step: str
    facts: list[tuple[str, str]]
    cautions: list[str]
    baseline: BaselineResult
    candidates: list[Candidate]  # best first
    verdict: Verdict


Candidate.model_rebuild()
Comparison.model_rebuild()

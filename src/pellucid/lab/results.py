"""What a comparison found, as data: written to the run folder, read by the report and the terminal table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from pydantic import BaseModel, ConfigDict, PrivateAttr

from pellucid.errors import ArgumentError

if TYPE_CHECKING:
    import polars

    from pellucid.lab.predict import Answers, Asked


class Record(BaseModel):
    """A record that refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Interval(Record):
    """A figure with its 95 % interval, in the metric's unit; from -inf to inf where test items are too few for one."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


class Odds(Record):
    """Probabilities of a difference: that it is above, within or below what is negligible."""

    higher: float
    same: float
    lower: float
    rope: float  # what is negligible, in the metric's unit


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
    learning_rate: float | None = None  # older runs did not note it, and it was the setting's


class Trial(Record):
    """One tuning trial: a setting tried with the same budget that every other candidate had.

    Where there is one setting alone nothing is tuned: figures are the first seed's, and the seconds 0.
    """

    settings: dict[str, float]
    valid_score: float
    epochs: int
    seconds: float
    stopped: bool  # with the weaker half, before its end


class SeedRun(Record):
    """The chosen setting trained from one seed and tested once."""

    seed: int
    history: list[Epoch]
    best_epoch: int
    test_score: float
    seconds: float


class CurvePoint(Record):
    """The chosen setting trained on a part of the training data."""

    items: int
    score: Interval


class Why(Record):
    """What in a network explains its figure."""

    # Steps back, and the norm of dL/dh there (dL/dc in the LSTM), the last step's being 1; empty: no recurrence.
    gradient: list[tuple[int, float]]
    fades: int | None  # steps back from which on it is below 1 %; None: not as far as items go
    gates: dict[str, tuple[float, float]]  # by name in the equations: share of values below 0.05, and above 0.95
    sees: int | None  # steps, or rows of an image, that a filter of the last map sees; None: a recurrence carries on
    extent: int | None = None  # steps, or rows, that the longest item has
    dead: float | None  # share of filters that no test item excites


class Need(Record):
    """How far back the data asks a network to look: the best network's figure when it sees the last steps alone."""

    network: str
    figures: list[tuple[int, float]]  # steps seen, figure
    steps: int | None  # the fewest with which the figure is negligibly worse than with all


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
    # One more step of an item that is read as it comes; None where it is answered as a whole.
    step_ms_p50: float | None = None
    step_ms_p99: float | None = None
    training_bytes: int  # weights, gradients, Adam's two moments, and what a batch keeps for the backward pass
    file_bytes: int
    gpu_bytes: int | None = None  # of a GPU's memory that training takes at most; None on the processor


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
    odds: (
        Odds | None
    )  # of the best candidate's figure against this one's: higher, the same, lower; None for the best itself, and without intervals
    behind: Interval | None  # paired difference to the best candidate, positive = worse; None for the best itself
    ahead: Interval | None = None  # paired difference to the baseline, positive = better; older results do not have it
    beats_baseline: bool  # the whole interval of that difference is positive
    curve: list[CurvePoint]  # by size of the training part, the whole last; empty where it was not asked for
    why: Why
    confusion: list[list[int]] | None  # rows: true class; summed over seeds
    forecast: list[Forecast] | None  # a few test windows, in the data's own unit
    sample: str | None  # generated text, for next-character models
    figures: list[Figure] = []  # beside the one that decides
    numbers: list[tuple[float, float]] | None = (
        None  # true and said (mean of the seeds) of some test items, in the data's unit
    )
    roll: Roll | None = None  # where several labels are said for each step


class Forecast(Record):
    """One test window: what came before, what came, and what the candidate said (first seed)."""

    start: str
    channel: str
    past: list[float]
    actual: list[float]
    predicted: list[float]  # the median
    low: list[float] | None = None  # the lowest and the highest quantile, where there is an interval
    high: list[float] | None = None


class Roll(Record):
    """The first steps of a test item: which labels held at each, and how probable the candidate (first seed) said they were."""

    item: str
    labels: list[str]  # those that held, or that were somewhere said
    actual: list[list[int]]  # a row for each label
    said: list[list[float]]


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
    few: bool = False  # whether test items are too few to tell any apart, whatever the intervals
    reasons: list[str]  # further sentences: margins, costs, what would make it surer


class Comparison(Record):
    """The whole result, enough to draw the report from."""

    pellucid: str
    torch: str
    command: str
    created: str  # ISO time
    machine: str
    threads: int
    device: str = "cpu"  # or what the GPU is called
    title: str
    source: str
    kind: str
    goal: str
    equal: str  # "params", "macs" or "time"
    metric: str
    unit: str
    higher_is_better: bool
    labels: list[str]
    step: str
    facts: list[tuple[str, str]]
    cautions: list[str]
    baseline: BaselineResult
    candidates: list[Candidate]  # best first
    need: Need | None  # where the data has steps
    verdict: Verdict
    tables: dict[str, str] = {}  # SHA-256 of those that lie beside it, by name; older results have none

    _folder: Path | None = PrivateAttr(None)

    @property
    def folder(self) -> Path | None:
        """Where the run's files lie, its report among them."""
        return self._folder

    def predict(self, data: str | Path | None, network: str | None = None, **options: Unpack[Asked]) -> Answers:
        """What a network says of new data, prepared as in training, as ``pellucid predict`` does.

        Args:
            data: of the run's kind; None with ``prompt``.
            network: who answers; the one that the verdict names where None.
            options: seed, column, prompt, length, cell, device, as in :func:`pellucid.lab.predict.predict`.

        Raises:
            DataError: the run or the data cannot be used.
            ArgumentError: an unknown network or option, or the comparison has no folder.
        """
        from pellucid.lab.predict import predict

        return predict(self._place(), None if data is None else Path(data), network=network, **options)

    def export(self, network: str, to: str | Path, *, seed: int = 1, cell: str | None = None) -> float:
        """Write a network as an ONNX model, checked against ONNX Runtime, as ``pellucid export`` does.

        Args:
            network, seed: which training.
            to: the file.
            cell: where a person's own cell stands now, as ``file.py:Class``.

        Returns:
            The largest difference to the network's own outputs, relative to the largest one.

        Raises:
            DataError, ArgumentError: as in :func:`pellucid.lab.export.export`.
        """
        from pellucid.lab.export import export

        return export(self._place(), network, Path(to), seed=seed, cell=cell)[1]

    def _place(self) -> Path:
        if self._folder is None:
            raise ArgumentError("this comparison was read from its JSON alone; open it with pellucid.lab.load(folder)")
        return self._folder

    def frame(self) -> polars.DataFrame:
        """A row for each network and the baseline: its figure, how far it is behind, how far ahead of the baseline, and its costs."""
        import polars

        rows = [
            {
                "network": c.label,
                "figure": c.score.value,
                "low": c.score.low,
                "high": c.score.high,
                "behind": None if c.behind is None else c.behind.value,
                "behind low": None if c.behind is None else c.behind.low,
                "behind high": None if c.behind is None else c.behind.high,
                "ahead": None if c.ahead is None else c.ahead.value,
                "ahead low": None if c.ahead is None else c.ahead.low,
                "ahead high": None if c.ahead is None else c.ahead.high,
                "practically the same": None if c.odds is None else c.odds.same,
                **c.cost.model_dump(),
            }
            for c in self.candidates
        ]
        score = self.baseline.score
        rows.append({"network": self.baseline.name, "figure": score.value, "low": score.low, "high": score.high})
        return polars.DataFrame(rows, infer_schema_length=None)

    def _repr_html_(self) -> str:
        from pellucid.lab.report.notebook import summary

        return summary(self)


Candidate.model_rebuild()
Comparison.model_rebuild()

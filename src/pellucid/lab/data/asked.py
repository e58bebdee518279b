"""What is asked of the items of some data: the goal, the targets of each part, and how answers are judged."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.lab.task import Baseline, Goal, Metric


@dataclass(frozen=True)
class Asked:
    """A goal on some data. Those fields that are not said here are :class:`pellucid.lab.task.Task`'s.

    Attributes:
        targets: ``y`` of the training, the validation and the test part.
        words: the end of the task's title, e.g. ``"9 classes"``.
        scale: of the targets, () where they have none.
    """

    goal: Goal
    words: str
    targets: list[Tensor]
    outputs: int
    labels: tuple[str, ...]
    scale: tuple[()] | tuple[tuple[float, ...], tuple[float, ...]]
    metric: Metric
    figures: tuple[Metric, ...]
    baseline: Baseline
    facts: tuple[tuple[str, str], ...]
    cautions: tuple[str, ...] = ()
    class_weights: Tensor | None = None

"""When training goes back to its best epoch with a lower rate, and when it ends: both follow from the epochs so far alone.

Training goes on at one rate until validation has been no better for some time. It then goes back to the best epoch and on from
there with 0.3 of the rate, as long as that finds something better, and once more after each time that it did: what a rate is too
coarse for is found by a lower one, and nothing is lost where it is not. Mikolov et al. (2010) lower the rate of their recurrent
network at the same moment, and end where that no longer helps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pellucid.lab.results import Epoch
from pellucid.lab.task import Metric

LOWER = 0.3
"""What is left of the rate each time."""


@dataclass(frozen=True)
class Budget:
    """How long a unit may train.

    Attributes:
        epochs: at most.
        patience: epochs without a better validation score after which its rate is too high, or it ends.
        batch: items in a step.
        seconds: of training, or None.
    """

    epochs: int
    patience: int
    batch: int
    seconds: float | None = None

    @property
    def patience_lowered(self) -> int:
        """The patience with a lower rate, which shows sooner whether it helps."""
        return max(2, math.ceil(self.patience / 3))


@dataclass(frozen=True)
class Pace:
    """Where a unit stands after some epochs.

    Attributes:
        ends: after how many epochs the budget ends training; None where it goes on.
        lowered: how many times the rate was.
        back: whether the next epoch starts from the best one.
    """

    ends: int | None
    lowered: int
    back: bool


def pace(history: list[Epoch], metric: Metric, budget: Budget) -> Pace:
    """What follows from a unit's epochs; it may have some beyond the budget, of when it had a larger one."""
    best: Epoch | None = None
    spent, since, gained, lowered = 0.0, 0, True, 0
    for count, epoch in enumerate(history, 1):
        spent += epoch.seconds
        if best_of([best or epoch, epoch], metric) is epoch:
            best, since, gained = epoch, count, True
        waited = count - since >= (budget.patience_lowered if lowered else budget.patience)
        if (
            count >= budget.epochs
            or (waited and not gained)
            or not math.isfinite(epoch.train_loss)
            or (budget.seconds is not None and spent >= budget.seconds)
        ):
            return Pace(count, lowered, back=False)
        if waited:
            since, gained, lowered = count, False, lowered + 1
    return Pace(None, lowered, back=lowered > 0 and since == len(history) and not gained)


def best_of(history: list[Epoch], metric: Metric) -> Epoch:
    """The epoch with the best validation score; the first of equals, and never one that is not a number."""
    sign = -1 if metric.higher_is_better else 1
    return min(history, key=lambda e: (not math.isfinite(e.valid_score), sign * e.valid_score, e.epoch))

"""The figures that decide: each the mean of a score that every test item has on its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.lab.task import Metric


def accuracy() -> Metric:
    """Items whose largest logit is their class, in percent."""

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        return 100.0 * (prediction.argmax(-1) == target).double()

    return Metric("accuracy", "%", True, per_item)


def mean_absolute_error(factors: tuple[float, ...], unit: str) -> Metric:
    """Mean over horizon and columns of |forecast - actual|, in the series' own unit.

    Args:
        factors: what one scaled unit of each forecast column is in the data.
        unit: the unit's name, or "".
    """

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        errors = (prediction.double() - target.double()).abs() * torch.tensor(factors, dtype=torch.float64)
        return errors.mean((1, 2))

    return Metric("mean absolute error", unit, False, per_item)


def bits_per_character() -> Metric:
    """Mean over an item's characters of -log2 of the probability that each was given."""

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        nats = F.cross_entropy(prediction.double().movedim(-1, 1), target, reduction="none")
        return nats.mean(1) / math.log(2)

    return Metric("bits per character", "bits", False, per_item)

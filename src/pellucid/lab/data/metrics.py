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


def balanced_accuracy() -> Metric:
    """The mean over classes of the share of each class that is right, in percent (Brodersen et al. 2010).

    An item's score is the figure plus the item's influence on it (Hampel 1974), so the scores' mean is the figure and
    their spread is its sampling error; scores may lie outside 0 to 100.
    """

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        right = 100.0 * (prediction.argmax(-1) == target).double()
        counts = torch.bincount(target)
        share = torch.bincount(target, weights=right) / counts.clamp(min=1)
        there = counts > 0
        weight = len(target) / (there.sum() * counts[target])
        return share[there].mean() + weight * (right - share[target])

    return Metric("balanced accuracy", "%", True, per_item)


def macro_f1() -> Metric:
    """The mean over classes of F1, the harmonic mean of precision and recall, in percent.

    Classes that are neither given nor said count for nothing. Scores are made as in :func:`balanced_accuracy`.
    """

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        kinds = prediction.shape[-1]
        said, given = (F.one_hot(classes, kinds).double() for classes in (prediction.argmax(-1), target))
        both, either = 2 * said * given, said + given
        size = either.mean(0)
        there = size > 0
        f1 = both.mean(0)[there] / size[there]
        influence = (both[:, there] - f1 * either[:, there]) / size[there]
        return 100.0 * (f1.mean() + influence.mean(1))

    return Metric("macro F1", "%", True, per_item)


def mean_absolute_error(factors: tuple[float, ...], unit: str, median: int = 0) -> Metric:
    """Mean over horizon and columns of |forecast - actual|, in the series' own unit.

    Args:
        factors: what one scaled unit of each forecast column is in the data.
        unit: the unit's name, or "".
        median: place of the median among the quantiles.
    """

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        errors = _errors(prediction, target, median).abs() * torch.tensor(factors, dtype=torch.float64)
        return errors.mean((1, 2))

    return Metric("mean absolute error", unit, False, per_item)


def mean_absolute_scaled_error(naive: Tensor, season: int, median: int = 0) -> Metric:
    """MASE (Hyndman and Koehler 2006): the error divided by the seasonal naive's one-step error in the training part.

    Args:
        naive: (N,) that error for each test item, in scaled units.
        season: of the naive forecast, 1 for the last value.
        median: place of the median among the quantiles.
    """

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        return _errors(prediction, target, median).abs().mean((1, 2)) / naive

    return Metric(f"MASE (season {season})" if season > 1 else "MASE", "", False, per_item)


def symmetric_percentage_error(offset: Tensor, factor: Tensor, median: int = 0) -> Metric:
    """sMAPE as in the M4 competition: mean of 200 |forecast - actual| / (|forecast| + |actual|), 0 where both are 0.

    Args:
        offset, factor: (N,) of each test item, with raw = scaled * factor + offset.
        median: place of the median among the quantiles.
    """

    def raw(values: Tensor) -> Tensor:
        return values.double() * factor[:, None, None] + offset[:, None, None]

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        said, came = raw(prediction[..., [median]]), raw(target)
        whole = said.abs() + came.abs()
        return (200 * (said - came).abs() / torch.where(whole > 0, whole, 1.0)).mean((1, 2))

    return Metric("sMAPE", "%", False, per_item)


def mean_quantile_loss(factor: float, unit: str, quantiles: tuple[float, ...]) -> Metric:
    """Mean over horizon and quantiles of max(q (y - p), (q - 1)(y - p)) (Koenker and Bassett 1978).

    Args:
        factor: what one scaled unit is in the data.
        unit: the unit's name, or "".
        quantiles: of the forecasts.
    """

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        levels = torch.tensor(quantiles, dtype=torch.float64)
        above = target.double() - prediction.double()
        return factor * torch.maximum(levels * above, (levels - 1) * above).mean((1, 2))

    return Metric("quantile loss", unit, False, per_item)


def coverage(quantiles: tuple[float, ...]) -> Metric:
    """Share of steps between the lowest and the highest quantile, in percent; right is their difference."""
    share = round(100 * (quantiles[-1] - quantiles[0]))

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        inside = (prediction[..., :1] <= target) & (target <= prediction[..., -1:])
        return 100.0 * inside.double().mean((1, 2))

    return Metric(f"coverage of the {share} % interval", "%", True, per_item)


def _errors(prediction: Tensor, target: Tensor, median: int) -> Tensor:
    """(N, horizon, 1) forecast minus actual."""
    return prediction[..., [median]].double() - target.double()


def bits_per_character(characters: Tensor) -> Metric:
    """-log2 of the probability of a text, for each of its characters, so that all ways to cut a text into tokens compare.

    Args:
        characters: (vocabulary,) how many characters each token begins.
    """

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        return per_character(_nats(prediction, target).sum(1) / math.log(2), characters.double()[target].sum(1))

    return Metric("bits per character", "bits", False, per_item)


def per_character(bits: Tensor, characters: Tensor) -> Tensor:
    """A score for each window whose mean is all bits over all characters (N,); scores as in :func:`balanced_accuracy`."""
    figure = bits.sum() / characters.sum()
    return figure + (bits - figure * characters) / characters.mean()


def perplexity(token: str) -> Metric:
    """exp of the mean of -ln of the probability that each token was given; scores as in :func:`balanced_accuracy`.

    Args:
        token: what a token is, e.g. ``"character"``.
    """

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        nats = _nats(prediction, target).mean(1)
        return nats.mean().exp() * (1 + nats - nats.mean())

    return Metric(f"perplexity of a {token}", "", False, per_item)


def _nats(prediction: Tensor, target: Tensor) -> Tensor:
    """-ln of the probability of every token: (N, T)."""
    return F.cross_entropy(prediction.double().movedim(-1, 1), target, reduction="none")

"""The figures that decide: each the mean of a score that every test item has on its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.lab.task import ERROR, SHARE, Metric

AT_ONCE = 4096  # items whose characters are counted together


def accuracy() -> Metric:
    """Items whose largest logit is their class, in percent."""

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        return 100.0 * (prediction.argmax(-1) == target).double()

    return Metric("accuracy", "%", True, per_item, SHARE)


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

    return Metric("balanced accuracy", "%", True, per_item, SHARE)


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

    return Metric("macro F1", "%", True, per_item, SHARE)


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

    return Metric("mean absolute error", unit, False, per_item, ERROR)


def mean_absolute_scaled_error(naive: Tensor, season: int, median: int = 0) -> Metric:
    """MASE (Hyndman and Koehler 2006): the error divided by the seasonal naive's one-step error in the training part.

    Args:
        naive: (N,) that error for each test item, in scaled units.
        season: of the naive forecast, 1 for the last value.
        median: place of the median among the quantiles.
    """

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        return _errors(prediction, target, median).abs().mean((1, 2)) / naive

    return Metric(f"MASE (season {season})" if season > 1 else "MASE", "", False, per_item, ERROR)


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

    return Metric("sMAPE", "%", False, per_item, (0.0, 200.0))


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

    return Metric("quantile loss", unit, False, per_item, ERROR)


def coverage(quantiles: tuple[float, ...]) -> Metric:
    """Share of steps between the lowest and the highest quantile, in percent; right is their difference."""
    share = round(100 * (quantiles[-1] - quantiles[0]))

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        inside = (prediction[..., :1] <= target) & (target <= prediction[..., -1:])
        return 100.0 * inside.double().mean((1, 2))

    return Metric(f"coverage of the {share} % interval", "%", True, per_item, SHARE)


def _errors(prediction: Tensor, target: Tensor, median: int) -> Tensor:
    """(N, horizon, 1) forecast minus actual."""
    return prediction[..., [median]].double() - target.double()


def bits_per_character(characters: Tensor) -> Metric:
    """-log2 of the probability of a text, for each of its characters, so that all ways to cut a text into tokens compare.

    Of a prediction -ln of each item's probability is kept (N,).

    Args:
        characters: (vocabulary,) how many characters each token begins.
    """

    def per_item(nats: Tensor, target: Tensor) -> Tensor:
        counts = torch.cat([characters[some].sum(1) for some in torch.split(target, AT_ONCE)])
        return pooled(nats / math.log(2), counts.double())

    return Metric("bits per character", "bits", False, per_item, ERROR)


def pooled(amounts: Tensor, counts: Tensor) -> Tensor:
    """A score for each item whose mean is all amounts over all counts (N,); scores as in :func:`balanced_accuracy`."""
    figure = amounts.sum() / counts.sum()
    return figure + (amounts - figure * counts) / counts.mean()


def perplexity(token: str) -> Metric:
    """exp of the mean of -ln of the probability that each token was given; scores as in :func:`balanced_accuracy`.

    Of a prediction -ln of each item's probability is kept (N,).

    Args:
        token: what a token is, e.g. ``"character"``.
    """

    def per_item(kept: Tensor, target: Tensor) -> Tensor:
        nats = kept / target.shape[1]
        return nats.mean().exp() * (1 + nats - nats.mean())

    return Metric(f"perplexity of a {token}", "", False, per_item, (1.0, math.inf))


def root_mean_squared_error(factor: float, unit: str) -> Metric:
    """The root of the mean squared error of a number; scores as in :func:`balanced_accuracy`.

    Args:
        factor: what one scaled unit is in the data.
        unit: the unit's name, or "".
    """

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        squares = (factor * _difference(prediction, target)) ** 2
        figure = squares.mean().sqrt()
        return figure + (squares - figure**2) / (2 * figure) if figure > 0 else squares

    return Metric("root mean squared error", unit, False, per_item, ERROR)


def absolute_error(factor: float, unit: str) -> Metric:
    """The mean absolute error of a number; arguments as in :func:`root_mean_squared_error`."""

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        return factor * _difference(prediction, target).abs()

    return Metric("mean absolute error", unit, False, per_item, ERROR)


def explained_variance() -> Metric:
    """R^2: 1 less the squared error's share of the numbers' own variance; scores as in :func:`balanced_accuracy`."""

    def per_item(prediction: Tensor, target: Tensor) -> Tensor:
        numbers = target[:, 0].double()
        return 1 - pooled(_difference(prediction, target) ** 2, (numbers - numbers.mean()) ** 2)

    return Metric("R²", "", True, per_item, (-math.inf, 1.0))


def _difference(prediction: Tensor, target: Tensor) -> Tensor:
    """(N,) said minus true."""
    return prediction[:, 0].double() - target[:, 0].double()


# Columns of what is kept of labels; from the last on there is one for each label.
NATS, ASKED, BOTH, EITHER, LAST = range(5)


def kept_of_labels(prediction: Tensor, target: Tensor) -> Tensor:
    """What figures and answers need of labels' logits: (N, LAST + labels) float64.

    An item's columns are -ln of the probability of all its labels, how many steps it is asked for, how many labels were both
    said and true at these and how many either, and the logits at the last of them. A label is said where it is more probable
    than not.

    Args:
        prediction: (N, labels), or (N, T, labels) where each step is asked.
        target: the same of 0 and 1, -1 behind an item's last step.
    """
    if target.dim() == 2:
        prediction, target = prediction[:, None], target[:, None]
    asked = target[..., 0] >= 0
    each = F.binary_cross_entropy_with_logits(prediction, target.clamp(min=0), reduction="none")
    nats = each.sum(-1, dtype=torch.float64)
    said, true = (prediction > 0) & asked[..., None], target > 0
    count = asked.sum(1)
    both, either = (marks.sum((1, 2)) for marks in (said & true, said | true))
    last = prediction[torch.arange(len(prediction)), count - 1]
    return torch.cat([torch.stack([(nats * asked).sum(1), count, both, either], 1), last], 1).double()


def nats_of_labels(step: str) -> Metric:
    """-ln of the probability of all labels of an item or of a step, a mean over all items' steps (Boulanger-Lewandowski 2012).

    Labels are taken as independent of each other, given what was seen. Of a prediction :func:`kept_of_labels` is kept.

    Args:
        step: what an answer is for, e.g. ``"step"``.
    """

    def per_item(kept: Tensor, _: Tensor) -> Tensor:
        return pooled(kept[:, NATS], kept[:, ASKED])

    return Metric(f"negative log-likelihood of a {step}", "nats", False, per_item, ERROR)


def shared_labels(name: str) -> Metric:
    """Labels said and true, of all that were said or true, in percent (Bay, Ehmann and Downie 2009, their accuracy).

    Of a prediction :func:`kept_of_labels` is kept. Scores are made as in :func:`balanced_accuracy`.

    Args:
        name: e.g. ``"frame accuracy"``.
    """

    def per_item(kept: Tensor, _: Tensor) -> Tensor:
        both, either = kept[:, BOTH], kept[:, EITHER]
        return 100 * pooled(both, either) if either.sum() > 0 else torch.full_like(both, 100.0)

    return Metric(name, "%", True, per_item, SHARE)

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

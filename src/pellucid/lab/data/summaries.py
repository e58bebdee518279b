"""A sequence in a few numbers, and what simple methods make of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.lab.data.classes import Answers
from pellucid.lab.data.split import deviation

Array = NDArray[np.float64]
WHAT = "each channel's mean, deviation, lowest, highest, first and last value, and in length"


def summary(values: Array) -> Array:
    """(T, C) to (6 C + 1): mean, deviation, lowest, highest, first and last value of each channel, and the length."""
    parts = [values.mean(0), values.std(0), values.min(0), values.max(0), values[0], values[-1], [len(values)]]
    return np.concatenate(parts)


def nearest(
    train: Sequence[Array], train_y: Tensor, valid: Sequence[Array], test: Sequence[Array], classes: int
) -> Answers:
    """The class of the training sequence with the nearest summary; summaries are scaled by the training part's deviations."""
    from sklearn.metrics import pairwise_distances_argmin  # which holds some of the distances in memory, not all

    known = np.stack([summary(v) for v in train])
    spread = deviation(known, 0)

    def answers(part: Sequence[Array]) -> Tensor:
        asked = np.stack([summary(v) for v in part])
        which = pairwise_distances_argmin(asked / spread, known / spread)
        return torch.nn.functional.one_hot(train_y[torch.from_numpy(which)], classes).float()

    sentence = f"Says the class of the training sequence that is nearest in {WHAT}."
    return Answers("nearest summary", sentence, answers(valid), answers(test))


def ridge(train: Sequence[Array], train_y: Tensor, valid: Sequence[Array], test: Sequence[Array]) -> Answers:
    """A number as a weighted sum of the summary's, by least squares with a penalty (Hoerl and Kennard 1970).

    The penalty's weight is the one of the smallest leave-one-out error; a sequence's number beyond the training part's is
    brought to the nearest of them, since a straight line knows no end.

    Args:
        train, valid, test: sequences (T, C).
        train_y: (N, 1) scaled numbers.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    method = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-3, 4, 15)))
    method.fit(np.stack([summary(v) for v in train]), train_y[:, 0].numpy())
    low, high = float(train_y.min()), float(train_y.max())
    said = [
        torch.from_numpy(method.predict(np.stack([summary(v) for v in part])).clip(low, high)).float()[:, None]
        for part in (valid, test)
    ]
    sentence = f"A weighted sum of {WHAT.replace('in length', 'the length')}, by least squares with a penalty."
    return Answers("linear regression", sentence, *said)

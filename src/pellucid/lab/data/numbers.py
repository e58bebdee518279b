"""A number for each item: when labels are numbers, the figures, the simplest answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.errors import DataError
from pellucid.lab.data.asked import Asked
from pellucid.lab.data.classes import Answers, strongest
from pellucid.lab.data.metrics import absolute_error, explained_variance, root_mean_squared_error
from pellucid.lab.data.split import Indices, deviation
from pellucid.lab.data.summaries import ridge

Array = NDArray[np.float64]
MANY, FEW_OF_EACH = 20, 5  # whole numbers are no classes where there are more of them, and fewer sequences of each


def numbers_of(labels: Sequence[str]) -> Array | None:
    """Labels as numbers, or None where one of them is none."""
    try:
        found = np.array([float(label) for label in labels])
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def reason(labels: Sequence[str]) -> str | None:
    """Why labels are taken for numbers to say, in words; None where they are taken for classes."""
    found = numbers_of(labels)
    if found is None:
        return None
    broken = np.flatnonzero(found != np.round(found))
    if len(broken):
        return f"labels such as {found[broken[0]]:.6g} are not whole"
    kinds = len(set(found.tolist()))
    if kinds > MANY and len(found) < FEW_OF_EACH * kinds:
        return f"there are {kinds:,} different numbers among {len(found):,} labels"
    return None


def asked(
    source: object,
    labels: Sequence[str],
    name: str,
    indices: Sequence[Indices],
    parts: Sequence[Sequence[Array]],
    why: str,
) -> Asked:
    """A number for each sequence.

    Args:
        source: of the data, for errors.
        labels: the numbers as text.
        name: what the number is called.
        indices: of the training, the validation and the test part; parts: their sequences.
        why: that it is a number, in words.

    Raises:
        DataError: a label is no number, or all of the training part's are the same.
    """
    found = numbers_of(labels)
    if found is None:
        wrong = next(label for label in labels if numbers_of([label]) is None)
        raise DataError(
            f"{source}: the label {wrong!r} is no number, and a number is to be said; correct it or drop it"
        )
    train = found[indices[0]]
    mean, spread = float(train.mean()), float(deviation(train[:, None], 0)[0])
    if train.min() == train.max():
        raise DataError(f"{source}: every training sequence has the number {train[0]:g}, so there is nothing to tell")
    targets = [torch.from_numpy(((found[i] - mean) / spread).astype(np.float32))[:, None] for i in indices]
    always = Answers(
        "mean",
        f"Always says {mean:.4g}, the mean of the training part.",
        *(torch.zeros(len(part), 1) for part in parts[1:]),
    )
    metric = root_mean_squared_error(spread, "")
    answers = [always, ridge(parts[0], targets[0], parts[1], parts[2])]
    return Asked(
        goal="number",
        words=f"each with a number from {found.min():.4g} to {found.max():.4g}",
        targets=targets,
        outputs=1,
        labels=(name,),
        scale=((mean,), (spread,)),
        metric=metric,
        figures=(absolute_error(spread, ""), explained_variance()),
        baseline=strongest(answers, targets[1], targets[2], metric),
        facts=(
            ("Asked", f"a number, since {why}"),
            ("Numbers", f"{found.min():.6g} to {found.max():.6g}, in the training part {mean:.6g} ± {spread:.4g}"),
        ),
    )

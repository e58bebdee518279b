"""The data of the experiments: handwritten digits, and tasks that are defined by how they are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Batch = tuple[Tensor, Tensor]
ADDING_VARIANCE = 1 / 6  # of the sum of two independent U(0, 1): the error of always saying 1
SYMBOLS, COPIED = 8, 5


@dataclass(frozen=True)
class Digits:
    """A split of 1,797 handwritten digits (UCI, Alpaydin and Kaynak 1998), (N, 1, 8, 8) from 0 to 1."""

    train: Batch
    test: Batch


def digits(seed: int, train: int = 1200) -> Digits:
    """A random split; 597 digits are the test part, whatever is taken for training."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.target))
    x = torch.from_numpy(data.images[order, None] / 16).float()
    y = torch.from_numpy(data.target[order])
    return Digits((x[597 : 597 + train], y[597 : 597 + train]), (x[:597], y[:597]))


def adding(count: int, length: int, generator: torch.Generator) -> Batch:
    """The adding problem (Hochreiter and Schmidhuber 1997, section 5.4; the form of Arjovsky et al. 2016).

    Of T numbers from U(0, 1) two are marked, one in each half; their sum is asked for after the last step.

    Returns:
        x (T, B, 2) with the number and the mark, y (B, 1).
    """
    numbers = torch.rand(length, count, generator=generator)
    marks = torch.zeros(length, count)
    for start, stop in ((0, length // 2), (length // 2, length)):
        marks[torch.randint(start, stop, (count,), generator=generator), torch.arange(count)] = 1
    return torch.stack([numbers, marks], -1), (numbers * marks).sum(0)[:, None]


def copying(count: int, lag: int, generator: torch.Generator) -> Batch:
    """Copy memory (Hochreiter and Schmidhuber 1997; Arjovsky et al. 2016) with 5 symbols of 8 kinds.

    The symbols, ``lag`` blanks, a sign to begin, and then the symbols have to be said in order.

    Returns:
        x (T, B, 10) one-hot with T = lag + 10, y (5, B) the symbols; the last 5 steps answer.
    """
    symbols = torch.randint(0, SYMBOLS, (COPIED, count), generator=generator)
    tokens = torch.full((lag + 2 * COPIED, count), SYMBOLS)
    tokens[:COPIED] = symbols
    tokens[-COPIED] = SYMBOLS + 1
    return torch.nn.functional.one_hot(tokens, SYMBOLS + 2).float(), symbols


def restarting_sum(count: int, length: int, generator: torch.Generator) -> Batch:
    """The sum of the numbers since the last mark, asked for after every step: a stream whose past has to be let go.

    Gers et al. 2000 showed with such continual streams why an LSTM needs to forget. Numbers are from U(-1, 1), a step
    in ten is marked on average.

    Returns:
        x (T, B, 2) with the number and the mark, y (T, B, 1).
    """
    numbers = torch.rand(length, count, generator=generator) * 2 - 1
    marks = torch.rand(length, count, generator=generator) < 0.1
    total, sums = torch.zeros(count), []
    for number, mark in zip(numbers, marks, strict=True):
        total = torch.where(mark, number, total + number)
        sums.append(total)
    return torch.stack([numbers, marks.float()], -1), torch.stack(sums)[..., None]

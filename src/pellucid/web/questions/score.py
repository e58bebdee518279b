"""Which number of a network's output is meant: a class's, a forecast's, or the next token's after a step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.errors import ArgumentError
from pellucid.web.opened import Opened
from pellucid.web.reading import Forecast

BEST = 12  # of many classes or tokens, how many are offered


@dataclass(frozen=True)
class Scores:
    """The numbers of an output that answer one question.

    Attributes:
        values: (K,) scores of classes or tokens, before the softmax, or the forecast of each step ahead.
        step: after which the answer is given, where there is one after every step; None where there is one of the whole.
        classes: whether the K exclude each other, so that a softmax makes probabilities of them.
    """

    values: Tensor
    step: int | None
    classes: bool

    @property
    def answer(self) -> int:
        """The network's own choice: the highest class, or the first step ahead."""
        return int(self.values.argmax()) if self.classes else 0

    def chosen(self, target: int | None) -> int:
        """A choice, checked; the network's own where none is given.

        Raises:
            ArgumentError: there is none.
        """
        if target is None:
            return self.answer
        if not 0 <= target < len(self.values):
            raise ArgumentError(f"there is no answer {target}; there are {len(self.values)}, counted from 0")
        return target


def scores(opened: Opened, output: Tensor, steps: int, step: int) -> Scores:
    """Those of an output of a batch of one.

    Args:
        opened: says whether a forecast is meant, where the form alone would not.
        output: (1, K) or (1,) of the whole; (1, T, K) or (T, 1, K) after every step; (1, horizon, quantiles), of which the
            middle one is meant.
        steps: T, of the recurrent layer.
        step: after which.

    Raises:
        ArgumentError: another form.
    """
    shape = tuple(output.shape)
    forecast = isinstance(opened.reading, Forecast)
    if len(shape) == 3 and shape[:2] == (1, steps) and not forecast:
        return Scores(output[0, step], step, classes=True)
    if len(shape) == 3 and shape[:2] == (steps, 1) and not forecast:
        return Scores(output[step, 0], step, classes=True)
    if len(shape) == 3 and shape[0] == 1:
        return Scores(output[0, :, shape[2] // 2], None, classes=False)
    if len(shape) == 2 and shape[0] == 1:
        return Scores(output[0], None, classes=shape[1] > 1)
    if shape == (1,):
        return Scores(output, None, classes=False)
    raise ArgumentError(f"the network answers with {shape}, and which of these is an answer is not known")


def label(opened: Opened, found: Scores, target: int) -> str:
    """What an answer is called: its class, or its number."""
    return opened.labels[target] if found.classes and target < len(opened.labels) else str(target)

"""What a network's output says: classes with their probabilities, a forecast in its own unit, or what comes next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from pellucid.errors import ArgumentError

if TYPE_CHECKING:
    from pellucid.web.opened import Item

BEST = 5  # of many classes, how many are told
Told = dict[str, Any]  # JSON


class Reading(Protocol):
    """How outputs are read."""

    def read(self, output: Tensor, item: Item, step: int | None) -> Told:
        """An output on a batch of one, in words and numbers.

        Args:
            output: of the network.
            item: that it was shown.
            step: after which the answer is given, where there is one after every step; the last where None.

        Raises:
            ArgumentError: there is no such step.
        """


@dataclass(frozen=True)
class Classes:
    """One of several classes."""

    labels: tuple[str, ...]

    def read(self, output: Tensor, item: Item, step: int | None) -> Told:
        """(1, classes) logits: the most probable ones, and the right one where it is known."""
        right = None if item.truth is None else int(item.truth)
        return {"kind": "class", **_told(output[0], self.labels, right)}


@dataclass(frozen=True)
class Next:
    """The token that follows each step."""

    vocabulary: tuple[str, ...]

    def read(self, output: Tensor, item: Item, step: int | None) -> Told:
        """(1, T, vocabulary) logits: the most probable tokens after a step, and the one that came."""
        step = _checked(step, output.shape[1])
        right = None if item.truth is None or int(item.truth[step]) < 0 else int(item.truth[step])
        return {"kind": "next", "step": step, **_told(output[0, step], self.vocabulary, right)}


@dataclass(frozen=True)
class Labels:
    """Labels of which any number holds, of the whole or after each step."""

    labels: tuple[str, ...]

    def read(self, output: Tensor, item: Item, step: int | None) -> Told:
        """(1, labels) or (1, T, labels) logits: the most probable ones, and all that are right where it is known."""
        told: Told = {"kind": "labels"}
        logits, truth = output[0], item.truth
        if logits.ndim == 2:
            told["step"] = _checked(step, len(logits))
            logits, truth = logits[told["step"]], None if truth is None else truth[told["step"]]
        shares, right = logits.double().sigmoid(), None
        if truth is not None and bool((truth >= 0).all()):
            right = [_one(shares, self.labels, k) for k in truth.nonzero()[:, 0].tolist()]
        return told | {"best": _best(shares, self.labels), "right": right}


@dataclass(frozen=True)
class Number:
    """One number.

    Attributes:
        name: of the number; offset, factor: its own unit is scaled * factor + offset.
    """

    name: str
    offset: float
    factor: float

    def read(self, output: Tensor, item: Item, step: int | None) -> Told:
        """(1, 1) scaled: the number in its own unit, and the right one where it is known."""
        truth = None if item.truth is None else float(item.truth.double()) * self.factor + self.offset
        return {
            "kind": "number",
            "name": self.name,
            "value": float(output.double()) * self.factor + self.offset,
            "truth": truth,
        }


@dataclass(frozen=True)
class Forecast:
    """Values to come.

    Attributes:
        name: of what is forecast; column: its place among an item's channels.
        quantiles: ascending.
    """

    name: str
    column: int
    quantiles: tuple[float, ...]

    def read(self, output: Tensor, item: Item, step: int | None) -> Told:
        """(1, horizon, quantiles), scaled: quantiles, what came where it is known, and the past, in their own unit."""
        assert item.scale is not None
        offset, factor = item.scale[:, self.column].double()
        truth = None if item.truth is None else (item.truth.double().flatten() * factor + offset).tolist()
        return {
            "kind": "forecast",
            "name": self.name,
            "quantiles": list(self.quantiles),
            "values": (output[0].double() * factor + offset).tolist(),
            "truth": truth,
            "times": list(item.ahead),
            "past": (item.x[:, self.column].double() * factor + offset).tolist(),
        }


@dataclass(frozen=True)
class Numbers:
    """Whatever a model says of which nothing is known."""

    def read(self, output: Tensor, item: Item, step: int | None) -> Told:
        """The output's shape and its largest numbers, with their places."""
        flat = output.flatten()
        values, places = flat.topk(min(BEST, len(flat)))
        largest = [{"name": str(k), "value": v} for k, v in zip(places.tolist(), values.double().tolist(), strict=True)]
        return {"kind": "numbers", "shape": list(output.shape), "largest": largest}


def _checked(step: int | None, steps: int) -> int:
    """A step of an output; the last where none is given."""
    if step is None:
        return steps - 1
    if not 0 <= step < steps:
        raise ArgumentError(f"there is no step {step}; there are {steps}, counted from 0")
    return step


def _told(logits: Tensor, labels: tuple[str, ...], right: int | None) -> Told:
    """The most probable of several that exclude each other, and the right one."""
    shares = logits.double().softmax(-1)
    return {"best": _best(shares, labels), "right": None if right is None else _one(shares, labels, right)}


def _best(shares: Tensor, labels: tuple[str, ...]) -> list[Told]:
    return [_one(shares, labels, k) for k in shares.topk(min(BEST, len(shares))).indices.tolist()]


def _one(shares: Tensor, labels: tuple[str, ...], number: int) -> Told:
    return {"number": number, "name": labels[number], "probability": float(shares[number])}

"""Sequences of numbers (T, C), one behind the other: in memory, or on a file where they are more than fit in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pellucid.lab.data.ragged import Ragged

Array = NDArray[np.float64]


class Stack:
    """Sequences that come one after the other, of which nobody knows beforehand how many there are.

    Args:
        held: bytes that are held in memory at most; more lie on a file.
        kind: of the numbers.
    """

    def __init__(self, held: float, kind: DTypeLike = np.float64) -> None:
        self._numbers = Ragged(held)
        self._kind = kind
        self._shapes: list[tuple[int, ...]] = []

    @property
    def size(self) -> int:
        """The bytes of all sequences."""
        return self._numbers.size

    def append(self, values: NDArray[Any]) -> None:
        """Put a sequence (T, C) behind the last.

        Raises:
            DataError: there is no space for it.
        """
        self._numbers.append(np.ascontiguousarray(values, dtype=self._kind).tobytes())
        self._shapes.append(values.shape)

    def sequences(self) -> list[NDArray[Any]]:
        """All sequences, which are read from where they lie whenever they are looked at; nothing can be put behind them."""
        flat = np.asarray(self._numbers.flat(self._kind))
        ends = np.cumsum([0, *map(math.prod, self._shapes)])
        return [flat[start:end].reshape(shape) for start, end, shape in zip(ends, ends[1:], self._shapes, strict=False)]


def without_padding(values: Array) -> Array:
    """Without the steps at the end at which every channel is missing."""
    there = np.flatnonzero((~np.isnan(values)).any(1))
    return values[: there[-1] + 1] if len(there) else values[:0]

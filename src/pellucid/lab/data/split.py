"""Splits without leakage: by class for items, in order for time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import DataError
from pellucid.lab.counted import counted
from pellucid.lab.data.paging import slices
from pellucid.lab.data.ragged import Ragged

Indices = NDArray[np.int64]
FRACTIONS = (0.7, 0.15, 0.15)


def digest(*parts: bytes | str | Ragged) -> str:
    """A fingerprint of content and choices."""
    total = Digest()
    for part in parts:
        total.add(part)
    return total.hex()


class Digest:
    """The same of parts that come one after the other."""

    def __init__(self) -> None:
        self._total = hashlib.sha256()

    def add(self, part: bytes | str | Ragged) -> None:
        """Take in another part; what is ragged is one part, its items one behind the other."""
        data = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        self._total.update((data.size if isinstance(data, Ragged) else len(data)).to_bytes(8, "little"))
        for piece in data if isinstance(data, Ragged) else (data,):
            self._total.update(piece)

    def add_array(self, values: NDArray[Any]) -> None:
        """Take in an array's numbers, row by row."""
        self._total.update(values.nbytes.to_bytes(8, "little"))
        for rows in slices(len(values), values[:1].nbytes):
            self._total.update(np.ascontiguousarray(values[rows]).tobytes())

    def hex(self) -> str:
        """The fingerprint of what came so far."""
        return self._total.hexdigest()


def stratified(
    labels: Sequence[int], contents: Sequence[str], classes: Sequence[str], seed: int, source: Path
) -> tuple[list[Indices], int]:
    """Train, validation and test indices with every class in each, and the number of items that have a twin.

    Items of equal content stay on one side, so nothing that is tested was seen in training.

    Raises:
        DataError: a class has fewer than three different items.
    """
    generator = np.random.default_rng(seed)
    groups: dict[str, list[int]] = {}
    for index, content in enumerate(contents):
        groups.setdefault(content, []).append(index)
    sides: list[list[int]] = [[], [], []]
    for label, name in enumerate(classes):
        own = [members for members in groups.values() if labels[members[0]] == label]
        if len(own) < 3:
            whose, remedy = (
                (f"the class {name!r}", "items to it or remove the class")
                if len(classes) > 1
                else ("the data", "items")
            )
            raise DataError(
                f"{source}: {whose} has {counted(len(own), 'different item')}, and "
                f"training, validation and test need at least one each; add {remedy}"
            )
        order = generator.permutation(len(own))
        test = max(1, round(FRACTIONS[2] * len(own)))
        valid = max(1, round(FRACTIONS[1] * len(own)))
        for place, which in enumerate(order):
            side = 2 if place < test else 1 if place < test + valid else 0
            sides[side].extend(own[which])
    twins = sum(len(members) for members in groups.values() if len(members) > 1)
    return [np.array(sorted(side), dtype=np.int64) for side in sides], twins


def shown(path: Path) -> str:
    """A path as text that can be printed and written: what is no UTF-8 in it is replaced."""
    return os.fsencode(path).decode("utf-8", "replace")


def deviation(values: NDArray[Any], axes: int | tuple[int, ...]) -> NDArray[np.float64]:
    """The standard deviation to scale by; 1 for what is constant but for rounding."""
    spread = np.asarray(values.std(axes, dtype=np.float64))
    size = np.abs(values).max(axes)
    return np.where(spread <= 1e-6 * size, 1.0, spread)

"""Items without answers, as prediction takes them: what the kinds' ``prepare`` functions have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import DataError
from pellucid.lab.data.folders import visible
from pellucid.lab.data.split import shown

FAR = 30.0  # training's deviations, which no values of the same unit are away from its mean as a rule


@dataclass(frozen=True)
class Inputs:
    """Items as the networks see them.

    Attributes:
        x, lengths, items, scales: as in :class:`pellucid.lab.task.Split`.
        ahead: for each series, the times that are forecast, as text; () where there are none.
        notes: sentences on what was done to fit the items to the networks.
    """

    x: Tensor
    lengths: Tensor | None
    items: list[str]
    scales: Tensor | None = None
    ahead: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()


def understood(how: Mapping[str, Any], *keys: str) -> None:
    """Check that a preprocessing holds what is needed, and nothing that would be passed over.

    Raises:
        DataError: it was written by another version.
    """
    strange = sorted(set(how) ^ {"kind", *keys})
    if strange:
        raise DataError(
            f"the run's preprocessing and this version differ in {strange[0]!r}; use the version that made the run, or "
            "compare again"
        )


class Found(NamedTuple):
    """Files of a kind in a fixed order, and sentences on those that are of none."""

    files: list[Path]
    notes: tuple[str, ...]


def files_at(path: Path, suffixes: frozenset[str], what: str) -> Found:
    """The file, or all files of a kind below a folder, without hidden ones.

    Raises:
        DataError: nothing is there, or nothing of the kind.
    """
    if not path.exists():
        raise DataError(f"{shown(path)}: there is no such file or folder; give {what}s, or a folder of them")
    found = [path] if path.is_file() else visible(path)
    files = [f for f in found if f.suffix.lower() in suffixes]
    if not files:
        raise DataError(f"{shown(path)}: no {what}s are there; known are {', '.join(sorted(suffixes))}")
    others = [f for f in found if f.suffix.lower() not in suffixes]
    return Found(files, _passed_over(others, what))


def unlike_training(mean: NDArray[Any], deviation: NDArray[Any], names: Sequence[str]) -> tuple[str, ...]:
    """A sentence where new values are on another scale than those of training, such as pixels to 255 and to 1.

    Args:
        mean, deviation: (C,) of the new values, of each channel, as the networks see them: 0 and 1 in training.
        names: of the channels, with their article.
    """
    size = np.hypot(mean, deviation)
    if size.max() > FAR:
        name, times = (
            names[int(size.argmax())],
            f"{size.max():,.0f} times as far from training's mean as those of training",
        )
    elif 0 < deviation.max() < 1 / FAR:
        name, times = (
            names[int(deviation.argmax())],
            f"{1 / deviation.max():,.0f} times closer together than in training",
        )
    else:
        return ()
    return (f"The values of {name} are {times}; are they in the same unit?",)


def _passed_over(others: Sequence[Path], what: str) -> tuple[str, ...]:
    if not others:
        return ()
    few = shown(others[0])
    if len(others) == 1:
        return (f"{few} is no {what} and was passed over.",)
    return (f"{len(others):,} files, such as {few}, are no {what}s and were passed over.",)

"""Items without answers, as prediction takes them: what the kinds' ``prepare`` functions have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.errors import DataError
from pellucid.lab.data.split import shown


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


def files_at(path: Path, suffixes: frozenset[str], what: str) -> list[Path]:
    """The file, or all files of a kind below a folder, in a fixed order, without hidden ones.

    Raises:
        DataError: nothing is there, or nothing of the kind.
    """
    if not path.exists():
        raise DataError(f"{shown(path)}: there is no such file or folder; give {what}s, or a folder of them")
    found = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    files = [f for f in found if f.suffix.lower() in suffixes and not f.name.startswith(".")]
    if not files:
        raise DataError(f"{shown(path)}: no {what}s are there; known are {', '.join(sorted(suffixes))}")
    return files

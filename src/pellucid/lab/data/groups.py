"""The rows of a long table by what one of its columns says: gone through once to count them, and once to place them."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray


class Groups:
    """Groups in the order in which they first appear, whose rows may lie in any order.

    Attributes:
        number: of each group, by its name.
    """

    def __init__(self) -> None:
        self.number: dict[str, int] = {}
        self._counts = np.zeros(0, dtype=np.int64)
        self._free: NDArray[np.int64] | None = None

    @property
    def ends(self) -> NDArray[np.int64]:
        """0, and where each group ends if they lie one behind the other."""
        return np.concatenate([[0], np.cumsum(self._counts)]).astype(np.int64)

    def count(self, names: pl.Series) -> NDArray[np.int64]:
        """Take in some rows; the number of each row's group."""
        for name in names.unique(maintain_order=True).to_list():
            self.number.setdefault(name, len(self.number))
        which = self._numbers(names)
        self._counts = np.bincount(which, minlength=len(self.number)) + np.pad(
            self._counts, (0, len(self.number) - len(self._counts))
        )
        return which

    def places(self, names: pl.Series) -> NDArray[np.int64]:
        """Where some rows go, each behind those of its group that came before; all rows have been counted."""
        if self._free is None:
            self._free = self.ends[:-1].copy()
        which = self._numbers(names)
        order = which.argsort(kind="stable")
        own, begins, counts = np.unique(which[order], return_index=True, return_counts=True)
        found = np.empty(len(which), dtype=np.int64)
        found[order] = np.repeat(self._free[own] - begins, counts) + np.arange(len(order))
        self._free[own] += counts
        return found

    def _numbers(self, names: pl.Series) -> NDArray[np.int64]:
        own = names.unique().to_list()
        return names.replace_strict(own, [self.number[n] for n in own], return_dtype=pl.Int64).to_numpy()

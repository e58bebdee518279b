"""Numbers that stand for a missing value, such as -9999: told, since networks would take them for values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LIMITS = {float(sign * 2**bits - (sign > 0)) for sign in (-1, 1) for bits in (15, 16, 31)}  # of whole numbers
REPEATS = 3  # times that a number has to be there
KINDS = 10  # of other values that have to be there, so that a switch's off and on are none
FAR = 2  # times the range of all others that it is away from them, where it looks as such numbers do
VERY_FAR = 10  # where it does not, but is the only negative one


def cautions(names: Sequence[str], pieces: Callable[[], Iterable[Array]], remedy: str) -> list[str]:
    """A sentence on each column in which the lowest or the highest number mostly likely stands for a missing value.

    Args:
        names: of the columns.
        pieces: makes the rows, (some, columns), anew; what is missing is not a number.
        remedy: what to do.
    """
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    for piece in pieces():
        low, high = np.fmin(low, np.fmin.reduce(piece, 0)), np.fmax(high, np.fmax.reduce(piece, 0))
    found = []
    for column, name in enumerate(names):
        for value, other in ((low[column], high[column]), (high[column], low[column])):
            if _looks_so(value) or (value < 0 <= other and value == round(value)):
                found += _told(name, float(value), column, pieces, remedy)
    return found


def _told(name: str, value: float, column: int, pieces: Callable[[], Iterable[Array]], remedy: str) -> list[str]:
    """A sentence on a column's lowest or highest number, or none."""
    typical, count, low, high = _looks_so(value), 0, np.inf, -np.inf
    kinds: set[float] = set()
    for piece in pieces():
        own = piece[:, column]
        count += int((own == value).sum())
        rest = own[np.isfinite(own) & (own != value) & ~(typical & (own == -value))]  # the other end may have one, too
        if len(rest):
            low, high = min(low, float(rest.min())), max(high, float(rest.max()))
            kinds |= set(rest[:1000].tolist()) if len(kinds) < KINDS else set()
    apart = low - value if value < low else value - high
    far = apart >= (FAR if typical else VERY_FAR) * (high - low)
    if count < REPEATS or len(kinds) < KINDS or not far or (low < 0 and not typical):
        return []
    return [
        f"Column {name!r} is {value:.10g} in {count:,} rows, and elsewhere {low:.4g} to {high:.4g}: if that stands for a missing "
        f"value, {remedy}."
    ]


def _looks_so(value: float) -> bool:
    """Whether a number is made of nines, as -999, 99999 and -99.9 are, or is the last of its type."""
    return value in LIMITS or re.fullmatch(r"-?99+(\.9+)?", f"{value:.10g}") is not None

"""Times as texts: in which of many forms a column writes them, and what they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

CALLED = ("date", "time", "timestamp", "datetime", "ds")  # what columns of times mostly are
FORMATS = (
    "%Y-%m", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %I:%M:%S %p",
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y%m%d",
    "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y",
    "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y %I:%M %p", "%d/%m/%y", "%m/%d/%y",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%d.%m.%y", "%d-%m-%Y", "%m-%d-%Y",
    "%d-%m-%Y %H:%M:%S", "%m-%d-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%m-%d-%Y %H:%M", "%d.%m.%y %H:%M", "%Y%m%d %H:%M",
    "%Y-%m-%d %I:%M %p", "%d/%m/%y %H:%M", "%m/%d/%y %H:%M", "%d-%b-%Y %H:%M",
    "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d, %Y", "%b %Y", "%b-%y",
)  # fmt: skip
MONTHS = {"%Y-%m": "%d %Y-%m", "%b %Y": "%d %b %Y", "%b-%y": "%d %b-%y"}  # forms that have no day, which is the first
OF_A_DAY = r"^\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?(?i:[ap]m))?$"
MISREAD = 0.1  # of a column's times that may be written otherwise than the rest, and are then named


def find(
    column: pl.Series, groups: Sequence[NDArray[np.int64]] | None = None, *, all_of_them: bool = False
) -> str | None:
    """How a column of texts writes times, or None where it holds none.

    A form in which all can be read is taken, or else, unless it has to be ``all_of_them``, one in which nearly all can.
    Where day and month could be either way round, the reading is taken in which the times of each group of rows ascend, and
    of two such the one in which they are more evenly apart.
    """
    readings: list[tuple[bool, bool, float, str]] = []
    first = column.head(1000)
    for form in FORMATS:
        if _misread(first, read(first, form), form) is None:
            continue
        found = read(column, form)
        wrong = _misread(column, found, form)
        if wrong is None or (wrong and all_of_them):
            continue
        whole = found.to_physical()
        each = [whole] if groups is None else [whole.gather(rows) for rows in groups]
        apart = np.concatenate([part.drop_nulls().diff().drop_nulls().to_numpy().astype(float) for part in each])
        uneven = float(apart.std() / abs(apart.mean())) if len(apart) and apart.mean() else 0.0
        readings.append((wrong > 0, bool((apart <= 0).any()), uneven, form))
    return min(readings, key=lambda r: r[:3])[3] if readings else None


def read(column: pl.Series, form: str) -> pl.Series:
    """A column of texts as times (of no zone); null where a text is not of the form."""
    text = column.str.strip_chars()
    if form in MONTHS:
        text, form = "1 " + text, MONTHS[form]
    try:
        found = text.str.to_datetime(form, strict=False)
    except pl.exceptions.PolarsError:
        return pl.Series(column.name, [None] * len(column), dtype=pl.Datetime("us"))
    return found.dt.replace_time_zone(None) if getattr(found.dtype, "time_zone", None) else found


def unread(column: pl.Series) -> bool:
    """Whether a column of texts is called as times are, and holds digits as these do, in whichever form."""
    if column.name.strip().lower() not in CALLED or column.dtype != pl.String:
        return False
    told = column.drop_nulls().str.strip_chars()
    recurring = told.str.contains(OF_A_DAY)  # which say no order
    return len(told) > 0 and (told.str.count_matches(r"\d").ge(2) & ~recurring).sum() > len(told) / 2


def of_a_day(column: pl.Series) -> bool:
    """Whether a column of texts holds times of a day alone."""
    told = column.drop_nulls().str.strip_chars()
    return len(told) > 0 and bool(told.str.contains(OF_A_DAY).all())


def names_a_time(name: str) -> bool:
    """Whether the name of a column is a time, with its year: 2024-01-31, 1/22/20."""
    dated = r"(^|.*\D)(1[89]|20)\d\d(\D.*|$)|(19|20)\d{6}|\d{1,2}/\d{1,2}/\d\d"
    return re.fullmatch(dated, name) is not None and find(pl.Series([name])) is not None


def _misread(column: pl.Series, found: pl.Series, form: str) -> int | None:
    """How many of a column's times were not read; None where they are more than a few, or years are none."""
    given = len(column) - column.null_count()
    wrong = found.null_count() - column.null_count()
    if not given or wrong > MISREAD * given or found.null_count() == len(found):
        return None
    if not form.startswith("%Y-%m-") and found.dt.year().min() < 1000:  # type: ignore[operator]
        return None
    return wrong

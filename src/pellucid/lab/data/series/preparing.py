"""A table made ready to be cut into windows: no rows to come, no gaps, no series that is too short; and where its parts end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.counted import counted
from pellucid.lab.data.paging import Space, last
from pellucid.lab.data.series import gaps
from pellucid.lab.data.series.reading import Series, Table
from pellucid.lab.data.series.seasons import common_season
from pellucid.lab.data.series.windows import Ends
from pellucid.lab.data.split import FRACTIONS

Array = NDArray[np.float64]
PARTS = ("training", "validation", "test")


def without_future(found: Table, ahead: list[int], facts: list[tuple[str, str]]) -> Table:
    """Without the rows at the end that hold nothing but what is known ahead: they are there for predicting."""
    if not ahead:
        return found
    others = [k for k in range(len(found.columns)) if k not in ahead]
    series, left = [], 0
    for one in found.series:
        at = last(one.values, lambda part: (~np.isnan(part[:, others])).any(1))
        stop = 0 if at is None else at + 1
        left += len(one.values) - stop
        series.append(one.cut(0, stop))
    if left:
        facts.append(("Rows to come", f"{left:,} at the end hold what is known ahead only, and are left out"))
    return replace(found, series=series)


def without_gaps(
    found: Table,
    how: str | None,
    season: int | None,
    split: Sequence[int] | None,
    facts: list[tuple[str, str]],
    space: Space,
) -> tuple[Table, list[gaps.Mask], list[str]]:
    """The table with gaps filled as asked, by the season that is asked for or found, and where they were."""
    empty = gaps.masks(found, space)
    missing = gaps.find(found, empty)
    if missing is None:
        return found, empty, []
    if how is None:
        raise gaps.refuse(found, missing)
    known = [(s, m, *gaps.known(m, found.target)) for s, m in zip(found.series, empty, strict=True)]
    cut = sum(len(s.values) - (stop - start) for s, _, start, stop in known)
    trimmed = [s.cut(start, stop) for s, _, start, stop in known if start < stop]
    empty = [m[start:stop] for _, m, start, stop in known if start < stop]
    if not trimmed:
        raise DataError(f"{found.source}: some column has no value at all; remove it from the table")
    back = 1
    if how == "seasonal":
        back = season_of(replace(found, series=trimmed), _straight(found, trimmed, empty, space), season, split, space)
    for one, mask in zip(trimmed, empty, strict=True):
        gaps.fill(one.values, mask, how, back)  # type: ignore[arg-type]
    facts.append(("Missing", missing.sentence()))
    sentence = gaps.SENTENCES[how] + (f" of {back} steps" if back > 1 else "")
    facts.append(
        ("Filled", f"{sentence} (--missing {how}); no forecast starts from a filled value or is judged by one")
    )
    if cut:
        facts.append(
            ("Left out", f"{counted(cut, 'step')} before all columns begin, or after the last value of the target")
        )
    cautions = []
    share = sum(int(mask[:, found.target].sum()) for mask in empty) / sum(map(len, empty))
    if share > 0.1:
        cautions.append(
            f"{100 * share:.0f} % of the values of {found.columns[found.target]!r} were missing and are made up."
        )
    return replace(found, series=trimmed), empty, cautions


def _straight(found: Table, series: list[Series], empty: list[gaps.Mask], space: Space) -> list[Array]:
    """What is forecast of each series, with straight lines across gaps."""
    counts = [len(one.values) for one in series]
    straight = np.split(space.scratch((sum(counts),)), np.cumsum(counts)[:-1])
    for one, mask, line in zip(series, empty, straight, strict=True):
        line[:] = one.values[:, found.target]
        gaps.fill_column(line, mask[:, found.target], "linear", 1)
    return straight


def season_of(
    found: Table, values: Sequence[Array], asked: int | None, split: Sequence[int] | None, space: Space
) -> int:
    """The season that is asked for, or that the training parts have in common.

    Args:
        found: the table.
        values: (T,) of each series, what is forecast.
        asked: steps; None to look for it.
        split: as for :func:`ends_of`.
        space: for what is in between.

    Raises:
        ArgumentError: the season that is asked for is below 1, or no training part is longer.
    """
    trains = [v[: ends_of(found.source, s, split)[0]] for s, v in zip(found.series, values, strict=True)]
    if asked is None:
        return common_season(trains, 0.0 if found.step is None else found.step.days(), space)
    longest = max(map(len, trains))
    if not 1 <= asked < longest:
        of = " of the longest series" if len(trains) > 1 else ""
        raise ArgumentError(
            f"season is {asked:,}, and the training part{of} has {counted(longest, 'step')}; give 2 to {longest - 1:,}, or 1 for "
            "none, or leave --season out, and it is looked for"
        )
    return asked


def ends_of(source: Path, series: Series, split: Sequence[int] | None) -> Ends:
    """Where the parts of a series end: as ``split`` says, numbers of steps for each, or after 70 and 85 % of it.

    Raises:
        ArgumentError: the series has fewer steps.
    """
    rows = len(series.values)
    if split is None:
        first = round(FRACTIONS[0] * rows)
        return first, first + round(FRACTIONS[1] * rows), rows
    if len(split) != 3 or min(split) < 1 or sum(split) > rows:
        of = f"the series {series.name!r} of {source}" if series.name else f"{source}"
        raise ArgumentError(
            f"split is {'/'.join(map(str, split))} rows, and {of} has {rows}; give three numbers that fit in it"
        )
    return split[0], split[0] + split[1], sum(split)


def long_enough(
    found: Table, filled: list[gaps.Mask], ends: list[Ends], window: int, horizon: int, cautions: list[str]
) -> tuple[Table, list[gaps.Mask], list[Ends]]:
    """Without series that are too short for a window in each part; an error where none is left."""
    needed = window + horizon
    short: list[tuple[int, str, int, int]] = []
    for k, end in enumerate(ends):
        for part, rows in zip(PARTS, np.diff((0, *end)).tolist(), strict=True):
            wanted = needed if part == "training" else horizon
            if rows < wanted:
                short.append((k, part, rows, wanted))
                break
    if len(short) == len(found.series):
        k, part, rows, wanted = max(short, key=lambda s: len(found.series[s[0]].values))
        where = f" of the longest series {found.series[k].name!r}" if len(short) > 1 else ""
        raise DataError(
            f"{found.source}: the {part} part{where} has {rows} of {len(found.series[k].values)} rows, and a window of {window} "
            f"with {counted(horizon, 'step')} ahead needs {wanted}; give more rows, or a smaller window (--window) or horizon (--horizon)"
        )
    if short:
        first = found.series[short[0][0]]
        cautions.append(
            f"{len(short):,} of {len(found.series):,} series are too short for a window of {window} with {counted(horizon, 'step')} ahead "
            f"in each part, and are left out (the first: {first.name!r} with {len(first.values)} rows)."
        )
    kept = [k for k in range(len(ends)) if k not in {s[0] for s in short}]
    return replace(found, series=[found.series[k] for k in kept]), [filled[k] for k in kept], [ends[k] for k in kept]

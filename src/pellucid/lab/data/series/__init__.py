"""Series over time: forecast the next steps from a window of the past.

A table (:mod:`reading`) becomes series on an even time axis (:mod:`axis`), is made ready (:mod:`preparing`), its gaps filled
(:mod:`gaps`), scaled (:mod:`scaling`) and cut into windows (:mod:`windows`); networks have to beat the best of some
:mod:`baselines`, and are judged as :mod:`judging` says.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.counted import counted
from pellucid.lab.data import stand_ins
from pellucid.lab.data.paging import HELD, Space, allowed, paged, slices
from pellucid.lab.data.series import baselines, calendar, gaps, scaling, windows
from pellucid.lab.data.series.judging import QUANTILES, metrics_of
from pellucid.lab.data.series.preparing import PARTS, ends_of, long_enough, season_of, without_future, without_gaps
from pellucid.lab.data.series.reading import Table, id_column, not_numbers, read
from pellucid.lab.data.split import Digest
from pellucid.lab.task import Split, Task

__all__ = ["id_column", "load"]


def load(
    source: Path,
    *,
    target: str | None = None,
    id: str | None = None,
    horizon: int | None = None,
    window: int | None = None,
    season: int | None = None,
    split: Sequence[int] | None = None,
    known: str | None = None,
    missing: str | None = None,
    calendar: bool = False,
    origins: int | None = None,
    memory: float = HELD,
) -> Task:
    """Read a table, split it in time, cut it into windows, scale by the training part.

    Args:
        source: CSV or Parquet; rows in time order, perhaps with a time column.
        target: column to forecast, the last numeric one where None; several (``"a,b"`` or ``"all"``) are a series each.
        id: column that tells series apart which stand below each other.
        horizon: steps ahead; one season, at most 24, where None.
        window: steps of the past that are seen; two seasons, between 16 and 96, where None.
        season: steps of the season, 1 for none; found in the training part where None.
        split: numbers of steps for train, validation and test, of each series; 70/15/15 % where None.
        known: columns, with commas between, whose values are known ahead: networks see them over the horizon.
        missing: how gaps are filled: ``"linear"``, ``"last"`` or ``"seasonal"``.
        calendar: whether networks see hour, weekday and month.
        origins: how many forecasts of the test part are evaluated; every step one, but at most 4,000, where None.
        memory: gigabytes that values, times and windows may take; more is paged from files.

    Raises:
        DataError: no numbers, a missing or wrong value, times out of order or uneven, too few rows.
        ArgumentError: an option that does not fit the table.
    """
    gaps.check(missing)
    space = Space(allowed(memory))
    found = read(source, target, id, space)
    ahead = _known(found, known, space)
    facts: list[tuple[str, str]] = []
    standing = _stand_ins(found)
    found = without_future(found, ahead, facts)
    found, filled, cautions = without_gaps(found, missing, season, split, facts, space)
    cautions += standing
    at, asked = found.target, season is not None
    ends = [ends_of(source, s, split) for s in found.series]
    season = season_of(found, [s.values[:, at] for s in found.series], season, split, space)
    horizon = horizon or min(max(season, 1), 24)
    window = window or max(int(np.clip(2 * season, 16, 96)), horizon if ahead else 0)
    if ahead and window < horizon:
        raise ArgumentError(
            f"the window is {window} steps and the horizon {horizon}, and what is known ahead is seen through the window; "
            f"give --window {horizon} or more"
        )
    found, filled, ends = long_enough(found, filled, ends, window, horizon, cautions)
    cycles = _cycles(found, calendar, min(e[0] for e in ends), facts)
    scales = [scaling.fit(source, s, e[0], space) for s, e in zip(found.series, ends, strict=True)]
    wholes = [windows.Part(filled, ends, window, horizon, at, part) for part in range(3)]
    chosen = _origins(source, wholes, origins)
    splits = [windows.cut(found.series, scales, c, window, horizon, at, cycles, ahead, space) for c in chosen]
    pairs = [scale.pair(at) for scale in scales]
    decides, figures = metrics_of(found, ends, filled, pairs, season, chosen[2], space)
    baseline, tried = baselines.best(
        baselines.Given(
            values=[s.values[:, at] for s in found.series],
            scales=pairs,
            ends=ends,
            valid=chosen[1],
            test=chosen[2],
            valid_y=splits[1].y,
            test_y=splits[2].y,
            horizon=horizon,
            season=season,
            metric=decides,
            quantiles=QUANTILES,
        )
    )
    steps, name, several = sum(len(s.values) for s in found.series), found.columns[at], len(found.series) > 1
    if several:
        cautions.append(
            "The series count as independent of each other; where they move together, intervals are too narrow."
        )
    recipe = _recipe(found, scales) | {
        "known": [found.columns[k] for k in ahead],
        "calendar": cycles,
        "missing": missing,
        "season": season,
        "window": window,
        "horizon": horizon,
        "quantiles": list(QUANTILES),
    }
    return Task(
        kind="series",
        form="sequence",
        goal="forecast",
        source=source,
        title=f"{steps:,} steps of {name!r}"
        + (f" in {len(found.series):,} series" if several else "")
        + f", {horizon} ahead from {window}",
        fingerprint=_fingerprint(found, recipe, ends, chosen),
        channels=splits[0].x.shape[-1],
        extent=(window,),
        outputs=horizon * len(QUANTILES),
        labels=(name,),
        horizon=horizon,
        scale=((pairs[0][0],), (pairs[0][1],)),
        step="" if found.step is None else found.step.words,
        metric=decides,
        baseline=baseline,
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        facts=(
            *_facts(found, known if ahead else None, window, horizon),
            ("Season", _season(season, asked)),
            *_facts_of_parts(ends, splits, chosen[2], horizon),
            *paged(space.paged, 0, "values, times and windows"),
            *facts,
            *tried,
        ),
        cautions=tuple(cautions),
        preprocessing=recipe,
        figures=figures,
        quantiles=QUANTILES,
        block=max(1, -(-2 * horizon // chosen[2].spacing())),
        hint=_hint(found, cycles, min(e[0] for e in ends)),
    )


def _known(found: Table, known: str | None, space: Space) -> list[int]:
    """The columns that are known ahead."""
    names = [name.strip() for name in (known or "").split(",") if name.strip()]
    for name in names:
        if name not in found.columns:
            raise not_numbers(found.source, name, found.columns, space)
        if name == found.columns[found.target]:
            raise ArgumentError(f"{name!r} is what is forecast; a column that is known ahead has to be another one")
    return [found.columns.index(name) for name in names]


def _stand_ins(found: Table) -> list[str]:
    """Cautions on numbers that may stand for missing values."""

    def pieces() -> Iterator[NDArray[np.float64]]:
        for one in found.series:
            yield from (one.values[part] for part in slices(len(one.values), one.values[:1].nbytes))

    return stand_ins.cautions(found.columns, pieces, "leave these cells empty, and say how to fill them with --missing")


def _origins(source: Path, wholes: list[windows.Part], count: int | None) -> list[windows.Origins]:
    """Those of each part that are used, ``count`` of them in the test part."""
    for name, whole in zip(PARTS, wholes, strict=True):
        if not whole.count:
            raise DataError(
                f"{source}: no window of the {name} part is free of filled values where it has to be (its last step, and the "
                f"{whole.horizon} forecast); give a smaller horizon (--horizon), or more rows"
            )
    most = wholes[2].count
    if count is not None and not 1 <= count <= most:
        raise ArgumentError(f"origins is {count}, and the test part has {most:,}; give 1 to {most:,}")
    train, valid, test = wholes
    return [train.thin(), valid.thin(), test.thin() if count is None else test.spread(count)]


def _cycles(found: Table, wanted: bool, steps: int, facts: list[tuple[str, str]]) -> list[str]:
    """The calendar's cycles that networks see."""
    cycles = calendar.sensible(found.step, steps)
    if wanted and not cycles:
        raise ArgumentError(
            f"{found.source}: the calendar says nothing here: it needs a time column, and a training part of two days, weeks "
            "or years; leave --calendar out"
        )
    if wanted:
        facts.append(("Calendar", f"{', '.join(cycles)} of each step, as sine and cosine"))
    elif cycles:
        facts.append(("Calendar", f"not seen; --calendar lets networks see {_listed(cycles)}"))
    return cycles if wanted else []


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if names[1:] else "") + names[-1]


def _hint(found: Table, cycles: Sequence[str], steps: int) -> str:
    """What a person who has several series in one table, words in it, or a calendar, may not know of."""
    hints = []
    if found.unseen:
        columns = _listed([repr(name) for name in found.unseen])
        hints.append(f"Networks see numbers alone, and not what is in {columns}.")
    if found.anew is not None:
        where, how = "", "name the column that tells them apart with --id"
        if found.apart is not None:
            where, how = f", just where {found.apart!r} changes", f"give --id {shlex.quote(found.apart)}"
        hints.append(
            f"Column {found.anew!r} starts anew among the rows{where}: if they are several series, {how}; to say what each is, "
            "name the one that says so with --label, too."
        )
    unseen = [] if cycles else calendar.sensible(found.step, steps)
    if unseen:
        hints.append(
            f"Networks see no calendar; --calendar shows them {_listed(unseen)}, which helps some series and not others."
        )
    return " ".join(hints)


def _facts(found: Table, known: str | None, window: int, horizon: int) -> list[tuple[str, str]]:
    """What was read, and what is forecast of it."""
    lengths = [len(s.values) for s in found.series]
    series = []
    if len(lengths) > 1:
        names = ", ".join(s.name for s in found.series[:5]) + (", ..." if len(found.series) > 5 else "")
        by = f" by column {found.id!r}" if found.id else ""
        span = f"{min(lengths):,}" if min(lengths) == max(lengths) else f"{min(lengths):,} to {max(lengths):,}"
        series = [("Series", f"{len(lengths):,}{by} ({names}), of {span} steps; one network for all")]
    step = "" if found.step is None else found.step.words
    forecast = ", ".join(found.targets) if found.targets else repr(found.columns[found.target])
    ahead = f", {known} known ahead" if known else ""
    return [
        ("Rows", f"{sum(lengths):,}" + (f", one every {step}" if step else "")),
        *series,
        ("Columns", f"{len(found.columns)} seen, {forecast} forecast{ahead}"),
        ("Forecast", f"{counted(horizon, 'step')} ahead from the last {window}, as quantiles 0.1, 0.5 and 0.9"),
    ]


def _season(season: int, asked: bool) -> str:
    """The season in words, and whose word it is."""
    if asked:
        return f"{season} steps, as asked" if season > 1 else "none, as asked"
    return f"{season} steps, by the training part's spectrum" if season > 1 else "none found"


def _facts_of_parts(
    ends: list[windows.Ends], splits: list[Split], test: windows.Origins, horizon: int
) -> list[tuple[str, str]]:
    """How the series are split, and what is evaluated."""
    several = len(ends) > 1
    counts = ", ".join(f"{len(s):,} {n}" for s, n in zip(splits, ("train", "validation", "test"), strict=True))
    how = f"in time: rows to {ends[0][0]:,}, to {ends[0][1]:,}, to {ends[0][2]:,}"
    apart = test.spacing()
    every = "every step" if apart == 1 else f"every {apart} steps"
    return [
        ("Split", f"{'each series in time' if several else how}; {counts} windows"),
        (
            "Evaluation",
            f"rolling origin: networks are fitted once, and forecast {counted(horizon, 'step')} from "
            f"{counted(len(test), 'origin')} of the test part, one {every}, seeing all that came before",
        ),
        ("Scaling", "mean and deviation of the training part, per column" + (" of each series" if several else "")),
    ]


def _recipe(found: Table, scales: list[scaling.Scaling]) -> dict[str, object]:
    """What prediction needs of the table."""
    each = [{"offset": scale.offset.tolist(), "factor": scale.factor.tolist()} for scale in scales]
    return {
        "kind": "series",
        "columns": found.columns,
        "target": found.columns[found.target],
        "targets": found.targets,
        "id": found.id,
        "time": found.time,
        "scales": {s.name: scale for s, scale in zip(found.series, each, strict=True)},
        **(each[0] if len(each) == 1 else {}),
    }


def _fingerprint(
    found: Table, recipe: dict[str, object], ends: list[windows.Ends], chosen: list[windows.Origins]
) -> str:
    """Of the values, the times and all choices."""
    total = Digest()
    for part in (str(sorted((k, v) for k, v in recipe.items() if k != "scales")), str(ends)):
        total.add(part)
    for series in found.series:
        total.add(series.name)
        total.add_array(series.values)
        if series.times is not None:
            total.add_array(series.times)
    for origins in chosen:
        total.add_array(origins.at)
    return total.hex()

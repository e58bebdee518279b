"""Series over time: forecast the next steps from a window of the past.

A table (:mod:`reading`) becomes series on an even time axis (:mod:`axis`), without gaps (:mod:`gaps`), scaled
(:mod:`scaling`) and cut into windows (:mod:`windows`); networks have to beat the best of some :mod:`baselines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.counted import counted
from pellucid.lab.data import metrics
from pellucid.lab.data.paging import HELD, Space, allowed, last, paged, slices
from pellucid.lab.data.series import baselines, calendar, gaps, scaling, windows
from pellucid.lab.data.series.reading import Series, Table, id_column, read
from pellucid.lab.data.series.seasons import common_season
from pellucid.lab.data.split import FRACTIONS, Digest
from pellucid.lab.task import Metric, Task

__all__ = ["id_column", "load"]

QUANTILES = (0.1, 0.5, 0.9)
PARTS = ("training", "validation", "test")


def load(
    source: Path,
    *,
    target: str | None = None,
    id: str | None = None,
    horizon: int | None = None,
    window: int | None = None,
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
    ahead = _known(found, known)
    facts: list[tuple[str, str]] = []
    found = _without_future(found, ahead, facts)
    found, filled, cautions = _without_gaps(found, missing, split, facts, space)
    at = found.target
    ends = [_ends(source, s, split) for s in found.series]
    step_days = 0.0 if found.step is None else found.step.days()
    trains = [s.values[: e[0], at] for s, e in zip(found.series, ends, strict=True)]
    season = common_season(trains, step_days, space)
    horizon = horizon or min(max(season, 1), 24)
    window = window or max(int(np.clip(2 * season, 16, 96)), horizon if ahead else 0)
    if ahead and window < horizon:
        raise ArgumentError(
            f"the window is {window} steps and the horizon {horizon}, and what is known ahead is seen through the window; "
            f"give --window {horizon} or more"
        )
    found, filled, ends = _long_enough(found, filled, ends, window, horizon, cautions)
    cycles = _cycles(found, calendar, min(e[0] for e in ends), facts)
    scales = [scaling.fit(source, s, e[0], space) for s, e in zip(found.series, ends, strict=True)]
    wholes = [windows.Part(filled, ends, window, horizon, at, part) for part in range(3)]
    chosen = _origins(source, wholes, origins)
    splits = [windows.cut(found.series, scales, c, window, horizon, at, cycles, ahead, space) for c in chosen]
    several = len(found.series) > 1
    pairs = [scale.pair(at) for scale in scales]
    decides, figures = _metrics(found, ends, filled, pairs, season, chosen[2], several, space)
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
    step = "" if found.step is None else found.step.words
    steps = sum(len(s.values) for s in found.series)
    name = found.columns[at]
    title = f"{steps:,} steps of {name!r}" + (f" in {len(found.series):,} series" if several else "")
    if several:
        cautions.append(
            "The series count as independent of each other; where they move together, intervals are too narrow."
        )
    counts = ", ".join(f"{len(s):,} {n}" for s, n in zip(splits, ("train", "validation", "test"), strict=True))
    target_of = ", ".join(found.targets) if found.targets else repr(name)
    facts = [
        ("Rows", f"{steps:,}" + (f", one each {step}" if step else "")),
        *([("Series", _series_fact(found))] if several else []),
        (
            "Columns",
            f"{len(found.columns)} seen, {target_of} forecast" + (f", {known} known ahead" if ahead else ""),
        ),
        ("Forecast", f"{counted(horizon, 'step')} ahead from the last {window}, as quantiles 0.1, 0.5 and 0.9"),
        ("Season", f"{season} steps, by the training part's autocorrelation" if season > 1 else "none found"),
        ("Split", _split_fact(ends, several) + f"; {counts} windows"),
        ("Evaluation", _evaluation_fact(chosen[2], horizon)),
        ("Scaling", "mean and deviation of the training part, per column" + (" of each series" if several else "")),
        *paged(space.paged, 0, "values, times and windows"),
        *facts,
        *tried,
    ]
    recipe: dict[str, object] = {
        "kind": "series",
        "columns": found.columns,
        "target": name,
        "targets": found.targets,
        "id": found.id,
        "time": found.time,
        "known": [found.columns[k] for k in ahead],
        "calendar": cycles,
        "missing": missing,
        "season": season,
        "window": window,
        "horizon": horizon,
        "quantiles": list(QUANTILES),
        "scales": {
            s.name: {"offset": c.offset.tolist(), "factor": c.factor.tolist()}
            for s, c in zip(found.series, scales, strict=True)
        },
    }
    if not several:
        recipe |= {"offset": scales[0].offset.tolist(), "factor": scales[0].factor.tolist()}
    return Task(
        kind="series",
        form="sequence",
        goal="forecast",
        source=source,
        title=f"{title}, {horizon} ahead from {window}",
        fingerprint=_fingerprint(found, recipe, ends, chosen),
        channels=splits[0].x.shape[-1],
        extent=(window,),
        outputs=horizon * len(QUANTILES),
        labels=(name,),
        horizon=horizon,
        scale=((pairs[0][0],), (pairs[0][1],)),
        step=step,
        metric=decides,
        baseline=baseline,
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        facts=tuple(facts),
        cautions=tuple(cautions),
        preprocessing=recipe,
        figures=figures,
        quantiles=QUANTILES,
        block=max(1, -(-2 * horizon // chosen[2].spacing())),
        hint=_hint(found, cycles, min(e[0] for e in ends)),
    )


def _known(found: Table, known: str | None) -> list[int]:
    """The columns that are known ahead."""
    names = [name.strip() for name in (known or "").split(",") if name.strip()]
    for name in names:
        if name not in found.columns:
            raise ArgumentError(
                f"{found.source} has no numeric column {name!r}; its columns are {', '.join(found.columns)}"
            )
        if name == found.columns[found.target]:
            raise ArgumentError(f"{name!r} is what is forecast; a column that is known ahead has to be another one")
    return [found.columns.index(name) for name in names]


def _without_future(found: Table, ahead: list[int], facts: list[tuple[str, str]]) -> Table:
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
    return _replaced(found, series)


def _without_gaps(
    found: Table, how: str | None, split: Sequence[int] | None, facts: list[tuple[str, str]], space: Space
) -> tuple[Table, list[gaps.Mask], list[str]]:
    """The table with gaps filled as asked, and where they were."""
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
    season = _season_across_gaps(found, trimmed, empty, split, space) if how == "seasonal" else 1
    for one, mask in zip(trimmed, empty, strict=True):
        gaps.fill(one.values, mask, how, season)  # type: ignore[arg-type]
    facts.append(("Missing", missing.sentence()))
    sentence = gaps.SENTENCES[how] + (f" of {season} steps" if how == "seasonal" and season > 1 else "")
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
    return _replaced(found, trimmed), empty, cautions


def _season_across_gaps(
    found: Table, series: list[Series], empty: list[gaps.Mask], split: Sequence[int] | None, space: Space
) -> int:
    """The season of the training parts, on straight lines across gaps."""
    counts = [len(one.values) for one in series]
    straight = np.split(space.scratch((sum(counts),)), np.cumsum(counts)[:-1])
    for one, mask, line in zip(series, empty, straight, strict=True):
        line[:] = one.values[:, found.target]
        gaps.fill_column(line, mask[:, found.target], "linear", 1)
    trains = [v[: _ends(found.source, s, split)[0]] for s, v in zip(series, straight, strict=True)]
    return common_season(trains, 0.0 if found.step is None else found.step.days(), space)


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


def _replaced(found: Table, series: list[Series]) -> Table:
    return Table(found.source, found.columns, found.target, series, found.step, found.time, found.id, found.targets)


def _ends(source: Path, series: Series, split: Sequence[int] | None) -> windows.Ends:
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


def _long_enough(
    found: Table, filled: list[gaps.Mask], ends: list[windows.Ends], window: int, horizon: int, cautions: list[str]
) -> tuple[Table, list[gaps.Mask], list[windows.Ends]]:
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
    return _replaced(found, [found.series[k] for k in kept]), [filled[k] for k in kept], [ends[k] for k in kept]


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
    """What a person who has a calendar may not know of."""
    unseen = [] if cycles else calendar.sensible(found.step, steps)
    if not unseen:
        return ""
    return f"Networks see no calendar; --calendar shows them {_listed(unseen)}, which helps some series and not others."


def _metrics(
    found: Table,
    ends: list[windows.Ends],
    filled: list[gaps.Mask],
    pairs: list[tuple[float, float]],
    season: int,
    test: windows.Origins,
    several: bool,
    space: Space,
) -> tuple[Metric, tuple[Metric, ...]]:
    """The mean absolute error, in deviations where series have different ones, and what is reported beside it."""
    middle = QUANTILES.index(0.5)
    which = torch.from_numpy(test.series)
    offset, factor = torch.tensor(pairs, dtype=torch.float64)[which].T
    naive = torch.tensor(
        [
            _naive_error(s.values[: e[0], found.target], m[: e[0], found.target], season, space) / pair[1]
            for s, e, m, pair in zip(found.series, ends, filled, pairs, strict=True)
        ],
        dtype=torch.float64,
    )[which]
    one = 1.0 if several else pairs[0][1]
    unit = "deviations of each series" if several else ""
    figures = [
        metrics.symmetric_percentage_error(offset, factor, middle),
        metrics.mean_quantile_loss(one, unit, QUANTILES),
        metrics.coverage(QUANTILES),
    ]
    if bool((naive > 0).all()):
        figures.insert(0, metrics.mean_absolute_scaled_error(naive, season, middle))
    return metrics.mean_absolute_error((one,), unit, middle), tuple(figures)


def _naive_error(train: NDArray[np.float64], filled: gaps.Mask, season: int, space: Space) -> float:
    """The mean absolute error of the seasonal naive in the training part, one step ahead, over values that were there."""
    back = season if len(train) > season else 1
    errors, count = space.scratch((len(train) - back,)), 0
    for part in slices(len(errors), 8):
        now = slice(part.start + back, part.stop + back)
        own = np.abs(train[now] - train[part])[~(filled[now] | filled[part])]
        errors[count : count + len(own)] = own
        count += len(own)
    return float(errors[:count].mean()) if count else 0.0


def _series_fact(found: Table) -> str:
    lengths = [len(s.values) for s in found.series]
    names = ", ".join(s.name for s in found.series[:5]) + (", ..." if len(found.series) > 5 else "")
    by = f" by column {found.id!r}" if found.id else ""
    span = f"{min(lengths):,}" if min(lengths) == max(lengths) else f"{min(lengths):,} to {max(lengths):,}"
    return f"{len(found.series):,}{by} ({names}), of {span} steps; one network for all"


def _split_fact(ends: list[windows.Ends], several: bool) -> str:
    if several:
        return "each series in time"
    return f"in time: rows to {ends[0][0]:,}, to {ends[0][1]:,}, to {ends[0][2]:,}"


def _evaluation_fact(test: windows.Origins, horizon: int) -> str:
    apart = test.spacing()
    every = "each step" if apart == 1 else f"each {apart} steps"
    return (
        f"rolling origin: networks are fitted once, and forecast {counted(horizon, 'step')} from {counted(len(test), 'origin')} of the test part, "
        f"{every} one, seeing all that came before"
    )


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

"""The runs in a folder: what each is, how two differ, and the removal of one."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pellucid.errors import DataError
from pellucid.lab import sealed
from pellucid.lab.plan import SHARES
from pellucid.lab.recipe import Recipe
from pellucid.lab.recipe import read as read_recipe
from pellucid.lab.results import Candidate, Comparison, Interval, Record
from pellucid.lab.runs import FOLDERS, Config, Run, answers_of
from pellucid.lab.statistics import Bootstrap, Scores
from pellucid.lab.task import ANY, SHARE

DEPTH = 2  # folders below the one that is searched
DAMAGED = "damaged: its config.json is gone or cannot be read; the compare command that made it mends it"


class Entry(Record):
    """A run in the list."""

    folder: str
    data: str  # where it lay
    title: str
    networks: list[str]
    metric: str
    unit: str
    choice: str  # the network to use; "" where the run is not finished
    score: Interval | None  # of the network to use
    simplest: str  # the simplest answer, where the network does not surely beat it; else ""
    created: str  # ISO time; of a run that is not finished, of its last epoch
    bytes: int
    device: str  # "cpu", or what the GPU is called; "" where it is not known
    state: str  # "finished", "3 of 12 trainings begun", or what is wrong with it


class Setting(Record):
    """A setting in which two runs differ."""

    name: str
    first: str
    second: str


class Pair(Record):
    """A network that stands in both runs."""

    network: str
    first: Interval
    second: Interval
    difference: Interval | None  # second minus first on the same test items, in pairs; None where the items differ


class Difference(Record):
    """Two runs side by side."""

    first: Entry
    second: Entry
    settings: list[Setting]
    networks: list[Pair]
    only_first: list[str]
    only_second: list[str]
    metric: str  # "" where the two have different ones, and then there are no pairs
    unit: str
    higher_is_better: bool
    sentence: str  # what may be compared


def entries(folder: str | Path) -> list[Entry]:
    """All runs in a folder and below it, the newest first; one that is damaged is listed with what is wrong with it.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; give one with runs in it")
    try:
        found = {
            path.parent
            for depth in range(DEPTH + 1)
            for name in ("config.json", "units")
            for path in folder.glob("*/" * depth + name)
        }
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
    made = [_entry(place) for place in found]
    return sorted((e for e in made if e is not None), key=lambda e: e.created, reverse=True)


def difference(first: str | Path, second: str | Path) -> Difference:
    """Two finished runs side by side.

    Raises:
        DataError: one is no run, not finished or damaged.
    """
    runs = Run(Path(first)), Run(Path(second))
    configs = [_config(run) for run in runs]
    results = [finished(run.folder) for run in runs]
    settings = [
        Setting(name=name, first=_plain(a), second=_plain(b))
        for name in Config.model_fields
        if (a := getattr(configs[0], name)) != (b := getattr(configs[1], name))
    ]
    one, two = results
    by_name = [{c.name: c for c in found.candidates} for found in results]
    same_metric = (one.metric, one.unit, one.goal) == (two.metric, two.unit, two.goal)
    same_items = same_metric and configs[0].data == configs[1].data
    both = [c for c in one.candidates if c.name in by_name[1]] if same_metric else []
    return Difference(
        first=_summary(runs[0], configs[0]),
        second=_summary(runs[1], configs[1]),
        settings=settings,
        networks=[
            Pair(
                network=c.label,
                first=c.score,
                second=by_name[1][c.name].score,
                difference=_paired(results, c, SHARE if one.unit == "%" else ANY) if same_items else None,
            )
            for c in both
        ],
        only_first=[c.label for c in one.candidates if c not in both],
        only_second=[c.label for c in two.candidates if c.name not in {b.name for b in both}],
        metric=one.metric if same_metric else "",
        unit=one.unit if same_metric else "",
        higher_is_better=one.higher_is_better,
        sentence="The data and its split are the same, so differences are of the same test items, in pairs."
        if same_items
        else "The data or its split is not the same: figures stand side by side, and a difference would say nothing."
        if same_metric
        else f"One run is measured by {one.metric}, the other by {two.metric}: figures cannot be compared.",
    )


def remove(folder: str | Path) -> list[str]:
    """Remove what a run wrote, and its folder if nothing else is in it; return the names of what is left there.

    Raises:
        DataError: the folder is no run, a process is at work in it, or a file cannot be removed.
    """
    folder = Path(folder)
    run = Run(folder)
    if not run.is_run():
        raise _no_run(folder)
    with run.alone():
        try:
            run.clear()
            for place in (*folder.glob("tensorboard/*"), *(folder / name for name in FOLDERS)):
                if place.is_dir() and not any(place.iterdir()):
                    place.rmdir()
            (folder / ".lock").unlink()
            left = sorted(f.name for f in folder.iterdir())
            if not left:
                folder.rmdir()
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be removed ({error.strerror})") from None
    return left


def summary(folder: str | Path) -> Entry:
    """One run.

    Raises:
        DataError: the folder is no run.
    """
    run = Run(Path(folder))
    return _summary(run, _config(run))


def finished(folder: str | Path) -> Comparison:
    """A finished comparison.

    Raises:
        DataError: the folder is no run, the run is not finished, or its result is damaged.
    """
    folder = Path(folder)
    run = Run(folder)
    _config(run)
    found = run.result()
    if found is None:
        raise DataError(f"{folder}: the run is not finished; the same compare command goes on with it")
    found._folder = folder
    return found


def _entry(folder: Path) -> Entry | None:
    """A run; None for a folder whose config.json is somebody else's."""
    run = Run(folder)
    config = _known(run)
    return None if config is None and not run.is_nothing_else() else _summary(run, config)


def _known(run: Run) -> Config | None:
    """What was asked; None where that is gone, damaged or somebody else's."""
    try:
        return run.config()
    except DataError:
        return None


def _config(run: Run) -> Config:
    found = _known(run)
    if found is None:
        raise DataError(f"{run.folder}: {DAMAGED}") if run.is_nothing_else() else _no_run(run.folder)
    return found


def _no_run(folder: Path) -> DataError:
    return DataError(f"{folder}: this is no run; give the folder that pellucid compare wrote")


def _summary(run: Run, config: Config | None) -> Entry:
    files = [f for f in run.folder.rglob("*") if f.is_file()]
    kept: Recipe | None = None
    found: Comparison | None = None
    state = DAMAGED
    if config is not None:
        trained = len(list(run.folder.glob("units/*.safetensors")))
        tuned = config.trials if config.trials > 1 else 0
        each = tuned + config.seeds * (1 + len(SHARES) * config.curve)
        state = f"{trained} of {len(config.candidates) * each} trainings begun"
        try:
            found = run.result()
        except DataError as error:
            state = f"damaged: {error}"
    with suppress(DataError):  # a run that was stopped at once has none yet
        kept = read_recipe(run)
    best = None if found is None else next(c for c in found.candidates if c.name == found.verdict.choice)
    members = found.candidates if found else kept.networks if kept else ()
    return Entry(
        folder=str(run.folder),
        data=found.source if found else kept.source if kept else "",
        title=found.title if found else kept.title if kept else "",
        networks=[m.label for m in members] or (config.candidates if config else []),
        metric=found.metric if found else "",
        unit=found.unit if found else "",
        choice=best.label if best else "",
        score=best.score if best else None,
        simplest=found.baseline.name if found and best and not best.beats_baseline else "",
        created=found.created if found else _last_change(files),
        bytes=sum(f.stat().st_size for f in files),
        device=config.device if config else "",
        state="finished" if found else state,
    )


def _last_change(files: list[Path]) -> str:
    last = max((f.stat().st_mtime for f in files), default=0.0)
    return datetime.fromtimestamp(last, UTC).isoformat(timespec="seconds")


def _paired(results: Sequence[Comparison], candidate: Candidate, bounds: tuple[float, float]) -> Interval | None:
    """Second minus first; None where the tables of predictions are gone or of other items."""
    (items, first), (others, second) = (_scores(found, candidate.name) for found in results)
    folder = results[0].folder
    if not items or items != others or folder is None:
        return None
    return Bootstrap(len(items), read_recipe(Run(folder)).block).difference(second, first, bounds)


def _scores(found: Comparison, name: str) -> tuple[list[str], Scores]:
    """The test items, and the score of each seed on them; nothing where the table is gone."""
    table = answers_of(name)
    assert found.folder is not None
    path = found.folder / table
    by_seed: dict[str, list[float]] = {}
    items: list[str] = []
    try:
        content = path.read_bytes()
    except OSError:
        return [], np.empty((0, 0))
    if table in found.tables and found.tables[table] != sealed.digest(content):
        raise DataError(
            f"{path}: its content is not what was written; remove result.json from the run, and the same compare command writes "
            "both again"
        )
    try:
        for row in csv.DictReader(io.StringIO(content.decode(), newline="")):
            by_seed.setdefault(row["seed"], []).append(float(row["score"]))
            if len(by_seed) == 1:
                items.append(row["item"])
        return items, np.array(list(by_seed.values()), dtype=np.float64)
    except (KeyError, ValueError):
        return [], np.empty((0, 0))


def _plain(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)

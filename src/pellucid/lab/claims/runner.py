"""Measures what is not there yet, and judges.

units/*.json           a unit's result each, written whole or not at all
claims.md              the page; claims/*.svg  its figures
claims/result.json     all findings and all units
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import torch

import pellucid
from pellucid import device
from pellucid.errors import DataError
from pellucid.lab import sealed
from pellucid.lab.claims import judgement, page
from pellucid.lab.claims.claim import Claim, Results, Unit
from pellucid.lab.claims.results import Finding, Measured, Report
from pellucid.lab.crew import dismiss, processes
from pellucid.lab.files import writing
from pellucid.lab.runs import Run


class Watcher:
    """What is told while claims are measured; does nothing by itself."""

    def begun(self, unit: Unit) -> None:
        """A unit is at work."""

    def done(self, unit: Unit, was_there: bool) -> None:
        """A unit's result is there; whether it was before."""


def run(
    claims: Sequence[Claim],
    out: Path,
    *,
    beside: Sequence[Claim] = (),
    known: Report | None = None,
    workers: int = 1,
    on: torch.device = device.CPU,
    command: str = "",
    watcher: Watcher | None = None,
) -> Report:
    """Measure the claims' units, or read what was measured, judge, and write the page, also where it is stopped.

    Each unit runs on one thread, so its result does not depend on how many run at a time; times apart, which claims
    compare inside a unit only.

    Args:
        claims: what is asked.
        out: the folder.
        beside: further claims, which the page shows where all of their units are in the folder; of those with one name the
            first that are.
        known: what another run measured: its units are taken as if they had been measured here.
        workers: processes.
        on: the device; what was measured on another one is not taken for this one's.
        command: by which it was asked.
        watcher: is told of each unit.

    Returns:
        The findings on the claims that were asked.

    Raises:
        DataError: the folder cannot be used or is full, what is known is another release's or device's, or a process ended
            before its unit was done.
    """
    place, watcher = Run(out), watcher or Watcher()
    with place.alone():
        name = device.name(on)
        if known is not None:
            with writing(place.folder):
                _take(known, place, name)
        units = {_key(u, name): u for claim in claims for u in claim.units}
        measured: dict[str, Measured] = {}
        for key in dict.fromkeys([*units, *(_key(u, name) for claim in beside for u in claim.units)]):
            found = _read(place.file("units", f"{key}.json"))
            if found is not None:
                measured[key] = found
                if key in units:
                    watcher.done(units[key], was_there=True)

        rest = {key: unit for key, unit in units.items() if key not in measured}
        try:
            with closing(_measure(rest, workers, on, watcher)) as results:
                for key, result in results:
                    with writing(place.folder):  # not around what is measured, which may lack room elsewhere
                        sealed.save_record(place.file("units", f"{key}.json"), result)
                    measured[key] = result
                    watcher.done(units[key], was_there=False)
        finally:
            whole = _first([*beside, *claims], measured, name)
            if whole:
                with writing(place.folder):
                    page.write_page(_report(whole, measured, name, command), place)
    return _report(claims, measured, name, command)


def read(file: Path) -> Report:
    """The ``result.json`` of a run.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return sealed.load_record(file, Report)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    except sealed.DamagedError:
        raise DataError(f"{file} is not what pellucid claims leaves in claims/result.json") from None


def _take(known: Report, place: Run, device: str) -> None:
    """Units of another run, as files; what was measured here stays."""
    theirs, ours = (known.pellucid, known.torch, known.device), (pellucid.__version__, torch.__version__, device)
    if theirs != ours:
        said = ["Pellucid {}, torch {}, on {}".format(*versions) for versions in (theirs, ours)]
        raise DataError(
            f"what is known was measured by {said[0]}, and this is {said[1]}, which may measure otherwise; "
            "leave --measured out, and it is measured here"
        )
    for unit in known.units:
        file = place.file("units", f"{_key(unit, device)}.json")
        if not file.exists():
            sealed.save_record(file, unit)


def _first(claims: Sequence[Claim], measured: Mapping[str, Measured], device: str) -> list[Claim]:
    """The claims of which everything is measured, of each name the first, in the order in which names come."""
    found: dict[str, Claim] = {}
    for claim in claims:
        if all(_key(u, device) in measured for u in claim.units):
            found.setdefault(claim.name, claim)
    order = list(dict.fromkeys(claim.name for claim in claims))
    return sorted(found.values(), key=lambda claim: order.index(claim.name))


def _report(claims: Sequence[Claim], measured: Mapping[str, Measured], device: str, command: str) -> Report:
    units = {_key(u, device): None for claim in claims for u in claim.units}
    return Report(
        pellucid=pellucid.__version__,
        torch=torch.__version__,
        machine=f"{platform.machine()}, Python {platform.python_version()}",
        device=device,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        findings=[_judge(claim, [measured[_key(u, device)] for u in claim.units]) for claim in claims],
        units=[measured[key] for key in dict.fromkeys([*units, *measured])],
    )


def _judge(claim: Claim, measured: list[Measured]) -> Finding:
    answer = claim.judge(Results(measured))
    came_out = judgement.sentence(answer.parts)
    return Finding(
        name=claim.name,
        family=claim.family,
        claimed=claim.claimed,
        source=claim.source,
        done=claim.done,
        came_out=f"{came_out} {answer.note}".rstrip(),
        verdict=judgement.verdict(answer.parts, claim.on),
        parts=list(answer.parts),
        panels=list(answer.panels),
        seconds=sum(m.seconds for m in measured),
        quick=claim.quick,
        on=max((m.on for m in measured), default=""),
    )


def _key(unit: Unit | Measured, device: str) -> str:
    """A unit's name; another release may measure otherwise, and another device."""
    about = [unit.experiment, unit.settings, pellucid.__version__, torch.__version__]
    whole = json.dumps(about if device == "cpu" else [*about, device], sort_keys=True)
    return f"{unit.experiment}-{hashlib.sha256(whole.encode()).hexdigest()[:16]}"


def _read(file: Path) -> Measured | None:
    """A unit's result, if there is one that can be read."""
    try:
        return sealed.load_record(file, Measured)
    except FileNotFoundError:
        return None
    except (sealed.DamagedError, OSError):
        raise DataError(
            f"{file}: the result cannot be read; remove this file, and the same command measures it again"
        ) from None


def _measure(
    units: dict[str, Unit], workers: int, on: torch.device, watcher: Watcher
) -> Generator[tuple[str, Measured], None, None]:
    """Results as they come, the longest units first."""
    order = sorted(units, key=lambda key: -units[key].cost)
    if workers == 1 or len(order) < 2:
        for key in order:
            watcher.begun(units[key])
            yield key, measure(units[key], on)
        return
    pool, waiting = processes(workers), iter(order)
    at_work: dict[Future[Measured], str] = {}

    def begin(count: int) -> None:
        """No more than there are processes, so that what is begun is at work."""
        for key in islice(waiting, count):
            at_work[pool.submit(measure, units[key], on)] = key
            watcher.begun(units[key])

    try:
        begin(workers)
        while at_work:
            for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                key = at_work.pop(future)
                begin(1)
                yield key, future.result()
    except BrokenProcessPool:
        raise DataError(
            "a process ended before its unit was done (was there too little memory?); the same command goes on from here"
        ) from None
    finally:
        dismiss(pool)


def measure(unit: Unit, on: torch.device = device.CPU) -> Measured:
    """Run a unit, on one thread and that device."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    clock = time.process_time if on.type == "cpu" else time.perf_counter
    started = clock()
    try:
        with device.working(on):
            measures = unit.measure(**unit.settings, on=on)
    finally:
        torch.set_num_threads(threads)
    return Measured(
        experiment=unit.experiment,
        settings=unit.settings,
        measures=measures,
        seconds=clock() - started,
        on=datetime.now(UTC).date().isoformat(),
    )

"""A comparison from a path to its result, with the sentences and bars that a person sees meanwhile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from pellucid.device import choose
from pellucid.errors import ArgumentError
from pellucid.lab import comparison, console, crew, loggers, resume, team
from pellucid.lab import data as reading_
from pellucid.lab.plan import plan
from pellucid.lab.results import Comparison
from pellucid.lab.settings import Asking, Logger, Reading


def run(
    data: Path,
    networks: Sequence[str],
    size: int | None,
    screen: Console,
    asking: Asking,
    reading: Reading,
    *,
    command: str = "",
    out: Path | str | None = None,
    fresh: bool = False,
    threads: int = 1,
    device: str = "auto",
    workers: int = 1,
    ray: str | None = None,
    storage: str | None = None,
    log: Logger | None = None,
) -> tuple[Comparison, Path]:
    """Read, plan, train and judge, or go on with it; the comparison and its folder.

    Args:
        data: a folder or a file.
        networks, size, asking: as in :func:`pellucid.lab.plan.plan`.
        screen: shows what is done.
        reading: as in :func:`pellucid.lab.data.load`.
        command: as it was typed, for the report.
        out, fresh, threads, device, workers, ray, storage, log: see :class:`pellucid.lab.settings.Running`.

    Raises:
        DataError: the data or the run's folder cannot be used.
        ArgumentError: something was asked that cannot be.
    """
    most = os.cpu_count() or 1
    if not 1 <= threads <= most:
        raise ArgumentError(f"threads is {threads}, and this machine has {most} processors; give 1 to {most}")
    on = choose(device)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        screen.print(reading_.recognise(data, **reading).sentence)
        with screen.status("Reading the data") as status:
            task = reading_.load(
                data, progress=lambda i, n, what: status.update(f"Reading {what}: {i:,} of {n:,}"), **reading
            )
        screen.print(task.title)
        if task.hint:
            screen.print(task.hint)
        made = plan(task, list(networks), size=size, on=team.own(on), **asking)
        made, folder = resume.place(made, None if out is None else Path(out), open_=device == "auto", fresh=fresh)
        screen.print(made.sentence())
        hired, busy = crew.hire(workers, ray, made.device)
        logged = crew.Watcher() if log is None or not team.leads() else loggers.open_log(log, folder)
        with console.progress(made, screen, busy) as bars:
            return comparison.compare(
                made,
                out=folder,
                command=command,
                fresh=fresh,
                watcher=crew.Several(bars, logged),
                crew=hired,
                storage=storage,
            )
    finally:
        torch.set_num_threads(before)

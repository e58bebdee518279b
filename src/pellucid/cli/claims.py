"""``pellucid claims``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pellucid.errors import ArgumentError


def claims(
    *names: str,
    quick: bool = False,
    out: Path | None = None,
    data: Path | None = None,
    measured: Path | None = None,
    workers: int | None = None,
    device: str = "auto",
    json: bool = False,
    listed: Annotated[bool, Parameter(name="--list")] = False,
) -> None:
    """Measure what textbooks say of these networks, and say what holds.

    Each claim has data, a figure, effects with 95 % intervals and a verdict by thresholds that were set before. The
    same command goes on where it was stopped; what was measured is not measured again.

    Examples:

        pellucid claims --list

        pellucid claims --quick

        pellucid claims forget-gate clipping --quick

        pellucid claims lstm-data --data recordings/

    Parameters
    ----------
    names
        Claims; all if none is named.
    quick
        Fewer seeds, shorter sequences and shorter training: on two cores five to ten minutes with
        AVX-512, a quarter of an hour without. The full set takes hours.
    out
        Folder for the page, the figures and the units (default: runs/claims). The page shows each claim that is measured there,
        in full or else quickly, and says which.
    data
        Your own data, anything that `pellucid compare` reads without options: adds the claim lstm-data.
    measured
        A claims/result.json, such as this project's docs have: what it holds is taken, and only the rest is measured.
    workers
        Processes, one thread each (default: 2, or 1 where there is one processor).
    device
        Where layers run: cpu, cuda, cuda:1, or auto (an NVIDIA GPU where there is one); each measures for itself.
    json
        Print the findings as JSON on standard output.
    listed
        Name the claims and who makes them, and measure nothing.
    """
    from rich.console import Console

    from pellucid.device import choose
    from pellucid.lab import claims as lab
    from pellucid.lab.claims import terminal
    from pellucid.lab.comparison import command_line

    most = os.cpu_count() or 1
    if workers is not None and not 1 <= workers <= most:
        raise ArgumentError(f"workers is {workers}, and this machine has {most} processors; give 1 to {most}")
    workers = workers or min(2, most)
    on = choose(device)
    asked, others = lab.claims(quick, data), lab.claims(not quick)
    wanted = lab.named(names, asked)
    screen, paper = Console(stderr=True, markup=False), Console(width=None if sys.stdout.isatty() else 80, markup=False)
    if listed:
        paper.print(terminal.listing(wanted))
        return
    place = out or Path("runs") / "claims"
    beside = [*others, *asked] if quick else [*asked, *others]  # the full set first
    try:
        with terminal.progress(wanted, workers, screen) as watcher:
            report = lab.run(
                wanted,
                place,
                beside=beside,
                known=None if measured is None else lab.read(measured),
                workers=workers,
                on=on,
                command=command_line(),
                watcher=watcher,
            )
    except KeyboardInterrupt:
        screen.print("Stopped. The same command goes on from here.")
        sys.exit(130)
    if json:
        print(report.model_dump_json(indent=1, exclude={"units"}))
    else:
        paper.print(terminal.table(report))
    screen.print(f"Page: {place / 'claims.md'}", soft_wrap=True)

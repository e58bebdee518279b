"""``pellucid runs``: the list, ``compare`` and ``remove``."""

from __future__ import annotations

import json as text
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from pellucid.errors import ArgumentError

if TYPE_CHECKING:
    from rich.console import Console

    from pellucid.lab.catalogue import Entry

runs = App(name="runs", help="List the runs in a folder, put two side by side, or remove one.", help_format="markdown")


@runs.default
def show(folder: Path = Path("runs"), /, *, json: bool = False) -> None:
    """List the runs in a folder: data, networks, figure, which to use, when, size, and whether it is finished.

    Examples:

        pellucid runs

        pellucid runs experiments/ --json

    Parameters
    ----------
    folder
        Where to look; folders in it are looked into, too.
    json
        Print the list as JSON on standard output.
    """
    from rich.padding import Padding
    from rich.text import Text

    from pellucid.lab import catalogue
    from pellucid.lab.report import words

    found = catalogue.entries(folder)
    if json:
        print(text.dumps([text.loads(e.model_dump_json()) for e in found], indent=1, ensure_ascii=False))
        return
    if not found:
        print(f"There are no runs in {folder}.")
        return
    screen = _console()
    for e in found:
        use = (
            f"the {e.choice} does not surely beat the simplest answer, {e.simplest}"
            if e.simplest
            else f"use the {e.choice}"
        )
        figure = "" if e.score is None else f"{use}: {e.metric} {words.figure(e.score, e.unit)}"
        about = "; ".join(part for part in (e.title, ", ".join(e.networks)) if part)
        screen.print(Text(e.folder, style="bold"), soft_wrap=True)
        on = "" if e.device in ("", "cpu") else f", on the {e.device}"
        screen.print(
            Padding(f"{about}\n{figure or e.state}; {_when(e)}, {words.size(e.bytes)}{on}", (0, 0, 0, 2), expand=False)
        )


@runs.command
def compare(first: Path, second: Path, /, *, json: bool = False) -> None:
    """Put two finished runs side by side: what was asked differently, and what came of it.

    Where data and split are the same, differences are paired over the test items, with their 95 % interval.

    Parameters
    ----------
    first
        A run's folder.
    second
        Another's; differences are the second minus the first.
    json
        Print it as JSON on standard output.
    """
    from rich.table import Table

    from pellucid.lab import catalogue
    from pellucid.lab.report import words

    found = catalogue.difference(first, second)
    if json:
        print(found.model_dump_json(indent=1))
        return
    screen = _console()
    screen.print(found.sentence)
    settings = Table("asked", "first", "second", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for setting in found.settings:
        settings.add_row(setting.name, _short(setting.first), _short(setting.second))
    if found.settings:
        screen.print()
        screen.print(settings)
    else:
        screen.print("Both were asked the same.")
    if found.networks:
        better = "higher" if found.higher_is_better else "lower"
        unit = f", {found.unit}" if found.unit else ""
        screen.print()
        screen.print(f"{found.metric}{unit} ({better} is better)")
        figures = Table("", "first", "second", "second - first", "95 % interval", box=None, pad_edge=False)
        figures.padding = (0, 2, 0, 0)
        for pair in found.networks:
            apart = pair.difference
            figures.add_row(
                pair.network,
                words.figure(pair.first),
                words.figure(pair.second),
                "" if apart is None else words.figure(apart),
                "" if apart is None else words.span(apart, signed=True),
            )
        screen.print(figures)
    for which, names in (("first", found.only_first), ("second", found.only_second)):
        if names:
            screen.print(f"Only in the {which}: {', '.join(names)}.")


@runs.command
def remove(run: Path, /, *, yes: bool = False, json: bool = False) -> None:
    """Remove a run: what compare wrote into its folder, and nothing else.

    Parameters
    ----------
    run
        The run's folder.
    yes
        Do not ask.
    json
        Print what was removed, and what was left, as JSON on standard output.
    """
    from pellucid.lab import catalogue
    from pellucid.lab.report import words

    about = catalogue.summary(run)
    what = f"{run} ({about.title or 'a run'}; {about.state}; {words.size(about.bytes)})"
    if not yes:
        if not sys.stdin.isatty():
            raise ArgumentError(f"{run}: nobody can be asked here whether to remove it; say --yes")
        if input(f"Remove {what}? [y/N] ").strip().lower() not in ("y", "yes"):
            print("Nothing was removed.")
            return
    left = catalogue.remove(run)
    if json:
        print(text.dumps({"removed": about.model_dump(), "left": left}, indent=1, ensure_ascii=False))
        return
    print(f"Removed {what}.", *([f"Left, since no run wrote it: {', '.join(left)}."] if left else []))


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)


def _when(entry: Entry) -> str:
    return entry.created[:16].replace("T", " ")


def _short(value: str) -> str:
    return value if len(value) <= 40 else value[:12] + "..."

"""From a person's data to an answer: data, task, candidates, training, comparison, report.

All that the command line does::

    found = lab.compare("photos/")                        # pellucid compare photos/
    found = lab.load("runs/photos-1a2b3c4d")              # what it found, later
    found.frame(), found.verdict.sentence                 # a table of it, the answer
    found.predict("new/").frame()                         # pellucid predict
    found.export("lstm", "model.onnx")                    # pellucid export
    lab.catalogue.entries(Path("runs"))                   # pellucid runs; .difference, .remove
    lab.claims.run(lab.claims.claims(quick=True), Path("runs/claims"))   # pellucid claims
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from pellucid.lab.settings import Asking, Running, Settings

if TYPE_CHECKING:
    from pellucid.lab import catalogue, claims
    from pellucid.lab.results import Comparison

__all__ = ["catalogue", "claims", "compare", "load"]


def __getattr__(name: str) -> Any:
    """The modules that are offered are read when they are asked for."""
    if name in ("catalogue", "claims"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def compare(
    data: str | Path,
    networks: str | Sequence[str] = ("cnn", "rnn", "lstm", "gru"),
    *,
    size: int | None = None,
    quiet: bool = False,
    **settings: Unpack[Settings],
) -> Comparison:
    """Train networks side by side on a person's data, and say which to use, at what cost, and how sure that is.

    The same call goes on where it was stopped, and gives its result again once it is done.

    Args:
        data: a folder or a file, as for ``pellucid compare``.
        networks: cnn, rnn, lstm, gru; cnn2, gru2, bigru, cnn+gru; or a cell as ``"my_cell.py:MyCell"``, with ``bi+`` before it
            for both directions and ``:2`` behind it for two layers; a list of them, or a text with commas between.
        size: parameters, or multiply-adds with ``equal="macs"``, of each network (``--params`` and ``--macs``).
        quiet: show nothing meanwhile.
        settings: as the options of ``pellucid compare`` (:mod:`pellucid.lab.settings`): trials, seeds, out, workers, kind,
            target, horizon, window, text, label, ... A script that asks for several workers must begin under
            ``if __name__ == "__main__":``, as always with processes.

    Returns:
        The comparison: figures, costs, verdict and reasons; ``.frame()`` is a table of it, ``.folder`` where its report lies,
        ``.predict`` and ``.export`` use its networks, and a notebook shows it.

    Raises:
        DataError: the data or the run's folder cannot be used.
        ArgumentError: something was asked that cannot be.
    """
    from rich.console import Console

    from pellucid.errors import ArgumentError
    from pellucid.lab import session

    given = cast(dict[str, Any], settings)
    for name in ("params", "macs"):
        if name in given:
            raise ArgumentError(
                f"{name} is called size here, and counts multiply-adds with equal='macs'; give size={given[name]}"
            )
    if isinstance(networks, str):
        networks = [name.strip() for name in networks.split(",") if name.strip()]
    asking = {name: given.pop(name) for name in Asking.__annotations__ if name in given}
    running = {name: given.pop(name) for name in Running.__annotations__ if name in given}
    screen = Console(stderr=True, quiet=quiet, markup=False)
    found, folder = session.run(Path(data), networks, size, screen, cast(Asking, asking), settings, **running)
    found._folder = folder
    return found


def load(folder: str | Path) -> Comparison:
    """A finished comparison, from its folder.

    Raises:
        DataError: the folder is no run, the run is not finished, or its result is damaged.
    """
    from pellucid.lab import catalogue

    return catalogue.finished(Path(folder))

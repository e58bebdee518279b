"""From a person's data to an answer: data, task, candidates, training, comparison, report.

``compare`` does all of it in Python; ``pellucid compare`` is the same from the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from pellucid.lab.settings import Asking, Running, Settings

if TYPE_CHECKING:
    from pellucid.lab.results import Comparison

__all__ = ["compare"]


def compare(
    data: str | Path,
    networks: Sequence[str] = ("cnn", "rnn", "lstm", "gru"),
    *,
    size: int | None = None,
    quiet: bool = False,
    **settings: Unpack[Settings],
) -> Comparison:
    """Train networks side by side on a person's data, and say which to use, at what cost, and how sure that is.

    The same call goes on where it was stopped, and gives its result again once it is done.

    Args:
        data: a folder or a file, as for ``pellucid compare``.
        networks: cnn, rnn, lstm, gru; gru2, bigru, cnn+gru; or a cell as ``"my_cell.py:MyCell"``.
        size: parameters, or multiply-adds with ``equal="macs"``, of each network.
        quiet: show nothing meanwhile.
        settings: as the options of ``pellucid compare`` (:mod:`pellucid.lab.settings`): trials, seeds, out, workers, kind,
            target, horizon, window, text, label, ... A script that asks for several workers must begin under
            ``if __name__ == "__main__":``, as always with processes.

    Returns:
        The comparison: figures, costs, verdict and reasons; ``.frame()`` is a table of it, ``.folder`` where its report lies,
        and a notebook shows it.

    Raises:
        DataError: the data or the run's folder cannot be used.
        ArgumentError: something was asked that cannot be.
    """
    from rich.console import Console

    from pellucid.lab import session

    given = cast(dict[str, Any], settings)
    asking = {name: given.pop(name) for name in Asking.__annotations__ if name in given}
    running = {name: given.pop(name) for name in Running.__annotations__ if name in given}
    screen = Console(stderr=True, quiet=quiet, markup=False)
    found, folder = session.run(Path(data), networks, size, screen, cast(Asking, asking), settings, **running)
    found._folder = folder
    return found

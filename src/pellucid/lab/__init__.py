"""From a person's data to an answer: data, task, candidates, training, comparison, report.

``compare`` does all of it in Python; ``pellucid compare`` is the same from the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pellucid.lab.results import Comparison

__all__ = ["compare"]


def compare(
    data: str | Path,
    networks: Sequence[str] = ("cnn", "rnn", "lstm", "gru"),
    *,
    equal: Literal["params", "macs", "time"] = "params",
    size: int | None = None,
    trials: int = 4,
    seeds: int = 3,
    epochs: int | None = None,
    seconds: float | None = None,
    curve: bool = False,
    rope: float | None = None,
    out: str | Path | None = None,
    fresh: bool = False,
    threads: int = 1,
    device: str = "auto",
    workers: int = 1,
    ray: str | None = None,
    storage: str | None = None,
    log: Literal["tensorboard", "mlflow"] | None = None,
    quiet: bool = False,
    **reading: Any,
) -> Comparison:
    """Train networks side by side on a person's data, and say which to use, at what cost, and how sure that is.

    The same call goes on where it was stopped, and gives its result again once it is done.

    Args:
        data: a folder or a file, as for ``pellucid compare``.
        networks: cnn, rnn, lstm, gru; gru2, bigru, cnn+gru; or a cell as ``"my_cell.py:MyCell"``.
        equal, size, trials, seeds, epochs, seconds, curve, rope: as in :func:`pellucid.lab.plan.plan`.
        out: the run's folder; ``runs/NAME-...`` where None.
        fresh: start anew, even if the run was begun or done.
        threads: of each training, put back at the end.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, or ``"auto"``: an NVIDIA GPU where there is one. A run goes on where it was
            begun.
        workers: trainings at a time, each in a process of its own. A script that asks for several must begin under
            ``if __name__ == "__main__":``, as always with processes.
        ray: the address of a Ray cluster that trains instead.
        storage: of the tuning trials, as in :class:`pellucid.lab.tune.Study`.
        log: what is told every epoch and the final figures, too; TensorBoard's files lie in the run's folder.
        quiet: show no progress.
        reading: options of the data: kind, target, horizon, window, text, label, regress, ...

    Returns:
        The comparison: figures, costs, verdict and reasons; ``.frame()`` is a table of it, ``.folder`` where its report lies,
        and a notebook shows it.

    Raises:
        DataError: the data or the run's folder cannot be used.
        ArgumentError: something was asked that cannot be.
    """
    import torch
    from rich.console import Console

    from pellucid.device import choose
    from pellucid.lab import comparison, console, crew, loggers, resume
    from pellucid.lab import data as data_
    from pellucid.lab.plan import plan

    on = choose(device)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made = plan(
            data_.load(data, **reading),
            list(networks),
            equal=equal,
            size=size,
            trials=trials,
            seeds=seeds,
            epochs=epochs,
            seconds=seconds,
            curve=curve,
            rope=rope,
            on=on,
        )
        made, place = resume.place(made, None if out is None else Path(out), open_=device == "auto", fresh=fresh)
        hired, busy = crew.hire(workers, ray, made.device)
        logged = crew.Watcher() if log is None else loggers.open_log(log, place)
        with console.progress(made, Console(stderr=True, quiet=quiet, markup=False), busy) as bars:
            found, folder = comparison.compare(
                made,
                out=place,
                fresh=fresh,
                watcher=crew.Several(bars, logged),
                crew=hired,
                storage=storage,
            )
    finally:
        torch.set_num_threads(before)
    found._folder = folder
    return found

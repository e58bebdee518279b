"""``pellucid compare``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pellucid.errors import ArgumentError


def compare(
    data: Path,
    /,
    *,
    with_: Annotated[str, Parameter(name="--with")] = "cnn,rnn,lstm,gru",
    equal: Literal["params", "time"] = "params",
    params: int | None = None,
    trials: int = 3,
    seeds: int = 3,
    epochs: int | None = None,
    seconds: float | None = None,
    kind: Literal["images", "series", "text", "characters", "sound"] | None = None,
    target: str | None = None,
    horizon: int | None = None,
    window: int | None = None,
    split: str | None = None,
    text: str | None = None,
    label: str | None = None,
    out: Path | None = None,
    fresh: bool = False,
    threads: int = 1,
    log: Literal["tensorboard", "mlflow"] | None = None,
    json: bool = False,
) -> None:
    """Train networks side by side on your data, and say which to use, at what cost, and how sure that is.

    DATA is a folder of images or of sounds with a folder for each class, a CSV or Parquet table (a series to
    forecast, or texts with labels), or a plain text. What it is taken for is printed first; --kind overrides it. The
    same command goes on where it was stopped, and shows its result again once it is done.

    Examples:

        pellucid compare photos/

        pellucid compare sales.csv --target units --horizon 7 --window 56

        pellucid compare reviews.csv --text review --label stars --with cnn,gru

        pellucid compare data/ --with lstm,my_cell.py:MyCell

    Parameters
    ----------
    data
        Folder or file.
    with_
        Networks, separated by commas: cnn, rnn, lstm, gru, or a cell of your own as my_cell.py:MyCell.
    equal
        What is made equal: the number of parameters (params), or also the seconds of training (time).
    params
        Parameters of each network; chosen by the amount of data if not given.
    trials
        Settings that each network tries before its seeds (1 to 5).
    seeds
        Trainings of each network with its best setting; more seeds, surer figures.
    epochs
        Passes over the training part at most; training stops earlier when validation no longer improves.
    seconds
        Training time of each seed with --equal time.
    kind
        What the data is, where it is not taken for the right thing.
    target
        Series: column to forecast (default: the last).
    horizon
        Series: steps ahead.
    window
        Series: steps of the past that are seen. Plain text: characters.
    split
        Series: rows for train,valid,test, e.g. 8640,2880,2880.
    text
        Texts: their column.
    label
        Texts: the column of labels.
    out
        Folder of the run (default: runs/NAME-...).
    fresh
        Start anew, even if the run was begun or done.
    threads
        Processor threads; part of what a run's figures depend on.
    log
        Tell every epoch and the final figures to TensorBoard (in the run's folder) or MLflow, too.
    json
        Print the result as JSON on standard output.
    """
    import torch
    from rich.console import Console

    from pellucid.lab import comparison, console, loggers, report
    from pellucid.lab import data as reading
    from pellucid.lab.plan import plan
    from pellucid.lab.results import Epoch
    from pellucid.lab.runs import default_folder

    most = os.cpu_count() or 1
    if not 1 <= threads <= most:
        raise ArgumentError(f"threads is {threads}, and this machine has {most} processors; give 1 to {most}")
    torch.set_num_threads(threads)
    screen = Console(stderr=True, markup=False)
    screen.print(reading.recognise(data).sentence if kind is None else f"{data.name} is read as {kind}")
    options = {"target": target, "horizon": horizon, "window": window, "text": text, "label": label}
    rows = None if split is None else _numbers("--split", split)
    with screen.status("Reading the data") as status:
        task = reading.load(
            data,
            kind=kind,
            progress=lambda i, n, what: status.update(f"Reading {what}: {i:,} of {n:,}"),
            **options,
            split=rows,
        )
    screen.print(task.title)
    made = plan(
        task,
        [name.strip() for name in with_.split(",") if name.strip()],
        equal=equal,
        parameters=params,
        trials=trials,
        seeds=seeds,
        epochs=epochs,
        seconds=seconds,
    )
    screen.print(made.sentence())
    out = out or default_folder(task.source, made.config)
    logged = None if log is None else loggers.open_log(log, out)
    try:
        with console.progress(made, screen) as show:

            def tell(name: str, what: str, epoch: Epoch) -> None:
                show(name, what, epoch)
                if logged is not None:
                    logged.tell(name, what, epoch)

            found, folder = comparison.compare(made, out=out, command=comparison.command_line(), fresh=fresh, tell=tell)
            if logged is not None:
                logged.finish(found)
    except KeyboardInterrupt:
        screen.print("Stopped. The same command goes on from here.")
        sys.exit(130)
    if json:
        print(found.model_dump_json(indent=1))
    else:
        terminal = sys.stdout.isatty()
        Console(width=None if terminal else 120, markup=False).print(report.terminal_table(found))
    screen.print(f"Report: {folder / 'report.html'}", soft_wrap=True)


def _numbers(option: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ArgumentError(
            f"{option} is {text!r}; give whole numbers with commas between, such as 8640,2880,2880"
        ) from None

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
    equal: Literal["params", "macs", "time"] = "params",
    params: int | None = None,
    macs: int | None = None,
    trials: int = 4,
    seeds: int = 3,
    epochs: int | None = None,
    seconds: float | None = None,
    curve: bool = False,
    rope: float | None = None,
    kind: Literal["images", "series", "sequences", "text", "characters", "sound", "events"] | None = None,
    target: str | None = None,
    horizon: int | None = None,
    window: int | None = None,
    split: str | None = None,
    id_: Annotated[str | None, Parameter(name="--id")] = None,
    known: str | None = None,
    missing: Literal["linear", "last", "seasonal"] | None = None,
    calendar: bool = False,
    origins: int | None = None,
    text: str | None = None,
    label: str | None = None,
    regress: bool | None = None,
    tokens: Literal["characters", "subwords", "words"] | None = None,
    augment: str | None = None,
    memory: float | None = None,
    out: Path | None = None,
    fresh: bool = False,
    threads: int = 1,
    device: str = "auto",
    workers: int = 1,
    ray: str | None = None,
    storage: str | None = None,
    log: Literal["tensorboard", "mlflow"] | None = None,
    json: bool = False,
) -> None:
    """Train networks side by side on your data, and say which to use, at what cost, and how sure that is.

    DATA is a folder of images (or .npy arrays of them), sounds or tables with a folder for each class, a CSV or Parquet table (series to
    forecast; sequences, texts or images with labels), images or sequences as .npz, sequences as .ts, events such as notes
    as .mat, .npz or a folder of matrices, or a plain text.
    What it is taken for is printed first; --kind overrides it. The same command goes on where it was stopped, and shows
    its result again once it is done. Under torchrun several processes train each network together, each on its share of
    every batch.

    Examples:

        pellucid compare photos/

        pellucid compare sales.csv --target units --horizon 7 --window 56

        pellucid compare shops.csv --id shop --target units --known holiday --missing linear

        pellucid compare JapaneseVowels_TRAIN.ts

        pellucid compare engines.csv --id engine --label remaining_life --regress

        pellucid compare JSB_Chorales.mat

        pellucid compare reviews.csv --text review --label stars --with cnn,gru

        pellucid compare data/ --with lstm,my_cell.py:MyCell

        torchrun --nproc-per-node 2 -m pellucid compare data/

    Parameters
    ----------
    data
        Folder or file.
    with_
        Networks, separated by commas: cnn, rnn, lstm, gru; gru2 (two layers), bigru (both directions), cnn+gru
        (convolutions first), cnn+bigru2; or a cell of your own as my_cell.py:MyCell.
    equal
        What is made equal: the parameters (params), the multiply-adds for one item (macs), or the parameters and the
        seconds of training (time).
    params
        Parameters of each network; chosen by the amount of data if not given.
    macs
        Multiply-adds of each network for one item, with --equal macs.
    trials
        Settings (learning rate, dropout) that each network tries before its seeds; the weaker half stops early.
    seeds
        Trainings of each network with its best setting; more seeds, surer figures.
    epochs
        Passes over the training part at most; training stops earlier when validation no longer improves.
    seconds
        Training time of each seed with --equal time.
    curve
        Train on an eighth, a quarter and a half of the data as well: would more data change the answer?
    rope
        The difference below which networks are as good as one another, in the figure's unit (default: 1 point of a
        percentage, or 1 % of the baseline's figure).
    kind
        What the data is, where it is not taken for the right thing.
    target
        Series: column to forecast (default: the last); several (a,b or all) are a series each, with one network.
    horizon
        Series: steps ahead.
    window
        Series: steps of the past that are seen. Plain text: characters. Events: steps of a training sequence at most.
    split
        Series: rows for train,valid,test, e.g. 8640,2880,2880.
    id_
        Series and sequences in a long table: the column that tells them apart.
    known
        Series: columns known ahead, such as holidays, which networks see over the horizon.
    missing
        Series and sequences: how missing steps and values are filled; they are refused if not given.
    calendar
        Series: let networks see hour, weekday and month, where the step makes them sensible. It helps some series and not
        others, so it is off unless asked for: compare twice.
    origins
        Series: forecasts of the test part that are evaluated, evenly spaced (default: each step, at most 4,000).
    text
        Texts: their column.
    label
        Texts, sequences in a long table, or images in a Parquet table: the column of labels (of numbers, with --regress).
    regress
        Sequences: the labels are numbers to say, and no classes to tell apart (default: so if they are not whole, or if there
        are many different ones).
    tokens
        Texts: what they are cut into (words only where they are classified; default: by the amount of text).
    augment
        Images: auto, none, or how training images are varied: shift, flip, or shift,flip (default: auto, for photographs).
    memory
        All but events: gigabytes of the data to hold in memory; more is paged from a file (default: 1).
    out
        Folder of the run (default: runs/NAME-...).
    fresh
        Start anew, even if the run was begun or done.
    threads
        Processor threads of each training; part of what a run's figures depend on.
    device
        Where networks are trained and asked: cpu, cuda, cuda:1, or auto (an NVIDIA GPU where there is one). Part of what a
        run's figures depend on; a run goes on where it was begun.
    workers
        Trainings at a time, each in a process of its own; the figures stay the same.
    ray
        Address of a Ray cluster that trains instead (its nodes must see the data and the run's folder).
    storage
        Keep the tuning trials in an Optuna journal (a file ending in .journal) or a database (postgresql://..., with
        pip install 'pellucid[postgresql]'), too.
    log
        Tell every epoch and the final figures to TensorBoard (in the run's folder) or MLflow, too.
    json
        Print the result as JSON on standard output.
    """
    import torch
    from rich.console import Console

    from pellucid.device import choose
    from pellucid.lab import comparison, console, loggers, report, resume, team
    from pellucid.lab import data as reading
    from pellucid.lab.crew import Several, Watcher, hire
    from pellucid.lab.plan import plan

    most = os.cpu_count() or 1
    if not 1 <= threads <= most:
        raise ArgumentError(f"threads is {threads}, and this machine has {most} processors; give 1 to {most}")
    torch.set_num_threads(threads)
    on = choose(device)
    team.join()
    screen = Console(stderr=True, markup=False, quiet=not team.leads())
    screen.print(reading.recognise(data).sentence if kind is None else f"{data.name} is read as {kind}")
    options: dict[str, object] = {"target": target, "horizon": horizon, "window": window, "text": text, "label": label}
    options |= {"id": id_, "known": known, "missing": missing, "calendar": calendar or None, "origins": origins}
    options |= {"tokens": tokens, "augment": augment, "memory": memory, "regress": regress}
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
    if task.hint:
        screen.print(task.hint)
    if params is not None and equal == "macs":
        raise ArgumentError(f"with --equal macs the size is given by --macs, and --params is {params}; leave one out")
    if macs is not None and equal != "macs":
        raise ArgumentError(f"macs is {macs}, and counts only with --equal macs; add that, or leave it out")
    made = plan(
        task,
        [name.strip() for name in with_.split(",") if name.strip()],
        equal=equal,
        size=macs if equal == "macs" else params,
        trials=trials,
        seeds=seeds,
        epochs=epochs,
        seconds=seconds,
        curve=curve,
        rope=rope,
        on=team.own(on),
    )
    made, out = resume.place(made, out, open_=device == "auto", fresh=fresh)
    screen.print(made.sentence())
    hired, busy = hire(workers, ray, made.device)
    logged = Watcher() if log is None or not team.leads() else loggers.open_log(log, out)
    try:
        with console.progress(made, screen, busy) as bars:
            found, folder = comparison.compare(
                made,
                out=out,
                command=comparison.command_line(),
                fresh=fresh,
                watcher=Several(bars, logged),
                crew=hired,
                storage=storage,
            )
    except KeyboardInterrupt:
        screen.print("Stopped. The same command goes on from here.")
        sys.exit(130)
    if not team.leads():
        return
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

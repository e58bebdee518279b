"""The command line: ``pellucid compare``, ``size``, ``sample``, ``cell``, ``doctor``. Heavy imports wait inside the commands."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from pellucid.errors import ArgumentError, PellucidError

try:
    from cyclopts import App, CycloptsError, Parameter
except ImportError:  # the light install has the layers only
    print(
        "pellucid: the command line comes with the lab; install it with: pip install 'pellucid[lab]'", file=sys.stderr
    )
    sys.exit(2)

app = App(
    name="pellucid",
    help="The classic deep networks, open: compare a CNN, an RNN, an LSTM and a GRU on your own data.",
    help_format="plaintext",
)


@app.command
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
    json
        Print the result as JSON on standard output.
    """
    import torch
    from rich.console import Console

    from pellucid.lab import compare as comparing
    from pellucid.lab import console, report
    from pellucid.lab import data as reading

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
    made = comparing.plan(
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
    try:
        with console.progress(made, screen) as tell:
            found, folder = comparing.compare(made, out=out, command=comparing.command_line(), fresh=fresh, tell=tell)
    except KeyboardInterrupt:
        screen.print("Stopped. The same command goes on from here.")
        sys.exit(130)
    if json:
        print(found.model_dump_json(indent=1))
    else:
        terminal = sys.stdout.isatty()
        Console(width=None if terminal else 120, markup=False).print(report.terminal_table(found))
    screen.print(f"Report: {folder / 'report.html'}", soft_wrap=True)


@app.command
def size(stack: str, /) -> None:
    """Print the sizes, costs and receptive field of a stack of layers, each formula filled in with its numbers.

    Examples:

        pellucid size "28x28x1 | conv 5 16 p2 | pool 2 | conv 3 32 s2 same | flatten | linear 10"

        pellucid size "100x12 | lstm 64 bidirectional last | linear 3"

    The input is HxWxC, TxI or N. Layers: conv K FILTERS (s2 stride, p2 or p1:2 padding, d2 dilation, g4 groups, same,
    same_lower, valid, causal, nobias), tconv, pool K, avgpool K, gpool, flatten, linear N, rnn H, gru H, lstm H
    (bidirectional, layers2, proj32, nobias, last), batchnorm, dropout, relu, tanh, sigmoid, gelu, softmax.

    Parameters
    ----------
    stack
        The layers, between bars.
    """
    from pellucid.geometry import parse

    print(parse(stack).table())


@app.command
def sample(name: str, folder: Path, /) -> None:
    """Write real data to try things on, in the form in which you would bring your own.

    Parameters
    ----------
    name
        digits (1,797 handwritten digits, UCI) or co2 (monthly CO2 at Mauna Loa, NOAA; needs statsmodels).
    folder
        Where to write it.
    """
    from pellucid.lab.samples import write_sample

    try:
        print(f"{write_sample(name, folder)} in {folder}")
    except OSError as error:
        raise ArgumentError(f"{folder}: cannot be written to ({error.strerror}); give another folder") from error


@app.command
def cell(name: str, /, *, inputs: int = 64, hidden: int = 64, latex: bool = False, drawing: Path | None = None) -> None:
    """Show a recurrent cell: its program, its derivative's, and what it costs.

    Examples:

        pellucid cell gru

        pellucid cell lstm --drawing lstm.svg

        pellucid cell my_cell.py:MyCell --latex

    Parameters
    ----------
    name
        rnn, lstm, gru, ctrnn, slstm, or a cell of your own as my_cell.py:MyCell.
    inputs
        Input size that the counts are for.
    hidden
        Hidden size that the counts are for.
    latex
        Print the equations as LaTeX instead.
    drawing
        Write the structure drawing to this SVG file, too.
    """
    from pellucid import cells
    from pellucid.lab.candidates import load_cell

    built_in = {"rnn": cells.RNN, "lstm": cells.LSTM, "gru": cells.GRU, "ctrnn": cells.CTRNN, "slstm": cells.SLSTM}
    if ":" not in name and name.lower() not in built_in:
        raise ArgumentError(f"there is no cell {name!r}; choose from {', '.join(built_in)}, or give my_cell.py:MyCell")
    if inputs < 1 or hidden < 1:
        raise ArgumentError(f"inputs is {inputs} and hidden is {hidden}; both must be 1 or more")
    shown = load_cell(name) if ":" in name else built_in[name.lower()]()
    if drawing is not None:
        try:
            drawing.write_text(shown.diagram(), encoding="utf-8")
        except OSError as error:
            raise ArgumentError(
                f"--drawing {drawing}: cannot be written ({error.strerror}); give a file in a folder that exists"
            ) from error
    if latex:
        print(shown.latex())
        return
    count, work = shown.parameters_count(inputs, hidden), shown.macs(inputs, hidden)
    print(f"{shown.name}: {count:,} parameters, {work:,} multiply-adds a step (inputs {inputs}, hidden {hidden})")
    print("\nforward\n" + shown.derivative().forward.text())
    print("\nbackward\n" + shown.derivative().backward.text())


@app.command
def doctor(*, shape: str | None = None, json: bool = False) -> None:
    """Say which path, instruction set and number of threads are in use here, and why; and check the engine's numbers.

    The check runs a small LSTM and a small GRU forward and backward, and compares them with their equations and with
    torch.nn. If it fails, the exit code is 1.

    Examples:

        pellucid doctor

        pellucid doctor --shape "28x28x1 | conv 3 16 p1 | relu | pool 2"

    Parameters
    ----------
    shape
        Say instead what computes the convolutions of this chain of layers, written as for `pellucid size`, and why.
    json
        Print the same as JSON.
    """
    if shape is not None:
        from pellucid.doctor_shape import decide, told

        print(told(decide(shape), as_json=json))
        return
    from pellucid.doctor import examine

    report = examine()
    print(report.json() if json else report.text())
    if not report.well:
        sys.stdout.flush()
        sys.exit(1)


def main() -> None:
    """Run a command; a mistake is one sentence on standard error and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode still gets its table
    try:
        app(exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except (PellucidError, CycloptsError) as error:
        print(f"pellucid: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _numbers(option: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ArgumentError(
            f"{option} is {text!r}; give whole numbers with commas between, such as 8640,2880,2880"
        ) from None

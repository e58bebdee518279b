"""``pellucid compare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pellucid.errors import ArgumentError
from pellucid.lab.settings import Asking, Reading, Running

Flat = Parameter(name="*")  # its fields are options of the command


def compare(
    data: Path,
    /,
    *,
    with_: Annotated[str, Parameter(name="--with")] = "cnn,rnn,lstm,gru",
    params: int | None = None,
    macs: int | None = None,
    asking: Annotated[Asking | None, Flat] = None,
    reading: Annotated[Reading | None, Flat] = None,
    running: Annotated[Running | None, Flat] = None,
    json: bool = False,
) -> None:
    """Train networks side by side on your data, and say which to use, at what cost, and how sure that is.

    DATA is a folder of images (or .npy arrays of them), sounds or tables with a folder for each class, a CSV or Parquet table (series to
    forecast; sequences, texts or images with labels, also with a column for each pixel), images or sequences as .npz, sequences
    as .ts, events such as notes as .mat, .npz or a folder of matrices, or a plain text. The arrays of an .npz are called images
    and labels; values, labels and, where sequences are of unequal length, lengths; X and y for either; X_train, y_train, X_test
    and y_test for a split that is given; or events.
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
        Networks, separated by commas: cnn, rnn, lstm, gru; gru2 (two layers, up to 9), bigru (both directions), cnn+gru
        (convolutions first), cnn+bigru2; cnn2 (two convolutions; their number follows from the data if not given); or a cell of
        your own as my_cell.py:MyCell, bi+my_cell.py:MyCell, my_cell.py:MyCell:2 (two layers), cnn+my_cell.py:MyCell.
    params
        Parameters of each network; chosen by the amount of data if not given.
    macs
        Multiply-adds of each network for one item, with --equal macs.
    json
        Print the result as JSON on standard output.
    """
    from rich.console import Console

    from pellucid.lab import comparison, report, session, team

    asking = asking or {}
    equal = asking.get("equal")
    if params is not None and equal == "macs":
        raise ArgumentError(f"with --equal macs the size is given by --macs, and --params is {params}; leave one out")
    if macs is not None and equal != "macs":
        raise ArgumentError(f"macs is {macs}, and counts only with --equal macs; add that, or leave it out")
    team.join()
    screen = Console(stderr=True, markup=False, quiet=not team.leads())
    networks = [name.strip() for name in with_.split(",") if name.strip()]
    size = macs if equal == "macs" else params
    try:
        found, folder = session.run(
            data,
            networks,
            size,
            screen,
            asking,
            reading or {},
            command=comparison.command_line(),
            **(running or {}),
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

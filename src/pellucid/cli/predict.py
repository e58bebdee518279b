"""``pellucid predict``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pellucid.errors import ArgumentError

if TYPE_CHECKING:
    from rich.table import Table

    from pellucid.lab.predict import Answers


def predict(
    run: Path,
    data: Path | None = None,
    /,
    *,
    network: str | None = None,
    seed: int | None = None,
    text: str | None = None,
    prompt: str | None = None,
    length: int = 200,
    cell: str | None = None,
    device: str = "auto",
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Answer new data with a network that a comparison trained.

    RUN is the folder that compare wrote; DATA is of the same kind as the data compared on: a table whose last rows are
    known (the answer is what comes next, for each of its series), images or sounds or folders of them, images in a
    Parquet table or an NPZ archive, sequences as they were in training, a table of texts, or a text to go on from. It is
    prepared as in training; classes need not be there. Classes and labels come with the probability of each (of events
    those that hold at the step after the last), and forecasts with a low and a high quantile.

    Examples:

        pellucid predict runs/photos-1a2b3c4d new/ --out answers.csv

        pellucid predict runs/sales-1a2b3c4d sales-to-date.csv --network lstm --json

        pellucid predict runs/book-1a2b3c4d --prompt "Once upon a time" --length 500

    Parameters
    ----------
    run
        Folder of the run.
    data
        New data.
    network
        Who answers, by its name in the comparison: cnn, gru2, a cell of your own (default: the one that the comparison named).
    seed
        Which of the network's trainings answers (default: all, averaged).
    text
        Texts: their column, where it is called otherwise than in training.
    prompt
        Plain text: what to go on from.
    length
        Plain text: characters to write.
    cell
        Where a cell of your own stands now, as my_cell.py:MyCell, if its file was moved.
    device
        Who computes: cpu, cuda, cuda:1, or auto (an NVIDIA GPU where there is one), whichever trained.
    out
        Write the answers to this CSV file.
    json
        Print the answers as JSON on standard output.
    """
    from rich.console import Console

    from pellucid.lab.files import write
    from pellucid.lab.predict import predict as answer

    answers = answer(
        run, data, network=network, seed=seed, column=text, prompt=prompt, length=length, cell=cell, device=device
    )
    screen = Console(stderr=True, markup=False)
    for note in answers.notes:
        screen.print(note)
    if out is not None:
        try:
            write(out, answers.csv())
        except OSError as error:
            raise ArgumentError(
                f"--out {out}: cannot be written ({error.strerror}); give a file in a folder that exists and has room"
            ) from None
    if json:
        print(answers.json())
    elif out is not None:
        screen.print(f"{len(answers.rows):,} answers in {out}", soft_wrap=True)
    elif answers.goal == "next":
        print("".join(map(str, answers.rows[0])))
    elif sys.stdout.isatty():
        Console(markup=False).print(_table(answers))
    else:
        print(answers.csv(), end="")


def _table(answers: Answers) -> Table:
    """For reading: of classes the answer and its probability, of several labels those that hold; others as they are."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    if answers.goal == "class":
        for heading in ("item", "answer", "probability"):
            table.add_column(heading, overflow="fold", justify="right" if heading == "probability" else "left")
        for item, answer, *shares in answers.rows:
            table.add_row(str(item), str(answer), f"{100 * max(map(float, shares)):.1f} %")
        return table
    if answers.goal in ("labels", "next labels"):
        for heading in answers.columns[:2]:
            table.add_column(heading, overflow="fold")
        for item, answer, *_ in answers.rows:
            table.add_row(str(item), str(answer))
        return table
    for heading in answers.columns:
        table.add_column(heading, overflow="fold", justify="left" if heading == "time" else "right")
    for row in answers.rows:
        table.add_row(*(f"{v:.6g}" if isinstance(v, float) else str(v) for v in row))
    return table

"""The command line, a file for each command. Heavy imports wait inside the commands."""

from __future__ import annotations

import io
import os
import sys

from pellucid.errors import PellucidError

try:
    from cyclopts import App, CycloptsError
except ImportError:  # the light install has the layers only
    print(
        "pellucid: the command line comes with the lab; install it with: pip install 'pellucid[lab]'", file=sys.stderr
    )
    sys.exit(2)

from pellucid.cli.cell import cell
from pellucid.cli.claims import claims
from pellucid.cli.compare import compare
from pellucid.cli.doctor import doctor
from pellucid.cli.export import export
from pellucid.cli.predict import predict
from pellucid.cli.runs import runs
from pellucid.cli.sample import sample
from pellucid.cli.see import see
from pellucid.cli.size import size

app = App(
    name="pellucid",
    help="The classic deep networks, open: compare a CNN, an RNN, an LSTM and a GRU on your own data.",
    help_format="markdown",
)
for command in (compare, see, predict, export, runs, claims, size, sample, cell, doctor):
    app.command(command)


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

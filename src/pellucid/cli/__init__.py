"""The command line, a file for each command. Heavy imports wait inside the commands."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import NoReturn

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
from pellucid.cli.streams import UnwritableError, standard

app = App(
    name="pellucid",
    help="The classic deep networks, open: compare a CNN, an RNN, an LSTM and a GRU on your own data.",
    help_format="markdown",
)
for command in (compare, see, predict, export, runs, claims, size, sample, cell, doctor):
    app.command(command)


def main() -> None:
    """Run a command; a mistake, or what the system refuses, is one sentence on standard error and exit code 2."""
    with standard():
        try:
            try:
                app(exit_on_error=False, print_error=False)
            finally:
                sys.stdout.flush()
        except UnwritableError as error:
            if error.left:  # whoever read has read enough
                sys.exit(0)
            _end(str(error))
        except (PellucidError, CycloptsError) as error:
            _end(str(error))
        except OSError as error:  # of a file that no command expected to be refused
            file = f"{error.filename}: " if error.filename else ""
            _end(f"{file}{error.strerror or error}; mend that, and give the same command again")
        except KeyboardInterrupt:
            sys.exit(130)


def _end(sentence: str) -> NoReturn:
    with suppress(UnwritableError):
        print(f"pellucid: {sentence}", file=sys.stderr)
    sys.exit(2)

"""The promise: where standard output takes no more, that is a sentence and exit code 2, whichever command was writing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid import cli
from tests.lab import finished

FULL = Path("/dev/full")
COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "help": lambda _: ["compare", "--help"],
    "size": lambda _: ["size", "28x28x1 | conv 3 16 p1 | pool 2"],
    "cell": lambda _: ["cell", "gru"],
    "doctor": lambda _: ["doctor", "--json"],
    "sample": lambda place: ["sample", "digits", str(place)],
    "claims list": lambda _: ["claims", "--list"],
    "claims": lambda place: ["claims", "gru-parameters", "--quick", "--json", "--out", str(place)],
    "see": lambda _: ["see", "--no-browser", "--json"],
    "compare": lambda _: ["compare", *again(), "--json"],
    "predict": lambda _: ["predict", str(run().folder), str(run().source)],
    "runs": lambda _: ["runs", str(run().source.parent)],
    "export": lambda place: ["export", str(run().folder), "rnn", "--to", str(place / "m.onnx")],
}


def run() -> finished.Finished:
    return finished.run("images", ("rnn",))


def again() -> list[str]:
    """What asks for a finished run once more, which is not computed again."""
    options = ["--trials", "1", "--seeds", "2", "--epochs", "2", "--params", "1500", "--device", "cpu"]
    return [str(run().source), "--with", "rnn", *options, "--out", str(run().folder)]


def pellucid(arguments: list[str], redirected: str) -> subprocess.CompletedProcess[str]:
    """As a shell runs it."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "pellucid", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a file that is always full")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_behind_standard_output_is_a_sentence(command: str, tmp_path: Path) -> None:
    told = pellucid(COMMANDS[command](tmp_path), f"> {FULL}")
    assert told.stderr.splitlines()[-1] == (
        "pellucid: standard output cannot be written to (No space left on device); send it where there is room"
    )
    assert told.returncode == 2
    assert "Traceback" not in told.stderr
    assert "Exception ignored" not in told.stderr


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a file that is always full")
def test_where_nothing_can_be_told_the_exit_code_tells_it() -> None:
    for redirected in (f"2> {FULL}", "2>&-"):
        told = pellucid(["cell", "gruu"], redirected)
        assert (told.returncode, told.stdout, told.stderr) == (2, "", "")


@pytest.mark.parametrize("command", ["cell", "claims list"])
def test_who_closes_standard_output_does_not_want_it(command: str, tmp_path: Path) -> None:
    told = pellucid(COMMANDS[command](tmp_path), ">&-")
    assert told.returncode == 0, told.stderr
    assert "pellucid:" not in told.stderr


@pytest.mark.parametrize("command", ["cell", "claims list"])
def test_who_has_read_enough_is_not_told_more(command: str, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        told = subprocess.run(
            [sys.executable, "-m", "pellucid", *COMMANDS[command](tmp_path)],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert (told.returncode, told.stderr) == (0, "")


def test_a_file_that_the_system_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever command did not expect it."""

    def refused(**_: object) -> None:
        print("so far")
        raise PermissionError(13, "Permission denied", "notes.csv")

    monkeypatch.setattr(cli, "app", refused)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == "so far\n"
    assert shown.err == "pellucid: notes.csv: Permission denied; mend that, and give the same command again\n"

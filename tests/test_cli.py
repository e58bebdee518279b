"""The promise: help that teaches, one sentence and exit code 2 for a mistake, never a traceback."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import docstring_parser
import pytest

from pellucid import cli
from pellucid.lab.settings import Asking, Reading, Running
from tests.lab import tasks


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pellucid", *arguments], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "nowhere"], "there is no such file"),
        (["compare", "--nonsense"], "nonsense"),
        (["compare", ".", "--trials", "x"], "x"),
        (["sample", "cats", "x"], "there are digits, co2"),
        (["cell", "gruu"], "there is no cell"),
    ],
)
def test_a_mistake_is_a_sentence(arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_help_teaches() -> None:
    result = run("compare", "--help")
    assert result.returncode == 0
    assert "pellucid compare sales.csv" in result.stdout
    assert "--horizon" in result.stdout


def test_json_on_standard_output_alone(tmp_path: Path) -> None:
    folder = tasks.write_images(tmp_path / "images")
    result = run(
        "compare",
        str(folder),
        "--with",
        "rnn",
        "--trials",
        "1",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--out",
        str(tmp_path / "r"),
        "--json",
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["candidates"][0]["name"] == "rnn"
    assert "\x1b[" not in result.stderr


def test_a_cell_shows_its_programs() -> None:
    result = run("cell", "gru")
    assert "24,960 parameters" in result.stdout
    assert "transposedproduct" in result.stdout


def test_a_cells_latex_and_drawing(tmp_path: Path) -> None:
    result = run("cell", "lstm", "--latex", "--drawing", str(tmp_path / "lstm.svg"))
    assert result.stdout.startswith("\\begin{align}")
    assert (tmp_path / "lstm.svg").read_text(encoding="utf-8").startswith("<svg ")
    result = run("cell", "lstm", "--drawing", str(tmp_path / "nowhere" / "lstm.svg"))
    assert (result.returncode, result.stdout) == (2, "")
    assert "give a file in a folder that exists" in result.stderr


def test_without_the_lab_one_sentence_says_what_to_install() -> None:
    code = "import sys; sys.modules['cyclopts'] = None; import pellucid.cli"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    assert result.stderr.strip().endswith("pip install 'pellucid[lab]'")
    assert "Traceback" not in result.stderr


def test_the_layers_need_torch_and_numpy_alone() -> None:
    code = (
        "import sys, pellucid, torch; pellucid.nn.LSTM(2, 3)(torch.ones(4, 1, 2));"
        "lab = {'cyclopts', 'rich', 'pydantic', 'polars', 'PIL', 'soundfile', 'sklearn', 'jinja2', 'safetensors'};"
        "print(sorted(lab & {name.partition('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize(
    "command",
    [cli.compare, cli.see, cli.predict, cli.export, cli.claims, cli.size, cli.sample, cli.cell, cli.doctor],
    ids=lambda command: command.__name__,
)
def test_every_argument_is_explained(command: Callable[..., None]) -> None:
    """As the help reads docstrings: of each argument something is said, and of none that is not there."""
    said = {p.arg_name: p.description for p in docstring_parser.parse(inspect.getdoc(command) or "").params}
    wanted = set(inspect.signature(command).parameters) - {"asking", "reading", "running"}
    assert set(said) == wanted
    assert all(said.values())


@pytest.mark.parametrize("settings", [Asking, Reading, Running])
def test_every_setting_is_an_option_with_its_help(settings: type) -> None:
    said = {p.arg_name: p.description for p in docstring_parser.parse(inspect.getdoc(settings) or "").params}
    assert set(said) == set(settings.__annotations__)
    shown = run("compare", "--help").stdout
    assert all(f"--{name} " in shown for name in settings.__annotations__)

"""The promise: without a compiler, without the engine or with a wrong one, a sentence says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MISSING = "import sys; sys.modules['pellucid._native'] = None;"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, env=os.environ | environment
    )


@pytest.mark.skipif(shutil.which("cmake") is None, reason="there is no cmake")
def test_without_a_compiler_a_sentence(tmp_path: Path) -> None:
    result = subprocess.run(
        ["cmake", "-S", os.fspath(ROOT), "-B", os.fspath(tmp_path), "-DPELLUCID_SELF_TEST=ON"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"CXX": "no-such-compiler"},
    )
    said = " ".join(result.stderr.split())
    assert result.returncode != 0
    assert "Pellucid needs a C++20 compiler to install from source, and 'no-such-compiler' does not work as one" in said
    assert "apt install g++" in said
    assert said.count("CMake Error") == 1


@pytest.mark.parametrize("use", ["from pellucid import nn", "import pellucid; pellucid.nn", "import pellucid.explain"])
def test_an_engine_that_is_not_built_is_an_import_error_with_the_remedy(use: str) -> None:
    result = run("-c", f"{MISSING}\ntry: {use}\nexcept ImportError as error: print(error)")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Pellucid's native engine is not built for this Python 3.")
    assert "pip install ." in result.stdout
    assert result.stdout.count("\n") == 1


def test_other_names_are_still_unknown() -> None:
    result = run("-c", f"{MISSING} import pellucid; print(hasattr(pellucid, 'lstm'), pellucid.cells.GRU().name)")
    assert result.stdout == "False GRU\n", result.stderr


@pytest.mark.parametrize("arguments", [["doctor"], ["doctor", "--json"], ["compare", "."]])
def test_a_wrong_instruction_set_is_a_sentence_of_the_command(arguments: list[str]) -> None:
    result = run("-m", "pellucid", *arguments, PELLUCID_ISA="nonsense")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("pellucid: PELLUCID_ISA is set, but the instruction set 'nonsense'")
    assert "baseline; give one of these, or unset it for the best" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_engine_is_a_sentence_of_the_command() -> None:
    result = run("-c", f"{MISSING} sys.argv = ['pellucid', 'doctor']; from pellucid.cli import main; main()")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("pellucid: Pellucid's native engine is not built")
    assert result.stderr.count("\n") == 1


def test_sizes_need_no_engine() -> None:
    result = run("-m", "pellucid", "size", "8x8x1 | conv 3 2", PELLUCID_ISA="nonsense")
    assert result.returncode == 0, result.stderr
    assert "6 x 6 x 2" in result.stdout

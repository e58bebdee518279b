"""The promise: without a compiler, a sentence says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


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

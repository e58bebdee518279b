"""Every Python example in the README and the guide runs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import pellucid
from pellucid.errors import CellError

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # What a reader would have at hand: a ragged batch of three sequences, and where episodes start in it.
    names: dict[str, Any] = {"torch": torch, "x": torch.randn(31, 3, 32), "episode_starts": torch.rand(31, 3) < 0.1}
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)):
        file = tmp_path / f"block_{number}.py"
        file.write_text(block)
        exec(compile(block, os.fspath(file), "exec"), names)
    without = (
        "claims.md",
        "ground.md",
        "log.md",
        "speed.md",
        "speed-convolution.md",
        "speed-gpu.md",
    )  # pages that have no examples
    assert page.name in without or names.keys() > {"torch", "x", "episode_starts", "__builtins__"}


def test_the_guides_error_is_what_a_mistake_gives() -> None:
    guide = (ROOT / "docs" / "cells.md").read_text(encoding="utf-8")
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "class RateNetwork" in b]
    names: dict[str, Any] = {}
    declaration = block.partition("units = 20")[0].replace("U = abs(self.U)", "U = abs(self.W)")
    exec(compile(declaration, "guide", "exec"), names)
    with pytest.raises(CellError) as caught:
        names["RateNetwork"](torch.ones(2, 2), [1.0, 1.0]).graph()
    message = str(caught.value)
    quoted = re.search(r"names the cell, the line and the remedy:\n\n```\n(.*?)```", guide, re.DOTALL)
    assert quoted
    shown = " ".join(quoted[1].split())
    assert message == re.sub(r" \(`U = abs.*?`\)", "", shown)  # the file is not there to quote the line from


def test_the_guides_drawing_is_the_cells() -> None:
    assert (ROOT / "docs" / "lstm.svg").read_text(encoding="utf-8") == pellucid.cells.LSTM().diagram()

"""Ways of sharing a kernel's work out, in place of the choice by estimated time; and what a machine must have for a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from pellucid.ops import recurrence as ops
from pellucid.ops.cuda import layout
from pellucid.ops.cuda.choose import shared_out
from pellucid.ops.cuda.generate import Kernel, Spec, generate
from pellucid.ops.lowering import Lowered
from tests.ops.cells_under_test import CELLS

GPU = pytest.mark.skipif(
    not (torch.cuda.is_available() and ops.available(torch.device("cuda"))),
    reason="needs an NVIDIA GPU of compute capability 9.0 and the cuda-bindings package",
)
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here")
WAYS = {"block": ("block", 1), "cluster": ("cluster", 2), "wide cluster": ("cluster", 4), "grid": ("grid", 3)}


def sharing(*how: Any) -> Callable[..., Kernel]:
    """The choice of this way: kind, team, tile, warps."""

    def choose(lowered: Lowered, spec: Spec, sizes: tuple[int, ...], batch: int, device: torch.device) -> Kernel:
        return generate(lowered, shared_out(lowered, spec, sizes, *how), spec)

    return choose


def share_out(monkeypatch: pytest.MonkeyPatch, name: str, *how: Any) -> list[Kernel]:
    """Let a cell's kernels be made anew and shared out in this way; all that are made, in a list that grows."""
    monkeypatch.delitem(CELLS[name].__dict__, "_derivatives", raising=False)
    made: list[Kernel] = []
    choose = sharing(*how)

    def noted(*arguments: Any) -> Kernel:
        made.append(choose(*arguments))
        return made[-1]

    monkeypatch.setattr(layout, "choose", noted)
    return made

"""Kernels without a GPU."""

from __future__ import annotations

import pytest

from pellucid.ops import recurrence as ops
from pellucid.ops.cuda import layout
from tests.ops.cuda import emulated


@pytest.fixture
def on_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels run on the processor, and nothing else may take the work."""
    monkeypatch.setattr(layout.kernels, "run", emulated.run)
    monkeypatch.setattr(ops, "available", lambda _: True)
    monkeypatch.setattr(ops, "engine_takes", lambda _: False)

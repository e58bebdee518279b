"""Mistakes written into a cell's declaration, to show that a comparison notices them."""

import inspect
import textwrap
from typing import Any

import pytest

import pellucid.cells
from pellucid.ops import library


def plant(monkeypatch: pytest.MonkeyPatch, name: str, method: str, right: str, wrong: str) -> None:
    """Rewrite a piece of ``step`` or ``__init__`` of a built-in cell for the length of a test."""
    cell = getattr(pellucid.cells, name)
    function = getattr(cell, method)
    source = textwrap.dedent(inspect.getsource(function))
    assert right in source, f"{name}.{method} no longer reads {right!r}: plant the mistake in its new words"
    planted: dict[str, Any] = {}
    exec(source.replace(right, wrong), function.__globals__, planted)
    monkeypatch.setattr(cell, method, planted[method])
    # Cells made while the mistake stands are not to be found by graphs of later tests.
    monkeypatch.setattr(library, "_cells", dict(library._cells))

"""A while on another of the engine's builds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pellucid import _native


@contextmanager
def on(isa: str) -> Iterator[None]:
    """What is computed meanwhile is by the build for that instruction set, and the one chosen before comes back."""
    chosen = _native.instruction_set()
    _native.choose(isa)
    try:
        yield
    finally:
        _native.choose(chosen)

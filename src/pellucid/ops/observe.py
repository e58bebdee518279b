"""The seam between layers and :func:`pellucid.trace`: a layer tells what it saw, if anyone is looking.

Nothing is computed for a trace: a layer hands over tensors that the forward pass made anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

Observer = Callable[[nn.Module, str, Tensor, str], None]

_observer: ContextVar[Observer | None] = ContextVar("pellucid_observer", default=None)


def active() -> bool:
    """Whether anyone is looking."""
    return not torch.compiler.is_compiling() and _observer.get() is not None


def seen(module: nn.Module, name: str, value: Tensor, axes: str) -> None:
    """Hand over a tensor: the layer, the value's name inside it, and its axes such as ``"B C H W"``."""
    observer = _observer.get()
    if observer is not None:
        observer(module, name, value, axes)


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Let the observer see every layer that runs inside the block."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)

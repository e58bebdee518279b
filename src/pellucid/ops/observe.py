"""The seam between layers and :func:`pellucid.trace`: a layer tells what it saw, if anyone is looking.

Nothing is computed for a trace: a layer hands over tensors that the forward pass made anyway, and a way to ask, after
``backward()``, for the gradient that reached them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

import torch
from torch import Tensor, nn

Gradient: TypeAlias = Callable[[], Tensor | None]
Observer: TypeAlias = Callable[[nn.Module, str, Tensor, str, Gradient | None], None]

_observer: ContextVar[Observer | None] = ContextVar("pellucid_observer", default=None)


def active() -> bool:
    """Whether anyone is looking."""
    return not torch.compiler.is_compiling() and _observer.get() is not None


def seen(module: nn.Module, name: str, value: Tensor, axes: str, gradient: Gradient | None = None) -> None:
    """Hand over a tensor.

    Args:
        module: the layer.
        name: the value's name inside it.
        value: the tensor.
        axes: what its axes are, such as ``"B C H W"``.
        gradient: gives the gradient that reached the value, once there is one; None where the tensor itself is part
            of torch's graph and a hook on it will tell.
    """
    observer = _observer.get()
    if observer is not None:
        observer(module, name, value, axes, gradient)


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Let the observer see every layer that runs inside the block."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)

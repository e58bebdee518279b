"""The seam between layers and :func:`pellucid.trace`: a layer tells what it saw, if anyone is looking.

Nothing is computed for a trace: a layer hands over tensors that the forward pass made anyway, and a way to ask, after
``backward()``, for the gradient that reached them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Gradient:
    """The gradient that reaches a value in a backward pass.

    Attributes:
        came: gives it; None before it came.
        forget: as if it had not come.
    """

    came: Callable[[], Tensor | None]
    forget: Callable[[], object]


Observer: TypeAlias = Callable[[nn.Module, str, Tensor, str, Gradient | None], None]


@runtime_checkable
class Shows(Protocol):
    """A layer that hands over more than its output."""

    @property
    def shown_names(self) -> tuple[str, ...]:
        """The names of all that it may hand over."""
        ...


@dataclass(frozen=True)
class Watch:
    """Whoever is looking.

    Attributes:
        tell: is told what a layer hands over.
        looks_at: whether anything of a layer is wanted.
        wants: whether the value of this name of a layer is.
        wants_gradient: whether the gradient that reaches it is, too.
    """

    tell: Observer
    looks_at: Callable[[nn.Module], bool]
    wants: Callable[[nn.Module, str], bool]
    wants_gradient: Callable[[nn.Module, str], bool]


_open: tuple[Watch, ...] = ()  # of whatever thread: a model is looked at, and torch's hooks know no threads either
_changing = Lock()


def active(module: nn.Module) -> bool:
    """Whether anyone is looking at this layer."""
    if torch.compiler.is_compiling() or not _open:
        return False
    return any(watch.looks_at(module) for watch in _open)


def wants(module: nn.Module, name: str) -> bool:
    """Whether whoever is looking wants this value, so that what costs something is handed over only then."""
    if torch.compiler.is_compiling() or not _open:
        return False
    return any(watch.wants(module, name) for watch in _open)


def wants_gradient(module: nn.Module, name: str) -> bool:
    """Whether whoever is looking wants the gradient that reaches this value."""
    return any(watch.wants_gradient(module, name) for watch in _open)


def seen(module: nn.Module, name: str, value: Tensor, axes: str, gradient: Gradient | None = None) -> None:
    """Hand over a tensor.

    Args:
        module: the layer.
        name: the value's name inside it.
        value: the tensor.
        axes: what its axes are, such as ``"B C H W"``.
        gradient: that will reach the value; None where the tensor itself is part of torch's graph and a hook on it will tell.
    """
    for watch in _open:
        if watch.wants(module, name):
            watch.tell(module, name, value, axes, gradient)


@contextmanager
def observing(watch: Watch) -> Iterator[None]:
    """Let someone see every layer that runs inside the block, beside all who look already."""
    global _open
    with _changing:
        _open = (*_open, watch)
    try:
        yield
    finally:
        with _changing:
            _open = tuple(other for other in _open if other is not watch)

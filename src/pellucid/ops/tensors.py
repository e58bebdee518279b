"""The tensors that the engine of convolution and pooling takes, and how it reads and makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from pellucid.ops.transforms import watched

MaybeTensor = TypeVar("MaybeTensor", Tensor, Tensor | None)

NUMBERS = (torch.float32, torch.float64, torch.bfloat16)
"""The number types that the engine takes; bfloat16 is widened to float32 on the way in, and its results rounded once."""

_KINDS = (Tensor, torch.nn.Parameter)  # what derives from a tensor has operations of its own


def engine_takes(*tensors: Tensor | None) -> bool:
    """Whether the native engine takes these tensors, here and now.

    Not under autocast, where torch chooses the number types, and not where something looks at torch's operations as they
    run (``make_fx``, a count of operations): the engine's are none.
    """
    first = tensors[0]
    if not isinstance(first, Tensor) or first.dtype not in NUMBERS or first.numel() == 0 or watched():
        return False
    for t in tensors:
        if t is None:
            continue
        if type(t) not in _KINDS or t.dtype is not first.dtype or not t.is_cpu or t.layout is not torch.strided:
            return False
    return True


def trains(*tensors: Tensor | None) -> bool:
    """Whether autograd will ask for the gradient of any of them."""
    if not torch.is_grad_enabled():
        return False
    return any(t is not None and t.requires_grad for t in tensors)


def plain(t: Tensor) -> Tensor:
    """As the engine reads it."""
    if t.is_neg():
        t = t.resolve_neg()
    return t.float() if t.dtype is torch.bfloat16 else t


def narrow(t: MaybeTensor, dtype: torch.dtype) -> MaybeTensor:
    """Of the number type of what was given."""
    return t if t is None or t.dtype is dtype else t.to(dtype)


def place_type(wide: Tensor) -> torch.dtype:
    """The engine's places are as wide as its numbers."""
    return torch.int64 if wide.dtype == torch.float64 else torch.int32


def memory_format(input: Tensor) -> torch.memory_format:
    """torch's layers give channels-last out for channels-last in."""
    if input.is_contiguous():
        return torch.contiguous_format
    for dims, form in ((4, torch.channels_last), (5, torch.channels_last_3d)):
        if input.dim() == dims and input.is_contiguous(memory_format=form):
            return form
    return torch.contiguous_format


def maps_like(input: Tensor, channels: int, sizes: Sequence[int]) -> Tensor:
    """Room for ``(B, channels, *sizes)``, of the input's number type and memory format."""
    form = memory_format(input)
    if form is torch.contiguous_format:
        return input.new_empty(
            input.shape[0], channels, *sizes
        )  # spelled out: torch reads a tuple of sizes more slowly
    return torch.empty((input.shape[0], channels, *sizes), dtype=input.dtype, device=input.device, memory_format=form)

"""The tensors that the engine of convolution and pooling takes, and how it reads and makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from pellucid.ops.transforms import watched, watched_in_graph, wrapped

MaybeTensor = TypeVar("MaybeTensor", Tensor, Tensor | None)

NUMBERS = (torch.float32, torch.float64, torch.bfloat16)
"""The number types that the engine takes; bfloat16 is widened to float32 on the way in, and its results rounded once."""

KINDS = (Tensor, torch.nn.Parameter)
"""The types that have torch's operations; what derives from a tensor has operations of its own."""


def engine_takes(*tensors: Tensor | None) -> bool:
    """Whether the native engine takes these tensors, here and now.

    Not under autocast, where torch chooses the number types, and not where something looks at torch's operations as they
    run (``make_fx``, a count of operations): the engine's are none.
    """
    first = tensors[0]
    if not isinstance(first, Tensor) or first.dtype not in NUMBERS or first.numel() == 0:
        return False
    graph = torch.compiler.is_compiling()
    if watched_in_graph() if graph else watched():
        return False
    dtype = first.dtype
    for t in tensors:
        if t is None:
            continue
        if type(t) not in KINDS or t.dtype is not dtype or not t.is_cpu or t.layout is not torch.strided:
            return False
        if not graph and not in_memory(t):
            return False
    return True


def in_memory(t: Tensor) -> bool:
    """Whether a tensor's numbers are what lies in its memory: not their negatives, and not another tensor's.

    The latter is what a transform leaves behind: a wrapper around a tensor.
    """
    return not t.is_neg() and not wrapped(t)


def trains(*tensors: Tensor | None) -> bool:
    """Whether autograd will ask for the gradient of any of them."""
    if not torch.is_grad_enabled():
        return False
    return any([t is not None and t.requires_grad for t in tensors])  # a list: a generator costs as much as its answers


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


def maps_like(input: Tensor, sizes: Sequence[int]) -> Tensor:
    """Room for ``(B, O, *outputs)``, of the input's number type and memory format."""
    if input.is_contiguous():
        return input.new_empty(*sizes)  # spelled out: torch reads a tuple of sizes more slowly
    return torch.empty(sizes, dtype=input.dtype, device=input.device, memory_format=memory_format(input))

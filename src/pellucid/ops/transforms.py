"""What torch does with operations besides running them: the engine runs, and cannot be looked into by torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad


def in_graph() -> bool:
    """Whether operations become nodes of a graph, tensors are shapes without numbers, or a dispatch mode counts or notes operations."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return True
    return torch._C._len_torch_dispatch_stack() > 0


def beyond_programs(tensors: Sequence[Tensor]) -> bool:
    """Whether a transform is at work that only plain PyTorch operations can follow."""
    if torch._C._are_functorch_transforms_active():
        return True
    if forward_ad._current_level < 0:
        return False
    return any(forward_ad.unpack_dual(t).tangent is not None for t in tensors)  # type: ignore[no-untyped-call]


def wrapped(tensor: Tensor | None) -> bool:
    """Whether a tensor is what a transform wraps around others, such as the gradients of a batch of outputs at once."""
    functorch = torch._C._functorch
    if tensor is None:
        return False
    return functorch.is_functorch_wrapped_tensor(tensor) or functorch.is_legacy_batchedtensor(tensor)


def transformed() -> bool:
    """Whether torch looks at operations instead of running them: compiles, exports, traces, or differentiates forward."""
    return in_graph() or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def watched() -> bool:
    """Whether anything but autograd looks at operations as they run, or gives them other number types.

    Transforms, forward mode, autocast, tracing, export, and dispatch modes (``make_fx``, a count of operations). Not
    ``torch.compile``, whose graphs can hold an operator of Pellucid's: see :func:`watched_in_graph`.
    """
    return (
        torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch.is_autocast_enabled("cpu")
        or torch._C._is_tracing()
        or torch._C._len_torch_dispatch_stack() > 0
    )


def watched_in_graph() -> bool:
    """The same while ``torch.compile`` or an export makes a graph."""
    return (
        torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch.is_autocast_enabled("cpu")
        or torch.compiler.is_exporting()
    )

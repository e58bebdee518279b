"""What a forward pass saved for its backward pass, where somebody changed its results in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

MaybeTensor = TypeVar("MaybeTensor", Tensor, Tensor | None)


def saved_by(ctx: Any, given: int) -> tuple[Tensor, ...]:
    """All that was saved; or the first ``given`` of it, from which the rest is to be made again, where results are no longer what they were.

    torch refuses a backward pass whose saved tensors were changed in place, as by ``y += x`` behind a layer. Of a layer's own
    results that need not be: its forward pass can be repeated.

    Raises:
        RuntimeError: what the forward pass was given was changed, or the graph is gone, as torch says.
    """
    try:
        return ctx.saved_tensors  # type: ignore[no-any-return]
    except RuntimeError:
        return tuple([saved.unpack() for saved in ctx._raw_saved_tensors[:given]])


def to_save(results: Sequence[Tensor], kept: Sequence[MaybeTensor]) -> Sequence[MaybeTensor]:
    """What is kept, some of which may be results: these, where a hook has its way with saved tensors, as copies.

    torch does not find out there whether they were changed, and a checkpoint takes what comes behind a layer with it.
    """
    if torch._C._autograd._top_saved_tensors_default_hooks(True) is None:
        return kept
    copies = {id(result): result.clone() for result in results if any(result is t for t in kept)}
    return [t if t is None else copies.get(id(t), t) for t in kept]

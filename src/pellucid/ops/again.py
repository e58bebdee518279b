"""A layer's call after another like it: the checks of a small block's sizes take longer than the block.

The engine looks at every tensor that it is given before it reads or writes a number: where it lies, its number type, its
shape, its strides. So where options and input are those of the layer's last call, and nothing looks at operations as they
run, the block is simply tried with what that call settled. What the engine refuses, such as a weight of other sizes, is looked
at anew by the checks that have words for it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pellucid.ops.block import Shape
from pellucid.ops.tensors import KINDS
from pellucid.ops.transforms import watched


class LastCall:
    """A layer's last call that the engine computed; a copy of the layer begins without one."""

    __slots__ = ("_settled",)

    def __init__(self) -> None:
        """Before the first call."""
        self._settled: tuple[Any, Shape | None] = None, None  # together: threads may share a layer

    def __reduce__(self) -> tuple[type[LastCall], tuple[()]]:
        """Engines are not pickled."""
        return type(self), ()

    def keep(self, options: Any, shape: Shape, input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
        """Note what was settled for these options, unless the engine reads the tensors otherwise than as they lie."""
        if torch.compiler.is_compiling() or input.dtype is torch.bfloat16:
            return
        if input.is_contiguous() and weight.is_contiguous() and (bias is None or bias.is_contiguous()):
            self._settled = (options, input.shape, input.dtype), shape

    def like(self, options: Any, input: Tensor, weight: Tensor, bias: Tensor | None) -> Shape | None:
        """What was settled, if this call is like the last one as far as the engine itself does not see it; None otherwise."""
        if torch.compiler.is_compiling():
            return None
        known, shape = self._settled
        if shape is None or not (_own(input) and _own(weight) and (bias is None or _own(bias))):
            return None
        if known != (options, input.shape, input.dtype) or not input.is_contiguous() or watched():
            return None
        return shape


def _own(t: Tensor) -> bool:
    """Whether its operations are torch's own, and its numbers what lies in its memory."""
    return type(t) in KINDS and not t.is_neg()

"""The input projection of a recurrent layer: one large product for all time steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F

from pellucid import _native


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + b, as ``torch.nn.functional.linear``; on the native engine where it has the number type.

    Args:
        x: (T, B, I).
        weight: (rows, I).
        bias: (rows,), or None.

    Returns:
        (T, B, rows), differentiable as often as one likes.
    """
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or not _plain(x, weight):
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias)  # type: ignore[no-any-return,no-untyped-call]


def _plain(x: Tensor, weight: Tensor) -> bool:
    """Whether these are tensors with memory behind them and no transform at work on them."""
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return False
    return type(x) is Tensor and isinstance(weight, Tensor) and x.layout == torch.strided


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """One product; the rows start from the bias."""
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        y = x.new_empty(*x.shape[:-1], weight.shape[0])
        start = None if bias is None else bias.detach().contiguous()
        _native.multiply(_rows(x), weight.detach().mT, _rows(y), False, start, torch.get_num_threads())
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Two products and a sum; torch's own where they are to be differentiated again."""
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        if torch.is_grad_enabled():
            flat = gradient.flatten(0, -2)
            dx = gradient @ weight if wants_x else None
            dw = flat.mT @ x.flatten(0, -2) if wants_weight else None
        else:
            threads, flat = torch.get_num_threads(), _rows(gradient)
            dx = dw = None
            if wants_x:
                dx = torch.empty_like(x, memory_format=torch.contiguous_format)
                _native.multiply(flat, weight.detach(), _rows(dx), False, None, threads)
            if wants_weight:
                dw = torch.empty_like(weight, memory_format=torch.contiguous_format)
                _native.multiply(flat.mT, _rows(x), dw, False, None, threads)
        return dx, dw, flat.sum(0) if ctx.has_bias and wants_bias else None


def _rows(x: Tensor) -> Tensor:
    """As a matrix whose rows are contiguous."""
    flat = x.detach().flatten(0, -2)
    return flat if flat.stride(-1) == 1 else flat.contiguous()

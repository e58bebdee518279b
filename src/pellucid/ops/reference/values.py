"""What the primitive operations mean in PyTorch, for a single value and for the equations of a cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pellucid.cells.language import Operand, Value

Number = Tensor | float


def _softplus(v: Tensor) -> Tensor:
    return torch.logaddexp(v, torch.zeros_like(v))


def _as_tensor(a: Number, like: Number) -> Tensor:
    return a if isinstance(a, Tensor) else torch.full_like(like, a)  # type: ignore[arg-type]


def _select(condition: Tensor, a: Number, b: Number) -> Tensor:
    return torch.where(condition.bool(), a, b)


def _number(condition: Tensor, a: Number, b: Number) -> Tensor:
    """1 where a condition holds and 0 elsewhere, with which equations compute on."""
    return condition.to(a.dtype if isinstance(a, Tensor) else b.dtype)  # type: ignore[union-attr]


POINTWISE: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "abs": abs,
    "sign": torch.sign,
    "maximum": lambda a, b: torch.maximum(_as_tensor(a, b), _as_tensor(b, a)),
    "minimum": lambda a, b: torch.minimum(_as_tensor(a, b), _as_tensor(b, a)),
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "softplus": _softplus,
    "erf": torch.erf,
    "sin": torch.sin,
    "cos": torch.cos,
    "select": _select,
    "greater": lambda a, b: _number(a > b, a, b),
    "greater_equal": lambda a, b: _number(a >= b, a, b),
}


def product(matrix: Tensor, v: Tensor, heads: int = 1) -> Tensor:
    """matrix @ v for each sequence: (B, columns) to (B, rows); heads: from (rows, columns/heads)."""
    if heads == 1:
        return torch.nn.functional.linear(v, matrix)
    rows, columns = matrix.shape
    by_head = v.reshape(v.shape[0], heads, columns)
    return torch.einsum("bhc,hrc->bhr", by_head, matrix.reshape(heads, rows // heads, columns)).flatten(-2)


class TensorValue(Value):
    """A value that holds a tensor: (B, size) where it varies, (size,) or (rows, columns) where it does not."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def apply(self, op: str, *operands: Operand) -> Value:
        """Compute at once, in plain PyTorch."""
        tensors = [v.tensor if isinstance(v, TensorValue) else v for v in operands]
        if op == "product":
            matrix, v = tensors
            return TensorValue(product(matrix, v, operands[0].heads))  # type: ignore[arg-type,union-attr]
        if op == "mean":
            return TensorValue(tensors[0].mean(-1, keepdim=True))  # type: ignore[union-attr]
        return TensorValue(POINTWISE[op](*tensors)).inherit(operands)

"""Pictures of tensors for the page: one byte a number with the range beside it, never the numbers of all."""

from __future__ import annotations

import math
from base64 import b64encode
from typing import Any

import torch
from torch import Tensor

DIGITS = 6  # of a number on its way to the page, which shows fewer


def tile(values: Tensor, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    """A tensor of finite numbers as bytes: 0 is ``low`` and 255 is ``high``.

    Args:
        values: any shape.
        low, high: the range; the values' own where None.

    Returns:
        ``{"shape", "low", "high", "bytes"}``, bytes in base64 and in row-major order.
    """
    values = values.detach().float().nan_to_num()
    if low is None:
        low = float(values.min()) if values.numel() else 0.0
    if high is None:
        high = float(values.max()) if values.numel() else 1.0
    scaled = (values - low) * (255 / (high - low if high > low else 1.0))
    data = scaled.round().clamp(0, 255).to(torch.uint8).contiguous().cpu().numpy().tobytes()
    return {"shape": list(values.shape), "low": low, "high": high, "bytes": b64encode(data).decode()}


def around_zero(values: Tensor) -> dict[str, Any]:
    """A tile whose middle is zero."""
    most = float(values.detach().abs().max()) if values.numel() else 0.0
    return tile(values, -most or -1.0, most or 1.0)


def numbers(values: Tensor) -> list[Any]:
    """The numbers themselves, as nested lists; for few of them."""
    return values.detach().double().tolist()


def rounded(number: float) -> float | None:
    """A number as JSON can hold it."""
    return float(f"{number:.{DIGITS}g}") if math.isfinite(number) else None


def short(values: Tensor, digits: int = DIGITS) -> list[Any]:
    """The numbers to so many significant digits, as nested lists: what a page shows and a stored page holds."""
    return [_rounded(value, digits) for value in values.detach().double().tolist()]


def _rounded(values: Any, digits: int) -> Any:
    if isinstance(values, list):
        return [_rounded(value, digits) for value in values]
    value = float(f"{values:.{digits}g}")
    return int(value) if value.is_integer() else value

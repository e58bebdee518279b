"""Which number types recurrent layers compute in, and give, under ``torch.autocast``."""

from __future__ import annotations

import torch
from torch import Tensor


def types(weight: Tensor, before: torch.dtype, *, narrowed: bool) -> tuple[torch.dtype, torch.dtype | None]:
    """The type of outputs and states, and autocast's own; None where it does not act.

    On a GPU everything is in autocast's type, as in torch's layers there. On the processor outputs have the type that torch's
    layers give there: autocast's where that is said, and else the one that holds it and the states before the first step, too,
    since every step adds to the states.

    Args:
        weight: one of the layer's.
        before: of the states before the first step.
        narrowed: whether outputs have autocast's type whatever the states had.
    """
    device = weight.device.type
    if device not in ("cpu", "cuda") or weight.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return weight.dtype, None
    lower = torch.get_autocast_dtype(device)
    if device == "cuda" or narrowed:
        return lower, lower
    return torch.promote_types(lower, before), lower

"""Augmentation: training images that are shifted or mirrored a little, anew in every epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import ArgumentError
from pellucid.lab import team
from pellucid.lab.counted import counted
from pellucid.lab.data.paging import Array

SMALL = 16  # pixels of the shorter side below which a shift is no small change
SEEN = 200  # images that decide whether they are photographs


@dataclass(frozen=True)
class Augmentation:
    """Shifts each image of a batch, and mirrors half of them.

    Args:
        shift: pixels that an image moves at most, each way; its border is repeated.
        flip: whether left and right are exchanged in half of the images.
    """

    shift: int
    flip: bool

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same; draws from torch's global generator."""
        B, _, H, W = x.shape
        if self.flip:
            x = torch.where(team.drawn(lambda items: torch.rand(items, 1, 1, 1), B) < 0.5, x.flip(3), x)
        if self.shift:
            wide = F.pad(x, (self.shift,) * 4, mode="replicate")
            moves = team.drawn(lambda items: torch.randint(0, 2 * self.shift + 1, (2, items, 1)).movedim(1, 0), B)
            down, right = moves.unbind(1)
            rows, columns = down + torch.arange(H), right + torch.arange(W)
            x = wide[torch.arange(B)[:, None, None], :, rows[:, :, None], columns[:, None, :]].movedim(3, 1)
        return x.contiguous()


def choose(wanted: str, images: Array) -> tuple[Augmentation | None, str]:
    """What is asked, or what fits the images, and why.

    Args:
        wanted: ``"auto"``, ``"none"``, or ``"shift"`` and ``"flip"`` with a comma between.
        images: (N, C, H, W), some of the training part, not yet scaled.

    Raises:
        ArgumentError: something else is wanted.
    """
    shift = max(1, min(images.shape[2:]) // 8)
    asked = [part.strip() for part in wanted.split(",")]
    if wanted == "none":
        return None, "none, as asked"
    if wanted != "auto":
        if strange := [part for part in asked if part not in ("shift", "flip")]:
            raise ArgumentError(f"augment is {strange[0]!r}; give auto, none, shift, flip, or shift,flip")
        chosen = Augmentation(shift if "shift" in asked else 0, "flip" in asked)
        return chosen, f"{_said(chosen)}, as asked"
    shorter, between = min(images.shape[2:]), middle_tones(images)
    if shorter < SMALL:
        return None, f"none: in images {shorter} pixels high or wide a shift changes much"
    if between < 0.5:
        return None, (
            f"none: {1 - between:.0%} of the pixels are near black or white, as in writing or drawings, where mirroring and "
            "place may mean something; --augment shift,flip has it"
        )
    chosen = Augmentation(shift, True)
    return chosen, (
        f"{_said(chosen)}: {between:.0%} of the pixels are middle tones, as in photographs; if left and right mean "
        "something, say --augment shift"
    )


def middle_tones(images: Array) -> float:
    """The share of values that are no nearer to the darkest or the lightest than a tenth of the way between them."""
    low, high = float(images.min()), float(images.max())
    near = 0.1 * (high - low)
    return float(np.mean((images > low + near) & (images < high - near)))


def _said(chosen: Augmentation) -> str:
    shifted = f"shifted by up to {counted(chosen.shift, 'pixel')}"
    return " and ".join([shifted] * bool(chosen.shift) + ["mirrored half of the time"] * chosen.flip)

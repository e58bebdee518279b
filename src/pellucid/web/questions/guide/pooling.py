"""Max and average pooling of a small image, as it is and disturbed."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

import pellucid.nn as layers
from pellucid.web.opened import Opened
from pellucid.web.questions.guide.pictures import WHITE, picture
from pellucid.web.questions.question import Answer, Question
from pellucid.web.questions.tiles import short

SEED = (
    3  # of the pixels that are disturbed: a draw that shows in 2 x 2 windows what docs/claims.md finds over many digits
)


class Pooling(Question):
    """An image pooled both ways.

    Attributes:
        image: see :func:`~pellucid.web.questions.guide.pictures.picture`.
        window: its side, and the stride.
        noise: ``"dark"`` and ``"bright"`` change a tenth of the pixels, ``"normal"`` all (with a deviation of a fifth of the
            range), ``"shift"`` moves the image one pixel to the right.
    """

    image: str
    window: int = Field(ge=2, le=4)
    noise: Literal["none", "dark", "bright", "normal", "shift"]

    def answer(self, opened: Opened) -> Answer:
        """The image as it is pooled, both maps, where each maximum stood (row-major), and how far each map moved from the clean
        image's: the mean absolute difference.
        """
        clean = picture(opened, self.image)
        image = _disturbed(clean, self.noise)
        largest = layers.MaxPool2d(self.window, return_indices=True)
        mean = layers.AvgPool2d(self.window)
        (top, winners), average = largest(image[None]), mean(image[None])
        return {
            "image": short(image),
            "max": short(top[0]),
            "winners": winners[0].tolist(),
            "average": short(average[0], 4),
            "moved": {
                "max": float(f"{(top - largest(clean[None])[0]).abs().mean():.4g}"),
                "average": float(f"{(average - mean(clean[None])).abs().mean():.4g}"),
            },
        }


def _disturbed(image: Tensor, noise: str) -> Tensor:
    generator = torch.Generator().manual_seed(SEED)
    if noise in ("dark", "bright"):
        chosen = torch.randperm(image.numel(), generator=generator)[: image.numel() // 10]
        changed = image.flatten().clone()
        changed[chosen] = 0 if noise == "dark" else WHITE
        return changed.view_as(image)
    if noise == "normal":
        added = torch.randn(image.shape, generator=generator, dtype=image.dtype) * WHITE / 5
        return (image + added).round().clamp(0, WHITE)
    if noise == "shift":
        return torch.cat([torch.zeros_like(image[:, :1]), image[:, :-1]], 1)
    return image

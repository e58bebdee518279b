"""Convolution, padding and stride on a small image."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

import pellucid.nn as layers
from pellucid.errors import ArgumentError
from pellucid.geometry import Window
from pellucid.web.opened import Opened
from pellucid.web.questions.guide.pictures import picture
from pellucid.web.questions.question import Answer, Question
from pellucid.web.questions.tiles import short

FILTERS = {
    "vertical": (-1, 0, 1, -1, 0, 1, -1, 0, 1),
    "horizontal": (-1, -1, -1, 0, 0, 0, 1, 1, 1),
    "outline": (0, -1, 0, -1, 4, -1, 0, -1, 0),
    "sharpen": (0, -1, 0, -1, 5, -1, 0, -1, 0),
    "blur": (1 / 9,) * 9,
    "copy": (0, 0, 0, 0, 1, 0, 0, 0, 0),
}


class Filtering(Question):
    """An image under a 3 x 3 filter.

    Attributes:
        image: see :func:`~pellucid.web.questions.guide.pictures.picture`.
        filter: a name of :data:`FILTERS`, or nine numbers with commas between them, row by row.
    """

    image: str
    filter: str

    def answer(self, opened: Opened) -> Answer:
        """The image (H, W), the filter (3, 3), the map (H - 2, W - 2), and of each of its positions the nine products."""
        image, weights = picture(opened, self.image), _weights(self.filter)
        layer = layers.Conv2d(1, 1, 3, bias=False, dtype=torch.float64)
        made = _run(layer, weights, image)
        products = F.unfold(image[None, None], 3)[0] * weights.view(9, 1)
        return {
            "image": short(image),
            "filter": short(weights),
            "products": short(products.T.reshape(*made.shape, 9)),
            "map": short(made),
        }


class Padding(Question):
    """Mean filters of 3 x 3 above one another, with padding or without.

    Attributes:
        image: see :func:`~pellucid.web.questions.guide.pictures.picture`.
        mode: what stands around the image.
        layers: how many filters, one on the other's map.
    """

    image: str
    mode: Literal["none", "zeros", "reflect", "replicate", "circular"]
    layers: int = Field(ge=1, le=3)

    def answer(self, opened: Opened) -> Answer:
        """The image with its padding, the last map, and by how many ways each pixel of the image enters it.

        A way is a choice of one window in every layer; it is the gradient of the last map's sum with all weights 1.
        """
        image = picture(opened, self.image)
        around = 0 if self.mode == "none" else 1
        if min(image.shape) <= 2 * self.layers and not around:
            raise ArgumentError(f"{self.layers} filters of 3 x 3 do not fit into the image without padding")
        stack = [
            layers.Conv2d(
                1,
                1,
                3,
                padding=around,
                padding_mode="zeros" if self.mode == "none" else self.mode,
                bias=False,
                dtype=torch.float64,
            )
            for _ in range(self.layers)
        ]
        made = image
        for layer in stack:
            made = _run(layer, torch.full((3, 3), 1 / 9, dtype=torch.float64), made)
        return {
            "padded": short(_padded(image, self.mode) if around else image),
            "padding": around,
            "map": short(made, 4),
            "ways": short(_ways(stack, image)),
        }


class Stride(Question):
    """A mean filter that moves in larger steps.

    Attributes:
        image: see :func:`~pellucid.web.questions.guide.pictures.picture`.
        kernel, stride, padding: of both axes; padding holds zeros.
    """

    image: str
    kernel: int = Field(ge=1, le=5)
    stride: int = Field(ge=1, le=8)
    padding: int = Field(ge=0, le=2)

    def answer(self, opened: Opened) -> Answer:
        """The image with its padding, the map, the formula of its height, multiply-adds, and rows that no window reaches."""
        image = picture(opened, self.image)
        window = Window(self.kernel, self.stride, padding=(self.padding, self.padding))
        layer = layers.Conv2d(
            1, 1, self.kernel, stride=self.stride, padding=self.padding, bias=False, dtype=torch.float64
        )
        made = _run(layer, torch.full((self.kernel, self.kernel), 1 / self.kernel**2, dtype=torch.float64), image)
        return {
            "padded": short(F.pad(image, (self.padding,) * 4)),
            "map": short(made, 4),
            "formula": window.formula(image.shape[0]),
            "macs": made.numel() * self.kernel**2,
            "dropped": window.dropped(image.shape[0]),
        }


def _weights(name: str) -> Tensor:
    """(3, 3) by a filter's name or from its numbers."""
    try:
        found = FILTERS[name] if name in FILTERS else tuple(float(number) for number in name.split(","))
    except ValueError:
        found = ()
    if len(found) != 9 or not all(math.isfinite(v) and abs(v) <= 1000 for v in found):
        raise ArgumentError(
            f"a filter is {', '.join(FILTERS)}, or nine numbers from -1000 to 1000 with commas between them, and this is {name!r}"
        )
    return torch.tensor(found, dtype=torch.float64).view(3, 3)


def _run(layer: nn.Conv2d, weights: Tensor, image: Tensor) -> Tensor:
    """The map (H', W') of an image (H, W) by a layer with these weights."""
    with torch.no_grad():
        layer.weight.copy_(weights)
        made: Tensor = layer(image[None])[0]
    return made


def _padded(image: Tensor, mode: str) -> Tensor:
    """One more pixel on each side."""
    return F.pad(image[None], (1, 1, 1, 1), mode="constant" if mode == "zeros" else mode)[0]


def _ways(stack: list[layers.Conv2d], image: Tensor) -> Tensor:
    x = image[None].clone().requires_grad_()
    made: Tensor = x
    for layer in stack:
        with torch.no_grad():
            layer.weight.fill_(1.0)
        made = layer(made)
    (found,) = torch.autograd.grad(made.sum(), x)
    return found[0]

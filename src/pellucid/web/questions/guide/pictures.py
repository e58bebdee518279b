"""The small images that the guide's figures are computed on, in whole numbers from 0 (black) to 16 (white)."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import ArgumentError
from pellucid.web.opened import Opened

LETTERS = "0123456789abcdefg"  # one a pixel, row by row
SIDE, MOST = 8, 16
WHITE = 16


def picture(opened: Opened, name: str) -> Tensor:
    """An image (H, W), float64.

    Args:
        opened: whose items may be taken.
        name: ``"0"`` to ``"9"`` for a handwritten digit, 8 x 8, of the UCI set Optical Recognition of Handwritten Digits
            (Alpaydin and Kaynak 1998, CC BY 4.0): of the first hundred of its class in scikit-learn's copy the one that is
            nearest to their mean; 64 letters for one that was drawn; ``"item 3"`` for an item that is open: its first channel
            from its darkest to its brightest, averaged to at most 16 x 16.

    Raises:
        ArgumentError: another name, or an item that is no image.
    """
    if name.startswith("item "):
        return _item(opened, name.removeprefix("item "))
    letters = _digits().get(name, name)
    if len(letters) != SIDE * SIDE or not set(letters) <= set(LETTERS):
        raise ArgumentError(
            f"an image is a digit from 0 to 9, 'item' and a number, or {SIDE * SIDE} letters of {LETTERS}, and this is {name!r}"
        )
    pixels = [LETTERS.index(letter) for letter in letters]
    return torch.tensor(pixels, dtype=torch.float64).view(SIDE, SIDE)


def _item(opened: Opened, number: str) -> Tensor:
    if opened.form != "image" or not number.isdecimal():
        raise ArgumentError(f"'item {number}' is no image that is open; choose one of the guide's digits")
    x = opened.item(int(number)).x.detach()[0].double()
    height, width = x.shape
    if max(height, width) > MOST:
        share = MOST / max(height, width)
        x = F.adaptive_avg_pool2d(x[None], (max(1, round(height * share)), max(1, round(width * share))))[0]
    if min(x.shape) < 5:
        raise ArgumentError(
            f"the image is {height} x {width}, and the guide's windows need 5 x 5; choose one of its digits"
        )
    low, high = x.min(), x.max()
    return ((x - low) * (WHITE / (high - low) if high > low else 0)).round()


@cache
def _digits() -> dict[str, str]:
    found: dict[str, str] = json.loads(resources.files(__package__).joinpath("digits.json").read_text(encoding="utf-8"))
    return found

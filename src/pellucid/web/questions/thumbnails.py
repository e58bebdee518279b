"""Small pictures of the items, to choose one by."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import ArgumentError
from pellucid.web.opened import Opened, flat
from pellucid.web.questions.question import Answer, Question
from pellucid.web.questions.tiles import tile

SIDE = 32  # pixels of the longer side
MOST = 32  # in one answer


class Thumbnails(Question):
    """Some of the items of which a picture can be made: images as they are, of volumes the middle slice, sequences as channels by steps."""

    first: int
    count: int

    def answer(self, opened: Opened) -> Answer:
        """A tile (C, H, W) with 1 or 3 channels for each, in order; none of tokens."""
        if not 1 <= self.count <= MOST:
            raise ArgumentError(f"count is {self.count}; give 1 to {MOST}")
        items = [opened.item(self.first + k) for k in range(self.count)]
        if opened.form == "tokens":
            return {"pictures": [None] * len(items)}
        return {
            "pictures": [
                _picture(opened, flat(item.own) if opened.form == "image" else item.x.T[None]) for item in items
            ]
        }


def _picture(opened: Opened, x: Tensor) -> Answer:
    """An image between 0 and 1 as it is, all else by its own range; made smaller by means."""
    height, width = x.shape[1:]
    shrink = max(1.0, max(height, width) / SIDE)
    small = F.adaptive_avg_pool2d(x.float(), (max(1, round(height / shrink)), max(1, round(width / shrink))))
    small = small if len(small) in (1, 3) else small.mean(0, keepdim=True)
    as_it_is = opened.form == "image" and bool(small.min() >= -1e-3) and bool(small.max() <= 1 + 1e-3)
    return tile(small, 0.0, 1.0) if as_it_is else tile(small)

"""What the networks that are open make of one of their own items, for the page of a report."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from pellucid.web.opened import Opened
from pellucid.web.questions.overview import Input, kind_of
from pellucid.web.questions.question import Answer, Question
from pellucid.web.questions.reach import Reach
from pellucid.web.questions.recurrence import runs
from pellucid.web.questions.tiles import tile
from pellucid.web.stages import stages_of

STAGES, MAPS, SIDE = 4, 8, 32  # stages of a network, maps of a stage, and a map's side that are drawn
DRAWN = ("convolution", "activation", "pooling")
POINTS = 256  # of a line


class Yours(Question):
    """One item by every network that is open.

    Attributes:
        item: its number.
    """

    item: int

    def answer(self, opened: Opened) -> Answer:
        """The item; of each network its first stages of feature maps, and how far back the gradient of its answer reaches."""
        return {
            "input": Input(item=self.item).answer(opened),
            "networks": [
                {
                    "name": n.name,
                    "label": n.label,
                    "maps": self._maps(opened, n.name),
                    "reach": self._reach(opened, n.name),
                }
                for n in opened.networks
            ],
        }

    def _maps(self, opened: Opened, network: str) -> list[Answer]:
        """Of each stage the layer's kind and a few maps side by side, (N, H, W), or rows (N, L) of a sequence's."""
        kinds = {kind_of(module) for module in opened.network(network).model.modules()}
        if not kinds & {"convolution", "block", "pooling"}:
            return []
        stages = [s for s in stages_of(opened, network, self.item) if s.kind in DRAWN]
        return [{"kind": s.kind, "name": s.name, "tile": _drawn(s.values.detach())} for s in stages[:STAGES]]

    def _reach(self, opened: Opened, network: str) -> Answer | None:
        """The norms of dL/dh of the last recurrent layer by steps back as shares of the first, every so many of them."""
        found = [run for run in runs(opened, network, self.item) if not run.along.reverse]
        if not found:
            return None
        reach = Reach(network=network, item=self.item, layer=found[-1].name, of="answer").answer(opened)
        state = reach["states"][0]
        if state["start"] is None:
            return None
        norms = state["norms"][state["start"] :: -1]
        every = -(-len(norms) // POINTS)
        shares = [norm / (norms[0] or 1.0) for norm in norms[::every]]
        return {"norms": [float(f"{share:.4g}") for share in shares], "every": every, "fades": state["fades"]}


def _drawn(values: Tensor) -> dict[str, Any]:
    values = values[:MAPS].float()
    if values.shape[1] == 1:
        rows = values[:, 0]
        return tile(rows if rows.shape[1] <= POINTS else F.adaptive_avg_pool1d(rows, POINTS))
    height, width = (min(SIDE, size) for size in values.shape[1:])
    return tile(F.adaptive_avg_pool2d(values, (height, width)))

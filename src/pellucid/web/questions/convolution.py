"""A network as a row of feature maps: what each stage is, and its maps as tiles."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pellucid.errors import ArgumentError
from pellucid.geometry import Field
from pellucid.web.opened import Opened
from pellucid.web.questions.question import Answer, Question
from pellucid.web.questions.tiles import tile
from pellucid.web.stages import Stage, named, pooling_of, stages_of

MOST_MAPS = 32  # of a stage in one answer
MOST_NUMBERS = 2**18  # of all maps in one answer
MOST_SCORES = 20


class Stages(Question):
    """The stages of a network on an item, in the order in which they ran."""

    network: str
    item: int

    def answer(self, opened: Opened) -> Answer:
        """Each stage with its sizes, its formula, what it costs, what it sees; and the scores that the network ends in."""
        stages = stages_of(opened, self.network, self.item)
        output = opened.seen(self.network, self.item).output
        described = [_described(stage, stages) for stage in stages]
        if not _is(stages[0].tensor.detach()[0], opened.item(self.item).x):
            described[0]["does"] = "given"  # an embedding, or differences: what the model itself makes of its input
        return {
            "stages": described,
            "scores": _scores(output, opened.labels) if isinstance(output, Tensor) else [],
        }


class Maps(Question):
    """Some of a stage's maps as pictures; of volumes one slice each."""

    network: str
    item: int
    stage: str
    first: int
    count: int = MOST_MAPS
    depth: int = 0
    each: bool = False  # whether each map has its own range of colours, and not all of the layer one

    def answer(self, opened: Opened) -> Answer:
        """A tile (N, H, W) of the maps from ``first`` on, as many as asked for and one answer holds, and the range of each.

        A sequence's maps have one row.
        """
        stages = stages_of(opened, self.network, self.item)
        stage = stages[named(stages, self.stage)]
        if not 0 <= self.depth < stage.values.shape[1]:
            raise ArgumentError(
                f"{self.stage} is {stage.values.shape[1]} deep; there is no depth {self.depth}, counted from 0"
            )
        values = stage.values[:, self.depth]
        count = max(1, min(self.count, MOST_MAPS, MOST_NUMBERS // max(1, values[0].numel())))
        shown = values[max(0, self.first) :][:count]
        ranges = [stage.span_of(one) for one in shown] if self.each else [stage.span] * len(shown)
        if self.each:  # all of them from 0 to 1
            low, high = torch.tensor(ranges, device=shown.device).reshape(-1, 2).T[:, :, None, None]
            picture = tile((shown - low) / (high - low), 0.0, 1.0)
        else:
            picture = tile(shown, *stage.span)
        return {"count": len(values), "tile": picture, "ranges": ranges}


def _described(stage: Stage, stages: list[Stage]) -> dict[str, Any]:
    values, effect = stage.values, stage.effect
    low, high = stage.span
    about: dict[str, Any] = {
        "name": stage.name,
        "kind": stage.kind,
        "path": stage.path,
        "does": does(stage),
        "axes": len(stage.sizes),
        "depth": values.shape[1],
        "shape": [values.shape[0], *values.shape[2:]],
        "low": low,
        "high": high,
        "sources": None if stage.sources is None else list(stage.sources),
        "sees": {stages[number].name: _places(fields)[1:] for number, fields in stage.sees.items()},
        "deep": {stages[number].name: _places(fields)[0] for number, fields in stage.sees.items()},
        "parameters": 0,
        "macs": 0,
    }
    if effect is None or stage.layer is None:
        return about
    return about | {
        "parameters": effect.parameters,
        "macs": effect.macs,
        "formula": effect.formula,
        "dropped": list(effect.dropped),
        "window": {
            "kernel": [w.kernel for w in effect.windows],
            "stride": [w.stride for w in effect.windows],
            "dilation": [w.dilation for w in effect.windows],
            "padding": [list(w.padding) for w in effect.windows],
        },
        "groups": getattr(stage.layer, "groups", 1),
        "mode": getattr(stage.layer, "padding_mode", "zeros"),
    }


def _is(maps: Tensor, x: Tensor) -> bool:
    """Whether maps (C, ...) are an item's numbers, perhaps with its axes in another order."""
    maps = maps.cpu()
    ways = [way for one in (maps, maps.squeeze(0)) for way in (one, one.mT)]
    return any(way.shape == x.shape and torch.equal(way, x) for way in ways)


def does(stage: Stage) -> str:
    """The activation's name, ``"max"`` or ``"avg"`` of a pooling, operators between layers; else the layer's class."""
    if stage.layer is None or stage.kind == "input":
        return ", ".join(stage.operators)
    if stage.kind == "pooling":
        pooling = pooling_of(stage.layer, (1, *stage.sizes))
        return pooling.kind if pooling is not None else type(stage.layer).__name__
    own = getattr(stage.layer, "activation", None) if stage.kind == "activation" else None
    return own if isinstance(own, str) else type(stage.layer).__name__


def _places(fields: tuple[Field, ...]) -> list[list[int]]:
    """For depth, rows and columns: how many are seen, how many from one position to the next, and the first that position 0 sees."""
    places = []
    for field in fields:
        assert field.size is not None  # windows alone lead from map to map
        places.append([field.size, field.jump, round(field.start - (field.size - 1) / 2)])
    return [[1, 1, 0]] * (3 - len(places)) + places


def _scores(output: Tensor, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """(1, N) numbers, the highest where there are many; nothing of any other shape."""
    if output.dim() != 2 or len(output) != 1:
        return []
    scores, classes = torch.topk(output.detach()[0], min(MOST_SCORES, output.shape[1]))
    if len(scores) == output.shape[1]:
        scores, classes = output.detach()[0], torch.arange(output.shape[1], device=output.device)
    names = labels if len(labels) == output.shape[1] else None
    return [
        {"label": names[number] if names else str(number), "score": float(score)}
        for number, score in zip(classes.tolist(), scores, strict=True)
    ]

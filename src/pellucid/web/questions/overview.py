"""What is open: the networks, the items, and the layers of a network in the order in which they ran."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import pellucid.nn as layers
from pellucid.cells.cell import Cell
from pellucid.trace import Seen
from pellucid.web.korean import said
from pellucid.web.opened import LARGEST, Opened, Taking, flat
from pellucid.web.questions.question import Answer, Question
from pellucid.web.questions.tiles import numbers, tile

BOARD = 64  # pixels of the longer side of what a picture is drawn on
SHOWN = 16384  # numbers of a sequence that are sent as they are


class Overview(Question):
    """Everything that the page needs to draw its frame."""

    def answer(self, opened: Opened) -> Answer:
        """Title, form, networks, items, labels; what may be given. What Python words is there in every language of the page."""
        return {
            "title": said(opened.title),
            "form": opened.form,
            "labels": list(opened.labels),
            "columns": [said(name) for name in opened.columns],
            "takes": None if opened.takes is None else _takes(opened, opened.takes),
            "items": [{"name": said(item.name), "answer": item.answer} for item in opened.items],
            "networks": [
                {
                    "name": network.name,
                    "label": network.label,
                    "sentence": said(network.sentence),
                    "parameters": sum(p.numel() for p in network.model.parameters()),
                    "kinds": sorted({kind for module in network.model.modules() if (kind := kind_of(module))}),
                }
                for network in opened.networks
            ],
        }


class Input(Question):
    """An item as the networks see it."""

    item: int

    def answer(self, opened: Opened) -> Answer:
        """An image's channels as a tile (C, H, W), of a volume its middle slice; a sequence's numbers (T, I), scaled and in their own unit; a text's tokens."""
        item = opened.item(self.item)
        x = item.x
        about: Answer = {"name": said(item.name), "answer": item.answer, "form": opened.form, "shape": list(x.shape)}
        if opened.form == "image":
            return about | {"image": tile(flat(x))}
        if opened.form == "tokens":
            return about | {"tokens": list(item.tokens) or [str(int(number)) for number in x]}
        few = x.numel() <= SHOWN
        return about | {
            "values": numbers(x) if few else None,
            "own": numbers(item.own) if few else None,
            "tile": tile(x),
            "origin": item.origin,
        }


class Layers(Question):
    """The layers of a network that can be looked into, in the order in which they ran on an item."""

    network: str
    item: int

    def answer(self, opened: Opened) -> Answer:
        """For each: its path, what it is, and the values that were seen in it with their axes and sizes."""
        seen = opened.seen(self.network, self.item).seen
        paths = {module: path for path, module in opened.network(self.network).model.named_modules()}
        found: dict[str, dict[str, Any]] = {}
        for name, value in seen.items():
            module = value.layer
            if module is None:
                continue
            path = paths[module]
            layer = found.setdefault(
                path,
                {
                    "path": path,
                    "type": type(module).__name__,
                    "kind": kind_of(module),
                    "says": str(module),
                    "values": [],
                },
            )
            layer["values"].append({"name": name, "axes": value.axes.split(), "shape": list(value.values.shape)})
        return {"layers": list(found.values())}


def _takes(opened: Opened, takes: Taking) -> Answer:
    """What may be given; of a drawing board its sides, and how bright its ground is, as the items' edges are."""
    board = None
    if takes.drawn:
        height, width = opened.items[0].x.shape[1:]
        shrink = max(1.0, max(height, width) / BOARD)
        edges = [torch.cat([i.own[0, [0, -1]].flatten(), i.own[0, :, [0, -1]].flatten()]) for i in opened.items[:16]]
        sides = {"height": max(1, round(height / shrink)), "width": max(1, round(width / shrink))}
        board = sides | {"ground": round(float(torch.cat(edges).nan_to_num().median()))}
    return {"suffixes": list(takes.suffixes), "largest": LARGEST, "text": takes.text, "board": board}


def alone(seen: Seen) -> Tensor:
    """A value that was seen, without its batch's axis, which has one item."""
    axes = seen.axes.split()
    return seen.values.detach().select(axes.index("B"), 0) if "B" in axes else seen.values.detach()


def kind_of(module: nn.Module) -> str:
    """``"convolution"``, ``"pooling"``, ``"block"`` (both in one), ``"recurrence"``, ``"cell"`` (one step of one), or nothing."""
    if isinstance(module, layers.ConvBlock):
        return "block"
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return "convolution"
    if isinstance(module, layers.Recurrent):
        return "recurrence"
    if isinstance(getattr(module, "cell", None), Cell):
        return "cell"
    return "pooling" if "Pool" in type(module).__name__ else ""

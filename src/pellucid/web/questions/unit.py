"""One unit: how long it remembers, what it goes with, and which of the layer's inputs it rests on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pellucid import inside
from pellucid.cells.bounds import is_gate
from pellucid.errors import ArgumentError
from pellucid.web.korean import said
from pellucid.web.opened import Item, Opened
from pellucid.web.questions.question import Answer
from pellucid.web.questions.reach import of_state
from pellucid.web.questions.recurrence import OfLayer, Run
from pellucid.web.questions.tiles import numbers, tile

FEWEST = 16  # steps, below which a correlation says nothing
LAGS = 9  # steps by which a unit may be late, from 0
OFTEN = 3  # times that a token must come for its mean to be said
NAMED = 3  # channels, units or tokens that are named
SHOWN = 512  # features of the layer's input in one picture


class Unit(OfLayer):
    """What a unit of a layer does along an item."""

    unit: int

    def answer(self, opened: Opened) -> Answer:
        """Its half-life by the gate that keeps, how often each gate is shut and open, and what its memory goes with.

        ``half_life`` is null where no gate keeps; its ``steps`` are null where the unit never forgets.
        """
        run = self.run(opened)
        run.check_unit(self.unit)
        return {
            "memory": run.memory[0],
            "half_life": self._half_life(opened, run),
            "gates": _gates(run, self.unit),
            **_goes_with(opened, opened.item(self.item), run.values(run.memory[0]).cpu(), self.unit),
        }

    def _half_life(self, opened: Opened, run: Run) -> Answer | None:
        gate = run.memory[1]
        if not gate:
            return None
        key = ("half-life", self.network, self.item, run.name)
        found = opened.once(key, lambda: inside.half_life(run.values(gate)[:, None]))
        own = float(found[self.unit])
        longer = float((found > own).double().mean())  # the share of units that remember longer
        return {"gate": gate, "steps": own if math.isfinite(own) else None, "longer": longer}


def _gates(run: Run, unit: int) -> list[Answer]:
    found = []
    for name, node in run.names.items():
        values = run.values(name)
        if is_gate(node) and unit < values.shape[-1]:
            stuck = inside.saturation(values[:, None, unit : unit + 1])
            found.append({"name": name, "shut": stuck.below, "open": stuck.above})
    return found


def _goes_with(opened: Opened, item: Item, memory: Tensor, unit: int) -> Answer:
    """Channels, tokens and other units; of a short item nothing, since by chance anything goes with anything."""
    steps = len(memory)
    if steps < FEWEST:
        return {"channels": [], "tokens": [], "others": []}
    own = memory[:, unit]
    others = _correlations(own, memory)
    others[unit] = 0.0
    tokens, found = [], []
    if opened.form == "tokens" and len(item.x) >= steps:
        tokens = _tokens(item, own)
    elif (x := channels(item, steps)) is not None:
        found = _channels(opened, x, own)
    return {
        "channels": found,
        "tokens": tokens,
        "others": [{"unit": u, "r": float(others[u])} for u in _largest(others)],
    }


def channels(item: Item, steps: int) -> Tensor | None:
    """(T, I) what comes in at each step, of a sequence, or of an image that is read row by row; None of anything else."""
    if item.x.dim() == 2 and len(item.x) >= steps:
        return item.x[:steps]
    if item.x.dim() == 3 and item.x.shape[1] == steps:
        return item.x.movedim(1, 0).flatten(1)
    return None


def _channels(opened: Opened, x: Tensor, own: Tensor) -> list[Answer]:
    """Those that the memory follows most closely, and after how many steps."""
    late = torch.stack([_correlations(own[lag:], x[: len(x) - lag]) for lag in range(LAGS)])  # (lags, channels)
    lags = late.abs().argmax(0)
    best = late.gather(0, lags[None])[0]
    return [
        {
            "channel": c,
            "label": said(opened.columns[c]) if c < len(opened.columns) else str(c),
            "lag": int(lags[c]),
            "r": float(best[c]),
        }
        for c in _largest(best)
    ]


def _correlations(own: Tensor, others: Tensor) -> Tensor:
    """(N,) Pearson's of (T,) with each column of (T, N); 0 where one of both stands still."""
    a = (own - own.mean()).double()
    b = (others - others.mean(0)).double()
    scale = a.norm() * b.norm(dim=0)
    return torch.where(scale > 1e-9, (a @ b) / scale, 0.0)


def _largest(values: Tensor) -> list[int]:
    return [i for i in values.abs().topk(min(NAMED, len(values))).indices.tolist() if values[i] != 0]


def _tokens(item: Item, own: Tensor) -> list[Answer]:
    """The tokens after which the memory is highest and lowest on average, of those that come often."""
    kinds, which, counts = torch.unique(item.x[: len(own)], return_inverse=True, return_counts=True)
    means = torch.zeros(len(kinds)).index_add(0, which, own.float()) / counts
    often = (counts >= OFTEN).nonzero()[:, 0].tolist()
    order = sorted(often, key=lambda k: -float(means[k]))
    first = {int(token): at for at, token in reversed(list(enumerate(item.x[: len(own)])))}
    return [
        {
            "token": item.tokens[first[int(kinds[k])]] if item.tokens else str(int(kinds[k])),
            "mean": float(means[k]),
            "count": int(counts[k]),
        }
        for k in dict.fromkeys([*order[:NAMED], *order[-NAMED:]])
    ]


class Attribution(OfLayer):
    """Which steps of the layers' input a unit's output at a step rests on; of many features the picture begins with ``first``."""

    unit: int
    step: int
    first: int = 0

    def answer(self, opened: Opened) -> Answer:
        """Gradient times input, summed over the features of each step, and of each feature as a tile (I, T).

        The input is what the layers are fed: the columns of a series, an image's rows, a token's embedding, feature maps. The
        sum over all steps is not the unit's value: it is what the value would lose if the input shrank, to first order.
        """
        run = self.run(opened)
        run.check_step(self.step)
        run.check_unit(self.unit)
        given = [one.arguments["input"] for one in run.calls]
        if not all(isinstance(x, Tensor) for x in given):
            raise ArgumentError(f"{run.name} is fed packed sequences, of which no input can be named")
        x = given[0].detach() if given[0].dim() == 3 else torch.stack(given).detach()
        if not 0 <= self.first < x.shape[-1]:
            raise ArgumentError(f"feature {self.first} does not exist; {run.name} is fed {x.shape[-1]}, counted from 0")
        gradient = of_state(self, opened, run, self.step, self.unit).given[run.path]
        share = (gradient * x).reshape(-1, x.shape[-1])[: run.steps]  # the batch is one item
        most = float(share.abs().max()) or 1.0
        return {
            "value": float(run.values(next(iter(run.layer.cell.states)))[self.step, self.unit]),
            "steps": numbers(share.sum(1)),
            "tile": tile(share.T[self.first : self.first + SHOWN], -most, most),
            "of": share.shape[1],
        }

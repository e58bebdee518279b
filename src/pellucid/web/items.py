"""Items of a run as a page shows them: one input each, alone in its batch, with its name, tokens and units."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from pellucid.lab.data import tokens
from pellucid.lab.data.inputs import Inputs
from pellucid.lab.recipe import Recipe
from pellucid.web.opened import Item

LONGEST = 2000  # tokens of a piece of text
SHOWN = 40  # characters of a text that name it


class Maker:
    """Makes the items of a run.

    Args:
        kept: the run's recipe.
        least: steps, below which some network computes nothing; shorter items are filled up, and their length is told.
    """

    def __init__(self, kept: Recipe, least: int) -> None:
        self.kept, self.least = kept, least
        self.cut = tokens.again(kept.preprocessing) if kept.form == "tokens" else None
        self.columns = _columns(kept)

    def items(self, given: Inputs, truth: Tensor | None) -> list[Item]:
        """One for each row; a text to go on from is cut into pieces.

        Args:
            given: the inputs, prepared.
            truth: their right answers as a split has them, where they are known.
        """
        made = []
        for k, name in enumerate(given.items):
            length = given.x.shape[1] if given.lengths is None else int(given.lengths[k])
            x = given.x[k] if self.kept.form == "image" else given.x[k, :length]
            answer = None if truth is None else truth[k]
            if self.kept.goal == "next":
                made += self._pieces(name, x, answer)
                continue
            if answer is None and self.kept.goal == "class" and Path(name).parent.name in self.kept.labels:
                answer = torch.tensor(self.kept.labels.index(Path(name).parent.name))  # a folder of classes
            if answer is None and self.kept.goal == "next labels":
                answer = torch.cat([x[1:], torch.full_like(x[:1], -1)])  # what comes next is what is seen next
            if self.kept.goal == "next labels" and answer is not None:
                answer = answer[:length]
            scale = self._scale(None if given.scales is None else given.scales[k])
            ahead = given.ahead[k] if given.ahead else ()
            made.append(self._item(name, x, answer, scale, ahead))
        return made

    def _item(
        self, name: str, x: Tensor, truth: Tensor | None, scale: Tensor | None = None, ahead: tuple[str, ...] = ()
    ) -> Item:
        said: tuple[str, ...] = ()
        if self.cut is not None:
            said = tuple(self.cut.vocabulary[number] for number in x.tolist())
            text = " ".join(self.cut.decode(x.tolist()).split())
            name = f"{name}: {text[:SHOWN]}{'…' if len(text) > SHOWN else ''}"
        classed = self.kept.goal == "class" and truth is not None
        return Item(
            name=name,
            x=x,
            args=self._args(x),
            tokens=said,
            answer=self.kept.labels[int(truth)] if classed and truth is not None else "",
            truth=truth,
            scale=scale,
            ahead=ahead,
        )

    def _args(self, x: Tensor) -> tuple[Tensor | None, ...]:
        if self.kept.form == "image" or len(x) >= self.least:
            return (x[None],)
        filled = torch.cat([x, x.new_zeros(self.least - len(x), *x.shape[1:])])
        return filled[None], torch.tensor([len(x)])

    def _pieces(self, name: str, x: Tensor, truth: Tensor | None) -> list[Item]:
        """Of a text, each no longer than a page shows; what comes next is known but at the end."""
        assert self.cut is not None
        if truth is None:
            truth = torch.cat([x[1:], x.new_tensor([-1])])
        pieces = list(zip(torch.split(x, LONGEST), torch.split(truth, LONGEST), strict=True))
        several = [name if len(pieces) == 1 else f"{self.cut.one} {k * LONGEST + 1}" for k in range(len(pieces))]
        return [self._item(own, part, after) for own, (part, after) in zip(several, pieces, strict=True)]

    def _scale(self, target: Tensor | None) -> Tensor | None:
        """Offset and factor of each channel; of several series that one's whose forecast is scaled so."""
        how = self.kept.preprocessing
        if self.kept.form == "tokens" or self.kept.kind == "events":
            return None
        if "scales" not in how:
            return torch.tensor([how["mean"], how["deviation"]])
        at = how["columns"].index(how["target"])
        own = [(s["offset"], s["factor"]) for s in how["scales"].values()]
        if target is not None:
            own = [(offset, factor) for offset, factor in own if [offset[at], factor[at]] == target.tolist()]
        offset, factor = own[0]
        known = [how["columns"].index(name) for name in how["known"]]
        cycles = 2 * len(how["calendar"])
        return torch.tensor(
            [
                [*offset, *([0.0] * cycles), *(offset[k] for k in known)],
                [*factor, *([1.0] * cycles), *(factor[k] for k in known)],
            ]
        )


def _columns(kept: Recipe) -> tuple[str, ...]:
    """What the channels of a sequence are called."""
    how = kept.preprocessing
    if kept.kind == "series":
        cycles = [f"{name}, {part}" for name in how["calendar"] for part in ("sine", "cosine")]
        return (*how["columns"], *cycles, *(f"{name}, {kept.horizon} later" for name in how["known"]))
    if kept.kind == "sequences":
        return tuple(how["channels"])
    if kept.kind == "events":
        return tuple(how["names"])
    return tuple(f"mel band {k + 1}" for k in range(kept.channels)) if kept.kind == "sound" else ()

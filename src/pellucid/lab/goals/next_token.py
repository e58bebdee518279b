"""The next token after each: logits (N, T, vocabulary) against numbers (N, T).

Of logits there are a vocabulary for every token, too many to keep of a whole split: kept is how improbable each item was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.lab.data import tokens
from pellucid.lab.data.inputs import Inputs
from pellucid.lab.goals.goal import Ask, Goal, Table, count

if TYPE_CHECKING:
    from pellucid.lab.recipe import Recipe
    from pellucid.lab.task import Lesson, Task

AT_ONCE = 32  # items whose logits are brought to float64 together


def _loss(prediction: Tensor, target: Tensor, _: Lesson) -> Tensor:
    """Cross-entropy."""
    return F.cross_entropy(prediction.flatten(0, -2), target.flatten())


def _kept(prediction: Tensor, target: Tensor) -> Tensor:
    """-ln of the probability of each item's tokens: (N,) float64."""
    few = zip(torch.split(prediction, AT_ONCE), torch.split(target, AT_ONCE), strict=True)
    nats = [F.cross_entropy(p.double().movedim(-1, 1), t, reduction="none") for p, t in few]
    return torch.cat(nats).sum(1)


def _kept_loss(kept: Tensor, target: Tensor, _: Lesson) -> Tensor:
    """Cross-entropy."""
    return kept.sum() / target.numel()


def _said(_: Task, prediction: Tensor) -> list[str]:
    """Nothing: the report has a text that the network wrote."""
    return [""] * len(prediction)


def _table(kept: Recipe, given: Inputs, ask: Ask, length: int) -> Table:
    """What the networks write, each token drawn as they say; the same prompt is gone on with in the same way."""
    generator = torch.Generator().manual_seed(0)
    cut = tokens.again(kept.preprocessing)
    said, (window,) = given.x[0].tolist(), kept.extent
    start, begun = len(said), 0
    for _ in range(4 * length):  # a character has at most four bytes, and a token at least one
        if begun >= length:
            break
        recent = Inputs(torch.tensor([said[-window:]]), None, given.items)
        shares = torch.stack([output[0].softmax(-1) for output in ask(recent)]).mean(0)
        if cut.way == "characters":
            shares[0] = 0  # what is not known is read, and never written
        said.append(int(torch.multinomial(shares, 1, generator=generator)))
        begun += cut.begins[said[-1]]
    return ("prompt", "text"), [(given.items[0], cut.decode(said[start:])[:length])]


GOAL = Goal(
    every_step=True,
    loss=_loss,
    weight=count,
    said=_said,
    table=_table,
    outputs=("logits", (("probabilities", "Softmax"),)),
    axes=lambda kept: ["time", kept.outputs],
    kept=_kept,
    kept_loss=_kept_loss,
)

"""One unit of work: a network trained from one seed with one setting, epoch by epoch, on disk after each.

A unit sees the training and the validation part and nothing else. What an epoch draws at random follows from the
unit's name and the epoch's number alone, so a unit that was interrupted goes on with the same numbers.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid import device
from pellucid.errors import DataError
from pellucid.lab import sealed, team
from pellucid.lab.goals import GOALS, last_step
from pellucid.lab.pace import LOWER, Budget, best_of, pace
from pellucid.lab.reasons import reason
from pellucid.lab.results import Epoch
from pellucid.lab.task import Goal, Lesson, Metric, Split

SHORTEST = 16  # steps that are always computed: pooling of sounds needs some
CLIP = 1.0  # norm that a gradient is clipped to


@dataclass
class Unit:
    """The state of a unit, as it is on disk.

    Attributes:
        name: unique in the run; all random draws follow from it.
        file: the checkpoint.
        model: as it stands after the last epoch.
        history: the epochs so far.
        best: the weights of the best epoch.
        run: the key of the run that it is of.
    """

    name: str
    file: Path
    model: nn.Module
    history: list[Epoch]
    best: dict[str, Tensor]
    run: str = ""

    def best_epoch(self, metric: Metric) -> Epoch:
        """The epoch with the best validation score; the first of equals."""
        return best_of(self.history, metric)


def train(
    name: str,
    file: Path,
    build: Callable[[], nn.Module],
    learning_rate: float,
    lesson: Lesson,
    budget: Budget,
    tell: Callable[[Epoch], None],
    run: str = "",
) -> Unit:
    """Train a unit until its budget ends, from its checkpoint on where there is one.

    The loss is the goal's (:mod:`pellucid.lab.goals`).
    Adam (Kingma and Ba 2015), gradients clipped to norm 1 (Pascanu et al. 2013); the best validation epoch is kept, and
    gone back to with a lower rate (:mod:`pellucid.lab.pace`).

    Args:
        name, file: of the unit.
        build: makes the model, on the device where it is to be trained; called under the unit's own seed.
        learning_rate: of Adam, at first.
        lesson: all that the unit sees.
        budget: when to stop.
        tell: called after each epoch, old ones included.
        run: the key of its run; a checkpoint of another one is refused.

    Raises:
        DataError: the checkpoint is damaged, or of another run.
    """
    torch.manual_seed(_seed(name, "start"))
    unit = Unit(name, file, build(), [], {}, run)
    GOALS[lesson.goal].begin(unit.model, lesson)
    optimiser = torch.optim.Adam(unit.model.parameters(), lr=learning_rate)
    if file.exists():
        _restore(unit, optimiser)
        unit.history = unit.history[: pace(unit.history, lesson.metric, budget).ends]
        for epoch in unit.history:
            tell(epoch)
    while (now := pace(unit.history, lesson.metric, budget)).ends is None:
        if now.back:
            unit.model.load_state_dict(unit.best)
            optimiser.state.clear()  # Adam's moments are of where training was
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * LOWER**now.lowered
        epoch = _epoch(unit, optimiser, lesson, budget.batch)
        unit.history.append(epoch)
        if unit.best_epoch(lesson.metric) is epoch:
            unit.best = {k: v.detach().clone() for k, v in unit.model.state_dict().items()}
        _save(unit, optimiser)
        tell(epoch)
    unit.model.load_state_dict(unit.best)
    return unit


def evaluate(model: nn.Module, split: Split, goal: Goal) -> Tensor:
    """What figures need of the model's output on every item, as the goal has it."""
    return predict(model, split, GOALS[goal].kept)


def predict(
    model: nn.Module, split: Split, kept: Callable[[Tensor, Tensor], Tensor] = lambda said, _target: said
) -> Tensor:
    """The model's raw output on every item; (N, T, ...) of what is asked at every step, zero behind an item's end.

    The model may be on any device; what it says is in the processor's memory.

    Args:
        model: the network.
        split: the items.
        kept: (output, target) of some items to what is returned of them.
    """
    model.eval()
    there = device.of(model)
    batch = min(256, max(8, 2**19 // split.x[0].numel()))  # large items are taken a few at a time, for memory's sake
    with torch.no_grad():
        if split.lengths is None:
            pairs = zip(torch.split(split.x, batch), torch.split(split.y, batch), strict=True)
            return torch.cat([kept(model(device.moved(x, there), None).cpu(), y) for x, y in pairs])
        order = split.lengths.argsort(
            stable=True
        )  # items of like length together, so that few steps are computed in vain
        parts = [kept(_of_ragged(model, split, rows), split.y[rows]) for rows in torch.split(order, batch)]
    return torch.cat(parts)[order.argsort()]


def predict_last(model: nn.Module, x: Tensor, lengths: Tensor | None) -> Tensor:
    """Where each step is asked, the model's raw output after each item's last one: (N, 1, ...).

    Args:
        model: the network.
        x, lengths: of the items, as in :class:`pellucid.lab.task.Split`.
    """
    ends = torch.full((len(x),), x.shape[1]) if lengths is None else lengths
    return predict(model, Split(x, ends, lengths, [""] * len(x)), last_step)


def _of_ragged(model: nn.Module, split: Split, rows: Tensor) -> Tensor:
    """Some items' outputs, computed to the longest one's end and filled up to the split's."""
    assert split.lengths is not None
    steps = split.x.shape[1]
    longest = min(steps, max(SHORTEST, int(split.lengths[rows].max())))
    there = device.of(model)
    x, lengths = device.moved(split.x[rows, :longest], there), device.moved(split.lengths[rows], there)
    said: Tensor = model(x, lengths).cpu()
    return said if said.dim() < 3 else F.pad(said, (0, 0, 0, steps - said.shape[1]))


def loss_of(prediction: Tensor, target: Tensor, lesson: Lesson) -> Tensor:
    """What training lowers, as the goal has it."""
    return GOALS[lesson.goal].loss(prediction, target, lesson)


def _epoch(unit: Unit, optimiser: torch.optim.Optimizer, lesson: Lesson, batch: int) -> Epoch:
    number = len(unit.history) + 1
    torch.manual_seed(_seed(unit.name, str(number)))
    there = device.of(unit.model)
    device.finish(there)
    started = time.perf_counter()
    unit.model.train()
    used = lesson.used
    order = used[torch.randperm(len(used))]
    total = torch.zeros((), dtype=torch.float64, device=there)  # read at the end alone, since a GPU is waited for then
    for rows in torch.split(order, batch):
        total += _step(unit.model, optimiser, lesson, rows).double() * len(rows)
    device.finish(there)
    seconds = time.perf_counter() - started
    kept = evaluate(unit.model, lesson.valid, lesson.goal)
    goal = GOALS[lesson.goal]
    valid_loss = (goal.kept_loss or goal.loss)(kept, lesson.valid.y, lesson).item()
    valid_score = lesson.metric.per_item(kept, lesson.valid.y).mean().item()
    figures = team.agree([total.item() / len(used), valid_loss, valid_score, seconds])
    return Epoch(
        epoch=number,
        train_loss=figures[0],
        valid_loss=figures[1],
        valid_score=figures[2],
        seconds=figures[3],
        learning_rate=optimiser.param_groups[0]["lr"],
    )


def _step(model: nn.Module, optimiser: torch.optim.Optimizer, lesson: Lesson, rows: Tensor) -> Tensor:
    """One step on a batch, and its loss. Of a team each process takes some of the rows, and gradients are added up."""
    optimiser.zero_grad()
    there = device.of(model)
    with team.sharing(rows) as (mine, counts):
        x, y = lesson.train.x[mine], lesson.train.y[mine]
        lengths = None if lesson.train.lengths is None else lesson.train.lengths[mine]
        x = device.moved(x if lesson.augment is None else lesson.augment(x), there)
        part = loss_of(model(x, device.moved(lengths, there)), device.moved(y, there), lesson)
        part = part * (_weight(mine, lesson) / _weight(rows, lesson) if counts else 0.0)
        part.backward()  # type: ignore[no-untyped-call]
    loss = team.add_gradients(model, part.detach())
    nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimiser.step()
    return loss


def _weight(rows: Tensor, lesson: Lesson) -> float:
    """What items count in the loss's mean."""
    return GOALS[lesson.goal].weight(lesson.train.y[rows], lesson)


def _seed(name: str, moment: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{name} {moment}".encode()).digest()[:7], "little")


def _save(unit: Unit, optimiser: torch.optim.Optimizer) -> None:
    """Write the checkpoint whole or not at all; of a team the leader does, and nobody goes on before it is there."""
    if team.leads():
        _write(unit, optimiser)
    team.meet()


def _write(unit: Unit, optimiser: torch.optim.Optimizer) -> None:
    tensors = {f"model.{k}": v for k, v in unit.model.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in unit.best.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{k}": v for k, v in state.items()}
    sealed.save(unit.file, tensors, {"run": unit.run, "history": [e.model_dump() for e in unit.history]})


def history_of(about: dict[str, Any]) -> list[Epoch]:
    """The epochs that a checkpoint notes."""
    return [Epoch.model_validate(e) for e in about["history"]]


def _restore(unit: Unit, optimiser: torch.optim.Optimizer) -> None:
    try:
        tensors, about = sealed.load(unit.file)
        unit.history, run = history_of(about), about["run"]
        unit.model.load_state_dict(_below("model.", tensors))
        unit.best = _below("best.", tensors)
        if unit.best.keys() != unit.model.state_dict().keys():
            raise ValueError("it lacks weights of the best epoch")
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in _below("adam.", tensors).items():
            index, key = name.split(".")
            states.setdefault(int(index), {})[key] = value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": states})
    except (sealed.DamagedError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise DataError(
            f"{unit.file}: the checkpoint cannot be read ({reason(error)}); remove this file, and the same command "
            "trains it again"
        ) from None
    if run != unit.run:
        raise DataError(
            f"{unit.file}: the checkpoint is of another run, whose data or settings were others; start anew with --fresh, "
            "or choose another --out"
        )


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

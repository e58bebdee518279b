"""What will be done: the networks, their widths, and how long each may train."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch

import pellucid
from pellucid import device
from pellucid.errors import ArgumentError
from pellucid.lab import team, tune
from pellucid.lab.candidates import (
    TOLERANCE,
    Blueprint,
    Size,
    blueprint,
    common_size,
    embedding_size,
    recurrent,
    solve_width,
)
from pellucid.lab.counted import counted
from pellucid.lab.data.split import digest
from pellucid.lab.pace import Budget
from pellucid.lab.runs import Config
from pellucid.lab.settings import Equal
from pellucid.lab.task import Task

SHARES = (0.125, 0.25, 0.5)  # of the training part, for a learning curve


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        task: the data.
        blueprints, widths: the networks; sizes: what they have of what is made equal.
        config: all that decides the figures.
        budget: of a seed's training; tuning trials get half its epochs.
        cautions: what a reader must know of the plan.
        device: where networks are trained and asked.
    """

    task: Task
    blueprints: list[Blueprint]
    widths: list[int]
    sizes: list[int]
    config: Config
    budget: Budget
    cautions: tuple[str, ...]
    device: torch.device

    @property
    def trial_budget(self) -> Budget:
        """Of a tuning trial: half of a seed's."""
        half = math.ceil(self.budget.epochs / 2)
        seconds = None if self.budget.seconds is None else self.budget.seconds / 2
        return Budget(half, self.budget.patience, self.budget.batch, seconds)

    @property
    def first_budget(self) -> Budget:
        """Of a tuning trial before the weaker half stops: half of its budget."""
        whole = self.trial_budget
        seconds = None if whole.seconds is None else whole.seconds / 2
        return Budget(math.ceil(whole.epochs / 2), whole.patience, whole.batch, seconds)

    def share_budget(self, share: float) -> Budget:
        """Of a seed's training on a share of the data: as many steps, if there are not too many epochs."""
        most = min(math.ceil(self.budget.epochs / share), 4 * self.budget.epochs)
        patience = min(math.ceil(self.budget.patience / share), 4 * self.budget.patience)
        return Budget(most, patience, self.budget.batch, self.budget.seconds)

    def sentence(self) -> str:
        """The plan in one line."""
        names = ", ".join(f"{b.label} ({w} wide)" for b, w in zip(self.blueprints, self.widths, strict=True))
        trials, seeds = self.config.trials, self.config.seeds
        most = (
            counted(self.budget.epochs, "epoch")
            if self.budget.seconds is None
            else f"{self.budget.seconds:g} s of training"
        )
        what = "multiply-adds" if self.config.equal == "macs" else "parameters"
        each = f"about {self.config.size:,} {what} each"
        if min(self.sizes) > (1 + TOLERANCE) * self.config.size:
            each = f"at least {min(self.sizes):,} {what} each, since none can have as few as {self.config.size:,}"
        curve = f", and again on {len(SHARES)} smaller parts of the data" if self.config.curve else ""
        on = "" if self.config.device == "cpu" else f", on the {self.config.device}"
        return (
            f"{names}; {each}; {f'{trials} settings tried' if trials > 1 else 'one setting'} and "
            f"{counted(seeds, 'seed')} trained, at most {most} each{curve}{on}"
        )


def plan(
    task: Task,
    candidates: list[str],
    *,
    equal: Equal = "params",
    size: int | None = None,
    trials: int = 4,
    seeds: int = 3,
    epochs: int | None = None,
    seconds: float | None = None,
    curve: bool = False,
    rope: float | None = None,
    settings: str | None = None,
    on: torch.device = device.CPU,
) -> Plan:
    """Settle what will be done.

    Args:
        task: the data.
        candidates: names, or cells as ``file.py:Class``.
        equal: whether networks are equal in parameters, in multiply-adds for one item, or in parameters and in the seconds
            that they may train.
        size: parameters, or multiply-adds, of each network. About 6 parameters for each training item (or step, where each
            is asked for several labels), between 4,000 and
            40,000, beside the vocabulary, where None; or the multiply-adds that the middle one of such networks has.
        trials: settings that each network tries.
        seeds: trainings of each with the best.
        epochs: at most; fewer for more data where None.
        seconds: for each training with ``equal="time"``.
        curve: whether the seeds are trained on smaller parts of the data too.
        rope: the difference in the metric's unit below which networks are as good as one another; what the metric says
            where None.
        settings: that each network tries before the lab's own, as for :func:`pellucid.lab.tune.given`.
        on: the device that networks are trained and asked on.

    Raises:
        ArgumentError: a count or a setting that cannot be, an unknown network, the same one twice, one that the task does not
            allow.
    """
    _check(task, equal, size, trials, seeds, epochs, seconds, rope)
    own = tune.given(settings or "")
    if len(own) > trials:
        raise ArgumentError(
            f"{counted(len(own), 'setting')} are to be tried, and trials is {trials}; give {len(own)} or more"
        )
    plans = _blueprints(task, candidates)
    items = len(task.train)
    by_parameters: list[Size] = [p.parameters(task) for p in plans]
    words = task.channels + (task.outputs if task.goal == "next" else 0)
    vocabulary = words * embedding_size(task)  # what is read and said takes room that a network then computes in
    asked = int((task.train.y[..., 0] >= 0).sum()) if task.goal == "next labels" else items
    sizes, wanted = by_parameters, size or int(np.clip(6 * asked, 4_000, 40_000)) + vocabulary
    if equal == "macs":
        sizes = [p.macs(task) for p in plans]
        widths = [solve_width(of, wanted) for of in by_parameters]
        wanted = size or sorted(of(width) for of, width in zip(sizes, widths, strict=True))[len(sizes) // 2]
    wanted = common_size(sizes, wanted)
    widths = [solve_width(of, wanted) for of in sizes]
    found = [of(width) for of, width in zip(sizes, widths, strict=True)]
    cautions: tuple[str, ...] = ()
    if max(found) > (1 + TOLERANCE) * min(found):
        what = "multiply-adds" if equal == "macs" else "parameters"
        cautions = (
            f"No widths make the networks equal within 5 %: they have {min(found):,} to {max(found):,} {what}.",
        )
    epochs = epochs or int(np.clip(80_000 / items, 5, 60))
    if equal == "time":
        seconds, epochs = seconds or 20.0, 10_000
        cautions += ("A clock ended each training, so the same command will not give quite the same figures again.",)
    batch = int(np.clip(2 ** round(math.log2(max(items, 2) / 20)), 8, 64))
    config = Config(
        pellucid=pellucid.__version__,
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        data=task.fingerprint,
        candidates=candidates,
        equal=equal,
        size=wanted,
        trials=trials,
        seeds=seeds,
        epochs=epochs,
        seconds=seconds,
        curve=curve,
        rope=rope,
        cells=digest(*(cell.file.read_bytes() for name in candidates if (cell := recurrent(name)) and cell.own)),
        device=device.name(on),
        processes=team.place()[1],
        space=1 if trials <= tune.SAME else tune.SPACE,
        settings=";".join(tune.written(tried) for tried in own),
        lowers=True,
    )
    return Plan(task, plans, widths, found, config, Budget(epochs, max(3, epochs // 4), batch, seconds), cautions, on)


def _check(
    task: Task,
    equal: Equal,
    size: int | None,
    trials: int,
    seeds: int,
    epochs: int | None,
    seconds: float | None,
    rope: float | None,
) -> None:
    """Refuse what cannot be asked."""
    for name, value, most in (
        ("trials", trials, tune.MOST_TRIALS),
        ("seeds", seeds, 100),
        ("epochs", epochs, 10_000),
        ("macs", size if equal == "macs" else None, 10**12),
        ("params", size if equal != "macs" else None, 10**9),
    ):
        if value is not None and not 1 <= value <= most:
            raise ArgumentError(f"{name} is {value}; give a number from 1 to {most:,}")
    if equal not in get_args(Equal):
        raise ArgumentError(f"equal is {equal!r}; choose {', '.join(get_args(Equal)[:-1])} or {get_args(Equal)[-1]}")
    if seconds is not None and equal != "time":
        raise ArgumentError(f"seconds is {seconds:g}, and counts only with --equal time; add that, or leave it out")
    if seconds is not None and not 0 < seconds < math.inf:
        raise ArgumentError(f"seconds is {seconds:g}; give a number above 0")
    if epochs is not None and equal == "time":
        raise ArgumentError("with --equal time the seconds decide, not the epochs; leave one of them out")
    if rope is not None and not 0 < rope < math.inf:
        raise ArgumentError(f"rope is {rope:g}; give a difference above 0, in the unit of {task.metric.name}")


def _blueprints(task: Task, candidates: list[str]) -> list[Blueprint]:
    plans = [blueprint(name) for name in candidates]
    if not plans:
        raise ArgumentError("no network is named; give some of cnn, rnn, lstm, gru, or a cell as my_cell.py:MyCell")
    by_name: dict[str, str] = {}
    for wanted, found in zip(candidates, plans, strict=True):
        if found.name in by_name:
            raise ArgumentError(
                f"{by_name[found.name]} and {wanted} are both called {found.label}; name each network once, and give "
                "a cell's class a name of its own"
            )
        by_name[found.name] = wanted
        found.check(task)
    return plans

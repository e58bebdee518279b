"""What will be done: the networks, their widths, and how long each may train."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

import pellucid
from pellucid.errors import ArgumentError
from pellucid.lab.candidates import TOLERANCE, Blueprint, blueprint, common_size, embedding_size, solve_width
from pellucid.lab.data.split import digest
from pellucid.lab.runs import Config
from pellucid.lab.task import Task
from pellucid.lab.train import Budget

LEARNING_RATES = (0.003, 0.01, 0.001, 0.03, 0.0003)  # tried in this order by every network


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        task: the data.
        blueprints, widths: the networks.
        config: all that decides the figures.
        budget: of a seed's training; tuning trials get half its epochs.
        cautions: what a reader must know of the plan.
    """

    task: Task
    blueprints: list[Blueprint]
    widths: list[int]
    config: Config
    budget: Budget
    cautions: tuple[str, ...]

    @property
    def trial_budget(self) -> Budget:
        """Of a tuning trial: half of a seed's."""
        half = math.ceil(self.budget.epochs / 2)
        seconds = None if self.budget.seconds is None else self.budget.seconds / 2
        return Budget(half, self.budget.patience, self.budget.batch, seconds)

    def sentence(self) -> str:
        """The plan in one line."""
        names = ", ".join(f"{b.label} ({w} wide)" for b, w in zip(self.blueprints, self.widths, strict=True))
        trials, seeds = self.config.trials, self.config.seeds
        most = (
            f"{self.budget.epochs} epochs" if self.budget.seconds is None else f"{self.budget.seconds:g} s of training"
        )
        return (
            f"{names}; about {self.config.parameters:,} parameters each; {trials} settings tried and "
            f"{seeds} seeds trained, at most {most} each"
        )


def plan(
    task: Task,
    candidates: list[str],
    *,
    equal: Literal["params", "time"] = "params",
    parameters: int | None = None,
    trials: int = 3,
    seeds: int = 3,
    epochs: int | None = None,
    seconds: float | None = None,
) -> Plan:
    """Settle what will be done.

    Args:
        task: the data.
        candidates: names, or cells as ``file.py:Class``.
        equal: whether networks are equal in parameters, or in the seconds that they may train, too.
        parameters: of each network; about 6 for each training item, between 4,000 and 40,000, beside the vocabulary, where None.
        trials: learning rates that each network tries.
        seeds: trainings of each with the best.
        epochs: at most; fewer for more data where None.
        seconds: for each training with ``equal="time"``.

    Raises:
        ArgumentError: a count that cannot be, an unknown network, the same one twice.
    """
    for name, value, most in (
        ("trials", trials, len(LEARNING_RATES)),
        ("seeds", seeds, 100),
        ("epochs", epochs, 10_000),
        ("params", parameters, 1_000_000_000),
    ):
        if value is not None and not 1 <= value <= most:
            raise ArgumentError(f"{name} is {value}; give a number from 1 to {most:,}")
    if equal not in ("params", "time"):
        raise ArgumentError(f"equal is {equal!r}; choose params or time")
    if seconds is not None and equal != "time":
        raise ArgumentError(f"seconds is {seconds:g}, and counts only with --equal time; add that, or leave it out")
    if seconds is not None and not 0 < seconds < math.inf:
        raise ArgumentError(f"seconds is {seconds:g}; give a number above 0")
    if epochs is not None and equal == "time":
        raise ArgumentError("with --equal time the seconds decide, not the epochs; leave one of them out")
    plans = [blueprint(name) for name in candidates]
    by_name: dict[str, str] = {}
    for wanted_name, found in zip(candidates, plans, strict=True):
        if found.name in by_name:
            raise ArgumentError(
                f"{by_name[found.name]} and {wanted_name} are both called {found.label}; name each network once, and give "
                "a cell's class a name of its own"
            )
        by_name[found.name] = wanted_name
    if not plans:
        raise ArgumentError("no network is named; give some of cnn, rnn, lstm, gru, or a cell as my_cell.py:MyCell")
    items = len(task.train)
    words = task.channels + (task.outputs if task.goal == "next" else 0)
    vocabulary = words * embedding_size(task)  # what is read and said takes room that a network then computes in
    wanted = parameters or int(np.clip(6 * items, 4_000, 40_000)) + vocabulary
    wanted = common_size(plans, task, wanted)
    widths = [solve_width(p, task, wanted) for p in plans]
    sizes = [p.size(task, w) for p, w in zip(plans, widths, strict=True)]
    cautions: tuple[str, ...] = ()
    if max(sizes) > (1 + TOLERANCE) * min(sizes):
        cautions = (
            f"No widths make the networks equal within 5 %: they have {min(sizes):,} to {max(sizes):,} parameters.",
        )
    epochs = epochs or int(np.clip(80_000 / items, 5, 60))
    if equal == "time":
        seconds, epochs = seconds or 20.0, 10_000
    batch = int(np.clip(2 ** round(math.log2(max(items, 2) / 20)), 8, 64))
    config = Config(
        pellucid=pellucid.__version__,
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        data=task.fingerprint,
        candidates=candidates,
        equal=equal,
        parameters=wanted,
        trials=trials,
        seeds=seeds,
        epochs=epochs,
        seconds=seconds,
        cells=digest(*(Path(name.rpartition(":")[0]).read_bytes() for name in candidates if ":" in name)),
    )
    return Plan(task, plans, widths, config, Budget(epochs, max(3, epochs // 4), batch, seconds), cautions)

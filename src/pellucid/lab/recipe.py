"""What a run keeps beside its models so that they can be made and fed again without the data they came from.

task.json            sizes, labels and preprocessing of the task, and how wide each network is
items.safetensors    a few test items as the networks see them, their right answers and names: an exported model is checked on
                     these, and a page shows what the networks do with them
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import ArgumentError, DataError
from pellucid.lab import sealed
from pellucid.lab.bodies import Network
from pellucid.lab.candidates import blueprint, recurrent
from pellucid.lab.data.inputs import Inputs
from pellucid.lab.plan import Plan
from pellucid.lab.reasons import reason
from pellucid.lab.results import Record
from pellucid.lab.runs import Run, safe
from pellucid.lab.settings import Kind
from pellucid.lab.task import Form, Goal, Split

ITEMS = (8, 32)  # test items that are kept: the fewest, and the most where they are small
NUMBERS = 2**20  # of their input that are kept, if that is more than the fewest items have


class Member(Record):
    """A network of the run."""

    name: str
    label: str
    width: int
    wanted: str  # as the plan was asked for it: a built-in name, or file.py:Class with the file's full path, after cnn+ if so
    cell: str  # the cell's key, which changes with its equations; "" for the CNN


class Recipe(Record):
    """A task without its data. The fields are those of :class:`pellucid.lab.task.Task`, and the networks.

    A network reads its sizes from a task, and finds all of them here.
    """

    kind: Kind
    form: Form
    goal: Goal
    source: str
    title: str
    channels: int
    extent: tuple[int, ...]
    outputs: int
    labels: tuple[str, ...]
    horizon: int
    scale: tuple[tuple[float, ...], tuple[float, ...]]
    step: str
    quantiles: tuple[float, ...]
    block: int
    preprocessing: dict[str, Any]
    seeds: int
    networks: tuple[Member, ...]

    def member(self, name: str) -> Member:
        """A network by its name.

        Raises:
            ArgumentError: the run has no such network.
        """
        for member in self.networks:
            if name.strip().lower() in (member.name, member.label.lower()):
                return member
        names = ", ".join(m.name for m in self.networks)
        raise ArgumentError(f"the run has no network {name!r}; it has {names}")

    def network(self, run: Run, name: str, seed: int, cell: str | None = None) -> Network:
        """A trained network.

        Args:
            run: the folder.
            name: of the network.
            seed: from 1.
            cell: where a person's own cell stands now, as ``file.py:Class``; where it stood in training if None.

        Raises:
            ArgumentError: no such network or seed, or a cell for a network that has none of a person's own.
            DataError: the model's file, or the cell's, is gone, damaged or another one.
        """
        member = self.member(name)
        if not 1 <= seed <= self.seeds:
            raise ArgumentError(f"seed is {seed}, and the run has the seeds 1 to {self.seeds}; give one of them")
        asked = recurrent(member.wanted)
        own = asked is not None and asked.own
        if cell is not None and not own:
            raise ArgumentError(f"the {member.label} is built in, and --cell names a cell of one's own; leave it out")
        plan = blueprint(member.wanted if cell is None or asked is None else asked.at(cell))
        if plan.cell is not None and plan.cell.key != member.cell:
            remedy = "name the file as it was with --cell my_cell.py:MyCell" if own else "use the version that made it"
            raise DataError(
                f"{cell or member.wanted}: the cell's equations are not those that the run was trained with; {remedy}"
            )
        model = plan.build(self, member.width)
        path = run.folder / "models" / f"{safe(member.name)}-seed-{seed}.safetensors"
        try:
            model.load_state_dict(sealed.load(path)[0])
        except FileNotFoundError:
            first = "remove result.json from the run, and " if (run.folder / "result.json").is_file() else ""
            raise DataError(
                f"{path}: there is no such model; unless the network diverged, {first}the same compare command writes it"
            ) from None
        except (OSError, sealed.DamagedError, RuntimeError) as error:
            raise DataError(
                f"{path}: the model cannot be read ({reason(error)}); remove result.json from the run, and "
                "the same compare command writes it again"
            ) from None
        return model.eval()


def keep(made: Plan, run: Run) -> None:
    """Write task.json and items.safetensors, each whole or not at all; what is there already stays."""
    task = made.task
    path = run.file("task.json")
    if not path.exists():
        sealed.save_record(path, _recipe(made))
    path = run.file("items.safetensors")
    if not path.exists():
        some = _some(task.test)
        tensors = {"x": some.x, "y": some.y, "lengths": some.lengths, "scales": some.scales}
        given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        sealed.save(path, given, {"items": some.items})


def read(run: Run) -> Recipe:
    """The run's recipe.

    Raises:
        DataError: the folder is no run, or the file is missing or damaged.
    """
    if run.config() is None:
        raise DataError(f"{run.folder}: this is no run; give the folder that pellucid compare wrote, such as runs/NAME")
    path = run.folder / "task.json"
    try:
        return sealed.load_record(path, Recipe)
    except FileNotFoundError:
        raise DataError(f"{path}: the run does not have it yet; the same compare command writes it") from None
    except (OSError, sealed.DamagedError) as error:
        raise DataError(
            f"{path}: cannot be read ({reason(error)}); remove this file, and the same compare command writes it again"
        ) from None


def items(run: Run) -> tuple[Inputs, Tensor | None]:
    """The kept test items, and their right answers as a split has them; older runs kept neither answers nor names.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = run.folder / "items.safetensors"
    try:
        found, about = sealed.load(path)
        x, names = found["x"], about.get("items")
    except (OSError, sealed.DamagedError, KeyError) as error:
        raise DataError(
            f"{path}: cannot be read ({reason(error)}); remove this file, and the same compare command writes it again"
        ) from None
    names = names or [f"test item {k + 1}" for k in range(len(x))]
    return Inputs(x, found.get("lengths"), names, found.get("scales")), found.get("y")


def _some(test: Split) -> Split:
    """Items evenly spread over the test part, which is often in order of classes, or of time."""
    count = int(np.clip(NUMBERS // max(1, test.x[0].numel()), *ITEMS))
    rows = np.linspace(0, len(test) - 1, min(count, len(test))).round().astype(np.int64)
    return test.rows(torch.from_numpy(rows))


def _recipe(made: Plan) -> Recipe:
    task = made.task
    named = zip(made.blueprints, made.widths, made.config.candidates, strict=True)
    return Recipe(
        kind=task.kind,
        form=task.form,
        goal=task.goal,
        source=str(task.source),
        title=task.title,
        channels=task.channels,
        extent=task.extent,
        outputs=task.outputs,
        labels=task.labels,
        horizon=task.horizon,
        scale=task.scale,
        step=task.step,
        quantiles=task.quantiles,
        block=task.block,
        preprocessing=task.preprocessing,
        seeds=made.config.seeds,
        networks=tuple(
            Member(name=b.name, label=b.label, width=w, wanted=_full(wanted), cell="" if b.cell is None else b.cell.key)
            for b, w, wanted in named
        ),
    )


def _full(wanted: str) -> str:
    """As it was asked for, a file with its full path."""
    asked = recurrent(wanted)
    if asked is None or not asked.own:
        return wanted
    return asked.at(f"{asked.file.resolve()}:{asked.cell.rpartition(':')[2]}")

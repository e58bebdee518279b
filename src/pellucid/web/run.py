"""Opening the folder of a comparison: its trained networks, and items that they were or were not tested on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pellucid import device
from pellucid.errors import ArgumentError, DataError
from pellucid.lab import recipe
from pellucid.lab.bodies import Network
from pellucid.lab.candidates import recurrent
from pellucid.lab.data.inputs import Inputs
from pellucid.lab.predict import prepare
from pellucid.lab.recipe import Member, Recipe
from pellucid.lab.runs import Run
from pellucid.web import given
from pellucid.web.items import Maker
from pellucid.web.opened import Opened, Opening, Taking
from pellucid.web.reading import Classes, Forecast, Labels, Next, Number, Numbers, Reading

MOST_ITEMS = 64  # of a person's data that are opened


def of_run(
    folder: Path,
    data: Path | None = None,
    *,
    seed: int = 1,
    cell: str | None = None,
    on: torch.device = device.CPU,
) -> Opened:
    """What is looked into: the run's networks, best first, and its kept test items or a person's data.

    Args:
        folder: the run.
        data: new data of the run's kind, prepared as for prediction; the run's own test items where None.
        seed: which training of each network.
        cell: where a person's own cell stands now, as ``file.py:Class``.
        on: the device that computes, whichever trained.

    Raises:
        DataError: the run or the data cannot be used.
        ArgumentError: an unknown seed, or a cell that the run does not have.
    """
    run = Run(folder)
    kept = recipe.read(run)
    networks = [(member, model.to(on).requires_grad_(False)) for member, model in _networks(kept, run, seed, cell)]
    maker = Maker(kept, max(model.body.least for _, model in networks))
    if data is None:
        items = maker.items(*recipe.items(run))
    else:
        prepared = _some(prepare(kept, data))
        named = kept.goal != "next"  # a text to go on from is its own name
        names = [name.removeprefix(f"{data}/") or data.name for name in prepared.items] if named else [data.stem]
        items = maker.items(replace(prepared, items=names), None)
    return Opened(
        title=kept.title,
        form=kept.form,
        networks=[
            Opening(member.name, member.label, model, model.body.sentence + "; then a linear layer")
            for member, model in networks
        ],
        items=items,
        labels=kept.labels,
        columns=maker.columns,
        reading=_reading(kept),
        takes=Taking(
            read=lambda name, content: maker.items(_some(given.read(kept, name, content)), None),
            suffixes=given.suffixes(kept),
            text=kept.form == "tokens",
            drawn=kept.form == "image" and kept.channels == 1 and max(kept.extent) <= given.DRAWN,
        ),
    )


def _networks(kept: Recipe, run: Run, seed: int, cell: str | None) -> list[tuple[Member, Network]]:
    """The best first, and without those that diverged, where the comparison is finished."""
    found = run.result()
    names = [m.name for m in kept.networks] if found is None else [c.name for c in found.candidates]
    members = [kept.member(name) for name in names]
    own = _own(members, cell)
    return [(m, kept.network(run, m.name, seed, cell if m in own else None)) for m in members]


def _own(members: list[Member], cell: str | None) -> list[Member]:
    """The networks whose cell is the one that a person says has moved."""
    if cell is None:
        return []
    name = cell.rpartition(":")[2]
    found = [
        m for m in members if (asked := recurrent(m.wanted)) and asked.own and asked.cell.rpartition(":")[2] == name
    ]
    if not found:
        raise ArgumentError(f"--cell names {name}, and no network of the run has a cell of that name; leave it out")
    return found


def _some(prepared: Inputs) -> Inputs:
    """At most so many, evenly spread."""
    if not len(prepared.x):
        raise DataError("the data holds no items; give at least one")
    rows = np.unique(np.linspace(0, len(prepared.x) - 1, MOST_ITEMS).round().astype(np.int64)).tolist()
    return Inputs(
        prepared.x[rows],
        None if prepared.lengths is None else prepared.lengths[rows],
        [prepared.items[k] for k in rows],
        None if prepared.scales is None else prepared.scales[rows],
        tuple(prepared.ahead[k] for k in rows) if prepared.ahead else (),
        prepared.notes,
    )


def _reading(kept: Recipe) -> Reading:
    """How outputs are read; a goal that has no form of its own here is read as numbers."""
    if kept.goal == "class":
        return Classes(kept.labels)
    if kept.goal == "next":
        return Next(kept.labels)
    if kept.goal in ("labels", "next labels"):
        return Labels(kept.labels)
    if kept.goal == "number":
        return Number(kept.labels[0], kept.scale[0][0], kept.scale[1][0])
    if kept.goal == "forecast":
        column = kept.preprocessing["columns"].index(kept.preprocessing["target"])
        return Forecast(kept.labels[0], column, kept.quantiles)
    return Numbers()

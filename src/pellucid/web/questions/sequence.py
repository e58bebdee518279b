"""A recurrent layer's values over time: all units of one as a picture, or one unit of all as lines."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from pellucid.errors import ArgumentError
from pellucid.web.opened import Opened
from pellucid.web.questions.question import Answer
from pellucid.web.questions.recurrence import OfLayer, Run, kind_of
from pellucid.web.questions.tiles import rounded, tile

MOST_COLUMNS, MOST_ROWS = 2000, 512
ITERATIONS, TINY = 8, 1e-12
Order = Literal["unit", "time", "similarity", "mean"]


class Windowed(OfLayer):
    """A part of time: ``count`` steps from ``start``, 0 for all that follow. Longer parts come as means over windows of steps."""

    start: int = 0
    count: int = 0

    def windows(self, run: Run) -> tuple[int, int]:
        """Where the part ends, and how many steps a window has.

        Raises:
            ArgumentError: a part that does not exist.
        """
        end = self.start + self.count if self.count else run.steps
        if not (0 <= self.start < end <= run.steps and self.count >= 0):
            raise ArgumentError(
                f"steps {self.start} to {end} do not exist; {run.name} ran {run.steps} steps, counted from 0"
            )
        return end, math.ceil((end - self.start) / MOST_COLUMNS)


class Sequence(Windowed):
    """One value, units down and time across; the rows in an order that is read off the layer's memory.

    ``first`` is the row of that order with which the picture begins; it has as many of those that follow as one answer holds.
    """

    name: str
    order: Order = "unit"
    first: int = 0

    def answer(self, opened: Opened) -> Answer:
        """A tile (rows, columns); which unit each row is; the first step and the steps of a column."""
        run = self.run(opened)
        end, window = self.windows(run)
        values = run.values(self.name)
        size = values.shape[-1]
        if not 0 <= self.first < size:
            raise ArgumentError(
                f"row {self.first} does not exist; {self.name} of {run.name} has {size}, counted from 0"
            )
        units = order_of(self, opened, run, self.order, "x" if self.name == "x" else run.memory[0])
        if len(units) != size:
            units = list(range(size))
        shown = units[self.first : self.first + MOST_ROWS]
        rows = averaged(values[self.start : end], window).T
        most = (
            float(rows.nan_to_num().abs().max()) or 1.0
        )  # of all rows, so that pictures of some have the same colours
        kind = "input" if self.name == "x" else kind_of(self.name, run.names[self.name], run)
        return {
            "name": self.name,
            "kind": kind,
            "tile": tile(rows[shown], *((0.0, 1.0) if kind == "gate" else (-most, most))),
            "units": shown,
            "of": size,
            "start": self.start,
            "window": window,
        }


class Ordered(OfLayer):
    """In which order the rows of a layer's pictures stand."""

    order: Order

    def answer(self, opened: Opened) -> Answer:
        """The number of the unit in each row, of all units."""
        run = self.run(opened)
        return {"units": order_of(self, opened, run, self.order, run.memory[0])}


class Line(Windowed):
    """Every value of one unit over time, as numbers."""

    unit: int

    def answer(self, opened: Opened) -> Answer:
        """For each name that has this unit its numbers; the first step and the steps that each number is the mean of."""
        run = self.run(opened)
        run.check_unit(self.unit)
        end, window = self.windows(run)
        lines = []
        for name, node in run.names.items():
            values = run.values(name)
            if self.unit < values.shape[-1]:
                found = averaged(values[self.start : end, self.unit, None], window)[:, 0]
                numbers = [rounded(number) for number in found.tolist()]
                lines.append({"name": name, "kind": kind_of(name, node, run), "values": numbers})
        return {"unit": self.unit, "lines": lines, "start": self.start, "window": window}


def averaged(values: Tensor, window: int) -> Tensor:
    """(T, H) to (ceil(T / window), H): means over windows of steps; the last may have fewer."""
    if window == 1:
        return values
    return torch.stack([values[at : at + window].mean(0) for at in range(0, len(values), window)])


def order_of(asked: OfLayer, opened: Opened, run: Run, by: Order, name: str) -> list[int]:
    """:func:`ordered` of a value of the layer; computed once, for the pictures of all values are asked for together."""
    about = ("order", asked.network, asked.item, run.name, name, by)
    return opened.once(about, lambda: ordered(run.values(name), by))


def ordered(values: Tensor, by: Order) -> list[int]:
    """The units of (T, H) in an order.

    ``"time"`` is when they act: the mean step, weighted by how much each changes. ``"similarity"`` puts units side by side that
    rise and fall together: by their angle in the plane of the first two principal components (Friendly 2002, Corrgrams), cut
    where the gap is widest. ``"mean"`` is by their mean, the lowest first.
    """
    if by == "unit" or min(values.shape) < 2:
        return list(range(values.shape[1]))
    score = _when(values) if by == "time" else _angle(values) if by == "similarity" else values.mean(0)
    found: list[int] = score.argsort(stable=True).tolist()
    return found


def _when(values: Tensor) -> Tensor:
    change = values.diff(dim=0).abs()
    step: Tensor = torch.arange(1, len(values), dtype=values.dtype, device=values.device)
    return step @ change / change.sum(0).clamp(min=TINY)


def _angle(values: Tensor) -> Tensor:
    centred = values - values.mean(0)
    unit = centred / centred.norm(dim=0).clamp(min=TINY)
    # Subspace iteration: the whole of an eigendecomposition would take seconds where there are many units.
    basis = torch.randn(unit.shape[1], 6, generator=torch.Generator().manual_seed(0), dtype=unit.dtype).to(unit.device)
    for _ in range(ITERATIONS):
        basis = torch.linalg.qr(unit.T @ (unit @ basis)).Q
    within = torch.linalg.svd(unit @ basis, full_matrices=False).Vh
    first, second = (basis @ within[:2].T).T
    angle = torch.atan2(second, first)
    placed = angle.sort().values
    gaps = torch.cat([placed.diff(), placed[:1] + 2 * torch.pi - placed[-1:]])
    cut = placed[(int(gaps.argmax()) + 1) % len(placed)]
    return torch.where(angle < cut, angle + 2 * torch.pi, angle)

"""The recurrent layers of a network: where they are, and the cell of one, drawn from its equations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from inspect import signature
from typing import Any

from torch import Tensor

from pellucid.cells import patterns
from pellucid.cells.bounds import bounds, is_gate
from pellucid.cells.diagram import Drawn, diagram
from pellucid.cells.graph import Node
from pellucid.cells.text import Text
from pellucid.errors import ArgumentError
from pellucid.inside.along import Along, along
from pellucid.inside.saturation import is_gate as in_range
from pellucid.nn import Recurrent
from pellucid.web.opened import Opened
from pellucid.web.passes import Pass
from pellucid.web.questions.question import Answer, Question

ROOM = 34.0  # below every row of a drawing, for numbers
drawn = lru_cache(maxsize=32)(diagram)  # a large cell takes a second or two to arrange


@dataclass(frozen=True)
class Run:
    """One direction of one recurrent layer in a pass over an item.

    Attributes:
        done: the pass.
        path: of the layer's module; place: the direction in it, ``"l0"``, ``"l1_reverse"``.
        layer: the module.
    """

    done: Pass
    path: str
    place: str
    layer: Recurrent

    @property
    def name(self) -> str:
        """What the page calls it, and with what the names of its values begin in a trace."""
        return f"{self.path}.{self.place}" if self.path else self.place

    @property
    def called(self) -> tuple[Any, dict[str, Any]]:
        """What the layer was given: its input, and what else by name."""
        args, named = self.done.given[self.path]
        arguments = signature(self.layer.forward).bind(*args, **named).arguments
        return arguments.pop("input"), arguments | arguments.pop("step_inputs", {})

    @cached_property
    def along(self) -> Along:
        """What it ran with."""
        x, called = self.called
        return along(self.layer, self.done.seen, x, place=self.place, path=self.path, **called)

    @cached_property
    def steps(self) -> int:
        """The steps that exist."""
        return int(self.along.ends[0])

    def values(self, name: str) -> Tensor:
        """(T, size): a value that the equations name, or ``"x"``, what the layer reads.

        Raises:
            ArgumentError: there is no such value.
        """
        if name == "x":
            return self.along.inputs[: self.steps, 0]
        if name not in self.names:
            raise ArgumentError(f"{self.name} has no value {name!r}; it has x, {', '.join(self.names)}")
        return self.done.seen[f"{self.name}.{name}"].values.detach()[: self.steps, 0]

    @cached_property
    def names(self) -> dict[str, Node]:
        """Every value that a trace shows, in the order of the equations."""
        return {name: node for name, node in self.along.graph.named.items() if node.varies}

    @cached_property
    def memory(self) -> tuple[str, str]:
        """The state that is carried longest (the first whose equation keeps a part of it, else the output), and the gate that keeps it or ""."""
        graph = self.along.graph
        for name, before in graph.states.items():
            gate = patterns.keeper(graph.after[name], before)
            if gate is not None and gate.name and in_range(self.done.seen[f"{self.name}.{gate.name}"]):
                return name, gate.name
        return next(iter(graph.states)), ""

    @cached_property
    def most(self) -> float:
        """The largest size that the memory reaches: the range on which values without bounds are shown."""
        return float(self.values(self.memory[0]).abs().max())

    @cached_property
    def most_read(self) -> float:
        """The largest size of what the layer reads."""
        return float(self.values("x").abs().max())

    def check_step(self, step: int) -> None:
        """Raise an ArgumentError where there is no such step."""
        if not 0 <= step < self.steps:
            raise ArgumentError(f"step {step} does not exist; {self.name} ran {self.steps} steps, counted from 0")

    def check_unit(self, unit: int) -> None:
        """Raise an ArgumentError where there is no such unit."""
        if not 0 <= unit < self.layer.hidden_size:
            raise ArgumentError(f"unit {unit} does not exist; {self.name} has {self.layer.hidden_size}, counted from 0")


def runs(opened: Opened, network: str, item: int) -> list[Run]:
    """Every direction of every recurrent layer that ran, in the order in which they ran."""
    done = opened.seen(network, item)
    if "runs" in done.derived:
        return done.derived["runs"]  # type: ignore[no-any-return]
    modules = dict(opened.network(network).model.named_modules())
    found: list[Run] = []
    for path in done.given:
        layer = modules[path]
        assert isinstance(layer, Recurrent)
        places = [f"l{number}{direction}" for number in range(layer.num_layers) for direction in layer.directions]
        found += [Run(done, path, place, layer) for place in places]
    done.derived["runs"] = found
    return found


class OfLayer(Question):
    """A question about one direction of one recurrent layer, ``layer`` as :class:`Places` names it."""

    network: str
    item: int
    layer: str

    def run(self, opened: Opened) -> Run:
        """Find it.

        Raises:
            ArgumentError: there is none.
        """
        known = runs(opened, self.network, self.item)
        for run in known:
            if run.name == self.layer:
                return run
        names = ", ".join(run.name for run in known) or "none"
        raise ArgumentError(f"{self.network} has no recurrent layer {self.layer!r}; it has {names}")


class Places(Question):
    """The recurrent layers of a network and their directions."""

    network: str
    item: int

    def answer(self, opened: Opened) -> Answer:
        """For each: its name, its cell, units and steps, the names of its values with what kind each is, and what it reads."""
        return {
            "places": [
                {
                    "layer": run.name,
                    "number": int(run.place[1:].split("_")[0]),
                    "reverse": run.along.reverse,
                    "cell": run.layer.cell.name,
                    "units": run.layer.hidden_size,
                    "steps": run.steps,
                    "memory": run.memory[0],
                    "keeper": run.memory[1],
                    "values": [
                        {"name": name, "kind": kind_of(name, node, run), "size": run.values(name).shape[-1]}
                        for name, node in run.names.items()
                    ],
                    "reads": run.values("x").shape[-1],
                }
                for run in runs(opened, self.network, self.item)
            ]
        }


def kind_of(name: str, node: Node, run: Run) -> str:
    """``"state"``, ``"gate"`` (always from 0 to 1) or ``"value"``."""
    return "state" if name in run.along.graph.states else "gate" if is_gate(node) else "value"


class CellOf(OfLayer):
    """The cell of a layer: its drawing, and of everything in it the equation."""

    def answer(self, opened: Opened) -> Answer:
        """The SVG text and its size; of each element where it is, what it is called, its equation, and that with places for numbers."""
        run = self.run(opened)
        drawing = drawn(run.layer.cell, run.along.variant, ROOM)
        text = Text({e.element.node for e in drawing.elements if e.element.node is not None})
        return {
            "name": run.layer.cell.name,
            "svg": drawing.svg,
            "width": round(drawing.width, 1),
            "height": round(drawing.height, 1),
            "elements": [_element(e, text) for e in drawing.elements],
        }


def _element(placed: Drawn, text: Text) -> Answer:
    element = placed.element
    node = element.node
    low, high = (-math.inf, math.inf) if node is None else bounds(node)
    return {
        "value": element.value,
        "kind": element.kind,
        "text": element.text,
        "name": element.name or (node.name if node is not None else ""),
        "before": element.time == "t−1",
        "x": round(placed.x, 1),
        "y": round(placed.y, 1),
        "half": round(placed.half, 1),
        "tall": round(placed.tall, 1),
        "symbol": "x_t" if node is None else text.called(node),
        "equation": "" if node is None or node.is_leaf else text.equation(node),
        "filled": [] if node is None else [[_piece(p) for p in line] for line in text.filled(node)],
        "gate": node is not None and is_gate(node),
        "bounded": math.isfinite(low) and math.isfinite(high),
    }


def _piece(piece: str | Node) -> str | int:
    """A text, or the number of the value that stands there."""
    return piece.index if isinstance(piece, Node) else piece

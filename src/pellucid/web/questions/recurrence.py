"""The recurrent layers of a network: where they are, and the cell of one, drawn from its equations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

from torch import Tensor

from pellucid.cells import patterns
from pellucid.cells.bounds import bounds, is_gate
from pellucid.cells.diagram import Drawn, diagram
from pellucid.cells.graph import Node
from pellucid.cells.text import Text
from pellucid.errors import ArgumentError
from pellucid.inside.along import Along, along, along_calls
from pellucid.inside.saturation import is_gate as in_range
from pellucid.nn import Recurrent
from pellucid.nn.rnn_cells import OneStep
from pellucid.web.loops import AXES
from pellucid.web.opened import Opened
from pellucid.web.passes import Pass, Ran
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
    layer: Recurrent | OneStep

    @property
    def name(self) -> str:
        """What the page calls it, and with what the names of its values begin in a trace."""
        return ".".join(part for part in (self.path, self.place) if part)

    @property
    def calls(self) -> list[Ran]:
        """Of the layer: one, or of a cell that the model calls step by step one a step."""
        return self.done.recurrent[self.path]

    @cached_property
    def along(self) -> Along:
        """What it ran with."""
        if isinstance(self.layer, OneStep):
            return along_calls(self.layer, [(a["input"], a.get("hx")) for a in (one.arguments for one in self.calls)])
        arguments = self.calls[0].arguments
        called = arguments | arguments.pop("step_inputs", {})
        return along(self.layer, self.done.seen, called.pop("input"), place=self.place, path=self.path, **called)

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
        return _largest(self.values(self.memory[0]))

    @cached_property
    def most_read(self) -> float:
        """The largest size of what the layer reads."""
        return _largest(self.values("x"))

    def check_step(self, step: int) -> None:
        """Raise an ArgumentError where there is no such step."""
        if not 0 <= step < self.steps:
            raise ArgumentError(f"step {step} does not exist; {self.name} ran {self.steps} steps, counted from 0")

    def check_unit(self, unit: int) -> None:
        """Raise an ArgumentError where there is no such unit."""
        if not 0 <= unit < self.layer.hidden_size:
            raise ArgumentError(f"unit {unit} does not exist; {self.name} has {self.layer.hidden_size}, counted from 0")


def _largest(values: Tensor) -> float:
    """The largest size; without a copy of all, which would take longer than the rest."""
    low, high = values.aminmax()
    return max(-float(low), float(high))


def runs(opened: Opened, network: str, item: int) -> list[Run]:
    """Every direction of every recurrent layer that ran, in the order in which they ran; cells that the model calls among them."""
    done = opened.seen(network, item)
    if "runs" in done.derived:
        return done.derived["runs"]  # type: ignore[no-any-return]
    found: list[Run] = []
    for path, calls in done.recurrent.items():
        layer = calls[0].layer
        assert isinstance(layer, Recurrent | OneStep)
        found += [run for place in _places(layer) if _is_whole(run := Run(done, path, place, layer))]
    done.derived["runs"] = found
    return found


def _places(layer: Recurrent | OneStep) -> list[str]:
    if isinstance(layer, OneStep):
        return [""]
    return [f"l{number}{direction}" for number in range(layer.num_layers) for direction in layer.directions]


def _is_whole(run: Run) -> bool:
    """Whether all steps could be laid side by side; of a cell whose calls differ in size they could not."""
    seen = run.done.seen[f"{run.name}.{next(iter(run.layer.cell.states))}"]
    return not isinstance(run.layer, OneStep) or seen.axes == AXES


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
        """For each: its name, whether the model calls its cell step by step, its cell, units and steps, the names of its values with what kind each is, and what it reads."""
        return {
            "places": [
                {
                    "layer": run.name,
                    "number": int(run.place[1:].split("_")[0] or 0),
                    "loop": isinstance(run.layer, OneStep),
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

"""How far back a gradient reaches, from an answer or from a state, and where in the units it goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid import inside
from pellucid.web.opened import Opened
from pellucid.web.passes import Gradients, Pass
from pellucid.web.questions.near import gradients_near
from pellucid.web.questions.question import Answer
from pellucid.web.questions.recurrence import OfLayer, Run
from pellucid.web.questions.score import BEST, label, scores
from pellucid.web.questions.tiles import numbers, tile

FADED = 0.01  # of where the gradient starts, as in a comparison's report
DECADES = 6.0  # of a gradient's picture
COLUMNS = 2000  # steps of a picture; of more, the largest of a window is sent


class Differentiated(OfLayer):
    """What a gradient is of: the network's answer, all units of a layer's output, or one unit of it; at a step, the last if none is given.

    ``target`` is the class, the token or the step ahead that is meant, of an answer: the network's own choice if none is given.
    ``back`` is how many steps from where it starts are enough for now; 0 for all. An answer says ``since`` which step it knows it.
    """

    of: Literal["answer", "state", "unit"] = "answer"
    step: int | None = None
    target: int | None = None
    unit: int = 0
    back: int = 0

    def differentiated(self, opened: Opened) -> tuple[Run, Gradients, int]:
        """The run, the gradients, and the step."""
        run = self.run(opened)
        step = run.steps - 1 if self.step is None else self.step
        run.check_step(step)
        if self.of == "answer":
            target = scores(opened, run.done.output, padded(run), step).chosen(self.target)
            key, of = f"answer {step} {target}", _answer(opened, padded(run), step, target)
            return run, _back(self, opened, run, key, of, self.back), step
        run.check_unit(self.unit)
        return run, of_state(self, opened, run, step, self.unit if self.of == "unit" else None, self.back), step


def of_state(question: OfLayer, opened: Opened, run: Run, step: int, unit: int | None, back: int = 0) -> Gradients:
    """Those of one unit of what the layer hands on at a step; of the norm of all units for None."""

    def of(done: Pass) -> Tensor:
        state = done.seen[output_of(run)].values[step, 0]
        return state.norm() if unit is None else state[unit]

    return _back(question, opened, run, f"{run.name} {step} {unit}", of, back)


def _back(question: OfLayer, opened: Opened, run: Run, key: str, of: Callable[[Pass], Tensor], back: int) -> Gradients:
    """All the way, or some steps of it."""
    if back < 1:
        return opened.gradients(question.network, question.item, key, of)
    near = f"{key} back {back} in {run.name}"
    return opened.gradients(
        question.network, question.item, near, of, lambda _, number: gradients_near(run, number, back)
    )


def output_of(run: Run) -> str:
    """The trace's name of what the layer hands on: its first state."""
    return f"{run.name}.{next(iter(run.layer.cell.states))}"


def padded(run: Run) -> int:
    """The steps of the layer's values, those beyond the item's end among them."""
    return len(run.done.seen[output_of(run)].values)


def _answer(opened: Opened, steps: int, step: int, target: int) -> Callable[[Pass], Tensor]:
    return lambda done: scores(opened, done.output, steps, step).values[target]


class Reach(Differentiated):
    """The norm of the gradient that reaches each state of a layer, step by step."""

    def answer(self, opened: Opened) -> Answer:
        """What it is the gradient of, and of each state the norms, where they start, and where 1 % is left.

        ``norms[t]`` is the Euclidean norm over units of dL/ds_t; ``start`` is the step nearest to what L is of that a gradient
        reaches, ``fades`` how many steps from there it first falls below 1 % of that (null: it never does, as far as is known).
        """
        run, gradients, step = self.differentiated(opened)
        about: Answer = {
            "of": self.of,
            "step": step,
            "since": gradients.since,
            "memory": run.memory[0],
            "reverse": run.along.reverse,
            "states": [_reach(run, gradients, name) for name in run.layer.cell.states],
        }
        if self.of != "answer":
            return about
        found = scores(opened, run.done.output.detach(), padded(run), step)
        target, count = found.chosen(self.target), min(BEST, len(found.values))
        best = found.values.topk(count).indices.tolist() if found.classes else list(range(count))
        return about | {
            "target": target,
            "chosen": found.answer,
            "every": found.step is not None,
            "classes": found.classes,
            "offered": [
                {"target": k, "label": label(opened, found, k), "score": float(found.values[k])}
                for k in dict.fromkeys([target, *best])
            ],
        }


def _reach(run: Run, gradients: Gradients, name: str) -> Answer:
    gradient = gradient_of(run, gradients, name)
    if run.along.reverse:  # in the order in which it runs
        gradient = gradient.flip(0)
    reached = gradient.flatten(1).any(1).nonzero()
    if not len(reached):
        return {"name": name, "norms": [0.0] * run.steps, "start": None, "fades": None}
    length = int(reached.max()) + 1
    reach = inside.gradient_reach(gradient, [length], relative=False)
    faded = (reach < FADED * reach[0]).nonzero()
    norms = gradient.new_zeros(run.steps)
    norms[gradients.since : gradients.since + length] = reach.flip(0)
    start = gradients.since + length - 1
    if run.along.reverse:
        norms, start = norms.flip(0), run.steps - 1 - start
    return {"name": name, "norms": numbers(norms), "start": start, "fades": int(faded[0]) if len(faded) else None}


def gradient_of(run: Run, gradients: Gradients, name: str) -> Tensor:
    """(T, 1, H) the gradient that reached a value, from where it is known to the last step that exists; zeros where none came."""
    name = f"{run.name}.{name}"
    found = gradients.values.get(name)
    if found is None:
        found = torch.zeros_like(run.done.seen[name].values)
    steps = run.steps - gradients.since
    found = found[:steps].detach()
    return found if len(found) == steps else F.pad(found, (0, 0, 0, 0, 0, steps - len(found)))


class Gradient(Differentiated):
    """The gradient that reaches one name of the equations, as a picture of units and time."""

    name: str

    def answer(self, opened: Opened) -> Answer:
        """A tile (H, T) of log10 of the gradient's size as a share of its largest, from -6 to 0; its first column is ``since``."""
        run, gradients, _ = self.differentiated(opened)
        run.values(self.name)
        window = -(-run.steps // COLUMNS)
        since = -(-gradients.since // window) * window  # whole windows alone
        size = gradient_of(run, gradients, self.name)[since - gradients.since :, 0].T.abs()
        size = F.max_pool1d(size[None], window, ceil_mode=True)[0]
        most = float(size.max())
        share = (size / (most or 1.0)).log10().clamp(min=-DECADES)
        return {"name": self.name, "most": most, "since": since, "window": window, "tile": tile(share, -DECADES, 0.0)}

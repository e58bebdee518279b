"""Why a network does as it does: how far back its gradient reaches, what in it is stuck, and how far back the data looks.

The gradient's reach is the norm of dL/dh_t against the distance of t from the last step, as a mean over test items (Bengio,
Simard and Frasconi 1994; Pascanu, Mikolov and Bengio 2013), where h is the state that carries, c in the LSTM; the loss is that of
the last answer. How far back the data looks
is measured on the best network, which is shown the last steps of each test item alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid import device, inside
from pellucid.cells.patterns import memory
from pellucid.lab.bodies import ConvolutionsFirst, Network, Recurrence
from pellucid.lab.goals import GOALS, last_step
from pellucid.lab.results import Need, Why
from pellucid.lab.task import Lesson, Split
from pellucid.lab.train import loss_of, predict, predict_last
from pellucid.trace import Seen, Trace, trace

MOST = 256  # test items that are looked at, and fewer where they are large: every value in a network is kept at once
NUMBERS = 2**18  # of all these items
ANSWERED = 2**25  # numbers of the items that are answered from their last steps alone
FADED = 0.01
STUCK = 0.05


def explain(model: Network, split: Split, lesson: Lesson) -> Why:
    """Look into a trained network while it answers test items.

    Args:
        model: the network.
        split: the test part.
        lesson: of the task, for its loss.
    """
    count = min(MOST, max(1, NUMBERS // split.x[0].numel()), len(split))
    split = split.rows(torch.arange(count)).on(device.of(model))
    recurrence = _recurrence(model)
    model.eval()
    model.zero_grad()
    with torch.set_grad_enabled(recurrence is not None), trace(model) as seen:
        prediction = model(split.x, split.lengths)
        target = split.y
        if GOALS[lesson.goal].every_step:
            prediction, target = last_step(prediction, split.lengths), last_step(target, split.lengths)
        if recurrence is not None:
            loss_of(prediction, target, lesson).backward()  # type: ignore[no-untyped-call]
    model.zero_grad()
    extent = split.x.shape[2 if split.x.dim() == 4 else 1]
    why = Why(gradient=[], fades=None, gates={}, sees=model.body.sees, extent=extent, dead=_dead(seen))
    if recurrence is None:
        return why
    path = next(name for name, module in model.named_modules() if module is recurrence.layer)
    last = f"{path}.l{recurrence.layer.num_layers - 1}."
    of_layer = {name.removeprefix(last): value for name, value in seen.items() if name.startswith(last)}
    cell = recurrence.layer.cell
    reach = inside.gradient_reach(of_layer[memory(cell.graph())], split.lengths)
    gradient = list(enumerate(reach.tolist()))
    reached = [
        d for d, share in gradient if not share < FADED
    ]  # a network that diverged has shares that are no numbers
    fades = reached[-1] + 1 if reached and reached[-1] < gradient[-1][0] else None
    gates = {
        name: _stuck(value, split.lengths)
        for name, value in of_layer.items()
        if name not in cell.states and inside.is_gate(value)
    }
    return why.model_copy(update={"gradient": gradient, "fades": fades, "gates": gates})


def need(model: Network, label: str, split: Split, lesson: Lesson, rope: float) -> Need:
    """How many of the last steps a network needs to do as well as with all of them.

    Args:
        model: the best network.
        label: what the report calls it.
        split: the test part; its items have steps.
        lesson: of the task, for its goal and figure.
        rope: the difference that is negligible.
    """
    count = min(4 * MOST, max(1, ANSWERED // split.x[0].numel()), len(split))
    split = split.rows(torch.arange(count))
    longest = split.x.shape[1]
    powers = [2**k for k in range(longest.bit_length())]
    counts = [count for count in powers if model.body.least <= count < longest] + [longest]
    model.eval()
    figures = []
    for steps in counts:
        x, lengths = last_steps(split.x, split.lengths, steps)
        if GOALS[lesson.goal].every_step:  # the last step's answer has seen them all
            prediction, target = predict_last(model, x, lengths), last_step(split.y, split.lengths)
        else:
            prediction, target = predict(model, Split(x, split.y, lengths, split.items)), split.y
        kept = GOALS[lesson.goal].kept(prediction, target)
        figures.append((steps, lesson.metric.per_item(kept, target).mean().item()))
    whole = figures[-1][1]
    sign = 1 if lesson.metric.higher_is_better else -1
    enough = None
    for steps, figure in reversed(figures):
        if sign * (whole - figure) > rope:
            break
        enough = steps
    return Need(network=label, figures=figures, steps=enough)


def last_steps(x: Tensor, lengths: Tensor | None, count: int) -> tuple[Tensor, Tensor | None]:
    """Of every item the last `count` steps that it has, and how many these are."""
    if lengths is None:
        return x[:, -count:], None
    kept = lengths.clamp(max=count)
    at = (lengths - kept)[:, None] + torch.arange(count)
    rows = torch.arange(len(x))[:, None]
    return x[rows, at.clamp(max=x.shape[1] - 1)], kept


def _recurrence(model: Network) -> Recurrence | None:
    body = model.body.back if isinstance(model.body, ConvolutionsFirst) else model.body
    return body if isinstance(body, Recurrence) else None


def _stuck(gate: Seen, lengths: Tensor | None) -> tuple[float, float]:
    found = inside.saturation(gate, lengths, below=STUCK, above=1 - STUCK)
    return found.below, found.above


def _dead(seen: Trace) -> float | None:
    """The share of filters whose map is nowhere above zero before the activation."""
    dead, all_ = 0, 0
    for name, value in seen.items():
        if not value.axes.startswith("B C") or name.rsplit(".", 1)[-1] not in ("map", "out"):
            continue
        of_layer = inside.dead_filters(value)
        dead += int(of_layer.sum())
        all_ += len(of_layer)
    return dead / all_ if all_ else None

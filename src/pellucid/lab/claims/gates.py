"""Which part of the LSTM does what: each gate taken out, and the forget gate's bias."""

from __future__ import annotations

import torch
from torch import nn

from pellucid import device
from pellucid.lab.claims import learning, memory, tasks
from pellucid.lab.claims.claim import Answer, Claim, Measures, Results, Unit, Values
from pellucid.lab.claims.judgement import at_least, over_seeds
from pellucid.lab.claims.results import Dots

FAMILY = "Gates"
CELLS = {
    "lstm": "LSTM",
    "no input gate": "no input gate, i = 1",
    "no forget gate": "no forget gate, f = 1",
    "no output gate": "no output gate, o = 1",
    "no memory": "no memory, f = 0",
}
STREAM = 50  # steps of the restarting sum


def restarting(*, net: str, steps: int, seed: int, on: torch.device = device.CPU) -> Measures:
    """Train on the sum that starts anew at each mark; the share of its variance that is explained over all steps."""
    generator = learning.seeded(seed)
    model = learning.Reader(net, 2, memory.HIDDEN, 1, last=STREAM).to(on)
    learning.fit(
        model, learning.fresh(tasks.restarting_sum, STREAM, steps, generator), nn.functional.mse_loss, rate=0.005
    )
    x, y = tasks.restarting_sum(memory.TESTED, STREAM, generator)
    return {"explained": learning.explained(model, (x, y), float(torch.var(y)))}


def claims(quick: bool) -> list[Claim]:
    """Those of this family."""
    seeds, steps = (5, 1500) if quick else (10, 6000)
    length, lengths = (50, (50, 150)) if quick else (100, (100, 300))

    def scores(results: Results, net: str) -> dict[str, Values]:
        return {
            f"adding problem of {length} steps": results.values(
                "adding", "explained", net=net, length=length, steps=steps
            ),
            "sum that restarts": results.values("restarting", "explained", net=net, steps=steps),
        }

    def panels(results: Results) -> list[Dots]:
        found = {net: scores(results, net) for net in CELLS}
        return [
            Dots(
                title=f"{task[:1].upper()}{task[1:]}: variance explained",
                x="%, with 95 % intervals",
                rows=[
                    (CELLS[net], "LSTM" if net == "lstm" else "other", over_seeds(s[task], learning.EXPLAINED))
                    for net, s in found.items()
                ],
            )
            for task in found["lstm"]
        ]

    def ablated(results: Results, without: str, others: tuple[str, ...]) -> Answer:
        whole, own = scores(results, "lstm"), scores(results, without)
        parts = [
            at_least(f"{task}: without {without[3:]} the LSTM loses", over_seeds(whole[task] - own[task]), 5, "points")
            for task in whole
        ]
        for other in others:
            theirs = scores(results, other)
            parts += [
                at_least(
                    f"{task}: without {without[3:]} it loses more than without {other[3:]} by",
                    over_seeds(theirs[task] - own[task]),
                    0,
                    "points",
                )
                for task in whole
            ]
        return Answer(parts, panels(results))

    def bias(results: Results) -> Answer:
        found = {
            (n, t): results.values("adding", "explained", net=n, length=t, steps=steps)
            for n in ("lstm", "lstm, bias 0")
            for t in lengths
        }
        parts = [
            at_least(
                f"over {t} steps an LSTM with a forget bias of 1 explains more of the sum's variance, by",
                over_seeds(found["lstm", t] - found["lstm, bias 0", t]),
                5,
                "points",
            )
            for t in lengths
        ]
        rows = [
            (f"{t} steps, bias {'0' if n.endswith('0') else '1'}", n, over_seeds(v, learning.EXPLAINED))
            for (n, t), v in sorted(found.items(), key=lambda i: i[0][1])
        ]
        return Answer(parts, [Dots(title="Adding problem: variance explained", x="%, with 95 % intervals", rows=rows)])

    units = [
        *memory.adding_units(list(CELLS), (length,), steps, seeds),
        *(
            Unit(restarting, {"net": n, "steps": steps, "seed": s}, memory.cost(n, STREAM, steps))
            for n in CELLS
            for s in range(seeds)
        ),
    ]
    done = (
        f"LSTMs of {memory.HIDDEN} units with one part taken out, each declared as a cell, on the adding problem of "
        f"{length} steps and on the sum since the last mark in a stream of {STREAM} steps, {steps:,} batches of 32, {seeds} seeds."
    )
    return [
        Claim(
            "forget-gate",
            FAMILY,
            "The forget gate is what does it: it is the gate that an LSTM can least do without.",
            "Gers et al. 2000; Jozefowicz et al. 2015; Greff et al. 2017",
            done,
            "whether the task asks for forgetting",
            units,
            lambda results: ablated(results, "no forget gate", ("no input gate", "no output gate")),
        ),
        Claim(
            "memory-path",
            FAMILY,
            "What carries is the cell state that is added to: without it the gates alone do not remember.",
            "Hochreiter and Schmidhuber 1997, section 3; Jozefowicz et al. 2015",
            done,
            "the task",
            units,
            lambda results: ablated(results, "no memory", ("no forget gate",)),
        ),
        Claim(
            "forget-bias",
            FAMILY,
            "A forget gate that starts open (bias 1) learns long lags better.",
            "Gers et al. 2000; Jozefowicz et al. 2015",
            f"LSTMs of {memory.HIDDEN} units whose forget bias starts at 1 and at 0, adding problem of {lengths[0]} and {lengths[1]} steps, {steps:,} batches of 32, {seeds} seeds.",
            "the length",
            memory.adding_units(["lstm", "lstm, bias 0"], lengths, steps, seeds),
            bias,
        ),
    ]

"""The plain RNN's activation."""

from __future__ import annotations

from pellucid.lab.claims import learning, memory, rows
from pellucid.lab.claims.cells import ACTIVATIONS
from pellucid.lab.claims.claim import Answer, Claim, Results, Values
from pellucid.lab.claims.judgement import at_least, over_seeds
from pellucid.lab.claims.results import Dots
from pellucid.lab.task import SHARE

FAMILY = "Activation"
LENGTH = 20


def claims(quick: bool) -> list[Claim]:
    """Those of this family."""
    seeds, steps, epochs = (5, 1500, 10) if quick else (10, 6000, 40)
    names = list(ACTIVATIONS)

    def judge(results: Results) -> Answer:
        scores: dict[str, dict[str, Values]] = {
            "digits row by row": {n: results.values("by_rows", "accuracy", net=n, train=1200) for n in names},
            f"adding problem of {LENGTH} steps": {
                n: results.values("adding", "explained", net=n, length=LENGTH, steps=steps) for n in names
            },
        }
        parts = [
            at_least(f"{task}: tanh is ahead of {n} by", over_seeds(found["tanh"] - found[n]), 0, "points")
            for task, found in scores.items()
            for n in names[1:]
        ]
        panels = [
            Dots(
                title=f"{task[:1].upper()}{task[1:]}",
                x="accuracy, %" if "digits" in task else "variance explained, %",
                rows=[
                    (n, n, over_seeds(v, SHARE if "digits" in task else learning.EXPLAINED)) for n, v in found.items()
                ],
            )
            for task, found in scores.items()
        ]
        return Answer(parts, panels)

    return [
        Claim(
            "tanh",
            FAMILY,
            "tanh is the activation for a plain RNN.",
            "Goodfellow et al. 2016, section 10.2; against it Le et al. 2015 for relu",
            f"RNNs of {rows.HIDDEN} units with tanh, relu, sigmoid and identity, each a declared cell, on digits read row by row and on the adding problem of {LENGTH} steps, gradients clipped to norm 1, {seeds} seeds.",
            "the task and what tanh is compared with",
            [
                *rows.units(names, [1200], epochs, seeds),
                *memory.adding_units(names, (LENGTH,), steps, seeds),
            ],
            judge,
        )
    ]

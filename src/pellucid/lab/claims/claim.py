"""A claim: a sentence of the textbooks, the units that measure it, and how their figures are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.lab.claims.results import Dots, Lines, Measured, Part, Setting

Measures = dict[str, float]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Unit:
    """One measurement, from one seed.

    Attributes:
        measure: the experiment, called with the settings and with the device (``on``) that its layers are to run on; a function
            of a module, so that other processes find it.
        settings: all that its result depends on, the seed among them.
        cost: seconds on one core, roughly; the time left is reckoned from it.
    """

    measure: Callable[..., Measures]
    settings: dict[str, Setting]
    cost: float

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return self.measure.__name__


class Results:
    """The measured units of a claim."""

    def __init__(self, measured: Iterable[Measured]) -> None:
        self.measured = list(measured)

    def values(self, experiment: str, measure: str, **where: Setting) -> Values:
        """A measure of the units whose settings are those, in the order of their seeds."""
        found = [
            (int(m.settings["seed"]), m.measures[measure])
            for m in self.measured
            if m.experiment == experiment and where.items() <= m.settings.items()
        ]
        seeds = [seed for seed, _ in found]
        if not found or len(set(seeds)) < len(seeds):
            raise LookupError(f"{len(found)} units of {experiment} with {where}, and one for each seed is needed")
        return np.array([value for _, value in sorted(found)])


@dataclass(frozen=True)
class Answer:
    """What a claim's figures say.

    Attributes:
        parts: the effects, the main one first.
        panels: of the figure.
        note: a further sentence for the reader, or "".
    """

    parts: Sequence[Part]
    panels: Sequence[Lines | Dots]
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim.

    Attributes:
        name: as it is asked for; family: what it is listed under.
        claimed: the sentence.
        source: who says so.
        done: what is measured, in a sentence.
        on: what the answer depends on, where some parts hold and others do not.
        units: what is to be measured.
        judge: reads the results.
        quick: whether its units are the quick set's.
    """

    name: str
    family: str
    claimed: str
    source: str
    done: str
    on: str
    units: Sequence[Unit]
    judge: Callable[[Results], Answer]
    quick: bool = False

"""How sure an effect is, and the verdict that it allows.

The units of one seed share their data and their split, so effects are differences within a seed, and their interval is
Student's t over seeds. Each seed draws data, split and weights anew: the interval holds all three. That of a share or an
error ends where the figure does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pellucid.lab.claims.results import Part
from pellucid.lab.report import words
from pellucid.lab.results import Interval
from pellucid.lab.task import ANY

HOLDS, FAILS, DEPENDS, OPEN = "holds", "does not hold here", "depends on ", "not settled"
ROUNDING = 1e-6  # in points, %, decades and factors, which come from float32's seven digits


def over_seeds(values: ArrayLike, bounds: tuple[float, float] = ANY) -> Interval:
    """The mean with its 95 % interval by Student's t, inside the figure's bounds; a single value, or equal ones, have no width."""
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    mean = float(array.mean())
    if len(array) < 2:
        return exact(mean)
    half = float(stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / math.sqrt(len(array)))
    return Interval(value=mean, low=min(mean, max(mean - half, bounds[0])), high=max(mean, min(mean + half, bounds[1])))


def exact(value: float) -> Interval:
    """A figure that nothing random has a part in."""
    return Interval(value=value, low=value, high=value)


def ratio_over_seeds(numerators: ArrayLike, denominators: ArrayLike) -> Interval:
    """The geometric mean of ratios within a seed, with its interval."""
    logs = over_seeds(np.log(np.asarray(numerators, dtype=np.float64) / np.asarray(denominators, dtype=np.float64)))
    return Interval(value=math.exp(logs.value), low=math.exp(logs.low), high=math.exp(logs.high))


def at_least(name: str, effect: Interval, threshold: float, unit: str) -> Part:
    """An effect that has to reach a threshold: it does if its whole interval does."""
    needed = f"{words.number(threshold, _decimals(threshold))}{_spaced(unit, threshold)} or more"
    if effect.low >= threshold:
        return Part(name=name, effect=effect, unit=unit, needed=needed, verdict="holds")
    return Part(
        name=name, effect=effect, unit=unit, needed=needed, verdict="fails" if effect.high < threshold else "open"
    )


def within(name: str, effect: Interval, low: float, high: float, unit: str) -> Part:
    """An effect that has to lie in a range, with its whole interval."""
    needed = f"{words.number(low, _decimals(low))} to {words.number(high, _decimals(high))}{_spaced(unit)}"
    inside, outside = low <= effect.low and effect.high <= high, effect.high < low or effect.low > high
    return Part(
        name=name,
        effect=effect,
        unit=unit,
        needed=needed,
        verdict="holds" if inside else "fails" if outside else "open",
    )


def verdict(parts: Sequence[Part], on: str) -> str:
    """``holds`` if all parts do, ``does not hold here`` if none does, ``depends on ...`` if some do and others do not.

    A part whose interval lies across its threshold leaves the claim open, unless others already disagree.
    """
    found = {part.verdict for part in parts}
    if found == {"holds"}:
        return HOLDS
    if found == {"fails"}:
        return FAILS
    return DEPENDS + on if {"holds", "fails"} <= found else OPEN


def sentence(parts: Sequence[Part]) -> str:
    """Every part with its figure, and whether it is as claimed."""
    said = {"holds": "as claimed", "fails": "not as claimed", "open": "not settled"}
    texts = [f"{part.name} {shown(part)}, {said[part.verdict]}" for part in parts]
    text = "; ".join(texts)
    return text[:1].upper() + text[1:] + "."


def plain(figure: Interval) -> Interval:
    """A figure for readers: what lies below a millionth of its unit is the layers' rounding, and 0."""
    return Interval(**{name: 0.0 if abs(value) < ROUNDING else value for name, value in figure.model_dump().items()})


def shown(part: Part) -> str:
    """``12.3 points (10.1 to 14.5)``; an exact figure alone."""
    effect = plain(part.effect)
    if effect.low == effect.high:
        return words.number(effect.value, _decimals(effect.value)) + _spaced(part.unit)
    return f"{words.figure(effect)}{_spaced(part.unit)} ({words.span(effect, signed=True)})"


def _spaced(unit: str, value: float = 0) -> str:
    unit = "point" if unit == "points" and value == 1 else unit
    return f" {unit}" if unit else ""


def _decimals(value: float) -> int:
    """The decimals that a round figure needs."""
    return next((d for d in range(3) if abs(value - round(value, d)) < 1e-9), 2)

"""Figures in words: rounded to what they are worth, with their units."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pellucid.lab.results import Interval


def digits(interval: Interval) -> int:
    """Decimals that the interval's width allows: its first two significant digits; without one, three of the figure."""
    width = interval.high - interval.low
    if not interval.known and interval.value and math.isfinite(interval.value):
        return max(0, 2 - math.floor(math.log10(abs(interval.value))))
    if not math.isfinite(width) or width <= 0:
        return 2
    return max(0, 1 - math.floor(math.log10(width)))


def number(value: float, decimals: int) -> str:
    """``97.3``, or ``2.3e-07`` where digits would be many; a true minus sign."""
    plain = abs(value) < 1e7 and (decimals <= 5 or abs(value) >= 0.01)
    text = f"{value:.{min(decimals, 6)}f}" if plain else f"{value:.3g}"
    return text.replace("-", "−") if text.lstrip("-").strip("0.") else text.lstrip("-")


def figure(interval: Interval, unit: str = "") -> str:
    """``97.3 %``."""
    return number(interval.value, digits(interval)) + (f" {unit}" if unit else "")


def span(interval: Interval, *, signed: bool = False) -> str:
    """``95.9 to 98.5``; of a signed one (a difference) no end is rounded to the zero that it does not reach."""
    if not interval.known:
        return "no interval"
    decimals = digits(interval)
    while signed and decimals < 5 and interval.low and round(abs(interval.low), decimals) == 0:
        decimals += 1
    return f"{number(interval.low, decimals)} to {number(interval.high, decimals)}"


def count(number: float) -> str:
    """``12.4 k``, ``3.1 M``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e3 if letter == 'k' else size):.3g} {letter}"
    return f"{number:,.0f}"


def size(number: float) -> str:
    """``57 kB``."""
    return f"{number / 1e6:.3g} MB" if number >= 1e6 else f"{number / 1e3:.3g} kB"


def seconds(number: float) -> str:
    """``8.3 s``, ``2 min 5 s``."""
    if number < 100:
        return f"{number:.2g} s" if number < 10 else f"{number:.0f} s"
    return f"{number // 60:.0f} min {number % 60:.0f} s"


def milliseconds(number: float) -> str:
    """``0.42 ms``."""
    return f"{number:.2g} ms" if number < 10 else f"{number:.0f} ms"


def together(sentence: str) -> str:
    """A sentence that is not broken between a number and its %."""
    return sentence.replace(" %", "\N{NO-BREAK SPACE}%")


def settings(tried: Mapping[str, float]) -> str:
    """What was tried; what is as it always is goes without saying."""
    words = [f"learning rate {tried['learning rate']:.3g}"]
    words += [f"dropout {tried['dropout']:g}"] if tried["dropout"] else []
    words += ["long memory"] if tried.get("long memory") else []  # older results do not have it
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]

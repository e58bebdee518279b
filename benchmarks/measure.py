"""Timing in alternation: what is compared runs turn by turn, so a noisy machine is noisy for all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the median and the quartiles of so many."""

    median: float
    low: float
    high: float
    calls: int


def alternate(calls: Mapping[str, Callable[[], object]], *, seconds: float = 0.3, least: int = 3) -> dict[str, Timing]:
    """Time each call in turn, after one or two that do not count, until all have had their seconds and least number."""
    for call in calls.values():
        begin = time.perf_counter()
        call()
        if time.perf_counter() - begin < 0.5:
            call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < end or min(len(t) for t in taken.values()) < least:
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - begin)
    return {name: _timing(t) for name, t in taken.items()}


def many(call: Callable[[], object], count: int) -> Callable[[], object]:
    """A call short enough that a clock's own time matters, so many times."""

    def run() -> None:
        for _ in range(count):
            call()

    return run


def _timing(taken: list[float]) -> Timing:
    low, median, high = statistics.quantiles(taken, n=4, method="inclusive")
    return Timing(median, low, high, len(taken))

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


# Threads of a pool stay awake after its last call, ONNX Runtime's for 40 ms, and hold cores that the next side wants: before
# each turn they get the time to fall asleep, and a call that does not count wakes the side's own.
PAUSE = 0.06
TURN = 0.02


def alternate(calls: Mapping[str, Callable[[], object]], *, seconds: float = 0.3, least: int = 3) -> dict[str, Timing]:
    """Time each side in turn until all have had their seconds and least number of calls."""
    slow = {name for name, call in calls.items() if _seconds(call) > 0.5}
    for name in calls.keys() - slow:
        calls[name]()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < end or min(len(t) for t in taken.values()) < least:
        for name, call in calls.items():
            time.sleep(PAUSE)
            if name not in slow:
                call()
            turn = time.perf_counter()
            while True:
                taken[name].append(_seconds(call))
                if time.perf_counter() - turn > TURN:
                    break
    return {name: timing(t) for name, t in taken.items()}


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def many(call: Callable[[], object], count: int) -> Callable[[], object]:
    """A call short enough that a clock's own time matters, so many times."""

    def run() -> None:
        for _ in range(count):
            call()

    return run


def timing(taken: list[float]) -> Timing:
    """Of seconds of single calls, at least two."""
    low, median, high = statistics.quantiles(taken, n=4, method="inclusive")
    return Timing(median, low, high, len(taken))

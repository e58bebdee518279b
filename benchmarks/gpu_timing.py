"""Timing on a device, by its own clock: calls queued one after the other between events, the sides in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TypeVar

import torch

from benchmarks.measure import Timing, timing

Call = Callable[[], object]
Result = TypeVar("Result")

ROUNDS = 5  # turns of each side
MOST = 100  # calls of a turn, so that a turn's events stay few


def alternate(calls: Mapping[str, Call], device: torch.device, *, seconds: float) -> dict[str, Timing]:
    """Time each side in turn, for so many seconds or :data:`ROUNDS` calls, whichever takes longer.

    Args:
        calls: by side; each has been called before, so that nothing is compiled here.
        device: where they compute.
        seconds: of each side, over all its turns.
    """
    counts = {}
    for name, call in calls.items():
        quickest = min(durations(call, 2, device))
        counts[name] = max(1, min(MOST, int(seconds / ROUNDS / max(quickest, 1e-9))))
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            if counts[name] > 1:
                call()  # brings the side's own weights and states back to the caches; does not count
            taken[name] += durations(call, counts[name], device)
    return {name: timing(each) for name, each in taken.items()}


def durations(call: Call, count: int, device: torch.device) -> list[float]:
    """Seconds of each of so many calls in a row.

    The processor queues a call while the device is at the one before, as in a training loop; where queueing takes longer
    than the work, that is what is measured.
    """
    if device.type != "cuda":
        ticks = [time.perf_counter()]
        for _ in range(count):
            call()
            ticks.append(time.perf_counter())
        return [after - before for before, after in pairwise(ticks)]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    events[0].record()
    for event in events[1:]:
        call()
        event.record()
    torch.cuda.synchronize(device)
    return [before.elapsed_time(after) / 1e3 for before, after in pairwise(events)]


def once(call: Callable[[], Result], device: torch.device) -> tuple[Result, float]:
    """The result of a call and its seconds by the host's clock: what is compiled for it is in them."""
    begin = time.perf_counter()
    found = call()
    finished(device)
    return found, time.perf_counter() - begin


def finished(device: torch.device) -> None:
    """Wait until the device has done all that it was asked for; raises what went wrong there."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

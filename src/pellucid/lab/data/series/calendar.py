"""What the calendar says of a time: hour, weekday and month, each as a point on a circle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pellucid.lab.data.series.axis import Step, Times

CYCLES = {"hour": 1.0, "weekday": 7.0, "month": 365.2425}  # days in one turn


def sensible(step: Step | None, steps: int) -> list[str]:
    """The cycles that the step resolves (two steps a turn at least) and ``steps`` training steps hold twice."""
    if step is None or not step.temporal:
        return []
    names = [n for n, days in CYCLES.items() if step.days() * 2 <= days and 2 * days <= steps * step.days()]
    return [name for name in names if name != "weekday" or step.days() <= 1.4]


def features(times: Times, names: list[str]) -> NDArray[np.float32]:
    """Sine and cosine of each cycle: (T, 2 x cycles)."""
    days = times.astype("M8[D]")
    hour = (times - days).astype("m8[us]").astype(np.int64) / 86_400e6  # of a day
    weekday = (days.astype(np.int64) + 3) % 7 / 7  # the epoch was a Thursday; Monday is 0
    year = times.astype("M8[Y]")
    month = (days - year.astype("M8[D]")).astype(np.int64) / 365.2425
    turns = {"hour": hour, "weekday": weekday, "month": month}
    circles = [f(2 * np.pi * turns[name]) for name in names for f in (np.sin, np.cos)]
    return np.stack(circles, 1).astype(np.float32) if circles else np.zeros((len(times), 0), dtype=np.float32)

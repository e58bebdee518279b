"""The rows that ``benchmarks.recurrent`` writes: reading them, and the arithmetic on one of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Size = tuple[int, int, int, int]

NAMES = {"pellucid": "Pellucid", "torch": "torch.nn", "onnxruntime": "ONNX Runtime"}
ALLOCATORS = {"keeps": "kept", "system": "given back"}  # what becomes of freed memory
FORWARD, BOTH = MODES = ("forward", "forward + backward")
CACHES = {"L2": 1 << 20, "L3": 32 << 20}  # bytes: the L2 of one core, and the L3 of all


@dataclass
class Results:
    """One file of them."""

    machine: Row = field(default_factory=dict)
    limits: dict[int, dict[str, float]] = field(default_factory=dict)  # by threads
    rows: list[Row] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Results:
        """From one JSON object a line."""
        found = cls()
        for row in map(json.loads, path.read_text().splitlines()):
            if "machine" in row:
                found.machine |= row["machine"]
                found.limits |= {int(threads): limits for threads, limits in row["limits"].items()}
            else:
                found.rows.append(row)
        return found

    def table(self, name: str, allocator: str | None = None) -> list[Row]:
        """Its rows, under both allocators or under one."""
        return [row for row in self.rows if row["table"] == name and allocator in (None, row["allocator"])]

    @property
    def allocator(self) -> str:
        """The one under which most was measured."""
        each = [row["allocator"] for row in self.rows]
        return max(sorted(set(each)), key=each.count, default="system")


def ratio(row: Row, other: str, ours: str = "pellucid") -> float:
    """How many times longer the other takes."""
    found: float = row["times"][other]["median"] / row["times"][ours]["median"]
    return found


def spread(row: Row, other: str, ours: str = "pellucid") -> tuple[float, float]:
    """The ratio between the quartiles furthest apart, on either side."""
    a, b = row["times"][other], row["times"][ours]
    return a["low"] / b["high"], a["high"] / b["low"]


def geometric_mean(values: Iterable[float]) -> float:
    """Of ratios: twice as fast and half as fast give 1."""
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs))


def size(row: Row) -> Size:
    """(T, B, I, H)."""
    steps, batch, inputs, hidden = row["size"]
    return steps, batch, inputs, hidden


def label(row: Row) -> str:
    """The size as it is written everywhere."""
    return "·".join(map(str, row["size"]))


def work(row: Row) -> int:
    """Multiply-adds of one step of one gate: what sizes are sorted by."""
    _, batch, inputs, hidden = size(row)
    return batch * (inputs + hidden) * hidden


def flops(row: Row) -> int:
    """Operations of the products of a call: 2 a multiply-add, and twice as many again for the backward pass."""
    from benchmarks.recurrent import GATES

    return 2 * size(row)[0] * work(row) * GATES[row["cell"]] * (3 if row["mode"] == BOTH else 1)


def recurrent_bytes(row: Row) -> int:
    """Of the recurrent weights, float32."""
    from benchmarks.recurrent import GATES

    return 4 * GATES[row["cell"]] * size(row)[3] ** 2


def level(weights: int, threads: int) -> str:
    """The nearest memory that holds weights: each core's L2 holds its thread's part."""
    if weights <= CACHES["L2"] * threads:
        return "L2"
    return "L3" if weights <= CACHES["L3"] else "memory"

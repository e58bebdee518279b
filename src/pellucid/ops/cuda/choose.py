"""Which way of sharing a sweep out is taken: of those that fit, the one whose step is estimated to be the shortest.

The estimate is a sum of counts, each with a time. The times were fitted to 2,328 measurements of blocks and clusters (LSTM, GRU
and RNN of 32 to 512 units, forward and backward, batches of 1 to 256, on an H200); what the fit chose there took 1.09 times as
long as the best, in the mean, and 2.1 times at worst. What is said of grids below, and of weights in shared memory (fitted 1.1,
too little where there are many), was set by hand from fewer measurements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import torch

from pellucid.ops.cuda import compile
from pellucid.ops.cuda.generate import SIZES, Kernel, Spec, generate
from pellucid.ops.cuda.share import SHARED_MEMORY, Kind, Share, independent_heads, products
from pellucid.ops.lowering import Lowered

NANOSECONDS = {
    "step": 141.0,  # synchronisation inside a block, and what else every step has
    "cluster": 61.0,
    "grid": 1100.0,
    "multiply": 3.4,  # a matrix multiply of 16 x 8 x 16, by the fullest quarter of a multiprocessor
    "wait": 16.5,  # for one that another waits for
    "add": 0.74,  # a product of single numbers and its sum, for 32 rows
    "wait of 32": 24.7,
    "shared weight": 2.0,  # 128 bytes of weights from shared memory
    "sent": 1.0,  # 16 bytes to another block
    "send": 13.9,
    "read": 1.2,  # 16 bytes from the GPU's memory that others wrote
    "port": 4.4,  # a row that is read or written
    "slow": 9.7,  # a sigmoid, a quotient and such, for 32 elements
    "slow exact": 32.3,
    "fast": 1.4,
}
_SLOW = frozenset({"tanh", "sigmoid", "exp", "div", "log", "softplus", "erf", "sin", "cos", "sqrt"})


def choose(lowered: Lowered, spec: Spec, sizes: tuple[int, ...], batch: int, device: torch.device) -> Kernel | None:
    """The kernel for a program, or None where its weights fit nowhere."""
    multiprocessors = compile.multiprocessors(device)
    found = shares(lowered, spec, sizes, batch, multiprocessors)
    for share in sorted(found, key=lambda share: estimate(lowered, share, batch, multiprocessors)):
        kernel = generate(lowered, share, spec)
        if kernel.memory <= SHARED_MEMORY:
            return kernel
    return None


def shared_out(
    lowered: Lowered, spec: Spec, sizes: tuple[int, ...], kind: Kind, team: int, tile: int = 8, warps: int = 4
) -> Share:
    """A program in this way, whether or not it is worth while."""
    groups = independent_heads(lowered)
    local = tuple(size if n < 2 else size // groups for n, size in enumerate(sizes))
    wide = 2 if spec.even and all(size % 2 == 0 for size in local[2:]) else 1
    return Share(kind, team, tile, warps, groups, local, SIZES[spec.operand], SIZES[spec.real], wide)


def shares(lowered: Lowered, spec: Spec, sizes: tuple[int, ...], batch: int, multiprocessors: int) -> Iterator[Share]:
    """All ways that may be worth while."""
    alone = shared_out(lowered, spec, sizes, "block", 1)
    widest = max(alone.sizes[2:])
    for tile in (8, 16, 32, 64):
        if tile >= 2 * batch and tile > 8:
            break
        for team in (1, 2, 4, 8, 16, 32, 48, 64, 96, 128):
            if team > 1 and (team - 1) * 8 >= widest:
                break
            kind: Kind = "block" if team == 1 else "cluster" if team <= 16 else "grid"
            if kind == "grid" and alone.groups * team > multiprocessors:
                continue  # they must all run at a time
            for warps in (4, 8, 12, 16):
                yield replace(alone, kind=kind, team=team, tile=tile, warps=warps)


def estimate(lowered: Lowered, share: Share, batch: int, multiprocessors: int) -> float:
    """Nanoseconds of one step, all waves of blocks one after the other."""
    blocks = -(-batch // share.tile) * share.groups * share.team
    together = multiprocessors // share.team * share.team
    if share.team == 16:
        together = min(together, 112)  # the processor's parts have 16 or 18 multiprocessors, and some lack one
    return -(-blocks // max(together, 1)) * sum(
        NANOSECONDS[what] * count for what, count in counts(lowered, share, batch).items()
    )


def counts(lowered: Lowered, share: Share, batch: int) -> dict[str, float]:
    """What one step costs, by the names of :data:`NANOSECONDS`."""
    found: dict[str, float] = defaultdict(float, step=1.0)
    if share.kind != "block":
        found[share.kind] = 1
    exact = share.operand == share.real
    quarter = max(1.0, share.warps / 4)  # warps of each of a multiprocessor's four parts
    rows, eighths = min(share.tile, batch), share.tile / 8
    multiplies = products(lowered)
    for p, t in zip(multiplies, share.tilings(multiplies), strict=True):
        busy = max(1.0, min(share.warps, t.tiles * t.split) / 4)
        if exact:
            found["add"] += share.tile * t.each * t.units * 4 * busy
            found["wait of 32"] += t.units * max(1.0, eighths)
        else:
            found["multiply"] += eighths * t.each * t.units * 2 * busy
            found["wait"] += eighths * t.units
        found["shared weight"] += t.rest * eighths / 128
        brought = len(p.sources) * share.units(p.out_of) * rows * share.operand / 16
        if share.kind == "cluster":
            found["sent"] += brought * (share.team - 1)
            found["send"] += len(p.sources) * share.elements(p.out_of) / share.wide * quarter
        elif share.kind == "grid":
            found["read"] += brought * share.team
    for register, kind, _ in (*lowered.inputs, *lowered.outputs):
        if kind in ("step", "shifted") and lowered.sizes[register] > 1:
            found["port"] += share.elements(lowered.sizes[register]) / share.wide * quarter
    for _, sums, instructions in lowered.phases:
        if sums:
            found["step"] += 1
            if share.kind != "block":
                found[share.kind] += 1
        for op, destination, _ in instructions:
            letter = lowered.sizes[destination]
            elements = (share.elements(letter) if letter > 1 else 1) * quarter
            found["slow" if op in _SLOW else "fast"] += elements
            found["slow exact"] += elements * (exact and op in _SLOW)
    return found

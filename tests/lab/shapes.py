"""Tasks made of random numbers, for tests of what does not read files."""

from __future__ import annotations

from pathlib import Path

import torch

from pellucid.lab.data.metrics import accuracy
from pellucid.lab.task import Baseline, Split, Task


def sequences(steps: int = 12, channels: int = 3, items: int = 30, lengths: bool = False, least: int = 1) -> Task:
    """Two classes of sequences (items, steps, channels), all of the same length or of lengths from `least` on."""
    generator = torch.Generator().manual_seed(0)

    def split() -> Split:
        x = torch.randn(items, steps, channels, generator=generator)
        ends = torch.randint(least, steps + 1, (items,), generator=generator)
        ends[0] = steps
        return Split(
            x,
            torch.randint(0, 2, (items,), generator=generator),
            ends if lengths else None,
            [str(k) for k in range(items)],
        )

    test = split()
    return Task(
        kind="text",
        form="sequence",
        goal="class",
        source=Path("nowhere"),
        title="random sequences",
        fingerprint="random",
        channels=channels,
        extent=(steps,),
        outputs=2,
        labels=("a", "b"),
        horizon=0,
        scale=((), ()),
        step="",
        metric=accuracy(),
        baseline=Baseline("nothing", "", torch.zeros(items, dtype=torch.float64)),
        train=split(),
        valid=split(),
        test=test,
        facts=(),
        cautions=(),
        preprocessing={},
    )

"""Digits read row by row: a short sequence of real data for recurrent networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pellucid import device
from pellucid.lab.claims import learning, tasks
from pellucid.lab.claims.claim import Measures, Unit

HIDDEN = 32


def by_rows(*, net: str, train: int, epochs: int, seed: int, on: torch.device = device.CPU) -> Measures:
    """Train on digits, 8 steps of 8 pixels, with as many batches whatever the number of images; the test accuracy in %."""
    generator = learning.seeded(seed)
    data = tasks.digits(seed, train)
    model = nn.Sequential(_StepsFirst(), learning.Reader(net, 8, HIDDEN, 10)).to(on)
    passes = round(epochs * 1200 / train)
    learning.fit(model, learning.epochs(data.train, passes, generator), nn.functional.cross_entropy, rate=0.005)
    return {"accuracy": learning.accuracy(model, data.test)}


def units(nets: list[str], sizes: list[int], epochs: int, seeds: int) -> list[Unit]:
    """A unit for each."""
    return [
        Unit(by_rows, {"net": n, "train": k, "epochs": epochs, "seed": s}, 0.06 * epochs)
        for k in sizes
        for n in nets
        for s in range(seeds)
    ]


class _StepsFirst(nn.Module):
    """(B, 1, 8, 8) to (8, B, 8)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(1).transpose(0, 1)

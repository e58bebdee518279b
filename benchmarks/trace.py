"""What a trace costs: training steps with and without one in turn, medians of processor time on one thread.

``python -m benchmarks.trace`` prints the table of docs/inside.md.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

import pellucid
from pellucid import nn as layers

ROUNDS = 41
Look = Callable[[nn.Module], AbstractContextManager[object]]
LOOKS: dict[str, Look] = {
    "no trace": lambda model: nullcontext(),
    "values": lambda model: pellucid.trace(model, grad=()),
    "values, one gradient": lambda model: pellucid.trace(model, grad=["0.l0.h"]),
    "values, all gradients": pellucid.trace,
    "output of blocks": lambda model: pellucid.trace(model, ["0.pool", "1.pool"]),
}

ONLY = {"values, one gradient": "H ", "output of blocks": "ConvBlocks"}  # looks of some cases


class First(nn.Sequential):
    """Of a recurrent layer the output alone."""

    def forward(self, x: Tensor) -> Tensor:
        """Run the layers."""
        y = super().forward(x)
        return y[0] if isinstance(y, tuple) else y


def cases() -> dict[str, tuple[nn.Module, Tensor]]:
    """Models and their input."""
    found: dict[str, tuple[nn.Module, Tensor]] = {}
    for steps, batch, size in ((100, 32, 128), (50, 64, 256)):
        for layer in (layers.RNN, layers.GRU, layers.LSTM):
            name = f"{layer.__name__}, T {steps}, B {batch}, H {size}"
            found[name] = (First(layer(size, size)), torch.randn(steps, batch, size))
    x = torch.randn(32, 3, 32, 32)
    plain = (layers.Conv2d(3, 32, 3), nn.ReLU(), layers.MaxPool2d(2), layers.Conv2d(32, 64, 3), nn.ReLU())
    found["Conv2d, ReLU, MaxPool2d, Conv2d, ReLU; B 32, 32 x 32"] = (First(*plain), x)
    found["two ConvBlocks; B 32, 32 x 32"] = (First(layers.ConvBlock(3, 32, 3), layers.ConvBlock(32, 64, 3)), x)
    return found


def step(model: nn.Module, x: Tensor, look: Look) -> float:
    """Seconds of processor time of one forward and backward pass."""
    model.zero_grad()
    begin = time.process_time()
    with look(model):
        model(x).sum().backward()
    return time.process_time() - begin


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| | " + " | ".join(LOOKS) + " |\n|" + "---|" * (len(LOOKS) + 1))
    for name, (model, x) in cases().items():
        looks = {n: f for n, f in LOOKS.items() if n not in ONLY or ONLY[n] in name}
        times: dict[str, list[float]] = {n: [] for n in looks}
        for _ in range(ROUNDS):
            for n, look in looks.items():
                times[n].append(step(model, x, look))
        medians = {n: statistics.median(t) for n, t in times.items()}
        base = medians.pop("no trace")
        others = [f"{100 * (medians[n] / base - 1):+.0f} %" if n in medians else "" for n in LOOKS if n != "no trace"]
        print(f"| {name} | {1e3 * base:.1f} ms | " + " | ".join(others) + " |", flush=True)


if __name__ == "__main__":
    main()

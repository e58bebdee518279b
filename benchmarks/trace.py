"""What a trace costs: training steps with and without one in turn, medians of processor time on one thread.

``python -m benchmarks.trace`` prints the table of docs/inside.md.
"""

from __future__ import annotations

import ctypes
import random
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import pellucid
from pellucid import nn as layers

ROUNDS, WARM = 61, 3
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of mallopt(3)
Look = Callable[[nn.Module], AbstractContextManager[object]]


@dataclass(frozen=True)
class Case:
    """A model that is trained.

    Attributes:
        model: with one output; x: its input.
        keeps: the values that training keeps for its backward pass whether or not anyone looks.
        state: the value of which the gradient alone is wanted; "" for none.
    """

    model: nn.Module
    x: Tensor
    keeps: tuple[str, ...]
    state: str = ""

    @property
    def looks(self) -> dict[str, Look]:
        """Ways to look at it, by what is seen; the first is none."""
        found: dict[str, Look] = {
            "no trace": lambda model: nullcontext(),
            "what training keeps": lambda model: pellucid.trace(model, self.keeps, grad=()),
            "all values": lambda model: pellucid.trace(model, grad=()),
        }
        if self.state:
            found["and the gradient of h"] = lambda model: pellucid.trace(model, grad=[self.state])
        return found | {"and all gradients": pellucid.trace}


class First(nn.Sequential):
    """Of a recurrent layer the output alone."""

    def forward(self, x: Tensor) -> Tensor:
        """Run the layers."""
        y = super().forward(x)
        return y[0] if isinstance(y, tuple) else y


def cases() -> dict[str, Case]:
    """By name."""
    found: dict[str, Case] = {}
    for steps, batch, size in ((100, 32, 128), (50, 64, 256)):
        for layer in (layers.RNN, layers.GRU, layers.LSTM):
            name = f"{layer.__name__}, T {steps}, B {batch}, H {size}"
            keeps = "0.l0.h" if layer is layers.RNN else "0.l0"  # of the RNN not the sum before tanh
            found[name] = Case(First(layer(size, size)), torch.randn(steps, batch, size), (keeps,), "0.l0.h")
    x = torch.randn(32, 3, 32, 32)
    plain = (layers.Conv2d(3, 32, 3), nn.ReLU(), layers.MaxPool2d(2), layers.Conv2d(32, 64, 3), nn.ReLU())
    name = "Conv2d, ReLU, MaxPool2d, Conv2d, ReLU on 32 images of 32 x 32"
    found[name] = Case(First(*plain), x, ("1", "2.out", "4"))
    blocks = (layers.ConvBlock(3, 32, 3), layers.ConvBlock(32, 64, 3))
    found["two ConvBlocks on the same"] = Case(First(*blocks), x, ("0.pool", "1.pool"))
    return found


def step(model: nn.Module, x: Tensor, look: Look) -> float:
    """Seconds of processor time of one forward and backward pass."""
    model.zero_grad()
    begin = time.process_time()
    with look(model):
        model(x).sum().backward()
    return time.process_time() - begin


def medians(case: Case) -> dict[str, float]:
    """Seconds of a step by way of looking, all ways in turn and in another order each round: none always pays for the one before."""
    times: dict[str, list[float]] = {name: [] for name in case.looks}
    order, rng = list(case.looks.items()), random.Random(0)
    for number in range(WARM + ROUNDS):
        rng.shuffle(order)
        for name, look in order:
            took = step(case.model, case.x, look)
            if number >= WARM:
                times[name].append(took)
    return {name: statistics.median(found) for name, found in times.items()}


def keep_freed_memory() -> None:
    """As a training of some length does; else what is measured is which way's memory was last given back to the system."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(MMAP_THRESHOLD, 2**30)
        libc.mallopt(TRIM_THRESHOLD, 2**30)


def main() -> None:
    """Measure and print."""
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    known = cases()
    ways = list(dict.fromkeys(name for case in known.values() for name in case.looks))
    print("| | " + " | ".join(ways) + " |\n|" + "---|" * (len(ways) + 1))
    for name, case in known.items():
        found = medians(case)
        base = found.pop("no trace")
        others = [f"{100 * (found[way] / base - 1):+.0f} %" if way in found else "" for way in ways[1:]]
        print(f"| {name} | {1e3 * base:.1f} ms | " + " | ".join(others) + " |", flush=True)


if __name__ == "__main__":
    main()

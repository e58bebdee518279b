"""The networks of the experiments and how they are trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn

import pellucid.nn as layers
from pellucid import device
from pellucid.lab.claims import cells
from pellucid.lab.claims.tasks import Batch

Loss = Callable[[Tensor, Tensor], Tensor]
EXPLAINED = (-100.0, 100.0)  # % of the variance; nothing is worse than -100

RECURRENT: dict[str, Callable[[int, int], layers.Recurrent]] = {
    "rnn": layers.RNN,
    "gru": layers.GRU,
    # Jozefowicz et al. 2015 start every LSTM so; the claim forget-bias compares.
    "lstm": lambda i, h: layers.LSTM(i, h, forget_bias=1.0),
    "lstm, bias 0": lambda i, h: layers.LSTM(i, h, forget_bias=0.0),
    "no input gate": lambda i, h: layers.Recurrent(cells.NoInputGate(), i, h, forget_bias=1.0),
    "no forget gate": lambda i, h: layers.Recurrent(cells.NoForgetGate(), i, h),
    "no output gate": lambda i, h: layers.Recurrent(cells.NoOutputGate(), i, h, forget_bias=1.0),
    "no memory": lambda i, h: layers.Recurrent(cells.NoMemory(), i, h),
    **{
        name: lambda i, h, name=name: layers.Recurrent(cells.Plain(name), i, h)  # type: ignore[misc]
        for name in cells.ACTIVATIONS
    },
}


class Reader(nn.Module):
    """A recurrent layer and a linear one: (T, B, I) to (B, O), or with ``last`` steps to (last, B, O)."""

    def __init__(self, net: str, inputs: int, hidden: int, outputs: int, last: int | None = None) -> None:
        super().__init__()
        self.layer = RECURRENT[net](inputs, hidden)
        self.head = nn.Linear(hidden, outputs)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """The answers after the last step, or after the last steps."""
        states, _ = self.layer(x)
        return self.head(states[-1] if self.last is None else states[-self.last :])  # type: ignore[no-any-return]


def fit(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: Loss,
    *,
    rate: float,
    clip: float | None = 1.0,
    optimiser: Literal["adam", "sgd"] = "adam",
) -> None:
    """Train on each batch once; stop where the loss is no number any more.

    Args:
        model: is changed, where it is.
        batches: of input and target, which are brought there.
        loss: of output and target.
        rate: learning rate.
        clip: norm that gradients are clipped to (Pascanu et al. 2013), or None.
        optimiser: Adam (Kingma and Ba 2015), or plain stochastic gradient descent.
    """
    steps = (torch.optim.Adam if optimiser == "adam" else torch.optim.SGD)(model.parameters(), lr=rate)
    model.train()
    there = device.of(model)
    for x, y in batches:
        value = loss(model(device.moved(x, there)), device.moved(y, there))
        if not math.isfinite(value.item()):
            return
        steps.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        steps.step()


def epochs(data: Batch, count: int, generator: torch.Generator, batch: int = 32) -> Iterator[Batch]:
    """Batches of a training part, in a new order each epoch; the items are on the first axis."""
    x, y = data
    for _ in range(count):
        for rows in torch.split(torch.randperm(len(x), generator=generator), batch):
            yield x[rows], y[rows]


def fresh(
    make: Callable[[int, int, torch.Generator], Batch], length: int, count: int, generator: torch.Generator
) -> Iterator[Batch]:
    """Batches of 32 that are made as they are needed."""
    return (make(32, length, generator) for _ in range(count))


def accuracy(model: nn.Module, data: Batch) -> float:
    """The share of right answers, in %."""
    return 100 * float((_said(model, data[0]).argmax(-1) == data[1]).double().mean())


def explained(model: nn.Module, data: Batch, variance: float) -> float:
    """The share of the target's variance that the answers explain, in %; at least -100, which also stands for no number."""
    error = float((_said(model, data[0]) - data[1]).double().square().mean())
    return max(EXPLAINED[0], 100 * (1 - error / variance)) if math.isfinite(error) else EXPLAINED[0]


def _said(model: nn.Module, x: Tensor) -> Tensor:
    model.eval()
    with torch.no_grad():
        answers: Tensor = model(device.moved(x, device.of(model)))
    return answers.cpu()


def seeded(seed: int) -> torch.Generator:
    """Seed the weights, and give the generator of the data."""
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(1_000_003 + seed)

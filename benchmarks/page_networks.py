"""The networks whose page is measured: a million parameters each."""

from __future__ import annotations

import itertools

from torch import Tensor
from torch import nn as torch_nn

from pellucid import nn

STEPS = 2000
CHANNELS = 32
WIDTH = 486  # an LSTM from 32 channels with a million parameters
OF_TWO = 284  # two layers of it with as many


class Sequences(torch_nn.Module):
    """A recurrence over 32 channels, an LSTM unless another is given, and ten classes."""

    def __init__(self, layer: nn.Recurrent | None = None) -> None:
        super().__init__()
        self.lstm = layer or nn.LSTM(CHANNELS, WIDTH, batch_first=True)
        self.head = torch_nn.Linear(self.lstm.output_size, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, 32) to (B, 10)."""
        return self.head(self.lstm(x)[0][:, -1])


def two_layers() -> Sequences:
    """An LSTM over another."""
    return Sequences(nn.LSTM(CHANNELS, OF_TWO, 2, batch_first=True))


def side_by_side() -> dict[str, torch_nn.Module]:
    """An RNN, an LSTM and a GRU, each of a million parameters."""
    layers = {
        "rnn": nn.RNN(CHANNELS, 984, batch_first=True),
        "lstm": nn.LSTM(CHANNELS, WIDTH, batch_first=True),
        "gru": nn.GRU(CHANNELS, 561, batch_first=True),
    }
    return {name: Sequences(layer) for name, layer in layers.items()}


class Images(torch_nn.Module):
    """Four blocks of convolution, ReLU and pooling over 64 x 64 in colours, and ten classes."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 48, 96, 192, 400)
        self.blocks = torch_nn.Sequential(
            *(nn.ConvBlock(a, b, 3, padding="same", pool="max") for a, b in itertools.pairwise(widths))
        )
        self.head = torch_nn.Linear(400, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 64, 64) to (B, 10)."""
        return self.head(self.blocks(x).mean((2, 3)))

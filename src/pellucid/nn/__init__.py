"""Layers with torch.nn's names, signatures and state_dict keys, and what torch.nn has not."""

from torch.nn import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell

from pellucid.nn.block import ConvBlock
from pellucid.nn.conv import Conv1d, Conv2d, Conv3d
from pellucid.nn.pool import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvBlock",
    "GRUCell",
    "LSTMCell",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "RNNCell",
]

"""Layers with torch.nn's names, signatures and state_dict keys, and what torch.nn has not."""

from pellucid.nn.block import ConvBlock
from pellucid.nn.conv import Conv1d, Conv2d, Conv3d
from pellucid.nn.pool import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d
from pellucid.nn.recurrent import Recurrent
from pellucid.nn.rnn import GRU, LSTM, RNN
from pellucid.nn.rnn_cells import GRUCell, LSTMCell, RNNCell

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
    "Recurrent",
]

"""Layers with torch.nn's names, signatures and state_dict keys (for now still torch's own)."""

from torch.nn import (
    GRU,
    LSTM,
    RNN,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    Conv1d,
    Conv2d,
    Conv3d,
    GRUCell,
    LSTMCell,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    RNNCell,
)

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
    "GRUCell",
    "LSTMCell",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "RNNCell",
]

"""Pellucid: the classic deep networks, open.

Convolution, pooling, RNN, LSTM and GRU as PyTorch layers that are drop-in for ``torch.nn`` (:mod:`pellucid.nn`),
recurrent cells declared by their equations (:class:`Cell`), a look inside (:class:`trace`), and a comparison of
networks on one's own data (``pellucid compare``).
"""

from pellucid import cells, geometry, nn
from pellucid.cells import Cell
from pellucid.explain import explain
from pellucid.trace import trace

__all__ = ["Cell", "cells", "explain", "geometry", "nn", "trace"]

__version__ = "0.1.0"

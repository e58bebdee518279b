"""Recurrent cells as equations: the language, the built-in cells, and what is derived from a declaration.

Imports neither torch nor anything of the rest of Pellucid but its errors.
"""

from pellucid.cells.cell import Cell
from pellucid.cells.ctrnn import CTRNN
from pellucid.cells.declare import Bias, Constant, Input, Matrix, State, StepInput, Vector
from pellucid.cells.gru import GRU
from pellucid.cells.held import Held
from pellucid.cells.language import (
    cos,
    erf,
    exp,
    layer_norm,
    log,
    log_sigmoid,
    maximum,
    mean,
    minimum,
    relu,
    select,
    sigmoid,
    sign,
    silu,
    sin,
    softplus,
    sqrt,
    tanh,
)
from pellucid.cells.lstm import LSTM
from pellucid.cells.rnn import RNN
from pellucid.cells.slstm import SLSTM

__all__ = [
    "CTRNN",
    "GRU",
    "LSTM",
    "RNN",
    "SLSTM",
    "Bias",
    "Cell",
    "Constant",
    "Held",
    "Input",
    "Matrix",
    "State",
    "StepInput",
    "Vector",
    "cos",
    "erf",
    "exp",
    "layer_norm",
    "log",
    "log_sigmoid",
    "maximum",
    "mean",
    "minimum",
    "relu",
    "select",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "softplus",
    "sqrt",
    "tanh",
]

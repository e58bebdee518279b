"""Plain RNN, LSTM and GRU as torch's own operators have them, which a graph of ``torch.jit.trace`` holds.

Such a graph needs no Pellucid where it runs, and torch's older exporter to ONNX makes that standard's operators of it. Not so
``torch.export``: it would write torch's operators down step by step, for as many steps as there were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid import cells
from pellucid.cells import Cell
from pellucid.cells.sequence import Variant


class Known(NamedTuple):
    """A cell that torch has.

    Attributes:
        name, mode: torch's names of cell and mode.
        cell: the same here.
    """

    name: str
    mode: str
    cell: Cell


@cache
def modes() -> dict[str, Known]:
    """The cells that torch has, by their keys."""
    plain = {
        "LSTM": cells.LSTM(),
        "GRU": cells.GRU(),
        "RNN_TANH": cells.RNN(),
        "RNN_RELU": cells.RNN(nonlinearity="relu"),
    }
    return {cell.key: Known(mode.partition("_")[0], mode, cell) for mode, cell in plain.items()}


def takes(cell: Cell, variant: Variant, x: Tensor, passing: frozenset[str]) -> bool:
    """Whether torch has an operator for it: the cell and nothing around it, and no more than the last memory of an LSTM wanted."""
    around = variant.given or variant.resets or variant.ragged or variant.dropout or variant.zoneout
    if around or cell.key not in modes():
        return False
    others = [*cell.states][1:]
    return not others or passing.issuperset(others) or x.shape[0] == 1


def run(
    cell: Cell,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    before: Sequence[Tensor],
    projection: tuple[Tensor, Tensor | None],
) -> dict[str, Tensor]:
    """The output (T, B, H), and of an LSTM the last memory (1, B, H); arguments as :func:`pellucid.ops.recurrence.recurrence`'s."""
    weight, bias = projection
    weights = [weight, parameters["U"]] + ([] if bias is None else [bias, parameters["b"]])
    start = [state.unsqueeze(0) for state in before]
    how = (
        bias is not None,
        1,
        0.0,
        False,
        False,
        False,
    )  # one layer, no dropout, not training, one direction, time first
    mode = modes()[cell.key].mode
    if mode == "LSTM":
        output, _, memory = torch.lstm(x, start, weights, *how)
        return dict(zip(cell.states, (output, memory), strict=True))
    operators = {"GRU": torch.gru, "RNN_TANH": torch.rnn_tanh, "RNN_RELU": torch.rnn_relu}
    output, _ = operators[mode](x, start[0], weights, *how)
    return {next(iter(cell.states)): output}

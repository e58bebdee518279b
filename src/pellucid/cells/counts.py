"""What a cell costs: learnable numbers and multiply-adds, from its declaration and its graph."""

from __future__ import annotations

import math

from pellucid.cells.cell import Cell
from pellucid.cells.declare import Bias, Matrix
from pellucid.cells.graph import ancestors


def parameters(cell: Cell, input_size: int, hidden_size: int, *, bias: bool = True) -> int:
    """The input projection, parts H (I + 1), and every declared matrix and vector; without the bias, less of both."""
    parts = max(len(cell.input[1].parts), 1)
    total = parts * hidden_size * (input_size + bias)
    for declared in cell.parameters.values():
        if bias or not isinstance(declared, Bias):
            size = math.prod(cell.size(letter, hidden_size) for letter in declared.shape)
            heads = declared.heads if isinstance(declared, Matrix) else 1
            total += max(len(declared.parts), 1) * size // heads
    return total


def macs(cell: Cell, input_size: int, hidden_size: int) -> int:
    """Multiply-adds of the matrix products of one step of one sequence, e.g. 4 H (I + H) for an LSTM.

    Pointwise work and biases are not counted, nor is what is computed once for all steps.
    """
    parts = max(len(cell.input[1].parts), 1)
    total = parts * hidden_size * input_size
    for node in ancestors(cell.graph().after.values()):
        if node.op == "product" and node.varies:
            matrix = node.args[0]
            total += math.prod(cell.size(letter, hidden_size) for letter in matrix.shape) // matrix.heads
    return total

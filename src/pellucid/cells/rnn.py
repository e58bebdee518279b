"""The plain recurrent network (Elman 1990)."""

from __future__ import annotations

from typing import Any, Literal

from pellucid.cells.cell import Cell
from pellucid.cells.declare import Bias, Input, Matrix, State, Vector
from pellucid.cells.language import layer_norm, relu, tanh
from pellucid.errors import ArgumentError


class RNN(Cell):
    r"""The plain recurrent network: :math:`h_t = f(W x_t + b_{ih} + U h_{t-1} + b_{hh})`, f tanh or relu.

    With ``layer_norm``, the sum is normalised over the units before f (Ba, Kiros and Hinton 2016, eq. 4).

    Args:
        nonlinearity: ``"tanh"`` or ``"relu"``.
        layer_norm: normalise before the nonlinearity.
        heads: blocks on the diagonal of U.

    Raises:
        ArgumentError: another nonlinearity.
    """

    citation = "Elman 1990, Finding structure in time"

    def __init__(
        self, *, nonlinearity: Literal["tanh", "relu"] = "tanh", layer_norm: bool = False, heads: int = 1
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(f"nonlinearity is {nonlinearity!r}, and RNN knows 'tanh' and 'relu'; use one of them")
        self.nonlinearity = nonlinearity
        self.layer_norm = layer_norm
        self.x = Input()
        self.U = Matrix(heads=heads)
        self.b = Bias()
        self.h = State()
        if layer_norm:
            self.gain = Vector(key="norm_gain", initial=1.0)
            self.shift = Vector(key="norm_shift", initial=0.0)

    def step(self, x: Any, h: Any) -> Any:
        """The equations."""
        a = x + self.U @ h + self.b
        if self.layer_norm:
            a = layer_norm(a, self.gain, self.shift)
        return tanh(a) if self.nonlinearity == "tanh" else relu(a)

"""The gated recurrent unit (Cho et al. 2014)."""

from __future__ import annotations

from typing import Any

from pellucid.cells.cell import Cell
from pellucid.cells.declare import Bias, Input, Matrix, State, Vector
from pellucid.cells.language import layer_norm, sigmoid, tanh


class GRU(Cell):
    r"""The gated recurrent unit.

    .. math::
        r_t &= \sigma(W_r x_t + b_{ir} + U_r h_{t-1} + b_{hr}) \\
        z_t &= \sigma(W_z x_t + b_{iz} + U_z h_{t-1} + b_{hz}) \\
        n_t &= \tanh(W_n x_t + b_{in} + r_t \odot (U_n h_{t-1} + b_{hn})) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    This is the form of torch and cuDNN, which resets after the product. With ``reset_before``, it is that of Cho et
    al. (2014, eq. 5 to 8) and of ONNX's ``linear_before_reset=0``:
    :math:`n_t = \tanh(W_n x_t + b_{in} + U_n (r_t \odot h_{t-1}) + b_{hn})`. In both, z keeps and 1 - z renews, as
    in torch. With ``layer_norm``, each gate's sum is normalised over its units first (Ba et al. 2016, eq. 4).

    Args:
        reset_before: reset the state before the product with U_n.
        layer_norm: normalise each gate before its nonlinearity.
        heads: blocks on the diagonal of U_r, U_z, U_n.
    """

    citation = "Cho et al. 2014, Learning phrase representations using RNN encoder-decoder"

    def __init__(self, *, reset_before: bool = False, layer_norm: bool = False, heads: int = 1) -> None:
        self.reset_before = reset_before
        self.layer_norm = layer_norm
        self.x = Input("r z n")
        self.U = Matrix("r z n", heads=heads)
        self.b = Bias("r z n")
        self.h = State()
        if layer_norm:
            self.gain = Vector("r z n", key="norm_gain", initial=1.0)
            self.shift = Vector("r z n", key="norm_shift", initial=0.0)

    def step(self, x: Any, h: Any) -> Any:
        """The equations."""
        U, b = self.U, self.b
        r = sigmoid(self.norm("r", x.r + U.r @ h + b.r))
        z = sigmoid(self.norm("z", x.z + U.z @ h + b.z))
        if self.reset_before:
            n = tanh(self.norm("n", x.n + U.n @ (r * h) + b.n))
        else:
            n = tanh(self.norm("n", x.n + r * (U.n @ h + b.n)))
        return (1 - z) * n + z * h

    def norm(self, gate: str, a: Any) -> Any:
        """The gate's sum, normalised if the cell is."""
        return layer_norm(a, getattr(self.gain, gate), getattr(self.shift, gate)) if self.layer_norm else a

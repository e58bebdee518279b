"""The long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000)."""

from __future__ import annotations

from typing import Any

from pellucid.cells.cell import Cell
from pellucid.cells.declare import Bias, Input, Matrix, State, Vector
from pellucid.cells.language import layer_norm, sigmoid, tanh
from pellucid.errors import ArgumentError


class LSTM(Cell):
    r"""The long short-term memory with a forget gate.

    .. math::
        i_t &= \sigma(W_i x_t + b_{ii} + U_i h_{t-1} + b_{hi}) \\
        f_t &= \sigma(W_f x_t + b_{if} + U_f h_{t-1} + b_{hf}) \\
        g_t &= \tanh(W_g x_t + b_{ig} + U_g h_{t-1} + b_{hg}) \\
        o_t &= \sigma(W_o x_t + b_{io} + U_o h_{t-1} + b_{ho}) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
        h_t &= o_t \odot \tanh(c_t)

    Args:
        peepholes: i and f also see :math:`p_i \odot c_{t-1}`, :math:`p_f \odot c_{t-1}`, and o sees
            :math:`p_o \odot c_t` (Gers, Schraudolph and Schmidhuber 2002).
        coupled: :math:`i_t = 1 - f_t`, one gate less (Greff et al. 2017, CIFG).
        proj_size: the output is :math:`h_t = V (o_t \odot \tanh(c_t))` of this size (Sak et al. 2014); 0 for none.
        layer_norm: each gate's sum, and c_t before its tanh, are normalised over their units (Ba et al. 2016, eq. 4;
            the memory c_t itself is carried on as it is).
        heads: blocks on the diagonal of the recurrent weights.

    Raises:
        ArgumentError: a negative ``proj_size``.
    """

    citation = "Hochreiter and Schmidhuber 1997, Long short-term memory; Gers et al. 2000, Learning to forget"

    def __init__(
        self,
        *,
        peepholes: bool = False,
        coupled: bool = False,
        proj_size: int = 0,
        layer_norm: bool = False,
        heads: int = 1,
    ) -> None:
        if proj_size < 0:
            raise ArgumentError(
                f"proj_size should be a positive integer or zero to disable projections, and is {proj_size}"
            )
        self.peepholes, self.coupled, self.proj_size, self.layer_norm = (
            peepholes,
            coupled,
            proj_size,
            layer_norm,
        )
        gates = "f g o" if coupled else "i f g o"
        output = "P" if proj_size else "H"
        self.sizes = {"P": proj_size} if proj_size else {}
        self.x = Input(gates)
        self.U = Matrix(gates, columns=output, heads=heads)
        self.b = Bias(gates)
        self.h = State(output)
        self.c = State()
        if proj_size:
            self.V = Matrix(rows="P", columns="H", recurrent=False, key="weight_hr")
        if peepholes:
            self.p = Vector("f o" if coupled else "i f o", key="weight_ph")
        if layer_norm:
            self.gain = Vector([*gates.split(), "c"], key="norm_gain", initial=1.0)
            self.shift = Vector([*gates.split(), "c"], key="norm_shift", initial=0.0)

    def step(self, x: Any, h: Any, c: Any) -> Any:
        """The equations."""
        U, b, norm, peep = self.U, self.b, self.norm, self.peep
        f = sigmoid(norm("f", x.f + U.f @ h + b.f + peep("f", c)))
        i = 1 - f if self.coupled else sigmoid(norm("i", x.i + U.i @ h + b.i + peep("i", c)))
        g = tanh(norm("g", x.g + U.g @ h + b.g))
        c = f * c + i * g
        o = sigmoid(norm("o", x.o + U.o @ h + b.o + peep("o", c)))
        h = o * tanh(norm("c", c))
        if self.proj_size:
            h = self.V @ h
        return h, c

    def norm(self, gate: str, a: Any) -> Any:
        """A sum, normalised if the cell is."""
        return layer_norm(a, getattr(self.gain, gate), getattr(self.shift, gate)) if self.layer_norm else a

    def peep(self, gate: str, c: Any) -> Any:
        """What a gate sees of the cell state."""
        return getattr(self.p, gate) * c if self.peepholes else 0.0

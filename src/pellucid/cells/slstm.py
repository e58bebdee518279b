"""The LSTM with exponential gates (Beck et al. 2024)."""

from __future__ import annotations

import math
from typing import Any

from pellucid.cells.cell import Cell
from pellucid.cells.declare import Bias, Input, Matrix, State
from pellucid.cells.language import exp, log_sigmoid, maximum, sigmoid, tanh


class SLSTM(Cell):
    r"""The scalar LSTM of xLSTM: exponential input gate, a normaliser n and a stabiliser m, recurrence by heads.

    .. math::
        m_t &= \max(\log f_t + m_{t-1},\ \tilde\imath_t) \\
        i'_t &= \exp(\tilde\imath_t - m_t), \qquad f'_t = \exp(\log f_t + m_{t-1} - m_t) \\
        c_t &= f'_t \odot c_{t-1} + i'_t \odot z_t, \qquad n_t = f'_t \odot n_{t-1} + i'_t \\
        h_t &= o_t \odot c_t / n_t

    with :math:`\log f_t = \log\sigma(\tilde f_t)`, :math:`z_t = \tanh(\tilde z_t)`, :math:`o_t = \sigma(\tilde o_t)`,
    and each :math:`\tilde\ast_t = W_\ast x_t + b + U_\ast h_{t-1}` (Beck et al. 2024, xLSTM, eq. 8 to 17, with the
    sigmoid forget gate). A sequence starts from m = -infinity, so its first step has m_1 = i_1.

    Args:
        heads: blocks on the diagonal of the recurrent weights.
    """

    citation = "Beck et al. 2024, xLSTM: Extended long short-term memory"

    def __init__(self, *, heads: int = 1) -> None:
        self.x = Input("i f z o")
        self.U = Matrix("i f z o", heads=heads)
        self.b = Bias("i f z o")
        self.h = State()
        self.c = State()
        self.n = State()
        self.m = State(initial=-math.inf)

    def step(self, x: Any, h: Any, c: Any, n: Any, m: Any) -> Any:
        """The equations."""
        U, b = self.U, self.b
        log_i = x.i + U.i @ h + b.i
        log_f = log_sigmoid(x.f + U.f @ h + b.f)
        z = tanh(x.z + U.z @ h + b.z)
        o = sigmoid(x.o + U.o @ h + b.o)
        m_new = maximum(log_f + m, log_i)
        i = exp(log_i - m_new)
        f = exp(log_f + m - m_new)
        c = f * c + i * z
        n = f * n + i
        h = o * c / n
        return h, c, n, m_new

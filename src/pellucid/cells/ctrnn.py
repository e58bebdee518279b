"""The leaky-integrator rate network of neuroscience: the example of a cell that is not built in elsewhere."""

from __future__ import annotations

import math
from typing import Any, Literal

from pellucid.cells.cell import Cell
from pellucid.cells.declare import Bias, Constant, Input, Matrix, State, StepInput, Vector
from pellucid.cells.language import relu, sigmoid, softplus, tanh
from pellucid.errors import ArgumentError

_ACTIVATIONS = {"relu": relu, "tanh": tanh, "softplus": softplus, "sigmoid": sigmoid}


class CTRNN(Cell):
    r"""A continuous-time rate network, stepped by Euler's method with leak :math:`\alpha = dt/\tau`.

    .. math::
        \alpha &= \sigma(a) \\
        h_t &= (1 - \alpha) \odot h_{t-1} + \alpha \odot f(W x_t + b_{ih} + U h_{t-1} + b_{hh} + \xi_t)

    with U made of learnable weights by a connectivity mask M and, under Dale's law, each unit's sign s:
    :math:`U_{jk} = M_{jk}\,|\tilde U_{jk}|\,s_k` (Song, Yang and Wang 2016; Yang and Wang 2020).
    The leak is learned for every unit, through its logit a.

    Args:
        alpha: the leak dt/tau that every unit starts from, in (0, 1).
        activation: f, one of relu, tanh, softplus, sigmoid.
        mask: (H, H) 0/1 connectivity, row = to, column = from; None for all-to-all.
        signs: (H,) +1 for an excitatory unit and -1 for an inhibitory one (Dale's law); None for free signs.

    The layer takes ``noise`` as a further step input of (T, B, H), already scaled; without it there is no noise.

    Raises:
        ArgumentError: a leak outside (0, 1) or an unknown activation.
    """

    citation = "Song, Yang and Wang 2016, Training excitatory-inhibitory recurrent neural networks"

    def __init__(
        self,
        *,
        alpha: float = 0.2,
        activation: Literal["relu", "tanh", "softplus", "sigmoid"] = "relu",
        mask: Any = None,
        signs: Any = None,
    ) -> None:
        if not 0 < alpha < 1:
            raise ArgumentError(f"alpha = dt/tau must lie between 0 and 1, and is {alpha}; choose dt smaller than tau")
        if activation not in _ACTIVATIONS:
            raise ArgumentError(f"activation is {activation!r}, and CTRNN knows {', '.join(_ACTIVATIONS)}")
        self.activation = _ACTIVATIONS[activation]
        self.x = Input()
        self.U = Matrix()
        self.b = Bias()
        self.a = Vector(initial=math.log(alpha / (1 - alpha)))
        self.M = Constant(mask, ("H", "H"))
        self.s = Constant(signs, ("H",))
        self.noise = StepInput(optional=True)
        self.h = State()

    def step(self, x: Any, h: Any, noise: Any) -> Any:
        """The equations."""
        alpha = sigmoid(self.a)
        U = self.U if self.declared_free() else abs(self.U) * self.s
        return (1 - alpha) * h + alpha * self.activation(x + (U * self.M) @ h + self.b + noise)

    def declared_free(self) -> bool:
        """Whether weights may have either sign."""
        return isinstance(self.s, float)

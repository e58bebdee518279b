"""How long a unit remembers, by its forget gate."""

from __future__ import annotations

import math

from torch import Tensor

from pellucid.errors import ArgumentError
from pellucid.inside.given import Lengths, Value, existing, steps_of
from pellucid.inside.saturation import is_gate


def half_life(keep: Value, lengths: Lengths = None) -> Tensor:
    r"""Steps until the product of a gate falls to one half.

    With the gate's mean logarithm over steps and sequences, :math:`\log 0.5 / \overline{\log f}`. In an LSTM,
    :math:`c_t = f_t \odot c_{t-1} + i_t \odot g_t`: what the cell state held k steps ago still counts by the product of k
    values of f (the time scale of Tallec and Ollivier 2018, and Mahto et al. 2021, is :math:`-1 / \overline{\log f}`, this
    divided by log 2). In a GRU z is the gate that keeps, :math:`h_t = (1 - z_t) \odot n_t + z_t \odot h_{t-1}`, and what is
    said is of that path alone: h also returns through r and n. The RNN has no such path; there see
    :func:`~pellucid.inside.step_jacobians`. Of the sLSTM give ``seen["l0.log_f"].values.exp()``: its f is divided by the
    stabiliser, which moves.

    Args:
        keep: (T, B, H), values in [0, 1]: the LSTM's f, the GRU's z.
        lengths: (B,) the steps that exist of each sequence; None where all do.

    Returns:
        (H,), in steps, float64; infinite of a unit whose gate is always 1, and 0 of one whose gate was once exactly 0.

    Raises:
        ArgumentError: values outside [0, 1], or lengths that do not fit.
        SizeError: values that are not those of every step; another number of lengths.
    """
    values = steps_of(keep, "half_life")
    if not is_gate(values):
        raise ArgumentError(
            f"half_life takes a gate that keeps, with values from 0 to 1, and these run from {values.min():.3g} to "
            f"{values.max():.3g}; give the LSTM's f or the GRU's z (an RNN has none)"
        )
    own = values[existing(values, lengths, "half_life")].double()
    return math.log(2) / own.log().mean(0).abs()  # 0 has a sign, too

"""Convolution as the textbook has it: the filter laid over every window, multiplied and summed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.geometry.axis import Window
from pellucid.ops.reference.gather import views


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    windows: Sequence[Window],
    groups: int,
    padding_mode: str,
    padding_value: float,
) -> Tensor:
    r"""Convolve ``(B, C, *sizes)`` with filters ``(O, C / groups, *kernel)`` to ``(B, O, *outputs)``.

    .. math::
        y_{b,o,p} = \beta_o + \sum_c \sum_k w_{o,c,k} \; x_{b,\, c,\; p s + k d - a}

    with stride s, dilation d and padding a at the beginning, where c runs over the channels of o's group
    (Goodfellow, Bengio and Courville, Deep Learning, 2016, section 9.1; as in every deep-learning library a
    cross-correlation: the filters are not flipped).
    """
    seen = views(input, windows, padding_mode)
    values = torch.where(seen.inside, seen.values, padding_value).to(input.dtype)
    batch, channels, *outputs = values.shape[: 2 + len(windows)]
    positions, taps = _product(outputs), _product(weight.shape[2:])
    values = values.reshape(batch, groups, channels // groups, positions, taps)
    filters = weight.reshape(groups, weight.shape[0] // groups, channels // groups, taps)
    maps = torch.einsum("bgcpk,gock->bgop", values, filters).reshape(batch, weight.shape[0], *outputs)
    return maps if bias is None else maps + bias.view(-1, *[1] * len(windows))


def _product(sizes: Sequence[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product

"""``pellucid size``."""

from __future__ import annotations


def size(stack: str, /) -> None:
    """Print the sizes, costs and receptive field of a stack of layers, each formula filled in with its numbers.

    For example:

        pellucid size "28x28x1 | conv 5 16 p2 | pool 2 | conv 3 32 s2 same | flatten | linear 10"

        pellucid size "100x12 | lstm 64 bidirectional last | linear 3"

    The input is HxWxC, DxHxWxC, TxI or N. Layers: conv K FILTERS (s2 stride, p2 or p1:2 padding, d2 dilation, g4 groups, same,
    same_lower, valid, causal, nobias), tconv, pool or maxpool K, avgpool K, gpool, flatten, linear N, rnn H, gru H, lstm H
    (bidirectional, layers2, proj32, nobias, last), batchnorm, dropout, relu, tanh, sigmoid, gelu, softmax.

    Parameters
    ----------
    stack
        The layers, between bars.
    """
    from pellucid.geometry import parse

    print(parse(stack).table())

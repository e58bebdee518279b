"""fuse: a model whose runs of convolution, batch norm, activation and pooling are one block each."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pellucid.nn.block import ConvBlock
from pellucid.nn.conv import Conv1d, Conv2d, Conv3d
from pellucid.nn.pool import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d

_CONVOLUTIONS: dict[type[nn.Module], int] = {
    kind: dims
    for dims, kinds in enumerate(((nn.Conv1d, Conv1d), (nn.Conv2d, Conv2d), (nn.Conv3d, Conv3d)), 1)
    for kind in kinds
}
_POOLS: dict[type[nn.Module], tuple[str, int]] = {
    kind: (name, dims)
    for name, rows in (
        ("max", ((nn.MaxPool1d, MaxPool1d), (nn.MaxPool2d, MaxPool2d), (nn.MaxPool3d, MaxPool3d))),
        ("avg", ((nn.AvgPool1d, AvgPool1d), (nn.AvgPool2d, AvgPool2d), (nn.AvgPool3d, AvgPool3d))),
    )
    for dims, kinds in enumerate(rows, 1)
    for kind in kinds
}
_NORMS: dict[type[nn.Module], int] = {nn.BatchNorm1d: 1, nn.BatchNorm2d: 2, nn.BatchNorm3d: 3}
# With the constants that the block's activations have.
_ACTIVATIONS: dict[type[nn.Module], tuple[str, dict[str, Any]]] = {
    nn.ReLU: ("relu", {}),
    nn.LeakyReLU: ("leaky_relu", {"negative_slope": 0.01}),
    nn.ELU: ("elu", {"alpha": 1.0}),
    nn.GELU: ("gelu", {"approximate": "none"}),
    nn.SiLU: ("silu", {}),
    nn.Sigmoid: ("sigmoid", {}),
    nn.Tanh: ("tanh", {}),
}


@dataclass(frozen=True)
class Fusion:
    """Layers that became one.

    Attributes:
        sequence: the name of the ``Sequential`` they stand in; "" for the model itself.
        layers: their names in it.
        kinds: their classes.
    """

    sequence: str
    layers: tuple[str, ...]
    kinds: tuple[str, ...]

    def __str__(self) -> str:
        """In words: ``features.0 to features.2: Conv2d ► ReLU ► MaxPool2d``."""
        first, last = (f"{self.sequence}.{name}".removeprefix(".") for name in (self.layers[0], self.layers[-1]))
        return f"{first} to {last}: {' ► '.join(self.kinds)}"


class Fused(NamedTuple):
    """What :func:`fuse` gives."""

    model: nn.Module
    """An equal model."""
    fusions: list[Fusion]
    """What became one layer in it."""


def fuse(model: nn.Module) -> Fused:
    """Make an equal model in which convolution ► batch norm ► activation ► pooling is one layer, computed in one sweep.

    Every ``torch.nn.Sequential`` in the model is looked through, for torch.nn's layers and :mod:`pellucid.nn`'s. A run
    begins with a convolution; of the others any may be missing. Batch norm is folded into the filters, and only in a
    layer in evaluation mode (``model.eval()``), since in training it is another function. What stands elsewhere (calls
    of ``F.relu`` in a ``forward``) is not seen, and so are layers with hooks or parametrisations, which stay as they are. Whoever
    goes through a ``Sequential`` layer by layer finds the run's result behind its first layer already.

    Args:
        model: stays as it is; the fused one shares nothing with it.

    Returns:
        the model, a :class:`~pellucid.nn.ConvBlock` in the place of each run's first layer and ``torch.nn.Identity`` in
        the places of the others, so that indices into a ``Sequential`` stay right; and what was fused. Without batch
        norm the names in its state_dict are the model's.
    """
    model = copy.deepcopy(model)
    fusions = []
    for name, sequence in list(model.named_modules()):
        if type(sequence) is not nn.Sequential:
            continue
        layers = [
            (key, layer) for key, layer in sequence._modules.items() if layer is not None
        ]  # each as often as it stands there
        at = 0
        while at < len(layers):
            run = _run(layers[at:])
            if len(run) > 1:
                first, *others = (key for key, _ in run)
                kinds = tuple(type(layer).__name__ for _, layer in run)
                fusions.append(Fusion(name, (first, *others), kinds))
                sequence._modules[first] = _block([layer for _, layer in run])
                for other in others:
                    sequence._modules[other] = nn.Identity()
            at += max(len(run), 1)
    return Fused(model, fusions)


def _run(layers: list[tuple[str, nn.Module]]) -> list[tuple[str, nn.Module]]:
    """The layers from the first on that can be one block."""
    found: list[tuple[str, nn.Module]] = []
    stage, dims = 0, 0
    for name, layer in layers:
        kind = type(layer)
        if _is_observed(layer):
            break
        if stage == 0 and kind in _CONVOLUTIONS:
            stage, dims = 1, _CONVOLUTIONS[kind]
        elif stage == 1 and _NORMS.get(kind) == dims and _is_fixed(layer):
            stage = 2
        elif stage in (1, 2) and _activates(layer):
            stage = 3
        elif stage in (1, 2, 3) and _POOLS.get(kind, ("", 0))[1] == dims and _pools(layer):
            stage = 4
        else:
            break
        found.append((name, layer))
    return found


def _is_observed(layer: nn.Module) -> bool:
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return any(hooks) or torch.nn.utils.parametrize.is_parametrized(layer)


def _is_fixed(norm: Any) -> bool:
    return not norm.training and norm.track_running_stats


def _activates(layer: nn.Module) -> bool:
    if type(layer) not in _ACTIVATIONS:
        return False
    return all(getattr(layer, name) == value for name, value in _ACTIVATIONS[type(layer)][1].items())


def _pools(pool: Any) -> bool:
    """Whether it has no option that a block's pooling has not."""
    plain = (
        not pool.ceil_mode
        and not getattr(pool, "return_indices", False)
        and getattr(pool, "padding_value", None) is None
    )
    undilated = getattr(pool, "dilation", 1) in (1, (1,), (1, 1), (1, 1, 1))
    return (
        plain and undilated and getattr(pool, "count_include_pad", True) and not getattr(pool, "divisor_override", None)
    )


def _block(layers: list[nn.Module]) -> ConvBlock:
    convolution: Any = layers[0]
    dims, training = _CONVOLUTIONS[type(convolution)], convolution.training
    activation = next((_ACTIVATIONS[type(layer)][0] for layer in layers if type(layer) in _ACTIVATIONS), None)
    pool: Any = next((layer for layer in layers if type(layer) in _POOLS), None)
    norm: Any = next((layer for layer in layers if type(layer) in _NORMS), None)
    if norm is not None:
        convolution = fuse_conv_bn_eval(convolution.eval(), norm)
    block = ConvBlock(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,
        stride=convolution.stride,
        padding=convolution.padding,
        dilation=convolution.dilation,
        groups=convolution.groups,
        bias=convolution.bias is not None,
        padding_mode=convolution.padding_mode,
        padding_value=getattr(convolution, "padding_value", 0.0),
        dims=dims,
        activation=activation,
        pool=None if pool is None else _POOLS[type(pool)][0],
        pool_size=2 if pool is None else pool.kernel_size,
        pool_stride=None if pool is None else pool.stride,
        pool_padding=0 if pool is None else pool.padding,
        device="meta",
    )
    block.weight, block.bias = convolution.weight, convolution.bias
    return block.train(training)

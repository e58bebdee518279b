"""ConvBlock: convolution ► bias ► activation ► pooling as one layer."""

from typing import Any

import torch
from torch import Tensor

from pellucid.errors import ArgumentError
from pellucid.nn.conv import Conv1d, Conv2d, Conv3d, Device, PaddingMode, parameter
from pellucid.nn.conv_stream import ConvStream
from pellucid.nn.leaf import Proxy, no_script, node
from pellucid.ops import observe
from pellucid.ops.again import LastCall
from pellucid.ops.convolution import Options, check_memory, check_steps, compute_block, compute_maps
from pellucid.ops.pooling import max_pool
from pellucid.ops.windows import Padding, Pooled, Size, axis_letters, check_padding_name, padding_pairs, per_axis

_CONVOLUTIONS: dict[int, type[Conv1d] | type[Conv2d] | type[Conv3d]] = {1: Conv1d, 2: Conv2d, 3: Conv3d}


class ConvBlock(torch.nn.Module):
    r"""Convolution, activation and pooling in one: ``(B, C, *sizes)`` to ``(B, O, *outputs)``.

    .. math:: y = \mathrm{pool}(\varphi(w \star x + b))

    The batch axis is optional. The parameters (weight ``(O, C / groups, *kernel)``, bias ``(O,)``) and their
    initialisation are those of the convolution alone, so a block loads the state_dict of a torch.nn.Conv2d
    and gives it back. The whole block is one call, :func:`pellucid.ops.convolution.convolution_block`;
    a trace shows its three maps: "map" (before the activation), "act" and "pool".

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: of the filters; this and all up to padding_value as in Conv1d, Conv2d and Conv3d.
        stride: of the convolution.
        padding: of the convolution.
        dilation: of the convolution.
        groups: of the convolution.
        bias: whether there is one.
        padding_mode: of the convolution.
        padding_value: of the convolution.
        dims: the number of axes beside batch and channels: 1, 2 or 3.
        activation: a name of :data:`pellucid.ops.activations.ACTIVATIONS`, or None.
        pool: "max", "avg" or None.
        pool_size: the pooling's window.
        pool_stride: the pooling's stride; None takes pool_size.
        pool_padding: the pooling's padding, as in MaxPool2d.
        memory: "keep" for the backward pass what it needs of the map; or "recompute" that there, which costs a forward pass
            more and keeps nothing but the input.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        ArgumentError: (a ValueError) for an argument that cannot be.
        SizeError: (a RuntimeError) for a size that cannot be, or at run time for an input that does not fit.

    """

    weight: Tensor
    bias: Tensor | None
    shown_names = ("map", "act", "pool", "argmax")  # to a trace; the last of max pooling
    _last = LastCall()  # also for a layer that was pickled without one

    __prepare_scriptable__ = no_script

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        *,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        padding_value: float = 0.0,
        dims: int = 2,
        activation: str | None = "relu",
        pool: str | None = "max",
        pool_size: Size = 2,
        pool_stride: Size | None = None,
        pool_padding: Padding = 0,
        memory: str = "keep",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Check the arguments and draw the parameters as the convolution alone does."""
        super().__init__()
        if dims not in _CONVOLUTIONS:
            raise ArgumentError(f"ConvBlock: dims={dims} is out of range; it must be 1, 2 or 3")
        check_steps("ConvBlock", activation, pool)
        check_memory("ConvBlock", memory)
        check_padding_name("ConvBlock", dims, pool_padding)
        padding_pairs("ConvBlock", pool_padding, dims)
        convolution = _CONVOLUTIONS[dims](
            in_channels,
            out_channels,
            kernel_size,  # type: ignore[arg-type]  # Size, whatever the number of axes
            stride,  # type: ignore[arg-type]
            padding,
            dilation,  # type: ignore[arg-type]
            groups,
            bias,
            padding_mode,
            device,
            dtype,
            padding_value=padding_value,
        )
        self.weight = convolution.weight
        self.register_parameter("bias", None)
        self.bias = convolution.bias
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride = convolution.kernel_size, convolution.stride
        self.padding: Padding = convolution.padding
        self.dilation, self.groups = convolution.dilation, groups
        self.padding_mode, self.padding_value = padding_mode, padding_value
        self.dims, self.activation, self.pool = dims, activation, pool
        self.pool_size = per_axis("ConvBlock", "pool_size", pool_size, dims, least=1)
        self.pool_stride = (
            self.pool_size if pool_stride is None else per_axis("ConvBlock", "pool_stride", pool_stride, dims, least=1)
        )
        self.pool_padding, self.memory = pool_padding, memory
        self._last = LastCall()

    def forward(self, input: Tensor) -> Tensor:
        """Compute ``(B, C, *sizes)`` or ``(C, *sizes)`` to ``(B, O, *outputs)`` or ``(O, *outputs)``."""
        if isinstance(input, Proxy):
            return node(self, input)
        options = (  # in the order of Options, and cheaper
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.padding_mode,
            self.padding_value,
            self.activation,
            self.pool,
            self.pool_size,
            self.pool_stride,
            self.pool_padding,
        )
        weight, bias = parameter(self, "weight"), parameter(self, "bias")
        if observe.active(self):
            return self._shown(input, weight, bias, options)
        return compute_block(input, weight, bias, options, self.dims, self, self.memory, self._last)

    def _shown(self, input: Tensor, weight: Tensor, bias: Tensor | None, options: tuple[Any, ...]) -> Tensor:
        """The same for a trace, step by step only if it wants what lies between the steps."""
        positions = self.pool == "max" and observe.wants(self, "argmax")
        if not (observe.wants(self, "map") or observe.wants(self, "act") or positions):
            out = compute_block(input, weight, bias, options, self.dims, self, self.memory, self._last)
            observe.seen(self, "pool", out, axis_letters(out, self.dims))
            return out
        steps = Options(*options)._replace(pool=None) if positions else options
        maps = compute_maps(input, weight, bias, steps, self.dims, self)
        axes = axis_letters(maps.map, self.dims)
        observe.seen(self, "map", maps.map, axes)
        observe.seen(self, "act", maps.activated, axes)
        out = maps.pooled
        if positions:
            whose = Pooled(self, tuple(maps.map.shape[-self.dims :]))
            size, stride, padding = self.pool_size, self.pool_stride, self.pool_padding
            pooled = max_pool(maps.activated, size, stride, padding, return_indices=True, dims=self.dims, layer=whose)
            out, argmax = pooled
            observe.seen(self, "argmax", argmax, axes)
        observe.seen(self, "pool", out, axes)
        return out

    def stream(self, batch: int = 1) -> ConvStream:
        """The block one time step at a time: of one axis, with ``padding="causal"`` and no pooling.

        Args:
            batch: B, the sequences that step together.

        Raises:
            ArgumentError: an output of the block sees later steps, or steps are not what it slides along.
        """
        if self.dims != 1 or self.pool is not None:
            raise ArgumentError(
                f"ConvBlock: a stream gives an output as its step comes, and this block has dims={self.dims} and "
                f"pool={self.pool!r}; make it with dims=1 and pool=None"
            )
        return ConvStream(self, batch, self.activation)

    def extra_repr(self) -> str:
        """Write what was given, and of the convolution's further arguments those that are not the default."""
        shown = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        ones, zeros = (1,) * self.dims, (0,) * self.dims
        defaults = {
            "padding": zeros,
            "dilation": ones,
            "groups": 1,
            "padding_mode": "zeros",
            "padding_value": 0.0,
        }
        for name, default in defaults.items():
            value = getattr(self, name)
            if value != default:
                shown += f", {name}={value!r}"
        if self.bias is None:
            shown += ", bias=False"
        shown += f", dims={self.dims}, activation={self.activation!r}, pool={self.pool!r}"
        if self.pool is not None:
            shown += f", pool_size={self.pool_size}, pool_stride={self.pool_stride}"
            if self.pool_padding != 0:
                shown += f", pool_padding={self.pool_padding!r}"
        if self.memory != "keep":
            shown += f", memory={self.memory!r}"
        return shown

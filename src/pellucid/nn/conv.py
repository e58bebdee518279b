"""Conv1d, Conv2d, Conv3d: torch.nn's layers, with every padding that people have asked torch for.

Each is a subclass of torch's class of the same name: parameters, initialisation, state_dict and repr are
torch's own; what is computed is :func:`pellucid.ops.convolution.convolution`.
"""

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.common_types import _size_1_t, _size_2_t, _size_3_t

from pellucid.errors import ArgumentError
from pellucid.nn.conv_stream import ConvStream
from pellucid.nn.leaf import Proxy, no_script, node
from pellucid.ops import observe
from pellucid.ops.convolution import check_padding_mode, convolution
from pellucid.ops.windows import Padding, Size, axis_letters, check_padding_name, padding_pairs, per_axis

PaddingMode: TypeAlias = Literal["zeros", "reflect", "replicate", "circular"]
Device: TypeAlias = torch.device | str | int | None


class Conv1d(torch.nn.Conv1d):
    """Convolution over a sequence: ``(B, C, L)`` to ``(B, O, L')``, the batch axis optional.

    Arguments, parameters (weight ``(O, C / groups, K)``, bias ``(O,)``), dtypes and devices
    are those of torch.nn.Conv1d; the equation stands with
    :func:`pellucid.ops.reference.convolution.convolution`. Beyond torch:

    - ``padding="same"`` at every stride and dilation, ``ceil(size / stride)`` outputs, an odd place at the
      end (SAME_UPPER of ONNX and TensorFlow; torch's own split at stride 1); ``"same_lower"``, an odd place
      at the beginning; ``"causal"``, all of it before the sequence;
    - a ``(begin, end)`` pair for an axis: ``padding=((1, 2),)``, nested because (1, 2)
      means two axes, as in torch;
    - ``padding_value``: what the padding holds where padding_mode is "zeros";
    - :meth:`stream`: one time step at a time.

    Raises :class:`~pellucid.errors.ArgumentError` (a ValueError) or, for a size that cannot be,
    :class:`~pellucid.errors.SizeError` (a RuntimeError); SizeError also for an input that does not fit.
    """

    padding_value: float = 0.0  # also for a layer that was pickled without one

    __prepare_scriptable__ = no_script

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _size_1_t,
        stride: _size_1_t = 1,
        padding: Padding = 0,
        dilation: _size_1_t = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        padding_value: float = 0.0,
    ) -> None:
        """Check the arguments, then construct torch's layer; the class says what they are."""
        _check_channels("Conv1d", in_channels, out_channels, groups)
        _check_sizes("Conv1d", 1, kernel_size=kernel_size, stride=stride, dilation=dilation)
        _check_padding("Conv1d", 1, padding, padding_mode, padding_value)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            0,  # torch's constructor does not know every padding; its attribute is set below
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.padding = _padding_attribute("Conv1d", 1, padding)
        self._reversed_padding_repeated_twice = _sides(self, padding_pairs("Conv1d", padding, 1))  # type: ignore[assignment]
        self.padding_value = padding_value

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _convolve(self, 1, input, weight, bias)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve ``(B, C, L)`` or ``(C, L)``."""
        if isinstance(input, Proxy):
            return node(self, input)
        return _reported(self, 1, self._conv_forward(input, parameter(self, "weight"), parameter(self, "bias")))

    def stream(self, batch: int = 1) -> ConvStream:
        """The layer one time step at a time, for input that comes as it comes; of a layer with ``padding="causal"``.

        Args:
            batch: B, the sequences that step together.

        Raises:
            ArgumentError: an output of the layer sees later steps.
        """
        return ConvStream(self, batch)

    def extra_repr(self) -> str:
        """Write the arguments as torch does, and padding_value where it is not 0."""
        return _with_value(super().extra_repr(), self.padding_value)  # type: ignore[no-untyped-call]


class Conv2d(torch.nn.Conv2d):
    """Convolution over an image: ``(B, C, H, W)`` to ``(B, O, H', W')``, the batch axis optional.

    Arguments, parameters (weight ``(O, C / groups, KH, KW)``, bias ``(O,)``), dtypes and devices
    are those of torch.nn.Conv2d; the equation stands with
    :func:`pellucid.ops.reference.convolution.convolution`. Beyond torch:

    - ``padding="same"`` at every stride and dilation, ``ceil(size / stride)`` outputs, an odd place at the
      end (SAME_UPPER of ONNX and TensorFlow; torch's own split at stride 1); ``"same_lower"``, an odd place
      at the beginning;
    - a ``(begin, end)`` pair for an axis: ``padding=((1, 2), (0, 1))``, nested because (1, 2) is torch's
      spelling for one int an axis;
    - ``padding_value``: what the padding holds where padding_mode is "zeros".

    Raises :class:`~pellucid.errors.ArgumentError` (a ValueError) or, for a size that cannot be,
    :class:`~pellucid.errors.SizeError` (a RuntimeError); SizeError also for an input that does not fit.
    """

    padding_value: float = 0.0  # also for a layer that was pickled without one

    __prepare_scriptable__ = no_script

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _size_2_t,
        stride: _size_2_t = 1,
        padding: Padding = 0,
        dilation: _size_2_t = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        padding_value: float = 0.0,
    ) -> None:
        """Check the arguments, then construct torch's layer; the class says what they are."""
        _check_channels("Conv2d", in_channels, out_channels, groups)
        _check_sizes("Conv2d", 2, kernel_size=kernel_size, stride=stride, dilation=dilation)
        _check_padding("Conv2d", 2, padding, padding_mode, padding_value)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            0,  # torch's constructor does not know every padding; its attribute is set below
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.padding = _padding_attribute("Conv2d", 2, padding)
        self._reversed_padding_repeated_twice = _sides(self, padding_pairs("Conv2d", padding, 2))  # type: ignore[assignment]
        self.padding_value = padding_value

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _convolve(self, 2, input, weight, bias)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve ``(B, C, H, W)`` or ``(C, H, W)``."""
        if isinstance(input, Proxy):
            return node(self, input)
        return _reported(self, 2, self._conv_forward(input, parameter(self, "weight"), parameter(self, "bias")))

    def extra_repr(self) -> str:
        """Write the arguments as torch does, and padding_value where it is not 0."""
        return _with_value(super().extra_repr(), self.padding_value)  # type: ignore[no-untyped-call]


class Conv3d(torch.nn.Conv3d):
    """Convolution over a volume: ``(B, C, D, H, W)`` to ``(B, O, D', H', W')``, the batch axis optional.

    Arguments, parameters (weight ``(O, C / groups, KD, KH, KW)``, bias ``(O,)``), dtypes and devices
    are those of torch.nn.Conv3d; the equation stands with
    :func:`pellucid.ops.reference.convolution.convolution`. Beyond torch:

    - ``padding="same"`` at every stride and dilation, ``ceil(size / stride)`` outputs, an odd place at the
      end (SAME_UPPER of ONNX and TensorFlow; torch's own split at stride 1); ``"same_lower"``, an odd place
      at the beginning;
    - a ``(begin, end)`` pair for an axis: ``padding=((1, 2), (0, 1), 1)``, nested because (1, 2, 1) is
      torch's spelling for one int an axis;
    - ``padding_value``: what the padding holds where padding_mode is "zeros".

    Raises :class:`~pellucid.errors.ArgumentError` (a ValueError) or, for a size that cannot be,
    :class:`~pellucid.errors.SizeError` (a RuntimeError); SizeError also for an input that does not fit.
    """

    padding_value: float = 0.0  # also for a layer that was pickled without one

    __prepare_scriptable__ = no_script

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _size_3_t,
        stride: _size_3_t = 1,
        padding: Padding = 0,
        dilation: _size_3_t = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        padding_value: float = 0.0,
    ) -> None:
        """Check the arguments, then construct torch's layer; the class says what they are."""
        _check_channels("Conv3d", in_channels, out_channels, groups)
        _check_sizes("Conv3d", 3, kernel_size=kernel_size, stride=stride, dilation=dilation)
        _check_padding("Conv3d", 3, padding, padding_mode, padding_value)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            0,  # torch's constructor does not know every padding; its attribute is set below
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.padding = _padding_attribute("Conv3d", 3, padding)
        self._reversed_padding_repeated_twice = _sides(self, padding_pairs("Conv3d", padding, 3))  # type: ignore[assignment]
        self.padding_value = padding_value

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _convolve(self, 3, input, weight, bias)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve ``(B, C, D, H, W)`` or ``(C, D, H, W)``."""
        if isinstance(input, Proxy):
            return node(self, input)
        return _reported(self, 3, self._conv_forward(input, parameter(self, "weight"), parameter(self, "bias")))

    def extra_repr(self) -> str:
        """Write the arguments as torch does, and padding_value where it is not 0."""
        return _with_value(super().extra_repr(), self.padding_value)  # type: ignore[no-untyped-call]


def _check_channels(name: str, in_channels: int, out_channels: int, groups: int) -> None:
    if groups < 1:
        raise ArgumentError(f"{name}: groups={groups} is out of range; it must be at least 1")
    for argument, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ArgumentError(
                f"{name}: {argument}={channels} cannot be dealt out to groups={groups}; "
                f"{argument} must be a multiple of groups"
            )


def _check_sizes(name: str, dims: int, **sizes: Size) -> None:
    for argument, size in sizes.items():
        per_axis(name, argument, size, dims, least=1)


def _check_padding(name: str, dims: int, padding: Padding, padding_mode: str, padding_value: float) -> None:
    check_padding_name(name, dims, padding)
    padding_pairs(name, padding, dims)
    check_padding_mode(name, padding_mode, padding_value)


def _padding_attribute(name: str, dims: int, padding: Padding) -> Any:
    """Keep a padding as torch keeps it: a name, or a tuple with an entry for each axis."""
    pairs = padding_pairs(name, padding, dims)
    if isinstance(pairs, str):
        return pairs
    if all(begin == end for begin, end in pairs):
        return tuple(begin for begin, _ in pairs)
    return pairs


def _sides(layer: "Convolution", pairs: str | tuple[tuple[int, int], ...]) -> list[int] | None:
    """What torch's layers keep for ``torch.nn.functional.pad``: both sides of every axis, the last axis first.

    None for a padding that an input's size tells.
    """
    if not isinstance(pairs, str):
        return [side for pair in reversed(pairs) for side in pair]
    if pairs in ("same", "same_lower") and any(stride != 1 for stride in layer.stride):
        return None
    found = []
    for dilation, kernel in zip(reversed(layer.dilation), reversed(layer.kernel_size), strict=True):
        reach = 0 if pairs == "valid" else dilation * (kernel - 1)
        begin = reach if pairs == "causal" else reach // 2 if pairs == "same" else reach - reach // 2
        found += [begin, reach - begin]
    return found


def parameter(layer: torch.nn.Module, name: str) -> Any:
    """A layer's parameter, past the search that modules make for every attribute: it costs as much as a small layer's products.

    Where something else stands in its place (a parametrisation, a parameter that is None), it is what the attribute says.
    """
    found = layer._parameters.get(name)
    return getattr(layer, name) if found is None else found


def _convolve(layer: "Convolution", dims: int, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return convolution(
        input,
        weight,
        bias,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        dims=dims,
        padding_mode=layer.padding_mode,
        padding_value=layer.padding_value,
        layer=layer,
    )


def _reported(layer: "Convolution", dims: int, out: Tensor) -> Tensor:
    if observe.active(layer):
        observe.seen(layer, "out", out, axis_letters(out, dims))
    return out


def _with_value(shown: str, padding_value: float) -> str:
    return f"{shown}, padding_value={padding_value}" if padding_value != 0 else shown


Convolution: TypeAlias = Conv1d | Conv2d | Conv3d

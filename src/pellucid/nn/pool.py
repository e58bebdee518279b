"""MaxPool1d to 3d and AvgPool1d to 3d: torch.nn's layers, with every padding and no bound on it.

Each is a subclass of torch's class of the same name; what is computed is
:func:`pellucid.ops.pooling.max_pool` and :func:`pellucid.ops.pooling.average_pool`.
"""

from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.common_types import _size_1_t, _size_2_t, _size_3_t

from pellucid.nn.leaf import Proxy, no_script, node
from pellucid.ops import observe
from pellucid.ops.pooling import average_pool, max_pool
from pellucid.ops.windows import Padding, axis_letters, check_padding_name, padding_pairs


class MaxPool1d(torch.nn.MaxPool1d):
    """The maximum of every window of a sequence: ``(B, C, L)`` to ``(B, C, L')``.

    The batch axis is optional. Arguments are those of torch.nn.MaxPool1d. Beyond torch: padding may be
    wider than half the window (not as wide as the window itself, unless padding_value is given);
    ``padding="same"``, ``"same_lower"``, ``"valid"`` and ``"causal"`` at every stride and dilation; a
    ``(begin, end)`` pair for an axis, ``padding=((1, 2),)``; and ``padding_value``, what the padding
    holds (None: nothing that could be a maximum).

    Raises ArgumentError (a ValueError) for an unknown padding; at run time
    :class:`~pellucid.errors.SizeError` (a RuntimeError) for what does not fit.
    """

    padding_value: float | None = None  # also for a layer that was pickled without one
    shown_names = ("out", "argmax")  # to a trace

    __prepare_scriptable__ = no_script

    def __init__(
        self,
        kernel_size: _size_1_t,
        stride: _size_1_t | None = None,
        padding: Padding = 0,
        dilation: _size_1_t = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
        *,
        padding_value: float | None = None,
    ) -> None:
        """Check the arguments, then construct torch's layer; the class says what they are."""
        _check_padding("MaxPool1d", 1, padding)
        super().__init__(kernel_size, stride, 0, dilation, return_indices, ceil_mode)
        self.padding = padding  # type: ignore[assignment]  # wider than torch's
        self.padding_value = padding_value

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Pool ``(B, C, L)`` or ``(C, L)``; return_indices adds the position of each maximum."""
        return _max_pool(self, 1, input)

    def extra_repr(self) -> str:
        """Write the arguments as torch does, and padding_value where it is given."""
        return super().extra_repr() + _value_repr(self.padding_value)


class MaxPool2d(torch.nn.MaxPool2d):
    """The maximum of every window of an image: ``(B, C, H, W)`` to ``(B, C, H', W')``.

    The batch axis is optional. Arguments are those of torch.nn.MaxPool2d. Beyond torch: padding may be
    wider than half the window (not as wide as the window itself, unless padding_value is given);
    ``padding="same"``, ``"same_lower"``, ``"valid"`` at every stride and dilation; a ``(begin, end)``
    pair for an axis, ``padding=((1, 2), (0, 1))``; and ``padding_value``, what the padding holds (None:
    nothing that could be a maximum).

    Raises ArgumentError (a ValueError) for an unknown padding; at run time
    :class:`~pellucid.errors.SizeError` (a RuntimeError) for what does not fit.
    """

    padding_value: float | None = None  # also for a layer that was pickled without one
    shown_names = ("out", "argmax")  # to a trace

    __prepare_scriptable__ = no_script

    def __init__(
        self,
        kernel_size: _size_2_t,
        stride: _size_2_t | None = None,
        padding: Padding = 0,
        dilation: _size_2_t = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
        *,
        padding_value: float | None = None,
    ) -> None:
        """Check the arguments, then construct torch's layer; the class says what they are."""
        _check_padding("MaxPool2d", 2, padding)
        super().__init__(kernel_size, stride, 0, dilation, return_indices, ceil_mode)
        self.padding = padding  # type: ignore[assignment]  # wider than torch's
        self.padding_value = padding_value

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Pool ``(B, C, H, W)`` or ``(C, H, W)``; return_indices adds the position of each maximum."""
        return _max_pool(self, 2, input)

    def extra_repr(self) -> str:
        """Write the arguments as torch does, and padding_value where it is given."""
        return super().extra_repr() + _value_repr(self.padding_value)


class MaxPool3d(torch.nn.MaxPool3d):
    """The maximum of every window of a volume: ``(B, C, D, H, W)`` to ``(B, C, D', H', W')``.

    The batch axis is optional. Arguments are those of torch.nn.MaxPool3d. Beyond torch: padding may be
    wider than half the window (not as wide as the window itself, unless padding_value is given);
    ``padding="same"``, ``"same_lower"``, ``"valid"`` at every stride and dilation; a ``(begin, end)``
    pair for an axis, ``padding=((1, 2), (0, 1), 1)``; and ``padding_value``, what the padding holds
    (None: nothing that could be a maximum).

    Raises ArgumentError (a ValueError) for an unknown padding; at run time
    :class:`~pellucid.errors.SizeError` (a RuntimeError) for what does not fit.
    """

    padding_value: float | None = None  # also for a layer that was pickled without one
    shown_names = ("out", "argmax")  # to a trace

    __prepare_scriptable__ = no_script

    def __init__(
        self,
        kernel_size: _size_3_t,
        stride: _size_3_t | None = None,
        padding: Padding = 0,
        dilation: _size_3_t = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
        *,
        padding_value: float | None = None,
    ) -> None:
        """Check the arguments, then construct torch's layer; the class says what they are."""
        _check_padding("MaxPool3d", 3, padding)
        super().__init__(kernel_size, stride, 0, dilation, return_indices, ceil_mode)
        self.padding = padding  # type: ignore[assignment]  # wider than torch's
        self.padding_value = padding_value

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Pool ``(B, C, D, H, W)`` or ``(C, D, H, W)``; return_indices adds the position of each maximum."""
        return _max_pool(self, 3, input)

    def extra_repr(self) -> str:
        """Write the arguments as torch does, and padding_value where it is given."""
        return super().extra_repr() + _value_repr(self.padding_value)


class AvgPool1d(torch.nn.AvgPool1d):
    """The mean of every window of a sequence: ``(B, C, L)`` to ``(B, C, L')``.

    The batch axis is optional. Arguments are those of torch.nn.AvgPool1d. Beyond torch: padding may be
    wider than half the window (not as wide as the window itself, unless padding_value is given);
    ``padding="same"``, ``"same_lower"``, ``"valid"`` and ``"causal"`` at every stride and dilation; a
    ``(begin, end)`` pair for an axis, ``padding=((1, 2),)``; ``dilation``; and ``padding_value``, what
    counted padding holds (None: zeros).

    Raises ArgumentError (a ValueError) for an unknown padding; at run time
    :class:`~pellucid.errors.SizeError` (a RuntimeError) for what does not fit.
    """

    dilation: _size_1_t = 1  # this and the next also for a layer that was pickled without them
    padding_value: float | None = None

    __prepare_scriptable__ = no_script

    def __init__(
        self,
        kernel_size: _size_1_t,
        stride: _size_1_t | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        *,
        dilation: _size_1_t = 1,
        padding_value: float | None = None,
    ) -> None:
        """Check the arguments, then construct torch's layer; the class says what they are."""
        _check_padding("AvgPool1d", 1, padding)
        super().__init__(
            kernel_size,
            stride,  # type: ignore[arg-type]  # torch's annotation leaves out the None that is its default
            0,
            ceil_mode,
            count_include_pad,
        )
        self.padding = (padding,) if isinstance(padding, int) else padding  # type: ignore[assignment]  # wider than torch's
        self.dilation = dilation
        self.padding_value = padding_value

    def forward(self, input: Tensor) -> Tensor:
        """Pool ``(B, C, L)`` or ``(C, L)``."""
        return _average_pool(self, 1, input, None)

    def extra_repr(self) -> str:
        """Write the arguments as torch does, then those that torch has not where they are given."""
        return super().extra_repr() + _dilation_repr(self.dilation) + _value_repr(self.padding_value)


class AvgPool2d(torch.nn.AvgPool2d):
    """The mean of every window of an image: ``(B, C, H, W)`` to ``(B, C, H', W')``.

    The batch axis is optional. Arguments are those of torch.nn.AvgPool2d. Beyond torch: padding may be
    wider than half the window (not as wide as the window itself, unless padding_value is given);
    ``padding="same"``, ``"same_lower"``, ``"valid"`` at every stride and dilation; a ``(begin, end)``
    pair for an axis, ``padding=((1, 2), (0, 1))``; ``dilation``; and ``padding_value``, what counted
    padding holds (None: zeros).

    Raises ArgumentError (a ValueError) for an unknown padding; at run time
    :class:`~pellucid.errors.SizeError` (a RuntimeError) for what does not fit.
    """

    dilation: _size_2_t = 1  # this and the next also for a layer that was pickled without them
    padding_value: float | None = None

    __prepare_scriptable__ = no_script

    def __init__(
        self,
        kernel_size: _size_2_t,
        stride: _size_2_t | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        *,
        dilation: _size_2_t = 1,
        padding_value: float | None = None,
    ) -> None:
        """Check the arguments, then construct torch's layer; the class says what they are."""
        _check_padding("AvgPool2d", 2, padding)
        super().__init__(kernel_size, stride, 0, ceil_mode, count_include_pad, divisor_override)
        self.padding = padding  # type: ignore[assignment]  # wider than torch's
        self.dilation = dilation
        self.padding_value = padding_value

    def forward(self, input: Tensor) -> Tensor:
        """Pool ``(B, C, H, W)`` or ``(C, H, W)``."""
        return _average_pool(self, 2, input, self.divisor_override)

    def extra_repr(self) -> str:
        """Write the arguments as torch does, then those that torch has not where they are given."""
        return super().extra_repr() + _dilation_repr(self.dilation) + _value_repr(self.padding_value)


class AvgPool3d(torch.nn.AvgPool3d):
    """The mean of every window of a volume: ``(B, C, D, H, W)`` to ``(B, C, D', H', W')``.

    The batch axis is optional. Arguments are those of torch.nn.AvgPool3d. Beyond torch: padding may be
    wider than half the window (not as wide as the window itself, unless padding_value is given);
    ``padding="same"``, ``"same_lower"``, ``"valid"`` at every stride and dilation; a ``(begin, end)``
    pair for an axis, ``padding=((1, 2), (0, 1), 1)``; ``dilation``; and ``padding_value``, what counted
    padding holds (None: zeros).

    Raises ArgumentError (a ValueError) for an unknown padding; at run time
    :class:`~pellucid.errors.SizeError` (a RuntimeError) for what does not fit.
    """

    dilation: _size_3_t = 1  # this and the next also for a layer that was pickled without them
    padding_value: float | None = None

    __prepare_scriptable__ = no_script

    def __init__(
        self,
        kernel_size: _size_3_t,
        stride: _size_3_t | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        *,
        dilation: _size_3_t = 1,
        padding_value: float | None = None,
    ) -> None:
        """Check the arguments, then construct torch's layer; the class says what they are."""
        _check_padding("AvgPool3d", 3, padding)
        super().__init__(kernel_size, stride, 0, ceil_mode, count_include_pad, divisor_override)
        self.padding = padding  # type: ignore[assignment]  # wider than torch's
        self.dilation = dilation
        self.padding_value = padding_value

    def forward(self, input: Tensor) -> Tensor:
        """Pool ``(B, C, D, H, W)`` or ``(C, D, H, W)``."""
        return _average_pool(self, 3, input, self.divisor_override)

    def extra_repr(self) -> str:
        """Write the arguments as torch does, then those that torch has not where they are given."""
        return super().extra_repr() + _dilation_repr(self.dilation) + _value_repr(self.padding_value)


MaxPool: TypeAlias = MaxPool1d | MaxPool2d | MaxPool3d
AvgPool: TypeAlias = AvgPool1d | AvgPool2d | AvgPool3d


def _check_padding(name: str, dims: int, padding: Padding) -> None:
    check_padding_name(name, dims, padding)
    padding_pairs(name, padding, dims)


def _max_pool(layer: MaxPool, dims: int, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    if isinstance(input, Proxy):
        return node(layer, input)
    shows = observe.active(layer) and observe.wants(layer, "argmax")
    pooled = max_pool(
        input,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.ceil_mode,
        layer.return_indices or shows,
        dims=dims,
        padding_value=layer.padding_value,
        layer=layer,
    )
    if not observe.active(layer):
        return pooled
    out, *argmax = (pooled,) if isinstance(pooled, Tensor) else pooled
    axes = axis_letters(out, dims)
    observe.seen(layer, "out", out, axes)
    for positions in argmax:
        observe.seen(layer, "argmax", positions, axes)
    return pooled if layer.return_indices else out


def _average_pool(layer: AvgPool, dims: int, input: Tensor, divisor_override: int | None) -> Tensor:
    if isinstance(input, Proxy):
        return node(layer, input)
    out = average_pool(
        input,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.ceil_mode,
        layer.count_include_pad,
        divisor_override,
        dims=dims,
        dilation=layer.dilation,
        padding_value=layer.padding_value,
        layer=layer,
    )
    if observe.active(layer):
        observe.seen(layer, "out", out, axis_letters(out, dims))
    return out


def _dilation_repr(dilation: int | tuple[int, ...]) -> str:
    return "" if dilation == 1 else f", dilation={dilation}"


def _value_repr(padding_value: float | None) -> str:
    return "" if padding_value is None else f", padding_value={padding_value}"

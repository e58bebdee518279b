"""Max and average pooling: their checks and their choice of path.

``max_pool1d`` to ``avg_pool3d`` have the signatures of torch.nn.functional; what torch has not is
keyword-only.

Four paths, tried in this order by :func:`max_path` and :func:`average_path`, the one place of the rules:

1. The native engine, where it has the number type and the memory format and the padding holds nothing, or zeros of an
   average, and no window's taps can all miss the input.
2. torch's kernel, where it knows the window: padding the same on both sides and at most half the kernel, and
   an input large enough for it.
3. The padding made explicit, then torch's kernel: where nothing that the kernel gives back depends on what
   is padding and what is input (no positions, no ceil mode, no divisor that leaves the padding out).
4. The reference, for everything else.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import ArgumentError, SizeError
from pellucid.geometry.axis import Window
from pellucid.ops import library_block
from pellucid.ops.block import Pooling, run_pooling
from pellucid.ops.reference import pooling as reference
from pellucid.ops.remember import remembered_for_all
from pellucid.ops.tensors import engine_takes, memory_format, trains
from pellucid.ops.windows import Layer, Padding, Size, axis_names, batched, per_axis, sliding, spoken

MaxPath: TypeAlias = Callable[[Tensor, Sequence[Window], float | None], tuple[Tensor, Tensor | None]]
"""A program for max pooling; it may leave out the positions where nobody asked for them."""

AveragePath: TypeAlias = Callable[[Tensor, Sequence[Window], bool, int | None, float], Tensor]
"""A program for average pooling."""

_TORCH_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_TORCH_AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def max_pool(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    dims: int,
    padding_value: float | None = None,
    layer: Layer = "max_pool",
) -> Tensor | tuple[Tensor, Tensor]:
    """Take the maximum of every window of ``(B, C, *sizes)`` or ``(C, *sizes)``, in `dims` dimensions.

    The result is ``(B, C, *outputs)`` or ``(C, *outputs)``, in the input's dtype; with return_indices also
    the row-major position of each maximum in its plane, as int64. `padding` is read by
    :data:`pellucid.ops.windows.Padding`. Padding is never the maximum, unless padding_value says what it
    holds; a maximum that the padding holds has the position -1.

    Raises :class:`~pellucid.errors.SizeError` (a RuntimeError) where shapes or sizes do not fit, or where a
    window would lie wholly in padding that holds nothing; :class:`~pellucid.errors.ArgumentTypeError` for a
    wrong type.
    """
    maps = batched(layer, input, dims)
    windows = _windows(layer, maps.shape, kernel_size, stride, padding, dilation, ceil_mode)
    if padding_value is None:
        _check_seen(layer, windows, "or give padding_value, what the padding then holds")
    program = max_path(maps, windows, return_indices, padding_value)
    maximum, position = program(maps, windows, padding_value)
    if maps is not input:
        maximum, position = maximum.squeeze(0), position if position is None else position.squeeze(0)
    return (maximum, position) if return_indices and position is not None else maximum


max_pool1d = partial(max_pool, dims=1, layer="max_pool1d")
max_pool2d = partial(max_pool, dims=2, layer="max_pool2d")
max_pool3d = partial(max_pool, dims=3, layer="max_pool3d")


def max_path(input: Tensor, windows: Sequence[Window], return_indices: bool, padding_value: float | None) -> MaxPath:
    """Choose the program for max pooling, by the rules at the top of this file."""
    sizes = input.shape[2:]
    if _engine_has(input) and _engine_knows(windows) and (padding_value is None or not _pads(windows)):
        return _native_max_positions if return_indices else _native_max
    # Taps further apart than the input is long can all miss it; torch's kernel then gives a position outside
    # the plane, and its backward pass writes there (seen in 2.13).
    hit = all(size >= window.dilation for size, window in zip(sizes, windows, strict=True))
    if hit and _torch_knows(windows) and (padding_value is None or not _pads(windows)):
        return _torch_max_positions if return_indices else _torch_max
    if not return_indices and not any(window.ceil for window in windows):
        return _padded_max
    return reference.max_pool


def average_pool(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dims: int,
    dilation: Size = 1,
    padding_value: float | None = None,
    layer: Layer = "average_pool",
) -> Tensor:
    """Take the mean of every window of ``(B, C, *sizes)`` or ``(C, *sizes)``, in `dims` dimensions.

    The result is ``(B, C, *outputs)`` or ``(C, *outputs)``, in the input's dtype. `padding` is read by
    :data:`pellucid.ops.windows.Padding`; with count_include_pad it holds padding_value (None: zeros) and
    counts, without it the mean is that of the input alone (NaN for a dilated window whose taps all fall
    beside the input). divisor_override divides the sum in place of the count.

    Raises :class:`~pellucid.errors.SizeError` (a RuntimeError) where shapes or sizes do not fit, for a
    divisor of 0, or where a window would lie wholly in padding and padding_value is not given;
    :class:`~pellucid.errors.ArgumentError` for a padding_value that would not count;
    :class:`~pellucid.errors.ArgumentTypeError` for a wrong type.
    """
    maps = batched(layer, input, dims)
    windows = _windows(layer, maps.shape, kernel_size, stride, padding, dilation, ceil_mode)
    if divisor_override == 0:
        raise SizeError(f"{spoken(layer)}: divisor_override=0 divides by zero; give another number, or None")
    if not count_include_pad:
        if padding_value is not None:
            raise ArgumentError(
                f"{spoken(layer)}: with count_include_pad=False the padding does not count, so "
                f"padding_value={padding_value} would never be seen; leave one of the two out"
            )
        _check_seen(layer, windows, "or let the padding count (count_include_pad=True and a padding_value)")
    elif padding_value is None:
        _check_seen(layer, windows, "or give padding_value, what the padding then holds")
    value = 0.0 if padding_value is None else padding_value
    program = average_path(maps, windows, count_include_pad, divisor_override, value)
    mean = program(maps, windows, count_include_pad, divisor_override, value)
    return mean if maps is input else mean.squeeze(0)


avg_pool1d = partial(average_pool, dims=1, layer="avg_pool1d")
avg_pool2d = partial(average_pool, dims=2, layer="avg_pool2d")
avg_pool3d = partial(average_pool, dims=3, layer="avg_pool3d")


def average_path(
    input: Tensor,
    windows: Sequence[Window],
    count_include_pad: bool,
    divisor_override: int | None,
    padding_value: float,
) -> AveragePath:
    """Choose the program for average pooling, by the rules at the top of this file."""
    dims, sizes = len(windows), input.shape[2:]
    if _engine_has(input) and _engine_knows(windows) and (padding_value == 0 or not _pads(windows)):
        return _native_average
    undilated = all(window.dilation == 1 for window in windows)
    torch_can = undilated and (dims > 1 or divisor_override is None)  # its avg_pool1d takes no divisor
    # its avg_pool3d refuses an input smaller than the kernel, however much padding there is
    covered = dims < 3 or all(size >= window.kernel for size, window in zip(sizes, windows, strict=True))
    if torch_can and covered and _torch_knows(windows) and (padding_value == 0 or not _pads(windows)):
        return _torch_average
    if torch_can and count_include_pad and not any(window.ceil for window in windows):
        return _padded_average
    return reference.average_pool


def _engine_has(input: Tensor) -> bool:
    # Channels-last maps would have to be turned around, and torch's kernels for them are fast.
    return engine_takes(input) and memory_format(input) is torch.contiguous_format


def _engine_knows(windows: Sequence[Window]) -> bool:
    # Taps that lie apart can all fall into the padding; the reference has the rules for windows that see nothing.
    return all(window.dilation == 1 or (not any(window.padding) and not window.ceil) for window in windows)


def _on_engine(pooling: Pooling, input: Tensor, with_places: bool) -> tuple[Tensor, Tensor | None]:
    """Run here and now; or, where a graph is made, as a node of it."""
    if not torch.compiler.is_compiling():
        return run_pooling(pooling, input, with_places)
    keep = with_places or (pooling.kind == "max" and trains(input))
    out, *places = library_block.pooling(pooling, input, keep)
    return out, places[0].to(torch.int64) if with_places else None


def _native_max(input: Tensor, windows: Sequence[Window], padding_value: float | None) -> tuple[Tensor, Tensor | None]:
    return _on_engine(Pooling("max", tuple(windows)), input, with_places=False)


def _native_max_positions(
    input: Tensor, windows: Sequence[Window], padding_value: float | None
) -> tuple[Tensor, Tensor | None]:
    return _on_engine(Pooling("max", tuple(windows)), input, with_places=True)


def _native_average(
    input: Tensor,
    windows: Sequence[Window],
    count_include_pad: bool,
    divisor_override: int | None,
    padding_value: float,
) -> Tensor:
    pooling = Pooling("avg", tuple(windows), count_include_pad, divisor_override)
    return _on_engine(pooling, input, with_places=False)[0]


def _torch_knows(windows: Sequence[Window]) -> bool:
    return all(window.padding[0] == window.padding[1] and 2 * window.padding[0] <= window.kernel for window in windows)


def _pads(windows: Sequence[Window]) -> bool:
    return any(any(window.padding) for window in windows)


def _torch_max(input: Tensor, windows: Sequence[Window], padding_value: float | None) -> tuple[Tensor, Tensor | None]:
    maximum: Tensor = _TORCH_MAX[len(windows)](input, *_columns(windows), ceil_mode=windows[0].ceil)
    return maximum, None


def _torch_max_positions(
    input: Tensor, windows: Sequence[Window], padding_value: float | None
) -> tuple[Tensor, Tensor | None]:
    kernel = _TORCH_MAX[len(windows)]
    maximum, position = kernel(input, *_columns(windows), ceil_mode=windows[0].ceil, return_indices=True)
    return maximum, position


def _padded_max(input: Tensor, windows: Sequence[Window], padding_value: float | None) -> tuple[Tensor, Tensor | None]:
    value = reference.least(input.dtype) if padding_value is None else padding_value
    padded = F.pad(input, _sides(windows), value=value)
    return _torch_max(padded, [_unpadded(window) for window in windows], None)


def _torch_average(
    input: Tensor,
    windows: Sequence[Window],
    count_include_pad: bool,
    divisor_override: int | None,
    padding_value: float,
) -> Tensor:
    kernel, stride, padding, _ = _columns(windows)
    arguments = (input, kernel, stride, padding, windows[0].ceil, count_include_pad)
    mean: Tensor = _TORCH_AVERAGE[len(windows)](*arguments, *(() if divisor_override is None else (divisor_override,)))
    return mean


def _padded_average(
    input: Tensor,
    windows: Sequence[Window],
    count_include_pad: bool,
    divisor_override: int | None,
    padding_value: float,
) -> Tensor:
    padded = F.pad(input, _sides(windows), value=padding_value)
    unpadded = [_unpadded(window) for window in windows]
    return _torch_average(padded, unpadded, count_include_pad, divisor_override, 0.0)


def _columns(windows: Sequence[Window]) -> tuple[list[int], list[int], list[int], list[int]]:
    return (
        [window.kernel for window in windows],
        [window.stride for window in windows],
        [window.padding[0] for window in windows],
        [window.dilation for window in windows],
    )


def _sides(windows: Sequence[Window]) -> list[int]:
    return [side for window in reversed(windows) for side in window.padding]  # F.pad begins with the last axis


def _unpadded(window: Window) -> Window:
    return Window(window.kernel, window.stride, window.dilation, padding=(0, 0))


@remembered_for_all
def _windows(
    layer: Layer,
    shape: Sequence[int],
    kernel_size: Size,
    stride: Size | None,
    padding: Padding,
    dilation: Size,
    ceil_mode: bool,
) -> tuple[Window, ...]:
    """Check what was given, the shape of the input among it, and fit the windows."""
    if shape[1] < 1:
        raise SizeError(f"{spoken(layer)}: the input has no channels (shape {tuple(shape)}); give it at least one")
    kernel = per_axis(layer, "kernel_size", kernel_size, len(shape) - 2, least=1)
    strides = kernel if stride is None or (isinstance(stride, Sequence) and not stride) else stride
    return sliding(layer, shape, kernel, strides, padding, dilation, ceil_mode)


def block_pooling(
    layer: Layer, kind: str, shape: Sequence[int], kernel_size: Size, stride: Size | None, padding: Padding
) -> Pooling | None:
    """Fit a block's pooling to its feature map of shape ``(B, C, *sizes)``; raises as the pooling alone does.

    None where its windows are single numbers, all of them.
    """
    windows = _windows(layer, shape, kernel_size, stride, padding, 1, False)
    _check_seen(layer, windows, "or give padding_value, what the padding then holds")
    single = all(w.kernel == w.stride == 1 and not any(w.padding) for w in windows)
    return None if single else Pooling(kind, windows)


def pool_by_torch(pooling: Pooling, input: Tensor) -> Tensor:
    """A block's pooling by torch's operators: for derivatives of derivatives."""
    dims, windows = len(pooling.windows), pooling.windows
    padded = F.pad(input, _sides(windows), value=reference.least(input.dtype) if pooling.kind == "max" else 0.0)
    kernel = _TORCH_MAX[dims] if pooling.kind == "max" else _TORCH_AVERAGE[dims]
    out: Tensor = kernel(padded, [w.kernel for w in windows], [w.stride for w in windows])
    return out


def _check_seen(layer: Layer, windows: Sequence[Window], mend: str) -> None:
    """Refuse padding as wide as the window: a window wholly in it would be the maximum or mean of nothing."""
    for name, window in zip(axis_names(len(windows)), windows, strict=True):
        if max(window.padding) >= window.span:
            raise SizeError(
                f"{spoken(layer)}: along the {name} the padding {window.padding} is as wide as the window "
                f"({window.span}), so some windows would see nothing of the input; "
                f"pad by at most {window.span - 1} a side, {mend}"
            )

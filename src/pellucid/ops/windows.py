"""The arguments of a sliding window, read axis by axis.

torch's spellings (one int for all axes, or one int an axis) and Pellucid's own (a named padding, a
``(begin, end)`` pair an axis) all become one :class:`pellucid.geometry.axis.Window` an axis. Mistakes become
:class:`~pellucid.errors.SizeError`, a RuntimeError as torch.nn.functional raises for the same ones.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pellucid.errors import ArgumentError, ArgumentTypeError, SizeError
from pellucid.geometry.axis import Window, causal_padding, same_padding, too_small
from pellucid.ops.remember import remembered_for_all

Size: TypeAlias = int | Sequence[int]
"""One int for all axes, or one int an axis."""

Padding: TypeAlias = str | int | Sequence[int | Sequence[int]]
"""A name of :data:`PADDINGS`, an int for all sides, or for each axis an int or a ``(begin, end)`` pair.

A pair is always nested: in one dimension ``((2, 0),)`` pads two before and none behind, while ``(2, 0)`` is,
as in torch, one int for each of two axes.
"""


@dataclass(frozen=True)
class Pooled:
    """A block's pooling, for the sentences of its errors; they are written only where they are read.

    Attributes:
        block: whose pooling it is.
        sizes: of the map that is pooled.
    """

    block: "Layer"
    sizes: tuple[int, ...]


Layer: TypeAlias = str | torch.nn.Module | Pooled
"""Who asks, for the sentences of errors: a function's name, the module itself, or a block's pooling."""

PADDINGS = ("same", "same_lower", "valid", "causal")
"""The named paddings. Both kinds of "same" give ceil(size / stride) outputs; where the padding cannot be
split evenly the extra place is at the end ("same": SAME_UPPER of ONNX, TensorFlow's SAME, torch's own at
stride 1) or at the beginning ("same_lower"). "causal" (one axis only) pads dilation × (kernel - 1) before the
sequence, so that no output sees a later input."""

AXIS_NAMES = ("depth", "height", "width")
AXIS_LETTERS = ("D", "H", "W")


def axis_names(dims: int) -> tuple[str, ...]:
    """Name the axes of a window in `dims` dimensions, outermost first."""
    return ("length",) if dims == 1 else AXIS_NAMES[-dims:]


def axis_letters(value: Tensor, dims: int) -> str:
    """Letter the axes of a feature map, with or without a batch axis: "B C H W" or "C H W"."""
    letters = ("B", "C", "L") if dims == 1 else ("B", "C", *AXIS_LETTERS[-dims:])
    return " ".join(letters[-value.dim() :])


def spoken(layer: Layer) -> str:
    """Write a layer as the person wrote it: ``Conv2d(3, 8, kernel_size=(5, 5), stride=(1, 1))``."""
    if isinstance(layer, Pooled):
        return f"{spoken(layer.block)}, pooling a map of {' × '.join(str(size) for size in layer.sizes)}"
    return layer if isinstance(layer, str) else f"{type(layer).__name__}({layer.extra_repr()})"


def per_axis(layer: Layer, name: str, value: Size, dims: int, least: int) -> tuple[int, ...]:
    """Read an int, or one int an axis, each at least `least`.

    Raises :class:`~pellucid.errors.SizeError` for a wrong number of ints or one that is too small, and
    :class:`~pellucid.errors.ArgumentTypeError` for anything that is not an int.
    """
    ints = tuple(_int(layer, name, each) for each in _entries(value))
    if len(ints) == 1:
        ints *= dims
    if len(ints) != dims:
        raise SizeError(
            f"{spoken(layer)}: {name}={value} has {len(ints)} numbers for {_axes(dims)}; give one int, or one an axis"
        )
    if min(ints) < least:
        raise SizeError(f"{spoken(layer)}: {name}={value} is out of range; it must be at least {least}")
    return ints


def padding_pairs(layer: Layer, padding: Padding, dims: int) -> str | tuple[tuple[int, int], ...]:
    """Read a padding argument: its name if it has one, otherwise ``(begin, end)`` for each axis.

    Raises :class:`~pellucid.errors.SizeError` for an unknown name, a wrong number of axes or a negative
    number, and :class:`~pellucid.errors.ArgumentTypeError` for anything that is not an int.
    """
    if isinstance(padding, str):
        if padding not in _names(dims):
            raise SizeError(f"{spoken(layer)}: {_unknown(padding, dims)}")
        return padding
    given = _entries(padding)
    pairs = tuple(_pair(layer, padding, each) for each in given)
    if len(pairs) == 1:
        pairs *= dims
    if len(pairs) != dims:
        flat_pair = dims == 1 and len(given) == 2 and not any(isinstance(each, Sequence) for each in given)
        mend = (
            f"write padding=(({given[0]}, {given[1]}),) to pad {given[0]} before and {given[1]} behind"
            if flat_pair
            else "give one int, or for each axis an int or a (begin, end) pair"
        )
        raise SizeError(
            f"{spoken(layer)}: padding={padding} has entries for {len(pairs)} axes, "
            f"and the window has {_axes(dims)}; {mend}"
        )
    if any(side < 0 for pair in pairs for side in pair):
        raise SizeError(f"{spoken(layer)}: padding={padding} is negative; it must be at least 0")
    return pairs


def check_padding_name(layer: Layer, dims: int, padding: Padding) -> None:
    """Raise :class:`~pellucid.errors.ArgumentError` for a name that no padding has; constructors use it."""
    if isinstance(padding, str) and padding not in _names(dims):
        raise ArgumentError(f"{spoken(layer)}: {_unknown(padding, dims)}")


def batched(layer: Layer, input: Tensor, dims: int) -> Tensor:
    """Give a feature map its batch axis: ``(C, *sizes)`` becomes ``(1, C, *sizes)``.

    Raises :class:`~pellucid.errors.SizeError` for another number of axes, and
    :class:`~pellucid.errors.ArgumentTypeError` for anything that is not a tensor.
    """
    if not isinstance(input, Tensor):
        raise ArgumentTypeError(f"{spoken(layer)} needs a tensor, and was given a {type(input).__name__}")
    if input.dim() == dims + 2:
        return input
    if input.dim() == dims + 1:
        return input.unsqueeze(0)
    axes = " × ".join(axis_names(dims))
    raise SizeError(
        f"{spoken(layer)} needs an input of batch × channels × {axes}, or channels × {axes} "
        f"without a batch; this one has {input.dim()} axes, shape {_shape(input.shape)}"
    )


@remembered_for_all
def sliding(
    layer: Layer,
    shape: Sequence[int],
    kernel: tuple[int, ...],
    stride: Size,
    padding: Padding,
    dilation: Size,
    ceil_mode: bool = False,
) -> tuple[Window, ...]:
    """Fit the window of a layer to an input of shape ``(B, C, *sizes)``: one Window an axis, its padding in numbers.

    Raises :class:`~pellucid.errors.SizeError` where an argument is out of range or an axis is too small.
    """
    dims = len(kernel)
    strides = per_axis(layer, "stride", stride, dims, least=1)
    dilations = per_axis(layer, "dilation", dilation, dims, least=1)
    pairs = padding_pairs(layer, padding, dims)
    windows = []
    for axis, size in enumerate(shape[2:]):
        if size < 1:
            raise SizeError(
                f"{spoken(layer)}: the input is empty along its {axis_names(dims)[axis]} "
                f"(shape {_shape(shape)}); give it at least one element there"
            )
        steps = (kernel[axis], strides[axis], dilations[axis])
        pair = _named_pair(pairs, size, *steps) if isinstance(pairs, str) else pairs[axis]
        window = Window(*steps, padding=pair, ceil=ceil_mode)
        if window.output(size) < 1:
            raise SizeError(too_small(spoken(layer), axis_names(dims)[axis], size, window))
        windows.append(window)
    return tuple(windows)


def _names(dims: int) -> tuple[str, ...]:
    return PADDINGS if dims == 1 else tuple(name for name in PADDINGS if name != "causal")


def _unknown(padding: str, dims: int) -> str:
    names = ", ".join(f"'{name}'" for name in _names(dims))
    hint = "; causal padding needs a single axis, so a 1d layer" if padding == "causal" else ""
    return f"padding={padding!r} is not known here; the named paddings are {names}{hint}"


def _named_pair(name: str, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    if name == "valid":
        return (0, 0)
    if name == "causal":
        return causal_padding(kernel, dilation)
    return same_padding(size, kernel, stride, dilation, lower=name == "same_lower")


def _entries(value: object) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)


def _pair(layer: Layer, padding: Padding, entry: int | Sequence[int]) -> tuple[int, int]:
    if not isinstance(entry, Sequence):
        side = _int(layer, "padding", entry)
        return (side, side)
    if isinstance(entry, str) or len(entry) != 2:
        raise SizeError(
            f"{spoken(layer)}: padding={padding} has the entry {entry!r}; an axis takes an int or a (begin, end) pair"
        )
    return (_int(layer, "padding", entry[0]), _int(layer, "padding", entry[1]))


def _int(layer: Layer, name: str, value: object) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type]  # what is not an index is told below
    except TypeError:
        raise ArgumentTypeError(
            f"{spoken(layer)}: {name} takes ints, and was given {value!r}, a {type(value).__name__}"
        ) from None


def _axes(dims: int) -> str:
    return f"{dims} axis" if dims == 1 else f"{dims} axes"


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(str(size) for size in shape) if len(shape) else "none"

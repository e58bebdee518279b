"""Convolution: its checks, its choice of path, and the block convolution ► bias ► activation ► pooling.

``conv1d``, ``conv2d`` and ``conv3d`` have the signatures of torch.nn.functional; what torch has not is
keyword-only. :func:`convolution_block` is the one call that a whole block makes, so that an engine which
computes it in one sweep has one place to stand.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypedDict, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pellucid.errors import ArgumentError, SizeError
from pellucid.geometry.axis import Window, channels_mismatch
from pellucid.ops import choice, library_block
from pellucid.ops.activations import ACTIVATIONS
from pellucid.ops.again import LastCall
from pellucid.ops.block import Pooling, Shape, infer, learn, run_block
from pellucid.ops.pooling import average_pool, block_pooling, max_pool, pool_by_torch
from pellucid.ops.remember import remembered, remembered_for_all
from pellucid.ops.tensors import engine_takes, memory_format, trains
from pellucid.ops.windows import Layer, Padding, Pooled, Size, axis_names, batched, sliding, spoken

Path: TypeAlias = Callable[[Tensor, Tensor, Tensor | None, Sequence[Window], int, str, float], Tensor]
"""A program for convolution, with the signature that the reference has."""

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")

_TORCH = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    dims: int,
    padding_mode: str = "zeros",
    padding_value: float = 0.0,
    layer: Layer = "convolution",
) -> Tensor:
    """Convolve ``(B, C, *sizes)`` or ``(C, *sizes)`` with filters ``(O, C / groups, *kernel)``.

    There are `dims` sizes. The result is ``(B, O, *outputs)`` or ``(O, *outputs)``, in the input's dtype; the
    equation stands with :func:`pellucid.ops.reference.convolution.convolution`. `padding` is read by
    :data:`pellucid.ops.windows.Padding`; the padding holds `padding_value` where padding_mode is "zeros".

    Raises :class:`~pellucid.errors.SizeError` (a RuntimeError) where shapes or sizes do not fit,
    :class:`~pellucid.errors.ArgumentTypeError` for a wrong type.
    """
    maps = batched(layer, input, dims)
    bias_shape = None if bias is None else bias.shape
    arguments = (maps.shape, weight.shape, bias_shape, stride, padding, dilation, groups, padding_mode, padding_value)
    windows = _windows(layer, *arguments)
    out = path(maps, weight, bias, windows, groups)(maps, weight, bias, windows, groups, padding_mode, padding_value)
    return out if maps is input else out.squeeze(0)


@remembered_for_all
def _windows(
    layer: Layer,
    input: Sequence[int],
    weight: Sequence[int],
    bias: Sequence[int] | None,
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
    padding_mode: str,
    padding_value: float,
) -> tuple[Window, ...]:
    """Check what was given, the shapes of the tensors among it, and fit the windows."""
    _check_filters(layer, input, weight, bias, groups)
    windows = sliding(layer, input, tuple(weight[2:]), stride, padding, dilation)
    check_padding_mode(layer, padding_mode, padding_value)
    _check_borrowed(layer, input, windows, padding_mode)
    return windows


conv1d = partial(convolution, dims=1, layer="conv1d")
conv2d = partial(convolution, dims=2, layer="conv2d")
conv3d = partial(convolution, dims=3, layer="conv3d")


def path(input: Tensor, weight: Tensor, bias: Tensor | None, windows: Sequence[Window], groups: int) -> Path:
    """Choose the program: the native engine where it has the number type and is the faster one, and torch's kernel elsewhere.

    The readable :func:`pellucid.ops.reference.convolution.convolution` can stand in the place of both and is what
    tests compare them with.
    """
    if not engine_takes(input, weight, bias):
        return torch_convolution
    sizes = tuple(window.output(size) for window, size in zip(windows, input.shape[2:], strict=True))
    chosen = choice.choose(
        sizes,
        weight.shape[1],
        groups,
        work=input.shape[0] * weight.numel() * math.prod(sizes),
        pooled=False,
        training=trains(input, weight, bias),
        minimal=choice.minimal(windows, weight.shape[1], weight.shape[0] // groups),
        channels_last=memory_format(input) is not torch.contiguous_format,
        half=input.dtype == torch.bfloat16,
        images=input.shape[0],
    )
    return native_convolution if chosen.native else torch_convolution


def native_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    windows: Sequence[Window],
    groups: int,
    padding_mode: str,
    padding_value: float,
) -> Tensor:
    """Convolve on the native engine."""
    shape = _shape(input.shape, weight.shape, tuple(windows), groups, padding_mode, float(padding_value))
    return _on_engine(shape, input, weight, bias)


def _on_engine(shape: Shape, input: Tensor, weight: Tensor, bias: Tensor | None, recompute: bool = False) -> Tensor:
    """Run here and now; or, where a graph is made, as a node of it."""
    if torch.compiler.is_compiling():
        return library_block.block(shape, input, weight, bias, keep=trains(input, weight, bias) and not recompute)
    return run_block(shape, input, weight, bias, _by_torch, recompute)


@remembered
def _shape(
    input: Sequence[int],
    weight: Sequence[int],
    windows: tuple[Window, ...],
    groups: int,
    padding_mode: str,
    padding_value: float,
    activation: str | None = None,
    pooling: Pooling | None = None,
) -> Shape:
    return Shape(
        batch=input[0],
        sizes=tuple(input[2:]),
        filters=weight[0],
        channels=weight[1],
        windows=windows,
        groups=groups,
        padding_mode=padding_mode,
        padding_value=padding_value,
        activation=activation,
        pooling=pooling,
    )


def _by_torch(shape: Shape, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    rest = (shape.windows, shape.groups, shape.padding_mode, shape.padding_value)
    maps = torch_convolution(input, weight, bias, *rest)
    activated = maps if shape.activation is None else ACTIVATIONS[shape.activation].torch(maps)
    return activated if shape.pooling is None else pool_by_torch(shape.pooling, activated)


def torch_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    windows: Sequence[Window],
    groups: int,
    padding_mode: str,
    padding_value: float,
) -> Tensor:
    """Convolve by torch's kernel, with padding that it does not know made explicit first."""
    padding = [window.padding[0] for window in windows]
    even = all(begin == end for begin, end in (window.padding for window in windows))
    if not even or (any(padding) and (padding_mode != "zeros" or padding_value != 0)):
        input = _padded(input, windows, padding_mode, padding_value)
        padding = [0] * len(windows)
    stride = [window.stride for window in windows]
    dilation = [window.dilation for window in windows]
    out: Tensor = _TORCH[len(windows)](input, weight, bias, stride, padding, dilation, groups)
    return out


def _padded(input: Tensor, windows: Sequence[Window], padding_mode: str, padding_value: float) -> Tensor:
    """Make the windows' padding part of the feature map."""
    sides = [side for window in reversed(windows) for side in window.padding]  # F.pad begins with the last axis
    if padding_mode == "zeros":
        return F.pad(input, sides, value=padding_value)
    return F.pad(input, sides, mode=padding_mode)


POOLS: Mapping[str, Callable[..., Tensor | tuple[Tensor, Tensor]]] = {"max": max_pool, "avg": average_pool}
"""The poolings a block can have."""


class BlockOptions(TypedDict, total=False):
    """What a block can be given besides its tensors; the defaults are those of :class:`Options`."""

    stride: Size
    padding: Padding
    dilation: Size
    groups: int
    padding_mode: str
    padding_value: float
    activation: str | None
    pool: str | None
    pool_size: Size
    pool_stride: Size | None
    pool_padding: Padding


class Options(NamedTuple):
    """The same as a layer hands it over. The options are those of the single operators.

    Attributes:
        stride: of the convolution, as all up to padding_value.
        padding: of the convolution.
        dilation: of the convolution.
        groups: of the convolution.
        padding_mode: of the convolution.
        padding_value: of the convolution.
        activation: a name of :data:`~pellucid.ops.activations.ACTIVATIONS`; None leaves that step out.
        pool: a name of :data:`POOLS`; None leaves that step out.
        pool_size: the pooling's window.
        pool_stride: the pooling's stride; None takes pool_size.
        pool_padding: the pooling's padding.
    """

    stride: Size = 1
    padding: Padding = 0
    dilation: Size = 1
    groups: int = 1
    padding_mode: str = "zeros"
    padding_value: float = 0.0
    activation: str | None = "relu"
    pool: str | None = "max"
    pool_size: Size = 2
    pool_stride: Size | None = None
    pool_padding: Padding = 0


def convolution_block(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    dims: int,
    layer: Layer = "convolution_block",
    memory: str = "keep",
    **options: Unpack[BlockOptions],
) -> Tensor:
    """Compute convolution ► bias ► activation ► pooling.

    On the native engine it is one sweep. The feature map is not written, but for a backward pass that reads it: with an
    activation, unless that never falls and max pooling follows, or it is ReLU and nothing follows. Beside max pooling the
    maxima's places are kept, and, unless the activation is ReLU, what they were before it. The result is
    ``(B, O, *outputs)``, or ``(O, *outputs)`` where the input has no batch.

    Args:
        input: ``(B, C, *sizes)`` or ``(C, *sizes)``.
        weight: ``(O, C / groups, *kernel)``.
        bias: ``(O,)``, or None.
        dims: how many axes windows slide along.
        layer: for messages.
        memory: "keep" for the backward pass what it needs of the map, the cheapest in time; or "recompute" that in the
            backward pass, which keeps nothing but the tensors given and costs a forward pass more.
        **options: as in :class:`Options`.

    Raises:
        ArgumentError: for a name that is not there.
        SizeError: and ArgumentTypeError, as the single operators do.
    """
    return compute_block(input, weight, bias, Options(**options), dims, layer, memory, LastCall())


def compute_block(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    options: tuple[Any, ...],
    dims: int,
    layer: Layer,
    memory: str,
    last: LastCall,
) -> Tensor:
    """As :func:`convolution_block`, which says what all is.

    Options are in the order of :class:`Options`; the last call is that of the layer.
    """
    training, recompute = isinstance(input, Tensor) and trains(input, weight, bias), memory == "recompute"
    settling = (options, memory, training)
    like = last.like(settling, input, weight, bias)
    if like is not None:
        try:
            return learn(like, input, weight, bias, _by_torch) if training else infer(like, input, weight, bias)
        except (TypeError, ValueError):
            pass  # the engine refuses them; what follows finds another way, or has words for it
    check_memory(layer, memory)
    if engine_takes(input, weight, bias):
        maps = batched(layer, input, dims)
        shape = _block_shape(layer, maps.shape, weight.shape, None if bias is None else bias.shape, *options)
        if shape.choice(maps, training).native:
            if maps is input and not (training and recompute):
                last.keep(settling, shape, input, weight, bias)
            out = _on_engine(shape, maps, weight, bias, recompute)
            return out if maps is input else out.squeeze(0)
    if not (training and recompute):
        return compute_maps(input, weight, bias, options, dims, layer).pooled

    def by_steps(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return compute_maps(input, weight, bias, options, dims, layer).pooled

    out = checkpoint(by_steps, input, weight, bias, use_reentrant=False, preserve_rng_state=False)
    assert isinstance(out, Tensor)
    return out


@remembered_for_all
def _block_shape(
    layer: Layer, input: Sequence[int], weight: Sequence[int], bias: Sequence[int] | None, *options: Any
) -> Shape:
    """Check what was given, the shapes of the tensors among it, and fit convolution and pooling."""
    of = Options(*options)
    check_steps(layer, of.activation, of.pool)
    border = (of.padding_mode, of.padding_value)
    windows = _windows(layer, input, weight, bias, of.stride, of.padding, of.dilation, of.groups, *border)
    pooling = None
    if of.pool is not None:
        sizes = tuple(window.output(size) for window, size in zip(windows, input[2:], strict=True))
        maps = (input[0], weight[0], *sizes)
        pooling = block_pooling(Pooled(layer, sizes), of.pool, maps, of.pool_size, of.pool_stride, of.pool_padding)
    return _shape(input, weight, windows, of.groups, of.padding_mode, float(of.padding_value), of.activation, pooling)


class Block(NamedTuple):
    """The maps of one block: ``(B, O, *sizes)`` each, or ``(O, *sizes)`` where the input has no batch."""

    map: Tensor
    """The feature map, bias included, before the activation."""
    activated: Tensor
    """The feature map after the activation."""
    pooled: Tensor
    """What the block gives on: after pooling."""


def block_maps(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    dims: int,
    layer: Layer = "convolution_block",
    **options: Unpack[BlockOptions],
) -> Block:
    """Compute what :func:`convolution_block` does step by step, and give every step's map: for traces."""
    return compute_maps(input, weight, bias, Options(**options), dims, layer)


def compute_maps(
    input: Tensor, weight: Tensor, bias: Tensor | None, options: tuple[Any, ...], dims: int, layer: Layer
) -> Block:
    """As :func:`block_maps`, which says what all is; options are in the order of :class:`Options`."""
    stride, padding, dilation, groups, padding_mode, padding_value, activation, pool, *pooling = options
    check_steps(layer, activation, pool)
    maps = convolution(
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        dims=dims,
        padding_mode=padding_mode,
        padding_value=padding_value,
        layer=layer,
    )
    activated = ACTIVATIONS[activation].torch(maps) if activation is not None else maps
    if pool is None:
        return Block(maps, activated, activated)
    whose = Pooled(layer, tuple(maps.shape[-dims:]))
    pooled = POOLS[pool](activated, *pooling, dims=dims, layer=whose)
    assert isinstance(pooled, Tensor)  # positions were not asked for
    return Block(maps, activated, pooled)


def check_steps(layer: Layer, activation: str | None, pool: str | None) -> None:
    """Raise :class:`~pellucid.errors.ArgumentError` for an activation or pooling that a block has not."""
    for argument, name, known in (("activation", activation, ACTIVATIONS), ("pool", pool, POOLS)):
        if name is not None and name not in known:
            names = ", ".join(f"'{each}'" for each in known)
            raise ArgumentError(f"{spoken(layer)}: {argument}={name!r} is not known; give {names} or None")


def check_memory(layer: Layer, memory: str) -> None:
    """Raise :class:`~pellucid.errors.ArgumentError` for what a block cannot do with its memory."""
    if memory not in ("keep", "recompute"):
        raise ArgumentError(f"{spoken(layer)}: memory={memory!r} is not known; give 'keep' or 'recompute'")


def check_padding_mode(layer: Layer, padding_mode: str, padding_value: float) -> None:
    """Raise :class:`~pellucid.errors.ArgumentError` for an unknown mode, or a value that it would not use."""
    if padding_mode not in PADDING_MODES:
        modes = ", ".join(f"'{mode}'" for mode in PADDING_MODES)
        raise ArgumentError(f"{spoken(layer)}: padding_mode must be one of {modes}, and was given {padding_mode!r}")
    if padding_mode != "zeros" and padding_value != 0:
        raise ArgumentError(
            f"{spoken(layer)}: padding_mode='{padding_mode}' takes its values from the input, so "
            f"padding_value={padding_value} would never be seen; leave one of the two out"
        )


def _check_filters(
    layer: Layer, input: Sequence[int], weight: Sequence[int], bias: Sequence[int] | None, groups: int
) -> None:
    dims = len(input) - 2
    if len(weight) != dims + 2:
        raise SizeError(
            f"{spoken(layer)} needs filters of out channels × in channels × {' × '.join(axis_names(dims))}; "
            f"these have {len(weight)} axes, shape {tuple(weight)}"
        )
    out_channels, of_a_group, *kernel = weight
    if min(kernel) < 1:
        raise SizeError(f"{spoken(layer)}: kernel_size={tuple(kernel)} is out of range; it must be at least 1")
    if groups < 1:
        raise SizeError(f"{spoken(layer)}: groups={groups} is out of range; it must be at least 1")
    if out_channels < groups or out_channels % groups:
        raise SizeError(
            f"{spoken(layer)}: {out_channels} filters cannot be dealt out to groups={groups}; "
            f"the number of out channels must be a positive multiple of groups"
        )
    expected, got = of_a_group * groups, input[1]
    if got != expected:
        fits = input[-1] == expected
        raise SizeError(channels_mismatch(spoken(layer), expected, got, tuple(input), fits))
    if bias is not None and tuple(bias) != (out_channels,):
        raise SizeError(
            f"{spoken(layer)} needs a bias of {out_channels} numbers, one a filter; this one has shape {tuple(bias)}"
        )


def _check_borrowed(layer: Layer, input: Sequence[int], windows: Sequence[Window], padding_mode: str) -> None:
    """Padding that is borrowed from the input cannot be larger than what there is to borrow."""
    if padding_mode not in ("reflect", "circular"):
        return
    names = axis_names(len(windows))
    for name, size, window in zip(names, input[2:], windows, strict=True):
        most = size - 1 if padding_mode == "reflect" else size
        if max(window.padding) > most:
            raise SizeError(
                f"{spoken(layer)}: padding_mode='{padding_mode}' can pad an input of {name} {size} "
                f"by at most {most} a side, and this window needs {window.padding}; "
                f"enlarge the input, or pad with zeros"
            )

"""Convolution ► activation ► pooling on the native engine, forward and backward."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pellucid.geometry.axis import Window
from pellucid.ops import choice as rule
from pellucid.ops.activations import ACTIVATIONS, programs
from pellucid.ops.native import _native
from pellucid.ops.reference.pooling import average_pool
from pellucid.ops.saved import saved_by, to_save
from pellucid.ops.tensors import maps_like, memory_format, narrow, place_type, plain, trains
from pellucid.ops.transforms import wrapped

Torch = Callable[["Shape", Tensor, Tensor, Tensor | None], Tensor]
"""The same block by torch's operators, for derivatives of derivatives."""


@dataclass(frozen=True)
class Pooling:
    """The pooling of a block.

    Attributes:
        kind: "max" or "avg".
        windows: one an axis.
        counts_padding: whether the padding counts in an average.
        divisor: in place of an average's count.
    """

    kind: str
    windows: tuple[Window, ...]
    counts_padding: bool = True
    divisor: int | None = None

    def spell(self, sizes: Sequence[int]) -> tuple[bool, list[tuple[int, ...]], bool, int]:
        """As the engine reads it, for maps of these sizes."""
        return self.kind == "max", _axes(self.windows, sizes), self.counts_padding, self.divisor or 0


@dataclass
class Shape:
    """What is the same in every call with inputs of the same sizes.

    Attributes:
        batch: of the input.
        sizes: of the input, without batch and channels.
        filters: of all groups.
        channels: of one group.
        windows: of the convolution, one an axis.
        groups: into which channels and filters are dealt out.
        padding_mode: as in torch.nn.
        padding_value: where it is "zeros".
        activation: a name of :data:`~pellucid.ops.activations.ACTIVATIONS`, or None.
        pooling: or None.
        map: the sizes of the feature map.
        out: the sizes of what the block gives on.
        result: the same with batch and filters.
        pooled_first: whether the maximum is taken before the activation, which gives the same where that never falls.
        seen_in_result: whether the backward pass finds in the result what it needs of the numbers before the activation.
        keeps: of what :class:`Kept` names, what the engine writes for the backward pass.
        products: the multiply-adds of one image's map.
    """

    batch: int
    sizes: tuple[int, ...]
    filters: int
    channels: int
    windows: tuple[Window, ...]
    groups: int
    padding_mode: str
    padding_value: float
    activation: str | None
    pooling: Pooling | None
    map: tuple[int, ...] = field(init=False)
    out: tuple[int, ...] = field(init=False)
    result: tuple[int, ...] = field(init=False)
    pooled_first: bool = field(init=False)
    seen_in_result: bool = field(init=False)
    keeps: tuple[bool, bool, bool] = field(init=False)
    products: int = field(init=False)

    def __post_init__(self) -> None:
        """Settle at once what every call asks for."""
        self.map = self.out = _outputs(self.windows, self.sizes)
        if self.pooling is not None:
            self.out = _outputs(self.pooling.windows, self.map)
        self.result = (self.batch, self.filters, *self.out)
        activation = None if self.activation is None else ACTIVATIONS[self.activation]
        rises = activation is None or activation.rises
        self.pooled_first = rises and self.pooling is not None and self.pooling.kind == "max"
        taps = math.prod([w.kernel for w in self.windows])  # a list: a graph is not made through a generator here
        self.products = self.filters * self.channels * taps * math.prod(self.map)
        last = self.pooling is None or self.pooled_first
        self.seen_in_result = last and activation is not None and activation.by_sign
        reads = activation is not None and not self.seen_in_result
        self.keeps = reads and not self.pooled_first, reads and self.pooled_first, self.pooled_first

    def choice(self, input: Tensor, training: bool) -> rule.Choice:
        """Whether the engine is the faster one."""
        return rule.choose(
            self.map,
            self.channels,
            self.groups,
            work=self.batch * self.products,
            pooled=self.pooling is not None,
            training=training,
            minimal=rule.minimal(self.windows, self.channels, self.filters // self.groups),
            channels_last=memory_format(input) is not torch.contiguous_format,
            half=input.dtype == torch.bfloat16,
            images=self.batch,
        )

    @cached_property
    def engine(self) -> Any:
        """The native block."""
        forward, derivative = (None, None) if self.activation is None else programs(self.activation)
        return _native.Convolution(
            axes=_axes(self.windows, self.sizes),
            groups=self.groups,
            channels=self.channels,
            filters=self.filters // self.groups,
            border=self.padding_mode,
            border_value=self.padding_value,
            activation=forward,
            derivative=derivative,
            pooled_first=self.pooled_first,
            pool=None if self.pooling is None else self.pooling.spell(self.map),
        )


def _outputs(windows: Sequence[Window], sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(w.output(size) for w, size in zip(windows, sizes, strict=True))


def _axes(windows: Sequence[Window], sizes: Sequence[int]) -> list[tuple[int, ...]]:
    return [
        (size, w.output(size), w.kernel, w.stride, w.dilation, *w.padding)
        for w, size in zip(windows, sizes, strict=True)
    ]


def run_block(
    shape: Shape, input: Tensor, weight: Tensor, bias: Tensor | None, by_torch: Torch, recompute: bool = False
) -> Tensor:
    """What the block gives on, differentiable in all three tensors.

    Args:
        shape: of the block.
        input: (B, C, *sizes), of one of :data:`NUMBERS`.
        weight: (O, C / groups, *kernel), of the same type.
        bias: (O,), or None.
        by_torch: the same, for derivatives of derivatives.
        recompute: keep nothing but the tensors given, and compute in the backward pass anew what it needs.
    """
    if trains(input, weight, bias):
        return _differentiable((shape, by_torch, recompute), input, weight, bias)
    return forward(shape, input, weight, bias, keep=False)[0]


class Kept(NamedTuple):
    """What a forward pass keeps for the backward pass."""

    map: Tensor | None = None
    """The feature map before the activation, or the result where that tells as much; where there is an activation and the
    maximum is not taken first."""
    largest: Tensor | None = None
    """Of every window, before the activation, or the result where that tells as much; where the maximum is taken first and
    an activation follows."""
    places: Tensor | None = None
    """Of the largest, row-major in their maps; where the maximum is taken first."""


_NOTHING = Kept()


def forward(shape: Shape, input: Tensor, weight: Tensor, bias: Tensor | None, keep: bool) -> tuple[Tensor, Kept]:
    """What the block gives on, and what is kept of it for :func:`backward`; below autograd."""
    if input.dtype is torch.bfloat16:
        wide, kept = forward(shape, input.float(), weight.float(), None if bias is None else bias.float(), keep)
        out = wide.to(torch.bfloat16)
    else:
        out, kept = room(shape, input, keep)
        w, b = weight.contiguous(), None if bias is None else bias.contiguous()
        shape.engine.run(input, w, b, out, kept.map, kept.largest, kept.places, torch.get_num_threads())
    return out, kept_with_result(shape, out, kept.places) if keep and shape.seen_in_result else kept


def infer(shape: Shape, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The same of tensors that the engine reads as they lie, keeping nothing; TypeError or ValueError where it does not."""
    out = input.new_empty(*shape.result)
    shape.engine.run(input, weight, bias, out, None, None, None, torch.get_num_threads())
    return out


def learn(shape: Shape, input: Tensor, weight: Tensor, bias: Tensor | None, by_torch: Torch) -> Tensor:
    """The same where autograd will ask for a gradient."""
    return _as_they_lie(shape, by_torch, input, weight, bias)


def kept_with_result(shape: Shape, out: Tensor, places: Tensor | None) -> Kept:
    """What is kept where the result tells as much as the numbers before the activation."""
    return Kept(largest=out, places=places) if shape.pooled_first else Kept(map=out)


def room(shape: Shape, x: Tensor, keep: bool) -> tuple[Tensor, Kept]:
    """Memory for what the engine writes, of an input as it reads it."""
    out = maps_like(x, shape.result)
    if not keep:
        return out, _NOTHING
    map, largest, places = shape.keeps
    return out, Kept(
        x.new_empty(shape.batch, shape.filters, *shape.map) if map else None,
        x.new_empty(*shape.result) if largest else None,
        x.new_empty(*shape.result, dtype=place_type(x)) if places else None,
    )


def backward(
    shape: Shape, input: Tensor, weight: Tensor, kept: Kept, gradient: Tensor, wanted: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients of input, weight and bias, those that are wanted; below autograd."""
    if input.dtype is torch.bfloat16:
        map, largest = (None if t is None else t.float() for t in (kept.map, kept.largest))
        wide = Kept(map, largest, kept.places)
        found = backward(shape, input.float(), weight.float(), wide, plain(gradient), wanted)
        return [narrow(d, torch.bfloat16) for d in found]
    w, slope = weight.contiguous(), plain(gradient).contiguous()
    map, largest, places = kept
    map, largest = None if map is None else map.contiguous(), None if largest is None else largest.contiguous()
    dx = input.new_empty(*input.shape) if wanted[0] else None
    dweight = torch.empty_like(w) if wanted[1] else None
    dbias = w.new_empty(shape.filters) if wanted[2] else None
    shape.engine.backward(input, w, map, largest, places, slope, dx, dweight, dbias, torch.get_num_threads())
    return [dx, dweight, dbias]


class _Differentiable(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, block: tuple[Shape, Torch, bool], input: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        shape, _, recompute = ctx.block = block
        out, kept = forward(shape, input, weight, bias, keep=not recompute)
        ctx.save_for_backward(input, weight, bias, *to_save((out,), kept))
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        input, weight, bias, *saved = saved_by(ctx, 3)
        _, *wanted = ctx.needs_input_grad
        shape, by_torch, recompute = ctx.block
        if torch.is_grad_enabled() or wrapped(gradient):
            return None, *_by_torch(by_torch, shape, (input, weight, bias), wanted, gradient)
        kept = Kept(*saved) if saved and not recompute else forward(shape, input, weight, bias, keep=True)[1]
        return None, *backward(shape, input, weight, kept, gradient, wanted)


class _AsTheyLie(torch.autograd.Function):
    """The same of tensors that the engine reads as they lie: with a small block every line costs as much as some filters."""

    @staticmethod
    def forward(ctx: Any, shape: Shape, by_torch: Torch, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        out = input.new_empty(*shape.result)
        keeps_map, keeps_largest, keeps_places = shape.keeps
        map = input.new_empty(shape.batch, shape.filters, *shape.map) if keeps_map else None
        largest = input.new_empty(*shape.result) if keeps_largest else None
        places = input.new_empty(*shape.result, dtype=place_type(input)) if keeps_places else None
        shape.engine.run(input, weight, bias, out, map, largest, places, torch.get_num_threads())
        if shape.seen_in_result and shape.pooled_first:
            largest = out
        elif shape.seen_in_result:
            map = out
        ctx.block = shape, by_torch
        ctx.save_for_backward(input, weight, bias, *to_save((out,), (map, largest, places)))
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        input, weight, bias, *kept = saved_by(ctx, 3)
        _, _, *wanted = ctx.needs_input_grad
        shape, by_torch = ctx.block
        if torch.is_grad_enabled() or wrapped(gradient):
            return None, None, *_by_torch(by_torch, shape, (input, weight, bias), wanted, gradient)
        map, largest, places = kept or forward(shape, input, weight, bias, keep=True)[1]
        if gradient.is_neg() or not gradient.is_contiguous():
            gradient = plain(gradient).contiguous()
        dx = torch.empty_like(input) if wanted[0] else None
        dweight = torch.empty_like(weight) if wanted[1] else None
        dbias = torch.empty_like(bias) if wanted[2] else None
        threads = torch.get_num_threads()
        shape.engine.backward(input, weight, map, largest, places, gradient, dx, dweight, dbias, threads)
        return None, None, dx, dweight, dbias


# Past the search for wrappers that transforms left behind, which costs 2 microseconds: the engine is given none.
_differentiable: Callable[..., Tensor] = super(torch.autograd.Function, _Differentiable).apply
_as_they_lie: Callable[..., Tensor] = super(torch.autograd.Function, _AsTheyLie).apply


def _by_torch(
    block: Torch, shape: Shape, tensors: Sequence[Tensor | None], wanted: Sequence[bool], gradient: Tensor
) -> list[Tensor | None]:
    leaves = [t for t, w in zip(tensors, wanted, strict=True) if w and t is not None]
    input, weight, bias = tensors
    assert input is not None
    assert weight is not None
    recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        out = block(shape, input, weight, bias)
    found = iter(torch.autograd.grad(out, leaves, gradient, create_graph=recorded))
    return [next(found) if w else None for w in wanted]


def run_pooling(pooling: Pooling, input: Tensor, with_places: bool) -> tuple[Tensor, Tensor | None]:
    """Pool ``(B, C, *sizes)``; differentiable, and the places of maxima with it if they are asked for."""
    if trains(input):
        out, places = _Pooled.apply(pooling, input)  # type: ignore[no-untyped-call]
    else:
        out, places = pool(pooling, input, keep=with_places)
    return out, places.to(torch.int64) if with_places else None


@lru_cache(maxsize=4096)
def _pooling(pooling: Pooling, sizes: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    return _native.Pooling(pooling.spell(sizes)), _outputs(pooling.windows, sizes)


def pool(pooling: Pooling, input: Tensor, keep: bool) -> tuple[Tensor, Tensor | None]:
    """Pool, and if they are to be kept give the places of maxima; below autograd."""
    x = plain(input).contiguous()
    engine, sizes = _pooling(pooling, input.shape[2:])
    lead = x.shape[:2]
    out = x.new_empty(*lead, *sizes)
    places = x.new_empty(*lead, *sizes, dtype=place_type(x)) if keep else None
    engine.run(x, out, places, torch.get_num_threads())
    return narrow(out, input.dtype), places


def scatter(pooling: Pooling, size: torch.Size, gradient: Tensor, places: Tensor | None) -> Tensor:
    """The gradient of a pooling's input, which has this size; below autograd."""
    slope = plain(gradient).contiguous()
    dx = slope.new_empty(*size)
    engine, _ = _pooling(pooling, size[2:])
    engine.backward(slope, places, dx, torch.get_num_threads())
    return narrow(dx, gradient.dtype)


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pooling: Pooling, input: Tensor) -> tuple[Tensor, Tensor | None]:
        out, places = pool(pooling, input, keep=pooling.kind == "max")
        ctx.pooling, ctx.size = pooling, input.shape
        if places is not None:
            ctx.mark_non_differentiable(places)
        ctx.save_for_backward(places)
        return out, places

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        if wrapped(gradient):
            return None, _scattered_by_torch(ctx.pooling, ctx.size, gradient, places)
        if torch.is_grad_enabled():
            return None, _Scattered.apply(ctx.pooling, ctx.size, gradient, places)  # type: ignore[no-untyped-call]
        return None, scatter(ctx.pooling, ctx.size, gradient, places)


def _scattered_by_torch(pooling: Pooling, size: torch.Size, gradient: Tensor, places: Tensor | None) -> Tensor:
    """As :func:`scatter`, by torch's operators."""
    if places is not None:
        rows = gradient.reshape(*size[:2], -1)
        flat = torch.zeros_like(rows[..., :1]).expand(*size[:2], math.prod(size[2:]))
        return flat.scatter_add(2, places.flatten(2).to(torch.int64), rows).reshape(size)
    with torch.enable_grad():
        input = torch.zeros(size, dtype=gradient.dtype, device=gradient.device, requires_grad=True)
        out = average_pool(input, pooling.windows, pooling.counts_padding, pooling.divisor, 0.0)
    (found,) = torch.autograd.grad(out, input, gradient, create_graph=torch.is_grad_enabled())
    return found


class _Scattered(torch.autograd.Function):
    """The gradient of a pooling, linear in that of its result: its own derivative gathers again."""

    @staticmethod
    def forward(ctx: Any, pooling: Pooling, size: torch.Size, gradient: Tensor, places: Tensor | None) -> Tensor:
        ctx.pooling = pooling
        ctx.save_for_backward(places)
        return scatter(pooling, size, gradient, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        if places is None:
            return None, None, run_pooling(ctx.pooling, gradient, False)[0], None
        flat = gradient.flatten(2).gather(2, places.flatten(2).to(torch.int64))
        return None, None, flat.reshape(places.shape), None

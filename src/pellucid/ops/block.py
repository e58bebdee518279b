"""Convolution ► activation ► pooling on the native engine, forward and backward."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.geometry.axis import Window
from pellucid.ops import choice as rule
from pellucid.ops.activations import ACTIVATIONS, programs
from pellucid.ops.native import _native
from pellucid.ops.transforms import transformed

MaybeTensor = TypeVar("MaybeTensor", Tensor, Tensor | None)

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


@dataclass(frozen=True)
class Shape:
    """What is the same in every call with inputs of the same sizes.

    Attributes:
        sizes: of the input, without batch and channels.
        filters: of all groups.
        channels: of one group.
        windows: of the convolution, one an axis.
        groups: into which channels and filters are dealt out.
        padding_mode: as in torch.nn.
        padding_value: where it is "zeros".
        activation: a name of :data:`~pellucid.ops.activations.ACTIVATIONS`, or None.
        pooling: or None.
    """

    sizes: tuple[int, ...]
    filters: int
    channels: int
    windows: tuple[Window, ...]
    groups: int
    padding_mode: str
    padding_value: float
    activation: str | None
    pooling: Pooling | None

    @cached_property
    def map(self) -> tuple[int, ...]:
        """The sizes of the feature map."""
        return tuple(w.output(size) for w, size in zip(self.windows, self.sizes, strict=True))

    @cached_property
    def out(self) -> tuple[int, ...]:
        """The sizes of what the block gives on."""
        if self.pooling is None:
            return self.map
        return tuple(w.output(size) for w, size in zip(self.pooling.windows, self.map, strict=True))

    def choice(self, training: bool, half: bool) -> rule.Choice:
        """Whether the engine is the faster one for it; half: in bfloat16."""
        pooled = self.pooling is not None
        return rule.choose(self.map, self.channels, self.groups, pooled=pooled, training=training, half=half)

    @cached_property
    def pooled_first(self) -> bool:
        """Whether the maximum is taken before the activation, which gives the same where that never falls."""
        rises = self.activation is None or ACTIVATIONS[self.activation].rises
        return rises and self.pooling is not None and self.pooling.kind == "max"

    @cached_property
    def seen_in_result(self) -> bool:
        """Whether the backward pass finds in the result what it needs of the map."""
        return self.pooling is None and self.activation is not None and ACTIVATIONS[self.activation].by_sign

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


def _axes(windows: Sequence[Window], sizes: Sequence[int]) -> list[tuple[int, ...]]:
    return [
        (size, w.output(size), w.kernel, w.stride, w.dilation, *w.padding)
        for w, size in zip(windows, sizes, strict=True)
    ]


NUMBERS = (torch.float32, torch.float64, torch.bfloat16)
"""The number types that the engine takes; bfloat16 is widened to float32 on the way in, and its results rounded once."""


def engine_takes(*tensors: Tensor | None) -> bool:
    """Whether the native engine takes these tensors, here and now.

    Not under autocast, where torch chooses the number types, and not where something looks at torch's operations as they
    run (``make_fx``, a count of operations): the engine's are none.
    """
    first = tensors[0]
    if not isinstance(first, Tensor) or first.dtype not in NUMBERS or transformed():
        return False
    if torch.is_autocast_enabled("cpu") or torch._C._len_torch_dispatch_stack():
        return False
    return all(
        t is None or (t.dtype == first.dtype and t.device.type == "cpu" and t.layout == torch.strided and t.numel() > 0)
        for t in tensors
    )


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
        found: Tensor = _Differentiable.apply(shape, by_torch, recompute, input, weight, bias)  # type: ignore[no-untyped-call]
        return found
    return _forward(shape, input, weight, bias, keep=False)[0]


def trains(*tensors: Tensor | None) -> bool:
    """Whether autograd will ask for the gradient of any of them."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def padded(input: Tensor, windows: Sequence[Window], padding_mode: str, padding_value: float) -> Tensor:
    """Make the windows' padding part of the feature map."""
    sides = [side for window in reversed(windows) for side in window.padding]  # F.pad begins with the last axis
    if padding_mode == "zeros":
        return F.pad(input, sides, value=padding_value)
    return F.pad(input, sides, mode=padding_mode)


class Kept(NamedTuple):
    """What a forward pass keeps for the backward pass."""

    map: Tensor | None = None
    """The feature map before the activation, or the result where that tells as much; where there is an activation and the
    maximum is not taken first."""
    largest: Tensor | None = None
    """Of every window, before the activation; where the maximum is taken first and an activation follows."""
    places: Tensor | None = None
    """Of the largest, row-major in their maps; where the maximum is taken first."""


def _forward(shape: Shape, input: Tensor, weight: Tensor, bias: Tensor | None, keep: bool) -> tuple[Tensor, Kept]:
    x, w, b = _plain(input), _plain(weight).contiguous(), None if bias is None else _plain(bias).contiguous()
    size = (x.shape[0], shape.filters)
    out = torch.empty((*size, *shape.out), dtype=x.dtype, memory_format=memory_format(x))
    first, activated = shape.pooled_first, shape.activation is not None
    kept = Kept(
        map=x.new_empty((*size, *shape.map)) if keep and activated and not (first or shape.seen_in_result) else None,
        largest=x.new_empty((*size, *shape.out)) if keep and activated and first else None,
        places=torch.empty((*size, *shape.out), dtype=_place(x)) if keep and first else None,
    )
    shape.engine.run(x, w, b, out, kept.map, kept.largest, _array(kept.places), torch.get_num_threads())
    out = _narrow(out, input.dtype)
    return out, kept._replace(map=out) if keep and shape.seen_in_result else kept


def _place(wide: Tensor) -> torch.dtype:
    """The engine's places are as wide as its numbers."""
    return torch.int32 if wide.dtype == torch.float32 else torch.int64


def _array(places: Tensor | None) -> Any:
    return None if places is None else places.numpy()


def _plain(t: Tensor) -> Tensor:
    """As the engine reads it."""
    t = t.detach() if t.requires_grad else t
    t = t.resolve_neg() if t.is_neg() else t
    return t.float() if t.dtype == torch.bfloat16 else t


def _narrow(t: MaybeTensor, dtype: torch.dtype) -> MaybeTensor:
    """Of the number type of what was given."""
    return t if t is None or t.dtype == dtype else t.to(dtype)


def memory_format(input: Tensor) -> torch.memory_format:
    """torch's layers give channels-last out for channels-last in."""
    for dims, form in ((4, torch.channels_last), (5, torch.channels_last_3d)):
        if input.dim() == dims and input.is_contiguous(memory_format=form) and not input.is_contiguous():
            return form
    return torch.contiguous_format


class _Differentiable(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, shape: Shape, by_torch: Torch, recompute: bool, input: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        out, kept = _forward(shape, input, weight, bias, keep=not recompute)
        ctx.shape, ctx.by_torch, ctx.recompute = shape, by_torch, recompute
        ctx.save_for_backward(input, weight, bias, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        input, weight, bias, *saved = ctx.saved_tensors
        wanted, shape = ctx.needs_input_grad[3:], ctx.shape
        if torch.is_grad_enabled():
            return (None, None, None, *_by_torch(ctx.by_torch, shape, (input, weight, bias), wanted, gradient))
        map, largest, places = _forward(shape, input, weight, bias, keep=True)[1] if ctx.recompute else Kept(*saved)
        x, w, slope = _plain(input), _plain(weight).contiguous(), _plain(gradient).contiguous()
        map = None if map is None else _plain(map).contiguous()
        dx = torch.empty(x.shape, dtype=x.dtype) if wanted[0] else None
        dweight = torch.empty_like(w) if wanted[1] else None
        dbias = w.new_empty(w.shape[0]) if wanted[2] else None
        threads = torch.get_num_threads()
        shape.engine.backward(x, w, map, largest, _array(places), slope, dx, dweight, dbias, threads)
        return None, None, None, *(_narrow(d, input.dtype) for d in (dx, dweight, dbias))


def _by_torch(
    block: Torch, shape: Shape, tensors: Sequence[Tensor | None], wanted: Sequence[bool], gradient: Tensor
) -> list[Tensor | None]:
    leaves = [t for t, w in zip(tensors, wanted, strict=True) if w and t is not None]
    input, weight, bias = tensors
    assert input is not None
    assert weight is not None
    found = iter(torch.autograd.grad(block(shape, input, weight, bias), leaves, gradient, create_graph=True))
    return [next(found) if w else None for w in wanted]


def run_pooling(pooling: Pooling, input: Tensor, with_places: bool) -> tuple[Tensor, Tensor | None]:
    """Pool ``(B, C, *sizes)`` of one of :data:`NUMBERS`; differentiable, and the places of maxima with it if they are asked for."""
    if trains(input):
        out, places = _Pooled.apply(pooling, input)  # type: ignore[no-untyped-call]
    else:
        out, places = _pool(pooling, input, keep=with_places)
    return out, places.to(torch.int64) if with_places else None


@lru_cache(maxsize=4096)
def _pooling(pooling: Pooling, sizes: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    out = tuple(w.output(size) for w, size in zip(pooling.windows, sizes, strict=True))
    return _native.Pooling(pooling.spell(sizes)), out


def _planes(t: Tensor) -> Tensor:
    return t.reshape(-1, *t.shape[2:])


def _pool(pooling: Pooling, input: Tensor, keep: bool) -> tuple[Tensor, Tensor | None]:
    given = _plain(input).contiguous()
    engine, sizes = _pooling(pooling, tuple(input.shape[2:]))
    out = torch.empty((*input.shape[:2], *sizes), dtype=given.dtype)
    places = torch.empty(out.shape, dtype=_place(given)) if keep else None
    engine.run(_planes(given), _planes(out), _array(places), torch.get_num_threads())
    return _narrow(out, input.dtype), places


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pooling: Pooling, input: Tensor) -> tuple[Tensor, Tensor | None]:
        out, places = _pool(pooling, input, keep=pooling.kind == "max")
        ctx.pooling, ctx.size = pooling, input.shape
        if places is not None:
            ctx.mark_non_differentiable(places)
        ctx.save_for_backward(places)
        return out, places

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        return None, _Scattered.apply(ctx.pooling, ctx.size, gradient, places)  # type: ignore[no-untyped-call]


class _Scattered(torch.autograd.Function):
    """The gradient of a pooling, linear in that of its result: its own derivative gathers again."""

    @staticmethod
    def forward(ctx: Any, pooling: Pooling, size: torch.Size, gradient: Tensor, places: Tensor | None) -> Tensor:
        ctx.pooling = pooling
        ctx.save_for_backward(places)
        slope = _plain(gradient).contiguous()
        dx = torch.empty(size, dtype=slope.dtype)
        engine, _ = _pooling(pooling, tuple(size[2:]))
        engine.backward(_planes(slope), _array(places), _planes(dx), torch.get_num_threads())
        return _narrow(dx, gradient.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        if places is None:
            return None, None, run_pooling(ctx.pooling, gradient, False)[0], None
        flat = gradient.flatten(2).gather(2, places.flatten(2).to(torch.int64))
        return None, None, flat.reshape(places.shape), None

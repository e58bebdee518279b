"""The block and the pooling as operators that ``torch.compile`` can write into a graph.

In a graph each is one node, and what runs in it is the native engine, as outside of graphs; the rule of
:mod:`pellucid.ops.choice` is asked while the graph is made. Exported programs hold torch's own operators instead: they
are to run where Pellucid is not installed.

A graph holds tensors, numbers and names. So a window is five numbers of its axis (kernel, stride, dilation, padding
before and after), and six with the rounding of a pooling alone; an activation or pooling that is not there is "".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from pellucid.geometry.axis import Window
from pellucid.ops.block import Kept, Pooling, Shape, backward, forward, kept_with_result, pool, room, scatter
from pellucid.ops.tensors import narrow, place_type, plain


def block(shape: Shape, input: Tensor, weight: Tensor, bias: Tensor | None, keep: bool) -> Tensor:
    """As :func:`pellucid.ops.block.run_block`, as one node.

    Args:
        shape: of the block.
        input: (B, C, *sizes).
        weight: (O, C / groups, *kernel).
        bias: (O,), or None.
        keep: for a backward pass what it needs; without, a backward pass computes it anew.
    """
    pooling = shape.pooling
    found: list[Tensor] = torch.ops.pellucid.block(
        input,
        weight,
        bias,
        _numbers(shape.windows),
        shape.groups,
        shape.padding_mode,
        shape.padding_value,
        shape.activation or "",
        "" if pooling is None else pooling.kind,
        [] if pooling is None else _numbers(pooling.windows),
        keep,
    )
    return found[0]


def pooling(pooling: Pooling, input: Tensor, keep: bool) -> list[Tensor]:
    """As :func:`pellucid.ops.block.run_pooling`, as one node: the result, and if they are to be kept the maxima's places."""
    numbers = _numbers(pooling.windows)
    found: list[Tensor] = torch.ops.pellucid.pooling(
        input, pooling.kind, numbers, pooling.counts_padding, pooling.divisor, keep
    )
    return found


def _numbers(windows: Sequence[Window]) -> list[int]:
    return [n for w in windows for n in (w.kernel, w.stride, w.dilation, *w.padding, int(w.ceil))]


def _windows(numbers: Sequence[int]) -> tuple[Window, ...]:
    each = [numbers[at : at + 6] for at in range(0, len(numbers), 6)]
    return tuple(Window(k, s, d, (before, behind), bool(ceil)) for k, s, d, before, behind, ceil in each)


_BLOCK = (
    "Tensor input, Tensor weight, Tensor? bias, SymInt[] windows, int groups, str padding_mode, float padding_value, "
    "str activation, str pool, SymInt[] pool_windows"
)
_POOLING = "str kind, SymInt[] windows, bool counts_padding, int? divisor"
_library = torch.library.Library("pellucid", "FRAGMENT")  # type: ignore[no-untyped-call]
for schema in (
    f"block({_BLOCK}, bool keep) -> Tensor[]",
    f"block_backward({_BLOCK}, Tensor[] kept, Tensor gradient, bool[] wanted) -> Tensor[]",
    f"pooling(Tensor input, {_POOLING}, bool keep) -> Tensor[]",
    f"pooling_backward({_POOLING}, SymInt[] size, Tensor gradient, Tensor? places) -> Tensor",
):
    _library.define(schema)  # type: ignore[no-untyped-call]


def _shape(
    input: Sequence[int],
    weight: Sequence[int],
    windows: Sequence[int],
    groups: int,
    padding_mode: str,
    padding_value: float,
    activation: str,
    pool: str,
    pool_windows: Sequence[int],
) -> Shape:
    return Shape(
        batch=input[0],
        sizes=tuple(input[2:]),
        filters=weight[0],
        channels=weight[1],
        windows=_windows(windows),
        groups=groups,
        padding_mode=padding_mode,
        padding_value=padding_value,
        activation=activation or None,
        pooling=Pooling(pool, _windows(pool_windows)) if pool else None,
    )


_remembered = lru_cache(maxsize=2048)(_shape)  # with its engine


def _known(input: Tensor, weight: Tensor, windows: list[int], *rest: Any) -> Shape:
    *names, pool_windows = rest
    return _remembered(input.shape, weight.shape, tuple(windows), *names, tuple(pool_windows))


def _block(input: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> list[Tensor]:
    *described, keep = rest
    out, kept = forward(_known(input, weight, *described), input, weight, bias, keep)
    return [out, *(k for k in kept if k is not None and k is not out)]


def _fake_block(input: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> list[Tensor]:
    *described, keep = rest
    out, kept = room(_shape(input.shape, weight.shape, *described), plain(input), keep)
    return [narrow(out, input.dtype), *(k for k in kept if k is not None)]


def _block_backward(input: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> list[Tensor]:
    *described, kept, gradient, wanted = rest
    shape = _known(input, weight, *described)
    if shape.seen_in_result or any(shape.keeps):
        found = _kept(shape, kept) if kept else forward(shape, input, weight, bias, keep=True)[1]
    else:
        found = Kept()
    return [d for d in backward(shape, input, weight, found, gradient, wanted) if d is not None]


def _kept(shape: Shape, kept: Sequence[Tensor]) -> Kept:
    """What was saved, by name."""
    if shape.seen_in_result:
        out, *places = kept
        return kept_with_result(shape, out, places[0] if places else None)
    given = iter(kept)
    return Kept(*(next(given) if keeps else None for keeps in shape.keeps))


def _fake_block_backward(input: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> list[Tensor]:
    wanted = rest[-1]
    return [t.new_empty(t.shape) for t, w in zip((input, weight, bias), wanted, strict=True) if w and t is not None]


def _remember_block(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    input, weight, bias, *described, keep = inputs
    shape = _shape(input.shape, weight.shape, *described)
    out, *kept = output
    ctx.described = described
    ctx.save_for_backward(input, weight, bias, *([out] if keep and shape.seen_in_result else []), *kept)


def _differentiate_block(ctx: Any, gradients: list[Tensor]) -> tuple[Any, ...]:
    input, weight, bias, *kept = ctx.saved_tensors
    wanted = list(ctx.needs_input_grad[:3])
    found = iter(torch.ops.pellucid.block_backward(input, weight, bias, *ctx.described, kept, gradients[0], wanted))
    # torch wants an empty list for an empty list.
    return (*(next(found) if w else None for w in wanted), *([] if v == [] else None for v in ctx.described), None)


def _pooling_of(kind: str, windows: Sequence[int], counts_padding: bool, divisor: int | None) -> Pooling:
    return Pooling(kind, _windows(windows), counts_padding, divisor)


def _pooling(input: Tensor, *rest: Any) -> list[Tensor]:
    *described, keep = rest
    out, places = pool(_pooling_of(*described), input, keep)
    return [out] if places is None else [out, places]


def _fake_pooling(input: Tensor, *rest: Any) -> list[Tensor]:
    *described, keep = rest
    windows = _pooling_of(*described).windows
    sizes = [w.output(size) for w, size in zip(windows, input.shape[2:], strict=True)]
    out = input.new_empty(*input.shape[:2], *sizes)
    return [out, out.new_empty(out.shape, dtype=place_type(out))] if keep else [out]


def _remember_pooling(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    input, *ctx.described, _ = inputs
    ctx.size = input.shape
    ctx.save_for_backward(*output[1:])


def _differentiate_pooling(ctx: Any, gradients: list[Tensor]) -> tuple[Any, ...]:
    places = ctx.saved_tensors[0] if ctx.saved_tensors else None
    dx = torch.ops.pellucid.pooling_backward(*ctx.described, ctx.size, gradients[0], places)
    return dx, *(None for _ in ctx.described), None


def _pooling_backward(*given: Any) -> Tensor:
    *described, size, gradient, places = given
    return scatter(_pooling_of(*described), torch.Size(size), gradient, places)


def _fake_pooling_backward(*given: Any) -> Tensor:
    *_, size, gradient, _ = given
    dx: Tensor = gradient.new_empty(size)
    return dx


for name, run, fake in (
    ("block", _block, _fake_block),
    ("block_backward", _block_backward, _fake_block_backward),
    ("pooling", _pooling, _fake_pooling),
    ("pooling_backward", _pooling_backward, _fake_pooling_backward),
):
    _library.impl(name, run, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"pellucid::{name}", fake, lib=_library)
for name, differentiate, remember in (
    ("block", _differentiate_block, _remember_block),
    ("pooling", _differentiate_pooling, _remember_pooling),
):
    torch.library.register_autograd(f"pellucid::{name}", differentiate, setup_context=remember, lib=_library)
    torch.library.register_autocast(f"pellucid::{name}", "cpu", torch.bfloat16, lib=_library)

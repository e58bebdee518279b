"""The recurrence as an operator that ``torch.compile``, ``torch.export`` and tracing can write into a graph.

In a graph the recurrence stands as one node; what happens in it is what happens outside of graphs. A graph cannot hold
a cell, so the operator takes its key: a digest of its equations, under which layers register their cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from pellucid.cells import Cell
from pellucid.cells.sequence import Variant
from pellucid.errors import ArgumentError
from pellucid.ops.plain import modes

_cells: dict[str, Cell] = {}


def register(cell: Cell) -> None:
    """Make a cell known to graphs that hold its key."""
    _cells.setdefault(cell.key, cell)


def recurrence(
    cell: str,
    variant: Variant,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    before: Sequence[Tensor],
    inputs: Mapping[str, Tensor],
    projection: tuple[Tensor, Tensor | None] | None,
    *,
    narrow: torch.dtype | None = None,
) -> list[Tensor]:
    """As :func:`pellucid.ops.recurrence.recurrence`, for a cell's key: the states in the cell's order."""
    flags = [variant.bias, variant.resets, variant.ragged, variant.dropout, variant.sampled, variant.initial]
    weight, bias = projection if projection is not None else (None, None)
    found: list[Tensor] = torch.ops.pellucid.recurrence(
        cell,
        [int(f) for f in flags],
        ",".join(sorted(variant.given)),
        list(variant.zoneout),
        ",".join(parameters),
        list(parameters.values()),
        x,
        list(before),
        ",".join(inputs),
        list(inputs.values()),
        weight,
        bias,
        narrow,
    )
    return found


_ARGUMENTS = (
    "str cell, int[] flags, str given, float[] zoneout, str parameter_names, Tensor[] parameters, Tensor x, "
    "Tensor[] before, str input_names, Tensor[] inputs, Tensor? weight, Tensor? bias, ScalarType? narrow"
)
_library = torch.library.Library("pellucid", "DEF")  # type: ignore[no-untyped-call]
_library.define(f"recurrence({_ARGUMENTS}) -> Tensor[]")  # type: ignore[no-untyped-call]
_library.define(f"recurrence_backward({_ARGUMENTS}, Tensor[] gradients) -> Tensor[]")  # type: ignore[no-untyped-call]


def _run(
    cell: str,
    flags: list[int],
    given: str,
    zoneout: list[float],
    parameter_names: str,
    parameters: list[Tensor],
    x: Tensor,
    before: list[Tensor],
    input_names: str,
    inputs: list[Tensor],
    weight: Tensor | None,
    bias: Tensor | None,
    narrow: torch.dtype | None,
) -> list[Tensor]:
    from pellucid.ops.recurrence import recurrence as eager

    if cell not in _cells and cell in modes():  # a graph that was saved, in a process that has made no layer yet
        register(modes()[cell].cell)
    if cell not in _cells:
        raise ArgumentError(
            f"this graph holds the cell {cell}, whose equations are not known in this process; make a layer of that cell "
            "before you run the graph"
        )
    variant = Variant(
        bias=bool(flags[0]),
        given=frozenset(_names(given)),
        resets=bool(flags[1]),
        ragged=bool(flags[2]),
        dropout=bool(flags[3]),
        zoneout=tuple(zoneout),
        sampled=bool(flags[4]),
        initial=bool(flags[5]),
    )
    states = eager(
        _cells[cell],
        variant,
        dict(zip(_names(parameter_names), parameters, strict=True)),
        x,
        before,
        dict(zip(_names(input_names), inputs, strict=True)),
        projection=None if weight is None else (weight, bias),
        narrow=narrow,
    )
    return [v.to(x.dtype) for v in states.values()]  # the type that the graph expects


def _names(text: str) -> list[str]:
    return text.split(",") if text else []


def _forward(*arguments: Any) -> list[Tensor]:
    with torch.no_grad():
        return _run(*arguments)


def _backward(*arguments: Any) -> list[Tensor]:
    """The gradients of all floating tensors among the arguments; the forward pass is run again to have them."""
    *given, gradients = arguments
    leaves: list[Tensor] = []

    def leaf(value: Any) -> Any:
        if isinstance(value, list):
            return [leaf(v) for v in value]
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        leaves.append(value.detach().requires_grad_())
        return leaves[-1]

    # An operator's own code runs below autograd; here autograd is wanted.
    everything = torch._C._ForceDispatchKeyGuard(
        torch._C._dispatch_tls_local_include_set(), torch._C.DispatchKeySet(torch._C.DispatchKey.Undefined)
    )
    with everything, torch.enable_grad():
        outputs = _run(*(leaf(v) for v in given))
        found = torch.autograd.grad(outputs, leaves, gradients, allow_unused=True)
    # As the shapes that a graph is made with say: dense, however the tensors lie.
    return [t.new_zeros(t.shape) if g is None else g.contiguous() for t, g in zip(leaves, found, strict=True)]


def _fake_forward(*arguments: Any) -> list[Tensor]:
    x, before = arguments[6], arguments[7]
    return [x.new_empty(x.shape[0], *b.shape) for b in before]


def _fake_backward(*arguments: Any) -> list[Tensor]:
    return [t.new_empty(t.shape) for t in _floating(arguments[:-1])]


def _floating(arguments: Sequence[Any]) -> list[Tensor]:
    flat = (v for a in arguments for v in (a if isinstance(a, list | tuple) else [a]))
    return [v for v in flat if isinstance(v, Tensor) and v.is_floating_point()]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    tensors: list[Tensor] = []
    ctx.form = []
    for value in inputs:
        if isinstance(value, Tensor):
            ctx.form.append("tensor")
            tensors.append(value)
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Tensor):
            ctx.form.append(len(value))
            tensors.extend(value)
        else:
            ctx.form.append((value,))
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, gradients: list[Tensor]) -> tuple[Any, ...]:
    tensors = iter(ctx.saved_tensors)
    arguments: list[Any] = []
    for form in ctx.form:
        if form == "tensor":
            arguments.append(next(tensors))
        elif isinstance(form, int):
            arguments.append([next(tensors) for _ in range(form)])
        else:
            arguments.append(form[0])
    found = iter(torch.ops.pellucid.recurrence_backward(*arguments, gradients))

    def own(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return None if value and not isinstance(value[0], Tensor) else [own(v) for v in value]
        return next(found) if isinstance(value, Tensor) and value.is_floating_point() else None

    return tuple(own(v) for v in arguments)


def _operations(cell: str, *shapes: Any, out_shape: Any = None, **_: Any) -> int:
    """Of one forward pass, a multiply-add being two, as torch's counter of them counts."""
    (steps, batch, width), weight = shapes[5], shapes[9]
    known = _cells[cell]
    hidden = (width if weight is None else weight[0]) // max(len(known.input[1].parts), 1)
    return int(2 * steps * batch) * known.macs(0 if weight is None else width, hidden)


def _operations_backward(cell: str, *shapes: Any, out_shape: Any = None, **_: Any) -> int:
    """Of one backward pass: each product has two of its own."""
    return 2 * _operations(cell, *shapes)


_library.impl("recurrence", _forward, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
_library.impl("recurrence_backward", _backward, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
torch.library.register_fake("pellucid::recurrence", _fake_forward, lib=_library)
torch.library.register_fake("pellucid::recurrence_backward", _fake_backward, lib=_library)
torch.library.register_autograd("pellucid::recurrence", _differentiate, setup_context=_remember, lib=_library)
register_flop_formula(torch.ops.pellucid.recurrence)(_operations)
register_flop_formula(torch.ops.pellucid.recurrence_backward)(_operations_backward)

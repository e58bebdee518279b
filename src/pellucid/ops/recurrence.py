"""The recurrence operator: a cell's equations swept over time.

Five paths, and tests that compare them. The native engine executes the cell's program and its derived backward program on the
processor; kernels written from the same programs (:mod:`pellucid.ops.cuda`) do so on an NVIDIA GPU. Plain layers go to cuDNN
there if that was measured to be faster, or if there are no such kernels. The programs' twin
(:mod:`pellucid.ops.reference.sweep`) executes them in PyTorch, phase by phase, for number types and devices that the engine
does not have. Where a program cannot go (derivatives of derivatives, forward mode, ``torch.func``), the reference does the
work: the cell's own equations under torch's autograd.

bfloat16: where the processor multiplies it, the engine rounds both operands of every product to it and sums in float32; all
else, the states from step to step among it, is float32. Elsewhere the twin computes in bfloat16 throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.cells import Cell
from pellucid.cells.sequence import Variant
from pellucid.ops import library, plain
from pellucid.ops.cuda import cudnn
from pellucid.ops.cuda import engine as gpu
from pellucid.ops.cuda.compile import available
from pellucid.ops.cuda.layout import TYPES, DoesNotFitError
from pellucid.ops.engine import Engine, run_forward
from pellucid.ops.native import _native
from pellucid.ops.plan import Plan, Sight
from pellucid.ops.ragged import Ragged
from pellucid.ops.reference.recurrence import recurrence as reference
from pellucid.ops.reference.sweep import Twin
from pellucid.ops.tensors import KINDS
from pellucid.ops.transforms import beyond_programs, in_graph, transformed

__all__ = ["Ragged", "Sight", "engine_takes", "gpu_takes", "recurrence", "takes_ragged"]


def recurrence(
    cell: Cell,
    variant: Variant,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    before: Sequence[Tensor],
    inputs: Mapping[str, Tensor],
    *,
    projection: tuple[Tensor, Tensor | None] | None = None,
    passing: frozenset[str] = frozenset(),
    sight: Sight | None = None,
    ragged: Ragged | None = None,
    narrow: torch.dtype | None = None,
) -> dict[str, Tensor]:
    """Every state after every step.

    Args:
        cell: the cell.
        variant: what surrounds its equations.
        parameters: by declared name, parts stacked: ``"U"`` (parts * H, columns / heads), ``"b"`` (parts * H,), the
            cell's constants, and, where the variant has them, ``"initial.STATE"`` (size,), which resets return to.
        x: (T, B, parts * H), the projected input of all steps, with its bias; or (T, B, I) with a projection.
        before: the states before the first step, (B, size) each, in the cell's order.
        inputs: the cell's step inputs (T, B, size); masks ``"reset"`` and ``"alive"`` (T, B, 1) and
            ``"zoneout.STATE"`` (T, B, size), all bool; ``"dropout.LETTER"`` (B, size), already scaled.
        projection: W (parts * H, I) and b (parts * H,) or None, by which x is projected first.
        passing: states of which the last step is enough.
        sight: filled for a trace, if one is asked for.
        ragged: where :func:`takes_ragged`, sequences of different lengths: x and what comes with every step are then
            (N, size) instead of (T, B, size), and the sequences sorted.
        narrow: autocast's type: on a GPU all is computed in it; on the processor products of float32 multiply bfloat16, where
            that is the type and it can (they always do where the tensors are bfloat16).

    Returns:
        (T, B, size) or (N, size) by state, or (1, B, size) for one of which the last step is enough, differentiable in
        every tensor that was given.
    """
    if sight is None:
        given = [t for t in (x, *before, *inputs.values(), *parameters.values(), *(projection or ())) if t is not None]
        beyond = beyond_programs(given)
        if not beyond and in_graph():
            traced = torch.jit.is_tracing() and narrow is None  # type: ignore[attr-defined,no-untyped-call]
            if traced and projection is not None and plain.takes(cell, variant, x, passing):
                return plain.run(cell, parameters, x, before, projection)
            found = library.recurrence(cell.key, variant, parameters, x, before, inputs, projection, narrow=narrow)
            return dict(zip(cell.states, found, strict=True))
        if beyond or any([type(t) not in KINDS for t in given]):  # a list: a generator costs as much as its answers
            projected = x if projection is None else F.linear(x, *projection)
            return reference(cell, variant, parameters, projected, before, inputs)

    def in_type(dtype: torch.dtype, narrow: torch.dtype | None) -> dict[str, Tensor]:
        """The run with all its numbers in another type."""

        def to(v: Tensor) -> Tensor:
            return v.to(dtype) if v.is_floating_point() else v

        return _run(
            cell,
            variant,
            {n: to(v) for n, v in parameters.items()},
            to(x),
            [to(v) for v in before],
            {n: to(v) for n, v in inputs.items()},
            projection and (to(projection[0]), None if projection[1] is None else to(projection[1])),
            passing,
            sight,
            ragged,
            narrow,
        )

    if narrow is not None and x.device.type == "cuda":
        return in_type(narrow, None)
    if x.dtype != torch.bfloat16 or not (engine_takes(x) and cell.of_vectors):
        return _run(cell, variant, parameters, x, before, inputs, projection, passing, sight, ragged, narrow)
    outputs = in_type(torch.float32, torch.bfloat16)
    return {name: v.bfloat16() for name, v in outputs.items()}


def _run(
    cell: Cell,
    variant: Variant,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    before: Sequence[Tensor],
    inputs: Mapping[str, Tensor],
    projection: tuple[Tensor, Tensor | None] | None,
    passing: frozenset[str],
    sight: Sight | None,
    ragged: Ragged | None,
    narrow: torch.dtype | None,
) -> dict[str, Tensor]:
    def plan_of(x: Tensor, projection: tuple[Tensor, Tensor | None] | None) -> Plan:
        plan = Plan(cell, variant, cell.derivative(variant), tuple(inputs), tuple(parameters), sight, ragged)
        plan.passing = passing
        plan.projects = projection is not None
        plan.has_bias = projection is not None and projection[1] is not None
        given = (x, *before, *inputs.values(), *parameters.values(), *(projection or ()))
        plan.keeps = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in given)
        return plan

    def tensors_of(plan: Plan, x: Tensor, projection: tuple[Tensor, Tensor | None] | None) -> tuple[Tensor, ...]:
        rows = x.shape[-1] if projection is None else projection[0].shape[0]
        weights, matrices = plan.evaluate(parameters, rows // max(len(cell.input[1].parts), 1))
        projecting = (p for p in projection or () if p is not None)
        return x, *projecting, *before, *inputs.values(), *parameters.values(), *weights, *matrices

    def named(states: Sequence[Tensor]) -> dict[str, Tensor]:
        return dict(zip(cell.states, states, strict=True))

    if engine_takes(x) and cell.of_vectors:
        plan = plan_of(x, projection)
        plan.half = narrow == torch.bfloat16 and x.dtype == torch.float32 and _native.multiplies_bfloat16()
        tensors = tensors_of(plan, x, projection)
        return named(Engine.apply(plan, *tensors) if plan.keeps else run_forward(plan, tensors)[0])  # type: ignore[no-untyped-call]
    mine = gpu_takes(x) and cell.of_vectors
    plan = plan_of(x, projection)
    known = cudnn.takes(plan, x)
    if mine or known:
        plan.direct = True
        tensors = tensors_of(plan, x, projection)
        if mine and not (known and cudnn.is_faster(plan, x, parameters["U"].shape[1])):
            try:
                return named(gpu.Engine.apply(plan, *tensors) if plan.keeps else gpu.run_forward(plan, tensors))  # type: ignore[no-untyped-call]
            except DoesNotFitError:
                pass
        if known:
            return named(cudnn.run(plan, tensors))
    if projection is not None:
        x = F.linear(x, *projection)
    plan = plan_of(x, None)
    tensors = tensors_of(plan, x, None)
    return named(Twin.apply(plan, len(plan.learned), *tensors))  # type: ignore[no-untyped-call]


def takes_ragged(weight: Tensor) -> bool:
    """Whether sequences of different lengths may come without padding, for weights such as this, here and now."""
    return engine_takes(weight) and not transformed()


def gpu_takes(x: Tensor) -> bool:
    """Whether there are kernels for this number type, on this device."""
    return x.dtype in TYPES and x.is_floating_point() and x.numel() > 0 and available(x.device)


def engine_takes(x: Tensor) -> bool:
    """Whether the native engine has this number type, on this device."""
    if x.device.type != "cpu" or x.shape[0] == 0:
        return False
    return x.dtype in (torch.float32, torch.float64) or (x.dtype == torch.bfloat16 and _native.multiplies_bfloat16())

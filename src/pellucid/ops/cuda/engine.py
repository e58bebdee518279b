"""The recurrence on a GPU: tensors to the buffers of a lowered program, forward and backward, one kernel each.

The projection of the input and the products that sum over all steps are torch's (cuBLAS); everything that goes from step to
step is in the kernel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.ops.cuda.layout import DoesNotFitError, alike
from pellucid.ops.cuda.passes import Backward, Forward
from pellucid.ops.plan import Plan

Pass = TypeVar("Pass")
MOST_KEPT = 512  # layouts of a cell's variant, each some kilobytes: of every batch size, number type and mode that came


class Engine(torch.autograd.Function):
    """The sweep over time and its reverse; the programs in it are derived, none is written by hand."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, *tensors: Tensor) -> tuple[Tensor, ...]:
        """All states after all steps; ``tensors`` in the plan's order."""
        ctx.set_materialize_grads(False)
        ctx.plan, ctx.count = plan, len(tensors)
        passed, given = _forward(plan, tensors)
        outputs, saved = passed.run(plan, given)
        ctx.passed = passed
        ctx.save_for_backward(*tensors, *saved)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients of all tensors."""
        plan: Plan = ctx.plan
        given: tuple[Tensor, ...] = ctx.saved_tensors
        if not torch.is_grad_enabled():
            try:
                return (None, *_backward(plan, ctx.passed, given, ctx.count, gradients, ctx.needs_input_grad[1:]))
            except DoesNotFitError:  # the forward pass looked ahead, but not at what the program is bound to
                pass
        tensors, planes = given[: ctx.count], given[ctx.count :]
        outputs = [each[1:] for each in planes[: len(plan.cell.states)]]
        with torch.enable_grad():
            return (None, *plan.differentiable_backward(tensors, outputs, gradients))


def run_forward(plan: Plan, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """All states after all steps, (T, B, size), or (1, B, size) where the last step is enough."""
    passed, given = _forward(plan, tensors)
    return passed.run(plan, given)[0]


def _forward(plan: Plan, tensors: Sequence[Tensor]) -> tuple[Forward, list[Tensor]]:
    """The pass for such a call, and its tensors: the plan's, and the projected input."""
    at, given = plan.at, list(tensors)
    if at.weight is not None:
        given.append(F.linear(given[at.x], given[at.weight], None if at.bias is None else given[at.bias]))
    watched = None if plan.sight is None else (plan.sight.names,)
    key = ("forward", *plan.facts, watched, alike(given))
    return _settled(plan, key, lambda: Forward(plan, given)), given


def _backward(
    plan: Plan,
    passed: Forward,
    given: Sequence[Tensor],
    count: int,
    gradients: Sequence[Tensor | None],
    wanted: tuple[bool, ...],
) -> list[Tensor | None]:
    """The gradients of the plan's tensors, None where there is none.

    Args:
        plan: of the call.
        passed: its forward pass.
        given: the plan's tensors, so many, and what the forward pass saved.
        count: how many.
        gradients: of the states after all steps.
        wanted: of which tensors.

    Raises:
        DoesNotFitError: the weights are more than the GPU holds.
    """
    came = tuple(g is not None for g in gradients)
    given = [*given, *(g for g in gradients if g is not None)]
    graded = None if plan.sight is None else (plan.sight.graded,)
    key = ("backward", *plan.facts, graded, came, wanted, alike(given))
    settled = _settled(plan, key, lambda: Backward(plan, given, count, passed.left_behind(), came, wanted))
    return settled.run(plan, given)


def _settled(plan: Plan, key: Hashable, make: Callable[[], Pass]) -> Pass:
    """What was settled for calls alike; of too many the one is forgotten that was not asked for longest.

    Raises:
        DoesNotFitError: that the weights are more than the GPU holds was settled.
    """
    kept: dict[Hashable, Pass | None] = plan.derivative.lowered.setdefault("layouts", {})
    try:
        found = kept.pop(key)
    except KeyError:
        found = None
        with contextlib.suppress(DoesNotFitError):
            found = make()
        if len(kept) >= MOST_KEPT:
            with contextlib.suppress(RuntimeError, StopIteration):  # another thread is at the same
                kept.pop(next(iter(kept)), None)
    kept[key] = found  # at the end: the first is the one that was not asked for longest
    if found is None:
        raise DoesNotFitError
    return found

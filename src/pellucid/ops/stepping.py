"""The recurrence one time step at a time: on the native engine everything is found beforehand, and a step is one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from pellucid.cells import Cell
from pellucid.cells.sequence import Variant
from pellucid.ops import lowering
from pellucid.ops.engine import Call, project
from pellucid.ops.native import _native
from pellucid.ops.plan import Plan
from pellucid.ops.recurrence import recurrence


class Stepping:
    """One direction of one layer, ready to step.

    Args:
        cell, variant, parameters, projection: as for :func:`pellucid.ops.recurrence.recurrence`, float32, float64 or
            bfloat16 on the processor; of the last, states and inputs come as float32. Their numbers are read here, and some of them in every step: whoever changes them starts anew.
        before: the states before the first step, (B, size) each, in the cell's order.
        inputs: memory of the cell's inputs (1, B, size), which every step reads.

    Attributes:
        states: (2, B, size) each; the states that came last lie in the plane that :meth:`step` returned, and in the first
            before any step.
        step: (B, I) in, and out the plane in which the states now lie.
    """

    states: list[Tensor]
    step: Callable[[Tensor], int]

    def __init__(
        self,
        cell: Cell,
        variant: Variant,
        parameters: Mapping[str, Tensor],
        projection: tuple[Tensor, Tensor | None],
        before: Sequence[Tensor],
        inputs: Mapping[str, Tensor],
    ) -> None:
        number_type = before[0].dtype
        half = projection[0].dtype == torch.bfloat16
        parameters = {name: v.detach().to(number_type) for name, v in parameters.items()}
        projecting = [v.detach().to(number_type) for v in projection if v is not None]
        batch, columns = before[0].shape[0], projecting[0].shape[1]
        plan = Plan(cell, variant, cell.derivative(variant), tuple(inputs), tuple(parameters), None, keeps=False)
        plan.half = half
        plan.projects, plan.has_bias = True, len(projecting) == 2
        weights, matrices = plan.evaluate(parameters, projecting[0].shape[0] // max(len(cell.input[1].parts), 1))
        x = before[0].new_zeros(1, batch, columns)
        given = [*before, *inputs.values(), *parameters.values(), *weights, *matrices]
        call = Call(plan, (x, *projecting, *given))
        states = cell.graph(variant).states
        if "step" not in plan.derivative.lowered:
            plan.derivative.lowered["step"] = lowering.forward(
                plan.derivative, states, frozenset(states), (), keep=False
            )
        lowered: lowering.Lowered = plan.derivative.lowered["step"]
        found = call.given()
        self.states = [torch.stack([v.detach(), v.detach()]) for v in before]
        found |= {("flow", name): v for name, v in zip(states, self.states, strict=True)}
        project(call, lowered, found, keep=False)
        buffers, used = call.buffers(lowered, found), call.matrices_of(lowered)
        self._alive = buffers, used, call.projections  # the engine has their addresses
        step = _native.Stepper(
            lowered.program,
            batch,
            call.sizes_of(lowered),
            buffers,
            used,
            call.windows,
            call.projections,
            x.dtype == torch.float64,
            torch.get_num_threads(),
            half,
        ).step
        self.step = (lambda x: step(x.float())) if half else step


class PlainStepping(Stepping):
    """The same for number types and devices that the engine does not have: a sequence of one step each time."""

    def __init__(
        self,
        cell: Cell,
        variant: Variant,
        parameters: Mapping[str, Tensor],
        projection: tuple[Tensor, Tensor | None],
        before: Sequence[Tensor],
        inputs: Mapping[str, Tensor],
    ) -> None:
        self.states = [torch.stack([v.detach(), v.detach()]) for v in before]
        plane = 0

        def step(x: Tensor) -> int:
            nonlocal plane
            start = [v[plane] for v in self.states]
            plane = 1 - plane
            with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
                after = recurrence(cell, variant, parameters, x[None], start, inputs, projection=projection)
            for state, new in zip(self.states, after.values(), strict=True):
                state[plane] = new[-1]
            return plane

        self.step = step

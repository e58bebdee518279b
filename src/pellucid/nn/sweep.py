"""One direction of one layer over all steps: at once, or in pieces of time that the backward pass computes again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pellucid.cells import Cell
from pellucid.cells.sequence import Variant
from pellucid.ops.ragged import Ragged
from pellucid.ops.recurrence import Sight, recurrence


@dataclass(frozen=True)
class Sweep:
    """The arguments of :func:`pellucid.ops.recurrence.recurrence`."""

    cell: Cell
    variant: Variant
    parameters: Mapping[str, Tensor]
    projection: tuple[Tensor, Tensor | None]
    x: Tensor
    start: Sequence[Tensor]
    inputs: Mapping[str, Tensor]
    ragged: Ragged | None
    narrow: torch.dtype | None = None

    def run(self, sight: Sight | None = None) -> tuple[Tensor, list[Tensor]]:
        """All steps.

        Returns:
            The first state of every step, (T, B, size) or (N, size), and the last of every state, (B, size).
        """
        states = recurrence(
            self.cell,
            self.variant,
            self.parameters,
            self.x,
            self.start,
            self.inputs,
            projection=self.projection,
            passing=frozenset([*self.cell.states][1:]),
            sight=sight,
            ragged=self.ragged,
            narrow=self.narrow,
        )
        ends = [
            v[-1] if self.ragged is None or v.dim() == 3 else self.ragged.last(v, before)
            for v, before in zip(states.values(), self.start, strict=True)
        ]
        return next(iter(states.values())), ends

    def piece(self, first: int, last: int, start: Sequence[Tensor]) -> Sweep:
        """The steps from ``first`` up to ``last``, from these states on."""
        ragged = self.ragged
        rows = slice(first, last)
        if ragged is not None:
            rows = slice(ragged.starts[first], ragged.starts[last])
            ragged = Ragged((ragged.lengths - first).clamp(0, last - first))
        inputs = {name: v if name.startswith("dropout.") else v[rows] for name, v in self.inputs.items()}
        return replace(self, x=self.x[rows], start=start, inputs=inputs, ragged=ragged)

    def tensors(self) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], Sweep]]:
        """All tensors, and how the same sweep is made of others."""
        projecting = [p for p in self.projection if p is not None]
        groups = [[self.x], projecting, self.start, self.inputs.values(), self.parameters.values()]
        cell, variant, inputs, parameters, ragged, narrow = (
            self.cell,
            self.variant,
            tuple(self.inputs),
            tuple(self.parameters),
            self.ragged,
            self.narrow,
        )
        counts = [len(group) for group in groups]

        def of(tensors: Sequence[Tensor]) -> Sweep:
            given = iter(tensors)
            x, projection, start, own, learned = [[next(given) for _ in range(count)] for count in counts]
            return Sweep(
                cell,
                variant,
                dict(zip(parameters, learned, strict=True)),
                (projection[0], projection[1] if len(projection) == 2 else None),
                x[0],
                start,
                dict(zip(inputs, own, strict=True)),
                ragged,
                narrow,
            )

        return [t for group in groups for t in group], of


def in_pieces(sweep: Sweep, every: int) -> tuple[Tensor, list[Tensor]]:
    """The same as :meth:`Sweep.run`, so many steps at a time; of a piece only what it starts from is kept."""
    steps = len(sweep.x) if sweep.ragged is None else sweep.ragged.size[0]
    outputs, ends = [], list(sweep.start)
    for first in range(0, steps, every):
        tensors, of = sweep.piece(first, min(first + every, steps), ends).tensors()
        output, *ends = _Piece.apply(of, *tensors)  # type: ignore[no-untyped-call]
        outputs.append(output)
    return torch.cat(outputs), ends


class _Piece(torch.autograd.Function):
    """Runs a sweep without keeping anything of it, and once more to differentiate it.

    torch.utils.checkpoint would detach what it computes again, and with it the second derivatives.
    """

    @staticmethod
    def forward(ctx: Any, of: Callable[[Sequence[Tensor]], Sweep], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.of = of
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        output, ends = of(tensors).run()
        return output, *(v.clone() for v in ends)  # a view would keep all steps

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        further = torch.is_grad_enabled()  # the gradient itself is to be differentiated
        wanted = ctx.needs_input_grad[1:]
        # A view of its own for each: one tensor may come from another (the states of an earlier piece from the weights),
        # and the gradient that is asked for here is not to go that way.
        tensors = [
            t.view_as(t) if further else t.detach().requires_grad_(wants)
            for t, wants in zip(ctx.saved_tensors, wanted, strict=True)
        ]
        with torch.enable_grad():
            output, ends = ctx.of(tensors).run()
        came = [(v, g) for v, g in zip((output, *ends), gradients, strict=True) if g is not None]
        found = torch.autograd.grad(
            [v for v, _ in came],
            [t for t, wants in zip(tensors, wanted, strict=True) if wants],
            [g for _, g in came],
            create_graph=further,
            allow_unused=True,
        )
        each = iter(found)
        return None, *(next(each) if wants else None for wants in wanted)

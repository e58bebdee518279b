"""What one step does to the state: the Jacobian, its singular values, and the product over many steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.errors import ArgumentError
from pellucid.inside.along import along
from pellucid.inside.given import Lengths, ends_of
from pellucid.inside.running import evaluating
from pellucid.nn import Recurrent
from pellucid.nn.recurrent import States
from pellucid.ops.reference.recurrence import recurrence
from pellucid.trace import Trace, trace

AT_ONCE = 2**24  # numbers of all Jacobians that are differentiated together


@dataclass(frozen=True)
class StepJacobians:
    r"""The Jacobian of every step, :math:`J_t = \partial s_t / \partial s_{t-1}`, in the order in which the layer runs.

    S is the size of the state: of all states of the cell, side by side (h and c of an LSTM), or of the one that was asked for.
    Where a sequence has no step, numbers are NaN.

    Attributes:
        matrices: (T, B, S, S), row = new, column = old.
        singular_values: (T, B, S), the largest first.
        spectral_radius: (T, B), the largest absolute value of an eigenvalue.
        ends: (B,) the steps that exist.
    """

    matrices: Tensor
    singular_values: Tensor
    spectral_radius: Tensor
    ends: Tensor

    @property
    def contracting(self) -> Tensor:
        """(T, B) bool: the largest singular value is below 1, so that the step shrinks every gradient: it vanishes.

        The condition that suffices (Pascanu, Mikolov and Bengio 2013, section 2.1); false where no step is.
        """
        return self.singular_values[..., 0] < 1

    @property
    def expanding(self) -> Tensor:
        """(T, B) bool: the spectral radius is above 1, so that a gradient grows if such steps repeat: it explodes."""
        return self.spectral_radius > 1

    def gain(self) -> Tensor:
        r"""(T, B): the spectral norm of :math:`\partial s_{last} / \partial s_{last-k}` at entry k: the most that k steps make of a gradient.

        1 at k = 0; NaN beyond a sequence's first step. Below 1 the gradient has vanished by that factor, above it has grown.
        """
        steps, batch, size, _ = self.matrices.shape
        product = torch.eye(size, dtype=self.matrices.dtype, device=self.matrices.device).expand(batch, -1, -1)
        found = [product.new_ones(batch)]
        column = torch.arange(batch, device=self.ends.device)
        for back in range(1, steps):
            product = product @ self.matrices[(self.ends - back).clamp(min=0), column]
            norm = torch.linalg.matrix_norm(product, 2)
            found.append(torch.where(back < self.ends, norm, torch.nan))
        return torch.stack(found)


def step_jacobians(
    layer: Recurrent,
    x: Tensor,
    hx: States | None = None,
    *,
    place: str | None = None,
    state: str | None = None,
    lengths: Lengths = None,
    **step_inputs: Tensor,
) -> StepJacobians:
    """The Jacobian of one step of any cell, along sequences.

    By automatic differentiation of the cell's own equations at the states that the layer passes through, in evaluation mode
    (without dropout; zoneout by its mean).

    Args:
        layer: a recurrent layer of Pellucid.
        x: (T, B, I), or as the layer takes it.
        hx: the states to start from, as for the layer.
        place: which layer and direction, ``"l0"``, ``"l1_reverse"``; None for the last layer, forward.
        state: the Jacobian of this state alone, others held; None for all states of the cell side by side, which is what a
            gradient goes through.
        lengths: (B,) as for the layer.
        step_inputs: as for the layer.

    Memory: T B S S numbers.

    Raises:
        ArgumentError: a place or state that the layer does not have, or an input that is not a batch of sequences.
        SizeError: as the layer raises.
    """
    name, cell = type(layer).__name__, layer.cell
    if not isinstance(x, Tensor) or x.dim() != 3:
        raise ArgumentError(
            f"step_jacobians needs a batch of sequences, (T, B, {layer.input_size}), and got {_form(x)}"
        )
    places = [f"l{i}{direction}" for i in range(layer.num_layers) for direction in layer.directions]
    place = f"l{layer.num_layers - 1}" if place is None else place
    if place not in places:
        raise ArgumentError(f"step_jacobians: this {name} has no {place!r}; its layers are {', '.join(places)}")
    if state is not None and state not in cell.states:
        raise ArgumentError(
            f"step_jacobians: the cell {cell.name} has no state {state!r}; it has {', '.join(cell.states)}"
        )
    if lengths is not None:
        ends_of(x.transpose(0, 1) if layer.batch_first else x, lengths, "step_jacobians")
    with evaluating(layer), trace(layer, grad=False) as seen:
        layer(x, hx, lengths=lengths, **step_inputs)
    return _jacobians(layer, x, hx, place, state, lengths, step_inputs, seen)


def _jacobians(
    layer: Recurrent,
    x: Tensor,
    hx: States | None,
    place: str,
    state: str | None,
    lengths: Lengths,
    step_inputs: dict[str, Tensor],
    seen: Trace,
) -> StepJacobians:
    run = along(layer, seen, x, hx, place=place, lengths=lengths, step_inputs=step_inputs)
    cell, before, ends = layer.cell, run.before, run.ends
    steps, batch = run.inputs.shape[:2]
    parameters = {n: v.detach() for n, v in layer._parameters_of(place).items()}
    projected = F.linear(run.inputs, *layer._projection(place)).detach()
    sizes = {n: v.shape[-1] for n, v in before.items()}
    moved = list(sizes) if state is None else [state]

    def step(own: Tensor, others: dict[str, Tensor], at: Tensor, more: dict[str, Tensor]) -> Tensor:
        """The new states (S,) of the old ones (S,), for one sequence at one step."""
        values = others | dict(zip(moved, torch.split(own, [sizes[n] for n in moved]), strict=True))
        after = recurrence(
            cell,
            run.variant,
            parameters,
            at[None, None],
            [values[n][None] for n in cell.states],
            {n: v[None, None] for n, v in more.items()},
        )
        return torch.cat([after[n][0, 0] for n in moved])

    own = torch.cat([before[n] for n in moved], -1).flatten(0, 1)
    others = {n: v.flatten(0, 1) for n, v in before.items() if n not in moved}
    rows = max(1, AT_ONCE // own.shape[-1] ** 2)
    found = torch.func.vmap(torch.func.jacrev(step), chunk_size=rows)(
        own, others, projected.flatten(0, 1), {n: v.flatten(0, 1) for n, v in run.step_inputs.items()}
    )
    matrices = found.detach().unflatten(0, (steps, batch))
    if run.reverse:  # in the order in which it runs: each sequence's last step first
        order = (ends - 1 - torch.arange(steps, device=ends.device)[:, None]).clamp(min=0)
        matrices = matrices[order, torch.arange(batch, device=ends.device)]
    alive = torch.arange(steps, device=ends.device)[:, None] < ends
    singular = torch.linalg.svdvals(matrices)
    radius = torch.linalg.eigvals(matrices).abs().amax(-1)
    nan = torch.nan
    return StepJacobians(
        torch.where(alive[..., None, None], matrices, nan),
        torch.where(alive[..., None], singular, nan),
        torch.where(alive, radius, nan),
        ends,
    )


def _form(x: object) -> str:
    return f"a tensor {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__

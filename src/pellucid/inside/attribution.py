"""Which parts of an input an answer rests on: integrated gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.errors import ArgumentError, SizeError


@dataclass(frozen=True)
class Attribution:
    """What every number of the input adds to an output.

    Attributes:
        values: of the input's shape, in the output's unit.
        gap: (B,) by how much their sum exceeds the difference between the outputs of input and baseline: the error of the
            quadrature, which more steps make smaller.
    """

    values: Tensor
    gap: Tensor


def integrated_gradients(
    forward: Callable[[Tensor], Tensor],
    x: Tensor,
    target: int | Tensor | None = None,
    *,
    baseline: Tensor | float = 0.0,
    steps: int = 50,
) -> Attribution:
    r"""Integrated gradients (Sundararajan, Taly and Yan 2017, eq. 1), by Captum with Gauss and Legendre's quadrature.

    .. math:: (x_i - x'_i) \int_0^1 \frac{\partial F(x' + a (x - x'))}{\partial x_i} \, da

    They are complete: over an item they sum to :math:`F(x) - F(x')`.

    Args:
        forward: the model, or a function around it: (B, ...) to (B, K), or (B,) for one number. Put the model in evaluation
            mode first. Tokens have no gradient: give their embeddings, and what follows the embedding.
        x: (B, ...) floating point.
        target: which of the K outputs; a number, or (B,) one for each item; None where ``forward`` gives (B,).
        baseline: x' where the path starts: a number, or a tensor that is broadcast to x.
        steps: of the quadrature.

    Raises:
        ArgumentError: Captum is not installed, an input that is not floating point, a target that does not exist or is missing, steps below 1.
        SizeError: outputs that are not (B, K) or (B,).
    """
    if not x.is_floating_point():
        raise ArgumentError(
            f"integrated_gradients needs an input of floating point, and got {x.dtype}; of tokens, give their embeddings and "
            "the part of the model that follows the embedding"
        )
    if steps < 1:
        raise ArgumentError(f"integrated_gradients: steps={steps}; give at least 1 (50 is the rule)")
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise ArgumentError(
            "integrated_gradients needs Captum, which is not installed: pip install 'pellucid[inside]'"
        ) from error
    start = torch.as_tensor(baseline, dtype=x.dtype, device=x.device).detach().expand_as(x)
    method = IntegratedGradients(lambda point: _chosen(forward(point), target, len(x)))
    # One step of the path at a time: whatever else the function knows of its items, such as lengths, then fits.
    values, gap = method.attribute(
        x.detach(), start, n_steps=steps, internal_batch_size=len(x), return_convergence_delta=True
    )
    return Attribution(values.detach(), gap.detach())


def _chosen(outputs: Tensor, target: int | Tensor | None, items: int) -> Tensor:
    """(B,) the outputs that are explained."""
    if outputs.shape == (items,) and target is None:
        return outputs
    if outputs.dim() != 2 or len(outputs) != items:
        raise SizeError(
            f"integrated_gradients needs outputs (B, K), or (B,) without a target, and for {items} items got "
            f"{tuple(outputs.shape)}; wrap the model in a function that chooses"
        )
    if target is None:
        raise ArgumentError(f"integrated_gradients: the model gives {outputs.shape[1]} outputs; say which with target=")
    chosen = torch.as_tensor(target, device=outputs.device).expand(items)
    if int(chosen.min()) < 0 or int(chosen.max()) >= outputs.shape[1]:
        raise ArgumentError(
            f"integrated_gradients: target runs from {int(chosen.min())} to {int(chosen.max())}, and the model gives "
            f"{outputs.shape[1]} outputs; give numbers from 0 to {outputs.shape[1] - 1}"
        )
    return outputs.gather(1, chosen[:, None])[:, 0]

"""The page's own copy of a model: the person may train theirs, or change it, as if nobody looked."""

from __future__ import annotations

from copy import deepcopy

from torch import Tensor, nn

from pellucid.errors import ArgumentError


def copied(name: str, model: nn.Module) -> nn.Module:
    """A model with the same numbers where the model is, in evaluation mode, whose parameters need no gradient.

    Args:
        name: what the person calls it; model: theirs, which stays as it is.

    Raises:
        ArgumentError: it holds something of which there can be no copy.
    """
    # Of what was computed with a graph torch makes no copy: weights that are made of others, say.
    computed = {id(v): v.detach().clone() for v in _attributes(model) if isinstance(v, Tensor) and not v.is_leaf}
    try:
        return deepcopy(model, computed).eval().requires_grad_(False)
    except Exception as error:  # whatever a part of the model raises that cannot be copied
        raise ArgumentError(
            f"see: the page works on a copy of {name}, and it cannot be copied: {(str(error).splitlines() or [''])[0]}; give "
            "one that holds layers and tensors alone"
        ) from None


def _attributes(model: nn.Module) -> list[object]:
    return [value for module in model.modules() for value in vars(module).values()]

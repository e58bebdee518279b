"""Opening modules that a person has in memory, or none."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pellucid import device
from pellucid.errors import ArgumentError
from pellucid.web.copied import copied
from pellucid.web.opened import Form, Item, Opened, Opening

MOST_ITEMS = 64


def of_nothing() -> Opened:
    """The guide alone."""
    return Opened(title="Pellucid", form="image", networks=[], items=[])


def of_models(models: Mapping[str, nn.Module], batch: Tensor, *lengths: Tensor) -> Opened:
    """What is looked into: copies of the models, each where it is, and the items of a batch.

    The arguments are those of :func:`pellucid.see`.

    Raises:
        ArgumentError: a model cannot be copied, or not be called with the batch.
    """
    models = {name: copied(name, model) for name, model in models.items()}
    axis = 1 if any(getattr(model, "batch_first", None) is False for model in models.values()) else 0
    count = min(batch.shape[axis], MOST_ITEMS)
    # Copies, since the person's may change.
    batch, *rest = (
        given.narrow(at, 0, count).detach().cpu().clone() for given, at in ((batch, axis), *((t, 0) for t in lengths))
    )
    for name, model in models.items():
        try:
            with torch.no_grad():
                model(*(device.moved(given, device.of(model)).clone() for given in (batch, *rest)))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ArgumentError(
                f"see: {name} cannot be called with a batch of {tuple(batch.shape)}: {reason}; give what it takes"
            ) from None
    form: Form = "tokens" if not batch.is_floating_point() else "image" if batch.ndim in (4, 5) else "sequence"
    items = []
    for number in range(count):
        args = (batch.narrow(axis, number, 1), *(t[number : number + 1] for t in rest))
        items.append(Item(f"item {number}", batch.select(axis, number), args))
    return Opened(
        title=", ".join(models),
        form=form,
        networks=[Opening(name, name, model) for name, model in models.items()],
        items=items,
    )

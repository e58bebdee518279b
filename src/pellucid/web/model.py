"""Opening modules that a person has in memory, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pellucid import device
from pellucid.errors import ArgumentError
from pellucid.nn import Recurrent
from pellucid.web.copied import copied
from pellucid.web.opened import Form, Item, Opened, Opening, Taking
from pellucid.web.passes import first
from pellucid.web.reading import Classes, Numbers, Reading

if TYPE_CHECKING:
    from pellucid.web.pictures import Preprocess

MOST_ITEMS = 64


def of_nothing() -> Opened:
    """The guide alone."""
    return Opened(title="Pellucid", form="image", networks=[], items=[])


def of_models(
    models: Mapping[str, nn.Module],
    batch: Tensor,
    *lengths: Tensor,
    labels: Sequence[str] = (),
    preprocess: Preprocess | None = None,
) -> Opened:
    """What is looked into: copies of the models, each where it is, and the items of a batch.

    The arguments are those of :func:`pellucid.see`.

    Raises:
        ArgumentError: a model cannot be copied, or not be called with the batch; labels or ``preprocess`` do not fit.
    """
    models = {name: copied(name, model) for name, model in models.items()}
    axis = 1 if any(_reads_time_first(model, batch, lengths) for model in models.values()) else 0
    count = min(batch.shape[axis], MOST_ITEMS)
    # Copies, since the person's may change.
    batch, *rest = (
        given.narrow(at, 0, count).detach().cpu().clone() for given, at in ((batch, axis), *((t, 0) for t in lengths))
    )
    outputs = {name: _called(name, model, batch, rest) for name, model in models.items()}
    form: Form = "tokens" if not batch.is_floating_point() else "image" if batch.ndim in (4, 5) else "sequence"
    scale, takes = _pictures(batch, form, preprocess)
    items = []
    for number in range(count):
        args = (batch.narrow(axis, number, 1), *(t[number : number + 1] for t in rest))
        items.append(Item(f"item {number}", batch.select(axis, number), args, scale=scale))
    return Opened(
        title=", ".join(models),
        form=form,
        networks=[Opening(name, name, model) for name, model in models.items()],
        items=items,
        labels=tuple(labels),
        reading=_reading(tuple(labels), outputs),
        takes=takes,
    )


def _reads_time_first(model: nn.Module, batch: Tensor, lengths: Sequence[Tensor]) -> bool:
    """Whether a model takes (T, B, ...): it says so itself, or the batch comes in that order to a recurrent layer that does."""
    said = getattr(model, "batch_first", None)
    layers = [m for m in model.modules() if isinstance(m, Recurrent | nn.RNNBase) and not m.batch_first]
    if said is not None or not layers or batch.ndim not in (2, 3):
        return said is False
    # So many that the two axes differ in size, and tell which is which.
    count = min(batch.shape[0], MOST_ITEMS)
    count -= count == batch.shape[1] and count > 1
    found: list[bool] = []

    def note(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        x = args[0] if args else named.get("input")
        found.append(isinstance(x, Tensor) and x.dim() == 3 and x.shape[:2] == (count, batch.shape[1]))

    with ExitStack() as undo:
        for layer in layers:
            undo.callback(layer.register_forward_pre_hook(note, with_kwargs=True).remove)
        # Whatever is wrong is said once it is called as it should be.
        undo.enter_context(suppress(RuntimeError, ValueError, TypeError, IndexError))
        undo.enter_context(torch.no_grad())
        model(*(device.moved(given[:count].detach(), device.of(model)).clone() for given in (batch, *lengths)))
    return any(found)


def _called(name: str, model: nn.Module, batch: Tensor, rest: Sequence[Tensor]) -> Tensor:
    """What a model answers on all items."""
    try:
        with torch.no_grad():
            return first(model(*(device.moved(given, device.of(model)).clone() for given in (batch, *rest))))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ArgumentError(
            f"see: {name} cannot be called with a batch of {tuple(batch.shape)}: {reason}; give what it takes"
        ) from None


def _pictures(batch: Tensor, form: Form, preprocess: Preprocess | None) -> tuple[Tensor | None, Taking | None]:
    """Of images in grey or colours what brings them between black and white, and that a person may give some."""
    if form == "image" and batch.ndim == 4 and batch.shape[1] in (1, 3):
        from pellucid.web.pictures import Like  # which needs Pillow, as nothing else here does

        like = Like.of(batch, preprocess)
        return like.scale, like.taking
    if preprocess is not None:
        raise ArgumentError(
            f"see: preprocess is for pictures, and the batch is {tuple(batch.shape)}; it fits images (B, C, H, W) of floats with "
            "1 or 3 channels, so leave it out"
        )
    return None, None


def _reading(labels: tuple[str, ...], outputs: Mapping[str, Tensor]) -> Reading:
    """Outputs are scores of the labels where there are any."""
    if not labels:
        return Numbers()
    for name, output in outputs.items():
        if output.ndim != 2 or output.shape[1] != len(labels):
            raise ArgumentError(
                f"see: there are {len(labels)} labels, and {name} answers with {tuple(output.shape)}; labels name the K scores "
                "of an answer (B, K), one each"
            )
        if bool((output >= 0).all()) and torch.allclose(output.sum(1), torch.ones_like(output[:, 0])):
            raise ArgumentError(
                f"see: {name} answers with probabilities, and labels are for scores before the softmax; leave out its last "
                "softmax, or the labels"
            )
    return Classes(labels)

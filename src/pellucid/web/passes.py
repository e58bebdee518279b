"""One forward pass of a model on an item, with all that questions ask of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from pellucid import device
from pellucid.nn import Recurrent
from pellucid.trace import Trace, trace

Given = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Ran:
    """A layer that ran.

    Attributes:
        path: of the layer in the model; layer: the module.
        given: what it was called with: arguments, and those by name.
    """

    path: str
    layer: nn.Module
    given: Given


@dataclass(frozen=True)
class Pass:
    """One forward pass, and where it was asked for, with the gradient of a number.

    Attributes:
        seen: by name, as in :class:`pellucid.trace`, of a batch of one, where the model is.
        output: of the model; the first where it has several, as a recurrent layer has.
        ran: the layers in the order in which they ran.
        leaf: the model's input, where it has numbers and the pass keeps its graph.
        derived: what questions made of the pass and will need again, by names of their own; it goes with the pass.
    """

    seen: Trace
    output: Tensor
    ran: Sequence[Ran]
    leaf: Tensor | None = None
    derived: dict[str, Any] = field(default_factory=dict)

    @property
    def given(self) -> Mapping[str, Given]:
        """By the path of each recurrent layer, what it was called with; of the last call where there are several."""
        return {one.path: one.given for one in self.ran if isinstance(one.layer, Recurrent)}


def run(
    model: nn.Module,
    args: Sequence[Tensor | None],
    *,
    loss: Callable[[Pass], Tensor] | None = None,
    graph: bool = False,
) -> Pass:
    """A pass.

    Args:
        model: what runs, wherever it is; args: what it is called with, a batch of one.
        loss: where gradients are wanted, from the pass to the number whose gradients they are.
        graph: whether values keep torch's graph, down to the input.
    """
    there = device.of(model)
    x, *rest = (device.moved(arg, there) for arg in args)
    leaf = x.detach().requires_grad_() if graph and x is not None and x.is_floating_point() else None
    grad = () if graph else loss is not None
    with (
        device.working(there),
        torch.enable_grad(),
        trace(model, grad=grad) as seen,
        _listening(model) as ran,
        _out_of_place(model),
    ):
        done = Pass(seen, first(model(x if leaf is None else leaf, *rest)), ran, leaf)
        if loss is not None:
            loss(done).backward()  # type: ignore[no-untyped-call]
            model.zero_grad(set_to_none=True)
    return done


def first(output: Any) -> Tensor:
    """What a model answers; the first where it gives several, as a recurrent layer gives its states, too."""
    while isinstance(output, tuple | list):
        output = output[0]
    return cast("Tensor", output)


@contextmanager
def _listening(model: nn.Module) -> Iterator[list[Ran]]:
    """Every layer that is called inside the block, in order."""
    found: list[Ran] = []

    def note(path: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        return lambda layer, args, named: found.append(Ran(path, layer, (args, named)))

    with ExitStack() as undo:
        for path, layer in model.named_modules():
            undo.callback(layer.register_forward_pre_hook(note(path), with_kwargs=True).remove)
        yield found


@contextmanager
def _out_of_place(model: nn.Module) -> Iterator[None]:
    """Activations that write over what they are given write elsewhere inside the block: else that could not be seen."""
    layers = [layer for layer in model.modules() if getattr(layer, "inplace", False) is True]
    for layer in layers:
        layer.inplace = False  # type: ignore[assignment]  # torch types a module's attributes as its tensors
    try:
        yield
    finally:
        for layer in layers:
            layer.inplace = True  # type: ignore[assignment]

"""One forward pass of a model on an item, with all that questions ask of it, and backward passes along its graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from pellucid import device
from pellucid.errors import ArgumentError
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
    """One forward pass.

    Attributes:
        seen: by name, as in :class:`pellucid.trace`, of a batch of one, where the model is.
        output: of the model; the first where it has several, as a recurrent layer has.
        ran: the layers in the order in which they ran.
        starts: where torch's graph begins, of a pass that keeps it.
        derived: what questions made of the pass and will need again, by names of their own; it goes with the pass.
    """

    seen: Trace
    output: Tensor
    ran: Sequence[Ran]
    starts: tuple[Tensor, ...] = ()
    derived: dict[str, Any] = field(default_factory=dict)

    @property
    def given(self) -> Mapping[str, Given]:
        """By the path of each recurrent layer, what it was called with; of the last call where there are several."""
        return {one.path: one.given for one in self.ran if isinstance(one.layer, Recurrent)}


@dataclass(frozen=True)
class Gradients:
    """The gradient of one number.

    Attributes:
        values: by the name of each value seen that it reached.
        given: by the path of each recurrent layer that it went through, with respect to the input that the layer was called with.
    """

    values: Mapping[str, Tensor]
    given: Mapping[str, Tensor]


def run(model: nn.Module, args: Sequence[Tensor | None], *, graph: bool = True) -> Pass:
    """A pass.

    Args:
        model: what runs, wherever it is; args: what it is called with, a batch of one.
        graph: whether values keep torch's graph, down to the input.
    """
    there = device.of(model)
    x, *rest = (device.moved(arg, there) for arg in args)
    with ExitStack() as around:
        around.enter_context(device.working(there))
        around.enter_context(torch.enable_grad())
        starts = around.enter_context(_graph(model)) if graph else None
        seen = around.enter_context(trace(model, grad=graph))
        ran = around.enter_context(_listening(model))
        around.enter_context(_out_of_place(model))
        output = first(model(x if starts is None else starts.at(x), *rest))
    return Pass(seen, output, ran, () if starts is None else starts.all)


def gradients(done: Pass, number: Tensor) -> Gradients:
    """A backward pass from a number of a pass, or of what follows from it; the graph stays for the next one.

    Raises:
        ArgumentError: the number does not hang on the graph.
    """
    if not number.requires_grad:
        raise ArgumentError("no gradient leads back from this number; the model cuts it off on the way")
    fed = {path: args[0] for path, (args, _) in done.given.items() if args and _has_graph(args[0])}
    done.seen.forget_gradients()
    with device.working(number.device):
        found = torch.autograd.grad(number, [*fed.values(), *done.starts], retain_graph=True, allow_unused=True)
    return Gradients(
        _there(zip(done.seen, (one.grad for one in done.seen.values()), strict=True)),
        _there(zip(fed, found, strict=False)),
    )


def _has_graph(given: object) -> bool:
    return isinstance(given, Tensor) and given.requires_grad


def _there(found: Iterable[tuple[str, Tensor | None]]) -> dict[str, Tensor]:
    return {name: gradient for name, gradient in found if gradient is not None}


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


class _Starts:
    """Where torch's graph begins."""

    def __init__(self) -> None:
        self._begun: dict[
            int, tuple[Tensor, Tensor]
        ] = {}  # with the tensor itself, whose number would else become another's

    @property
    def all(self) -> tuple[Tensor, ...]:
        return tuple(start for _, start in self._begun.values())

    def at(self, value: Any) -> Any:
        """The same numbers, from which a graph begins; what has one, or no numbers, as it is."""
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.requires_grad:
            return value
        if id(value) not in self._begun:
            # A clone, since the model may write over what it is given.
            self._begun[id(value)] = value, value.detach().requires_grad_().clone()
        return self._begun[id(value)][1]


@contextmanager
def _graph(model: nn.Module) -> Iterator[_Starts]:
    """Inside the block torch's graph leads back to inputs alone: parameters' gradients would be a third of a backward pass.

    It begins wherever a layer is given or hands on numbers that no graph leads to: embeddings of tokens, one-hot rows.
    """
    starts = _Starts()

    def before(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Given:
        return tuple(map(starts.at, args)), {name: starts.at(value) for name, value in named.items()}

    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with ExitStack() as undo:
        for layer in model.modules():
            if not any(True for _ in layer.children()):
                undo.callback(layer.register_forward_pre_hook(before, with_kwargs=True).remove)
                undo.callback(layer.register_forward_hook(lambda _, __, output: starts.at(output)).remove)
        for parameter in learned:
            undo.callback(parameter.requires_grad_)
            parameter.requires_grad_(False)
        yield starts


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

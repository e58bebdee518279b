"""One forward pass of a model on an item, with all that questions ask of it, and backward passes along its graph."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor, nn

from pellucid import device
from pellucid.errors import ArgumentError
from pellucid.nn import Recurrent
from pellucid.nn.rnn_cells import OneStep
from pellucid.trace import Trace, trace
from pellucid.web.loops import laid_along_time

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

    @property
    def arguments(self) -> dict[str, Any]:
        """What it was called with, by name."""
        args, named = self.given
        return signature(self.layer.forward).bind(*args, **named).arguments


@dataclass(frozen=True)
class Pass:
    """One forward pass.

    Attributes:
        seen: by name, as in :class:`pellucid.trace`, of a batch of one, where the model is; the calls of a cell along time.
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
    def recurrent(self) -> dict[str, list[Ran]]:
        """By the path of each recurrent layer its last call, and of a cell that the model calls step by step all calls."""
        found: dict[str, list[Ran]] = {}
        for one in self.ran:
            if isinstance(one.layer, Recurrent):
                found[one.path] = [one]
            elif isinstance(one.layer, OneStep):
                found.setdefault(one.path, []).append(one)
        return found


@dataclass(frozen=True)
class Gradients:
    """The gradient of one number.

    Attributes:
        values: by the name of each value seen that it reached.
        given: by the path of each recurrent layer, with respect to the input that it was called with; of a cell's calls
            (T, B, I) or (T, I).
        since: the first step of a recurrent layer's values; what comes after the last is zero, and what comes before the first
            not known. 0 of a whole backward pass.
    """

    values: Mapping[str, Tensor]
    given: Mapping[str, Tensor]
    since: int = 0


def run(model: nn.Module, args: Sequence[Tensor | None], *, graph: bool = True) -> Pass:
    """A pass.

    Args:
        model: what runs, wherever it is, and the page's own: no parameter needs a gradient (that would be a third of a
            backward pass), and while it runs it has hooks.
        args: what it is called with, a batch of one.
        graph: whether values keep torch's graph, down to the input.
    """
    there = device.of(model)
    # Copies, since a model may write over what it is given.
    x, *rest = (None if arg is None else device.moved(arg, there).clone() for arg in args)
    with ExitStack() as around:
        around.enter_context(device.working(there))
        around.enter_context(torch.enable_grad())
        starts = around.enter_context(_graph(model)) if graph else None
        seen = around.enter_context(trace(model, grad=graph))
        ran = around.enter_context(_listening(model))
        around.enter_context(_out_of_place(model))
        output = first(model(x if starts is None else starts.at(x), *rest))
    return Pass(laid_along_time(seen), output, ran, () if starts is None else starts.all)


def gradients(done: Pass, number: Tensor) -> Gradients:
    """A backward pass from a number of a pass, or of what follows from it; the graph stays for the next one.

    Raises:
        ArgumentError: the number does not hang on the graph.
    """
    _check_leads_back(number)
    fed = {path: _inputs(calls) for path, calls in done.recurrent.items()}
    done.seen.forget_gradients()
    with device.working(number.device):
        inputs = [*itertools.chain(*fed.values()), *done.starts]
        found = iter(torch.autograd.grad(number, inputs, retain_graph=True, allow_unused=True))
    values = {name: one.grad for name, one in done.seen.items()}
    return Gradients(
        {name: gradient for name, gradient in values.items() if gradient is not None},
        {path: _joined(inputs, list(itertools.islice(found, len(inputs)))) for path, inputs in fed.items() if inputs},
    )


def reaching(number: Tensor, values: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradient of a number of a pass with respect to values on the graph, and no further back; None where none leads there.

    Raises:
        ArgumentError: the number does not hang on the graph.
    """
    _check_leads_back(number)
    with device.working(number.device):
        return list(torch.autograd.grad(number, values, retain_graph=True, allow_unused=True))


def _check_leads_back(number: Tensor) -> None:
    if not number.requires_grad:
        raise ArgumentError("no gradient leads back from this number; the model cuts it off on the way")


def _inputs(calls: Sequence[Ran]) -> list[Tensor]:
    """What was fed in each; none where a gradient cannot be asked for, as of packed sequences."""
    given = [one.arguments["input"] for one in calls]
    return given if all(isinstance(x, Tensor) and x.requires_grad for x in given) else []


def _joined(inputs: Sequence[Tensor], found: Sequence[Tensor | None]) -> Tensor:
    """The gradient of a layer's input, or of those of a cell's calls side by side; zeros where none came."""
    whole = [torch.zeros_like(x) if gradient is None else gradient for x, gradient in zip(inputs, found, strict=True)]
    return whole[0] if len(whole) == 1 and whole[0].dim() == 3 else torch.stack(whole)


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
        # By its number, with the tensor itself: else another one might get the number.
        self._begun: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def all(self) -> tuple[Tensor, ...]:
        return tuple(start for _, start in self._begun.values())

    def at(self, value: Any) -> Any:
        """The same numbers, from which a graph begins; what has one, or no numbers, as it is."""
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.requires_grad:
            return value
        if id(value) not in self._begun:
            # A clone, since what a graph begins from cannot be written over.
            self._begun[id(value)] = value, value.detach().requires_grad_().clone()
        return self._begun[id(value)][1]


@contextmanager
def _graph(model: nn.Module) -> Iterator[_Starts]:
    """Inside the block torch's graph begins wherever a layer is given or hands on numbers that no graph leads to: the input,
    embeddings of tokens, one-hot rows."""
    starts = _Starts()

    def before(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Given:
        return tuple(map(starts.at, args)), {name: starts.at(value) for name, value in named.items()}

    with ExitStack() as undo:
        for layer in model.modules():
            if not any(True for _ in layer.children()):
                undo.callback(layer.register_forward_pre_hook(before, with_kwargs=True).remove)
                undo.callback(layer.register_forward_hook(lambda _, __, output: starts.at(output)).remove)
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

"""Seeing inside: collect by name what happens in a model, and after ``backward()`` the gradient that reached it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from pellucid.ops import observe


@dataclass
class Seen:
    """One value of one call.

    Attributes:
        values: the tensor.
        axes: what its axes are, such as ``"T B H"``.
    """

    values: Tensor
    axes: str
    _gradient: Callable[[], Tensor | None] = field(repr=False)

    @property
    def grad(self) -> Tensor | None:
        """The gradient of what ``backward()`` was called on with respect to the values; None before it reached them."""
        return self._gradient()


class Trace(Mapping[str, Seen]):
    """What was seen, by ``"path.name"``: the layer's path in the model, then the name in its equations.

    A layer that ran several times shows its last run; :meth:`calls` has them all.
    """

    def __init__(self) -> None:
        self._calls: dict[str, list[Seen]] = {}

    def __getitem__(self, name: str) -> Seen:
        if name not in self._calls:
            raise KeyError(f"nothing named {name!r} was seen; seen were {', '.join(self._calls) or 'no values'}")
        return self._calls[name][-1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def calls(self, name: str) -> list[Seen]:
        """Every run of a layer, in order."""
        self[name]
        return list(self._calls[name])

    def __repr__(self) -> str:
        rows = [(name, seen.axes, tuple(seen.values.shape)) for name, seen in self.items()]
        width = max((len(name) for name, *_ in rows), default=0)
        return "\n".join(f"{name:<{width}}  {axes:<8} {shape}" for name, axes, shape in rows)

    def _add(self, name: str, seen: Seen) -> None:
        self._calls.setdefault(name, []).append(seen)


class trace:  # noqa: N801  # a context manager, named as it reads
    """``with pellucid.trace(model) as seen:`` collects what happens in the model's layers inside the block.

    Recurrent layers show every name of their cell's equations and every state, of every step (``"lstm.l0.f"``, axes
    T B H); convolution and pooling their feature maps (``"conv1.out"``; of a ConvBlock ``"map"``, ``"act"`` and
    ``"pool"``); any other layer without layers inside its output (``"out"``). After ``backward()`` each has the gradient that
    reached it. Nothing is computed twice, and nothing stays behind when the block ends.

    Args:
        model: the module to look into; what runs outside it is not collected.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.seen = Trace()
        self._undo = ExitStack()

    def __enter__(self) -> Trace:
        paths = {module: path for path, module in self.model.named_modules()}
        spoke: set[nn.Module] = set()

        def observer(module: nn.Module, name: str, value: Tensor, axes: str, gradient: observe.Gradient | None) -> None:
            spoke.add(module)
            if module in paths:
                path = f"{paths[module]}.{name}" if paths[module] else name
                self.seen._add(path, Seen(value, axes, gradient or _hooked(value)))

        def after(module: nn.Module, _: tuple[Any, ...], output: object) -> None:
            if module not in spoke and isinstance(output, Tensor):
                observer(module, "out", output, "", None)
                spoke.discard(module)

        self._undo.enter_context(observe.observing(observer))
        for module in self.model.modules():
            if not any(True for _ in module.children()):
                handle = module.register_forward_hook(after)
                self._undo.callback(handle.remove)
        return self.seen

    def __exit__(self, *_: object) -> None:
        self._undo.close()


def _hooked(value: Tensor) -> Callable[[], Tensor | None]:
    """The gradient of a tensor that is part of torch's graph, once a hook has told it."""
    found: list[Tensor] = []
    if value.requires_grad:

        def note(gradient: Tensor) -> None:
            found[:] = [gradient.detach()]

        value.register_hook(note)  # type: ignore[no-untyped-call]
    return lambda: found[0] if found else None

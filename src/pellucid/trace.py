"""Seeing inside: collect by name what happens in a model, and after ``backward()`` the gradient that reached it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule

from pellucid.errors import ArgumentError
from pellucid.ops import observe
from pellucid.ops.kept import Keeping
from pellucid.ops.transforms import wrapped
from pellucid.ops.windows import axis_letters

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from xarray import DataArray


class Seen:
    """One value of one call.

    Attributes:
        axes: what its axes are, such as ``"T B H"``; empty where a layer's output says nothing of them.
        layer: the layer that it was seen in.
    """

    def __init__(self, values: Tensor, axes: str, _gradient: observe.Gradient, layer: nn.Module | None = None) -> None:
        self.axes, self.layer = axes, layer
        self._values, self._gradient = values, _gradient
        self._version = _version(values)

    @property
    def values(self) -> Tensor:
        """The tensor; a copy of it where the model's own code has written over it (``y += x``).

        Raises:
            ArgumentError: other code has written over it, in the block or after it.
        """
        if _version(self._values) != self._version:
            where = f"what {type(self.layer).__name__} gave" if self.layer is not None else "a value"
            raise ArgumentError(
                f"trace: {where}, {tuple(self._values.shape)}, was written over by what follows it, so its numbers are gone; "
                "write `y = y + x` instead of `y += x` there, relu(y) instead of relu_(y) or relu(y, inplace=True)"
            )
        return self._values

    def _keep(self) -> None:
        """Copy the numbers, which are about to change."""
        if _version(self._values) == self._version:
            with torch.set_grad_enabled(self._values.requires_grad):  # part of the graph wherever it is written to
                self._values = self._values.clone()
            self._version = _version(self._values)

    def __repr__(self) -> str:
        return f"Seen({type(self.layer).__name__}, axes={self.axes!r}, shape={tuple(self._values.shape)})"

    @property
    def grad(self) -> Tensor | None:
        """The gradient of what ``backward()`` was called on with respect to the values; None before it reached them."""
        return self._gradient.came()


class Trace(Mapping[str, Seen]):
    """What was seen, by ``"path.name"``: the layer's path in the model, then the name in its equations.

    A layer that ran several times shows its last run; :meth:`calls` has them all.
    """

    def __init__(self) -> None:
        self._calls: dict[str, list[Seen]] = {}
        self._lying: dict[int, list[Seen]] = {}  # by where the numbers lie that are the layers' own

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

    def forget_gradients(self) -> None:
        """Before another backward pass along the same graph (``retain_graph=True``): what it does not reach then has none."""
        for calls in self._calls.values():
            for seen in calls:
                seen._gradient.forget()

    def plot(self, name: str, item: int = 0, *, grad: bool = False, ax: Axes | None = None) -> Axes:
        """Draw one item's value: units against time as a heat map, a single unit as a line, feature maps side by side.

        Args:
            name: as in the trace.
            item: which of the batch.
            grad: draw the gradient that reached the value instead.
            ax: where to draw; None for a figure of its own.

        Raises:
            ArgumentError: matplotlib is not installed, no gradient has come, or the axes cannot be drawn.
        """
        from pellucid.inside import show

        return show.plot(name, self[name], item, grad=grad, ax=ax)

    def to_xarray(self, *, grad: bool = False) -> dict[str, DataArray]:
        """Every value by name, with named axes, as copies: dimensions are the letters of :attr:`Seen.axes`.

        Layers differ in size, so each value is an array of its own; those of one layer make a data set,
        ``xarray.Dataset({n: v for n, v in seen.to_xarray().items() if n.startswith("lstm.l0.")})``.

        Args:
            grad: the gradients that came, instead of the values.

        Raises:
            ArgumentError: xarray is not installed.
        """
        from pellucid.inside import show

        return show.to_xarray(self, grad=grad)

    def __repr__(self) -> str:
        rows = [(name, seen.axes, tuple(seen._values.shape)) for name, seen in self.items()]
        width = max((len(name) for name, *_ in rows), default=0)
        return "\n".join(f"{name:<{width}}  {axes:<8} {shape}" for name, axes, shape in rows)

    def _keep(self, about_to_change: Tensor) -> None:
        for seen in self._lying.pop(_memory(about_to_change), ()):
            seen._keep()

    def _add(self, name: str, seen: Seen) -> None:
        self._calls.setdefault(name, []).append(seen)
        self._lying.setdefault(_memory(seen._values), []).append(seen)


class trace:  # noqa: N801  # a context manager, named as it reads
    """``with pellucid.trace(model) as seen:`` collects what happens in the model's layers inside the block.

    Recurrent layers show every name of their cell's equations and every state, of every step (``"lstm.l0.f"``, axes
    T B H); LSTMCell and its kin the same of every call (``"cell.f"``, axes B H; :meth:`Trace.calls` has all calls); convolution and pooling their feature maps (``"conv1.out"``; of a ConvBlock ``"map"``, ``"act"`` and
    ``"pool"``), max pooling also where each maximum lies (``"argmax"``, positions as of ``return_indices``); any other layer without layers inside its output (``"out"``). After ``backward()`` each has the gradient that
    reached it. Nothing is computed twice, and nothing stays behind when the block ends. What training would not keep is kept
    for it: gradients inside recurrent layers, and maps between convolution and pooling; ``layers`` and ``grad`` choose.
    Blocks may be nested, each with what it asked for, and what another thread runs of the model is seen, too.
    Layers with ``inplace=True`` write elsewhere inside the block, of what the model's own code writes over a copy is kept,
    and what ``torch.compile`` made of a model runs without its graphs, which show nothing.

    Args:
        model: the module to look into; what runs outside it is not collected.
        layers: what to collect, where not all is wanted: names (``"lstm"`` for all of a module, ``"lstm.l0"``,
            ``"lstm.l0.f"``) or the modules themselves. Other layers run as if nobody looked.
        grad: whether gradients are wanted; if not, the block runs under ``torch.no_grad()`` and hooks nothing to tensors. Or
            names and modules, as for ``layers``: the backward pass runs, and leaves the gradients of these alone (what each
            costs: docs/inside.md).

    Raises:
        ArgumentError: a name that the model does not have, with those that are near; a second place of a module; a module that is not inside it.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Iterable[str | nn.Module] | None = None,
        *,
        grad: bool | Iterable[str | nn.Module] = True,
    ) -> None:
        self.model = model = _uncompiled(model)
        self.seen = Trace()
        self._wanted = _everything(model) if layers is None else _selected(model, layers)
        self._graph = grad is not False
        self._graded = self._wanted if grad is True else _selected(model, grad or ())
        self._undo = ExitStack()

    def __enter__(self) -> Trace:
        paths = {module: path for path, module in self.model.named_modules()}
        wanted, graded = self._wanted, self._graded
        spoke: set[nn.Module] = set()

        def tell(module: nn.Module, name: str, value: Tensor, axes: str, gradient: observe.Gradient | None) -> None:
            spoke.add(module)
            if wrapped(value):
                return  # a transform of torch.func has no tensors to show, but what stands for many
            if not wants_gradient(module, name):
                gradient = _NONE
            path = _joined(paths[module], name)
            self.seen._add(path, Seen(value, axes, gradient or _hooked(value), module))

        def wants(module: nn.Module, name: str) -> bool:
            return any(_is_under(name, start) for start in wanted.get(module, ()))

        def wants_gradient(module: nn.Module, name: str) -> bool:
            return any(_is_under(name, start) for start in graded.get(module, ()))

        def after(module: nn.Module, _: tuple[Any, ...], output: object) -> None:
            if module not in spoke and isinstance(output, Tensor) and wants(module, "out"):
                tell(module, "out", output, _axes(module, output), None)
                spoke.discard(module)

        if not self._graph:
            self._undo.enter_context(torch.no_grad())
        self._undo.enter_context(_out_of_place(self.model))
        self._undo.enter_context(_eager)
        if not torch.compiler.is_compiling():
            self._undo.enter_context(Keeping(self.seen._keep))
        self._undo.enter_context(observe.observing(observe.Watch(tell, wanted.__contains__, wants, wants_gradient)))
        for module in wanted:
            if not any(True for _ in module.children()):
                handle = module.register_forward_hook(after)
                self._undo.callback(handle.remove)
        return self.seen

    def __exit__(self, *_: object) -> None:
        self._undo.close()


_Wanted = dict[nn.Module, set[str]]  # for each layer, with what the names begin that are wanted; "" for all


def _everything(model: nn.Module) -> _Wanted:
    return {module: {""} for module in model.modules()}


def _selected(model: nn.Module, layers: Iterable[str | nn.Module]) -> _Wanted:
    if isinstance(layers, str | nn.Module):
        layers = [layers]
    modules: dict[str, nn.Module] = {}
    wanted: _Wanted = {}
    for given in layers:
        modules = modules or dict(model.named_modules())
        if isinstance(given, nn.Module):
            given = _uncompiled(given)
            if not any(given is module for module in modules.values()):
                raise ArgumentError(
                    f"trace was given a {type(given).__name__} that is not inside the model; give a module of it, or a name"
                )
            found = _everything(given)
        else:
            module, start = _named(model, modules, given)
            found = {module: {start}} if start else _everything(module)
        for module, starts in found.items():
            wanted.setdefault(module, set()).update(starts)
    return wanted


def _named(model: nn.Module, modules: Mapping[str, nn.Module], name: str) -> tuple[nn.Module, str]:
    """The module that a name means, of several the innermost, and what the names of the values in it begin with; "" for all.

    Raises:
        ArgumentError: there is none, or it is another place of a module that goes by an earlier one.
    """
    if name in modules:
        return modules[name], ""
    parts = name.split(".")
    for end in range(len(parts) - 1, -1, -1):
        path, start = ".".join(parts[:end]), ".".join(parts[end:])
        if path in modules and any(_is_under(value, start) for value in _values(modules[path])):
            return modules[path], start
    for path, module in model.named_modules(remove_duplicate=False):
        if path not in modules and _is_under(name, path):
            first = next(earlier for earlier, other in modules.items() if other is module)
            raise ArgumentError(
                f"trace: {path!r} is the same module as {first!r}, whose name its values have; give "
                f"{first + name[len(path) :]!r}, and Trace.calls has every run"
            )
    known = [*modules, *(_joined(path, value) for path, module in modules.items() for value in _starts(module))]
    near = difflib.get_close_matches(name, known, n=6) or [n for n in known if n][:8]
    raise ArgumentError(f"trace: the model has no {name!r}; near it, it has {', '.join(near) or 'no layers'}")


def _values(module: nn.Module) -> tuple[str, ...]:
    """The names of the values that a module itself hands over."""
    if isinstance(module, observe.Shows):
        return module.shown_names
    return () if any(True for _ in module.children()) else ("out",)


def _starts(module: nn.Module) -> Iterator[str]:
    """What its values may be asked for by: their names, and what these begin with (``l0`` of ``l0.f``)."""
    whole = (value.split(".") for value in _values(module))
    yield from dict.fromkeys(".".join(parts[:end]) for parts in whole for end in range(1, len(parts) + 1))


def _uncompiled(model: nn.Module) -> nn.Module:
    """Of what ``torch.compile`` made of a model, the model: its names are those that are meant."""
    inner = vars(model).get("_modules", {}).get("_orig_mod")
    return inner if inner is not None else model


class _Eager:
    """What ``torch.compile`` made runs as it is written while any trace is open: a graph that was compiled before shows nothing.

    One for all traces, which may end in any order: torch's own stances end in the order of a stack.
    """

    def __init__(self) -> None:
        self._open, self._stance, self._changing = 0, ExitStack(), Lock()

    def __enter__(self) -> None:
        with self._changing:
            # Where nothing was compiled there is nothing to do, and to import what compiles takes seconds.
            if not self._open and not torch.compiler.is_compiling() and "torch._dynamo" in sys.modules:
                with suppress(RuntimeError):  # inside of a compiled function, which torch lets nobody leave
                    self._stance.enter_context(torch.compiler.set_stance("force_eager"))
            self._open += 1

    def __exit__(self, *_: object) -> None:
        with self._changing:
            self._open -= 1
            if not self._open:
                self._stance.close()


_eager = _Eager()


@contextmanager
def _out_of_place(model: nn.Module) -> Iterator[None]:
    """Layers that write over what they are given, such as ``ReLU(inplace=True)``, write elsewhere: the numbers there are shown."""
    layers = [m for m in model.modules() if getattr(m, "inplace", False) is True and not isinstance(m, ScriptModule)]
    for layer in layers:
        layer.inplace = False  # type: ignore[assignment]  # torch types a module's attributes as its tensors
    try:
        yield
    finally:
        for layer in layers:
            layer.inplace = True  # type: ignore[assignment]


def _version(values: Tensor) -> int:
    """How often it was written to; inference tensors do not say."""
    return 0 if values.is_inference() else values._version


def _memory(values: Tensor) -> int:
    """Where a tensor's numbers lie: views lie where their base does. What has none of its own, such as what stands for many, is itself."""
    with suppress(NotImplementedError):
        return int(values.untyped_storage()._cdata)
    return id(values)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_under(name: str, start: str) -> bool:
    return not start or name == start or name.startswith(start + ".")


def _axes(module: nn.Module, output: Tensor) -> str:
    """Of a layer that says nothing of them itself: torch's convolutions are known."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return axis_letters(output, len(module.kernel_size))
    return ""


_NONE = observe.Gradient(lambda: None, lambda: None)  # where none was asked for


def _hooked(value: Tensor) -> observe.Gradient:
    """The gradient of a tensor that is part of torch's graph, once a hook has told it."""
    found: list[Tensor] = []
    if value.requires_grad:

        def note(gradient: Tensor) -> None:
            found[:] = [gradient.detach()]

        value.register_hook(note)  # type: ignore[no-untyped-call]
    return observe.Gradient(lambda: found[0] if found else None, found.clear)

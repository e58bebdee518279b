"""A GPU that is not there: tensors remember on which side they would be, and what a GPU would refuse is refused.

All is computed by the processor. A tensor that was moved to ``cuda``, and whatever comes of it, says that it is there; an operation
that has operands of both sides fails as it would on a GPU, and NumPy sees only what was brought back. What autograd hands to a
backward pass belongs to neither side, so a mistake there may be missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils import _pytree as pytree

NAME = "Pretended GPU"
TAKEN = 10**8  # bytes that whatever is measured takes
HERE, THERE = torch.device("cpu"), torch.device("cuda", 0)
SIDE = "_pretended_side"
MAY_MIX = {
    "copy_",
    "__getitem__",
    "__setitem__",
    "to",
    "cpu",
    "__set__",
    "_has_compatible_shallow_copy_type",
    "type_as",
}
FOR_NUMPY = {"numpy", "__array__"}


def side(value: Tensor) -> torch.device | None:
    """On which side a tensor is; None where nobody knows. What was never moved nor computed from what was is here."""
    found: torch.device | None = getattr(value, SIDE, HERE if value.grad_fn is None and not _in_backward() else None)
    return found


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1


def _device(value: object) -> torch.device | None:
    if isinstance(value, torch.device):
        return value
    if isinstance(value, str) and value.split(":")[0] in ("cpu", "cuda"):
        return torch.device(value)
    return None


class Pretend(TorchFunctionMode):
    """While it is entered, the pretended GPU is there."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        own = args[0] if args and isinstance(args[0], Tensor) else None
        if own is not None and name == "__get__":
            full = resolve_name(func) or ""
            if full.endswith("device.__get__"):
                return THERE if side(own) == THERE else func(*args)
            if full.endswith("is_cuda.__get__"):
                return side(own) == THERE
        if name in FOR_NUMPY and own is not None and side(own) == THERE:
            raise TypeError("a tensor of a GPU has no NumPy array; bring it back first")
        if name == "pin_memory":
            return own
        wanted = kwargs.get("device")
        if name in ("to", "cpu") and own is not None:
            return self._moved(func, name, own, args, kwargs)
        asked = _device(wanted)
        if asked is not None and asked.type == "cuda":
            if kwargs.get("generator") is not None:
                raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
            kwargs["device"] = HERE
        tensors = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        there = any(side(t) == THERE for t in tensors)
        if there and any(isinstance(v, torch.Generator) for v in (*args, *kwargs.values())):
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        if there and name not in MAY_MIX and any(side(t) == HERE and t.dim() > 0 for t in tensors):
            raise RuntimeError(f"{resolve_name(func) or name}: expected all tensors to be on the same device")
        if name == "__getitem__" and own is not None and side(own) == HERE and there:
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor")
        result = func(*args, **kwargs)
        if name == "__set__" and own is not None and isinstance(args[-1], Tensor):
            setattr(own, SIDE, side(args[-1]))
        self._mark(result, self._side(asked, wanted, tensors, there))
        return result

    @staticmethod
    def _side(asked: torch.device | None, wanted: object, tensors: list[Tensor], there: bool) -> torch.device | None:
        if asked is not None:
            return THERE if asked.type == "cuda" else None
        if there:
            return THERE
        return HERE if wanted is None and all(side(t) == HERE for t in tensors) else None

    @staticmethod
    def _mark(result: Any, at: torch.device | None) -> None:
        for value in pytree.tree_leaves(result):
            if isinstance(value, Tensor) and (at is not None or _in_backward()):
                setattr(value, SIDE, at)

    def _moved(
        self, func: Callable[..., Any], name: str, own: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        target = HERE if name == "cpu" else _device(kwargs.get("device"))
        given = []
        for value in args[1:]:
            if (found := _device(value)) is not None:
                target = found
                given.append(HERE)
                continue
            if isinstance(value, Tensor):
                target = side(value)
            given.append(value)
        if "device" in kwargs:
            kwargs["device"] = HERE
        result: Tensor = func(own, *given, **kwargs)
        if target is None:
            target = side(own)
        at = THERE if target is not None and target.type == "cuda" else target
        if at is None or (result is own and side(own) == at):
            return result
        result = result.clone() if result is own else result
        setattr(result, SIDE, at)
        return result


@contextmanager
def pretending(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside the block ``cuda`` is there, one GPU with 8 GB."""
    for name, value in {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "get_device_name": lambda _=None: NAME,
        "get_device_properties": lambda _=None: SimpleNamespace(total_memory=8 * 10**9, name=NAME),
        "get_device_capability": lambda _=None: (0, 0),  # too old for kernels of our own
        "synchronize": lambda _=None: None,
        "memory_allocated": lambda _=None: 10**6,
        "max_memory_allocated": lambda _=None: 10**6 + TAKEN,
        "reset_peak_memory_stats": lambda _=None: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    copied = torch.nn.Parameter.__deepcopy__

    def copy(self: torch.nn.Parameter, memo: dict[int, Any]) -> Any:
        made = copied(self, memo)
        setattr(made, SIDE, side(self))
        return made

    backward = torch.autograd._engine_run_backward

    def run_backward(*args: Any, **kwargs: Any) -> Any:
        with Pretend():  # a mode is left while one of its functions runs
            return backward(*args, **kwargs)

    monkeypatch.setattr(torch.nn.Parameter, "__deepcopy__", copy)
    monkeypatch.setattr(torch.autograd, "_engine_run_backward", run_backward)
    with Pretend():
        yield

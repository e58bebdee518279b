"""Values that someone looks at are kept when a model's own code writes over them: ``y += x``, ``relu_(y)``, ``y[0] = 1``.

Torch tells of its functions as they are called, for a microsecond each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

_OPERATORS = frozenset(
    f"__i{name}__" for name in ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"]
)


class Keeping(TorchFunctionMode):
    """Inside the block ``about_to_write`` is told of every tensor that a function of torch is about to write to."""

    def __init__(self, about_to_write: Callable[[Tensor], None]) -> None:
        super().__init__()
        self._tell = about_to_write

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the function, and tell first."""
        kwargs = kwargs or {}
        for value in _written(func, args, kwargs):
            if isinstance(value, Tensor):
                self._tell(value)
        return func(*args, **kwargs)


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterable[object]:
    """What a call writes to."""
    name = getattr(func, "__name__", "")
    in_place = (name[-1:] == "_" and name[-2:] != "__") or name in _OPERATORS or name == "__setitem__"
    functional = getattr(func, "__module__", None) == "torch.nn.functional"  # relu(y, True), relu(y, inplace=True)
    if in_place or (functional and (kwargs.get("inplace") or any(each is True for each in args))):
        return args[:1] or (kwargs.get("input"),)
    out = kwargs.get("out")
    return out if isinstance(out, tuple | list) else (out,)

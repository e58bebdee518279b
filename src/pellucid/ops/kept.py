"""Values that someone looks at are kept when a model's own code writes over them: ``y += x``, ``relu_(y)``, ``y[0] = 1``.

Torch tells of its functions as they are called, for a microsecond each. Only models whose code looks as if it wrote in place pay
for it.
"""

from __future__ import annotations

import dis
import types
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from torch import Tensor, nn
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


def write_in_place(modules: Iterable[nn.Module]) -> bool:
    """Whether the code of one of them, other than torch's and Pellucid's own, looks as if it wrote in place."""
    kinds: set[Any] = {type(module) for module in modules}
    return any(_writes(kind) for kind in kinds)


@lru_cache(maxsize=4096)
def _writes(kind: type) -> bool:
    own = (base for base in kind.__mro__ if not base.__module__.startswith(("torch.nn.", "pellucid.", "builtins")))
    found = (each for base in own for name, each in vars(base).items() if name != "__init__")
    return any(_looks_it(each.__code__) for each in found if isinstance(each, types.FunctionType))


def _looks_it(code: types.CodeType) -> bool:
    for line in dis.get_instructions(code):
        if line.opname.startswith("INPLACE_") or line.opname == "STORE_SUBSCR":
            return True
        if line.opname == "BINARY_OP" and line.argrepr.endswith("="):
            return True
    if any(_is_mark(name) for name in (*code.co_names, *_texts(code.co_consts))):
        return True
    return any(_looks_it(inner) for inner in code.co_consts if isinstance(inner, types.CodeType))


def _is_mark(name: str) -> bool:
    return name in ("inplace", "out") or (name.endswith("_") and not name.endswith("__"))


def _texts(constants: Iterable[object]) -> Iterator[str]:
    """The names of keywords stand among a function's constants."""
    for each in constants:
        if isinstance(each, tuple):
            yield from (text for text in each if isinstance(text, str))

"""What follows from sizes and options alone is made once: the checks of a small layer's sizes cost more than the layer.

While ``torch.compile`` makes a graph, nothing is remembered: sizes may then be letters.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch

from pellucid.errors import PellucidError

P = ParamSpec("P")
R = TypeVar("R")

_MOST = 2048


def remembered(make: Callable[P, R]) -> Callable[P, R]:
    """Remember what a function makes of its arguments."""
    known = lru_cache(_MOST)(make)

    @wraps(make)
    def remembering(*given: P.args, **named: P.kwargs) -> R:
        if torch.compiler.is_compiling():
            return make(*given, **named)
        return known(*given, **named)  # type: ignore[arg-type]  # all of it is hashable

    return remembering


def remembered_for_all(fit: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Remember what a function makes of its arguments but the first, which says who asks, for the words of mistakes.

    Mistakes are not remembered, and neither is what cannot be (lists among the arguments).
    """
    known = lru_cache(_MOST, typed=True)(partial(fit, ""))  # typed: 1, 1.0 and True are equal

    @wraps(fit)
    def remembering(who: Any, /, *given: P.args, **named: P.kwargs) -> R:
        if not torch.compiler.is_compiling():
            try:
                return known(*given, **named)  # type: ignore[arg-type]  # what is not hashable is made below
            except (PellucidError, TypeError):
                pass  # again, in the words of who asks
        return fit(who, *given, **named)

    return remembering

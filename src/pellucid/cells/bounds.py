"""Between which numbers a value lies whatever the input: a gate's is seen from its equation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from pellucid.cells.graph import Node

Range = tuple[float, float]
ANY: Range = (-math.inf, math.inf)
_FUNCTIONS: dict[str, Range] = {
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "sin": (-1.0, 1.0),
    "cos": (-1.0, 1.0),
    "erf": (-1.0, 1.0),
    "sign": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "softplus": (0.0, math.inf),
    "exp": (0.0, math.inf),
    "abs": (0.0, math.inf),
    "sqrt": (0.0, math.inf),
}
_ARITHMETIC: dict[str, Callable[..., Range]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "neg": lambda a: (-a[1], -a[0]),
    "mul": lambda a, b: _hull(_times(x, y) for x in a for y in b),
    "maximum": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "minimum": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "select": lambda _, a, b: (min(a[0], b[0]), max(a[1], b[1])),
}


def bounds(node: Node) -> Range:
    """The lowest and the highest number that the equation allows, by interval arithmetic: perhaps wider than what is reached."""
    if node.op == "number":
        return node.key, node.key
    if node.op in _FUNCTIONS:
        return _FUNCTIONS[node.op]
    if node.op in _ARITHMETIC:
        return _ARITHMETIC[node.op](*map(bounds, node.args))
    return ANY


def is_gate(node: Node) -> bool:
    """Whether it is always a share: from 0 to 1, of what it is multiplied with."""
    low, high = bounds(node)
    return low >= 0 and high <= 1


def _hull(numbers: Iterable[float]) -> Range:
    found = list(numbers)
    return min(found), max(found)


def _times(a: float, b: float) -> float:
    return 0.0 if 0 in (a, b) else a * b

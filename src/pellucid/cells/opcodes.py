"""The primitive operations, their derivatives and how they are written; about 25, and no cell needs more.

A derivative is itself written in the language of equations: ``adjoint(g, y, *operands)`` gives, for each operand,
the equation of its share of the adjoint ``g`` of the result ``y``. This table is all that is known of calculus here;
:mod:`pellucid.cells.derivative` applies it in reverse order, so no cell has a backward pass of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pellucid.cells.language import cos, exp, select, sigmoid, sign, sin

Adjoint = Callable[..., tuple[Any, ...]]


@dataclass(frozen=True)
class Opcode:
    """A pointwise operation: its number of operands, its adjoint equations, and its LaTeX with {0}, {1}, ... for them.

    ``adjoint`` is None where the operation has no derivative (comparisons); such a result is a condition.
    """

    arity: int
    adjoint: Adjoint | None
    latex: str


OPCODES: dict[str, Opcode] = {
    "add": Opcode(2, lambda g, y, a, b: (g, g), "{0} + {1}"),
    "sub": Opcode(2, lambda g, y, a, b: (g, -g), "{0} - {1}"),
    "mul": Opcode(2, lambda g, y, a, b: (g * b, g * a), r"{0} \odot {1}"),
    "div": Opcode(2, lambda g, y, a, b: (g / b, -(g * y) / b), r"\frac{{{0}}}{{{1}}}"),
    "neg": Opcode(1, lambda g, y, a: (-g,), "-{0}"),
    "abs": Opcode(1, lambda g, y, a: (g * sign(a),), r"\left|{0}\right|"),
    "sign": Opcode(1, lambda g, y, a: (None,), r"\operatorname{{sign}}({0})"),
    "maximum": Opcode(2, lambda g, y, a, b: (_share(g, a, b), _share(g, b, a)), r"\max({0}, {1})"),
    "minimum": Opcode(2, lambda g, y, a, b: (_share(g, b, a), _share(g, a, b)), r"\min({0}, {1})"),
    "exp": Opcode(1, lambda g, y, a: (g * y,), r"\exp({0})"),
    "log": Opcode(1, lambda g, y, a: (g / a,), r"\log({0})"),
    "sqrt": Opcode(1, lambda g, y, a: (g * 0.5 / y,), r"\sqrt{{{0}}}"),
    "tanh": Opcode(1, lambda g, y, a: (g * (1.0 - y * y),), r"\tanh({0})"),
    "sigmoid": Opcode(1, lambda g, y, a: (g * (y * (1.0 - y)),), r"\sigma({0})"),
    "relu": Opcode(1, lambda g, y, a: (select(y > 0.0, g, 0.0),), r"\operatorname{{relu}}({0})"),
    "softplus": Opcode(1, lambda g, y, a: (g * sigmoid(a),), r"\operatorname{{softplus}}({0})"),
    "erf": Opcode(1, lambda g, y, a: (g * (2.0 / math.sqrt(math.pi) * exp(-(a * a))),), r"\operatorname{{erf}}({0})"),
    "sin": Opcode(1, lambda g, y, a: (g * cos(a),), r"\sin({0})"),
    "cos": Opcode(1, lambda g, y, a: (-(g * sin(a)),), r"\cos({0})"),
    "select": Opcode(
        3,
        lambda g, y, condition, a, b: (None, select(condition, g, 0.0), select(condition, 0.0, g)),
        r"\begin{{cases}}{1} & {0}\\{2} & \text{{otherwise}}\end{{cases}}",
    ),
    "greater": Opcode(2, None, "{0} > {1}"),
    "greater_equal": Opcode(2, None, r"{0} \ge {1}"),
}


def _share(g: Any, winner: Any, loser: Any) -> Any:
    """The adjoint of the winner of a maximum: all of it when larger, half in a tie (torch's convention)."""
    return select(winner > loser, g, select(loser > winner, 0.0, g * 0.5))

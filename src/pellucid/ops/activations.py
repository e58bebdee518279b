"""The activations of a block: as equations, from which the engine's programs are made, and as torch's functions.

An activation is a step without a recurrence, so the language of cells says it, and its derivative is derived as a cell's is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.cells import Cell, Input, State
from pellucid.cells.derivative import Derivative
from pellucid.cells.graph import Node
from pellucid.cells.language import erf, exp, minimum, relu, select, sigmoid, silu, tanh
from pellucid.cells.program import Pointwise, Program, compile_program

Steps: TypeAlias = tuple[int, list[float], list[tuple[str, int, list[int]]]]
"""A program for the engine: how many inputs, the numbers, and ``(operation, register, operands)``; the inputs are the first
registers, the numbers follow, and the last step's is the result."""


@dataclass(frozen=True)
class Activation:
    """One activation, with torch's default constants.

    Attributes:
        torch: as torch computes it.
        equation: as equations.
        rises: whether it never falls, so that the largest number's is the largest.
        by_sign: whether its derivative depends on the sign alone, which its result has too.
        derived: equations with the same derivative, of fewer steps than that of `equation`; None: there are none.
    """

    torch: Callable[[Tensor], Tensor]
    equation: Callable[[Any], Any]
    rises: bool = True
    by_sign: bool = False
    derived: Callable[[Any], Any] | None = None


def _elu(a: Any) -> Any:
    return select(a > 0.0, a, exp(minimum(a, 0.0)) - 1.0)


def _gelu(a: Any) -> Any:
    return a * (0.5 * (1.0 + erf(a * 0.5**0.5)))


ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation(torch.relu, relu, by_sign=True, derived=lambda a: select(a > 0.0, a, 0.0)),
    "leaky_relu": Activation(F.leaky_relu, lambda a: select(a > 0.0, a, 0.01 * a), by_sign=True),
    "elu": Activation(F.elu, _elu, derived=lambda a: select(a > 0.0, a, exp(select(a > 0.0, 0.0, a)) - 1.0)),
    "gelu": Activation(F.gelu, _gelu, rises=False),
    "silu": Activation(F.silu, silu, rises=False),
    "sigmoid": Activation(torch.sigmoid, sigmoid),
    "tanh": Activation(torch.tanh, tanh),
}
"""The activations a block can have."""


class _Step(Cell):
    """A step that only activates."""

    x = Input("a")
    h = State()

    def __init__(self, equation: Callable[[Any], Any]) -> None:
        self.equation = equation

    def step(self, x: Any, h: Any) -> Any:
        """The equation."""
        return self.equation(x.a)


@cache
def programs(name: str) -> tuple[Steps, Steps]:
    """The activation of a map, and its derivative: the map and the gradient of what was made of it give the map's gradient."""
    activation = ACTIVATIONS[name]
    made, derived = (_Step(e).derivative() for e in (activation.equation, activation.derived or activation.equation))
    forward = compile_program({"y": made.forward.registers[made.forward.outputs["after h"]]})
    backward = compile_program({"y": derived.adjoints[_projection(derived)]})
    return _steps(forward, [_projection(made)]), _steps(backward, [_projection(derived), derived.incoming["h"]])


def _projection(of: Derivative) -> Node:
    (a,) = (n for n in of.adjoints if n.op == "projection")
    return a


def _steps(program: Program, inputs: list[Node]) -> Steps:
    given = [program.registers[r] for r in program.inputs]
    numbers = [n for n in given if n not in inputs]
    where = {n: i for i, n in enumerate([*inputs, *numbers])}
    found = []
    for phase in program.phases:
        assert isinstance(phase, Pointwise)  # an activation looks at one number at a time
        for instruction in phase.instructions:
            where[program.registers[instruction.destination]] = len(where)
            operands = [where[program.registers[r]] for r in instruction.sources]
            found.append((instruction.op, where[program.registers[instruction.destination]], operands))
    assert where[program.registers[program.outputs["y"]]] == len(where) - 1
    return len(inputs), [float(n.key) for n in numbers], found

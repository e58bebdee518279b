"""Pellucid's engine: executes the programs of recurrent cells (native/)."""

from collections.abc import Sequence

from torch import Tensor

class Program:
    """A step's program, checked; ValueError where it is malformed."""

    def __init__(
        self,
        sizes: Sequence[int],
        letters: int,
        buffers: int,
        matrices: int,
        inputs: Sequence[tuple[int, str, int]],
        phases: Sequence[object],
        outputs: Sequence[tuple[int, str, int]],
    ) -> None: ...
    def run(
        self,
        steps: int,
        batch: int,
        sizes: Sequence[int],
        reverse: bool,
        before: int,
        buffers: Sequence[Tensor],
        initials: Sequence[Tensor | None],
        matrices: Sequence[Tensor],
        threads: int,
    ) -> None:
        """Execute it for every step; ValueError where a buffer does not fit."""

def multiply(a: Tensor, b: Tensor, c: Tensor, add: bool = False, bias: Tensor | None = None, threads: int = 1) -> None:
    """c = a b, or c += a b; rows of c may start from a bias."""

def apply(op: str, operand: Tensor, result: Tensor) -> None:
    """One pointwise operation on a vector; for measuring its error."""

def instruction_sets() -> list[str]:
    """What this processor has, best first."""

def instruction_set() -> str:
    """The one in use."""

def choose(name: str) -> None:
    """Use another instruction set from here on."""

"""Pellucid's engine: executes the programs of recurrent cells, convolution and pooling (native/)."""

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
        starts: Sequence[int],
        sizes: Sequence[int],
        reverse: bool,
        buffers: Sequence[Tensor | None],
        initials: Sequence[Tensor | None],
        matrices: Sequence[Tensor],
        windows: Sequence[tuple[Tensor | None, Sequence[tuple[int, int]], int]],
        projections: Sequence[tuple[int, Tensor, Tensor, Tensor | None]],
        input_gradients: Sequence[tuple[int, Tensor, Tensor]],
        weight_gradients: Sequence[tuple[int, int, Tensor, Tensor | None, Tensor | None, int, int]],
        bias_gradients: Sequence[tuple[int, int, Tensor]],
        twice: bool,
        threads: int,
        half: bool = False,
    ) -> None:
        """Execute it for every step; ValueError where a buffer does not fit.

        Args:
            steps: T.
            batch: B.
            starts: empty; or T + 1 numbers, for a ragged batch: the rows of time t are those from starts[t] to
                starts[t + 1] of tensors that are (rows, size) instead of (T, B, size). They belong to the first
                sequences of the batch, and are never more than at the time before.
            sizes: of each size letter.
            reverse: from the last time to the first.
            buffers: one for each port, None for one that lies in a window.
            initials: the value of shifted buffers before the first step.
            matrices: of the program's products.
            windows: what lies between the steps and the large products: a tensor (T, B, width), or None for the engine's
                own memory of one block of steps; the buffers in it, each with its first column; its width.
            projections: before each block of steps, window = x matrix^T + bias, as (window, x, matrix, bias).
            input_gradients: after it, dx = window matrix, as (window, dx, matrix).
            weight_gradients: after it, sum += columns of the window, transposed, times an operand, as (window, first
                column, sum, operand or None, its value before the first step, its window, its first column).
            bias_gradients: after it, sum += columns of the window, as (window, first column, sum).
            twice: float64 instead of float32.
            threads: at most.
            half: of float32, with products of bfloat16, to which both operands are rounded; ValueError where there are
                none, see :func:`multiplies_bfloat16`.
        """

class Stepper:
    """A program executed one step at a time, on matrices that it keeps packed; arguments as for :meth:`Program.run`.

    The program's states swing; it has one projection. The buffers' memory must outlive it.
    """

    def __init__(
        self,
        program: Program,
        batch: int,
        sizes: Sequence[int],
        buffers: Sequence[Tensor | None],
        matrices: Sequence[Tensor],
        windows: Sequence[tuple[Tensor | None, Sequence[tuple[int, int]], int]],
        projections: Sequence[tuple[int, Tensor, Tensor, Tensor | None]],
        twice: bool,
        threads: int,
        half: bool = False,
    ) -> None: ...
    def step(self, x: Tensor) -> int:
        """(B, I) in, and out the plane of the states' buffers in which the states now lie."""

def multiply(a: Tensor, b: Tensor, c: Tensor, add: bool = False, bias: Tensor | None = None, threads: int = 1) -> None:
    """c = a b, or c += a b; rows of c may start from a bias."""

def apply(op: str, operand: Tensor, result: Tensor) -> None:
    """One pointwise operation on a vector; for measuring its error."""

def instruction_sets() -> list[str]:
    """What this processor has, best first."""

def instruction_set() -> str:
    """The one in use."""

def multiplies_bfloat16() -> bool:
    """Whether the engine has products of bfloat16, with the instruction set in use."""

def choose(name: str) -> None:
    """Use another instruction set from here on."""

class Convolution:
    """Convolution ► activation ► pooling with windows of one size over inputs of one size; ValueError where it is malformed.

    An axis is (in, out, kernel, stride, dilation, padding before, padding after).
    """

    def __init__(
        self,
        axes: Sequence[tuple[int, ...]],
        groups: int,
        channels: int,
        filters: int,
        border: str,
        border_value: float,
        activation: object | None,
        derivative: object | None,
        pooled_first: bool,
        pool: object | None,
    ) -> None: ...
    def run(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        out: Tensor,
        map: Tensor | None,
        largest: Tensor | None,
        places: Tensor | None,
        threads: int,
    ) -> None:
        """Fill out, and what is to be kept for the backward pass; all others may be None."""
    def backward(
        self,
        x: Tensor,
        weight: Tensor,
        map: Tensor | None,
        largest: Tensor | None,
        places: Tensor | None,
        gradient: Tensor,
        dx: Tensor | None,
        dweight: Tensor | None,
        dbias: Tensor | None,
        threads: int,
    ) -> None:
        """Fill the gradients that are wanted."""

class Pooling:
    """Pooling with windows of one size over planes of one size, which lie one after the other."""

    def __init__(self, pool: object) -> None: ...
    def run(self, x: Tensor, out: Tensor, places: Tensor | None, threads: int) -> None: ...
    def backward(self, gradient: Tensor, places: Tensor | None, dx: Tensor, threads: int) -> None: ...

"""What a cell declares besides its equations: its inputs, states and parameters.

Sizes are letters: ``"H"`` the hidden size, ``"I"`` the input size, ``"1"`` one number shared by all units; a cell may
give further letters a number of its own (``sizes`` of :class:`pellucid.cells.Cell`). A declaration with *parts*
(``"r z n"``) stands for one block of rows a part, stored one below the other as torch stores gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pellucid.errors import CellError

Initial = float | Literal["uniform"]


class Declaration:
    """The base of all declarations; ``parts`` is empty where the declaration is a single value."""

    def __init__(self, parts: str | Sequence[str] = "") -> None:
        self.parts: tuple[str, ...] = tuple(parts.split()) if isinstance(parts, str) else tuple(parts)
        twice = next((part for k, part in enumerate(self.parts) if part in self.parts[:k]), None)
        if twice is not None:
            raise CellError(f"{type(self).__name__} has two parts called {twice!r}; each needs a name of its own")

    if TYPE_CHECKING:  # inside ``step`` the declared name stands for a value, or for its parts

        def __getattr__(self, part: str) -> Any: ...
        def __matmul__(self, other: Any) -> Any: ...
        def __add__(self, other: Any) -> Any: ...
        def __radd__(self, other: Any) -> Any: ...
        def __sub__(self, other: Any) -> Any: ...
        def __rsub__(self, other: Any) -> Any: ...
        def __mul__(self, other: Any) -> Any: ...
        def __rmul__(self, other: Any) -> Any: ...
        def __truediv__(self, other: Any) -> Any: ...
        def __neg__(self) -> Any: ...
        def __abs__(self) -> Any: ...


class Input(Declaration):
    """The input of a step, projected for each part: ``x.i`` is W_i x_t + b_i, of size H.

    W is the layer's ``weight_ih`` (parts * H, I), b its ``bias_ih`` (parts * H,), absent with ``bias=False``.
    """


class State(Declaration):
    """What the cell carries from step to step; the first state declared is the layer's output.

    Args:
        size: its size as a letter.
        initial: the value that a sequence starts from where none is given.
    """

    def __init__(self, size: str = "H", *, initial: float = 0.0) -> None:
        super().__init__()
        if not isinstance(initial, int | float):
            raise CellError(f"State starts from {initial!r}; give a number, or a layer learned_initial_state=True")
        self.size = size
        self.initial = initial


class StepInput(Declaration):
    """A further input of every step, given from outside as (T, B, size) and not projected.

    Args:
        size: its size as a letter.
        optional: where True, leaving it out means zero, and the equations lose the term.
    """

    def __init__(self, size: str = "H", *, optional: bool = False) -> None:
        super().__init__()
        self.size = size
        self.optional = optional


class Parameter(Declaration):
    """A learnable array; ``shape`` gives one part's axes as letters, ``key`` its name in the state_dict."""

    def __init__(
        self,
        parts: str | Sequence[str],
        shape: tuple[str, ...],
        *,
        key: str | None,
        initial: Initial,
    ) -> None:
        super().__init__(parts)
        if not isinstance(initial, int | float) and initial != "uniform":
            raise CellError(
                f"{type(self).__name__} starts from {initial!r}; give a number or 'uniform', or a layer "
                "initialisation='orthogonal' or 'chrono'"
            )
        self.shape = shape
        self.key = key
        self.initial = initial


class Matrix(Parameter):
    """Weights of a product: ``self.U.i @ h`` with U.i of rows x columns.

    Args:
        parts: one block of rows a part, stored as (parts * rows, columns).
        rows, columns: sizes as letters.
        heads: with more than one, each part is block-diagonal: unit u belongs to head u // (rows / heads) and sees
            only the units of its own head; stored as (parts * rows, columns / heads).
        recurrent: True where the operand is the state or made from it: the path that recurrent dropout acts on.
        key: name in the state_dict; ``weight_hh`` for the recurrent weights of torch's layers.
        initial: ``"uniform"`` is U(-1/sqrt(H), 1/sqrt(H)), as in torch.
    """

    def __init__(
        self,
        parts: str | Sequence[str] = "",
        *,
        rows: str = "H",
        columns: str = "H",
        heads: int = 1,
        recurrent: bool = True,
        key: str | None = "weight_hh",
        initial: Initial = "uniform",
    ) -> None:
        super().__init__(parts, (rows, columns), key=key, initial=initial)
        self.heads = heads
        self.recurrent = recurrent


class Vector(Parameter):
    """One number a unit (or one for all, with size ``"1"``): a gain, a leak, a peephole weight.

    Args:
        parts: stored as (parts * size,).
        size: as a letter.
        key: name in the state_dict; the declaration's own name where None.
        initial: a number, or ``"uniform"`` for U(-1/sqrt(H), 1/sqrt(H)).
    """

    def __init__(
        self,
        parts: str | Sequence[str] = "",
        *,
        size: str = "H",
        key: str | None = None,
        initial: Initial = "uniform",
    ) -> None:
        super().__init__(parts, (size,), key=key, initial=initial)


class Bias(Vector):
    """A vector that a layer built with ``bias=False`` leaves out: the equations then lose the term."""

    def __init__(self, parts: str | Sequence[str] = "", *, size: str = "H", key: str | None = "bias_hh") -> None:
        super().__init__(parts, size=size, key=key, initial="uniform")


class Constant(Declaration):
    """A fixed array, such as a connectivity mask: kept with the layer's buffers, never learned.

    Args:
        values: anything ``torch.as_tensor`` takes; None stands for the number 1, and folds away.
        shape: its axes as letters.
    """

    def __init__(self, values: Any, shape: tuple[str, ...]) -> None:
        super().__init__()
        self.values = values
        self.shape = shape

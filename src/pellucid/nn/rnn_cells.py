"""``RNNCell``, ``LSTMCell`` and ``GRUCell``: one time step at a time, drop-in for torch.nn's."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pellucid import cells
from pellucid.cells import Cell
from pellucid.cells.sequence import Variant
from pellucid.errors import ArgumentError, SizeError
from pellucid.nn import shown
from pellucid.nn.batch import check_device
from pellucid.ops import library
from pellucid.ops.recurrence import recurrence


class OneStep(nn.Module):
    """A cell's parameters under torch's names, and one step of it."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(self, cell: Cell, input_size: int, hidden_size: int, bias: bool, device: Any, dtype: Any) -> None:
        super().__init__()
        self.cell, self.input_size, self.hidden_size, self.bias = cell, input_size, hidden_size, bias
        library.register(cell)
        rows = max(len(cell.input[1].parts), 1) * hidden_size
        shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size)}
        for key, shape in shapes.items():
            self.register_parameter(key, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        for key in ("bias_ih", "bias_hh"):
            value = nn.Parameter(torch.empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(key, value)
        self.reset_parameters()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy or a layer that was read from a file."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        library.register(self.cell)

    def reset_parameters(self) -> None:
        """U(-1/sqrt(H), 1/sqrt(H)) for all, as in torch."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def step(self, input: Tensor, before: tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
        """The states after one step: input (B, I) or (I,), states (B, H) or (H,)."""
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise ArgumentError(
                f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead: give (B, I), or (I,) for one "
                "sequence"
            )
        for state in before or ():
            if state.dim() not in (1, 2):
                raise ArgumentError(f"{name}: Expected hidden to be 1D or 2D, got {state.dim()}D instead")
        x = input if input.dim() == 2 else input.unsqueeze(0)
        if x.shape[-1] != self.input_size:
            raise SizeError(f"{name}: the input has {x.shape[-1]} features, and input_size is {self.input_size}")
        check_device(name, "the input", input, self.weight_ih)
        for state in before or ():
            check_device(name, "the state", state, self.weight_ih)
        given = before or tuple(x.new_zeros(x.shape[0], self.hidden_size) for _ in self.cell.states)
        states = [s if s.dim() == 2 else s.unsqueeze(0) for s in given]
        for state in states:
            if tuple(state.shape) != (x.shape[0], self.hidden_size):
                raise SizeError(
                    f"{name}: the state has shape {tuple(state.shape)}, and for {x.shape[0]} sequences it needs "
                    f"({x.shape[0]}, {self.hidden_size})"
                )
        sight = shown.sight(self, self.cell)
        after = recurrence(
            self.cell,
            Variant(bias=self.bias),
            self.declared,
            x.unsqueeze(0),
            states,
            {},
            projection=(self.weight_ih, self.bias_ih),
            sight=sight,
        )

        def form(value: Tensor) -> Tensor:
            return value[0] if input.dim() == 2 else value[0, 0]

        if sight is not None:
            shown.show(self, "", sight, form, "B H" if input.dim() == 2 else "H")
        return tuple(form(v) for v in after.values())

    @property
    def declared(self) -> dict[str, Tensor]:
        """The parameters by the names that the equations have for them."""
        return {"U": self.weight_hh} | ({"b": self.bias_hh} if self.bias_hh is not None else {})

    @property
    def shown_names(self) -> tuple[str, ...]:
        """What a trace may show of one step: the names of the equations."""
        return tuple(shown.names(self.cell))

    def extra_repr(self) -> str:
        """As in torch."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(OneStep):
    """Drop-in for ``torch.nn.RNNCell``; raises as torch's does, with sentences."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self._nonlinearity = nonlinearity
        super().__init__(cells.RNN(nonlinearity=nonlinearity), input_size, hidden_size, bias, device, dtype)

    @property
    def nonlinearity(self) -> str:
        """As in torch."""
        return self._nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The hidden state after one step."""
        return self.step(input, None if hx is None else (hx,))[0]


class GRUCell(OneStep):
    """Drop-in for ``torch.nn.GRUCell``; raises as torch's does, with sentences."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(cells.GRU(), input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The hidden state after one step."""
        return self.step(input, None if hx is None else (hx,))[0]


class LSTMCell(OneStep):
    """Drop-in for ``torch.nn.LSTMCell``; raises as torch's does, with sentences."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(cells.LSTM(), input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The hidden and the cell state after one step."""
        h, c = self.step(input, hx)
        return h, c

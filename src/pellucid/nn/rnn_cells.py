"""``RNNCell``, ``LSTMCell`` and ``GRUCell``: one time step at a time, drop-in for torch.nn's."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pellucid import cells
from pellucid.cells import Cell
from pellucid.cells.sequence import Variant
from pellucid.errors import ArgumentError, ArgumentTypeError, SizeError
from pellucid.nn import autocast, shown
from pellucid.nn.batch import check_device, check_type
from pellucid.nn.leaf import Proxy, no_script, node
from pellucid.ops import library
from pellucid.ops.recurrence import recurrence


class OneStep(nn.Module):
    """A cell's parameters under torch's names, and one step of it."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    _narrowed_by_autocast = False  # as torch's; see pellucid.nn.autocast

    __prepare_scriptable__ = no_script

    def __init__(self, cell: Cell, input_size: int, hidden_size: int, bias: bool, device: Any, dtype: Any) -> None:
        nn.Module.__init__(self)  # and not that of torch's cell, which the layer is one of, too
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
        self._check(input, before or ())
        x = input if input.dim() == 2 else input.unsqueeze(0)
        given = before or tuple(x.new_zeros(x.shape[0], self.hidden_size) for _ in self.cell.states)
        states = [s if s.dim() == 2 else s.unsqueeze(0) for s in given]
        if not torch._C._is_any_autocast_enabled():
            return self._advance(x, states, None, batched=input.dim() == 2)
        result, narrow = autocast.types(self.weight_ih, states[0].dtype, narrowed=self._narrowed_by_autocast)
        own = self.weight_ih.dtype
        with torch.autocast(x.device.type, enabled=False):
            after = self._advance(x.to(own), [s.to(own) for s in states], narrow, batched=input.dim() == 2)
        return tuple(state.to(result) for state in after)

    def _check(self, input: Tensor, before: tuple[Tensor, ...]) -> None:
        name, weight = type(self).__name__, self.weight_ih
        if not isinstance(input, Tensor):
            raise ArgumentTypeError(f"{name}: the input is a {type(input).__name__}; give a tensor")
        if input.dim() not in (1, 2):
            raise ArgumentError(
                f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead: give (B, I), or (I,) for one "
                "sequence"
            )
        for state in before:
            if state.dim() not in (1, 2):
                raise ArgumentError(f"{name}: Expected hidden to be 1D or 2D, got {state.dim()}D instead")
        if input.shape[-1] != self.input_size:
            raise SizeError(f"{name}: the input has {input.shape[-1]} features, and input_size is {self.input_size}")
        wanted = (*input.shape[:-1], self.hidden_size)
        for state in before:
            if state.shape != wanted:
                raise SizeError(
                    f"{name}: the state has shape {tuple(state.shape)}, and {wanted} is needed for this input"
                )
        check_device(name, "the input", input, weight)
        check_type(name, "the input", input, weight)
        for state in before:
            check_device(name, "the state", state, weight)
            check_type(name, "the state", state, weight)

    def _advance(
        self, x: Tensor, states: list[Tensor], narrow: torch.dtype | None, *, batched: bool
    ) -> tuple[Tensor, ...]:
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
            narrow=narrow,
        )

        def form(value: Tensor) -> Tensor:
            return value[0] if batched else value[0, 0]

        if sight is not None:
            shown.show(self, "", sight, form, "B H" if batched else "H")
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
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        text = f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")
        return text + ("" if nonlinearity == "tanh" else f", nonlinearity={nonlinearity}")


class RNNCell(OneStep, nn.RNNCell):  # type: ignore[misc]  # without biases these are None
    """Drop-in for ``torch.nn.RNNCell``; raises as torch's does, with sentences."""

    _narrowed_by_autocast = True

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
    def nonlinearity(self) -> str:  # type: ignore[override]  # the cell is made of it
        """As in torch."""
        return self._nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The hidden state after one step."""
        if isinstance(input, Proxy):
            return node(self, input, hx)
        return self.step(input, None if hx is None else (hx,))[0]


class GRUCell(OneStep, nn.GRUCell):  # type: ignore[misc]  # without biases these are None
    """Drop-in for ``torch.nn.GRUCell``; raises as torch's does, with sentences."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(cells.GRU(), input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The hidden state after one step."""
        if isinstance(input, Proxy):
            return node(self, input, hx)
        return self.step(input, None if hx is None else (hx,))[0]


class LSTMCell(OneStep, nn.LSTMCell):  # type: ignore[misc]  # without biases these are None
    """Drop-in for ``torch.nn.LSTMCell``; raises as torch's does, with sentences."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(cells.LSTM(), input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The hidden and the cell state after one step."""
        if isinstance(input, Proxy):
            return node(self, input, hx)
        if hx is not None and (isinstance(hx, Tensor) or len(hx) != 2):
            given = "a tensor" if isinstance(hx, Tensor) else f"a tuple of {len(hx)}"
            raise ArgumentTypeError(f"LSTMCell: hx is {given}; give the pair (h, c)")
        h, c = self.step(input, hx)
        return h, c

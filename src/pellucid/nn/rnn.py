"""``RNN``, ``LSTM`` and ``GRU`` with torch.nn's signatures; keyword arguments beyond them are Pellucid's own."""

from __future__ import annotations

from typing import Any, Literal

import torch

from pellucid import cells
from pellucid.errors import ArgumentError
from pellucid.nn.recurrent import Recurrent


class RNN(Recurrent):
    """Drop-in for ``torch.nn.RNN``; the equations are :class:`pellucid.cells.RNN`'s.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: as ``torch.nn.RNN``.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        proj_size: 0, as torch's class takes it too.
        layer_norm, heads: options of the cell.
        kwargs: as :class:`Recurrent`.
    """

    proj_size = 0
    _narrowed_by_autocast = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        layer_norm: bool = False,
        heads: int = 1,
        **kwargs: Any,
    ) -> None:
        _no_projection("RNN", proj_size)
        cell = cells.RNN(nonlinearity=nonlinearity, layer_norm=layer_norm, heads=heads)
        layers = num_layers, bias, batch_first, dropout, bidirectional
        super().__init__(cell, input_size, hidden_size, *layers, device=device, dtype=dtype, **kwargs)

    @property
    def nonlinearity(self) -> str:
        """As in torch."""
        return self.cell.nonlinearity  # type: ignore[attr-defined,no-any-return]

    @property
    def mode(self) -> str:
        """As in torch."""
        return f"RNN_{self.nonlinearity.upper()}"


class GRU(Recurrent):
    """Drop-in for ``torch.nn.GRU``; the equations are :class:`pellucid.cells.GRU`'s.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: as ``torch.nn.GRU``.
        proj_size: 0, as torch's class takes it too.
        reset_before, layer_norm, heads: options of the cell.
        kwargs: as :class:`Recurrent`.
    """

    mode = "GRU"
    proj_size = 0

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        reset_before: bool = False,
        layer_norm: bool = False,
        heads: int = 1,
        **kwargs: Any,
    ) -> None:
        _no_projection("GRU", proj_size)
        cell = cells.GRU(reset_before=reset_before, layer_norm=layer_norm, heads=heads)
        layers = num_layers, bias, batch_first, dropout, bidirectional
        super().__init__(cell, input_size, hidden_size, *layers, device=device, dtype=dtype, **kwargs)


class LSTM(Recurrent):
    """Drop-in for ``torch.nn.LSTM``; the equations are :class:`pellucid.cells.LSTM`'s.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: as ``torch.nn.LSTM``.
        proj_size: size of the projected output, 0 for none.
        peepholes, coupled, layer_norm, heads: options of the cell.
        kwargs: as :class:`Recurrent`.
    """

    mode = "LSTM"
    _narrowed_by_autocast = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        peepholes: bool = False,
        coupled: bool = False,
        layer_norm: bool = False,
        heads: int = 1,
        **kwargs: Any,
    ) -> None:
        if isinstance(hidden_size, int) and 0 < hidden_size <= proj_size:
            raise ArgumentError(
                f"LSTM: proj_size has to be smaller than hidden_size, and is {proj_size} with hidden_size={hidden_size}"
            )
        cell = cells.LSTM(proj_size=proj_size, peepholes=peepholes, coupled=coupled, layer_norm=layer_norm, heads=heads)
        layers = num_layers, bias, batch_first, dropout, bidirectional
        super().__init__(cell, input_size, hidden_size, *layers, device=device, dtype=dtype, **kwargs)

    @property
    def proj_size(self) -> int:
        """As in torch."""
        return self.cell.proj_size  # type: ignore[attr-defined,no-any-return]

    def extra_repr(self) -> str:
        """As in torch."""
        sizes = f"{self.input_size}, {self.hidden_size}"
        projected = f", proj_size={self.proj_size}" if self.proj_size else ""
        return sizes + projected + super().extra_repr().removeprefix(sizes)


def _no_projection(name: str, proj_size: int) -> None:
    if proj_size:
        raise ArgumentError(f"{name}: proj_size is {proj_size}, and only the LSTM has a projection; leave it out")

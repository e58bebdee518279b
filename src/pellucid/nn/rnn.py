"""``RNN``, ``LSTM`` and ``GRU`` with torch.nn's signatures; keyword arguments beyond them are Pellucid's own."""

from __future__ import annotations

from typing import Any, Literal

from pellucid import cells
from pellucid.errors import ArgumentError
from pellucid.nn.recurrent import Recurrent


class RNN(Recurrent):
    """Drop-in for ``torch.nn.RNN``; the equations are :class:`pellucid.cells.RNN`'s.

    Args:
        args, kwargs: as ``torch.nn.RNN`` and :class:`Recurrent`; the fourth is the nonlinearity.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        layer_norm, heads: options of the cell.
        proj_size: 0, as torch's class takes it too.
    """

    proj_size = 0
    _narrowed_by_autocast = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        *args: Any,
        layer_norm: bool = False,
        heads: int = 1,
        proj_size: int = 0,
        **kwargs: Any,
    ) -> None:
        _no_projection("RNN", proj_size)
        cell = cells.RNN(nonlinearity=nonlinearity, layer_norm=layer_norm, heads=heads)
        super().__init__(cell, input_size, hidden_size, num_layers, *args, **kwargs)

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
        args, kwargs: as ``torch.nn.GRU`` and :class:`Recurrent`.
        reset_before, layer_norm, heads: options of the cell.
        proj_size: 0, as torch's class takes it too.
    """

    mode = "GRU"
    proj_size = 0

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *args: Any,
        reset_before: bool = False,
        layer_norm: bool = False,
        heads: int = 1,
        proj_size: int = 0,
        **kwargs: Any,
    ) -> None:
        _no_projection("GRU", proj_size)
        cell = cells.GRU(reset_before=reset_before, layer_norm=layer_norm, heads=heads)
        super().__init__(cell, input_size, hidden_size, *args, **kwargs)


class LSTM(Recurrent):
    """Drop-in for ``torch.nn.LSTM``; the equations are :class:`pellucid.cells.LSTM`'s.

    Args:
        args, kwargs: as ``torch.nn.LSTM`` and :class:`Recurrent`; the eighth is ``proj_size``.
        proj_size: size of the projected output, 0 for none.
        peepholes, coupled, layer_norm, heads: options of the cell.
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
        super().__init__(cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **kwargs)

    @property
    def proj_size(self) -> int:
        """As in torch."""
        return self.cell.proj_size  # type: ignore[attr-defined,no-any-return]

    def extra_repr(self) -> str:
        """As in torch."""
        return super().extra_repr() + (f", proj_size={self.proj_size}" if self.proj_size else "")


def _no_projection(name: str, proj_size: int) -> None:
    if proj_size:
        raise ArgumentError(f"{name}: proj_size is {proj_size}, and only the LSTM has a projection; leave it out")

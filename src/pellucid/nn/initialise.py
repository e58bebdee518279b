"""Where training starts: how a recurrent layer's parameters are drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pellucid.cells import Cell, Matrix
from pellucid.cells.patterns import keeper, opener
from pellucid.errors import ArgumentError

if TYPE_CHECKING:
    from pellucid.nn.recurrent import Recurrent


def parameters(layer: Recurrent) -> None:
    r"""Draw a layer's parameters.

    - ``"uniform"``: U(-1/sqrt(H), 1/sqrt(H)) for all, in torch's order, so the same seed gives the same numbers.
    - ``"orthogonal"``: each square block of recurrent weights orthogonal (Saxe et al. 2014).
    - ``"chrono"``: the bias of the gate that keeps a state is log(U(1, longest_lag - 1)), so that memories span up to the
      longest lag; where that is f, and i lets in, as in the LSTM, the bias of i is the negative (Tallec and Ollivier 2018,
      eq. 16). The cell's equations have to add a gate times a state's old value, as z in the GRU.

    Gains, shifts and the like start where the cell declares; learned initial states where the state declares.

    Raises:
        ArgumentError: an unknown name, or a cell without the gate that is needed.
    """
    if layer.initialisation not in ("uniform", "orthogonal", "chrono"):
        raise ArgumentError(f"initialisation is {layer.initialisation!r}; choose uniform, orthogonal or chrono")
    bound = 1 / math.sqrt(layer.hidden_size) if layer.hidden_size > 0 else 0
    fixed = _fixed(layer)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            start = fixed.get(name.rsplit("_l", 1)[0])
            nn.init.uniform_(parameter, -bound, bound) if start is None else parameter.fill_(start)
        for place in (f"l{k}{suffix}" for k in range(layer.num_layers) for suffix in layer.directions):
            if layer.initialisation == "orthogonal":
                _orthogonal(layer, place)
            if layer.initialisation == "chrono":
                _chrono(layer, place)
            if layer.forget_bias is not None:
                (bias, *others) = _biases(layer, place, "f")
                bias.fill_(layer.forget_bias)
                for other in others:
                    other.zero_()


def _fixed(layer: Recurrent) -> dict[str, float]:
    """The start of parameters that are not drawn, by key."""
    declared = {d.key or n: d.initial for n, d in layer.cell.parameters.items()}
    starts = {key: start for key, start in declared.items() if not isinstance(start, str)}
    return starts | {f"initial_{n}": s.initial for n, s in layer.cell.states.items()}


def _orthogonal(layer: Recurrent, place: str) -> None:
    for name, declared in layer.cell.parameters.items():
        if isinstance(declared, Matrix):
            weight: Tensor = getattr(layer, f"{declared.key or name}_{place}")
            for block in weight.chunk(max(len(declared.parts), 1) * declared.heads):
                block.copy_(nn.init.orthogonal_(torch.empty_like(block)))


def _chrono(layer: Recurrent, place: str) -> None:
    if layer.longest_lag is None or layer.longest_lag < 3:
        raise ArgumentError(f"chrono needs longest_lag, 3 steps or more, and it is {layer.longest_lag}")
    gates = memory_gates(layer.cell)
    if not gates:
        raise ArgumentError(
            f"chrono sets the gate that keeps a state, and {layer.cell.name} has none that is a sigmoid; choose orthogonal"
        )
    drawn = None
    for part, sign in gates.items():
        bias, *others = _biases(layer, place, part)
        drawn = torch.empty_like(bias).uniform_(1, layer.longest_lag - 1).log() if drawn is None else drawn
        bias.copy_(sign * drawn)
        for other in others:
            other.zero_()


def memory_gates(cell: Cell) -> dict[str, int]:
    """The parts of the input that decide how long a cell remembers, and the sign of a bias that makes it long."""
    graph = cell.graph()
    keepers = (keeper(graph.after[name], before) for name, before in graph.states.items())
    gates = dict(found for gate in keepers if gate is not None and (found := opener(gate)) is not None)
    let_in = graph.named.get("i")
    if gates == {"f": 1} and let_in is not None and let_in.op in ("sigmoid", "exp") and "i" in cell.input[1].parts:
        gates["i"] = -1
    return gates


def _biases(layer: Recurrent, place: str, part: str) -> list[Tensor]:
    """The slices of the bias vectors that belong to a part."""
    parts = layer.cell.input[1].parts
    if part not in parts or not layer.bias:
        raise ArgumentError(
            f"{layer.cell.name} has {'no part ' + repr(part) if layer.bias else 'no bias'}, which this start needs"
        )
    names = [name for name in (f"bias_ih_{place}", f"bias_hh_{place}") if hasattr(layer, name)]
    return [getattr(layer, name).detach().chunk(len(parts))[parts.index(part)] for name in names]

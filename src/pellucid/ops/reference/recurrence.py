"""A recurrence, step by step: the cell's own equations on tensors. The truth that everything else is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid.cells import Bias, Cell, Constant, Input, Matrix, StepInput
from pellucid.cells.cell import Parts
from pellucid.cells.declare import Declaration, Parameter
from pellucid.cells.sequence import Variant, advance
from pellucid.ops.reference.values import TensorValue


def recurrence(
    cell: Cell,
    variant: Variant,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    before: Sequence[Tensor],
    inputs: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Every state after every step, (T, B, size); see :func:`pellucid.ops.recurrence.recurrence`."""
    fixed = {name: _value(cell, variant, name, declared, parameters, inputs) for name, declared in _fixed(cell)}
    fixed |= {name: TensorValue(v) for name, v in parameters.items() if name.startswith("initial.")}
    state = {name: TensorValue(tensor) for name, tensor in zip(cell.states, before, strict=True)}
    history: dict[str, list[Tensor]] = {name: [] for name in cell.states}
    name_of_input, declared_input = cell.input
    for t in range(x.shape[0]):
        values: dict[str, Any] = {**fixed, **state}
        values[name_of_input] = _split(cell, name_of_input, declared_input, x[t], dim=-1)
        for name, tensor in inputs.items():
            if not name.startswith("dropout."):
                values[name] = TensorValue(tensor[t])
        for name, value in advance(cell, variant, values).items():
            new = value.tensor if isinstance(value, TensorValue) else torch.tensor(value, dtype=x.dtype)
            new = new.expand(x.shape[1], before[list(cell.states).index(name)].shape[-1])
            state[name] = TensorValue(new)
            history[name].append(new)
    return {
        name: torch.stack(h) if h else x.new_zeros(0, *b.shape)
        for (name, h), b in zip(history.items(), before, strict=True)
    }


def _fixed(cell: Cell) -> list[tuple[str, Declaration]]:
    return [(n, d) for n, d in cell.declarations.items() if isinstance(d, Parameter | Constant | StepInput)]


def _value(
    cell: Cell,
    variant: Variant,
    name: str,
    declared: Declaration,
    parameters: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor],
) -> Any:
    """What a name stands for at every step; a term that is left out is the number that makes it vanish."""
    if isinstance(declared, StepInput):
        return 0.0  # replaced at each step where it is given
    if isinstance(declared, Constant):
        return TensorValue(parameters[name]) if declared.values is not None else 1.0
    if isinstance(declared, Bias) and not variant.bias:
        return Parts(cell, name, dict.fromkeys(declared.parts, 0.0)) if declared.parts else 0.0  # type: ignore[arg-type]
    value = _split(cell, name, declared, parameters[name], dim=0)
    if isinstance(declared, Matrix):
        mask = inputs.get(f"dropout.{declared.shape[1]}") if variant.dropout and declared.recurrent else None
        for part in value.all() if isinstance(value, Parts) else [value]:
            part.heads = declared.heads
            part.operand_mask = TensorValue(mask) if mask is not None else None
    return value


def _split(cell: Cell, name: str, declared: Declaration | Input, tensor: Tensor, dim: int) -> Any:
    if not declared.parts:
        return TensorValue(tensor)
    blocks = tensor.chunk(len(declared.parts), dim)
    return Parts(cell, name, {part: TensorValue(block) for part, block in zip(declared.parts, blocks, strict=True)})

"""A cell's program and its derivative, executed in PyTorch: the twin of a native engine, phase by phase."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from pellucid.cells.graph import Node
from pellucid.cells.program import Instruction, Pointwise, Product, Program, Reduce, TransposedProduct
from pellucid.ops.reference.values import POINTWISE, product


def execute(
    program: Program,
    given: Mapping[Node, Any],
    matrices: Mapping[tuple[Node, ...], Tensor],
    sizes: Mapping[str, int],
) -> list[Any]:
    """Run one step; return what every register holds.

    Args:
        program: the phases.
        given: a (B, size) tensor for each varying input, a tensor or a number for each weight.
        matrices: packed blocks of rows by their nodes.
        sizes: the numbers that size letters stand for.
    """
    values: list[Any] = [None] * len(program.registers)
    for register in program.inputs:
        values[register] = given[program.registers[register]]
    for phase in program.phases:
        match phase:
            case Pointwise() | Reduce():
                for instruction in phase.instructions:
                    values[instruction.destination] = _instruction(program, instruction, values, sizes)
            case Product():
                blocks = program.matrices[phase.matrix]
                results = packed_product(matrices[blocks], values[phase.source], len(blocks), blocks[0].heads)
                for register, result in zip(phase.destinations, results, strict=True):
                    values[register] = result
            case TransposedProduct():
                blocks = program.matrices[phase.matrix]
                operands = [values[r] for r in phase.sources]
                values[phase.destination] = transposed_product(matrices[blocks], operands, blocks[0].heads)
    return values


def _instruction(program: Program, instruction: Instruction, values: list[Any], sizes: Mapping[str, int]) -> Any:
    operands = [values[r] for r in instruction.sources]
    if instruction.op == "sum":
        return operands[0].sum(-1, keepdim=True)
    if instruction.op == "expand":
        letter = program.registers[instruction.destination].shape[0]
        return operands[0].expand(operands[0].shape[0], sizes[letter])
    return POINTWISE[instruction.op](*operands)


def packed_product(matrix: Tensor, v: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """One product for all blocks of rows: (B, columns) to (B, rows) for each."""
    if heads == 1:
        return torch.nn.functional.linear(v, matrix).chunk(parts, -1)
    return tuple(product(block, v, heads) for block in matrix.chunk(parts))


def transposed_product(matrix: Tensor, operands: list[Tensor], heads: int) -> Tensor:
    """The adjoint of :func:`packed_product` for its operand."""
    if heads == 1:
        return torch.cat(operands, -1) @ matrix
    rows, columns = matrix.shape[0] // len(operands) // heads, matrix.shape[1]
    blocks = matrix.reshape(len(operands), heads, rows, columns)
    stacked = torch.stack([v.reshape(v.shape[0], heads, rows) for v in operands])
    return torch.einsum("kbhr,khrc->bhc", stacked, blocks).flatten(-2)


def outer(adjoints: list[Tensor], operand: Tensor, heads: int) -> Tensor:
    """The gradient of a packed matrix from all steps at once: adjoints (T, B, rows), operand (T, B, columns)."""
    flat = operand.flatten(0, 1)
    if heads == 1:
        return torch.cat(adjoints, -1).flatten(0, 1).mT @ flat
    count, rows, columns = flat.shape[0], adjoints[0].shape[-1] // heads, flat.shape[1] // heads
    stacked = torch.stack([a.reshape(count, heads, rows) for a in adjoints])
    return torch.einsum("knhr,nhc->khrc", stacked, flat.reshape(count, heads, columns)).flatten(0, 2)


def evaluate(order: Iterable[Node], leaves: Mapping[Node, Any]) -> dict[Node, Any]:
    """What does not vary, once before the first step, in plain PyTorch under autograd; operands come first in ``order``."""
    values: dict[Node, Any] = dict(leaves)
    for node in order:
        if node in values:
            continue
        operands = [values[arg] for arg in node.args]
        if node.op == "product":
            values[node] = product(operands[0], operands[1].unsqueeze(0), node.args[0].heads).squeeze(0)
        elif node.op == "sum":
            values[node] = operands[0].sum(-1, keepdim=True)
        else:
            values[node] = POINTWISE[node.op](*operands)
    return values

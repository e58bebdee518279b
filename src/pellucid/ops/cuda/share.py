"""How one sweep is shared out over a GPU: which block has which units and sequences, and where weights stay.

A *team* of blocks sweeps over a tile of the batch together. Every block has some of the units of each size letter, with the
rows of the weights that compute them, in registers and shared memory for the whole sweep. What a product multiplies is
brought to every block of the team: inside a *cluster* from shared memory to shared memory, and on a *grid* of blocks that
are all running through the GPU's memory. Heads that do not see one another are sweeps of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pellucid.ops.lowering import Lowered

Kind = Literal["block", "cluster", "grid"]

THREADS_OF_WARP = 32
SHARED_MEMORY = 227 * 1024 - 1024
REGISTERS = {
    4: 128,
    8: 128,
    12: 80,
    16: 48,
}  # of a thread, for weights, by the warps of a block; others are for the rest


@dataclass(frozen=True)
class Multiply:
    """A product of the program.

    Attributes:
        matrix: its index.
        transposed: whether the sources stand one below the other and their sum is wanted.
        sources, destinations: registers.
        into, out_of: the size letters of its rows and of its columns' blocks.
    """

    matrix: int
    transposed: bool
    sources: tuple[int, ...]
    destinations: tuple[int, ...]
    into: int
    out_of: int


def products(lowered: Lowered) -> list[Multiply]:
    """The products of a program, in order."""
    return [
        Multiply(
            matrix,
            transposed,
            tuple(sources),
            tuple(destinations),
            lowered.sizes[destinations[0]],
            lowered.sizes[sources[0]],
        )
        for multiplies, _, _ in lowered.phases
        for matrix, _, transposed, sources, destinations in multiplies
    ]


@dataclass(frozen=True)
class Tiling:
    """One product's rows and columns dealt out among warps; see ``Shape`` in sweep.cuh.

    Attributes:
        tiles, split, each, units, kept: as there.
        stride, rows: as there.
        operand: bytes of one operand in shared memory, of all sequences.
        results: bytes of the results.
        rest: bytes of the weights that lie in shared memory.
    """

    tiles: int
    split: int
    each: int
    units: int
    kept: int
    stride: int
    rows: int
    operand: int
    results: int
    rest: int


@dataclass(frozen=True)
class Share:
    """How a sweep is shared out.

    Attributes:
        kind: how the blocks of a team meet.
        team: their number.
        tile: sequences of one team, a multiple of 8.
        warps: of a block.
        groups: heads that are sweeps of their own.
        sizes: of each letter in one group.
        operand: bytes of a number that products multiply.
        real: bytes of a number that all else computes with.
        wide: neighbouring units that a thread reads and writes at once, 1 or 2.
    """

    kind: Kind
    team: int
    tile: int
    warps: int
    groups: int
    sizes: tuple[int, ...]
    operand: int
    real: int
    wide: int

    @property
    def threads(self) -> int:
        """Of a block."""
        return self.warps * THREADS_OF_WARP

    def tiles_at_once(self, multiprocessors: int) -> int:
        """Tiles of the batch that one launch may have, since blocks of a grid wait for one another; 0 for all."""
        return multiprocessors // (self.team * self.groups) if self.kind == "grid" else 0

    def units(self, letter: int) -> int:
        """Units of a letter that one block has: a multiple of 8."""
        return -(-self.sizes[letter] // (8 * self.team)) * 8

    def elements(self, letter: int) -> int:
        """Pairs of sequence and unit that one thread has."""
        return -(-self.tile * self.units(letter) // (self.threads * self.wide)) * self.wide

    def tiling(self, product: Multiply, registers: int) -> tuple[Tiling, int]:
        """How the product is dealt out, and the registers of each thread that are left."""
        exact = self.operand == self.real
        rows = len(product.destinations) * self.units(product.into)
        columns = len(product.sources) * self.team * self.units(product.out_of)
        of_tile, of_unit = (32, 4) if exact else (16, 32)
        tiles, all_units = -(-rows // of_tile), -(-columns // of_unit)
        split = 1 if tiles >= self.warps else min(self.warps // tiles, all_units)
        each = -(-tiles // self.warps) if split == 1 else 1
        units = -(-all_units // split)
        of_weights = of_unit * of_tile // THREADS_OF_WARP * self.operand // 4  # registers of one tile's unit
        kept = min(units, registers // (each * of_weights))
        stride = split * units * of_unit + 16 // self.operand
        padded = -(-tiles * of_tile // 32) * 32 + 4
        return Tiling(
            tiles,
            split,
            each,
            units,
            kept,
            stride,
            padded,
            self.tile * stride * self.operand,
            split * self.tile * padded * self.real,
            self.warps * each * (units - kept) * of_weights * THREADS_OF_WARP * 4,
        ), registers - kept * each * of_weights

    def tilings(self, found: Sequence[Multiply]) -> list[Tiling]:
        """Of all products; those that come first keep their weights in registers first."""
        left = REGISTERS[self.warps]
        tilings = []
        for product in found:
            tiling, left = self.tiling(product, left)
            tilings.append(tiling)
        return tilings


def independent_heads(lowered: Lowered) -> int:
    """The number of heads, if each is a sweep of its own: all products have as many, and nothing sums over units; else 1."""
    heads = {heads for multiplies, _, _ in lowered.phases for _, heads, _, _, _ in multiplies}
    sums = any(reduces for _, reduces, _ in lowered.phases)
    return heads.pop() if len(heads) == 1 and not sums else 1

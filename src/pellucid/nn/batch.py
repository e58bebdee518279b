"""The forms in which sequences come (batch first, a single one, packed, ragged); inside, all are (T, B, I)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from pellucid.errors import ArgumentError, SizeError


@dataclass(frozen=True)
class Batch:
    """Sequences as (T, B, I), and the way back to the form in which they came.

    Attributes:
        x: (T, B, I).
        lengths: (B,) steps that exist in each row, or None where all do.
        batched, batch_first, packed: the form in which they came.
    """

    x: Tensor
    lengths: Tensor | None = None
    batched: bool = True
    batch_first: bool = False
    packed: PackedSequence | None = None

    @property
    def alive(self) -> Tensor | None:
        """(T, B, 1) bool: the steps that exist."""
        if self.lengths is None:
            return None
        steps = torch.arange(self.x.shape[0], device=self.x.device)
        return (steps[:, None] < self.lengths).unsqueeze(-1)

    def output(self, y: Tensor) -> Tensor | PackedSequence:
        """(T, B, H) in the form in which the input came; zero past each row's end."""
        if self.packed is not None:
            assert self.lengths is not None
            data = pack_padded_sequence(y, self.lengths.cpu()).data
            return PackedSequence(
                data, self.packed.batch_sizes, self.packed.sorted_indices, self.packed.unsorted_indices
            )
        alive = self.alive
        y = y if alive is None else torch.where(alive, y, 0.0)
        if not self.batched:
            return y.squeeze(1)
        return y.transpose(0, 1) if self.batch_first else y

    def state_in(self, state: Tensor) -> Tensor:
        """A given state (layers, B, H), or (layers, H) of a single sequence, in the order of ``x``."""
        if not self.batched:
            return state.unsqueeze(1)
        order = None if self.packed is None else self.packed.sorted_indices
        return state if order is None else state.index_select(1, order)

    def state_out(self, state: Tensor) -> Tensor:
        """The way back of :meth:`state_in`."""
        if not self.batched:
            return state.squeeze(1)
        order = None if self.packed is None else self.packed.unsorted_indices
        return state if order is None else state.index_select(1, order)

    def steps_first(self, given: Tensor) -> Tensor:
        """A further input of every step, (T, B, S) or as the layer's batch order is, as (T, B, S)."""
        if not self.batched:
            return given.unsqueeze(-2)
        return given.transpose(-3, -2) if self.batch_first else given


def read(
    layer: str, given: Tensor | PackedSequence, batch_first: bool, lengths: Tensor | Sequence[int] | None
) -> Batch:
    """The sequences as (T, B, I).

    Raises:
        ArgumentError: another number of axes than 2 or 3 (a ValueError, as torch's); lengths beside a packed sequence.
        SizeError: lengths that do not fit.
    """
    if isinstance(given, PackedSequence):
        if lengths is not None:
            raise ArgumentError(f"{layer}: a packed sequence has its lengths inside; leave lengths= out")
        x, own = pad_packed_sequence(PackedSequence(given.data, given.batch_sizes))
        return Batch(x, own.to(x.device), packed=given)
    if given.dim() not in (2, 3):
        raise ArgumentError(
            f"{layer}: Expected input to be 2D or 3D, got {given.dim()}D tensor instead: give (T, B, I), (B, T, I) "
            "with batch_first=True, or (T, I) for a single sequence"
        )
    if given.dim() == 2:
        batch = Batch(given.unsqueeze(1), batched=False)
    else:
        batch = Batch(given.transpose(0, 1) if batch_first else given, batch_first=batch_first)
    return batch if lengths is None else replace(batch, lengths=_lengths(layer, batch.x, lengths))


def _lengths(layer: str, x: Tensor, given: Tensor | Sequence[int]) -> Tensor:
    lengths = torch.as_tensor(given, device=x.device)
    steps, count = x.shape[:2]
    if lengths.shape != (count,) or lengths.is_floating_point():
        raise SizeError(
            f"{layer}: lengths has shape {tuple(lengths.shape)} and dtype {lengths.dtype}, and the batch has {count} "
            "sequences; give one whole number for each"
        )
    if torch.compiler.is_compiling():  # a graph does not look into tensors
        return lengths
    if count and (int(lengths.min()) < 0 or int(lengths.max()) > steps):
        raise SizeError(
            f"{layer}: lengths run from {int(lengths.min())} to {int(lengths.max())}, and the input has {steps} steps; "
            f"give numbers from 0 to {steps}" + ("" if steps != count else ", and check batch_first")
        )
    return lengths

"""The forms in which sequences come (batch first, a single one, packed, ragged), and the one that the recurrence takes.

Inside all are (T, B, I); or, where lengths are given and the engine takes them so, (N, I), the rows of the steps that exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from pellucid.cells import Cell
from pellucid.errors import ArgumentError, ArgumentTypeError, DeviceError, SizeError
from pellucid.ops.ragged import Ragged
from pellucid.ops.recurrence import takes_ragged


@dataclass(frozen=True)
class Batch:
    """Sequences, and the way back to the form in which they came.

    Attributes:
        x: (T, B, I), or (N, I) of a ragged batch.
        steps, count: T and B.
        lengths: (B,) steps that exist in each row, or None where all do, or where ``ragged`` knows them.
        ragged: which row is which; its sequences are sorted.
        order: (B,) the sequences as they came, by their place among the sorted ones, and the way back; None where
            they came sorted.
        batched, batch_first, packed: the form in which they came.
    """

    x: Tensor
    steps: int
    count: int
    lengths: Tensor | None = None
    ragged: Ragged | None = None
    order: tuple[Tensor, Tensor] | None = None
    batched: bool = True
    batch_first: bool = False
    packed: PackedSequence | None = None

    @property
    def axes(self) -> tuple[int, ...]:
        """What comes with every step has these axes first: (T, B), (B, T), or (T,) of a single sequence."""
        if not self.batched:
            return (self.steps,)
        return (self.count, self.steps) if self.batch_first else (self.steps, self.count)

    @property
    def alive(self) -> Tensor | None:
        """(T, B, 1) bool: the steps that exist, where ``x`` has others too."""
        if self.lengths is None:
            return None
        steps = torch.arange(self.steps, device=self.x.device)
        return (steps[:, None] < self.lengths).unsqueeze(-1)

    def _places(self, *, batch_first: bool) -> Tensor:
        """(N,) where the rows of a ragged batch lie among all, as the sequences came."""
        assert self.ragged is not None
        sequences = self.ragged.sequences if self.order is None else self.order[0][self.ragged.sequences]
        if batch_first:
            return sequences * self.steps + self.ragged.times
        return self.ragged.times * self.count + sequences

    @cached_property
    def _here(self) -> Tensor:
        return self._places(batch_first=self.batch_first)

    def rows(self, given: Tensor) -> Tensor:
        """What was given for each step, (..., T, B, size) or as the batch's order is, in the form of ``x``."""
        if not self.batched:
            given = given.unsqueeze(-2)
        if self.ragged is not None:
            return given.flatten(-3, -2).index_select(-2, self._here)
        given = given.transpose(-3, -2) if self.batch_first else given
        return given if self.order is None else given.index_select(-2, self.order[0])

    def mirrored(self, v: Tensor) -> Tensor:
        """In the opposite order of time, of the form of ``x``."""
        return v.flip(0) if self.ragged is None else v.index_select(0, self.ragged.mirrored)

    def delayed(self, v: Tensor) -> Tensor:
        """At each step what was at the one before, and zeros at the first."""
        return torch.cat([torch.zeros_like(v[:1]), v[:-1]]) if self.ragged is None else self.ragged.delayed(v)

    def padded(self, v: Tensor) -> Tensor:
        """(T, B, size), zero where no step is, of the form of ``x``."""
        if self.ragged is not None:
            whole = v.new_zeros(self.steps * self.count, v.shape[-1])
            return whole.index_copy(0, self._places(batch_first=False), v).view(self.steps, self.count, -1)
        alive = self.alive
        v = v if alive is None else torch.where(alive, v, 0.0)
        return v if self.order is None else v.index_select(1, self.order[1])

    def output(self, y: Tensor) -> Tensor | PackedSequence:
        """(T, B, H), or (N, H), in the form in which the input came; zero past each row's end."""
        if self.packed is not None:
            if self.ragged is None:
                assert self.lengths is not None
                y = pack_padded_sequence(y, self.lengths.cpu()).data
            return PackedSequence(y, self.packed.batch_sizes, self.packed.sorted_indices, self.packed.unsorted_indices)
        if self.ragged is not None:
            y = y.new_zeros(self.steps * self.count, y.shape[-1]).index_copy(0, self._here, y)
            return y.view(*self.axes, y.shape[-1])
        alive = self.alive
        y = y if alive is None else torch.where(alive, y, 0.0)
        if not self.batched:
            return y.squeeze(1)
        return y.transpose(0, 1) if self.batch_first else y

    def state_in(self, state: Tensor) -> Tensor:
        """A given state (layers, B, H), or (layers, H) of a single sequence, in the order of ``x``."""
        if not self.batched:
            return state.unsqueeze(1)
        return state if self.order is None else state.index_select(1, self.order[0])

    def state_out(self, state: Tensor) -> Tensor:
        """The way back of :meth:`state_in`."""
        if not self.batched:
            return state.squeeze(1)
        return state if self.order is None else state.index_select(1, self.order[1])


def check_device(layer: str, name: str, tensor: Tensor, weight: Tensor) -> None:
    """A kernel reads memory wherever a tensor says that it is, and another device's is not there.

    Raises:
        DeviceError: the tensor of this name is elsewhere than the layer's weight.
    """
    if tensor.device != weight.device:
        raise DeviceError(
            f"{layer}: {name} is on {tensor.device}, and the layer on {weight.device}; move one of them with "
            f'.to("{weight.device}")'
        )


def check_type(layer: str, name: str, tensor: Tensor, weight: Tensor) -> None:
    """Number types are mixed under autocast alone.

    Raises:
        ArgumentError: the tensor of this name has another one than the layer's weight.
    """
    if tensor.dtype != weight.dtype and not torch._C._is_any_autocast_enabled():
        raise ArgumentError(
            f"{layer}: {name} must have the type {weight.dtype}, got type {tensor.dtype}; convert one of them"
        )


def read(
    layer: str,
    given: Tensor | PackedSequence,
    batch_first: bool,
    lengths: Tensor | Sequence[int] | None,
    weight: Tensor,
    cell: Cell,
) -> Batch:
    """The sequences in the form that the recurrence of this cell takes, with weights such as this.

    Raises:
        ArgumentError: another number of axes than 2 or 3 (a ValueError, as torch's); lengths beside a packed sequence.
        SizeError: lengths that do not fit.
        DeviceError: the sequences are elsewhere than the weights.
        ArgumentTypeError: they are no tensor.
    """
    if not isinstance(given, Tensor | PackedSequence):
        raise ArgumentTypeError(
            f"{layer}: the input is a {type(given).__name__}; give a tensor, such as torch.as_tensor(input), or a PackedSequence"
        )
    check_device(layer, "input", given.data if isinstance(given, PackedSequence) else given, weight)
    if isinstance(given, PackedSequence):
        if lengths is not None:
            raise ArgumentError(f"{layer}: a packed sequence has its lengths inside; leave lengths= out")
        return _packed(given, batch_first, ragged=takes_ragged(weight) and cell.of_vectors)
    if given.dim() not in (2, 3):
        raise ArgumentError(
            f"{layer}: Expected input to be 2D or 3D, got {given.dim()}D tensor instead: give (T, B, I), (B, T, I) "
            "with batch_first=True, or (T, I) for a single sequence"
        )
    batched = given.dim() == 3
    x = given.unsqueeze(1) if not batched else given.transpose(0, 1) if batch_first else given
    steps, count = x.shape[:2]
    batch = Batch(x, steps, count, batched=batched, batch_first=batch_first and batched)
    if lengths is None:
        return batch
    own = _lengths(layer, x, lengths)
    if not (takes_ragged(weight) and cell.of_vectors and own.any()):
        return replace(batch, lengths=own)
    ordered = own.long().sort(descending=True, stable=True)
    order = None if bool((own[1:] <= own[:-1]).all()) else (ordered.indices, ordered.indices.argsort())
    batch = replace(batch, ragged=Ragged(ordered.values), order=order)
    return replace(batch, x=batch.rows(given))


def _packed(given: PackedSequence, batch_first: bool, *, ragged: bool) -> Batch:
    order = None
    if given.sorted_indices is not None:
        assert given.unsorted_indices is not None
        order = given.sorted_indices, given.unsorted_indices
    steps, count = len(given.batch_sizes), int(given.batch_sizes[0])
    if ragged:
        lengths = (given.batch_sizes[:, None] > torch.arange(count)).sum(0)
        return Batch(given.data, steps, count, None, Ragged(lengths), order, True, batch_first, given)
    x, own = pad_packed_sequence(PackedSequence(given.data, given.batch_sizes))
    return Batch(x, steps, count, own.to(x.device), None, order, True, batch_first, given)


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

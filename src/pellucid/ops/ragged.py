"""Sequences of different lengths without padding: the steps that exist, one after the other, and nothing else.

The sequences are sorted, the longest first, so those that exist at a time step are the first A_t of them. Their rows lie
together, time step after time step, as in ``torch.nn.utils.rnn.PackedSequence``: N rows in all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ragged:
    """Which row is which.

    Attributes:
        lengths: (B,) steps of each sequence, the longest first.
    """

    lengths: Tensor

    @cached_property
    def counts(self) -> Tensor:
        """(T,) A_t, the sequences that exist at each time step."""
        ends = torch.bincount(self.lengths, minlength=1)  # sequences by their length
        return len(self.lengths) - ends.cumsum(0)[:-1]

    @property
    def size(self) -> tuple[int, int]:
        """T and B."""
        return len(self.counts), len(self.lengths)

    @cached_property
    def starts(self) -> list[int]:
        """T + 1 row numbers: where each time step begins, and N."""
        found: list[int] = torch.cat([self.counts.new_zeros(1), self.counts.cumsum(0)]).tolist()
        return found

    @cached_property
    def times(self) -> Tensor:
        """(N,) the time step of each row."""
        return torch.repeat_interleave(self.counts)

    @cached_property
    def sequences(self) -> Tensor:
        """(N,) the sequence of each row, by its place among the sorted ones."""
        return torch.arange(self.starts[-1]) - self._start[self.times]

    @cached_property
    def mirrored(self) -> Tensor:
        """(N,) for each row that of the same sequence as far from its end as this is from its beginning."""
        return self._start[self.lengths[self.sequences] - 1 - self.times] + self.sequences

    @cached_property
    def _start(self) -> Tensor:
        return torch.tensor(self.starts)

    def delayed(self, v: Tensor) -> Tensor:
        """(N, size): at each row what the same sequence had a time step before, and zeros at its first."""
        first = len(self.lengths[self.lengths > 0])
        earlier = self._start[self.times[first:] - 1] + self.sequences[first:]
        return torch.cat([torch.zeros_like(v[:first]), v.index_select(0, earlier)])

    def last(self, v: Tensor, before: Tensor) -> Tensor:
        """(B, size): what each sequence has at its last step, of (N, size); ``before`` for those without steps."""
        exist = int(self.counts[0])
        at = self._start[self.lengths[:exist] - 1] + torch.arange(exist)
        return torch.cat([v.index_select(0, at), before[exist:]])

    def pad(self, v: Tensor) -> Tensor:
        """(N, ...) as (T, B, ...), zero where no step is."""
        steps, count = self.size
        return v.new_zeros(steps * count, *v.shape[1:]).index_copy(0, self._flat, v).view(steps, count, *v.shape[1:])

    def unpad(self, v: Tensor) -> Tensor:
        """(T, B, ...) as (N, ...)."""
        return v.flatten(0, 1).index_select(0, self._flat)

    @cached_property
    def _flat(self) -> Tensor:
        return self.times * len(self.lengths) + self.sequences

    @property
    def alive(self) -> Tensor:
        """(T, B, 1) bool: the steps that exist."""
        return (torch.arange(len(self.counts))[:, None] < self.lengths)[..., None]

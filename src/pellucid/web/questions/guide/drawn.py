"""Weights that are drawn alike in every answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

_one_at_a_time = Lock()


@contextmanager
def drawn(seed: int) -> Iterator[None]:
    """What layers draw inside the block follows from the seed alone.

    They draw from torch's one generator, which answers on other threads would draw from, too; so they wait for each other.
    """
    with _one_at_a_time, torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        yield

"""Several processes that train one network together, as torchrun starts them: each takes its share of every batch.

Every process does the same, in step; the first of them, the leader, writes. Without torchrun a process is its own leader.

What chance says of an item (a dropout mask, a shift of an image) is drawn by everyone for the whole batch, and each takes
what falls to its items: a team draws what one process draws.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pellucid import device


def join() -> None:
    """Become part of the team that torchrun started, if it did."""
    if "TORCHELASTIC_RUN_ID" in os.environ and not dist.is_initialized():
        dist.init_process_group("gloo")


def place() -> tuple[int, int]:
    """This process's number, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def own(chosen: torch.device) -> torch.device:
    """The device of this process: a GPU that was named, and of those that were not each its own as far as they go."""
    if not dist.is_initialized() or chosen.type != "cuda" or chosen.index is not None:
        return chosen
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())


def leads() -> bool:
    """Whether this process is the one that writes."""
    return place()[0] == 0


def meet() -> None:
    """Wait for the others."""
    if dist.is_initialized():
        dist.barrier()


def agree(numbers: list[float]) -> list[float]:
    """The leader's numbers."""
    if not dist.is_initialized():
        return numbers
    told = torch.tensor(numbers, dtype=torch.float64)
    dist.broadcast(told, 0)
    return [float(v) for v in told]


_batch: int | None = None  # items of the batch that is shared out at the moment


@contextmanager
def sharing(rows: Tensor) -> Iterator[tuple[Tensor, bool]]:
    """This process's part of a batch, and whether it counts: where there is nothing left for a process it takes the first item.

    It then does what the others do, and draws what they draw.
    """
    global _batch
    _batch = len(rows)
    try:
        yield rows[_part(len(rows))], place()[0] < len(rows)
    finally:
        _batch = None


def drawn(draw: Callable[[int], Tensor], items: int) -> Tensor:
    """What chance says of this process's items.

    Args:
        draw: of a number of items to a tensor with a row for each, from torch's global generator.
        items: of this process.
    """
    return draw(items) if _batch is None else draw(_batch)[_part(_batch)]


def _part(items: int) -> slice:
    """The places in a batch that are this process's."""
    number, count = place()
    return slice(number, None, count) if number < items else slice(0, 1)


def add_gradients(model: nn.Module, loss: Tensor) -> Tensor:
    """Add up everyone's gradients and losses (), in the processor's memory; a parameter may have none."""
    if not dist.is_initialized():
        return loss
    parameters = [p for p in model.parameters() if p.requires_grad]
    parts = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters]
    whole = torch.cat([*parts, loss.reshape(1)]).cpu()
    dist.all_reduce(whole)
    whole = device.moved(whole, loss.device)
    sizes = [p.numel() for p in parameters]
    for parameter, gradient in zip(parameters, torch.split(whole[:-1], sizes), strict=True):
        parameter.grad = gradient.view_as(parameter).clone()
    return whole[-1]

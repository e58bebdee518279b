"""What a network costs: its layers with their sizes, multiply-adds, time for one item, and memory."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pellucid import device
from pellucid.explain import explain
from pellucid.lab.bodies import Network
from pellucid.lab.results import LayerRow
from pellucid.lab.task import Lesson, Split
from pellucid.lab.train import loss_of

WARM = 5  # times that each network is asked before it counts
Speed = tuple[float, float]  # p50 and p99, milliseconds


def structure(model: nn.Module, item: Split) -> list[LayerRow]:
    """A row for each layer, in the order in which they run on one item."""
    return [
        LayerRow(layer=r.layer, formula=r.formula, output=r.output, parameters=r.parameters, macs=r.macs)
        for r in explain(model, tuple(item.x.shape[1:])).rows
    ]


def training_bytes(model: nn.Module, batch: Split) -> int:
    """What a training step holds: weights, their gradients, Adam's two moments, and what is kept for the backward pass.

    The last is measured: the storage of every tensor that autograd saves while a batch runs forward.
    """
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no address is given twice

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    model.train()
    batch = batch.on(device.of(model))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        model(batch.x, batch.lengths)
    return 4 * sum(p.untyped_storage().nbytes() for p in model.parameters()) + sum(kept.values())


def gpu_bytes(model: nn.Module, batch: Split, lesson: Lesson) -> int | None:
    """What training takes of a GPU's memory at most: two steps of a copy of the model, measured; None on the processor.

    The first step makes Adam's moments, and the second holds all that there is. Beside it a process takes some hundred
    megabytes for CUDA itself, whatever it computes.
    """
    there = device.of(model)
    if there.type != "cuda":
        return None
    device.finish(there)
    before = torch.cuda.memory_allocated(there)
    torch.cuda.reset_peak_memory_stats(there)
    own = copy.deepcopy(model).train()
    own.zero_grad()
    optimiser = torch.optim.Adam(own.parameters())
    batch = batch.on(there)
    for _ in range(2):
        optimiser.zero_grad()
        loss_of(own(batch.x, batch.lengths), batch.y, lesson).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return torch.cuda.max_memory_allocated(there) - before


def latencies(models: list[Network], item: Split, rounds: int = 100) -> list[tuple[Speed, Speed | None]]:
    """For one item, and for one more step of an item that is read as it comes (None where it is answered as a whole).

    On one thread. The models take turns, so a noisy moment hits all alike. On a GPU the way there of what is asked and the way
    back of the answer count.

    Args:
        models: the networks.
        item: a batch of one.
        rounds: times that each is asked.
    """

    def whole(model: Network) -> Callable[[], Tensor]:
        there = device.of(model)
        return lambda: model(device.moved(item.x, there), device.moved(item.lengths, there)).cpu()

    def step(model: Network) -> Callable[[], Tensor] | None:
        stream, there = model.stream(), device.of(model)
        return None if stream is None else lambda: stream(device.moved(item.x[:, 0], there)).cpu()

    for model in models:
        model.eval()
    streams = [step(model) for model in models]
    speeds = iter(_timed([*map(whole, models), *(one for one in streams if one is not None)], rounds))
    return list(
        zip([next(speeds) for _ in models], [None if one is None else next(speeds) for one in streams], strict=True)
    )


def _timed(asks: Sequence[Callable[[], object]], rounds: int) -> list[Speed]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times: list[list[float]] = [[] for _ in asks]
    try:
        with torch.no_grad():
            for _ in range(WARM + rounds):
                for ask, own in zip(asks, times, strict=True):
                    started = time.perf_counter()
                    ask()
                    own.append(1e3 * (time.perf_counter() - started))
    finally:
        torch.set_num_threads(threads)
    return [(float(np.quantile(own[WARM:], 0.5)), float(np.quantile(own[WARM:], 0.99))) for own in times]

"""What a network costs: its layers with their sizes, multiply-adds, time for one item, and memory."""

from __future__ import annotations

import copy
import time

import numpy as np
import torch
from torch import Tensor, nn

from pellucid import device
from pellucid.explain import explain
from pellucid.lab.results import LayerRow
from pellucid.lab.task import Lesson, Split
from pellucid.lab.train import loss_of


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


def latencies(models: list[nn.Module], item: Split, rounds: int = 100) -> list[tuple[float, float]]:
    """(p50, p99) milliseconds for one item on one thread; the models take turns, so a noisy moment hits all alike.

    On a GPU the item's way there and the answer's way back count.
    """

    def answer(model: nn.Module) -> None:
        there = device.of(model)
        model(device.moved(item.x, there), device.moved(item.lengths, there)).cpu()

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times: list[list[float]] = [[] for _ in models]
    try:
        with torch.no_grad():
            for model in models:
                model.eval()
                for _ in range(5):
                    answer(model)
            for _ in range(rounds):
                for model, own in zip(models, times, strict=True):
                    started = time.perf_counter()
                    answer(model)
                    own.append(1e3 * (time.perf_counter() - started))
    finally:
        torch.set_num_threads(threads)
    return [(float(np.quantile(own, 0.5)), float(np.quantile(own, 0.99))) for own in times]

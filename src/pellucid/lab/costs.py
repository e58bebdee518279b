"""What a network costs: its layers with their sizes, multiply-adds, time for one item, and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import pellucid.nn as layers
from pellucid.geometry.axis import Window
from pellucid.lab.results import LayerRow
from pellucid.lab.task import Split


def structure(model: nn.Module, item: Split) -> list[LayerRow]:
    """A row for each layer, in the order in which they run on one item."""
    rows: list[LayerRow] = []

    def row(name: str, layer: nn.Module) -> Callable[..., None]:
        def hook(_: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            shape = tuple((output[0] if isinstance(output, tuple) else output).shape)
            formula, macs = _account(layer, given[0], shape)
            own = sum(p.numel() for p in layer.parameters())
            text = " x ".join(map(str, shape[1:] if not isinstance(layer, layers.Recurrent) else (shape[0], shape[2])))
            rows.append(
                LayerRow(
                    layer=f"{name}: {type(layer).__name__}", formula=formula, output=text, parameters=own, macs=macs
                )
            )

        return hook

    leaves = [(n, m) for n, m in model.named_modules() if isinstance(m, layers.Recurrent) or not any(m.children())]
    handles = [m.register_forward_hook(row(n, m)) for n, m in leaves]
    try:
        model.eval()
        with torch.no_grad():
            model(item.x, item.lengths)
    finally:
        for handle in handles:
            handle.remove()
    return rows


def _account(layer: nn.Module, x: Tensor, shape: tuple[int, ...]) -> tuple[str, int]:
    """The formula with this layer's numbers, and its multiply-adds for one item (biases not counted)."""
    if isinstance(layer, layers.Recurrent):
        cell = layer.cell
        steps = x.shape[0]
        one = cell.macs(layer.input_size, layer.hidden_size)
        return f"{steps} steps x {one:,} multiply-adds", steps * one
    if isinstance(layer, layers.ConvBlock):
        size = x.shape[2]
        window = Window(layer.kernel_size[0], padding=(layer.kernel_size[0] // 2,) * 2)
        positions = int(np.prod(x.shape[2:]))
        pooled = Window(2, 2)
        text = f"{window.formula(size)}; pool {pooled.formula(window.output(size))}"
        return text, positions * layer.weight.numel()
    if isinstance(layer, nn.Conv1d):
        window = Window(
            layer.kernel_size[0],
            dilation=layer.dilation[0],
            padding=(layer.dilation[0] * (layer.kernel_size[0] - 1), 0),
        )
        return window.formula(x.shape[-1]), shape[-1] * layer.weight.numel()
    if isinstance(layer, nn.Linear):
        rows = int(np.prod(shape[1:-1])) if len(shape) > 2 else 1
        return f"{layer.in_features} x {layer.out_features}", rows * layer.weight.numel()
    if isinstance(layer, nn.Embedding):
        return f"{layer.num_embeddings} characters, {layer.embedding_dim} numbers each", 0
    return "", 0


def activation_bytes(model: nn.Module, item: Split) -> int:
    """Bytes that one item keeps for the backward pass, parameters not counted."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        output = model(item.x, item.lengths)
    del output
    return sum(kept.values())


def latencies(models: list[nn.Module], item: Split, rounds: int = 100) -> list[tuple[float, float]]:
    """(p50, p99) milliseconds for one item on one thread; the models take turns, so a noisy moment hits all alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times: list[list[float]] = [[] for _ in models]
    try:
        with torch.no_grad():
            for model in models:
                model.eval()
                for _ in range(5):
                    model(item.x, item.lengths)
            for _ in range(rounds):
                for model, own in zip(models, times, strict=True):
                    started = time.perf_counter()
                    model(item.x, item.lengths)
                    own.append(1e3 * (time.perf_counter() - started))
    finally:
        torch.set_num_threads(threads)
    return [(float(np.quantile(own, 0.5)), float(np.quantile(own, 0.99))) for own in times]

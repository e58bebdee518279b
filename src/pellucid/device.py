"""Where networks compute: on the processor, or on an NVIDIA GPU.

Data stay in the processor's memory, and a batch at a time goes to where its model is. What is drawn at random is drawn by the
processor's generators, so the draws are the same on both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, overload

import torch
from torch import Tensor, nn

from pellucid.errors import ArgumentError, DataError

CPU = torch.device("cpu")


def choose(wanted: str = "auto") -> torch.device:
    """The device of that name.

    Args:
        wanted: ``"cpu"``, ``"cuda"`` (the first GPU), ``"cuda:1"``, or ``"auto"``: a GPU where torch can use one, else the
            processor.

    Raises:
        ArgumentError: another name, or a device that is not there.
    """
    if wanted in ("auto", "cpu"):
        return torch.device("cuda") if wanted == "auto" and torch.cuda.is_available() else CPU
    named = re.fullmatch(r"cuda(?::(\d+))?", wanted)
    if named is None:
        raise ArgumentError(f"device is {wanted!r}; choose auto, cpu, cuda, or a GPU by its number, such as cuda:1")
    if why := absent():
        raise ArgumentError(f"device is {wanted}, and {why}; leave it out, or say cpu")
    count = torch.cuda.device_count()
    if int(named[1] or 0) >= count:
        there = "one GPU, cuda:0" if count == 1 else f"{count} GPUs, cuda:0 to cuda:{count - 1}"
        raise ArgumentError(f"device is {wanted}, and this machine has {there}; choose one that is there")
    return torch.device(wanted)


def absent() -> str:
    """Why there is no GPU, as the end of a sentence; empty where there is one."""
    if torch.cuda.is_available():
        return ""
    return "torch finds no NVIDIA GPU here" if torch.version.cuda else "this torch is built without CUDA"


def name(device: torch.device) -> str:
    """What computes there: ``"cpu"``, or what the GPU is called, such as ``"NVIDIA H100 80GB HBM3"``."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def called(wanted: str) -> torch.device | None:
    """The device of this machine that :func:`name` calls so; None where there is none."""
    if wanted == "cpu":
        return CPU
    there = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    return next((torch.device("cuda", k) for k in there if torch.cuda.get_device_name(k) == wanted), None)


def of(model: nn.Module) -> torch.device:
    """Where a model is: where its first parameter is, or the processor where it has none."""
    return next((p.device for p in model.parameters()), CPU)


@overload
def moved(values: Tensor, to: torch.device) -> Tensor: ...
@overload
def moved(values: Tensor | None, to: torch.device) -> Tensor | None: ...
def moved(values: Tensor | None, to: torch.device) -> Tensor | None:
    """A tensor on a device, itself where it is there already; None of None.

    What goes to a GPU goes from pinned memory, so that this process need not wait for it.
    """
    if values is not None and to.type == "cuda" and not values.is_cuda:
        return values.pin_memory().to(to, non_blocking=True)
    return None if values is None else values.to(to)


def finish(device: torch.device) -> None:
    """Wait until a GPU has done what it was given; before and after what is timed."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def working(device: torch.device) -> Iterator[None]:
    """Inside the block a GPU computes the same bits each time, and float32 in full.

    torch then takes algorithms that add in a fixed order, and tells of an operation that has none; cuBLAS needs a fixed
    workspace for that, which a process has to ask for before it first multiplies on a GPU. On the processor nothing changes.

    Raises:
        DataError: the GPU's memory is not enough for what is asked inside.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    convolution: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    memory: Any = torch.utils.deterministic
    precision, fills = convolution.fp32_precision, memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    convolution.fp32_precision = "ieee"  # torch's own choice is TF32, with 10 bits of mantissa
    memory.fill_uninitialized_memory = False  # only those who read what nobody wrote need it
    try:
        yield
    except torch.OutOfMemoryError as error:
        size = torch.cuda.get_device_properties(device).total_memory / 1e9
        raise DataError(
            f"the {name(device)} has {size:.0f} GB, and they are not enough for what was asked; ask for smaller networks or "
            "fewer workers, or use the processor with --device cpu"
        ) from error
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)
        convolution.fp32_precision, memory.fill_uninitialized_memory = precision, fills

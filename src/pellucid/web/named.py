"""Opening a module that a person names in a Python file, with weights and a batch from files that cannot run code."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pellucid import device
from pellucid.errors import ArgumentError, DataError
from pellucid.lab.data.pictures import SUFFIXES, decoded, head
from pellucid.lab.named import run_named, said
from pellucid.web.model import of_models
from pellucid.web.opened import Opened

EXAMPLE = "a model as my_model.py:MyModel"
PICKLED = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib")
REFUSED = "a pickle can run code when it is read; save weights and tensors with safetensors.torch.save_file instead"


def of_named(
    wanted: str,
    data: Path | None,
    weights: Path | None = None,
    on: torch.device = device.CPU,
    *,
    labels: Sequence[str] = (),
) -> Opened:
    """What is looked into: the module, and the items of a batch.

    Args:
        wanted: ``file.py:name`` of a module, or of a class or function that makes one without arguments.
        data: the batch: an image, an NPZ archive, an NPY or a safetensors file; see :func:`batch_of`.
        weights: a safetensors file of the module's ``state_dict``.
        on: the device that computes.
        labels: the classes, of a model that answers with a score for each.

    Raises:
        DataError: a file cannot be used.
        ArgumentError: there is no batch, or the model cannot be called with it; labels that do not fit.
    """
    model = _module(wanted)
    if weights is not None:
        _load(model, weights)
    if data is None:
        raise ArgumentError(
            f"{wanted}: a page shows what a model computes on something; give a batch after it: an image, or an array as "
            ".npz, .npy or .safetensors"
        )
    return of_models({wanted.rpartition(":")[2]: model.to(on)}, *batch_of(data), labels=labels)


def batch_of(data: Path) -> tuple[Tensor, ...]:
    """A batch, and lengths where the file has an array of that name.

    An image is (1, 1, H, W) or (1, 3, H, W) between 0 and 1. Of an archive the array ``x`` is taken, or the only one. Bytes
    are images, (N, H, W) or (N, H, W, C), brought between 0 and 1; other whole numbers are tokens, and all else is float32.

    Raises:
        DataError: the file cannot be read, is a pickle, or does not say which array is meant.
    """
    suffix = data.suffix.lower()
    if suffix in PICKLED:
        raise DataError(f"{data}: {REFUSED}")
    if not data.is_file():
        raise DataError(f"{data}: there is no such file; give an image, or an array as .npz, .npy or .safetensors")
    if suffix in SUFFIXES:
        (height, width), _ = head(str(data), data)
        array = decoded(str(data), data, height, width) / 255
        image = torch.from_numpy(array)
        return ((image[None] if image.ndim == 2 else image.permute(2, 0, 1))[None].contiguous(),)
    if suffix == ".safetensors":
        found = _tensors(data)
    elif suffix in (".npz", ".npy"):
        found = _arrays(data)
    else:
        raise DataError(
            f"{data}: no batch is read from {suffix or 'such'} files; give an image, .npz, .npy or .safetensors"
        )
    others = [name for name in found if name != "lengths"]
    name = "x" if "x" in found else others[0] if len(others) == 1 else None
    if name is None:
        raise DataError(f"{data}: the file holds {', '.join(others) or 'no arrays'}; call the batch 'x'")
    lengths = (found["lengths"].long(),) if "lengths" in found else ()
    return (_fitting(found[name]), *lengths)


def _module(wanted: str) -> nn.Module:
    file, _, name = wanted.rpartition(":")
    module, name = run_named(wanted, EXAMPLE)
    found = getattr(module, name, None)
    if callable(found) and not isinstance(found, nn.Module):
        try:
            found = found()
        except (Exception, SystemExit) as error:
            raise DataError(
                f"{file}: {name}() failed with {said(error)}; a class or function that makes a model takes no arguments"
            ) from None
    if not isinstance(found, nn.Module):
        there = [n for n, v in vars(module).items() if isinstance(v, nn.Module) or _makes(v)]
        raise DataError(
            f"{file}: {name!r} is no torch.nn.Module and makes none; the file has {', '.join(there) or 'none'}"
        )
    return found.float()


def _makes(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module) and value.__module__.partition(".")[0] != "torch"


def _load(model: nn.Module, weights: Path) -> None:
    if weights.suffix.lower() in PICKLED:
        raise DataError(f"{weights}: {REFUSED}")
    try:
        model.load_state_dict(_tensors(weights))
    except RuntimeError as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[1:2]) or str(error)
        raise DataError(f"{weights}: these are not the weights of the model: {reason}") from None


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except FileNotFoundError:
        raise DataError(f"{file}: there is no such file; give a safetensors file") from None
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{file}: cannot be read as safetensors ({str(error).splitlines()[0]}); is the file whole?"
        ) from None


def _arrays(file: Path) -> dict[str, Tensor]:
    try:
        found: Any = np.load(file, allow_pickle=False)
        arrays: dict[str, NDArray[Any]] = {"x": found} if isinstance(found, np.ndarray) else dict(found)
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        reason = (
            REFUSED
            if "Object arrays" in str(error)
            else f"cannot be read ({str(error).splitlines()[0]}); is the file whole?"
        )
        raise DataError(f"{file}: {reason}") from None


def _fitting(batch: Tensor) -> Tensor:
    """As models take it."""
    if batch.dtype == torch.uint8 and batch.ndim == 3:
        return batch[:, None] / 255
    if batch.dtype == torch.uint8 and batch.ndim == 4 and batch.shape[3] <= 4:
        return batch.movedim(3, 1).contiguous() / 255
    return batch.float() if batch.is_floating_point() else batch.long()

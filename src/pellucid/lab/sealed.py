"""Tensors in a file that tells whether it still is what was written.

safetensors sees that a file was cut, and not that a number in it has changed. So a SHA-256 of all that is in the file stands in
its metadata, beside what is noted of the tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from pellucid.lab.runs import instead

ENTRY = "pellucid"  # of the metadata, the only one: safetensors writes several in no fixed order


class DamagedError(Exception):
    """The file is not what was written; says why."""


def save(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a file whole or not at all. What a power cut leaves of it, its seal tells; to wait for the disk would cost more.

    Args:
        path: of the file.
        tensors: by name, on any device.
        about: what is noted of them, as JSON has it.
    """
    own = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    noted = {**about, "sha256": _digest(own, about)}
    with instead(path) as temporary:
        temporary.write_bytes(to_bytes(own, {ENTRY: json.dumps(noted, ensure_ascii=False)}))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What was saved. Files of before there was a seal have none, and are read as they are.

    Raises:
        OSError: there is no such file, or it cannot be opened.
        DamagedError: it was changed.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
            about = json.loads((file.metadata() or {}).get(ENTRY, "{}"))
    except (SafetensorError, ValueError) as error:
        raise DamagedError(str(error).splitlines()[0]) from None
    if not isinstance(about, dict):
        raise DamagedError("what is noted in it is no object")
    if "sha256" in about and about.pop("sha256") != _digest(tensors, about):
        raise DamagedError("its content is not what was written")
    return tensors, about


def _digest(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    whole = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        whole.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        whole.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()

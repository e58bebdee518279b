"""Files that tell whether they still are what was written: tensors, and records as JSON.

safetensors sees that a file was cut, and not that a number in it has changed. So a SHA-256 of all that is in the file stands in
its metadata, beside what is noted of the tensors; of a record it is the first entry. Files of before there was a seal have none,
and are read as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from pellucid.lab.files import instead, write
from pellucid.lab.reasons import reason
from pellucid.lab.results import Record

R = TypeVar("R", bound=Record)

SEAL = "sha256"
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
    noted = {**about, SEAL: _digest(own, about)}
    with instead(path) as temporary:
        temporary.write_bytes(to_bytes(own, {ENTRY: json.dumps(noted, ensure_ascii=False)}))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What was saved.

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
    if SEAL in about and about.pop(SEAL) != _digest(tensors, about):
        raise DamagedError("its content is not what was written")
    return tensors, about


def save_record(path: Path, record: Record) -> None:
    """Write a record whole or not at all."""
    content = json.loads(record.model_dump_json())
    write(path, json.dumps({SEAL: _of_content(content), **content}, indent=1, ensure_ascii=False))


def load_record(path: Path, kind: type[R]) -> R:
    """What was saved.

    Raises:
        OSError: there is no such file, or it cannot be opened.
        DamagedError: it was changed, or is something else.
    """
    text = path.read_bytes()
    try:
        content = json.loads(text)
        seal = content.pop(SEAL, None) if isinstance(content, dict) else None
        record = kind.model_validate_json(json.dumps(content))
    except (ValueError, RecursionError) as error:  # of JSON, of its encoding, of the record
        raise DamagedError(reason(error)) from None
    if seal is not None and seal != _of_content(content):
        raise DamagedError("its content is not what was written")
    return record


def digest(content: bytes) -> str:
    """SHA-256, of what has no room for a seal of its own, to be noted elsewhere."""
    return hashlib.sha256(content).hexdigest()


def _of_content(content: Mapping[str, Any]) -> str:
    return digest(json.dumps(content, sort_keys=True).encode())


def _digest(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    whole = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        whole.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        whole.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()

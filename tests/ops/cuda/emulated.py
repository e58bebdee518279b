"""A kernel's very source, compiled for the processor and run there, where no GPU is: hardware.h in place of hardware.cuh."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from pellucid.ops.cuda.generate import Kernel

HERE = Path(__file__).parent


@cache
def _built(source: str) -> ctypes.CDLL:
    folder = HERE.parents[2] / "build" / "emulated"
    folder.mkdir(parents=True, exist_ok=True)
    text = (HERE / "hardware.h").read_text() + source + (HERE / "tail.h").read_text()
    name = hashlib.sha256(text.encode()).hexdigest()[:24]
    library = folder / f"{name}.so"
    if not library.exists():
        code = folder / f"{name}.{os.getpid()}.cpp"
        code.write_text(text)
        partial = code.with_suffix(".part")
        compiler = os.environ.get("CXX", "g++")
        command = [compiler, "-std=c++17", "-O0", "-w", "-fPIC", "-shared", "-o", partial, code]
        subprocess.run(command, check=True)
        partial.rename(library)
    return ctypes.CDLL(str(library))


def run(kernel: Kernel, call: Sequence[int], tiles: int, device: torch.device) -> None:
    """What :func:`pellucid.ops.cuda.compile.run` does on a GPU."""
    words = (ctypes.c_int64 * len(call))(*call)
    share = kernel.share
    across = tiles * share.team
    together = across if share.kind == "grid" else share.team
    failed = _built(kernel.source).launch(
        words, across, share.groups, share.team, together, share.threads, kernel.memory
    )
    assert not failed, "the threads wait for one another"

"""The machine: what it is, and what it can do at most."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """What it is, without anything that tells whose it is."""
    import torch

    from pellucid import _native

    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "processor": cpu,
        "cores": os.cpu_count(),
        "instruction_set": _native.instruction_set(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def limits(threads: int) -> dict[str, float]:
    """Multiply-adds (as 2 operations) and bytes read a second, on so many threads at once."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or "g++"
    source = Path(__file__).with_name("limits.cpp")
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/limits"
        subprocess.run(
            [compiler, "-O3", "-march=native", "-std=gnu++20", "-pthread", str(source), "-o", program], check=True
        )
        found: dict[str, float] = json.loads(
            subprocess.run([program, str(threads)], check=True, capture_output=True).stdout
        )
    return found

"""What a GPU is and can do at most, and the least that a recurrent layer asks of it."""

from __future__ import annotations

import math
import shutil
import statistics
import subprocess
from typing import Any

import torch

from benchmarks.gpu_timing import durations
from benchmarks.rows import FORWARD
from pellucid.cells import counts
from pellucid.nn import Recurrent

# The sides of a square matrix product that fills the device.
PRODUCT = {torch.bfloat16: 8192, torch.float16: 8192, torch.float32: 4096}
COPY = 2_000_000_000  # bytes, many times any cache


def machine(device: torch.device) -> dict[str, str]:
    """The device and what drives it, as every row names them."""
    if device.type != "cuda":
        return {"device": device.type, "torch": torch.__version__, "cuda": "", "cudnn": "", "driver": ""}
    return {
        "device": torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "",
        "cudnn": str(torch.backends.cudnn.version()),
        "driver": _driver(),
    }


def _driver() -> str:
    """The driver's version, where its own tool is at hand."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    asked = subprocess.run(
        [tool, "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return asked.stdout.split("\n")[0].strip()


def ceilings(device: torch.device, *, tiny: bool = False) -> dict[str, float]:
    """Multiply-adds a second of one large matrix product, by number type, and bytes a second of a copy, read and written."""
    found = {}
    for dtype, side in PRODUCT.items():
        side = 64 if tiny else side
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        found[str(dtype).removeprefix("torch.")] = side**3 / _median(lambda a=a, b=b: a @ b, device)
    source = torch.randint(0, 100, (COPY // (1000 if tiny else 1),), device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    return found | {"copy": 2 * source.numel() / _median(lambda: target.copy_(source), device)}


def _median(call: Any, device: torch.device) -> float:
    durations(call, 3, device)
    return statistics.median(durations(call, 10, device))


def multiply_adds(layer: Recurrent, size: tuple[int, ...], mode: str) -> int:
    """Of a call's matrix products; with gradients twice as many again, for those of the operands and of the matrices."""
    steps, batch, inputs, hidden = size
    return steps * batch * counts.macs(layer.cell, inputs, hidden) * (1 if mode == FORWARD else 3)


def least_bytes(layer: Recurrent, size: tuple[int, ...], mode: str) -> int:
    """Bytes that a call moves at least: input, output and parameters once, with gradients theirs and what is kept, too."""
    steps, batch, inputs, hidden = size
    outside = steps * batch * (inputs + layer.output_size) + sum(p.numel() for p in layer.parameters())
    numbers = outside if mode == FORWARD else 2 * outside + steps * batch * kept(layer, hidden)
    return numbers * layer.weight_ih_l0.element_size()


def kept(layer: Recurrent, hidden: int) -> int:
    """Numbers of a step of one sequence that the backward pass reads besides input and output.

    The values that the derivative's program keeps, and the states but the first, which is the output.
    """
    cell = layer.cell
    derivative, states = cell.derivative(), list(cell.graph().states.items())
    read = [derivative.backward.registers[r] for r in derivative.backward.inputs]
    after = cell.graph().after
    nodes = set(derivative.kept) | {after[name] for name, state in states if state in read}
    nodes.discard(after[states[0][0]])
    return sum(math.prod(cell.size(letter, hidden) for letter in node.shape if letter != "1") for node in nodes)

"""``pellucid doctor``: which path, instruction set and threads are in use here, and why; and whether the engine computes right.

What is said is asked of the code that chooses, not written down a second time.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import platform
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import pellucid
from pellucid import device as devices
from pellucid import nn
from pellucid.cells.sequence import Variant
from pellucid.geometry.axis import Window
from pellucid.ops import convolution, pooling
from pellucid.ops.native import _native
from pellucid.ops.recurrence import engine_takes, gpu_takes
from pellucid.ops.reference.recurrence import recurrence as reference

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

NATIVE, KERNEL, PROGRAM = "native engine", "Pellucid's kernels", "derived program in PyTorch"
TORCH, REFERENCE = "torch's kernels", "reference in PyTorch"
WHY = {
    NATIVE: "Pellucid's own C++, for the number types that it has; small convolutions are torch's where that is faster",
    KERNEL: "written from the cell's program in CUDA C++, compiled at first use; one launch for a whole sequence",
    PROGRAM: "the cell's derived program, for number types and devices that the engine does not have",
    TORCH: "padding that they do not know is made explicit first; pooling that they cannot do runs on the reference",
    REFERENCE: "the equations as they stand",
}

# Of the self-check: enough work for a step to be shared by several threads, and sizes that fill no vector.
STEPS, BATCH, INPUTS, HIDDEN = 20, 9, 33, 65

# What native/threads.cpp looks up, in the same place.
TEAM = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads", "omp_in_parallel")


@dataclass(frozen=True)
class InstructionSet:
    """Which one the engine uses, of those that this processor has (best first), and why."""

    used: str
    available: list[str]
    why: str


@dataclass(frozen=True)
class Threads:
    """How many the engine uses at most, and why.

    Attributes:
        torch: ``torch.get_num_threads()``.
        why: where that number comes from.
        processors: those of the machine.
        usable: those that this process may use.
        team: whether the OpenMP team was found that torch keeps; without it the engine runs on one thread.
    """

    torch: int
    why: str
    processors: int
    usable: int
    team: bool


@dataclass(frozen=True)
class Device:
    """What ``compare``, ``predict``, ``claims`` and ``see`` compute on where nobody says otherwise, and why."""

    used: str
    why: str


@dataclass(frozen=True)
class Path:
    """What computes these layers in this number type on this device."""

    layers: str
    device: str
    dtype: str
    path: str


@dataclass(frozen=True)
class Check:
    """The greatest difference of a layer on the engine, in outputs, last states and gradients.

    Each tensor's difference is a share of the tensor's greatest number. Two sums of the same hundred-odd terms in
    different orders, carried through twenty steps, differ by some ten units in the last place; 100 are allowed.
    """

    layer: str
    dtype: str
    from_equations: float
    from_torch: float
    allowed: float

    @property
    def well(self) -> bool:
        """Whether both are small; a NaN is not."""
        return self.from_equations <= self.allowed and self.from_torch <= self.allowed


@dataclass(frozen=True)
class Report:
    """All that there is to say."""

    pellucid: str
    python: str
    torch: str
    system: str
    device: Device
    instruction_set: InstructionSet
    threads: Threads
    paths: list[Path]
    checks: list[Check]

    @property
    def well(self) -> bool:
        """Whether every check is."""
        return all(check.well for check in self.checks)

    def json(self) -> str:
        """For a program to read; a difference that is no finite number is null."""
        found = asdict(self)
        for check, of in zip(found["checks"], self.checks, strict=True):
            check |= {name: v if math.isfinite(v) else None for name, v in check.items() if isinstance(v, float)}
            check["well"] = of.well
        used = dict.fromkeys(path.path for path in self.paths)
        return json.dumps(found | {"why": {p: WHY.get(p) for p in used}, "well": self.well}, indent=1)

    def text(self) -> str:
        """For a person, in 80 columns."""
        lines = [f"Pellucid {self.pellucid}, Python {self.python}, torch {self.torch}, {self.system}"]
        lines += ["", "Networks of compare, predict, claims and see"]
        lines += [*_entry("device", f"{self.device.used}: {self.device.why}"), ""]
        lines += ["Native engine", *self._engine(), *self._paths(), "", *self._checks(), ""]
        lines += textwrap.wrap(self._verdict(), 80)
        return "\n".join(lines)

    def _engine(self) -> Iterator[str]:
        isa, threads = self.instruction_set, self.threads
        yield from _entry("instruction set", f"{isa.used}: {isa.why}")
        yield from _entry("threads", f"{threads.torch if threads.team else 1} at most: {self._threads_why()}")

    def _threads_why(self) -> str:
        if not self.threads.team:
            return (
                f"torch has {self.threads.torch}, but its OpenMP was not found among the loaded libraries, and the engine "
                "starts no threads of its own"
            )
        small = "" if self.threads.torch == 1 else "; a layer with too little work to share runs on one"
        return f"torch's own, of OpenMP; {self.threads.why}{small}"

    def _paths(self) -> Iterator[str]:
        for device in dict.fromkeys(path.device for path in self.paths):
            yield from ("", f"Paths on {device}", f"  {'layers':<17}{'number types':<34}path")
            together: dict[tuple[str, str], list[str]] = {}
            for path in self.paths:
                if path.device == device:
                    together.setdefault((path.layers, path.path), []).append(path.dtype)
            for (layers, computed), dtypes in together.items():
                yield f"  {layers:<17}{' '.join(dtypes):<34}{computed}"
        yield ""
        for computed in dict.fromkeys(path.path for path in self.paths):
            if computed in WHY:
                why = f"{computed}: {WHY[computed]}"
                yield from textwrap.wrap(why, 80, initial_indent="  ", subsequent_indent="    ")

    def _checks(self) -> Iterator[str]:
        yield f"Self-check: {STEPS} steps forward and backward; the greatest differences"
        yield f"  {'layer':<7}{'number type':<13}{'from the equations':>20}{'from torch.nn':>16}{'allowed':>10}"
        for c in self.checks:
            numbers = f"{c.from_equations:>20.1e}{c.from_torch:>16.1e}{c.allowed:>10.1e}"
            yield f"  {c.layer:<7}{c.dtype:<13}{numbers}{'' if c.well else '  wrong'}"

    def _verdict(self) -> str:
        if self.well:
            return "All is well."
        wrong = sum(not check.well for check in self.checks)
        used, available = self.instruction_set.used, self.instruction_set.available
        lesser = available[available.index(used) + 1 :]
        try_it = f" Until it is mended, see whether PELLUCID_ISA={lesser[0]} computes right." if lesser else ""
        return (
            f"{wrong} of {len(self.checks)} checks failed: do not trust the engine on this machine, and report it with the "
            f"output of pellucid doctor --json.{try_it}"
        )


def examine() -> Report:
    """Look at this machine, and run the self-check."""
    return Report(
        pellucid.__version__,
        platform.python_version(),
        torch.__version__,
        f"{platform.system()} {platform.machine()}",
        device(),
        instruction_set(),
        threads(),
        paths(),
        [
            check(layer, dtype)
            for layer in ("LSTM", "GRU")
            for dtype in DTYPES
            if engine_takes(torch.empty(1, dtype=dtype))
        ],
    )


def device() -> Device:
    """The one that ``--device auto`` takes."""
    used = devices.name(devices.choose("auto"))
    return Device(used, devices.absent() or "the first GPU; --device cpu takes the processor, cuda:1 the second GPU")


def instruction_set() -> InstructionSet:
    """The engine's."""
    used, available = _native.instruction_set(), _native.instruction_sets()
    has = f"this processor has {', '.join(available)}"
    if os.environ.get("PELLUCID_ISA") == used:
        return InstructionSet(used, available, f"PELLUCID_ISA says so; {has}")
    if used == available[0]:
        return InstructionSet(
            used, available, "the best that this processor has" if len(available) == 1 else f"the best; {has}"
        )
    return InstructionSet(used, available, f"chosen in this process; {has}")


def threads() -> Threads:
    """Torch's number of threads, and whether its team is there."""
    count, processors = torch.get_num_threads(), os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else processors
    return Threads(count, _threads_why(count, processors, usable), processors, usable, _team())


def _threads_why(count: int, processors: int, usable: int) -> str:
    # MKL's variable comes first, as in torch.
    given = {name: os.environ[name] for name in ("MKL_NUM_THREADS", "OMP_NUM_THREADS") if os.environ.get(name)}
    for name, value in given.items():
        if value.partition(",")[0].strip() == str(count):
            return f"{name} is {value}"
    may = f"this process may use {usable} of {processors} processors"
    return "; ".join([f"{may}, and torch takes {count}", *(f"{name} is {value}" for name, value in given.items())])


def _team() -> bool:
    loaded = ctypes.CDLL(None)
    return all(hasattr(loaded, name) for name in TEAM)


def paths() -> list[Path]:
    """What computes each kind of layer."""
    found = []
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        for dtype in DTYPES:
            found.append(
                Path("recurrent", device, _name(dtype), _recurrent(torch.empty(1, 1, dtype=dtype, device=device)))
            )
        for layers in _SPATIAL:
            for dtype in DTYPES:
                chosen = _SPATIAL[layers](torch.empty((1, 1, 512), dtype=dtype, device=device))
                found.append(Path(layers, device, _name(dtype), _kernels(chosen)))
    return found


# An ordinary window over one axis; small maps run on torch's kernels, other windows have their padding made explicit or run
# on the reference.
_SPATIAL: dict[str, Callable[[Tensor], Callable[..., Any]]] = {
    "convolution": lambda x: convolution.path(x, x[:, :, :2], None, [Window(2, 2)], 1),
    "max pooling": lambda x: pooling.max_path(x, [Window(2, 2)], False, None),
    "average pooling": lambda x: pooling.average_path(x, [Window(2, 2)], True, None, 0.0),
}


def _recurrent(x: Tensor) -> str:
    return NATIVE if engine_takes(x) else KERNEL if gpu_takes(x) else PROGRAM


def _kernels(chosen: Callable[..., Any]) -> str:
    """A program of convolution or pooling by what it runs on; one that calls torch's kernel has that in its name."""
    if chosen.__module__.startswith("pellucid.ops.reference."):
        return REFERENCE
    return NATIVE if "native" in chosen.__name__ else TORCH if "torch" in chosen.__name__ else chosen.__name__


def check(name: str, dtype: torch.dtype) -> Check:
    """One layer on the engine, against its equations and against torch's layer with the same parameters."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        ours: nn.Recurrent = getattr(nn, name)(INPUTS, HIDDEN, dtype=dtype)
        theirs: torch.nn.RNNBase = getattr(torch.nn, name)(INPUTS, HIDDEN, dtype=dtype)
        theirs.load_state_dict(ours.state_dict())
        x = torch.randn(STEPS, BATCH, INPUTS, dtype=dtype, requires_grad=True)
        engine = _everything(_ends(*ours(x)), [x, *ours.parameters()])
        equations = _everything(_equations(ours, x), [x, *ours.parameters()])
        torchs = _everything(_ends(*theirs(x)), [x, *theirs.parameters()])
    allowed = (10 if dtype == torch.bfloat16 else 100) * torch.finfo(dtype).eps
    return Check(name, _name(dtype), _difference(engine, equations), _difference(engine, torchs), allowed)


def _equations(layer: nn.Recurrent, x: Tensor) -> list[Tensor]:
    """The output of all steps and the last states, by the reference."""
    cell = layer.cell
    parameters = {name: getattr(layer, f"{given.key or name}_l0") for name, given in cell.parameters.items()}
    projected = F.linear(x, layer.weight_ih_l0, layer.get_parameter("bias_ih_l0"))
    start = [x.new_zeros(BATCH, HIDDEN) for _ in cell.states]
    states = list(reference(cell, Variant(), parameters, projected, start, {}).values())
    return [states[0], *(state[-1] for state in states)]


def _ends(output: Tensor, last: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [output, *(state[0] for state in (last if isinstance(last, tuple) else (last,)))]


def _everything(outputs: Sequence[Tensor], leaves: Sequence[Tensor]) -> list[Tensor]:
    """The outputs, and the gradients of a random combination of them."""
    generator = torch.Generator().manual_seed(1)
    loss = sum((torch.randn(v.shape, generator=generator, dtype=v.dtype) * v).sum() for v in outputs)
    assert isinstance(loss, Tensor)
    return [*(v.detach() for v in outputs), *torch.autograd.grad(loss, leaves)]


def _difference(these: Sequence[Tensor], those: Sequence[Tensor]) -> float:
    shares = [(a - b).abs().max() / b.abs().max() for a, b in zip(these, those, strict=True)]
    return float(torch.stack(shares).max())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _entry(label: str, value: str) -> list[str]:
    return textwrap.wrap(value, 80, initial_indent=f"  {label:<17}", subsequent_indent=" " * 19)

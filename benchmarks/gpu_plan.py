"""What ``benchmarks.gpu`` measures: tables of sizes, and what is beside what in each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from benchmarks import gpu_sides
from benchmarks.gpu_sides import Sides, Size
from benchmarks.rows import MODES

Build = Callable[[str, Size, torch.dtype, torch.device], Sides]


@dataclass(frozen=True)
class Case:
    """What is built once and measured in its modes.

    Attributes:
        table, cell, size: (T, B, I, H), as the row has them.
        build: makes the sides.
        dtype: of Pellucid's layer.
        modes: forward alone, or with gradients too.
        seconds: that have to be left of a run's for it to begin; a minute and thrice as many are the most it may take.
        published: milliseconds that others found on their machine, forward, by name.
    """

    table: str
    cell: str
    size: Size
    build: Build
    dtype: torch.dtype = torch.bfloat16
    modes: Sequence[str] = MODES
    seconds: float = 12.0
    published: Mapping[str, float] = field(default_factory=dict)

    def tiny(self) -> Case:
        """The same with next to nothing to compute, to see that it runs."""
        steps, batch, inputs, hidden = self.size
        return replace(self, size=(min(steps, 6), min(batch, 3), min(inputs, 128), min(hidden, 128)), published={})

    @property
    def most(self) -> float:
        """Seconds after which something is wrong."""
        return 60 + 3 * self.seconds


PLAIN = [  # T, B, H
    (128, 1, 64),
    (1024, 1, 256),
    (512, 1, 128),
    (512, 16, 64),
    (1024, 16, 128),
    (1024, 16, 256),
    (128, 64, 128),
    (512, 64, 256),
    (512, 128, 64),
    (128, 128, 256),
]
LARGE = [(steps, batch, hidden) for hidden in (512, 768, 1024) for steps, batch in ((1024, 16), (256, 64))]
WIDE = [(steps, batch, hidden) for hidden in (512, 1024) for steps, batch in ((1024, 16), (256, 64))]
SIZES = {  # of each cell: the LSTM's are all, the others' a half
    "LSTM": (PLAIN, LARGE),
    "GRU": (PLAIN[1::2], [LARGE[0], LARGE[3], LARGE[4]]),
    "RNN": (PLAIN[1::2], [LARGE[1], LARGE[2], LARGE[5]]),
}

# Pöppel, Beck and Hochreiter 2024, FlashRNN (arXiv:2412.07752), on an H100, by number of heads: the faster of its two kernels.
# The input's projection is not in its times. cuDNN's LSTM there is the one of (T, B, H).
FLASHRNN = {16: 1.97, 32: 1.44, 64: 1.99, 128: 3.22}
CUDNN_LSTM = {(1024, 16, 768): 2.01}


def plain() -> Iterator[Case]:
    """Cells that torch has, at sizes where a step is short."""
    for cell, (sizes, _) in SIZES.items():
        for steps, batch, hidden in sizes:
            yield Case("plain", cell, (steps, batch, hidden, hidden), gpu_sides.torch_has)


def large() -> Iterator[Case]:
    """Cells that torch has, whose recurrent weights do not fit one multiprocessor."""
    for cell, (_, sizes) in SIZES.items():
        for steps, batch, hidden in sizes:
            known = CUDNN_LSTM.get((steps, batch, hidden)) if cell == "LSTM" else None
            published = {} if known is None else {"cuDNN": known}
            yield Case("large", cell, (steps, batch, hidden, hidden), gpu_sides.torch_has, published=published)


def resets() -> Iterator[Case]:
    """Sequences that start anew on their way."""
    yield Case("resets", "LSTM", (128, 128, 256, 256), gpu_sides.resets)


def heads() -> Iterator[Case]:
    """The recurrence by heads, at a size that others published."""
    for number, known in FLASHRNN.items():
        size = (1024, 16, 768, 768)
        yield Case("heads", f"sLSTM, {number} heads", size, gpu_sides.heads, published={"FlashRNN": known})


def custom() -> Iterator[Case]:
    """Cells that torch has not."""
    for cell in ("CTRNN", "LSTM layer norm", "GRU reset before", "sLSTM, 4 heads"):
        for size in ((128, 64, 256, 256), (256, 16, 128, 128)):
            yield Case("custom", cell, size, gpu_sides.torch_has_not)


def float16() -> Iterator[Case]:
    """Cells that torch has, by both paths between which the library chooses: it looks these sizes up."""
    return _paths(torch.float16, (*PLAIN, *LARGE))


def float32() -> Iterator[Case]:
    """The same without the rounding of tf32."""
    return _paths(torch.float32, (*PLAIN[1::2], *WIDE))


def _paths(dtype: torch.dtype, sizes: Iterable[tuple[int, int, int]]) -> Iterator[Case]:
    table = str(dtype).removeprefix("torch.")
    for cell in SIZES:
        for steps, batch, hidden in sizes:
            yield Case(table, cell, (steps, batch, hidden, hidden), gpu_sides.paths, dtype=dtype)


def meeting() -> Iterator[Case]:
    """What it costs that the blocks which share a sequence's units wait for one another: eight units each, one sequence."""
    ways = [("block", 1), *(("cluster", n) for n in (2, 4, 8, 16)), *(("grid", n) for n in (16, 32, 64, 128))]
    for kind, team in ways:
        yield Case("meeting", f"LSTM, {kind} of {team}", (4096, 1, 8 * team, 8 * team), gpu_sides.meeting)


def empty() -> Iterator[Case]:
    """What the steps of the tables plain and large cost where next to nothing is computed in them."""
    for cell, tables in SIZES.items():
        for steps, batch in dict.fromkeys((steps, batch) for sizes in tables for steps, batch, _ in sizes):
            yield Case("empty", cell, (steps, batch, 16, 16), gpu_sides.alone)


def compiled() -> Iterator[Case]:
    """Cells that torch has not, against what torch.compile makes of a loop; half a minute or more of compiling each."""
    for mode in MODES:
        for cell in ("CTRNN", "LSTM peepholes"):
            yield Case("compiled", cell, (64, 64, 256, 256), gpu_sides.compiled, modes=(mode,), seconds=45)


TABLES: dict[str, Callable[[], Iterator[Case]]] = {
    table.__name__: table for table in (plain, large, resets, heads, custom, float16, float32, meeting, empty, compiled)
}
"""Those that matter most first: a run that is out of time leaves the last."""

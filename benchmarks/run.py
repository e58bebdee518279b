"""A benchmark's run: what is measured, side by side in one process, and the file that its rows go to."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.limits import limits, machine
from benchmarks.measure import alternate

Row = dict[str, Any]
Runs = dict[str, Callable[[], object]]
MODES = ("forward", "forward + backward")
Measure = Callable[[str, Any, str, int], dict[str, Any]]
"""How a row is measured: from the layer's name, its size, the mode and the number of threads, what belongs into the row."""
Plan = Callable[[bool], Iterable[tuple[str, Measure, str, Any, str]]]
"""Everything that is measured, or a little of it: the table, how, the layer's name, its size and the mode."""


class Around(nn.Module):
    """A layer that is called in another way; its parameters are this one's."""

    def __init__(self, layer: nn.Module, call: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x: Tensor) -> Any:
        """What the call gives."""
        return self.call(x)


def both(layers: dict[str, Callable[[Tensor], Any]], x: Tensor, mode: str) -> Runs:
    """Calls of layers on x, forward or forward and backward."""

    def forward(layer: Callable[[Tensor], Any]) -> Callable[[], object]:
        def run() -> object:
            with torch.no_grad():
                return layer(x)

        return run

    def forward_backward(layer: Callable[[Tensor], Any]) -> Callable[[], object]:
        leaf = x.clone().requires_grad_()
        parameters = list(layer.parameters()) if isinstance(layer, nn.Module) else []

        def run() -> object:
            # As an optimiser's zero_grad before each step: gradients come fresh and are not added to the last call's.
            leaf.grad = None
            for parameter in parameters:
                parameter.grad = None
            output = layer(leaf)
            output = output[0] if isinstance(output, tuple) else output
            return output.backward(gradient_of(output))

        return run

    return {name: (forward if mode == "forward" else forward_backward)(layer) for name, layer in layers.items()}


_gradients: dict[tuple[Any, ...], Tensor] = {}


def gradient_of(output: Tensor) -> Tensor:
    """The same for every side, and made before anything is timed."""
    kind = (output.dtype, *output.shape)
    if kind not in _gradients:
        _gradients.clear()
        _gradients[kind] = torch.randn(output.shape, dtype=output.dtype)
    return _gradients[kind]


def agree(layers: dict[str, Callable[[Tensor], Any]], x: Tensor) -> None:
    """Refuse to time what does not compute the same.

    Of long sequences the beginning: some random layers are chaotic, and rounding has grown to the size of the state
    after a few hundred steps, in float64 too.
    """
    with torch.no_grad():
        outputs = {name: layer(x) for name, layer in layers.items()}
    first, *rest = ((n, (o[0] if isinstance(o, tuple) else o)[:64]) for n, o in outputs.items())
    for name, other in rest:
        torch.testing.assert_close(other, first[1], atol=1e-3, rtol=1e-3, msg=f"{name} and {first[0]} differ")


def times(runs: Runs, **how: Any) -> dict[str, Any]:
    """Medians and quartiles of each."""
    return {"times": {name: asdict(t) for name, t in alternate(runs, **how).items()}}


# Freed memory goes back to the system, and fresh pages cost as much as arithmetic; glibc can be told to keep it.
KEEPS_MEMORY = (
    "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296:glibc.malloc.top_pad=268435456"
)


def main(module: str, about: str, plan: Plan) -> None:
    """Measure what the file does not have yet.

    Args:
        module: the benchmark's name, as ``python -m`` runs it.
        about: what it says of itself.
        plan: of the whole.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where the rows go, one JSON object a line")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2], help="how many threads each side may use")
    parser.add_argument("--table", nargs="*", help="only these tables, as the report's code names them")
    parser.add_argument("--quick", action="store_true", help="two sizes, to see that everything runs")
    parser.add_argument(
        "--allocator", choices=("system", "keeps"), default="system", help="whether freed memory is kept"
    )
    given = parser.parse_args()
    if given.allocator == "keeps" and os.environ.get("GLIBC_TUNABLES") != KEEPS_MEMORY:
        sys.exit(
            subprocess.run(
                [sys.executable, "-m", module, *sys.argv[1:]],
                env={**os.environ, "GLIBC_TUNABLES": KEEPS_MEMORY},
            ).returncode
        )
    torch._dynamo.config.cache_size_limit = 1000
    rows = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    known = {key(row) for row in rows if "table" in row}
    with given.out.open("a") as file:

        def write(row: Row) -> None:
            file.write(json.dumps(row) + "\n")
            file.flush()

        measured = {int(n) for row in rows for n in row.get("limits", {})}
        if missing := [n for n in given.threads if n not in measured]:
            write({"machine": machine(), "limits": {n: limits(n) for n in missing}})
        todo = [
            (n, *rest) for n in given.threads for rest in plan(given.quick) if not given.table or rest[0] in given.table
        ]
        begin = time.monotonic()
        for done, (threads, table, measure, cell, size, mode) in enumerate(todo):
            row: Row = {
                "table": table,
                "cell": cell,
                "size": size,
                "mode": mode,
                "threads": threads,
                "allocator": given.allocator,
            }
            if key(row) in known:
                continue
            torch.manual_seed(0)
            torch.set_num_threads(threads)
            row |= measure(cell, size, mode, threads)
            write(row)
            passed = time.monotonic() - begin
            print(f"{done + 1:4d} of {len(todo)}, {passed:5.0f} s: {say(row)}", flush=True)


def key(row: Row) -> tuple[Any, ...]:
    """What tells rows apart."""
    return row["table"], row["cell"], tuple(row["size"]), row["mode"], row["threads"], row["allocator"]


def say(row: Row) -> str:
    """A row as a line."""
    name = f"{row['table']}, {row['cell']} {row['size']} {row['mode']}, {row['threads']} threads"
    if "units" in row:
        return name + ": " + ", ".join(f"{n} {v:.2f} T·B·H" for n, v in row["units"].items())
    ours = row["times"]["pellucid"]["median"]
    others = ", ".join(f"{n} x{t['median'] / ours:.2f}" for n, t in row["times"].items() if n != "pellucid")
    return f"{name}: {ours * 1e3:.3f} ms; {others}"

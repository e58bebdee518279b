"""Recurrent layers on an NVIDIA GPU beside cuDNN and loops over a cell: ``make bench-gpu``.

Every row is the time of one call of each side, measured in turn in one process, and how far each side's result is from the
same layer in a wider number type. A row is written as soon as it is measured; a run that was stopped goes on where it was,
and rows that failed are tried again after all others.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from benchmarks.gpu_limits import ceilings, least_bytes, machine, multiply_adds
from benchmarks.gpu_plan import TABLES, Case
from benchmarks.gpu_sides import TORCH, Sides
from benchmarks.gpu_timing import alternate, finished, once
from benchmarks.rows import FORWARD, Row

NAMES = ("limits", *TABLES)
RESULTS = ("output", "input gradient")  # what is compared, the second in training steps alone


def measure(case: Case, sides: Sides, mode: str, device: torch.device, seconds: float = 0.15) -> Row:
    """A row's figures, from so many seconds of each side; one that cannot run is named, and Pellucid's must."""
    truth = None if sides.truth is None else sides.truth.call(mode)()
    calls: dict[str, Callable[[], object]] = {}
    first, errors, failed = {}, {}, {}
    for name, side in sides.timed.items():
        if side.replayed and mode != FORWARD:
            continue  # torch's backward pass runs on a thread of its own, which a recording does not hold
        try:
            call, made = once(partial(side.call, mode), device)
            found, ran = once(call, device)
        except Exception as error:
            if name == "pellucid":
                raise
            failed[name] = sentence(error)
            finished(device)
            continue
        calls[name], first[name] = call, made + ran
        if truth is not None and side.alike:
            errors[name] = {n: relative_error(f, t) for n, f, t in zip(RESULTS, found, truth, strict=False)}
    row: Row = {
        "times": {name: asdict(timing) for name, timing in alternate(calls, device, seconds=seconds).items()},
        "first": first,
        "relative_error": errors,
        "failed": failed,
        "on_cudnn": [name for name, side in sides.timed.items() if name in TORCH and name in calls and side.on_cudnn()],
        "multiply_adds": multiply_adds(sides.layer, case.size, mode),
        "bytes": least_bytes(sides.layer, case.size, mode),
    }
    if case.published and mode == FORWARD:
        row["published"] = {name: milliseconds / 1e3 for name, milliseconds in case.published.items()}
    return row


def relative_error(found: Tensor, truth: Tensor) -> float:
    """The length of the difference over that of the truth."""
    wide = truth.detach().double()
    return float(torch.linalg.vector_norm(found.detach().double() - wide) / torch.linalg.vector_norm(wide))


def sentence(error: BaseException) -> str:
    """What went wrong, in a line of some words: compilers tell pages."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:300]}" if words else type(error).__name__


def key(row: Row) -> tuple[Any, ...]:
    """What tells rows apart."""
    names = ("table", "cell", "mode", "dtype", "device", "torch", "tiny")
    return tuple(row.get("size", ())), *(row.get(name) for name in names)


def say(row: Row) -> str:
    """A row as a line."""
    if row["table"] == "limits":
        return "limits: " + ", ".join(f"{name} {value:.3g} a second" for name, value in row["ceilings"].items())
    name = f"{row['table']}, {row['cell']} {row['size']} {row['dtype']} {row['mode']}"
    if "error" in row:
        return f"{name}: {row['error']}"
    ours = row["times"]["pellucid"]["median"]
    parts = [f"{side} x{time['median'] / ours:.2f}" for side, time in row["times"].items() if side != "pellucid"]
    parts += [f"{side} failed ({why})" for side, why in row["failed"].items()]
    error = max(row["relative_error"].get("pellucid", {}).values(), default=None)
    return (
        f"{name}: {ours * 1e3:.3f} ms"
        + "".join(f"; {part}" for part in parts)
        + ("" if error is None else f"; error {error:.1e}")
    )


class Run:
    """One run: what it measures on, what is known already, and where its rows go."""

    def __init__(self, file: TextIO, rows: list[Row], device: torch.device, *, tiny: bool, budget: float) -> None:
        self.file, self.device, self.tiny, self.budget = file, device, tiny, budget
        self.machine = machine(device) | {"tiny": tiny}
        self.known = {key(row) for row in rows if "error" not in row}
        self.failed = {key(row) for row in rows} - self.known
        self.begin = time.monotonic()

    def all(self, tables: Sequence[str]) -> int:
        """Measure what is not known yet, what failed before last; tells how many rows are left for want of time."""
        if "limits" in tables and key(self.row("limits")) not in self.known:
            self.write(self.row("limits") | {"ceilings": ceilings(self.device, tiny=self.tiny)})
        cases = [case for name, table in TABLES.items() if name in tables for case in table()]
        cases = [case.tiny() if self.tiny else case for case in cases]
        left = 0
        for case in sorted(cases, key=lambda c: any(key(self.named(c, mode)) in self.failed for mode in c.modes)):
            modes = [mode for mode in case.modes if key(self.named(case, mode)) not in self.known]
            if modes and self.passed() + case.seconds > self.budget:
                left += len(modes)
            elif modes:
                self.case(case, modes)
        return left

    def case(self, case: Case, modes: Sequence[str]) -> None:
        """A case in some of its modes; where it cannot be measured, the reason is written."""
        torch.manual_seed(0)
        sides: Sides | None = None
        for mode in modes:
            row = self.named(case, mode)
            with self.watched(row, case.most):
                try:
                    sides = sides or case.build(case.cell, case.size, case.dtype, self.device)
                    row |= measure(case, sides, mode, self.device, 0.01 if self.tiny else 0.15)
                except Exception as error:
                    row |= {"error": sentence(error)}
            self.write(row)
            if "error" in row:
                self.go_on_or_end()

    def row(self, table: str) -> Row:
        """Its table, and what it was measured on."""
        return {"table": table, **self.machine}

    def named(self, case: Case, mode: str) -> Row:
        """A row before anything is measured."""
        dtype = str(case.dtype).removeprefix("torch.")
        return self.row(case.table) | {
            "cell": case.cell,
            "size": [*case.size],
            "mode": mode,
            "dtype": dtype,
            "tf32": False,
        }

    def write(self, row: Row) -> None:
        """To the file, at once, and in words to the terminal."""
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        if "error" not in row:
            self.known.add(key(row))
        print(f"{self.passed():5.0f} s: {say(row)}", flush=True)

    def passed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.begin

    @contextmanager
    def watched(self, row: Row, seconds: float) -> Iterator[None]:
        """End the process where a row takes longer: a kernel that waits for ever cannot be called back."""

        def give_up() -> None:
            self.write(row | {"error": f"TimeoutError: not done after {seconds:.0f} s"})
            os._exit(1)

        timer = threading.Timer(seconds, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def go_on_or_end(self) -> None:
        """After an error: some leave the device unusable for the rest of the process."""
        try:
            finished(self.device)
        except Exception as error:
            sys.exit(
                f"The device cannot be used any more after that row ({sentence(error)}); run again for the others."
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the file does not have yet."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="where the rows go, one JSON object a line")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing that would end after them")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"), help="cuda, cuda:1 or cpu")
    parser.add_argument("--tiny", action="store_true", help="sizes of next to nothing, to see that everything runs")
    given = parser.parse_args(arguments)
    if given.device.type == "cuda":
        if not torch.cuda.is_available():
            parser.error("there is no CUDA device here; --device cpu --tiny sees whether the benchmark runs")
        torch.cuda.set_device(given.device.index or 0)
    torch.backends.cuda.matmul.allow_tf32 = False
    rows = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    with given.out.open("a") as file, torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        run = Run(file, rows, given.device, tiny=given.tiny, budget=given.seconds)
        if left := run.all(given.only):
            print(f"{left} rows are left for another run: {given.seconds:.0f} s were not enough.")


if __name__ == "__main__":
    main()

"""The page and the drawings of a benchmark's results, made from its rows alone.

``python -m benchmarks.report benchmarks/results/recurrent.jsonl --out docs/``
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import plots
from benchmarks.rows import (
    ALLOCATORS,
    FORWARD,
    MODES,
    NAMES,
    Results,
    Row,
    flops,
    geometric_mean,
    label,
    level,
    ratio,
    recurrent_bytes,
    work,
)


@dataclass(frozen=True)
class Goal:
    """What the project set out for: how many times as long the other side takes.

    Attributes:
        text: what is held against what.
        table, mode, cells: the rows that show it; no mode or cells are all.
        other, ours: whose time is divided by whose.
        mean: of all rows, geometric; None where it is not asked for.
        least: of every row.
    """

    text: str
    table: str
    mode: str | None
    cells: tuple[str, ...]
    other: str
    ours: str
    mean: float | None
    least: float | None

    def rows(self, results: Results) -> list[Row]:
        """Those measured."""
        return [
            row
            for row in results.table(self.table, results.allocator)
            if self.other in row["times"]
            and self.mode in (None, row["mode"])
            and (not self.cells or row["cell"] in self.cells)
        ]

    def aim(self) -> str:
        """In words."""
        parts = [f"mean {self.mean}"] if self.mean else []
        return ", ".join([*parts, f"nowhere below {self.least}"] if self.least else parts)


BACK = "forward + backward"
GOALS = [
    Goal("RNN and GRU against torch.nn", "grid", FORWARD, ("RNN", "GRU"), "torch", "pellucid", 4.0, 1.5),
    Goal("RNN and GRU against torch.nn", "grid", BACK, ("RNN", "GRU"), "torch", "pellucid", 5.0, 1.5),
    Goal("LSTM against torch.nn (oneDNN)", "grid", FORWARD, ("LSTM",), "torch", "pellucid", 1.4, 1.0),
    Goal("LSTM against torch.nn (oneDNN)", "grid", BACK, ("LSTM",), "torch", "pellucid", 1.6, 1.0),
    Goal("LSTM and GRU against ONNX Runtime", "grid", FORWARD, ("LSTM", "GRU"), "onnxruntime", "pellucid", None, 1.0),
    Goal("a cell of one's own against a loop over it", "loops", None, (), "loop", "pellucid", 20.0, None),
    Goal("a cell of one's own against the built-in one", "my cell", None, (), "pellucid", "my cell", None, 0.9),
    Goal("ragged batch against torch's packed sequences", "ragged", None, (), "torch", "pellucid", None, 5.0),
    Goal("resets at 3 % of steps against none", "resets", FORWARD, (), "no resets", "pellucid", None, 0.95),
    Goal("resets at 3 % of steps against none", "resets", BACK, (), "no resets", "pellucid", None, 0.9),
    Goal("resets against the loop that clears the state", "resets", None, (), "loop", "pellucid", None, 5.0),
    Goal("one step of a stream against torch's LSTM", "one step", None, ("LSTM",), "torch", "pellucid", None, 20.0),
    Goal("bfloat16 against our float32", "bfloat16", FORWARD, (), "pellucid", "bfloat16", None, 1.6),
    Goal("bfloat16 against our float32", "bfloat16", BACK, (), "pellucid", "bfloat16", None, 1.5),
]
PEERS = ("torch", "torch.compile", "onnxruntime")
NOT_MEASURED = "Not measured in this run.\n"


# Words


def number(value: float) -> str:
    """Three digits, and no more than are known."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def times(value: float) -> str:
    """A ratio."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def share(value: float) -> str:
    """A part of a limit."""
    return f"{100 * value:.0f} %" if value >= 0.1 else f"{100 * value:.1f} %"


def named(name: str) -> str:
    """A side as the page calls it."""
    return NAMES.get(name, name)


Column = Callable[[Row], str]


def milliseconds(name: str) -> Column:
    """The median of one side."""
    return lambda row: number(1e3 * row["times"][name]["median"]) if name in row["times"] else ""


def against(other: str, ours: str = "pellucid") -> Column:
    """How many times as long the other takes."""
    return lambda row: times(ratio(row, other, ours)) if other in row["times"] else ""


def compared(rows: Sequence[Row], other: str, ours: str = "pellucid") -> str:
    """The geometric mean and the smallest of the ratios, where there are any."""
    found = [ratio(row, other, ours) for row in rows if other in row["times"]]
    return f"{times(geometric_mean(found))} ({times(min(found))})" if found else ""


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]], words: int = 1) -> str:
    """A table, whose first columns are words and whose others are numbers."""
    rule = ["---"] * words + ["--:"] * (len(header) - words)
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *lines]) + "\n"


def folded(summary: str, text: str) -> str:
    """What opens on a click."""
    return f"<details><summary>{summary}</summary>\n\n{text}\n</details>\n"


Key = tuple[str, ...]


def grouped(rows: Iterable[Row], *by: str) -> dict[Key, list[Row]]:
    """Rows that agree in some of their fields, in words; modes in their order."""
    groups: dict[Key, list[Row]] = {}
    for row in sorted(rows, key=lambda r: [MODES.index(r[f]) if f == "mode" else r[f] for f in by]):
        groups.setdefault(tuple(ALLOCATORS.get(row[f], str(row[f])) for f in by), []).append(row)
    return groups


# Sections


def goals(results: Results) -> str:
    """What was aimed at, what was found, and what the machine would allow."""
    lines = []
    for goal in GOALS:
        rows = goal.rows(results)
        if not rows:
            lines.append([goal.text, goal.mode or "both", goal.aim(), "not measured", *[""] * 5])
            continue
        ratios = [ratio(row, goal.other, goal.ours) for row in rows]
        mean, least = geometric_mean(ratios), min(ratios)
        reached = (goal.mean is None or mean >= goal.mean) and (goal.least is None or least >= goal.least)
        worst = rows[ratios.index(least)]
        where = f"{worst['cell']} {label(worst)}, {plots.counted(worst['threads'])}"
        lines.append(
            [
                goal.text,
                goal.mode or "both",
                goal.aim(),
                "yes" if reached else "no",
                where,
                times(least),
                times(mean),
                *_allowed(results, goal, rows, worst),
            ]
        )
    header = ["against", "mode", "goal", "reached", "smallest ratio at", "smallest", "mean"]
    header += ["possible there", "beyond the machine"]
    return (
        "How many times as long the other takes; the mean is geometric, over all rows measured. The last two columns say "
        "what the machine allows: an engine that did nothing but the products, at the peak of multiply-adds, or with a "
        "batch of 1 nothing but reading the weights from the nearest memory that holds them, would be so many times as "
        "fast as the other there; and in so many of the rows not even that engine would reach the least ratio of the goal "
        "(or its mean, where there is no least). Peak and bandwidth were measured in the same run, and can be exceeded: by "
        "some per cent where the processor was clocked higher, and by more where a cache holds a part of the weights.\n\n"
    ) + markdown(header, lines, words=5)


def _allowed(results: Results, goal: Goal, rows: list[Row], worst: Row) -> list[str]:
    """What an engine at the machine's limit would reach in the worst row, and in how many rows it would miss the goal."""
    if goal.ours != "pellucid" or goal.other == "no resets":
        return ["", ""]
    most = {id(row): row["times"][goal.other]["median"] / least_seconds(results, row) for row in rows}
    aim = goal.least or goal.mean
    assert aim is not None
    return [times(most[id(worst)]), f"{sum(m < aim for m in most.values())} of {len(rows)}"]


def least_seconds(results: Results, row: Row) -> float:
    """The least time in which the machine can do what a row needs: its products, and with a batch of 1 reading its weights."""
    limits = results.limits[row["threads"]]
    steps, batch, *_ = row["size"]
    seconds = flops(row) * row.get("share", 1.0) / limits["multiply_add_flops"]
    if batch == 1:
        weights = row.get("weights_bytes", recurrent_bytes(row))
        read = weights * steps * (1 if row["mode"] == FORWARD else 2)
        seconds = max(seconds, read / limits[f"{level(weights, row['threads'])}_bytes"])
    return seconds


def calls(results: Results) -> str:
    """What a call costs apart from its work, and what a step of one sequence costs apart from the call."""
    rows = {
        (row["cell"], row["mode"], row["threads"], *row["size"]): row
        for row in results.table("call", results.allocator)
    }
    if not rows:
        return NOT_MEASURED
    sides = ("pellucid", *PEERS)
    fixed = [
        [cell, mode, str(threads), *(_microseconds(row, name) for name in sides)]
        for (cell, mode, threads, *size), row in sorted(rows.items(), key=str)
        if size == [1, 1, 8, 8]
    ]
    each = []
    for (cell, mode, threads, steps, *size), long in sorted(rows.items(), key=str):
        short = rows.get((cell, mode, threads, 1, *size))
        if steps == 1 or short is None:
            continue
        times_of = [
            number(1e6 * (long["times"][n]["median"] - short["times"][n]["median"]) / (steps - 1))
            if n in long["times"]
            else ""
            for n in sides
        ]
        limit = least_seconds(results, long) / steps
        each.append([cell, str(threads), str(size[-1]), *times_of, number(1e6 * limit)])
    return (
        "One step of one sequence of 8 numbers, in microseconds: next to nothing to compute, so this is what a call costs "
        "by itself. In Pellucid the engine's own part is about 10 µs; the rest is Python and PyTorch's operators around "
        "it, which also allow autograd, tracing and every option. PyTorch's layers have theirs in C++, and ONNX Runtime "
        "has neither autograd nor options. Sizes whose whole time is a few times this cannot reach the goals' ratios.\n\n"
        + markdown(["cell", "mode", "threads", *map(named, sides)], fixed, words=3)
        + "\nWhat each further step of one sequence costs, in microseconds, from calls of 1 and of 2001 steps; and what "
        "reading its recurrent weights once takes at the bandwidth measured.\n\n"
        + markdown(["cell", "threads", "H", *map(named, sides), "weights once"], each, words=3)
    )


def _microseconds(row: Row, name: str) -> str:
    return number(1e6 * row["times"][name]["median"]) if name in row["times"] else ""


WHY = """The last columns of the table above say where the machine itself stands in the way. In words:

- **LSTM against torch.nn, forward.** PyTorch hands the LSTM to oneDNN. At large sizes oneDNN, ONNX Runtime and Pellucid are
  within some per cent of each other and of what the processor can multiply (the last columns of
  [every size](#every-size-of-the-grid)): there is nothing left to be 1.4 times as fast with. The mean over all sizes comes
  from the small ones, where a call's own cost decides ([what a call costs](#what-a-call-costs)).
- **LSTM against torch.nn, with gradients.** At large sizes oneDNN is up to a tenth faster. Of the engine's time at
  (256, 64, 128, 512) nine tenths are products, which run at 97 of the 117 GFLOP/s that the processor has, and nearly a tenth are
  the gates' operations, which are interpreted one by one over tiles (`perf record`, one thread). Both leave something: at the
  peak and without any gates the whole would be 1.15 times as fast as oneDNN, so 1.6 is beyond the machine, and 1.0 is not.
- **RNN and GRU against torch.nn.** At the largest sizes PyTorch's loop reaches 70 % of the peak and more, so that not even
  the peak is 1.5 times as fast. Where a step is small the ratios are far above the goal; the mean lies between.
- **ONNX Runtime.** With one sequence a further step costs the same on both, within a fifth; a call costs 8 to 10 times as
  much in Pellucid, and this is the smallest ratio's whole reason. Of the larger LSTMs ONNX Runtime is up to a fifth faster where
  the weights leave the nearer cache.
- **A loop over a cell.** A loop costs PyTorch 35 to 90 µs a step for its operators, whatever they compute, so the ratio is
  large where a step is small. With 32 sequences most of the loop's time are products, as in Pellucid, and in half of the rows
  not even an engine at the peak would be 20 times as fast.
- **Ragged batches and resets.** PyTorch's packed sequences do only the steps that exist, as Pellucid does, so forward the
  ratio is that of the two engines' products; with gradients the packing costs PyTorch more, and the ratio is far above the
  goal. Reading a mask adds some 0.1 ms a call, which is a tenth where the whole call is 1 ms.
- **One step at H = 1024.** The weights (34 MB of LSTM) do not fit the nearer caches, and both sides wait for memory: no
  engine could be 20 times as fast as PyTorch there.
- **bfloat16** multiplies twice as fast, and what is not a product stays: 1.4 to 2 times.
"""


def summary(results: Results) -> str:
    """The grid, a line for each cell, mode, number of threads and allocator."""
    groups = grouped(results.table("grid"), "cell", "mode", "threads", "allocator")
    if not groups:
        return NOT_MEASURED
    lines = [
        [*key, str(len(rows)), *(compared(rows, name) for name in PEERS), _nearest(results, rows)]
        for key, rows in groups.items()
    ]
    header = ["cell", "mode", "threads", "freed memory", "sizes", *map(named, PEERS), "of the nearer limit"]
    return (
        "How many times as long the others take as Pellucid: geometric mean over the sizes, and in brackets the "
        "smallest. ONNX Runtime only runs forward. The last column is the median, over the sizes, of the part that "
        "Pellucid reaches of what the machine can do at most; which parts that are is said under "
        "[limits](#the-machine-and-its-limits).\n\n"
    ) + markdown(header, lines, words=4)


def machine(results: Results) -> str:
    """What it is, and what it can do."""
    m = results.machine
    if not m:
        return NOT_MEASURED
    names = ["L1_bytes", "L2_bytes", "L3_bytes", "memory_bytes"]
    lines = [
        [str(n), number(limits["multiply_add_flops"] / 1e9), *(number(limits[name] / 1e9) for name in names)]
        for n, limits in sorted(results.limits.items())
    ]
    header = ["threads", "multiply-adds, GFLOP/s", *(f"{name.removesuffix('_bytes')}, GB/s" for name in names)]
    return (
        f"{m['processor']}, {m['cores']} cores, {m['system']}; Pellucid's code for {m['instruction_set']}; Python "
        f"{m['python']}, torch {m['torch']}; float32 where nothing else is said. Measured in the same run, by `benchmarks/limits.cpp`: "
        "independent multiply-adds in registers, and bytes read by all threads together from arrays of their own that "
        "fit in that cache:\n\n" + markdown(header, lines) + "\n"
        "GFLOP/s below are 2 · T · B · (I + H) · H · gates over the time, 3 times that for forward + backward: the "
        "products, without the gates' own arithmetic. With a batch of 1 each step reads all recurrent weights for one "
        "row, so there the bytes of these per second (forward + backward: twice their bytes a step) are held against "
        "the bandwidth of the nearest memory that holds them: L2 up to 1 MB a thread, L3 up to 32 MB, else memory. The "
        "nearer limit is the one of which more is reached. Where a table does not say what became of freed memory, it "
        f"was {ALLOCATORS[results.allocator]} ([the allocator's effect](#the-allocators-effect)).\n"
    )


def reached(results: Results, row: Row) -> tuple[float, str, float] | None:
    """GFLOP/s, the nearer limit, and the part of it that Pellucid reaches."""
    limits = results.limits.get(row["threads"])
    if limits is None:
        return None
    seconds = row["times"]["pellucid"]["median"]
    parts = {"multiply-adds": flops(row) / seconds / limits["multiply_add_flops"]}
    steps, batch, *_ = row["size"]
    if batch == 1:
        where = level(recurrent_bytes(row), row["threads"])
        read = recurrent_bytes(row) * steps * (1 if row["mode"] == FORWARD else 2)
        parts[where] = read / seconds / limits[f"{where}_bytes"]
    nearer = max(parts, key=lambda name: parts[name])
    return flops(row) / seconds / 1e9, nearer, parts[nearer]


def _nearest(results: Results, rows: list[Row]) -> str:
    found = [part[2] for row in rows if (part := reached(results, row))]
    return share(statistics.median(found)) if found else ""


def grid(results: Results) -> str:
    """All rows of the grid, folded."""
    groups = grouped(results.table("grid"), "cell", "mode", "threads", "allocator")
    if not groups:
        return NOT_MEASURED
    text, last = "A name without a unit says how many times as long it takes as Pellucid.\n\n", ""
    for (cell, mode, threads, allocator), rows in groups.items():
        if cell != last:
            text, last = text + f"### {cell}\n\n", cell
        header = ["T·B·I·H", "Pellucid, ms", "torch.nn, ms", *map(named, PEERS), "GFLOP/s", "of the limit", "which"]
        lines = []
        for row in sorted(rows, key=work):
            part = reached(results, row)
            lines.append(
                [label(row), milliseconds("pellucid")(row), milliseconds("torch")(row)]
                + [against(name)(row) for name in PEERS]
                + ([number(part[0]), share(part[2]), part[1]] if part else ["", "", ""])
            )
        about = f"{cell}, {mode}, {plots.counted(int(threads))}, freed memory {allocator}"
        text += folded(about, markdown(header, lines)) + "\n"
    return text


def simple(results: Results, table: str, columns: dict[str, Column], *by: str, about: str, fold: bool = False) -> str:
    """A table of one line a row: some of its fields, its size, and columns computed from it."""
    rows = results.table(table, results.allocator)
    if not rows:
        return NOT_MEASURED
    groups = grouped(rows, *by)
    lines = [[*key, label(row), *(f(row) for f in columns.values())] for key, group in groups.items() for row in group]
    text = markdown([*by, "T·B·I·H", *columns], lines, words=len(by) + 1)
    return about + "\n\n" * bool(about) + (folded("All rows", text) if fold else text)


def bandwidth(results: Results) -> Column:
    """The part of it that one step reaches."""

    def found(row: Row) -> str:
        limits = results.limits.get(row["threads"])
        if limits is None:
            return ""
        where = level(row["weights_bytes"], row["threads"])
        read: float = row["weights_bytes"] / row["times"]["pellucid"]["median"]
        return f"{share(read / limits[f'{where}_bytes'])} of {where}"

    return found


def memory(results: Results) -> str:
    """What is kept for the backward pass."""
    rows = results.table("memory", results.allocator)
    if not rows:
        return NOT_MEASURED
    names = list(dict.fromkeys(name for row in rows for name in row["units"]))
    lines = dict.fromkeys(
        (row["cell"], label(row), *(f"{row['units'][n]:.2f}" if n in row["units"] else "" for n in names))
        for row in rows
    )
    about = (
        "Kept by a forward pass for the backward pass, besides x and the parameters, in units of T · B · H numbers.\n\n"
    )
    return about + markdown(["cell", "T·B·I·H", *map(named, names)], lines, words=2)


def loops(results: Results) -> str:
    """Cells that torch has not."""
    rows = results.table("loops", results.allocator)
    if not rows:
        return NOT_MEASURED
    about = (
        "Cells that torch has not, against a loop over the steps in PyTorch (the input's projection is one product for "
        "all of them) and, at some sizes, that loop with its step under torch.compile. Geometric mean over the sizes, "
        "and in brackets the smallest.\n\n"
    )
    lines = [
        [*key, str(len(group)), compared(group, "loop"), compared(group, "compiled loop")]
        for key, group in grouped(rows, "cell", "mode", "threads").items()
    ]
    found = about + markdown(["cell", "mode", "threads", "sizes", "loop", "compiled loop"], lines, words=3)
    columns = {
        "Pellucid, ms": milliseconds("pellucid"),
        "loop, ms": milliseconds("loop"),
        "loop / Pellucid": against("loop"),
        "compiled loop / Pellucid": against("compiled loop"),
    }
    return found + "\n" + simple(results, "loops", columns, "cell", "mode", "threads", about="", fold=True)


def allocator(results: Results) -> str:
    """Rows of the grid that were measured under both."""
    pairs: dict[tuple[object, ...], dict[str, Row]] = {}
    for row in results.table("grid"):
        pairs.setdefault((row["cell"], label(row), row["mode"], row["threads"]), {})[row["allocator"]] = row
    twice = [pair for pair in pairs.values() if len(pair) == 2]
    if not twice:
        return NOT_MEASURED
    names = ["pellucid", *PEERS]
    lines = []
    for key, rows in grouped((pair["keeps"] for pair in twice), "cell", "mode", "threads").items():
        cells = []
        for name in names:
            found = [
                pairs[row["cell"], label(row), row["mode"], row["threads"]]["system"]["times"][name]["median"]
                / row["times"][name]["median"]
                for row in rows
                if name in row["times"]
            ]
            cells.append(
                f"{times(geometric_mean(found))} ({times(min(found))} to {times(max(found))})" if found else ""
            )
        lines.append([*key, str(len(rows)), *cells])
    return (
        "glibc gives large freed blocks back to the system, and the next call pays for fresh pages. Its tunables can "
        "tell it to keep them (`GLIBC_TUNABLES`, as in `benchmarks/recurrent.py`). How many times as long each side "
        "takes where freed memory is given back: geometric mean over the sizes measured both ways, and the range. The "
        "two were measured in different processes, so small differences are noise.\n\n"
    ) + markdown(["cell", "mode", "threads", "sizes", *map(named, names)], lines, words=3)


HOW = """Every number is the time of one call of one layer, on the processor (of one step: a hundredth of a hundred
calls). The sides are called in turn in one process, so that a noisy machine is noisy for all: after a pause in which
other sides' threads fall asleep, one call that does not count and some that do; at least three, for some tenths of a
second a side. Times are medians,
ranges are quartiles, and the bar of a ratio goes from one side's lower quartile over the other's upper to the
reverse. Weights are the same wherever sides are compared across libraries, and their outputs have to agree before
anything is timed (but for one step). Forward runs without gradients; forward + backward asks for those of the input
and of all parameters. All sides have the same number of threads.

```
make bench-recurrent     # an hour or more; goes on where it was stopped; writes this page and its drawings at the end
```

The rows are in [benchmarks/results/recurrent.jsonl](../benchmarks/results/recurrent.jsonl), one JSON object a line;
the code is in `benchmarks/`. To measure anew, remove that file first. `python -m benchmarks.report
benchmarks/results/recurrent.jsonl --out docs/` makes the page from the rows alone.
"""


def page(results: Results) -> str:
    """All of it, in Markdown."""
    ours, theirs = {"Pellucid, ms": milliseconds("pellucid")}, {"torch.nn, ms": milliseconds("torch")}
    each = ("cell", "mode", "threads")
    sections = {
        "Goals, and what was measured": goals(results),
        "Why some goals are not reached": WHY,
        "Each cell, mode and number of threads": summary(results),
        "What a call costs": calls(results),
        "The machine and its limits": machine(results),
        "Growth": simple(
            results,
            "growth",
            ours | theirs | {"torch.nn / Pellucid": against("torch")},
            *each,
            about="![Time against the number of steps and against the batch](recurrent-growth.svg)",
            fold=True,
        ),
        "A cell of one's own": simple(
            results,
            "my cell",
            {"built-in, ms": milliseconds("pellucid"), "own, ms": milliseconds("my cell")}
            | {"own / built-in": against("my cell")},
            "mode",
            "threads",
            about="The LSTM's equations written anew as a `Cell`, against `pellucid.nn.LSTM`: 1 is the same time.",
        ),
        "Cells that torch has not": loops(results),
        "Ragged batches": simple(
            results,
            "ragged",
            {"steps that exist": lambda row: share(row["share"])}
            | {"time of the padded": lambda row: share(1 / ratio(row, "padded"))}
            | ours
            | {"packed, ms": milliseconds("torch"), "packed / Pellucid": against("torch")},
            *each,
            about="Lengths drawn evenly from 1 to T. Pellucid's time is held against that of the same batch with every "
            "sequence at full length: the share of steps that exist is what it could come down to. Packed is torch.nn, "
            "with packing and unpacking, unsorted.",
        ),
        "Resets": simple(
            results,
            "resets",
            ours
            | {"with / without": lambda row: times(1 / ratio(row, "no resets"))}
            | {"loop, ms": milliseconds("loop"), "loop / Pellucid": against("loop")},
            *each,
            about="At 3 % of the steps the state starts anew. The loop calls torch.nn's layer for each step, with the "
            "state cleared where it has to be.",
        ),
        "One step": simple(
            results,
            "one step",
            {"Pellucid, µs": lambda row: number(1e6 * row["times"]["pellucid"]["median"])}
            | {"torch.nn, µs": lambda row: number(1e6 * row["times"]["torch"]["median"])}
            | {"torch.nn / Pellucid": against("torch"), "bandwidth reached": bandwidth(results)},
            "cell",
            "threads",
            about="`layer.stream(1).step(x)` against torch.nn's layer on a sequence of one step. All weights are read "
            "for one row: the last column is their bytes per second against the bandwidth of the nearest memory that "
            "holds them.",
        ),
        "bfloat16": simple(
            results,
            "bfloat16",
            {"float32, ms": milliseconds("pellucid"), "bfloat16, ms": milliseconds("bfloat16")}
            | {"float32 / bfloat16": lambda row: times(1 / ratio(row, "bfloat16"))},
            *each,
            about="Weights and activations in bfloat16, sums in float32, against float32, both on the engine.",
        ),
        "Memory": memory(results),
        "The allocator's effect": allocator(results),
        "Every size of the grid": grid(results),
        "How the figures were got, and how to get them again": HOW,
    }
    head = "<!-- Written by benchmarks/report.py: change it there. -->\n# Speed of the recurrent layers\n\n"
    if results.table("grid"):
        head += "![How many times as long as Pellucid the others take, at each size](recurrent-speed.svg)\n\n"
    return head + "\n".join(f"## {title}\n\n{text}" for title, text in sections.items())


def main() -> None:
    """Write the page and its drawings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="the rows that benchmarks.recurrent wrote")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="the folder for speed.md and the drawings")
    given = parser.parse_args()
    results = Results.read(given.results)
    plots.speed(results, given.out / "recurrent-speed.svg")
    plots.growth(results, given.out / "recurrent-growth.svg")
    (given.out / "speed.md").write_text(page(results))


if __name__ == "__main__":
    main()

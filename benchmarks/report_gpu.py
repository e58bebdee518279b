"""The page of the GPU benchmark's results, made from its rows alone.

``python -m benchmarks.report_gpu benchmarks/results/gpu.jsonl --out docs/``
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu_sides import TORCH
from benchmarks.report import (
    NOT_MEASURED,
    Column,
    compared,
    folded,
    grouped,
    markdown,
    milliseconds,
    number,
    share,
    times,
)
from benchmarks.rows import FORWARD, MODES, NAMES, Row, geometric_mean, label, ratio, spread
from pellucid.ops.cuda.cudnn import TABLE


@dataclass(frozen=True)
class Device:
    """What was measured on one of them.

    Attributes:
        facts: as its last row names it.
        rows: measured; of one that was measured again the last.
        errors: rows that could not be measured.
        ceilings: multiply-adds a second by number type, and bytes a second of a ``"copy"``.
    """

    facts: Row
    rows: list[Row]
    errors: list[Row]
    ceilings: dict[str, float]

    @classmethod
    def each(cls, path: Path) -> list[Device]:
        """Those of a file, in the order in which they come there; what was measured at tiny sizes is apart."""
        by_device: dict[tuple[str, bool], list[Row]] = {}
        for row in map(json.loads, path.read_text().splitlines()):
            by_device.setdefault((row["device"], row["tiny"]), []).append(row)
        return [cls._of(rows) for rows in by_device.values()]

    @classmethod
    def _of(cls, rows: list[Row]) -> Device:
        ceilings: dict[str, float] = next((row["ceilings"] for row in reversed(rows) if "ceilings" in row), {})
        last = {
            (row["table"], row["cell"], *row["size"], row["dtype"], row["mode"]): row for row in rows if "cell" in row
        }
        errors = [row for row in last.values() if "error" in row]
        return cls(rows[-1], [row for row in last.values() if "error" not in row], errors, ceilings)

    def table(self, name: str) -> list[Row]:
        """Its rows."""
        return [row for row in self.rows if row["table"] == name]

    def agreeing(self, name: str) -> list[Row]:
        """Those of its rows whose result is right: the time of a wrong one says nothing."""
        return [row for row in self.table(name) if not differs(row)]

    def empty(self, row: Row) -> float | None:
        """Seconds of a row's steps where next to nothing is computed in them, if that was measured."""
        same = ("cell", "mode", "dtype")
        found = [
            other["times"]["pellucid"]["median"]
            for other in self.table("empty")
            if all(other[name] == row[name] for name in same) and other["size"][:2] == row["size"][:2]
        ]
        return found[0] if found else None

    def floor(self, row: Row) -> tuple[float, str] | None:
        """The least seconds in which this device can do what a row needs, and which of its limits that is."""
        if not self.ceilings:
            return None
        limits = {
            "multiply-adds": row["multiply_adds"] / self.ceilings[row["dtype"]],
            "bytes": row["bytes"] / self.ceilings["copy"],
        }
        nearer = max(limits, key=lambda name: limits[name])
        return limits[nearer], nearer


# What is right

# The most that rounding one number changes it by, relatively.
ROUNDING = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24}


def differs(row: Row) -> str:
    """What is wrong with Pellucid's result, or nothing.

    The other sides of its number type do the same arithmetic in another order, so their distance from the wider type is what
    rounding does; more than four times the largest of them is taken for a mistake. Where nobody does the same, more than 16
    roundings are: every step rounds a few times, and a gated state forgets what came long before. What is no number is wrong.
    """
    errors = dict(row["relative_error"])
    ours = errors.pop("pellucid", {})
    unit = ROUNDING[row["dtype"]]
    for what, error in ours.items():
        others = [e[what] for name, e in errors.items() if "float16" not in name and what in e]
        most = max(unit, 4 * max(others)) if others else 16 * unit
        if not error <= most:
            return f"{what} is {error:.1e} from the truth, and {most:.1e} would be rounding"
    return ""


def error_of(name: str) -> Column:
    """The largest error of a side's results."""

    def found(row: Row) -> str:
        errors = row["relative_error"].get(name, {})
        return f"{max(errors.values()):.1e}" if errors else ""

    return found


def right(row: Row) -> str:
    """Whether Pellucid's result is, where that was seen."""
    return "no" if differs(row) else "yes" if row["relative_error"] else ""


def named(side: str) -> str:
    """A side as the page calls it."""
    return NAMES.get(side, side.replace("torch,", "torch.nn,"))


# Columns


def quartiles(name: str) -> Column:
    """Between which half of a side's calls lie, in milliseconds."""

    def found(row: Row) -> str:
        timing = row["times"].get(name)
        return "" if timing is None else f"{number(1e3 * timing['low'])} to {number(1e3 * timing['high'])}"

    return found


def against(name: str) -> Column:
    """How many times as long the other takes, and between which of the quartiles' ratios."""

    def found(row: Row) -> str:
        if name not in row["times"]:
            return "failed" if name in row["failed"] else ""
        low, high = spread(row, name)
        return f"{times(ratio(row, name))} ({times(low)} to {times(high)})"

    return found


def limits(device: Device) -> dict[str, Column]:
    """The floor, the empty steps, and the part of the time that the larger of them is."""

    def floor(row: Row) -> str:
        found = device.floor(row)
        return "" if found is None else f"{number(1e3 * found[0])} {found[1]}"

    def steps(row: Row) -> str:
        found = device.empty(row)
        return "" if found is None else number(1e3 * found)

    def part(row: Row) -> str:
        found = reached(device, row)
        return "" if found is None else share(found)

    return {"floor, ms": floor, "empty steps, ms": steps, "of the larger": part}


def reached(device: Device, row: Row) -> float | None:
    """The part of a row's time that the larger of its floor and its empty steps is."""
    floor = device.floor(row)
    if floor is None:
        return None
    least: float = max(floor[0], device.empty(row) or 0.0)
    return least / float(row["times"]["pellucid"]["median"])


# Sections

TORCH_HAS = ("torch", "torch, float16")
BY_BOTH = ("by cuDNN", "torch")
SECTIONS: dict[str, tuple[str, tuple[str, ...]]] = {  # by table, the title and who stands beside Pellucid
    "plain": ("Cells that torch has", TORCH_HAS),
    "large": ("The same, large", TORCH_HAS),
    "float16": ("float16, by both paths", BY_BOTH),
    "float32": ("float32, by both paths", BY_BOTH),
    "custom": ("Cells that torch has not", ("loop", "loop, CUDA graph")),
    "compiled": ("Beside torch.compile", ("loop", "torch.compile")),
    "resets": ("Resets", ("no resets", "torch, packed", "torch, padded")),
}


def summary(device: Device, table: str, others: Sequence[str]) -> str:
    """A line for each cell and mode, and one for all of a mode."""
    rows = [row for row in device.agreeing(table) if len(row["times"]) > 1]
    if not rows:
        return NOT_MEASURED
    groups = grouped(rows, "cell", "mode") | {("all", mode): g for (mode,), g in grouped(rows, "mode").items()}
    lines = []
    for key, group in groups.items():
        parts = [part for row in group if (part := reached(device, row)) is not None]
        middle = share(statistics.median(parts)) if parts else ""
        lines.append([*key, str(len(group)), *(compared(group, name) for name in others), middle])
    return markdown(["cell", "mode", "sizes", *map(named, others), "of the larger limit"], lines, words=2)


def rows_of(device: Device, table: str, others: Sequence[str]) -> str:
    """All rows of a table, folded by mode; a column that says nothing is left out."""
    columns: dict[str, Column] = {"Pellucid, ms": milliseconds("pellucid"), "quartiles": quartiles("pellucid")}
    for name in others:
        columns |= {f"{named(name)}, ms": milliseconds(name), f"{named(name)} / Pellucid": against(name)}
    columns |= limits(device) | {"error": error_of("pellucid")}
    columns |= {f"error of {named(name)}": error_of(name) for name in others} | {"right": right}
    text = ""
    for (mode,), rows in grouped(device.table(table), "mode").items():
        found = {title: [column(row) for row in rows] for title, column in columns.items()}
        found = {title: cells for title, cells in found.items() if any(cells)}
        lines = [[row["cell"], label(row), *cells] for row, *cells in zip(rows, *found.values(), strict=True)]
        text += folded(f"{table}, {mode}", markdown(["cell", "T·B·I·H", *found], lines, words=2)) + "\n"
    return text


@dataclass(frozen=True)
class Goal:
    """What was to be reached against one of the others.

    Attributes:
        table, other: where, and against whom.
        mean, least: of how many times as long the other takes; the mean is geometric, over a table's sizes.
        modes: in which.
    """

    table: str
    other: str
    mean: tuple[float, float] | None = None
    least: float = 0.0
    modes: Sequence[str] = MODES


GOALS = (
    Goal("custom", "loop", (50.0, 50.0)),
    Goal("compiled", "torch.compile", (5.0, 5.0)),
    Goal("plain", "torch", (1.3, 1.2), 1.0),
    Goal("large", "torch", (1.0, 1.0)),
    Goal("resets", "no resets", least=0.95),
    Goal("resets", "torch, padded", least=3.0),
    Goal("heads", "FlashRNN", least=1.3, modes=(FORWARD,)),
)


def goals(device: Device) -> str:
    """What was to be reached, and what was."""
    lines = []
    for goal in GOALS:
        for mode in goal.modes:
            ratios = {}
            for row in device.agreeing(goal.table):
                taken = row.get("published", {}).get(goal.other) or row["times"].get(goal.other, {}).get("median")
                if row["mode"] == mode and taken:
                    ratios[f"{row['cell']} {label(row)}"] = taken / row["times"]["pellucid"]["median"]
            if not ratios:
                continue
            mean, least = geometric_mean(ratios.values()), min(ratios, key=lambda name: ratios[name])
            wanted = None if goal.mean is None else goal.mean[MODES.index(mode)]
            reached = mean >= (wanted or 0.0) and ratios[least] >= goal.least
            asked = [f"mean {wanted}"] if wanted is not None else []
            asked += [f"nowhere below {goal.least}"] if goal.least else []
            name = goal.other if goal.table == "heads" else f"{goal.table}, {named(goal.other)}"
            figures = (number(mean), number(ratios[least]), least)
            lines.append([name, mode, ", ".join(asked), "yes" if reached else "no", *figures])
    if not lines:
        return NOT_MEASURED
    about = (
        "How many times as long the other takes. FlashRNN's times are those that its authors published, on an H100.\n\n"
    )
    titles = ["table and other", "mode", "goal", "reached", "mean", "smallest", "smallest at"]
    return about + markdown(titles, lines, words=4)


def meeting(device: Device) -> str:
    """What a step takes where next to nothing is computed in it, by how many blocks share a sequence's units."""
    rows = [row for row in device.rows if row["table"] == "meeting"]
    if not rows:
        return NOT_MEASURED
    lines = []
    for cell in dict.fromkeys(row["cell"] for row in rows):
        each = {row["mode"]: row for row in rows if row["cell"] == cell}
        seconds = {mode: row["times"]["pellucid"]["median"] / row["size"][0] for mode, row in each.items()}
        forward, both = (seconds.get(mode) for mode in MODES)
        backward = None if forward is None or both is None else both - forward
        figures = ["" if v is None else number(1e6 * v) for v in (forward, backward)]
        lines.append([cell.partition(", ")[2], str(next(iter(each.values()))["size"][3]), *figures])
    about = (
        f"Microseconds a step, one sequence of {rows[0]['size'][0]:,} steps, eight units a block, so that a step is next to nothing but the blocks' "
        "waiting for one another. A block alone waits for its own threads; a cluster stores into its blocks' shared memory, and a "
        "grid meets in the GPU's memory. What a way costs more than the first line is its barrier, with the exchange of a step's "
        "values in it. The backward pass is the time of both passes less the forward pass's.\n\n"
    )
    return about + markdown(["shared out to", "H", "forward", "backward"], lines, words=1)


def measured_paths(device: Device) -> list[list[object]]:
    """cuDNN's time over that of Pellucid's kernels: cell, number type, whether gradients were computed, T, B, H, ratio.

    Where only torch.nn stands beside Pellucid, its time is taken for what its kernels would take in Pellucid's layer.
    """
    found: list[list[object]] = []
    for row in device.rows:
        other = {"float16": "by cuDNN", "float32": "by cuDNN", "plain": "torch", "large": "torch"}.get(row["table"])
        if other in row["times"] and not differs(row):
            steps, batch, _, hidden = row["size"]
            gradients = row["mode"] != FORWARD
            found.append([row["cell"], row["dtype"], gradients, steps, batch, hidden, round(ratio(row, other), 3)])
    return found


def write_paths(devices: Iterable[Device]) -> None:
    """The table by which the library chooses, of the device on which most was measured."""
    real = [device for device in devices if not device.facts["tiny"]]
    most = max(real, key=lambda device: len(measured_paths(device)), default=None)
    if most is not None and (rows := measured_paths(most)):
        facts = {name: most.facts[name] for name in ("device", "torch", "cudnn")}
        lines = ",\n".join("  " + json.dumps(row) for row in rows)
        TABLE.write_text(f'{json.dumps(facts)[:-1]}, "rows": [\n{lines}\n]}}\n')


def published(device: Device) -> str:
    """Beside what others published, which was measured elsewhere."""
    rows = [row for row in device.rows if "published" in row and not differs(row)]
    if not rows:
        return NOT_MEASURED
    lines = [
        [row["cell"], label(row), milliseconds("pellucid")(row), milliseconds("projection alone")(row)]
        + [f"{name} {number(1e3 * seconds)}" for name, seconds in row["published"].items()]
        for row in rows
    ]
    about = (
        "Forward, milliseconds. Published: Pöppel, Beck and Hochreiter 2024, FlashRNN (arXiv:2412.07752), on an H100, the faster "
        "of its two kernels, and what that paper found for cuDNN's LSTM; not measured here. The input's projection is not in "
        "FlashRNN's times and is in Pellucid's; what it costs alone stands beside.\n\n"
    )
    return about + markdown(["cell", "T·B·I·H", "Pellucid", "projection alone", "published"], lines, words=2)


def failures(device: Device) -> str:
    """What could not be measured, what was measured and is wrong, and where torch has no kernel of cuDNN's."""
    lines = [[*_name(row), "Pellucid", row["error"]] for row in device.errors]
    for row in device.rows:
        own = [side for side in row["times"] if side in TORCH and side not in row["on_cudnn"]]
        lines += [[*_name(row), named(side), "not on cuDNN: torch's own loop"] for side in own]
        lines += [[*_name(row), named(side), why] for side, why in row["failed"].items()]
        if why := differs(row):
            lines.append([*_name(row), "Pellucid", why])
    if not lines:
        return "None.\n"
    return markdown(["table", "cell", "T·B·I·H", "number type", "mode", "side", "what"], lines, words=7)


def _name(row: Row) -> list[str]:
    return [row["table"], row["cell"], label(row), row["dtype"], row["mode"]]


def compiling(rows: Iterable[Row]) -> str:
    """What first calls took."""
    lines = []
    for (table, mode), group in grouped(rows, "table", "mode").items():
        sides = dict.fromkeys(name for row in group for name in row["first"])
        for side in sides:
            seconds = sorted(row["first"][side] for row in group if side in row["first"])
            figures = (seconds[0], statistics.median(seconds), seconds[-1])
            lines.append([table, mode, named(side), str(len(seconds)), *map(number, figures)])
    if not lines:
        return NOT_MEASURED
    return markdown(["table", "mode", "side", "rows", "least, s", "median, s", "most, s"], lines, words=3)


def ceilings(device: Device) -> str:
    """What it can do at most."""
    if not device.ceilings:
        return NOT_MEASURED
    rates = {n: f"{number(2 * v / 1e12)} TFLOP/s" for n, v in device.ceilings.items() if n != "copy"}
    lines = [[f"matrix product, {name}", rate] for name, rate in rates.items()]
    lines.append(["copy within the device, read and written", f"{number(device.ceilings['copy'] / 1e9)} GB/s"])
    return markdown(["", "measured in the same run"], lines)


def device_page(device: Device) -> str:
    """All that was found on a device."""
    facts = device.facts
    versions = [f"torch {facts['torch']}"]
    versions += [
        f"{name} {facts[key]}"
        for name, key in (("CUDA", "cuda"), ("cuDNN", "cudnn"), ("driver", "driver"))
        if facts[key]
    ]
    tables = {
        title: summary(device, table, others) + "\n" + rows_of(device, table, others)
        for table, (title, others) in SECTIONS.items()
    }
    sections = {
        "Goals, and what was measured": goals(device),
        "Its limits": ceilings(device),
        **tables,
        "Recurrence by heads": rows_of(device, "heads", ("projection alone",)),
        "Beside what others published": published(device),
        "What it costs that blocks meet": meeting(device),
        "First calls": compiling(device.rows),
        "What failed, what differs, and what is not on cuDNN": failures(device),
    }
    missing = [title for title, text in sections.items() if not text.replace(NOT_MEASURED, "").strip()]
    if missing:
        sections = {title: text for title, text in sections.items() if title not in missing}
        sections["What is not there"] = f"{NOT_MEASURED.strip()} {'; '.join(missing)}.\n"
    head = f"## {facts['device']}\n\n{', '.join(versions)}.\n\n"
    if facts["tiny"]:
        head += "Tiny sizes, only to see that the benchmark runs: **none of these figures means anything**.\n\n"
    return head + "\n".join(f"### {title}\n\n{text}" for title, text in sections.items())


HOW = """## How the figures were got, and how to get them again

Every number is the time of one call of one layer by the device's own clock: calls are queued one after the other between events,
so where queueing takes the processor longer than the work takes the device, that is what is seen, as it is in a training loop.
The sides take turns in one process, five turns of some calls each; times are medians, and what stands beside them are quartiles.
The range of a ratio goes from one side's lower quartile over the other's upper to the reverse. A ratio says how many times as long
the other side takes as Pellucid; in a summary it is the geometric mean over the sizes, and in brackets the smallest.

- *forward* runs without gradients; *forward + backward* also computes those of the input and of all parameters, without an optimiser.
- *torch.nn* is cuDNN in the same number type; where torch did not hand the layer to it, that is said under what failed. Above
  H = 192 (LSTM and GRU, forward; 128 with gradients) torch has cuDNN keep the weights on the chip in float16 alone, so bfloat16's
  rows have that as a side of its own. In bfloat16 torch leaves the weights scattered, which cuDNN copies together at every call;
  here they lie together, so that cuDNN is measured and not the copy.
- *loop* is the cell as one writes it in PyTorch, the input's projection one product for all steps; *loop, CUDA graph* the same
  recorded once and replayed, which spares the processor, needs fixed sizes and fixed memory, and is as fast as such a loop can be;
  *torch.compile* the same with all steps in one compiled graph.
- *by cuDNN* is Pellucid's layer on cuDNN's kernels, whatever the rule says: the library takes for a plain layer the path that was
  faster at the nearest of these sizes (of bfloat16, where torch.nn stands beside it, that of the tables before). What *torch.nn*
  takes less than it is the call: weights that lie together, and no Python.
- *torch, packed* and *torch, padded* run cuDNN on the segments between resets, as a PackedSequence and padded to the longest. Where
  the segments begin is computed before anything is timed; putting them in order and back is timed.
- The *error* is the length of the difference from the same layer in a wider number type (float32 for bfloat16, float64 for float32),
  over the length of that: the larger of output and input gradient. tf32 is off everywhere. *right*: no more than four times the
  error of the other sides in the same number type, which do the same arithmetic in another order; a row that is not stands in no
  mean.
- The *floor* is the larger of two times, each at the limit measured above: the products' multiply-adds, and input, output,
  parameters, their gradients and what is kept for the backward pass, moved once. The *empty steps* are the same number of steps of
  as many sequences with H = I = 16, where next to nothing is computed: what the sequence of steps costs by itself.
- A first call's time is by the host's clock and contains what is compiled for it.

```
make bench-gpu     # some minutes; goes on where it was stopped; writes this page at the end
```

The rows are in [benchmarks/results/gpu.jsonl](../benchmarks/results/gpu.jsonl), one JSON object a line; to measure anew, remove that
file first.
"""


def page(devices: Sequence[Device]) -> str:
    """All of it, in Markdown."""
    head = (
        "<!-- Written by benchmarks/report_gpu.py: change it there. -->\n# Speed of the recurrent layers on a GPU\n\n"
    )
    return head + "\n".join([*map(device_page, devices), HOW])


def main() -> None:
    """Write the page and the table by which the library chooses between its kernels and cuDNN's; print the summaries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="the rows that benchmarks.gpu wrote")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="the folder for speed-gpu.md")
    given = parser.parse_args()
    devices = Device.each(given.results)
    (given.out / "speed-gpu.md").write_text(page(devices))
    write_paths(devices)
    for device in devices:
        print(device.facts["device"])
        for table, (_, others) in SECTIONS.items():
            print(f"\n{table}\n{summary(device, table, others)}")
        print(f"\nfailed or different\n{failures(device)}")


if __name__ == "__main__":
    main()

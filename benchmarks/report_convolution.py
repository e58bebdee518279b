"""The page of the convolution benchmark, made from its rows alone.

``python -m benchmarks.report_convolution benchmarks/results/convolution.jsonl --out docs/``
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import against, compared, folded, grouped, markdown, milliseconds, named, number, share, times
from benchmarks.rows import ALLOCATORS, FORWARD, Results, Row, geometric_mean, ratio

PEERS = ("torch", "channels last", "torch.compile", "onnxruntime")
BACK = "forward + backward"


@dataclass(frozen=True)
class Goal:
    """What the project set out for.

    Attributes:
        text: what is held against what.
        table, mode: the rows that show it.
        others: of these the fastest.
        mean, least: of the ratios; None where it is not asked for.
        layer: only of layers whose name begins so.
    """

    text: str
    table: str
    mode: str
    others: tuple[str, ...]
    mean: float | None
    least: float | None
    layer: str = ""


GOALS = [
    Goal("torch eager, whole block", "block", FORWARD, ("torch",), 4.0, 1.0),
    Goal("torch eager, whole block", "block", BACK, ("torch",), 3.0, 1.0),
    Goal("torch eager channels-last, whole block", "block", FORWARD, ("channels last",), None, 1.0),
    Goal("torch eager channels-last, whole block", "block", BACK, ("channels last",), None, 1.0),
    Goal("ONNX Runtime, whole block", "block", FORWARD, ("onnxruntime",), 1.3, 0.95),
    Goal("torch's max pooling alone", "pooling", FORWARD, ("torch",), 10.0, None, "Max"),
    Goal("torch's max pooling alone", "pooling", BACK, ("torch",), 5.0, None, "Max"),
]


def label(row: Row) -> str:
    """The size in words."""
    return "·".join(str(v) for v in row["size"] if v != "")


def goals(results: Results) -> str:
    """What was aimed at, and what was found."""
    lines = []
    for goal in GOALS:
        rows = [r for r in results.table(goal.table, results.allocator) if r["mode"] == goal.mode]
        rows = [r for r in rows if r["cell"].startswith(goal.layer) and any(o in r["times"] for o in goal.others)]
        aim = ", ".join(
            [f"mean {goal.mean}"] * (goal.mean is not None) + [f"nowhere below {goal.least}"] * (goal.least is not None)
        )
        if not rows:
            lines.append([goal.text, goal.mode, aim, "not measured", *[""] * 5])
            continue
        ratios = [min(ratio(r, o) for o in goal.others if o in r["times"]) for r in rows]
        possible = [
            min(r["times"][o]["median"] for o in goal.others if o in r["times"]) / least_seconds(results, r)
            for r in rows
        ]
        mean, least = geometric_mean(ratios), min(ratios)
        reached = (goal.mean is None or mean >= goal.mean) and (goal.least is None or least >= goal.least)
        worst = rows[ratios.index(least)]
        where = f"{label(worst)}, {worst['threads']} threads".replace(" 1 threads", " 1 thread")
        least_aim = goal.least or goal.mean
        assert least_aim is not None
        lines.append(
            [
                goal.text,
                goal.mode,
                aim,
                "yes" if reached else "no",
                where,
                times(least),
                times(mean),
                times(possible[ratios.index(least)]),
                times(geometric_mean(possible)),
            ]
        )
    for mode, aim in ((FORWARD, 0.8), (BACK, 0.65)):
        rows = [r for r in results.table("block", results.allocator) if r["mode"] == mode and _is_large(r)]
        if rows:
            parts = [_part(results, r) for r in rows]
            least = min(parts)
            where = label(rows[parts.index(least)])
            reached_all = "yes" if least >= aim else "no"
            lines.append(
                [
                    "multiply-add peak, C >= 32",
                    mode,
                    share(aim),
                    reached_all,
                    where,
                    share(least),
                    share(geometric_mean(parts)),
                    "",
                    "",
                ]
            )
    header = ["against", "mode", "goal", "reached", "smallest at", "smallest", "mean"]
    header += ["possible there", "possible mean"]
    return (
        "The last two columns say what the machine allows: an engine that did nothing but add up all products, at the peak of "
        "multiply-adds, or of pooling alone nothing but reading the input (and with gradients writing its gradient) at the "
        "speed of the third cache, would be so many times as fast as the other there, and in the mean. Minimal filtering, by which "
        "kernels of 3x3 and 5x5 with 16 channels and filters or more are computed, takes some third of the products, and along "
        "one axis two thirds (of gradients of filters half), so that it may lie above; parts of the peak are of all products, too.\n\n"
    ) + markdown(header, lines, words=5)


def least_seconds(results: Results, row: Row) -> float:
    """The least time in which the machine can do what a row needs."""
    limits = results.limits[row["threads"]]
    if row["table"] == "block":
        return float(row["flops"] / limits["multiply_add_flops"])
    batch, channels, sizes = row["size"][:3]
    numbers = batch * channels * math.prod(int(n) for n in sizes.split("x"))
    return float(4 * numbers * (1 if row["mode"] == FORWARD else 2) / limits["L3_bytes"])


def _is_large(row: Row) -> bool:
    return row["size"][1] >= 32 and "groups" not in row["size"][5]


def _part(results: Results, row: Row) -> float:
    """Of the multiply-add peak."""
    found: float = (
        row["flops"] / row["times"]["pellucid"]["median"] / results.limits[row["threads"]]["multiply_add_flops"]
    )
    return found


def summary(results: Results, table: str) -> str:
    """A line for each mode and number of threads: geometric means."""
    lines = [
        [*key, str(len(rows)), *(compared(rows, name) for name in PEERS)]
        for key, rows in grouped(results.table(table, results.allocator), "cell", "mode", "threads").items()
    ]
    return markdown(["layer", "mode", "threads", "sizes", *map(named, PEERS)], lines, words=3)


def rows_of(results: Results, table: str, peers: Sequence[str]) -> str:
    """All of them."""
    text = ""
    for (mode, threads), rows in grouped(results.table(table, results.allocator), "mode", "threads").items():
        lines = []
        for row in rows:
            line = [row["cell"], label(row), milliseconds("pellucid")(row), milliseconds("torch")(row)]
            line += [against(name)(row) for name in peers]
            if table == "block":
                line += [number(row["flops"] / row["times"]["pellucid"]["median"] / 1e9), share(_part(results, row))]
            lines.append(line)
        header = ["layer", "size", "Pellucid, ms", "torch.nn, ms", *map(named, peers)]
        header += ["GFLOP/s", "of the peak"] if table == "block" else []
        text += folded(f"{mode}, {threads} thread{'s' * (threads != '1')}", markdown(header, lines, words=2)) + "\n"
    return text


def rule(results: Results, table: str) -> str:
    """The engine beside torch, map by map: what the choice between them is made from."""
    text = ""
    rows = results.table(table, results.allocator)
    for pooled in (False, True):
        for (mode,), group in grouped(rows, "mode").items():
            these = [r for r in group if ("no pooling" not in r["size"][5]) is pooled and r["threads"] == 1]
            maps = list(dict.fromkeys(r["size"][2] for r in these))
            lines = [
                [str(c), *(times(ratio(r, "torch")) for size in maps for r in these if r["size"][1:3] == [c, size])]
                for c in dict.fromkeys(r["size"][1] for r in these)
            ]
            about = f"{'Pooled 2x2/2' if pooled else 'Without pooling'}, {mode}:"
            text += f"{about}\n\n" + markdown(["channels", *maps], lines) + "\n"
    return text


def networks(results: Results) -> str:
    """Whole networks, trained to the same accuracy."""
    header = [
        "network",
        "threads",
        "layers",
        "epochs",
        "seconds to accuracy",
        "an epoch, s",
        "memory above the start, MB",
    ]
    lines = [
        [
            row["cell"],
            str(row["threads"]),
            named(side),
            ", ".join(map(str, v["epochs"])),
            number(v["seconds"]),
            number(v["epoch"]),
            number(v["megabytes"]),
        ]
        for row in results.rows
        if row["table"] == "networks"
        for side, v in row["sides"].items()
    ]
    return markdown(header, lines, words=3) if lines else "Not measured in this run.\n"


WHY = """## What stands in the way of the goals

- **Large maps with many channels.** oneDNN and ONNX Runtime add up all products, at eight to nine tenths of the multiply-add peak. Of
  kernels of 3x3 the engine takes 24 for each 72 (`native/points.h`), with rounding errors of at most 1.7 times those of adding up all,
  and spends a third of its time on what that needs before and after. Larger tiles, F(4 x 4, 3 x 3), would take 18 for each 72, with errors
  three to four times as large: not taken. Along one axis, which may be time, 4 for each 6 are taken, so that nothing comes from what a
  result does not see. Kernels dilated along two axes and those with a stride add up all products here, too.
- **Single small images.** Of a call that is like the one before some 8 microseconds are not the engine's, and with gradients
  PyTorch's own share is 34 ([log.md](log.md)); ONNX Runtime's whole call of next to nothing costs about as much as ours, without
  autograd and without options.
- **First layers (1 or 3 channels).** The map is made 9 to 27 multiply-adds a number, so activation, pooling and writing count as much
  as the products do; the part of the peak is small for everybody.
- **Depthwise.** Each number of the map is nine or 25 multiply-adds, and with gradients five numbers come from memory or go there for
  each: what the caches give is the limit, and rows of 28 numbers fill seven eighths of their vectors. Without pooling, forward, torch's
  kernel for channels that lie last is as fast as the engine, 0.9 to 1.3 from run to run. Many small maps without pooling cost the
  engine more calls than that kernel, which has the channels in its lanes; there torch's is called.
- **Pooling with gradients.** Half of a step is PyTorch's own: its graph, and memory for the results.
- **Gradients of maps whose row is not a multiple of the vector.** Lanes beyond the row's end are computed and dropped.
"""


def page(results: Results) -> str:
    """All of it, in Markdown."""
    m = results.machine
    peak = ", ".join(
        f"{number(v['multiply_add_flops'] / 1e9)} GFLOP/s on {n}" for n, v in sorted(results.limits.items())
    )
    return f"""<!-- Written by benchmarks/report_convolution.py: change it there. -->
# Speed of convolution and pooling

How many times as long the others take as Pellucid; float32, freed memory {ALLOCATORS[results.allocator]}.
{m["processor"]}, {m["cores"]} cores, {m["system"]}; Pellucid's code for {m["instruction_set"]}; Python {m["python"]}, torch
{m["torch"]}. Multiply-add peak, measured in the same run: {peak} threads. Before each call with gradients the last
call's are set to None, as an optimiser's zero_grad does.

## Goals, and what was measured

{goals(results)}
## Convolution ► ReLU ► max pooling

Sizes are batch · channels · sizes · filters · kernel; where nothing else is said the padding keeps the size and the pooling is
2x2/2. Geometric means over the sizes, and in brackets the smallest.

{summary(results, "block")}
{rows_of(results, "block", PEERS)}
## Pooling alone

{summary(results, "pooling")}
{rows_of(results, "pooling", ("torch", "channels last", "onnxruntime"))}
{WHY}
## Which of the two, and when

How many times as long a ConvBlock (3x3, ReLU) takes through torch's kernel, followed by Pellucid's pooling, as in one sweep of the
engine, by the number of channels (of the input; twice as many filters, 16 at least) and the size of the map, one thread. From these
`pellucid/ops/choice.py` has its rule: below 1 the layer calls torch's kernel.

{rule(results, "rule")}
The same of a filter for each channel (depthwise), 32 images:

{rule(results, "rule depthwise")}
The same in bfloat16, which the engine widens to float32 and torch's kernel multiplies:

{rule(results, "rule bfloat16")}
## Whole networks

Trained side by side from the same weights on the same batches, an epoch in turn, until 95 % of the images kept apart are right
(Adam, batches of 64; scikit-learn's digits enlarged to 28 x 28, and to 32 x 32 in random colours): torch.nn's layers, and what
`pellucid.fuse` makes of them. From five seeds' weights: the epochs of each, and medians of the seconds.

{networks(results)}
The number of epochs is chance: rounding differs, and with it which of some hundred images are right; the seconds of an epoch are what
the layers cost.

## How to get the figures again

```
make bench-convolution     # half an hour; goes on where it was stopped; writes this page at the end
```

The sides are called in turn in one process; see [speed.md](speed.md) for how. The rows are in
[benchmarks/results/convolution.jsonl](../benchmarks/results/convolution.jsonl).
"""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="the rows that benchmarks.convolution wrote")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="the folder for speed-convolution.md")
    given = parser.parse_args()
    (given.out / "speed-convolution.md").write_text(page(Results.read(given.results)))


if __name__ == "__main__":
    main()

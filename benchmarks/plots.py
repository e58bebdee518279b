"""The drawings of the results: ratios at each size of the grid, and growth with the steps and the batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.rows import ALLOCATORS, MODES, NAMES, Results, Row, label, ratio, size, spread, work

INK, PALE, RULE = "#24292f", "#6b7580", "#d8dee4"
COLOURS = {"pellucid": "#b3411f", "torch": "#1f5fa6", "torch.compile": "#6b7580", "onnxruntime": "#9a6a00"}
MARKERS = {"torch": "o", "torch.compile": "|", "onnxruntime": "D"}
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "pellucid",  # the same file from the same rows
    "font.size": 9,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": PALE,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
}


def save(figure: Figure, path: Path) -> None:
    """On white, so that it can be read on a dark page too, and without the date."""
    figure.savefig(path, facecolor="white", metadata={"Date": None, "Creator": None} if path.suffix == ".svg" else None)


def plain(value: float, _: object = None) -> str:
    """A number as one says it."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def threads_of(rows: list[Row]) -> list[int]:
    """The numbers of threads, in order."""
    return sorted({row["threads"] for row in rows})


def counted(threads: int) -> str:
    """Of them, as one says it."""
    return f"{threads} thread{'s' * (threads > 1)}"


def handle(colour: str, marker: str, filled: bool, text: str, line: str = "none") -> Line2D:
    """An entry of a legend."""
    face = colour if filled else "white"
    return Line2D([], [], color=colour, marker=marker, ls=line, ms=5, mfc=face, mec=colour, mew=1.2, label=text)


def speed(results: Results, path: Path) -> bool:
    """Draw what the others' time is of Pellucid's at each size; False where the grid was not measured."""
    rows = results.table("grid", results.allocator)
    if not rows:
        return False
    cells = sorted({row["cell"] for row in rows})
    sizes = {label(row): place for place, row in enumerate(sorted({size(r): r for r in rows}.values(), key=work))}
    most = max(threads_of(rows))
    with matplotlib.rc_context(STYLE):
        height = 0.25 * len(sizes) + 0.5
        figure = _figure(2 * height + 1.75)
        panels = figure.subplots(2, len(cells), sharex=True, sharey=True, squeeze=False)
        for line, mode in zip(panels, MODES, strict=True):
            for axes, cell in zip(line, cells, strict=True):
                these = [row for row in rows if row["cell"] == cell and row["mode"] == mode]
                _ratios(axes, these, sizes, most)
                axes.set_title(f"{cell}, {mode}")
        _ratio_axis(panels[0][0], [ratio(row, name) for row in rows for name in MARKERS if name in row["times"]])
        panels[0][0].set_yticks(range(len(sizes)), sizes)
        panels[0][0].set_ylim(len(sizes) - 0.4, -0.6)
        for axes in panels.flat:
            axes.tick_params(axis="both", length=0, labelbottom=True)
        for axes in panels[-1]:
            axes.set_xlabel("left of 1 Pellucid is slower, right of 1 faster", fontsize=8, color=PALE)
        _head(
            figure,
            "How many times as long as Pellucid the others take",
            "Sizes are steps · batch · input size · hidden size, from the least work a step to the most. In each row "
            "more threads are the lower markers.\nBars: from one side's lower quartile over the other's upper to the "
            f"reverse. float32, freed memory {ALLOCATORS[results.allocator]}.",
        )
        entries = [
            handle(COLOURS[name], MARKERS[name], n == most, f"{NAMES.get(name, name)}, {counted(n)}")
            for name in ("torch", "onnxruntime")
            for n in threads_of(rows)
        ] + [handle(COLOURS["torch.compile"], MARKERS["torch.compile"], True, "torch.nn under torch.compile")]
        figure.legend(handles=entries, loc="upper left", bbox_to_anchor=(0.005, _below_head(figure)), ncols=5, **LEGEND)
        save(figure, path)
    return True


LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 8, "handletextpad": 0.2, "columnspacing": 1.2}


def _figure(height: float) -> Figure:
    """With room for the title, the text and the legend."""
    panels = (0.008, 0, 0.99, 1 - 1 / height)
    return Figure(figsize=(9.2, height), layout=ConstrainedLayoutEngine(rect=panels, hspace=0.04, wspace=0.03))


def _head(figure: Figure, title: str, text: str) -> None:
    """A title and what one needs to know to read the drawing."""
    inch = 1 / figure.get_figheight()
    figure.text(0.01, 1 - 0.1 * inch, title, va="top", fontsize=12, weight="bold")
    figure.text(0.01, 1 - 0.36 * inch, text, va="top", fontsize=8, color=PALE, linespacing=1.4)


def _below_head(figure: Figure) -> float:
    return 1 - 0.67 / figure.get_figheight()


def _ratios(axes: Axes, rows: list[Row], sizes: dict[str, int], most: int) -> None:
    """One panel: a line for each size, within it one for each number of threads."""
    axes.axvline(1, color=INK, lw=1, zorder=1)
    for place in range(0, len(sizes), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="#f4f6f8", lw=0, zorder=0)
    each = threads_of(rows)
    for row in rows:
        y = sizes[label(row)] + 0.4 * ((each.index(row["threads"]) + 0.5) / len(each) - 0.5)
        for name, marker in MARKERS.items():
            if name not in row["times"]:
                continue
            colour, filled = COLOURS[name], row["threads"] == most
            if name == "torch":
                axes.plot(spread(row, name), (y, y), color=colour, lw=1.2, alpha=0.6, zorder=2)
            axes.plot(
                ratio(row, name),
                y,
                marker,
                ms={"torch": 4.5, "torch.compile": 6, "onnxruntime": 3.2}[name],
                mfc=colour if filled else "white",
                mec=colour,
                mew=1.4 if marker == "|" else 1,
                zorder=4 if name == "torch" else 3,
            )


def _ratio_axis(axes: Axes, ratios: list[float]) -> None:
    """Logarithmic, wide enough for every marker; of long bars the ends may lie outside."""
    axes.set_xscale("log")
    low, high = min(*ratios, 0.8) / 1.15, max(*ratios, 1.25) * 1.15
    axes.set_xlim(low, high)
    ticks = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(plain))


def growth(results: Results, path: Path) -> bool:
    """Draw time against steps and against batch; False where it was not measured."""
    rows = results.table("growth", results.allocator)
    series = list(_series(rows))
    if not series:
        return False
    threads = threads_of(rows)
    with matplotlib.rc_context(STYLE):
        figure = _figure(6.75)
        panels = figure.subplots(2, len(series), sharex="col", sharey=True, squeeze=False)
        for column, (axis, fixed, chosen) in zip(panels.T, series, strict=True):
            for axes, mode in zip(column, MODES, strict=True):
                these = [row for row in chosen if row["mode"] == mode]
                axes.set_title(f"{mode}: {fixed}")
                axes.grid(color=RULE, lw=0.6)
                _times(axes, these, axis, threads)
                axes.tick_params(axis="both", which="both", length=0, labelbottom=True)
            column[-1].set_xlabel(("steps T", "batch B")[axis])
        for line in panels:
            line[0].set_ylabel("milliseconds")
        _head(
            figure,
            f"{rows[0]['cell']}: time grows with the steps and with the batch",
            "Both axes are logarithmic; the dashed line is proportional to T and to B. Bars are quartiles.\n"
            f"float32, freed memory {ALLOCATORS[results.allocator]}.",
        )
        entries = [
            handle(COLOURS[name], "o", n == max(threads), f"{NAMES[name]}, {counted(n)}", "-")
            for name in ("pellucid", "torch")
            for n in threads
        ]
        figure.legend(handles=entries, loc="upper left", bbox_to_anchor=(0.005, _below_head(figure)), ncols=4, **LEGEND)
        save(figure, path)
    return True


def _series(rows: list[Row]) -> Iterator[tuple[int, str, list[Row]]]:
    """Rows that differ in the steps alone, or in the batch alone: which of the two, what is fixed, and they."""
    for axis in (0, 1):
        groups: dict[tuple[int, ...], list[Row]] = {}
        for row in rows:
            groups.setdefault(tuple(n for i, n in enumerate(row["size"]) if i != axis), []).append(row)
        for (other, inputs, hidden), group in groups.items():
            if len({row["size"][axis] for row in group}) > 2:
                yield axis, f"{'BT'[axis]} {other}, I {inputs}, H {hidden}", sorted(group, key=size)


def _times(axes: Axes, rows: list[Row], axis: int, threads: list[int]) -> None:
    """One panel of lines, and one of slope 1 below all of them."""
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    lowest = []
    for name in ("torch", "pellucid"):
        for n in threads:
            these = [row for row in rows if row["threads"] == n]
            times = [{k: 1e3 * v for k, v in row["times"][name].items()} for row in these]
            along = [row["size"][axis] for row in these]
            median = [t["median"] for t in times]
            bars = [[t["median"] - t["low"] for t in times], [t["high"] - t["median"] for t in times]]
            face = COLOURS[name] if n == max(threads) else "white"
            axes.errorbar(along, median, bars, color=COLOURS[name], marker="o", ms=4, mfc=face, lw=1.2, elinewidth=1)
            lowest += [t / x for t, x in zip(median, along, strict=True)]
    ends = [min(row["size"][axis] for row in rows), max(row["size"][axis] for row in rows)]
    axes.plot(ends, [0.6 * min(lowest) * x for x in ends], color=PALE, lw=1, ls=(0, (4, 3)), zorder=1)
    axes.xaxis.set_major_locator(FixedLocator([2**k for k in range(0, 20, 2) if ends[0] <= 2**k <= ends[1]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(plain))
    axes.yaxis.set_major_formatter(FuncFormatter(plain))
    axes.yaxis.set_minor_locator(NullLocator())

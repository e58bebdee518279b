"""The GRU beside the LSTM: parameters, time, and how well it does."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from pellucid import cells, device
from pellucid import nn as layers
from pellucid.lab.claims import memory, rows, uses
from pellucid.lab.claims.claim import Answer, Claim, Measures, Results, Unit, Values
from pellucid.lab.claims.judgement import at_least, exact, over_seeds, within
from pellucid.lab.claims.results import Dots

FAMILY = "GRU and LSTM"
SIZES = ((100, 1, 64), (50, 32, 128))  # steps, batch, width
ENGINES: dict[str, tuple[Callable[[int, int], nn.Module], Callable[[int, int], nn.Module]]] = {
    "pellucid.nn": (layers.LSTM, layers.GRU),
    "torch.nn": (torch.nn.LSTM, torch.nn.GRU),
}
SMALL, LARGE = 100, 1200  # training images


def speed(*, engine: str, steps: int, batch: int, width: int, seed: int, on: torch.device = device.CPU) -> Measures:
    """How many times the GRU's time the LSTM takes, forward and backward in turns: the processor's on one thread, or the GPU's."""
    torch.manual_seed(seed)
    x = device.moved(torch.randn(steps, batch, width), on)
    both = [layer(width, width).to(on) for layer in ENGINES[engine]]
    times: list[list[float]] = [[], []]
    # What other processes take does not count, where that can be told.
    clock = time.process_time if on.type == "cpu" else time.perf_counter
    for number in range(33):
        for layer, own in zip(both, times, strict=True):
            started = clock()
            layer(x)[0].sum().backward()
            device.finish(on)
            if number > 2:
                own.append(clock() - started)
    return {"ratio": float(np.median(times[0]) / np.median(times[1]))}


def claims(quick: bool) -> list[Claim]:
    """Those of this family."""
    seeds, steps, epochs = (5, 1500, 10) if quick else (10, 6000, 40)
    length = 50 if quick else 100

    def parameters(_: Results) -> Answer:
        share = {h: cells.GRU().parameters_count(h, h) / cells.LSTM().parameters_count(h, h) for h in (16, 64, 256)}
        parts = [
            within(f"at width {h} the GRU has", exact(100 * s), 74, 76, "% of the LSTM's parameters")
            for h, s in share.items()
        ]
        dots = [(f"width {h}", "share", exact(100 * s)) for h, s in share.items()]
        return Answer(
            parts,
            [
                Dots(
                    title="The GRU's parameters, in % of the LSTM's",
                    x="%",
                    rows=dots,
                    reference=("three quarters", 75.0),
                )
            ],
            "Three matrices and biases stand against four, at every width.",
        )

    def faster(results: Results) -> Answer:
        found = {
            (e, size): over_seeds(
                results.values("speed", "ratio", engine=e, steps=size[0], batch=size[1], width=size[2])
            )
            for e in ENGINES
            for size in SIZES
        }
        named = {key: f"{key[0]}, {key[1][0]} steps, batch {key[1][1]}, width {key[1][2]}" for key in found}
        parts = [
            at_least(f"{named[key]}: the LSTM takes", value, 1.05, "times as long as the GRU")
            for key, value in found.items()
        ]
        dots = [(named[key], key[0], value) for key, value in found.items()]
        panel = Dots(
            title="How many times as long the LSTM takes", x="times, one thread", rows=dots, reference=("equal", 1.0)
        )
        return Answer(parts, [panel])

    def quality(results: Results) -> Answer:
        def behind(experiment: str, measure: str, **where: str | int) -> Values:
            lstm, gru = (results.values(experiment, measure, net=n, **where) for n in ("lstm", "gru"))
            return gru - lstm

        tasks = {
            f"digits row by row, {SMALL} images": behind("by_rows", "accuracy", train=SMALL),
            f"digits row by row, {LARGE:,} images": behind("by_rows", "accuracy", train=LARGE),
            f"adding problem of {length} steps": behind("adding", "explained", length=length, steps=steps),
            "text, next character": -100
            * behind("use", "error", use="text")
            / results.values("use", "error", net="lstm", use="text"),
        }
        small, *rest = tasks
        parts = [at_least(f"{small}: the GRU is ahead by", over_seeds(tasks[small]), 0, "points")]
        parts += [
            at_least(f"{t}: the GRU is ahead by", over_seeds(tasks[t]), -1, "%" if "text" in t else "points")
            for t in rest
        ]
        dots = [(t, "lead", over_seeds(v)) for t, v in tasks.items()]
        panel = Dots(title="The GRU's lead over the LSTM", x="points; % on text", rows=dots, reference=("equal", 0.0))
        return Answer(parts, [panel])

    timed = [
        Unit(speed, {"engine": e, "steps": t, "batch": b, "width": h, "seed": s}, 1.5)
        for e in ENGINES
        for t, b, h in SIZES
        for s in range(seeds)
    ]
    both = ["lstm", "gru"]
    return [
        Claim(
            "gru-parameters",
            FAMILY,
            "A GRU has three quarters of an LSTM's parameters.",
            "Cho et al. 2014; Goodfellow et al. 2016, section 10.10.2",
            "Parameters of one layer, counted from the cells' declarations at widths 16, 64 and 256. The threshold was first 1.33 times or more, and was widened to what rounding asks for.",
            "the width",
            [],
            parameters,
        ),
        Claim(
            "gru-speed",
            FAMILY,
            "A GRU runs faster than an LSTM of the same width.",
            "Chung et al. 2014; Goodfellow et al. 2016, section 10.10.2",
            f"Forward and backward passes of one layer on one thread, the two in turn 30 times, medians of processor time, {seeds} repetitions, on this project's engine and on torch's kernels. First figures were wall time, which other work on the machine spoilt; the threshold is as it was.",
            "who computes it and the size",
            timed,
            faster,
        ),
        Claim(
            "gru-quality",
            FAMILY,
            "A GRU does as well as an LSTM on some tasks, and better on small ones.",
            "Chung et al. 2014; Jozefowicz et al. 2015; Greff et al. 2017",
            f"LSTM and GRU of {memory.HIDDEN} units on digits read row by row from {SMALL} and {LARGE:,} images and on the adding problem of {length} steps, and of {uses.PARAMETERS:,} parameters on text; as well means behind by no more than 1 point or 1 %, better on small ones means ahead with {SMALL} images; {seeds} seeds.",
            "the task",
            [
                *rows.units(both, [SMALL, LARGE], epochs, seeds),
                *memory.adding_units(both, (length,), steps, seeds),
                *uses.units("text", both, quick, seeds),
            ],
            quality,
        ),
    ]

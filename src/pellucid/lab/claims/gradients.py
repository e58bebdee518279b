"""What becomes of a gradient on its way back through time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pellucid import device, trace
from pellucid import nn as layers
from pellucid.lab.claims import learning, tasks
from pellucid.lab.claims.cells import Plain
from pellucid.lab.claims.claim import Answer, Claim, Measures, Results, Unit, Values
from pellucid.lab.claims.judgement import at_least, over_seeds
from pellucid.lab.claims.results import Dots, Line, Lines, Part, Point, Setting

FAMILY = "Gradients"
RADII = (0.5, 0.7, 0.9, 1.0, 1.1, 1.3, 1.6)
STEPS = 100
REACHES = (10, 30, 100, 300)
GATED = {"rnn": "RNN", "lstm": "LSTM, forget bias 1", "gru": "GRU", "lstm, bias 0": "LSTM, forget bias 0"}
CLIPPED = (("relu", "sgd", 0.05), ("tanh", "sgd", 0.05), ("tanh", "adam", 0.01))


def radius(*, radius: float, activation: str, seed: int, on: torch.device = device.CPU) -> Measures:
    """Decades that a gradient gains over 100 steps back through an RNN of 64 units whose matrix has that spectral radius."""
    torch.manual_seed(seed)
    layer = layers.Recurrent(Plain(activation), 1, 64, dtype=torch.float64)
    with torch.no_grad():
        weight = torch.randn(64, 64, dtype=torch.float64)
        layer.weight_hh_l0.copy_(weight * (radius / torch.linalg.eigvals(weight).abs().max()))  # type: ignore[operator]
    x = 0.1 * torch.randn(STEPS, 1, 1, dtype=torch.float64)
    return {"decades": decades(layer.to(on), x, ["l0.h"])}


def reach(*, net: str, length: int, seed: int, on: torch.device = device.CPU) -> Measures:
    """Decades that a gradient gains on its way back to the first step, in an untrained network of 64 units."""
    torch.manual_seed(seed)
    layer = learning.RECURRENT[net](8, 64).double()
    x = torch.randn(length, 8, 8, dtype=torch.float64)
    return {"decades": decades(layer.to(on), x, ["l0.h", "l0.c"] if net.startswith("lstm") else ["l0.h"])}


def decades(layer: nn.Module, x: Tensor, states: list[str]) -> float:
    """log10 of the gradient's norm at the first step's states over that at the last step's, as a trace shows them."""
    with trace(layer) as seen:
        last = layer(device.moved(x, device.of(layer)))[0][-1]
        (last * device.moved(torch.randn(last.shape, dtype=x.dtype), last.device)).sum().backward()
    gradients = [seen[name].grad for name in states]
    first, end = (math.sqrt(sum(float(g[step].square().sum()) for g in gradients if g is not None)) for step in (0, -1))
    return math.log10(max(first, 1e-300) / end)


def clipping(
    *,
    activation: str,
    optimiser: str,
    rate: float,
    clip: str,
    steps: int,
    seed: int,
    on: torch.device = device.CPU,
) -> Measures:
    """Train an RNN whose matrix starts with a spectral radius of 1.5 on the adding problem of 20 steps."""
    generator = learning.seeded(seed)
    model = learning.Reader(activation, 2, 32, 1)
    with torch.no_grad():
        weight = torch.randn(32, 32)
        model.layer.weight_hh_l0.copy_(weight * (1.5 / torch.linalg.eigvals(weight).abs().max()))  # type: ignore[operator]
    learning.fit(
        model.to(on),
        learning.fresh(tasks.adding, 20, steps, generator),
        nn.functional.mse_loss,
        rate=rate,
        clip=1.0 if clip == "yes" else None,
        optimiser="adam" if optimiser == "adam" else "sgd",
    )
    return {"explained": learning.explained(model, tasks.adding(500, 20, generator), tasks.ADDING_VARIANCE)}


def claims(quick: bool) -> list[Claim]:
    """Those of this family."""
    seeds, steps = (5, 1000) if quick else (20, 4000)
    activations = ("tanh", "identity")

    def moved(results: Results, r: float, activation: str) -> Values:
        return results.values("radius", "decades", radius=r, activation=activation)

    def by_radius(results: Results) -> Lines:
        return Lines(
            title=f"Gradient after {STEPS} steps back",
            x="spectral radius of the recurrent matrix",
            y="powers of ten",
            lines=[
                Line(label=a, points=[Point(x=r, y=over_seeds(moved(results, r, a))) for r in RADII])
                for a in activations
            ],
            reference=("neither", 0.0),
        )

    def vanishes(results: Results) -> Answer:
        parts = [
            at_least(f"at radius {r} with {a} the gradient shrinks by", over_seeds(-moved(results, r, a)), 2, "decades")
            for a in activations
            for r in RADII
            if r < 1
        ]
        return Answer(parts, [by_radius(results)])

    def explodes(results: Results) -> Answer:
        parts = [
            at_least(f"at radius {r} with {a} the gradient grows by", over_seeds(moved(results, r, a)), 2, "decades")
            for a in activations
            for r in RADII
            if r > 1.05
        ]
        return Answer(
            parts,
            [by_radius(results)],
            "A radius above 1 is necessary and not sufficient: where tanh saturates, its slope holds the gradient down.",
        )

    def reaches(results: Results, net: str) -> Answer:
        rows = {n: {t: results.values("reach", "decades", net=n, length=t) for t in REACHES} for n in GATED}
        gated = [n for n in GATED if n.startswith(net)]
        parts = [
            at_least(
                f"over {t} steps the {GATED[n].replace(', ', ' with ')} keeps more of the gradient than the RNN, by",
                over_seeds(rows[n][t] - rows["rnn"][t]),
                2,
                "decades",
            )
            for n in gated
            for t in (30, 100)
        ]
        lines = [
            Line(label=GATED[n], points=[Point(x=t, y=over_seeds(v)) for t, v in row.items()])
            for n, row in rows.items()
        ]
        panel = Lines(
            title="Gradient left at the first step before training",
            x="steps of the sequence",
            y="powers of ten",
            lines=lines,
            log_x=True,
        )
        return Answer(parts, [panel])

    def clips(results: Results) -> Answer:
        parts: list[Part] = []
        rows = []
        for activation, optimiser, rate in CLIPPED:
            where: dict[str, Setting] = {"activation": activation, "optimiser": optimiser, "rate": rate, "steps": steps}
            scores = {c: results.values("clipping", "explained", clip=c, **where) for c in ("yes", "no")}
            name = f"{activation} with {'Adam' if optimiser == 'adam' else 'gradient descent'}"
            parts.append(
                at_least(
                    f"{name}: with clipping more of the sum's variance is explained, by",
                    over_seeds(scores["yes"] - scores["no"]),
                    10,
                    "points",
                )
            )
            rows += [
                (
                    f"{name}, {'clipped' if c == 'yes' else 'not clipped'}",
                    "clipped" if c == "yes" else "not",
                    over_seeds(v, learning.EXPLAINED),
                )
                for c, v in scores.items()
            ]
        panel = Dots(
            title="Adding problem of 20 steps: variance of the sum explained",
            x="%; training that broke down counts as −100",
            rows=rows,
        )
        return Answer(parts, [panel])

    radii = [
        Unit(radius, {"radius": r, "activation": a, "seed": s}, 0.02)
        for r in RADII
        for a in activations
        for s in range(seeds)
    ]
    reached = [
        Unit(reach, {"net": n, "length": t, "seed": s}, 0.02) for n in GATED for t in REACHES for s in range(seeds)
    ]
    scaled = f"An RNN of 64 units, its random recurrent matrix scaled to each spectral radius, small random input; the gradient of the last step at the first as a trace shows it, {seeds} matrices."
    return [
        Claim(
            "gradient-vanishes",
            FAMILY,
            "An RNN's gradient vanishes where the spectral radius of its recurrent matrix is below 1.",
            "Pascanu et al. 2013, section 2; Hochreiter 1991",
            scaled,
            "the radius and the activation",
            radii,
            vanishes,
        ),
        Claim(
            "gradient-explodes",
            FAMILY,
            "An RNN's gradient explodes where the spectral radius of its recurrent matrix is above 1.",
            "Pascanu et al. 2013, section 2",
            scaled,
            "the radius and the activation",
            radii,
            explodes,
        ),
        Claim(
            "clipping",
            FAMILY,
            "Clipping the gradient's norm helps to train a plain RNN.",
            "Pascanu et al. 2013, section 3.2",
            f"RNNs of 32 units that start with a spectral radius of 1.5, adding problem of 20 steps, {steps:,} batches with and without clipping to norm 1, {seeds} seeds.",
            "the activation and the optimiser",
            [
                Unit(
                    clipping,
                    {"activation": a, "optimiser": o, "rate": r, "clip": c, "steps": steps, "seed": s},
                    steps * 1.3e-3,
                )
                for a, o, r in CLIPPED
                for c in ("yes", "no")
                for s in range(seeds)
            ],
            clips,
        ),
        *(
            Claim(
                f"{net}-gradient",
                FAMILY,
                f"{'An LSTM' if net == 'lstm' else 'A GRU'} lets the gradient reach further back than a plain RNN.",
                source,
                f"Untrained networks of 64 units, drawn as torch does but for the forget bias, random input of {', '.join(map(str, REACHES))} steps; the gradient of the last output at the first step's states, {seeds} seeds.",
                "the forget bias" if net == "lstm" else "the length",
                reached,
                lambda results, net=net: reaches(results, net),  # type: ignore[misc]
            )
            for net, source in (("lstm", "Hochreiter and Schmidhuber 1997, section 4"), ("gru", "Chung et al. 2014"))
        ),
    ]

"""Stride and padding."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import pellucid.nn as layers
from pellucid import device
from pellucid.geometry import parse
from pellucid.lab.claims import learning, tasks
from pellucid.lab.claims.claim import Answer, Claim, Measures, Results, Unit
from pellucid.lab.claims.judgement import at_least, exact, over_seeds
from pellucid.lab.claims.results import Dots, Setting
from pellucid.lab.counted import counted
from pellucid.lab.task import ERROR, SHARE

FAMILY = "Convolution"
STRIDES = (1, 2, 4)
FILTERS = (1, 4, 16)


def convolution(
    *, stride: int, padding: str, depth: int, epochs: int, seed: int, on: torch.device = device.CPU
) -> Measures:
    """Train 3x3 convolutions of 16 filters with ReLU, the first with a stride; then the mean of the map, and a linear layer."""
    generator = learning.seeded(seed)
    data = tasks.digits(seed)
    blocks: list[nn.Module] = []
    for k in range(depth):
        blocks.append(layers.Conv2d(16 if k else 1, 16, 3, stride=1 if k else stride, padding=padding))
        blocks.append(nn.ReLU())
    model = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)).to(on)
    batches = learning.epochs(data.train, epochs, generator)
    learning.fit(model, batches, nn.functional.cross_entropy, rate=0.01)
    return {"accuracy": learning.accuracy(model, data.test)}


def restoration(*, stride: int, filters: int, seed: int, on: torch.device = device.CPU) -> Measures:
    """The share of the pixels' variance (%) that the best linear map from a random convolution's output does not give back."""
    torch.manual_seed(seed)
    data = tasks.digits(seed)
    layer = layers.Conv2d(1, filters, 3, stride=stride, padding="same").to(on)
    with torch.no_grad():
        maps = [np.asarray(layer(device.moved(x, on)).flatten(1).double().cpu()) for x, _ in (data.train, data.test)]
    pixels = [np.asarray(x.flatten(1).double()) for x, _ in (data.train, data.test)]
    mean, middle = maps[0].mean(0), pixels[0].mean(0)
    solution = np.linalg.lstsq(maps[0] - mean, pixels[0] - middle, rcond=1e-6)[0]
    left = pixels[1] - middle - (maps[1] - mean) @ solution
    return {"lost": 100 * float((left**2).sum() / ((pixels[1] - middle) ** 2).sum())}


def edges(padding: str | int) -> float:
    """How often a corner pixel enters a map of three 3x3 convolutions, as a share of a middle pixel's."""
    x = torch.zeros(1, 1, 8, 8, requires_grad=True)
    value = x
    for _ in range(3):
        layer = layers.Conv2d(1, 1, 3, padding=padding, bias=False)
        nn.init.ones_(layer.weight)
        value = layer(value)
    value.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    return float(x.grad[0, 0, 0, 0] / x.grad[0, 0, 3, 3])


def _macs(stack: str) -> int:
    return sum(row.macs for row in parse(stack).rows())


def claims(quick: bool) -> list[Claim]:
    """Those of this family."""
    seeds, epochs = (5, 12) if quick else (10, 40)

    def trained(stride: int, padding: str, depth: int) -> list[Unit]:
        setting: dict[str, Setting] = {"stride": stride, "padding": padding, "depth": depth, "epochs": epochs}
        return [Unit(convolution, {**setting, "seed": s}, 0.25 * epochs) for s in range(seeds)]

    def strides(results: Results) -> Answer:
        scores = {
            s: results.values("convolution", "accuracy", stride=s, padding="same", depth=2, epochs=epochs)
            for s in STRIDES
        }
        # What is lost at the seventh decimal is rounding.
        lost = {
            (s, f): results.values("restoration", "lost", stride=s, filters=f).round(6)
            for s in STRIDES
            for f in FILTERS
        }
        work = {s: _macs(f"8x8x1 | conv 3 16 s{s} same | conv 3 16 same") for s in STRIDES}
        parts = [
            at_least("multiply-adds at stride 2 are fewer by a factor of", exact(work[1] / work[2]), 2, ""),
            *(
                at_least(f"accuracy lost at stride {s} is", over_seeds(scores[1] - scores[s]), 1, "points")
                for s in STRIDES[1:]
            ),
            *(
                at_least(
                    f"stride 2 with {counted(f, 'filter')} loses",
                    over_seeds(lost[2, f] - lost[1, f]),
                    1,
                    "% of the pixels' variance",
                )
                for f in FILTERS
            ),
        ]
        rows = [(f"stride {s}", "accuracy", over_seeds(scores[s], SHARE)) for s in STRIDES]
        share = [
            (f"stride {s}, {counted(f, 'filter')}", f"{f} filters", over_seeds(lost[s, f], ERROR))
            for f in FILTERS
            for s in STRIDES
        ]
        return Answer(
            parts,
            [
                Dots(title="Accuracy on digits", x="%, with 95 % intervals", rows=rows),
                Dots(title="Pixel variance that cannot be restored from the map", x="%", rows=share),
            ],
            "A stride of 2 keeps a quarter of the positions; four filters or more make up for it in numbers.",
        )

    def padding(results: Results) -> Answer:
        scores = {
            p: results.values("convolution", "accuracy", stride=1, padding=p, depth=3, epochs=epochs)
            for p in ("same", "valid")
        }
        reach = {p: edges(0 if p == "valid" else p) for p in scores}
        side = int(parse("8x8x1 | conv 3 16 same | conv 3 16 same | conv 3 16 same").rows()[-1].output.split(" x ")[0])
        parts = [
            at_least(
                "with padding the side of the map after three layers is",
                exact(100 * side / 8),
                100,
                "% of the image's side",
            ),
            at_least(
                "a corner pixel's weight beside a middle one's grows by a factor of",
                exact(reach["same"] / reach["valid"]),
                2,
                "",
            ),
            at_least("accuracy gained by padding is", over_seeds(scores["same"] - scores["valid"]), 1, "points"),
        ]
        words = {"same": "with padding", "valid": "without"}
        return Answer(
            parts,
            [
                Dots(
                    title="How often a corner pixel is used, beside a middle one",
                    x="%",
                    rows=[(words[p], p, exact(100 * r)) for p, r in reach.items()],
                ),
                Dots(
                    title="Accuracy on digits",
                    x="%, with 95 % intervals",
                    rows=[(words[p], p, over_seeds(s, SHARE)) for p, s in scores.items()],
                ),
            ],
            "Without padding, three layers of 3x3 leave 2x2 of 8x8.",
        )

    net = f"mean and linear layer, {seeds} random splits of 1,797 digits, {epochs} epochs each"
    return [
        Claim(
            "stride",
            FAMILY,
            "A stride above 1 cuts computation and loses information.",
            "Goodfellow et al. 2016, section 9.5",
            f"Two 3x3 convolutions of 16 filters, the first with stride 1, 2 or 4, {net}; and the best linear map from a random convolution's output back to the pixels.",
            "how many filters there are and what is asked",
            [
                *(u for s in STRIDES for u in trained(s, "same", 2)),
                *(
                    Unit(restoration, {"stride": s, "filters": f, "seed": seed}, 0.04)
                    for s in STRIDES
                    for f in FILTERS
                    for seed in range(seeds)
                ),
            ],
            strides,
        ),
        Claim(
            "padding",
            FAMILY,
            "Padding keeps the size of the map and lets edge pixels count.",
            "Goodfellow et al. 2016, section 9.5",
            f"Three 3x3 convolutions of 16 filters with and without padding, {net}; and how often each pixel enters the last map.",
            "what is asked",
            [*trained(1, "same", 3), *trained(1, "valid", 3)],
            padding,
        ),
    ]

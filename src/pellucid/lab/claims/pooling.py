"""Max and average pooling."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import pellucid.nn as layers
from pellucid import device
from pellucid.geometry import parse
from pellucid.lab.claims import learning, tasks
from pellucid.lab.claims.claim import Answer, Claim, Measures, Results, Unit, Values
from pellucid.lab.claims.judgement import at_least, exact, over_seeds, ratio_over_seeds
from pellucid.lab.claims.results import Dots
from pellucid.lab.task import ERROR

FAMILY = "Pooling"
NOISES = {"dark": "dark pixels", "bright": "bright pixels", "normal": "normal noise"}
POOLS = {"max": layers.MaxPool2d(2), "avg": layers.AvgPool2d(2)}
LABELS = {"max": "max pooling", "avg": "average pooling", "none": "no pooling"}
SMALL = 100  # training images where overfitting is looked at


def spoilt(x: Tensor, noise: str, generator: torch.Generator) -> Tensor:
    """Images from 0 to 1 with noise."""
    if noise == "normal":
        return x + 0.2 * torch.randn(x.shape, generator=generator)
    return x.masked_fill(torch.rand(x.shape, generator=generator) < 0.1, 0.0 if noise == "dark" else 1.0)


def pooled(*, pool: str, noise: str, seed: int, on: torch.device = device.CPU) -> Measures:
    """How far noise moves the pooled images, in % of their own variance; nothing is trained."""
    x, _ = tasks.digits(seed).test
    clean = POOLS[pool](device.moved(x, on))
    moved = POOLS[pool](device.moved(spoilt(x, noise, learning.seeded(seed)), on)) - clean
    return {"moved": 100 * float(moved.square().mean() / (clean - clean.mean(0)).square().mean())}


def pooling(*, pool: str, train: int, epochs: int, seed: int, on: torch.device = device.CPU) -> Measures:
    """Train two blocks of 3x3 convolution, ReLU and 2x2 pooling of 16 filters, and a linear layer; then test with noise."""
    generator = learning.seeded(seed)
    data = tasks.digits(seed, train)
    kind = None if pool == "none" else pool
    blocks = [layers.ConvBlock(a, 16, 3, padding="same", pool=kind) for a in (1, 16)]
    model = nn.Sequential(*blocks, nn.Flatten(), nn.LazyLinear(10))
    model(data.train[0][:1])
    model.to(on)
    learning.fit(model, learning.epochs(data.train, epochs, generator), nn.functional.cross_entropy, rate=0.003)
    x, y = data.test
    found = {"train": learning.accuracy(model, data.train), "test": learning.accuracy(model, data.test)}
    return found | {noise: learning.accuracy(model, (spoilt(x, noise, generator), y)) for noise in NOISES}


def claims(quick: bool) -> list[Claim]:
    """Those of this family."""
    seeds, epochs = (5, 12) if quick else (10, 40)
    large = {"train": 1200, "epochs": epochs}
    small = {"train": SMALL, "epochs": epochs * 6}

    def lost(results: Results, pool: str, noise: str) -> Values:
        return results.values("pooling", "test", pool=pool, **large) - results.values(
            "pooling", noise, pool=pool, **large
        )

    def panels(results: Results) -> list[Dots]:
        rows = [
            (
                f"{NOISES[n]}, {LABELS[p]}",
                LABELS[p],
                over_seeds(results.values("pooled", "moved", pool=p, noise=n), ERROR),
            )
            for n in NOISES
            for p in POOLS
        ]
        nets = [
            (f"{NOISES[n]}, {LABELS[p]}", LABELS[p], over_seeds(lost(results, p, n))) for n in NOISES for p in POOLS
        ]
        return [
            Dots(title="How far noise moves the pooled image", x="% of its own variance", rows=rows),
            Dots(title="What noise takes from a trained network", x="points of accuracy", rows=nets),
        ]

    def compared(results: Results, better: str, worse: str, noises: list[str]) -> Answer:
        parts = []
        for n in noises:
            moved = [results.values("pooled", "moved", pool=p, noise=n) for p in (worse, better)]
            parts.append(
                at_least(
                    f"under {NOISES[n]} the image after {LABELS[worse]} moves further than after {LABELS[better]} by a factor of",
                    ratio_over_seeds(*moved),
                    1.1,
                    "",
                )
            )
        for n in noises:
            gained = over_seeds(lost(results, worse, n) - lost(results, better, n))
            name = f"under {NOISES[n]} the network with {LABELS[worse]} loses more accuracy by"
            parts.append(at_least(name, gained, 1, "points"))
        return Answer(parts, panels(results))

    def economy(results: Results) -> Answer:
        work = {
            p: sum(r.macs for r in parse(f"8x8x1 | conv 3 16 same {s}| conv 3 16 same {s}| flatten | linear 10").rows())
            for p, s in {"max": "| pool 2 ", "none": ""}.items()
        }
        gap = {
            p: results.values("pooling", "train", pool=p, **small) - results.values("pooling", "test", pool=p, **small)
            for p in LABELS
        }
        parts = [
            at_least("multiply-adds are fewer by a factor of", exact(work["none"] / work["max"]), 2, ""),
            *(
                at_least(
                    f"the gap between training and test accuracy shrinks with {LABELS[p]} by",
                    over_seeds(gap["none"] - gap[p]),
                    1,
                    "points",
                )
                for p in POOLS
            ),
        ]
        rows = [(LABELS[p], LABELS[p], over_seeds(g)) for p, g in gap.items()]
        return Answer(parts, [Dots(title=f"Training less test accuracy, {SMALL} images", x="points", rows=rows)])

    def trained(setting: dict[str, int], pools: list[str]) -> list[Unit]:
        cost = 0.12 * epochs * (1 if setting is large else 0.6)
        return [Unit(pooling, {"pool": p, **setting, "seed": s}, cost) for p in pools for s in range(seeds)]

    noisy = [
        *(Unit(pooled, {"pool": p, "noise": n, "seed": s}, 0.03) for p in POOLS for n in NOISES for s in range(seeds)),
        *trained(large, ["max", "avg"]),
    ]
    what = f"Digits pooled 2x2 with and without noise; and two blocks of convolution, ReLU and pooling trained on clean digits and tested on noisy ones, {seeds} random splits"
    return [
        Claim(
            "max-pooling",
            FAMILY,
            "Max pooling shrugs off some noise.",
            "said in many courses; Goodfellow et al. 2016, section 9.3, say it of small shifts",
            f"{what}; the noise is a tenth of the pixels made dark, or normal with a deviation of 0.2 of the range.",
            "the kind of noise",
            noisy,
            lambda results: compared(results, "max", "avg", ["dark", "normal"]),
        ),
        Claim(
            "average-pooling",
            FAMILY,
            "Average pooling shrugs off extremes.",
            "said in many courses; Boureau et al. 2010 compare the two",
            f"{what}; the noise is a tenth of the pixels made bright.",
            "whether the pooled image or the trained network is asked",
            noisy,
            lambda results: compared(results, "avg", "max", ["bright"]),
        ),
        Claim(
            "pooling-economy",
            FAMILY,
            "Pooling lowers computation and overfitting.",
            "Goodfellow et al. 2016, section 9.3",
            f"Two 3x3 convolutions of 16 filters with and without pooling and a linear layer, trained on {SMALL} digits, {seeds} random splits.",
            "what is asked",
            trained(small, ["max", "avg", "none"]),
            economy,
        ),
    ]

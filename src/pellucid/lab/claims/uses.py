"""What the LSTM is said to be good for: text, sound and series; and a person's own data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pellucid import device
from pellucid.lab import data
from pellucid.lab.candidates import blueprint, solve_width
from pellucid.lab.claims import sounds
from pellucid.lab.claims.claim import Answer, Claim, Measures, Results, Unit
from pellucid.lab.claims.judgement import at_least, over_seeds
from pellucid.lab.claims.results import Dots
from pellucid.lab.files import writing
from pellucid.lab.pace import Budget
from pellucid.lab.samples import write_sample
from pellucid.lab.task import ERROR, SHARE, Task
from pellucid.lab.train import evaluate, train

FAMILY = "Uses"
PARAMETERS = 10_000
WRONG = "wrong answers, %"
EXCERPT = 60_000  # characters
QUICK = {"text": 40, "series": 40, "sound": 20, "data": 10}  # epochs
SECONDS = {"text": 0.2, "series": 0.07, "sound": 0.15, "data": 2.0}  # of an epoch, roughly


def use(
    *,
    use: str,
    net: str,
    epochs: int,
    seed: int,
    source: str = "",
    fingerprint: str = "",
    on: torch.device = device.CPU,
) -> Measures:
    """Train a network of 10,000 parameters on a task of the lab; its test error and the baseline's.

    The error is bits per character, the mean absolute error, or the share of wrong answers in %.

    Args:
        use: text, series, sound, or data for what lies at ``source``.
        net: rnn, lstm or gru.
        epochs: over the training part; the best on the validation part is kept.
        seed: of the weights, and of the excerpt or the recordings.
        source, fingerprint: the person's data and what it held.
        on: the device.

    Raises:
        DataError: the folder for temporary files is full.
    """
    with writing(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
        task = data.load(Path(source)) if use == "data" else MAKE[use](Path(folder), seed)
        plan = blueprint(net)
        width = solve_width(plan.parameters(task), PARAMETERS)
        unit = train(
            f"{use} {net} {seed}",
            Path(folder) / "unit.safetensors",
            lambda: plan.build(task, width).to(on),
            0.005,
            task.lesson,
            Budget(epochs=epochs, patience=epochs, batch=32),
            lambda _: None,
        )
        scores = [evaluate(unit.model, task.test, task.goal)]
    own, baseline = (
        float(s.double().mean()) for s in (task.metric.per_item(scores[0], task.test.y), task.baseline.scores)
    )
    if task.metric.higher_is_better:
        own, baseline = 100 - own, 100 - baseline
    return {"error": own, "baseline": baseline}


def _text(folder: Path, seed: int) -> Task:
    """60,000 characters of Python's own documentation, from a place that the seed draws."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    start = int(np.random.default_rng(seed).integers(0, len(text) - EXCERPT))
    file = folder / "text.txt"
    file.write_text(text[start : start + EXCERPT], encoding="utf-8")
    return data.load(file, kind="characters")


def _series(folder: Path, _: int) -> Task:
    """Monthly CO2 at Mauna Loa, a year ahead."""
    write_sample("co2", folder)
    return data.load(folder / "co2.csv", horizon=12, window=36)


def _sound(folder: Path, seed: int) -> Task:
    """Spoken pairs of vowels, made by their formants."""
    sounds.write(folder / "sounds", seed)
    return data.load(folder / "sounds")


MAKE: dict[str, Callable[[Path, int], Task]] = {"text": _text, "series": _series, "sound": _sound}


def units(name: str, nets: list[str], quick: bool, seeds: int, **source: str) -> list[Unit]:
    """A unit for each network and seed."""
    epochs = QUICK[name] * (1 if quick else 3)
    return [
        Unit(use, {"use": name, "net": n, "epochs": epochs, "seed": s, **source}, SECONDS[name] * epochs)
        for n in nets
        for s in range(seeds)
    ]


def claims(quick: bool, source: Path | None = None) -> list[Claim]:
    """Those of this family; with a person's data one more.

    Raises:
        DataError: the data cannot be used.
    """
    seeds = 5 if quick else 10

    def judge(results: Results, name: str, unit: str) -> Answer:
        error = {n: results.values("use", "error", use=name, net=n) for n in ("rnn", "lstm")}
        baseline = results.values("use", "baseline", use=name, net="lstm")
        others = (("plain RNN", error["rnn"]), ("simplest answer", baseline))
        if unit == WRONG:  # no ratio, since an error may be 0
            parts = [
                at_least(f"the LSTM's error is below the {other}'s by", over_seeds(theirs - error["lstm"]), 1, "points")
                for other, theirs in others
            ]
        else:
            parts = [
                at_least(
                    "the LSTM errs less, by",
                    over_seeds(100 * (1 - error["lstm"] / theirs)),
                    5,
                    f"% of the {other}'s error",
                )
                for other, theirs in others
            ]
        bounds = SHARE if unit == WRONG else ERROR
        rows = [
            ("LSTM", "LSTM", over_seeds(error["lstm"], bounds)),
            ("plain RNN", "RNN", over_seeds(error["rnn"], bounds)),
            ("simplest answer", "baseline", over_seeds(baseline, bounds)),
        ]
        return Answer(parts, [Dots(title="Error on the test part", x=f"{unit}; lower is better", rows=rows)])

    def claim(name: str, claimed: str, source: str, what: str, unit: str, **more: str) -> Claim:
        return Claim(
            f"lstm-{name}",
            FAMILY,
            claimed,
            source,
            f"LSTM and plain RNN of {PARAMETERS:,} parameters on {what}, {seeds} seeds.",
            "what it is compared with",
            units(name, ["rnn", "lstm"], quick, seeds, **more),
            lambda results: judge(results, name, unit),
        )

    found = [
        claim(
            "text",
            "LSTMs suit text.",
            "Goodfellow et al. 2016, section 10.10; Graves 2013",
            f"the next character in {EXCERPT:,} characters of Python's documentation, another place for each seed, beside the simplest answer that the comparison has",
            "bits per character",
        ),
        claim(
            "sound",
            "LSTMs suit sound.",
            "Graves et al. 2013, Speech recognition with deep recurrent neural networks",
            "six ordered pairs of vowels synthesised from the formants of Peterson and Barney 1952, new recordings for each seed, beside the simplest answer that the comparison has (the threshold was first 5 % of the error, and was set anew when errors of zero came out)",
            WRONG,
        ),
        claim(
            "series",
            "LSTMs suit series.",
            "Gers et al. 2001, Applying LSTM to time series predictable through time-window approaches, doubts it",
            "monthly CO2 at Mauna Loa, a year ahead (one series: the seeds differ in the weights alone), beside the simplest forecast that the comparison has",
            "mean absolute error, ppm",
        ),
    ]
    if source is not None:
        task = data.load(source)
        given = {"source": str(source.resolve()), "fingerprint": task.fingerprint}
        unit = WRONG if task.metric.higher_is_better else task.metric.name
        found.append(
            claim(
                "data",
                "LSTMs suit these data.",
                "whoever brought them",
                f"{task.title} (the seeds differ in the weights alone), beside the {task.baseline.name}",
                unit,
                **given,
            )
        )
    return found

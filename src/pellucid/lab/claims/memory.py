"""How far back a recurrent network remembers: the adding problem and copy memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pellucid import device, trace
from pellucid.lab.claims import learning, tasks
from pellucid.lab.claims.claim import Answer, Claim, Measures, Results, Unit, Values
from pellucid.lab.claims.judgement import at_least, over_seeds
from pellucid.lab.claims.results import Line, Lines, Point
from pellucid.lab.task import SHARE

FAMILY = "Memory"
NETS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
HIDDEN = 32
TESTED = 500
RATE = 0.005  # of Adam, in all networks
LONGEST_MEMORY = {"lstm": "l0.f", "lstm, bias 0": "l0.f", "gru": "l0.z"}  # the gate that keeps


def adding(*, net: str, length: int, steps: int, seed: int, on: torch.device = device.CPU) -> Measures:
    """Train on the adding problem; the share of the sum's variance that is explained, and how much the kept units keep.

    ``kept`` is the keeping gate's mean over steps and sequences in the tenth of units that keep most.
    """
    generator = learning.seeded(seed)
    model = learning.Reader(net, 2, HIDDEN, 1).to(on)
    learning.fit(model, learning.fresh(tasks.adding, length, steps, generator), nn.functional.mse_loss, rate=RATE)
    test = tasks.adding(TESTED, length, generator)
    found = {"explained": learning.explained(model, test, tasks.ADDING_VARIANCE)}
    if net in LONGEST_MEMORY:
        with torch.no_grad(), trace(model.layer) as seen:
            model(device.moved(test[0], on))
        found["kept"] = float(seen[LONGEST_MEMORY[net]].values.mean((0, 1)).quantile(0.9))
    return found


def copying(*, net: str, lag: int, steps: int, seed: int, on: torch.device = device.CPU) -> Measures:
    """Train on copy memory; the share of symbols that are said right, in %."""
    generator = learning.seeded(seed)
    model = learning.Reader(net, tasks.SYMBOLS + 2, HIDDEN, tasks.SYMBOLS, last=tasks.COPIED).to(on)

    def loss(said: Tensor, symbols: Tensor) -> Tensor:
        return nn.functional.cross_entropy(said.flatten(0, 1), symbols.flatten())

    learning.fit(model, learning.fresh(tasks.copying, lag, steps, generator), loss, rate=RATE)
    return {"accuracy": learning.accuracy(model, tasks.copying(TESTED, lag, generator))}


def cost(net: str, length: int, steps: int) -> float:
    """Seconds of a training, roughly."""
    return steps * (5e-4 + length * (2.5e-5 if net == "rnn" else 3.6e-5))


def adding_units(nets: list[str], lengths: tuple[int, ...], steps: int, seeds: int) -> list[Unit]:
    """A unit for each."""
    return [
        Unit(adding, {"net": n, "length": t, "steps": steps, "seed": s}, cost(n, t, steps))
        for t in lengths
        for n in nets
        for s in range(seeds)
    ]


def claims(quick: bool) -> list[Claim]:
    """Those of this family."""
    seeds, steps = (5, 1500) if quick else (10, 6000)
    lengths = (10, 50, 150) if quick else (10, 30, 100, 300, 1000)
    lags = (2, 20, 60) if quick else (10, 30, 100, 300, 1000)
    nets = list(NETS)

    def explained(results: Results, net: str, length: int) -> Values:
        return results.values("adding", "explained", net=net, length=length, steps=steps)

    def said(results: Results, net: str, lag: int) -> Values:
        return results.values("copying", "accuracy", net=net, lag=lag, steps=steps)

    def panels(results: Results) -> list[Lines]:
        def line(net: str, read: Callable[[Results, str, int], Values], places: tuple[int, ...]) -> Line:
            bounds = learning.EXPLAINED if read is explained else SHARE
            points = [Point(x=t, y=over_seeds(read(results, net, t), bounds)) for t in places]
            return Line(label=NETS[net], points=points)

        return [
            Lines(
                title="Adding problem: variance of the sum explained",
                x="steps of the sequence",
                y="%",
                lines=[line(n, explained, lengths) for n in nets],
                log_x=True,
                reference=("always 1", 0.0),
            ),
            Lines(
                title=f"Copy memory: {tasks.COPIED} symbols said right",
                x="steps between",
                y="%",
                lines=[line(n, said, lags) for n in nets],
                log_x=True,
                reference=("chance", 100 / tasks.SYMBOLS),
            ),
        ]

    def forgets(results: Results) -> Answer:
        short, long = (explained(results, "rnn", t) for t in (lengths[0], lengths[-1]))
        near, far = (said(results, "rnn", t) for t in (lags[0], lags[-1]))
        return Answer(
            [
                at_least(
                    f"the RNN explains less of the sum's variance at {lengths[-1]} steps than at {lengths[0]}, by",
                    over_seeds(short - long),
                    50,
                    "points",
                ),
                at_least(
                    f"it says fewer of the copied symbols right with {lags[-1]} steps between than with {lags[0]}, by",
                    over_seeds(near - far),
                    25,
                    "points",
                ),
            ],
            panels(results),
        )

    def carries(results: Results, net: str) -> Answer:
        parts = [
            at_least(
                f"over {t} steps the {NETS[net]} explains more of the sum's variance than the RNN, by",
                over_seeds(explained(results, net, t) - explained(results, "rnn", t)),
                25,
                "points",
            )
            for t in lengths[1:]
        ]
        parts += [
            at_least(
                f"with {t} steps between, it says more of the copied symbols right than the RNN, by",
                over_seeds(said(results, net, t) - said(results, "rnn", t)),
                10,
                "points",
            )
            for t in lags[1:]
        ]
        kept = over_seeds(results.values("adding", "kept", net=net, length=lengths[-1], steps=steps)).value
        gate = {"lstm": "forget gate", "gru": "update gate"}[net]
        half = lengths[-1] // 2
        left = 100 * kept**half
        share = f"{left:.2g} %" if left >= 0.001 else "less than 0.001 %"
        note = f"In the networks trained on {lengths[-1]} steps the {gate} of the tenth of units that keep most is {kept:.3f} on average: after {half} steps {share} of such a unit's state is left."
        return Answer(parts, panels(results), note)

    units = [
        *adding_units(nets, lengths, steps, seeds),
        *(
            Unit(copying, {"net": n, "lag": t, "steps": steps, "seed": s}, cost(n, t + 10, steps))
            for t in lags
            for n in nets
            for s in range(seeds)
        ),
    ]
    done = (
        f"RNN, LSTM and GRU of {HIDDEN} units on the adding problem ({_list(lengths)} steps) and on copy memory "
        f"({_list(lags)} steps between), {steps:,} batches of 32 each, {seeds} seeds. All "
        f"learn at a rate of {RATE}, which was tuned for none of them, so that a network may be behind because another suits it."
    )
    on = "the task and the length"
    return [
        Claim(
            "rnn-forgets",
            FAMILY,
            "A plain RNN forgets the start of a long sequence.",
            "Bengio et al. 1994; Hochreiter and Schmidhuber 1997",
            done,
            on,
            units,
            forgets,
        ),
        Claim(
            "lstm-carries",
            FAMILY,
            "An LSTM carries information further than a plain RNN.",
            "Hochreiter and Schmidhuber 1997, section 5; Goodfellow et al. 2016, section 10.10",
            done,
            on,
            units,
            lambda results: carries(results, "lstm"),
        ),
        Claim(
            "gru-carries",
            FAMILY,
            "A GRU carries information further than a plain RNN.",
            "Cho et al. 2014; Chung et al. 2014",
            done,
            on,
            units,
            lambda results: carries(results, "gru"),
        ),
    ]


def _list(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"

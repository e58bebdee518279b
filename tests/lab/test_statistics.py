"""The promise: intervals cover as often as they say, paired differences find what is there, verdicts say no more."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.lab.data.metrics import accuracy, mean_absolute_error
from pellucid.lab.results import BaselineResult, Candidate, Cost, Interval
from pellucid.lab.statistics import Bootstrap
from pellucid.lab.verdict import verdict


def test_intervals_cover_the_truth() -> None:
    """95 % intervals of a mean of 200 items hold the truth in about 95 % of 300 worlds (standard error 1.3 %)."""
    generator = np.random.default_rng(0)
    held = 0
    for world in range(300):
        found = Bootstrap(200, seed=world).interval(100.0 * (generator.random((1, 200)) < 0.8))
        held += found.low <= 80 <= found.high
    assert 0.90 <= held / 300 <= 0.99


def test_blocks_widen_intervals_of_neighbours_that_resemble_each_other() -> None:
    generator = np.random.default_rng(0)
    smooth = np.convolve(generator.normal(0, 1, 1019), np.ones(20) / 20, "valid")[None]
    single, blocks = Bootstrap(1000).interval(smooth), Bootstrap(1000, block=40).interval(smooth)
    assert (blocks.high - blocks.low) > 2 * (single.high - single.low)


def test_a_paired_difference_sees_past_what_is_hard_for_all() -> None:
    generator = np.random.default_rng(0)
    hard = generator.normal(0, 10, 300)
    first, second = (
        hard[None] + generator.normal(0, 0.5, (3, 300)),
        hard[None] + 0.5 + generator.normal(0, 0.5, (3, 300)),
    )
    bootstrap = Bootstrap(300)
    apart = bootstrap.difference(second, first)
    assert apart.low > 0
    one, two = bootstrap.interval(first), bootstrap.interval(second)
    assert one.high > two.low  # the intervals alone could not tell


def candidate(
    name: str, value: float, behind: tuple[float, float] | None, latency: float, beats: bool = True
) -> Candidate:
    return Candidate(
        name=name,
        label=name.upper(),
        sentence="",
        width=1,
        cost=Cost(
            parameters=1,
            macs=1,
            training_seconds=1,
            tuning_seconds=1,
            latency_ms_p50=latency,
            latency_ms_p99=latency,
            training_bytes=1,
            file_bytes=1,
        ),
        layers=[],
        diagram=None,
        trials=[],
        seeds=[],
        score=Interval(value=value, low=value - 1, high=value + 1),
        seed_spread=0,
        behind=None if behind is None else Interval(value=sum(behind) / 2, low=behind[0], high=behind[1]),
        beats_baseline=beats,
        confusion=None,
        forecast=None,
        sample=None,
    )


BASELINE = BaselineResult(name="majority class", sentence="", score=Interval(value=10, low=9, high=11), forecast=None)


@pytest.mark.parametrize(
    ("candidates", "choice", "words"),
    [
        ([candidate("lstm", 97, None, 2), candidate("cnn", 90, (5, 9), 1)], "lstm", "ahead of every other network"),
        ([candidate("lstm", 97, None, 2), candidate("cnn", 96, (-1, 3), 1)], "cnn", "LSTM and CNN cannot be told apart"),
        ([candidate("lstm", 97, None, 2), candidate("cnn", 96, (-1, 3), 1), candidate("rnn", 80, (15, 19), 0.1)], "cnn", "LSTM and CNN cannot be told apart"),
        ([candidate("lstm", 10, None, 2, beats=False), candidate("cnn", 9, (-1, 3), 1, beats=False)], "cnn", "None of the networks surely beats"),
        ([candidate("lstm", 97, None, 2)], "lstm", "The LSTM reaches"),
    ],
)  # fmt: skip
def test_verdicts(candidates: list[Candidate], choice: str, words: str) -> None:
    found = verdict(candidates, BASELINE, accuracy(), 1000.0)
    assert words in found.sentence
    assert found.choice == choice
    assert ("rnn" in found.equivalent) is False


def test_metrics() -> None:
    import torch

    assert accuracy().per_item(torch.tensor([[1.0, 2], [3, 0]]), torch.tensor([1, 1])).tolist() == [100, 0]
    scores = mean_absolute_error((2.0,), "").per_item(torch.tensor([[[1.0], [2]]]), torch.tensor([[[0.0], [4]]]))
    assert scores.tolist() == [3.0]

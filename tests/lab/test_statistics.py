"""The promise: intervals cover as often as they say, paired differences find what is there, verdicts say no more."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm

from pellucid.lab.data.metrics import accuracy, balanced_accuracy, mean_absolute_error
from pellucid.lab.report import words
from pellucid.lab.results import BaselineResult, Candidate, Cost, CurvePoint, Interval, Need, Odds, Why
from pellucid.lab.statistics import Bootstrap
from pellucid.lab.task import ERROR, SHARE
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


def test_odds_are_the_normals_where_items_are_many() -> None:
    """The posterior of a mean of many items is nearly normal; draws add an error of 1 % or so."""
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 10, 5000)
    noise -= noise.mean()
    other = generator.normal(0, 30, 5000)
    deviation = noise.std() / np.sqrt(5000)
    found = Bootstrap(5000).odds((other + noise + 0.1)[None], other[None], rope=0.2)
    assert found.higher == pytest.approx(norm.sf(0.2, 0.1, deviation), abs=0.03)
    assert found.lower == pytest.approx(norm.cdf(-0.2, 0.1, deviation), abs=0.03)
    assert found.higher + found.same + found.lower == pytest.approx(1)


def test_odds_allow_for_seeds_for_few_items_and_for_neighbours() -> None:
    """Each makes a difference less sure than its items alone do."""
    generator = np.random.default_rng(0)
    noise, seeds = generator.normal(0, 1, 400), np.array([[-0.5], [0.0], [0.8]])
    whole = Bootstrap(400).odds(np.tile(noise + 0.1, (3, 1)), np.zeros((1, 400)), 0.05)
    apart = Bootstrap(400).odds(noise + 0.1 + seeds - seeds.mean(), np.zeros((1, 400)), 0.05)
    assert apart.lower > whole.lower + 0.05
    smooth = np.repeat(noise[:10], 40)
    alone, blocks = (Bootstrap(400, block=b).odds(smooth[None], np.zeros((1, 400)), 0.05) for b in (1, 40))
    assert min(blocks.higher, blocks.lower) > min(alone.higher, alone.lower) + 0.05


def test_networks_that_agree_on_few_items_are_not_the_same_for_sure() -> None:
    """Three in a hundred disagreements go unseen in thirty items four times in ten, so 1 point is not to be promised."""
    chances = [
        Bootstrap(n).odds(np.full((3, n), 100.0), np.full((2, n), 100.0), 1.0, SHARE).same for n in (10, 30, 100)
    ]
    assert chances == sorted(chances)
    assert chances[-1] < 0.95
    assert Bootstrap(1000).odds(np.full((3, 1000), 100.0), np.full((2, 1000), 100.0), 1.0, SHARE).same > 0.99


def test_agreement_of_a_balanced_share_is_no_proof_either() -> None:
    """Scores of balanced accuracy are no zeros and hundreds, and two networks that agree have the same."""
    right = torch.tensor([0] * 30 + [1] * 10)
    logits = torch.nn.functional.one_hot(torch.where(torch.arange(40) % 7 == 0, 1 - right, right), 2).double()
    scores = balanced_accuracy().per_item(logits, right).numpy()[None]
    assert not np.isin(scores, (0, 100)).all()
    apart = Bootstrap(40).difference(scores, scores, SHARE)
    assert apart.low < -2 < 2 < apart.high
    assert Bootstrap(40).odds(scores, scores, 1.0, SHARE).same < 0.9


@pytest.mark.parametrize("items", [12, 40, 150])
def test_odds_of_shares_come_true_as_often_as_they_say(items: int) -> None:
    """Of 400 worlds drawn from the prior, the mean chance of each answer is its frequency (standard error 2.5 %)."""
    generator = np.random.default_rng(items)
    said, came = np.zeros(3), np.zeros(3)
    for world in range(400):
        first_alone, other_alone, both = generator.dirichlet([0.5, 0.5, 1.0])
        drawn = generator.choice(3, items, p=[first_alone, other_alone, both])
        odds = Bootstrap(items, seed=world).odds(100.0 * (drawn != 1)[None], 100.0 * (drawn != 0)[None], 5.0, SHARE)
        said += (odds.higher, odds.same, odds.lower)
        true = 100 * (first_alone - other_alone)
        came += (true > 5, abs(true) <= 5, true < -5)
    assert said / 400 == pytest.approx(came / 400, abs=0.06)


@pytest.mark.parametrize(("items", "block"), [(1, 1), (16, 24), (47, 24)])
def test_fewer_than_two_independent_items_have_no_interval(items: int, block: int) -> None:
    """What they are spread by cannot be told, and a number for it would be made up."""
    generator = np.random.default_rng(0)
    scores, other = generator.normal(20, 3, (2, items)), generator.normal(30, 3, (1, items))
    bootstrap = Bootstrap(items, block)
    for found in (bootstrap.interval(scores, ERROR), bootstrap.difference(scores, other, ERROR)):
        assert (found.low, found.high, found.known) == (-np.inf, np.inf, False)
        assert words.span(found, signed=True) == "no interval"
    assert words.figure(Interval(value=28.3456, low=-np.inf, high=np.inf)) == "28.3"
    assert bootstrap.odds(scores, other, 1.0, ERROR) is None
    assert Bootstrap(2 * block, block).interval(np.arange(2.0 * block)[None], ERROR).known


def candidate(
    name: str,
    value: float,
    behind: tuple[float, float] | None,
    latency: float,
    beats: bool = True,
    odds: Odds | None = None,
    curve: tuple[tuple[int, float], ...] = (),
    fades: int | None = None,
    sees: int | None = None,
    dead: float | None = None,
    extent: int | None = None,
    gates: dict[str, tuple[float, float]] | None = None,
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
        odds=odds,
        curve=[CurvePoint(items=n, score=Interval(value=v, low=v, high=v)) for n, v in curve],
        why=Why(gradient=[], fades=fades, gates=gates or {}, sees=sees, extent=extent, dead=dead),
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
        ([candidate("lstm", 10, None, 2, beats=False), candidate("cnn", 9, (-1, 3), 1, beats=False)], "lstm", "None of the networks surely beats"),
        ([candidate("lstm", 97, None, 2), candidate("cnn", 96, (-1, 3), 1, beats=False)], "lstm", "use the LSTM, the only one that surely beats the majority class"),
        ([candidate("lstm", 97, None, 2)], "lstm", "The LSTM reaches"),
    ],
)  # fmt: skip
def test_verdicts(candidates: list[Candidate], choice: str, words: str) -> None:
    found = verdict(candidates, BASELINE, accuracy(), 1000.0, None)
    assert words in found.sentence
    assert found.choice == choice
    assert ("rnn" in found.equivalent) is False


def told(*candidates: Candidate, steps: int | None = None) -> str:
    need = Need(network="LSTM", figures=[(1, 50), (64, 97)], steps=steps)
    found = verdict(list(candidates), BASELINE, accuracy(), 1000.0, need)
    return " ".join([found.sentence, *found.reasons])


def test_what_is_negligible_is_told_from_what_is_unknown() -> None:
    best = candidate("lstm", 97, None, 2)
    same, open_ = Odds(higher=0.02, same=0.97, lower=0.01, rope=1), Odds(higher=0.4, same=0.5, lower=0.1, rope=1)
    words = told(best, candidate("cnn", 96.8, (0.1, 0.3), 1, odds=same))
    assert "LSTM and CNN are practically the same here: their differences are below 1 point with at least 95 %" in words
    assert "use the CNN" in words
    words = told(best, candidate("cnn", 96, (-1, 3), 1, odds=open_))
    assert "cannot be told apart" in words
    assert (
        "worse by more than 1 point with 40 % probability, practically the same with 50 %, and better with 10 %"
        in words
    )


def test_what_is_probably_worse_is_not_named_for_being_cheap() -> None:
    best, sooner = candidate("lstm", 97, None, 2), candidate("cnn", 96, (-1, 3), 1, odds=odds(worse=0.8))
    cheap = candidate("rnn", 96, (-1, 3), 1.5, odds=odds(worse=0.3))
    found = verdict([best, sooner, cheap], BASELINE, accuracy(), 1000.0, None)
    assert found.choice == "rnn"
    assert found.equivalent == ["lstm", "cnn", "rnn"]
    assert "use the RNN, the cheapest of those that are not probably worse than the LSTM" in found.sentence
    alone = verdict([best, sooner], BASELINE, accuracy(), 1000.0, None)
    assert alone.choice == "lstm"
    assert "use the LSTM, the best, since whatever is cheaper is probably worse" in alone.sentence
    assert verdict([best, sooner, cheap], BASELINE, accuracy(), 5.0, None).choice == "cnn"  # too few items to say


def test_stuck_gates_and_small_receptive_fields_are_reasons() -> None:
    """Of images, whose answer needs no last steps, where the network is behind."""
    best = candidate("lstm", 97, None, 2, gates={"f": (0.01, 0.93), "o": (0.4, 0.4)})
    behind = candidate("cnn", 90, (5, 9), 1, sees=10, extent=28)
    near = candidate("gru", 96, (-1, 3), 1, sees=10, extent=28, gates={"z": (0.91, 0.0)})
    whole = candidate("cnn", 90, (5, 9), 1, sees=28, extent=28)
    found = " ".join(verdict([best, near, behind], BASELINE, accuracy(), 1000.0, None).reasons)
    assert "The LSTM's gate f is open (above 0.95) in 93 % of all units and steps" in found
    assert "The GRU's gate z is shut (below 0.05) in 91 % of all units and steps" in found
    assert "gate o" not in found
    assert "The CNN's filters see 10 of an image's 28 rows at a time" in found
    assert "The GRU's filters" not in found
    assert "filters see" not in " ".join(verdict([best, whole], BASELINE, accuracy(), 1000.0, None).reasons)
    assert "an image's" not in told(best, behind, steps=20)  # a sequence's


def test_what_beats_the_simplest_answer_says_by_how_much() -> None:
    sure, unsure, worse = (Interval(value=v, low=v - 3, high=v + 4) for v in (8, 2, -9))
    best = candidate("lstm", 97, None, 2).model_copy(update={"ahead": sure})
    near = candidate("cnn", 96, (-1, 3), 1, beats=False).model_copy(update={"ahead": unsure})
    words = told(best, near)
    assert "The LSTM is ahead of the simplest answer, majority class, by 8 points (5 to 12)." in words.replace(".0", "")
    assert "The CNN is not surely better than the majority class: it is ahead of it by 2 points (−1 to 6)." in (
        words.replace(".0", "")
    )
    lost = candidate("rnn", 1, None, 1, beats=False).model_copy(update={"ahead": worse})
    assert "The RNN is behind the simplest answer, majority class, by 9 points (5 to 12)." in told(lost).replace(
        ".0", ""
    )


def odds(worse: float) -> Odds:
    return Odds(higher=worse, same=1 - worse, lower=0, rope=1)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ((1.0, 1.02, 1.09), ["One item takes about as long in all of them."]),
        ((1.0, 1.02, 1.11), ["For one item the RNN takes 1.1 times as long as the CNN."]),
        ((3.0, 2.0, 1.0), ["For one item the CNN takes 3.0 times as long as the RNN."]),
        ((1.05, 0.5, 1.1), []),  # the one to use is no quicker than the slowest
    ],
)
def test_times_are_told_apart_where_they_differ(times: tuple[float, float, float], said: list[str]) -> None:
    names, behind = ("cnn", "gru", "rnn"), (None, (1, 2), (-1, 1))
    made = [candidate(n, 90, b, t) for n, b, t in zip(names, behind, times, strict=True)]
    found = verdict(made, BASELINE, accuracy(), 1000.0, None)
    assert [r for r in found.reasons if "one item" in r.lower()] == said


def test_reasons_are_read_off_the_networks() -> None:
    best = candidate("lstm", 97, None, 2)
    faded = candidate("rnn", 80, (15, 19), 1, fades=14)
    assert "The RNN's gradient fades to 1 % after 14 steps, and the LSTM needs the last 60 steps" in told(
        best, faded, steps=60
    )
    assert "fades" not in told(best, faded, steps=10)
    itself = candidate("lstm", 97, None, 2, fades=14, sees=13).model_copy(update={"label": "LSTM"})
    assert "the last 60 steps" not in told(itself, steps=60)  # of which it makes something, though few reach it well
    short = candidate("cnn", 80, (15, 19), 1, sees=13, dead=0.25)
    assert "The CNN's convolutions see 13 steps" in told(best, short, steps=60)
    assert "25 % of the CNN's filters answer to no test item" in told(best, short)


def test_whether_more_data_would_change_the_order() -> None:
    best = candidate("lstm", 97, None, 2, curve=((100, 96.0), (200, 97.0)))
    near = candidate("cnn", 96, (0.5, 1.5), 1, curve=((100, 90.0), (200, 96.0)))
    far = candidate("cnn", 90, (5, 9), 1, curve=((100, 88.0), (200, 90.0)))
    words = told(best, near)
    assert "the order may change: from 100 to 200 training items the LSTM gained 1 points and the CNN gained 6" in words
    assert "More data would hardly change the order" in told(best, far)


def test_metrics() -> None:
    import torch

    assert accuracy().per_item(torch.tensor([[1.0, 2], [3, 0]]), torch.tensor([1, 1])).tolist() == [100, 0]
    scores = mean_absolute_error((2.0,), "").per_item(torch.tensor([[[1.0], [2]]]), torch.tensor([[[0.0], [4]]]))
    assert scores.tolist() == [3.0]

"""The promise: figures are what the literature defines, classes count alike where they are unequal, and the strongest
simple method is what must be beaten."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score

from pellucid.lab.data.classes import Answers, always_the_most_frequent, judgement, strongest
from pellucid.lab.data.metrics import accuracy, balanced_accuracy, bits_per_character, macro_f1, perplexity
from pellucid.lab.goals import GOALS
from pellucid.lab.statistics import Bootstrap


def guesses(seed: int, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.multinomial(torch.tensor([0.7, 0.2, 0.08, 0.02]), 300, True, generator=generator)
    logits = torch.randn(300, classes, generator=generator)
    logits[torch.arange(300), target] += 1.5
    return logits, target


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_scikit_learns(seed: int) -> None:
    logits, target = guesses(seed)
    said = logits.argmax(1)
    balanced = balanced_accuracy().per_item(logits, target).mean().item()
    assert balanced == pytest.approx(100 * balanced_accuracy_score(target, said))
    assert macro_f1().per_item(logits, target).mean().item() == pytest.approx(
        100 * f1_score(target, said, average="macro")
    )


def test_f1_leaves_out_classes_that_nobody_names() -> None:
    logits = torch.tensor([[3.0, 0, 0, 0], [0, 3.0, 0, 0], [3.0, 0, 0, 0]])
    target = torch.tensor([0, 1, 1])
    expected = 100 * f1_score(target, logits.argmax(1), average="macro")
    assert macro_f1().per_item(logits, target).mean().item() == pytest.approx(expected)


@pytest.mark.parametrize("metric", [balanced_accuracy(), macro_f1()], ids=lambda m: m.name)
def test_the_interval_from_items_is_that_of_whole_resamples(metric: object) -> None:
    """The spread of the scores stands for what drawing other items would change, as the figure of each draw shows."""
    logits, target = guesses(0)
    interval = Bootstrap(300).interval(metric.per_item(logits, target).numpy()[None])  # type: ignore[attr-defined]
    generator = torch.Generator().manual_seed(1)
    draws = [torch.randint(0, 300, (300,), generator=generator) for _ in range(600)]
    figures = [metric.per_item(logits[d], target[d]).mean().item() for d in draws]  # type: ignore[attr-defined]
    low, high = np.quantile(figures, (0.025, 0.975))
    assert interval.high - interval.low == pytest.approx(high - low, rel=0.2)


def test_bits_are_of_all_characters_and_perplexity_of_all_tokens() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(70, 5, 3, generator=generator), torch.randint(0, 3, (70, 5), generator=generator)
    begins = torch.tensor([1, 2, 5])
    nats = -logits.log_softmax(-1).gather(2, target[..., None])[..., 0]
    bits = nats.sum() / np.log(2) / begins[target].sum()
    kept = GOALS["next"].kept(logits, target)  # some items at a time
    assert bits_per_character(begins).per_item(kept, target).mean().item() == pytest.approx(bits.item(), rel=1e-5)
    assert perplexity("token").per_item(kept, target).mean().item() == pytest.approx(nats.mean().exp().item(), rel=1e-5)


def test_unequal_classes_are_weighted_and_count_alike() -> None:
    train, test = torch.tensor([0] * 40 + [1] * 10), torch.tensor([0] * 8 + [1] * 2)
    judged = judgement(train, test, ["many", "few"])
    assert judged.metric.name == "balanced accuracy"
    assert judged.weights is not None
    assert judged.weights.tolist() == pytest.approx([50 / 80, 50 / 20])
    assert "weighs 4 times as much" in judged.facts[0][1]
    assert "The rarest class has 2 test items" in judged.cautions[0]
    majority = always_the_most_frequent(train, 10, 10, ["many", "few"])
    assert judged.metric.per_item(majority.test, test).mean().item() == pytest.approx(50)
    equal = judgement(torch.tensor([0] * 30 + [1] * 10), test, ["many", "few"])
    assert (equal.metric.name, equal.weights, equal.cautions) == ("accuracy", None, ())


def test_the_baseline_is_chosen_on_validation_and_not_on_the_test_part() -> None:
    valid, test = torch.tensor([0, 1, 1]), torch.tensor([1, 1, 0])
    right = torch.eye(2)
    good_later = Answers("later", "Later.", right[torch.tensor([0, 0, 0])], right[test])
    good_before = Answers("before", "Before.", right[valid], right[1 - test])
    found = strongest([good_later, good_before], valid, test, accuracy())
    assert found.name == "before"
    assert found.scores.tolist() == [0, 0, 0]
    assert "later 33.3 %, before 100.0 %" in found.sentence

"""What telling classes apart shares, whatever the items are: the figures, the loss's weights, the simplest answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pellucid.lab.counted import counted
from pellucid.lab.data.metrics import accuracy, balanced_accuracy, macro_f1
from pellucid.lab.task import Baseline, Metric

UNEQUAL = 3  # times as many items in the largest class as in the smallest, above which classes are weighted


@dataclass(frozen=True)
class Judgement:
    """How answers are judged.

    Attributes:
        metric: decides; figures: are reported beside it.
        weights: (classes,) float32 of the loss, inversely as frequent as the class; None where classes are about equal.
        facts, cautions: what the report says of it.
    """

    metric: Metric
    figures: tuple[Metric, ...]
    weights: Tensor | None
    facts: tuple[tuple[str, str], ...]
    cautions: tuple[str, ...]


def judgement(train: Tensor, test: Tensor, classes: Sequence[str]) -> Judgement:
    """Accuracy decides, or balanced accuracy where the largest class of the training part is too much the largest.

    Args:
        train, test: (N,) classes of these parts.
        classes: their names.
    """
    alike = _alike(classes)
    counts = torch.bincount(train, minlength=len(classes))
    large, small = int(counts.argmax()), int(counts.argmin())
    if counts[large] <= UNEQUAL * counts[small]:
        return Judgement(accuracy(), (macro_f1(),), None, (), alike)
    weights = (len(train) / (len(classes) * counts.clamp(min=1))).float()
    said = (
        f"{classes[large]!r} has {counts[large]:,} training items and {classes[small]!r} {counts[small]:,}: in the loss an "
        f"item of the latter weighs {weights[small] / weights[large]:.3g} times as much"
    )
    rare = int(torch.bincount(test, minlength=len(classes)).min())
    caution = (
        "The classes are unequal, so balanced accuracy decides, in which every class counts alike. The rarest class has "
        f"{counted(rare, 'test item')}."
    )
    return Judgement(balanced_accuracy(), (accuracy(), macro_f1()), weights, (("Balance", said),), (caution, *alike))


def _alike(classes: Sequence[str]) -> tuple[str, ...]:
    """That some classes are called the same but for capitals or blanks."""
    by_letters: dict[str, list[str]] = {}
    for name in classes:
        by_letters.setdefault(" ".join(name.split()).casefold(), []).append(name)
    found = [" and ".join(map(repr, names)) for names in by_letters.values() if len(names) > 1]
    if not found:
        return ()
    more = f", and {counted(len(found) - 1, 'more case')} like it" if len(found) > 1 else ""
    return (f"Classes {found[0]} differ in capitals or blanks alone{more}; if they are one, call them the same.",)


@dataclass(frozen=True)
class Answers:
    """What a simple method says for the validation and the test part, in the form of a network's output."""

    name: str
    sentence: str
    valid: Tensor
    test: Tensor


def always_the_most_frequent(train: Tensor, valid: int, test: int, classes: Sequence[str]) -> Answers:
    """The most frequent class of the training part, for so many items."""
    winner = int(torch.bincount(train, minlength=len(classes)).argmax())
    logits = torch.zeros(len(classes))
    logits[winner] = 1
    sentence = f"Always says {classes[winner]!r}, the most frequent class of the training part."
    return Answers("majority class", sentence, logits.repeat(valid, 1), logits.repeat(test, 1))


def strongest(answers: Sequence[Answers], valid: Tensor, test: Tensor, metric: Metric) -> Baseline:
    """The simple method that is best on validation, the first of equals, with its scores on the test part.

    Args:
        answers: to choose from.
        valid, test: targets of these parts.
        metric: that decides.
    """
    figures = [float(metric.per_item(a.valid, valid).mean()) for a in answers]
    best = answers[int(np.argmax(figures) if metric.higher_is_better else np.argmin(figures))]
    shown = "{:.1f}" if metric.unit == "%" else "{:.4g}"
    others = ", ".join(
        f"{a.name} {shown.format(figure)} {metric.unit}".strip() for a, figure in zip(answers, figures, strict=True)
    )
    sentence = best.sentence + (f" Best on validation of: {others}." if len(answers) > 1 else "")
    return Baseline(best.name, sentence, metric.per_item(best.test, test), best.test)

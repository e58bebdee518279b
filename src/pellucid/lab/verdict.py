"""The answer in one sentence that the figures support."""

from __future__ import annotations

from pellucid.lab.report import words
from pellucid.lab.results import BaselineResult, Candidate, Interval, Verdict
from pellucid.lab.task import Metric

FEW = 10  # independent test items below which networks are not ranked
SCARCE = 30  # below which the reader is told


def verdict(candidates: list[Candidate], baseline: BaselineResult, metric: Metric, independent: float) -> Verdict:
    """Decide.

    The best is the candidate with the best test figure. Those whose paired difference to it may be zero (its 95 %
    interval holds 0) cannot be told apart from it, and among these the cheaper one is named: the one that answers a
    single item soonest. Picking the best of several by the test figure flatters it a little; the paired intervals,
    which decide, carry the same sampling noise and are stated beside it.

    Args:
        candidates: best first.
        baseline: the simplest answer.
        metric: the figure.
        independent: test items that have no part in each other; with very few, nothing is told apart.
    """
    best = candidates[0]
    few = independent < FEW
    equal = [c for c in candidates if few or c.behind is None or c.behind.low <= 0 <= c.behind.high]
    useful = [c for c in equal if c.beats_baseline]  # what may be no better than the baseline is not what to use
    cheapest = min(useful or equal, key=lambda c: c.cost.latency_ms_p50)
    reasons: list[str] = []
    if few:
        reasons.append(
            f"The test part holds {_about(independent)} that do not overlap, too few to tell networks apart; bring more data."
        )
    elif independent < SCARCE:
        reasons.append(
            f"The test part holds {_about(independent)} that do not overlap: the intervals are wide, and rightly so."
        )
    if not any(c.beats_baseline for c in candidates):
        sentence = (
            f"None of the networks surely beats the simplest answer, {baseline.name} "
            f"({show(baseline.score, metric)}): use that, or bring more data. The best of them is the {best.label} "
            f"({show(best.score, metric)})."
        )
    elif len(candidates) == 1:
        sentence = f"The {best.label} reaches {show(best.score, metric)}, and the {baseline.name} {show(baseline.score, metric)}."
    elif len(equal) == 1:
        sentence = f"Use the {best.label}: it has the best {metric.name}, {show(best.score, metric)}, and it is ahead of every other network by more than chance explains (95 % intervals of the differences)."
    else:
        names = _and([c.label for c in equal])
        sentence = (
            f"{names} cannot be told apart on this data; use the {cheapest.label}, the cheapest of them: "
            f"{cheapest.cost.latency_ms_p50:.2g} ms for one item, {metric.name} {show(cheapest.score, metric)}."
        )
    for c in candidates:
        if c.behind is not None and c not in equal:
            reasons.append(f"The {c.label} is behind the {best.label} by {show(c.behind, metric, difference=True)}.")
    slowest = max(candidates, key=lambda c: c.cost.latency_ms_p50)
    if slowest is not cheapest and len(candidates) > 1:
        ratio = slowest.cost.latency_ms_p50 / cheapest.cost.latency_ms_p50
        reasons.append(f"For one item the {slowest.label} takes {ratio:.1f} times as long as the {cheapest.label}.")
    for c in equal:
        if c not in useful and useful:
            reasons.append(f"The {c.label} is not surely better than the {baseline.name}.")
    choice = cheapest if len(equal) > 1 else best
    return Verdict(sentence=sentence, choice=choice.name, equivalent=[c.name for c in equal], reasons=reasons)


def show(interval: Interval, metric: Metric, *, difference: bool = False) -> str:
    """``97.3 % (95.9 to 98.5)``, rounded to what the interval's width allows; percentages differ by points."""
    name = "points" if difference and metric.unit == "%" else metric.unit
    return f"{words.figure(interval, name)} ({words.span(interval, signed=difference)})"


def _about(independent: float) -> str:
    count = round(independent)
    return f"about {count} items" if count != 1 else "about one item"


def _and(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else ", ".join(names[:-1]) + f" and {names[-1]}"

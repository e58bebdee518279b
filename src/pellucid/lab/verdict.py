"""The answer in one sentence that the figures support."""

from __future__ import annotations

from pellucid.lab.counted import counted
from pellucid.lab.report import words
from pellucid.lab.results import BaselineResult, Candidate, Interval, Need, Verdict
from pellucid.lab.task import Metric

FEW = 10  # independent test items below which networks are not ranked
SCARCE = 30  # below which the reader is told
SURE = 0.95  # probability from which networks are called practically the same
MANY_DEAD = 0.1  # share of filters from which their being idle is worth a word
ALIKE = 1.1  # times as long: two measurements of the same network differ by as much
STUCK = 0.9  # share of a gate's values near one end from which it hardly learns


def verdict(
    candidates: list[Candidate],
    baseline: BaselineResult,
    metric: Metric,
    independent: float,
    need: Need | None,
    test: str = "",
) -> Verdict:
    """Decide.

    The best is the candidate with the best test figure. Those whose paired difference to it may be zero (its 95 %
    interval holds 0) cannot be told apart from it; those whose difference is negligible with 95 % probability are
    practically the same. Among all these the cheapest is named: the one that answers a single item soonest, of those that
    are not more likely than not worse than the best by more than is negligible. Picking the best of several by the test
    figure flatters it a little; the paired intervals, which decide, carry the same sampling noise and are stated beside it.

    Args:
        candidates: best first.
        baseline: the simplest answer.
        metric: the figure.
        independent: as how many independent test items the test part counts; with very few, nothing is told apart.
        need: how far back the data asks to look.
        test: what the test part holds, in words.
    """
    best = candidates[0]
    few = independent < FEW
    same = [c for c in candidates if not few and c.odds is not None and c.odds.same >= SURE]
    equal = [c for c in candidates if few or c.behind is None or c.behind.low <= 0 <= c.behind.high or c in same]
    useful = [c for c in equal if c.beats_baseline]  # what may be no better than the baseline is not what to use
    likely = [c for c in useful or equal if few or _worse(c, metric) <= 0.5]
    cheapest = min(likely or useful or equal, key=lambda c: c.cost.latency_ms_p50)
    choice = cheapest if len(equal) > 1 else best
    if not any(c.beats_baseline for c in candidates):
        choice = best
        sentence = (
            f"None of the networks surely beats the simplest answer, {baseline.name}, at {show(baseline.score, metric)}: use that, "
            f"or bring more data. The best of them is the {best.label}, at {show(best.score, metric)}."
        )
    elif len(candidates) == 1:
        sentence = f"The {best.label} reaches {show(best.score, metric)}, and the {baseline.name} {show(baseline.score, metric)}."
    elif len(equal) == 1:
        sentence = f"Use the {best.label}: it has the best {metric.name}, {show(best.score, metric)}, and it is ahead of every other network by more than chance explains (95 % intervals of the differences)."
    else:
        names, use = _and([c.label for c in equal]), _use(cheapest, best, equal, useful, baseline, metric)
        sentence = f"{names} cannot be told apart on this data; {use}"
        if all(c in same for c in equal[1:]):
            least = _negligible(equal[1], metric)
            sentence = f"{names} are practically the same here: their differences are below {least} with at least 95 % probability; {use}"
    reasons = []
    if choice.ahead is not None and choice.ahead.known:
        reasons.append(
            f"The {choice.label} is {_side(choice.ahead, metric, f'the simplest answer, {baseline.name},')}."
        )
    reasons += _scarcity(independent, test or counted(round(independent), "item"))
    for c in candidates:
        if c.behind is not None and c not in equal:
            reasons.append(f"The {c.label} is behind the {best.label} by {show(c.behind, metric, difference=True)}.")
    reasons += [_undecided(c, best, metric) for c in equal if c.odds is not None and c not in same and not few]
    reasons += _time(candidates, cheapest)
    for c in equal:
        if c not in useful and useful:
            by = "" if c.ahead is None else f": it is {_side(c.ahead, metric, 'it')}"
            reasons.append(f"The {c.label} is not surely better than the {baseline.name}{by}.")
    reasons += [reason for c in candidates for reason in _inside(c, need, behind=c not in equal)]
    reasons += [] if few else _more_data(candidates, metric)
    return Verdict(sentence=sentence, choice=choice.name, equivalent=[c.name for c in equal], few=few, reasons=reasons)


def _use(
    cheapest: Candidate,
    best: Candidate,
    equal: list[Candidate],
    useful: list[Candidate],
    baseline: BaselineResult,
    metric: Metric,
) -> str:
    """Which of several to use, and why."""
    cheaper = [c for c in equal if c.cost.latency_ms_p50 < cheapest.cost.latency_ms_p50]
    weak = [c for c in cheaper if useful and c not in useful]
    why = "the cheapest of them"
    if cheaper and len(weak) == len(cheaper):
        those = "the only one that surely beats" if len(useful) == 1 else "the cheapest of those that surely beat"
        why = f"{those} the {baseline.name}"
    elif cheaper and cheapest is best:
        or_weak = f", or does not surely beat the {baseline.name}" if weak else ""
        why = f"the best, since whatever is cheaper is probably worse by more than is negligible{or_weak}"
    elif cheaper:
        why = f"the cheapest of those that are not probably worse than the {best.label} by more than is negligible"
    return (
        f"use the {cheapest.label}, {why}: {cheapest.cost.latency_ms_p50:.2g} ms for one item, {metric.name} "
        f"{show(cheapest.score, metric)}."
    )


def _scarcity(independent: float, test: str) -> list[str]:
    """What so few test items allow to say."""
    about = f"The test part holds {test}"
    if independent < 2:
        return [f"{about}, too few for an interval: nothing is told apart; bring more data."]
    if independent < FEW:
        return [f"{about}, too few to tell networks apart; bring more data."]
    if independent < SCARCE:
        return [f"{about}: the intervals are wide, and rightly so."]
    return []


def _side(ahead: Interval, metric: Metric, other: str) -> str:
    """``"ahead of it by 5 points (3 to 7)"``, or behind it."""
    if ahead.value >= 0:
        return f"ahead of {other} by {show(ahead, metric, difference=True)}"
    behind = Interval(value=-ahead.value, low=-ahead.high, high=-ahead.low)
    return f"behind {other} by {show(behind, metric, difference=True)}"


def _undecided(candidate: Candidate, best: Candidate, metric: Metric) -> str:
    assert candidate.odds is not None
    odds, worse = candidate.odds, _worse(candidate, metric)
    better = max(0.0, 1 - worse - odds.same)
    return (
        f"Against the {best.label}, the {candidate.label} is worse by more than {_negligible(candidate, metric)} with "
        f"{worse:.0%} probability, practically the same with {odds.same:.0%}, and better with {better:.0%}."
    ).replace("%", " %")


def _worse(candidate: Candidate, metric: Metric) -> float:
    """How probably a network is worse than the best by more than is negligible."""
    if candidate.odds is None:
        return 0.0
    return candidate.odds.higher if metric.higher_is_better else candidate.odds.lower


def _negligible(candidate: Candidate, metric: Metric) -> str:
    assert candidate.odds is not None
    rope = candidate.odds.rope
    unit = ("point" if rope == 1 else "points") if metric.unit == "%" else metric.unit
    return f"{rope:.3g} {unit}".strip()


def _inside(candidate: Candidate, need: Need | None, behind: bool) -> list[str]:
    """What a look into a network explains of its figure.

    Args:
        candidate: the network.
        need: how far back the data asks to look.
        behind: whether others are surely better.
    """
    found, why = [], candidate.why
    if need is not None and need.steps is not None and need.network != candidate.label:  # which does as well as it does
        draws = f"the {need.network} needs the last {counted(need.steps, 'step')} to do as well as it does"
        if why.fades is not None and why.fades < need.steps:
            found.append(
                f"The {candidate.label}'s gradient fades to 1 % after {counted(why.fades, 'step')}, and {draws}."
            )
        if why.sees is not None and why.sees < need.steps:
            found.append(f"The {candidate.label}'s convolutions see {counted(why.sees, 'step')}, and {draws}.")
    if need is None and behind and why.sees is not None and why.extent is not None and why.sees < why.extent:
        found.append(
            f"The {candidate.label}'s filters see {why.sees} of an image's {why.extent} rows at a time, and the mean over "
            "their maps does not tell where something stood."
        )
    for gate, (shut, open_) in why.gates.items():
        if max(shut, open_) >= STUCK:
            where = "shut (below 0.05)" if shut > open_ else "open (above 0.95)"
            found.append(
                f"The {candidate.label}'s gate {gate} is {where} in {100 * max(shut, open_):.0f} % of all units and steps: there "
                "it decides nothing, and its slope, under a fifth of the steepest, hardly lets it learn."
            )
    if why.dead is not None and why.dead >= MANY_DEAD:
        share = f"{100 * why.dead:.0f} %"
        found.append(f"{share} of the {candidate.label}'s filters answer to no test item; fewer would do.")
    return found


def _time(candidates: list[Candidate], cheapest: Candidate) -> list[str]:
    """How much longer the slowest takes for one item, where that is more than two measurements of the same thing differ by."""
    times = {c.label: c.cost.latency_ms_p50 for c in candidates}
    slowest = max(times, key=lambda label: times[label])
    if len(times) > 1 and times[slowest] < ALIKE * min(times.values()):
        return ["One item takes about as long in all of them."]
    ratio = times[slowest] / times[cheapest.label]
    if ratio < ALIKE:
        return []
    return [f"For one item the {slowest} takes {ratio:.1f} times as long as the {cheapest.label}."]


def _more_data(candidates: list[Candidate], metric: Metric) -> list[str]:
    """Whether the order may change with more data, from what the last doubling of the training part gave."""
    best, others = candidates[0], candidates[1:]
    if not best.curve or not others:
        return []
    sign = 1 if metric.higher_is_better else -1

    def gain(c: Candidate) -> float:
        return sign * (c.curve[-1].score.value - c.curve[-2].score.value)

    nearer = [c for c in others if c.behind is not None and gain(c) - gain(best) >= c.behind.value]
    unit = "points" if metric.unit == "%" else metric.unit
    doubling = f"from {best.curve[-2].items:,} to {best.curve[-1].items:,} training items"
    if not nearer:
        return [
            f"More data would hardly change the order: {doubling} none of the others came nearer to the {best.label} by as much "
            "as it is behind."
        ]
    gains = _and([f"the {c.label} gained {gain(c):.2g} {unit}".strip() for c in [best, *nearer]])
    return [f"With more data the order may change: {doubling} {gains}."]


def show(interval: Interval, metric: Metric, *, difference: bool = False) -> str:
    """``97.3 % (95.9 to 98.5)``, rounded to what the interval's width allows; percentages differ by points."""
    name = "points" if difference and metric.unit == "%" else metric.unit
    return f"{words.figure(interval, name)} ({words.span(interval, signed=difference)})"


def _and(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else ", ".join(names[:-1]) + f" and {names[-1]}"

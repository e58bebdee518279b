"""Charts as SVG, made of numbers only; every text in them is escaped.

Colours are Okabe and Ito's (2008), which people with any common colour blindness can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup, escape

from pellucid.lab.results import BaselineResult, Candidate, Comparison, Forecast, Roll

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BROAD, NARROW = 720, 350  # of a page, and of a phone: letters keep their size
LETTER = 6.5  # that a small letter is wide, about


@dataclass(frozen=True)
class Scale:
    """Maps numbers to places on a line."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The place of a number; one far outside stays at the edge."""
        share = (value - self.low) / ((self.high - self.low) or 1)
        return self.start + min(max(share, -0.02), 1.02) * (self.stop - self.start)

    def ticks(self, wanted: int = 5) -> list[float]:
        """Round numbers inside the range."""
        step = 10 ** math.floor(math.log10(max(self.high - self.low, 1e-12) / wanted))
        step = next(step * m for m in (1, 2, 5, 10) if (self.high - self.low) / (step * m) <= wanted)
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def svg(width: int, height: int, title: str, body: Sequence[str]) -> Markup:
    """An SVG element that shrinks with the page."""
    head = f'<svg viewBox="0 0 {width} {height}" role="img" width="{width}" xmlns="http://www.w3.org/2000/svg">'
    return Markup(f"{head}<title>{escape(title)}</title>{''.join(body)}</svg>")


def fitted(draw: Callable[[int], Markup | None], broad: int = BROAD) -> Markup | None:
    """A figure for wide pages and one for narrow ones, of which the page's style shows one; None where there is nothing to draw."""
    wide, slim = draw(broad), draw(NARROW)
    if wide is None or slim is None:
        return None
    return Markup(f'<div class="broad">{wide}</div><div class="narrow">{slim}</div>')


def intervals(comparison: Comparison, width: int = BROAD) -> Markup:
    """Every network's figure with its interval, on one axis, the baseline as a dashed line."""
    shown = [(c.label, c.score, COLOURS[i % len(COLOURS)]) for i, c in enumerate(comparison.candidates)]
    known = all(s.known for _, s, _ in shown)
    low = min(s.low if known else s.value for _, s, _ in shown)
    high = max(s.high if known else s.value for _, s, _ in shown)
    room = (high - low) * 0.15 or 1
    baseline = comparison.baseline.score.value
    near = low - 2 * (high - low + room) <= baseline <= high + 2 * (high - low + room)
    low, high = (min(low, baseline) - room, max(high, baseline) + room) if near else (low - room, high + room)
    height = 34 * len(shown) + 46
    x = Scale(low, high, 110, width - 30)
    body = [_axis(x, height - 34, 8, _ticks(width))]
    if near:
        body.append(f'<line x1="{x(baseline):.1f}" x2="{x(baseline):.1f}" y1="8" y2="{height - 34}" class="base"/>')
        side = "end" if x(baseline) > width - 160 else "start"
        gap = -5 if side == "end" else 5
        body.append(_text(x(baseline) + gap, 18, comparison.baseline.name, anchor=side, kind="small"))
    for row, (label, score, colour) in enumerate(shown):
        y = 34 * row + 26
        body.append(_text(100, y + 5, label, anchor="end"))
        if known:
            body.append(
                f'<line x1="{x(score.low):.1f}" x2="{x(score.high):.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="5" stroke-linecap="round" opacity=".45"/>'
            )
        body.append(f'<circle cx="{x(score.value):.1f}" cy="{y}" r="6" fill="{colour}"/>')
    unit = f", {comparison.unit}" if comparison.unit else ""
    body.append(
        _text(
            (width + 80) / 2,
            height - 4,
            f"{comparison.metric}{unit}, {'with 95 % intervals' if known else 'without intervals'}",
            anchor="middle",
            kind="small",
        )
    )
    return svg(width, height, f"{comparison.metric} of each network{' with its interval' if known else ''}", body)


def learning(comparison: Comparison, candidate: Candidate, colour: str) -> Markup:
    """Loss per epoch, a pair of lines for each seed, on axes that all networks share."""
    histories = [s.history for c in comparison.candidates for s in c.seeds]
    losses = [v for h in histories for e in h for v in (e.train_loss, e.valid_loss) if math.isfinite(v)]
    if not losses:
        return svg(340, 40, "no finite loss", [_text(10, 25, "The loss was never a finite number.")])
    top = sorted(losses)[math.ceil(0.99 * (len(losses) - 1))]
    x = Scale(1, max(2, max(len(h) for h in histories)), 44, 328)
    y = Scale(min(0.0, min(losses)), top * 1.05 or 1, 172, 12)
    body = [_axis(x, 172, 12, min(4, int(x.high - x.low))), _side(y, 44, 328)]
    for seed in candidate.seeds:
        for kind, dashed in (("train_loss", ' stroke-dasharray="3 3"'), ("valid_loss", "")):
            points = [(e.epoch, getattr(e, kind)) for e in seed.history if math.isfinite(getattr(e, kind))]
            path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
            body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dashed}/>')
            if len(points) == 1:  # no line
                place = f'cx="{x(points[0][0]):.1f}" cy="{y(points[0][1]):.1f}"'
                body.append(f'<circle {place} r="3.5" fill="{"none" if dashed else colour}" stroke="{colour}"/>')
    body.append(_text(186, 206, "epoch", anchor="middle", kind="small"))
    body.append(_text(328, 24, candidate.label, anchor="end"))
    return svg(340, 212, f"Loss of the {candidate.label} per epoch", body)


def confusion(matrix: list[list[int]], labels: list[str], name: str) -> Markup:
    """True classes in rows, answers in columns; each row's shares as shades."""
    count = len(labels)
    cell = max(8, min(34, 340 // count))
    names = [_short(label, 12) for label in labels]
    upright = LETTER * max(map(len, names)) > cell  # a name has no room beside its neighbours
    left, top = 90, int(LETTER * max(map(len, names))) + 14 if upright and cell >= 12 else 24
    body = []
    for row, counts in enumerate(matrix):
        whole = sum(counts) or 1
        for column, number in enumerate(counts):
            share = number / whole
            x, y = left + column * cell, top + row * cell
            body.append(
                f'<rect x="{x}" y="{y}" width="{cell - 1}" height="{cell - 1}" fill="#0072B2" fill-opacity="{0.04 + 0.96 * share:.3f}">'
                f"<title>{escape(labels[row])} taken for {escape(labels[column])}: {number}</title></rect>"
            )
            if number and cell >= 22:
                tone = "onfill" if share > 0.45 else "oncell"
                body.append(_text(x + cell / 2, y + cell / 2 + 4, str(number), anchor="middle", kind=tone))
        if cell >= 12:
            body.append(_text(left - 6, top + row * cell + cell / 2 + 4, names[row], anchor="end", kind="small"))
            middle = left + (row + 0.5) * cell
            body.append(
                _text(middle + 4, top - 7, names[row], kind="small", turned=True)
                if upright
                else _text(middle, top - 7, names[row], anchor="middle", kind="small")
            )
    return svg(left + count * cell + 8, top + count * cell + 8, f"Confusion matrix of the {name}", body)


def forecast(actual: Forecast, others: Sequence[tuple[str, str, Forecast]], width: int = BROAD) -> Markup:
    """One window: the past, what came, and what each network and the baseline said; of the first its interval, too."""
    values = [*actual.past, *actual.actual, *(v for _, _, f in others for v in f.predicted)]
    values += [*(others[0][2].low or []), *(others[0][2].high or [])]
    past, ahead = len(actual.past), len(actual.actual)
    room = (max(values) - min(values)) * 0.08 or 1
    x, y = Scale(0, past + ahead - 1, 56, width - 20), Scale(min(values) - room, max(values) + room, 178, 12)
    body = [_side(y, 56, width - 20)]
    body.append(f'<line x1="{x(past - 0.5):.1f}" x2="{x(past - 0.5):.1f}" y1="12" y2="178" class="grid"/>')

    def line(series: list[float], start: int, style: str) -> None:
        points = " ".join(f"{x(start + k):.1f},{y(v):.1f}" for k, v in enumerate(series))
        body.append(f'<polyline points="{points}" fill="none" {style}/>')
        if len(series) == 1:
            body.append(
                f'<circle cx="{x(start):.1f}" cy="{y(series[0]):.1f}" r="3.5" {style.replace("stroke=", "fill=", 1)}/>'
            )

    first, colour = others[0][2], others[0][1]
    if first.low is not None and first.high is not None and ahead > 1:
        upper = [f"{x(past + k):.1f},{y(v):.1f}" for k, v in enumerate(first.high)]
        lower = [f"{x(past + k):.1f},{y(v):.1f}" for k, v in enumerate(first.low)]
        body.append(f'<polygon points="{" ".join([*upper, *reversed(lower)])}" fill="{colour}" opacity=".14"/>')
    line([*actual.past, actual.actual[0]], 0, 'class="past"')
    line(actual.actual, past, 'class="actual"')
    for _, colour, other in others:
        dash = ' stroke-dasharray="5 4"' if colour == "#888888" else ""
        line(other.predicted, past, f'stroke="{colour}" stroke-width="1.8"{dash}')
    before, half = f"{past} steps before", LETTER * len(actual.start) / 2
    middle = min(max(x(past), 62 + LETTER * len(before) + half), width - half)  # clear of what stands before it, inside
    body.append(_text(middle, 196, actual.start, anchor="middle", kind="small"))
    body.append(_text(56, 196, before, kind="small"))
    return svg(width, 204, f"Forecast from {actual.start}", body)


def forecasts(candidates: Sequence[Candidate], baseline: BaselineResult) -> list[Markup]:
    """The test windows that were kept, all networks in each."""
    plots = []
    for k, window in enumerate(candidates[0].forecast or []):
        lines = [(c.label, COLOURS[i % len(COLOURS)], c.forecast[k]) for i, c in enumerate(candidates) if c.forecast]
        if baseline.forecast:
            lines.append((baseline.name, "#888888", baseline.forecast[k]))
        plot = fitted(partial(forecast, window, lines))
        assert plot is not None  # of a forecast there always is one
        plots.append(plot)
    return plots


def numbers(pairs: Sequence[tuple[float, float]], name: str, colour: str) -> Markup:
    """A point for each test item: across what is true, up what the network said; on the line the two are equal."""
    values = [v for pair in pairs for v in pair]
    room = (max(values) - min(values)) * 0.04 or 1
    x = Scale(min(values) - room, max(values) + room, 56, 328)
    y = Scale(x.low, x.high, 268, 12)
    body = [_axis(x, 268, 12, 4), _side(y, 56, 328)]
    body.append('<line x1="56" y1="268" x2="328" y2="12" class="base"/>')
    body += [f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="2.6" fill="{colour}" opacity=".55"/>' for a, b in pairs]
    body.append(_text(192, 302, "true", anchor="middle", kind="small"))
    body.append(_text(60, 24, f"said by the {name}", kind="small"))
    return svg(340, 308, f"What the {name} said of each number", body)


def roll(found: Roll, name: str, colour: str) -> Markup:
    """A row for each label, a column for each step: the fill is how probable it was said to be, the frame that it held."""
    cell, left, top = 13, 56, 6  # as high as a label's line
    body = []
    for row, label in enumerate(reversed(found.labels)):
        at = len(found.labels) - 1 - row
        y = top + row * cell
        body.append(_text(left - 5, y + 10, _short(label, 7), anchor="end", kind="small"))
        for step, (held, said) in enumerate(zip(found.actual[at], found.said[at], strict=True)):
            x = left + step * cell
            if said >= 0.02:
                fill = f'fill="{colour}" fill-opacity="{said:.2f}"'
                body.append(f'<rect x="{x}" y="{y}" width="{cell - 1}" height="{cell - 1}" {fill}/>')
            if held:
                body.append(f'<rect x="{x + 0.5}" y="{y + 0.5}" width="{cell - 2}" height="{cell - 2}" class="held"/>')
    steps = len(found.actual[0]) if found.actual else 0
    body.append(
        _text(left, top + len(found.labels) * cell + 14, f"steps 2 to {steps + 1} of {found.item}", kind="small")
    )
    return svg(
        left + max(steps, 20) * cell + 8, top + len(found.labels) * cell + 22, f"What the {name} expected next", body
    )


def reach(comparison: Comparison, width: int = BROAD) -> Markup | None:
    """The gradient's norm by the distance back, on a logarithmic axis with the 1 % step marked; a line for each recurrence."""
    shown = [(c, COLOURS[i % len(COLOURS)]) for i, c in enumerate(comparison.candidates) if len(c.why.gradient) > 1]
    if not shown:
        return None
    norms = [math.log10(v) for c, _ in shown for _, v in c.why.gradient if v > 0]
    low = max(-8.0, min([*norms, -2.5]))
    x = Scale(0, max(len(c.why.gradient) for c, _ in shown) - 1, 60, width - 20)
    y = Scale(low, max([*norms, 0.5]), 190, 12)
    body = [_axis(x, 190, 12, _ticks(width))]
    for power in range(math.ceil(low), math.floor(y.high) + 1):
        body.append(f'<line x1="60" x2="{width - 20}" y1="{y(power):.1f}" y2="{y(power):.1f}" class="grid"/>')
        body.append(_text(54, y(power) + 4, f"{10.0**power:g}", anchor="end", kind="small"))
    body.append(f'<line x1="60" x2="{width - 20}" y1="{y(-2):.1f}" y2="{y(-2):.1f}" class="base"/>')
    body.append(_text(width - 24, y(-2) - 5, "1 %", anchor="end", kind="small"))
    for candidate, colour in shown:
        points = " ".join(f"{x(d):.1f},{y(math.log10(max(v, 1e-30))):.1f}" for d, v in candidate.why.gradient)
        body.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    body.append(_text((width + 40) / 2, 222, "steps back from the last", anchor="middle", kind="small"))
    return svg(width, 228, "Norm of the gradient that reaches the state, by distance from the last step", body)


def need(comparison: Comparison) -> Markup | None:
    """The best network's figure when it sees the last steps alone."""
    found = comparison.need
    if found is None or len(found.figures) < 2:
        return None
    values = [v for _, v in found.figures]
    room = (max(values) - min(values)) * 0.1 or 1
    x = Scale(0, math.log2(found.figures[-1][0]), 60, 320)
    y = Scale(min(values) - room, max(values) + room, 190, 12)
    body = [_side(y, 60, 320)]
    for steps, _ in found.figures:
        if steps & (steps - 1) == 0 and (x.high < 6 or steps.bit_length() % 2 == 1):
            body.append(_text(x(math.log2(steps)), 206, str(steps), anchor="middle", kind="small"))
    points = " ".join(f"{x(math.log2(s)):.1f},{y(v):.1f}" for s, v in found.figures)
    body.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[0]}" stroke-width="2"/>')
    for steps, value in found.figures:
        kind = COLOURS[1] if steps == found.steps else COLOURS[0]
        body.append(f'<circle cx="{x(math.log2(steps)):.1f}" cy="{y(value):.1f}" r="4" fill="{kind}"/>')
    body.append(_text(190, 222, "last steps that it sees", anchor="middle", kind="small"))
    return svg(340, 228, f"{comparison.metric} of the {found.network} by the steps that it sees", body)


def by_data(comparison: Comparison, width: int = BROAD) -> Markup | None:
    """The test figure by the size of the training part, with 95 % intervals where there are; sizes on a logarithmic axis."""
    shown = [(c, COLOURS[i % len(COLOURS)]) for i, c in enumerate(comparison.candidates) if c.curve]
    if not shown:
        return None
    points = [p for c, _ in shown for p in c.curve]
    known = all(p.score.known for p in points)
    low = min(p.score.low if known else p.score.value for p in points)
    high = max(p.score.high if known else p.score.value for p in points)
    sizes = sorted({p.items for p in points})
    x = Scale(math.log2(sizes[0]), math.log2(sizes[-1]), 70, width - 30)
    y = Scale(low - 0.05 * (high - low), high + 0.05 * (high - low), 190, 12)
    body = [_side(y, 60, width - 20)]
    for size in sizes:
        body.append(_text(x(math.log2(size)), 206, f"{size:,}", anchor="middle", kind="small"))
    for place, (candidate, colour) in enumerate(shown):
        aside = 4 * (place - (len(shown) - 1) / 2)  # so that intervals do not cover one another
        at = [(x(math.log2(p.items)) + aside, p.score) for p in candidate.curve]
        line = " ".join(f"{a:.1f},{y(s.value):.1f}" for a, s in at)
        body.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for a, s in at:
            if known:
                ends = f'y1="{y(s.low):.1f}" y2="{y(s.high):.1f}" stroke="{colour}"'
                body.append(f'<line x1="{a:.1f}" x2="{a:.1f}" {ends} stroke-width="3" opacity=".45"/>')
            body.append(f'<circle cx="{a:.1f}" cy="{y(s.value):.1f}" r="4" fill="{colour}"/>')
    body.append(_text((width + 40) / 2, 222, "training items", anchor="middle", kind="small"))
    return svg(width, 228, f"{comparison.metric} by the number of training items", body)


def _ticks(width: int) -> int:
    """How many numbers an axis across such a figure has room for."""
    return 6 if width > NARROW else 4


def _axis(x: Scale, y: float, top: float, wanted: int = 6) -> str:
    parts = []
    for tick in x.ticks(wanted):
        parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{y}" class="grid"/>')
        parts.append(_text(x(tick), y + 15, f"{tick:.6g}", anchor="middle", kind="small"))
    return "".join(parts)


def _side(y: Scale, left: float, right: float) -> str:
    parts = []
    for tick in y.ticks(4):
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" class="grid"/>')
        parts.append(_text(left - 6, y(tick) + 4, f"{tick:.4g}", anchor="end", kind="small"))
    return "".join(parts)


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "", turned: bool = False) -> str:
    style = f' class="{kind}"' if kind else ""
    style += f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""  # read upwards
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"

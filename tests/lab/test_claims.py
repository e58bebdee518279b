"""The promises of ``pellucid claims``: a verdict follows from thresholds and intervals alone; what was measured is not
measured again; the tasks and ablated cells are what they are named after; the page and figures are whole."""

from __future__ import annotations

import io
import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy import stats
from tests.lab.test_survival import files_of_at_most

import pellucid.nn as layers
from pellucid.errors import ArgumentError, DataError
from pellucid.lab.claims import (
    charts,
    claims,
    gradients,
    judgement,
    learning,
    memory,
    named,
    read,
    run,
    sounds,
    tasks,
    terminal,
    uses,
)
from pellucid.lab.claims.claim import Answer, Claim, Measures, Results, Unit
from pellucid.lab.claims.convolution import edges
from pellucid.lab.claims.results import Dots, Lines, Measured, Part, Report
from pellucid.lab.claims.runner import Watcher
from pellucid.lab.results import Interval
from pellucid.lab.task import SHARE

MEASURED: list[int] = []


def counted(*, size: float, seed: int, on: torch.device) -> Measures:
    """An experiment that notes that it ran, and needs no device."""
    MEASURED.append(seed)
    return {"effect": size + 0.1 * seed}


def small_claim(size: float = 5.0, threshold: float = 1.0) -> Claim:
    def judge(results: Results) -> Answer:
        effect = judgement.over_seeds(results.values("counted", "effect", size=size))
        part = judgement.at_least("the effect is", effect, threshold, "points")
        return Answer([part], [Dots(title="Effect & all", x="points", rows=[("a < b", "a", effect)])])

    units = [Unit(counted, {"size": size, "seed": s}, 1.0) for s in range(3)]
    return Claim("small", "Family", "It is so.", "Nobody 2000", "It was looked at.", "the weather", units, judge)


class Stopping(Watcher):
    """Stops where a result is there whose settings are these."""

    def __init__(self, **settings: float) -> None:
        self.settings = settings

    def done(self, unit: Unit, was_there: bool) -> None:
        if self.settings.items() <= unit.settings.items():
            raise KeyboardInterrupt


def interval(low: float, high: float) -> Interval:
    return Interval(value=(low + high) / 2, low=low, high=high)


def test_interval_is_students_t_over_seeds() -> None:
    values = [3.0, 5.0, 4.0, 8.0]
    found = judgement.over_seeds(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((5.0, low, high))
    assert judgement.over_seeds([2.0]) == judgement.exact(2.0)


def test_an_interval_ends_where_the_figure_does() -> None:
    found = judgement.over_seeds([0.0, 30.0, 100.0, 100.0], SHARE)
    assert (found.value, found.low, found.high) == (57.5, 0.0, 100.0)
    inside = [90.0, 91.0, 92.0]
    assert judgement.over_seeds(inside, SHARE) == judgement.over_seeds(inside)


def test_no_interval_that_is_kept_goes_past_what_the_figure_can_be() -> None:
    """Of shares and errors in the figures of docs/claims."""
    report = read(Path(__file__).parents[2] / "docs/claims/result.json")
    for finding in report.findings:
        for panel in finding.panels:
            lines = isinstance(panel, Lines)
            unit, about = (panel.y, panel.title) if lines else (panel.x, f"{panel.title}, {panel.x}")
            if not unit.startswith(("%", "accuracy, %", "variance explained, %", "wrong", "bits", "mean absolute")):
                continue
            low = -100 if "explained" in about else 0
            high = 100 if "%" in unit and "of its own" not in unit else math.inf
            figures = [p.y for x in panel.lines for p in x.points] if lines else [y for *_, y in panel.rows]
            assert all(low <= y.low <= y.value <= y.high <= high for y in figures), (finding.name, panel.title)


@pytest.mark.parametrize(
    ("low", "high", "found"), [(1.0, 3.0, "holds"), (0.9, 3.0, "open"), (0.5, 1.2, "open"), (0.0, 0.99, "fails")]
)
def test_a_part_holds_with_its_whole_interval(low: float, high: float, found: str) -> None:
    assert judgement.at_least("x", interval(low, high), 1.0, "points").verdict == found


@pytest.mark.parametrize(
    ("low", "high", "found"), [(74, 76, "holds"), (73, 75, "open"), (70, 73, "fails"), (77, 78, "fails")]
)
def test_a_part_lies_within_a_range_with_its_whole_interval(low: float, high: float, found: str) -> None:
    assert judgement.within("x", interval(low, high), 74, 76, "%").verdict == found


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        (["holds", "holds"], "holds"),
        (["fails", "fails"], "does not hold here"),
        (["holds", "fails"], "depends on it"),
        (["holds", "fails", "open"], "depends on it"),
        (["holds", "open"], "not settled"),
        (["fails", "open"], "not settled"),
    ],
)
def test_verdict_of_the_parts(parts: list[str], found: str) -> None:
    effects = {"holds": interval(2, 3), "open": interval(0, 2), "fails": interval(-2, 0)}
    made = [judgement.at_least("x", effects[p], 1.0, "") for p in parts]
    assert [p.verdict for p in made] == parts
    assert judgement.verdict(made, "it") == found


def test_results_are_paired_by_seed_and_never_mixed() -> None:
    units = [
        Measured(experiment="e", settings={"net": n, "seed": s}, measures={"m": 10 * s + k}, seconds=0)
        for k, n in enumerate("ab")
        for s in (2, 0, 1)
    ]
    results = Results(units)
    assert results.values("e", "m", net="b").tolist() == [1, 11, 21]
    with pytest.raises(LookupError):
        results.values("e", "m")  # two units of each seed


def test_a_run_goes_on_and_writes_page_figure_and_data(tmp_path: Path) -> None:
    MEASURED.clear()
    first = run([small_claim()], tmp_path, command="pellucid claims --quick")
    assert sorted(MEASURED) == [0, 1, 2]
    (tmp_path / "units").joinpath(next(f.name for f in (tmp_path / "units").iterdir())).unlink()
    MEASURED.clear()
    again = run([small_claim()], tmp_path)
    assert len(MEASURED) == 1
    assert again.findings[0].parts == first.findings[0].parts
    assert again.findings[0].verdict == "holds"
    text = (tmp_path / "claims.md").read_text(encoding="utf-8")
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (tmp_path / picture).is_file()
    assert "| [It is so.](#small) | holds | the effect is 5.10 points (4.85 to 5.35) | 1 of 1 | full |" in text
    assert f"full set, {datetime.now(UTC).date()}." in text
    kept = Report.model_validate_json((tmp_path / "claims" / "result.json").read_text(encoding="utf-8"))
    assert kept == again
    assert len(kept.units) == 3
    assert not list(tmp_path.rglob("*.part"))


def test_the_page_shows_what_is_measured_in_full_or_else_quickly(tmp_path: Path) -> None:
    """A claim that is asked for later does not take the others off the page, and a quick finding gives way to a full one."""
    other = replace(small_claim(7.0), name="other")
    few = [replace(c, units=c.units[:2], quick=True) for c in (small_claim(), other)]
    every = [small_claim(), other, *few]

    def table() -> list[str]:
        lines = (tmp_path / "claims.md").read_text(encoding="utf-8").splitlines()
        return [
            f"{line.split('](#')[1].split(')')[0]}: {line.split('|')[-2].strip()}" for line in lines if "](#" in line
        ]

    run(few, tmp_path, beside=every)
    assert table() == ["small: quick", "other: quick"]
    asked = run([other], tmp_path, beside=every)
    assert [f.name for f in asked.findings] == ["other"]
    assert table() == ["small: quick", "other: full"]
    run(few[1:], tmp_path, beside=every)
    assert table() == ["small: quick", "other: full"]


def test_a_run_that_is_stopped_leaves_a_page_of_what_is_measured(tmp_path: Path) -> None:
    later = replace(small_claim(7.0), name="later")
    with pytest.raises(KeyboardInterrupt):
        run([small_claim(), later], tmp_path, watcher=Stopping(size=7.0))
    text = (tmp_path / "claims.md").read_text(encoding="utf-8")
    assert "### small" in text
    assert "### later" not in text


def test_a_run_that_is_stopped_keeps_all_units_in_its_data(tmp_path: Path) -> None:
    """And another run takes them from there, so that only the rest is measured; what was measured there itself stays."""
    few, later = replace(small_claim(), units=small_claim().units[:1]), replace(small_claim(), name="later")
    with pytest.raises(KeyboardInterrupt):
        run([few, later], tmp_path / "a", watcher=Stopping(seed=1))
    known = read(tmp_path / "a" / "claims" / "result.json")
    assert [unit.settings["seed"] for unit in known.units] == [0, 1]
    MEASURED.clear()
    taken = run([small_claim()], tmp_path / "b", known=known)
    assert MEASURED == [2]
    assert taken.findings[0].parts == run([small_claim()], tmp_path / "whole").findings[0].parts
    wrong = known.model_copy(
        update={"units": [u.model_copy(update={"measures": {"effect": 99.0}}) for u in known.units]}
    )
    assert run([small_claim()], tmp_path / "b", known=wrong).findings[0].parts == taken.findings[0].parts


@pytest.mark.parametrize("change", [{"pellucid": "0.0.1"}, {"torch": "1.0"}, {"device": "another"}])
def test_what_another_release_or_device_measured_is_not_taken(tmp_path: Path, change: dict[str, str]) -> None:
    known = run([small_claim()], tmp_path / "a").model_copy(update=change)
    with pytest.raises(DataError, match=f"measured by .*{next(iter(change.values()))}.*leave --measured out"):
        run([small_claim()], tmp_path / "b", known=known)


def test_what_is_no_result_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read(tmp_path / "result.json")
    (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="is not what pellucid claims leaves"):
        read(tmp_path / "result.json")


def test_a_damaged_unit_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    run([small_claim()], tmp_path)
    file = next((tmp_path / "units").iterdir())
    file.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="remove this file"):
        run([small_claim()], tmp_path)
    assert file.read_text(encoding="utf-8") == "{"


def test_on_a_full_disk_nothing_is_lost(tmp_path: Path) -> None:
    """A sentence, whatever there is no room for; every file that is there is whole, and what was measured is not measured again."""
    whole = run([small_claim()], tmp_path / "whole")
    unit = 20 + max(
        f.stat().st_size for f in (tmp_path / "whole" / "units").iterdir()
    )  # times have more digits or fewer
    sizes = [(tmp_path / "whole" / f).stat().st_size for f in ("claims/small.svg", "claims/result.json", "claims.md")]
    assert unit < min(sizes)
    full, there = tmp_path / "full", 0
    for largest in (10, unit, *sorted(size - 20 for size in sizes)):
        MEASURED.clear()
        with (
            files_of_at_most(largest),
            pytest.raises(
                DataError, match=r"full: cannot be written to \(File too large\); make room there, and the same"
            ),
        ):
            run([small_claim()], full)
        assert len(MEASURED) == (1 if largest < unit else 3 - there)
        there = len(list(full.glob("units/*.json")))
        assert there == (0 if largest < unit else 3)
        assert not list(full.rglob("*.part"))
        for file in full.rglob("*.json"):
            json.loads(file.read_text(encoding="utf-8"))
    MEASURED.clear()
    found = run([small_claim()], full)
    assert MEASURED == []
    with files_of_at_most(10), pytest.raises(DataError, match="make room there"):
        run([small_claim()], tmp_path / "taken", known=found)
    assert found.findings[0].parts == whole.findings[0].parts
    assert (full / "claims.md").is_file()


@pytest.mark.parametrize("name", ["text", "sound"])
def test_without_room_for_what_is_kept_for_a_while_a_use_is_a_sentence(name: str) -> None:
    with files_of_at_most(1000), pytest.raises(DataError, match=r"cannot be written to \(File too large\); make room"):
        uses.use(use=name, net="rnn", epochs=1, seed=0)


def test_the_number_of_processes_does_not_change_a_result(tmp_path: Path) -> None:
    claim = next(c for c in claims(quick=True) if c.name == "gradient-vanishes")
    units = [u for u in claim.units if u.settings["seed"] == 0 and u.settings["radius"] in (0.9, 1.1)]

    def judge(results: Results) -> Answer:
        part = judgement.at_least("x", judgement.exact(float(len(results.measured))), 0, "")
        return Answer([part], [])

    class AtWork(Watcher):
        """How many units were at work at a time, as it was told."""

        now = most = 0

        def begun(self, unit: Unit) -> None:
            self.now += 1
            self.most = max(self.most, self.now)

        def done(self, unit: Unit, was_there: bool) -> None:
            self.now -= 1

    claim = replace(claim, units=units, judge=judge)
    found = []
    for n in (1, 2):
        told = AtWork()
        report = run([claim], tmp_path / str(n), workers=n, watcher=told)
        found.append({json.dumps(u.settings): u.measures for u in report.units})
        assert n <= told.most <= n + 1  # a result is written once the next unit is at work
        assert told.now == 0
    assert len(found[0]) == 4
    assert found[0] == found[1]


def test_every_claim_has_its_own_name_and_units_that_fit_in_ten_minutes() -> None:
    quick, full = claims(quick=True), claims(quick=False)
    assert [c.name for c in quick] == [c.name for c in full]
    assert len({c.name for c in quick}) == len(quick) > 18
    schedule = terminal.Schedule(quick, workers=2)
    assert schedule.left() <= 600
    for claim in (*quick, *full):
        for unit in claim.units:
            assert isinstance(unit.settings["seed"], int)
        assert {u.settings["seed"] for u in claim.units} in (set(), set(range(5)), set(range(10)), set(range(20)))


class AnyMeasure(dict[str, float]):
    """Measures of every name: a figure that the seed decides; notes that it was read."""

    read = False

    def __missing__(self, name: str) -> float:
        self.read = True
        return 0.9 - 0.01 * self["seed"]


@pytest.mark.parametrize("quick", [True, False])
def test_every_claim_is_judged_by_its_own_units_alone(quick: bool) -> None:
    """Whatever is measured, each claim finds the units that it reads among those that it asked for, reads them all, and is drawn."""
    for claim in claims(quick):
        made = [
            Measured.model_construct(
                experiment=u.experiment,
                settings=u.settings,
                measures=AnyMeasure(seed=float(u.settings["seed"])),
                seconds=1.0,
            )
            for u in claim.units
        ]
        answer = claim.judge(Results(made))
        assert answer.parts
        ET.fromstring(charts.figure(claim.claimed, answer.panels))
        unread = [m.settings for m in made if not m.measures.read]  # type: ignore[attr-defined]
        assert not unread, claim.name


def test_time_left_follows_the_pace_so_far() -> None:
    clock = iter([0.0, 0.0, 10.0, 10.0, 13.0, 30.0])
    claim = small_claim()
    schedule = terminal.Schedule([claim, claim], workers=2, now=lambda: next(clock))
    assert schedule.whole == 3  # claims share units
    schedule.note(claim.units[0], was_there=True)
    schedule.note(claim.units[1], was_there=False)
    assert schedule.left() == pytest.approx(10.0)
    assert schedule.left() == pytest.approx(7.0)  # it goes on while a unit is at work
    assert schedule.left() == 0


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 24), (60, 8), (40, 5), (36, 2)])
def test_each_claim_that_is_measured_has_a_line(width: int, height: int) -> None:
    """And the whole one with the time left; where that is too much for the terminal, those that are at work have one."""
    made = claims(quick=True)
    screen = Console(file=io.StringIO(), force_terminal=True, no_color=True, width=width, height=height)
    paper = Console(file=io.StringIO(), width=width, height=height)
    with terminal.progress(made, 2, screen) as watcher:
        assert isinstance(watcher, terminal._Bars)

        def lines() -> list[str]:
            with paper.capture() as shown:
                paper.print(watcher.bars.get_renderable())
            return shown.get().splitlines()

        units = [next(c for c in made if c.name == name).units for name in ("tanh", "max-pooling")]
        for unit in (*units[0][:3], *units[1][:1]):
            watcher.begun(unit)
        for unit in units[0][:2]:
            watcher.done(unit, was_there=False)
        measured = [c.name for c in made if c.units]
        at_work = ["max-pooling", "average-pooling", "tanh"]  # the two on pooling have the same units
        wanted = measured if len(measured) + 2 <= height else at_work[: height - 2]
        assert [line.split()[0] for line in lines()] == [*wanted, "all"]
        assert max(map(len, lines())) <= width
        if width >= 60:
            assert re.search(r"tanh [━╸╺ ]+\d+ % 2 of 40 units, at work", "\n".join(lines()))
            assert re.search(r"all [━╸╺ ]+\d+ % about .* left", lines()[-1])
        if height == 24:
            assert re.search(r"stride +0 % 0 of 60 units *$", lines()[0])
        for unit in {terminal._key(u): u for c in made for u in c.units}.values():
            watcher.done(unit, was_there=True)
        assert all(line.split("%")[-1].strip() == "done" for line in lines()[:-1])
    assert "100 % done" in screen.file.getvalue()  # type: ignore[attr-defined]


def test_in_a_pipe_progress_is_silent() -> None:
    screen = Console(file=io.StringIO())
    with terminal.progress([small_claim()], 1, screen) as watcher:
        watcher.begun(small_claim().units[0])
    assert screen.file.getvalue() == ""  # type: ignore[attr-defined]


def test_what_is_rounding_is_shown_as_0() -> None:
    """In words and in figures; what is small and no rounding stays, and so does the number among the data."""

    def part(value: float, low: float, high: float) -> Part:
        return judgement.at_least("it loses", Interval(value=value, low=low, high=high), 1, "%")

    assert judgement.shown(part(-5.4e-21, -6.7e-7, 6.7e-7)) == "0 %"
    assert judgement.shown(part(-5.4e-21, -6.7e-7, 3e-6)) == "0 % (0 to 3e−06)"
    assert judgement.shown(part(0.0013, -0.0011, 0.0037)) == "0.0013 % (−0.0011 to 0.0037)"
    assert judgement.shown(part(4e-9, 4e-9, 4e-9)) == "0 %"
    noise = part(-5.4e-21, -6.7e-7, 6.7e-7)
    assert judgement.sentence([noise]) == "It loses 0 %, not as claimed."
    assert noise.effect.low == -6.7e-7
    drawn = charts.figure("", [Dots(title="", x="", rows=[("a", "a", noise.effect), ("b", "b", interval(3, 4))])])
    assert ">0</text>" in drawn
    assert "e−" not in drawn


def test_an_unknown_claim_is_a_sentence() -> None:
    with pytest.raises(ArgumentError, match="there is no claim 'stridee'; there are stride, padding"):
        named(["stridee"], claims(quick=True))


def test_adding_problem_asks_for_the_sum_of_one_number_in_each_half() -> None:
    x, y = tasks.adding(2000, 30, torch.Generator().manual_seed(0))
    marks = x[..., 1]
    assert (marks[:15].sum(0) == 1).all()
    assert (marks[15:].sum(0) == 1).all()
    torch.testing.assert_close((x[..., 0] * marks).sum(0)[:, None], y)
    assert float(y.var()) == pytest.approx(tasks.ADDING_VARIANCE, rel=0.1)


def test_copy_memory_shows_the_symbols_at_the_start_only() -> None:
    x, y = tasks.copying(50, 7, torch.Generator().manual_seed(0))
    assert x.shape == (17, 50, 10)
    assert torch.equal(x[:5].argmax(-1), y)
    assert (x[12].argmax(-1) == 9).all()  # the sign to answer
    blanks = torch.cat([x[5:12], x[13:]])
    assert (blanks.argmax(-1) == 8).all()


def test_restarting_sum_lets_go_at_a_mark() -> None:
    x, y = tasks.restarting_sum(40, 30, torch.Generator().manual_seed(0))
    numbers, marks = x.unbind(-1)
    for b in range(40):
        total = 0.0
        for t in range(30):
            total = float(numbers[t, b]) + (0.0 if marks[t, b] else total)
            assert float(y[t, b, 0]) == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "part", "value"),
    [("no input gate", "i", 1), ("no forget gate", "f", 1), ("no output gate", "o", 1), ("no memory", "f", 0)],
)
def test_an_ablated_cell_is_the_lstm_with_one_gate_fixed(name: str, part: str, value: int) -> None:
    torch.manual_seed(0)
    whole = layers.LSTM(3, 4, dtype=torch.float64)
    ablated = learning.RECURRENT[name](3, 4).double()
    rows = torch.cat([torch.arange(4) + 4 * k for k, gate in enumerate("ifgo") if gate != part])
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        # An LSTM's gate is fixed by a bias far out and no weights.
        gate = slice(4 * "ifgo".index(part), 4 * "ifgo".index(part) + 4)
        for key in ("weight_ih_l0", "weight_hh_l0", "bias_hh_l0"):
            getattr(whole, key)[gate] = 0.0
        whole.bias_ih_l0[gate] = 1e3 if value else -1e3  # type: ignore[index]
        for key in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            getattr(ablated, key).copy_(getattr(whole, key)[rows])
        torch.testing.assert_close(ablated(x)[0], whole(x)[0])


def test_gradient_of_a_linear_network_follows_the_spectral_radius() -> None:
    """For h = U h + x the gradient's size goes like the radius to the power of the steps (Pascanu et al. 2013)."""
    for radius in (0.5, 1.3):
        found = gradients.radius(radius=radius, activation="identity", seed=0)["decades"]
        assert found == pytest.approx(99 * np.log10(radius), abs=2)


def test_padding_lets_a_corner_pixel_count_more() -> None:
    """Along one axis three windows of 3 weigh 1 3 6 7 6 3 1: without padding the first of 8 counts 1, the fourth 7 + 6."""
    assert edges(0) == pytest.approx(1 / 13**2)
    assert edges("same") > 4 * edges(0)


def test_a_training_that_breaks_down_counts_as_the_worst() -> None:
    model = learning.Reader("relu", 2, 4, 1)
    with torch.no_grad():
        model.head.weight.fill_(float("nan"))
    data = tasks.adding(8, 6, torch.Generator().manual_seed(0))
    assert learning.explained(model, data, tasks.ADDING_VARIANCE) == -100


def test_a_unit_is_the_same_twice_and_learns() -> None:
    first, second = (memory.adding(net="gru", length=6, steps=300, seed=1) for _ in range(2))
    assert first == second
    assert first["explained"] > 50


def test_sounds_differ_by_the_order_of_their_vowels() -> None:
    wave = sounds.pair_of_vowels(("i", "a"), np.random.default_rng(0))
    assert np.abs(wave).max() == pytest.approx(0.5)
    spectra = [np.abs(np.fft.rfft(part[:700])) for part in (wave, wave[::-1])]
    low = [s[10:35].sum() / s[50:110].sum() for s in spectra]  # i has its strength low, a in the middle
    assert low[0] > 1.5 * low[1]


def test_a_use_trains_on_a_task_of_the_lab() -> None:
    found = uses.use(use="sound", net="gru", epochs=2, seed=0)
    assert 0 < found["baseline"] <= 100 * 5 / 6  # six classes of one size
    assert 0 <= found["error"] < 75


def test_figures_are_well_formed_and_hold_their_text(tmp_path: Path) -> None:
    effect = interval(1, 2)
    panel = Dots(title="A & B", x="points", rows=[("x < 3", "g", effect)], reference=("none", 0.0))
    root = ET.fromstring(charts.figure("It's <so>", [panel, panel]))
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("x < 3") == 2
    assert "points (dashed: none)" in texts
    width = float(root.attrib["width"])
    assert all(0 <= float(c.attrib["cx"]) <= width for c in root.iter("{http://www.w3.org/2000/svg}circle"))


def test_the_command(tmp_path: Path) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pellucid", "claims", *arguments], capture_output=True, text=True, timeout=120
        )

    done = command("gru-parameters", "--quick", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "holds" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b[" not in done.stdout + done.stderr
    assert done.stderr.splitlines() == [f"Page: {tmp_path / 'claims.md'}"]
    kept = str(tmp_path / "claims" / "result.json")
    again = command("gru-parameters", "--quick", "--out", str(tmp_path / "again"), "--measured", kept)
    assert (again.returncode, again.stdout) == (0, done.stdout)
    nothing = command("gru-parameters", "--quick", "--measured", str(tmp_path / "nothing.json"))
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert "cannot be read" in nothing.stderr
    wrong = command("stridee", "--quick")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "there is no claim 'stridee'" in wrong.stderr

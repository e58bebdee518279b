"""The promise: series are read as they are, split in time without leakage, and judged as forecasting people judge them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tests.lab import tasks

from pellucid.errors import ArgumentError, DataError, PellucidError
from pellucid.lab import comparison, data
from pellucid.lab import plan as planning
from pellucid.lab.data import metrics
from pellucid.lab.data.series import axis, baselines, gaps
from pellucid.lab.data.series.newest import newest
from pellucid.lab.task import Task

HOUR = np.timedelta64(3600, "s")
START = np.datetime64("2024-01-01T00:00:00")


def write(file: Path, columns: dict[str, object]) -> Path:
    pl.DataFrame(columns).write_csv(file)
    return file


def hourly(count: int) -> list[str]:
    return [str(START + k * HOUR) for k in range(count)]


def wave(count: int, season: int = 12, noise: float = 0.1, seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    drawn = np.random.default_rng(seed).normal(0, noise, count)
    return np.round(np.sin(2 * np.pi * np.arange(count) / season) + drawn, 6)


def fact(task: Task, name: str) -> str:
    return dict(task.facts)[name]


# Several series


def long_table(file: Path, interleaved: bool = False) -> tuple[Path, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    small, large = wave(200), 1000 + 300 * wave(160, seed=1)
    names = ["north"] * 200 + ["south"] * 160
    times = hourly(200) + hourly(160)
    frame = pl.DataFrame({"shop": names, "time": times, "sold": [*small, *large]})
    (frame.sort("time", maintain_order=True) if interleaved else frame).write_csv(file)
    return file, small, large


@pytest.mark.parametrize("interleaved", [False, True])
def test_each_of_several_series_is_scaled_by_its_own_training_part(tmp_path: Path, interleaved: bool) -> None:
    file, small, large = long_table(tmp_path / "a.csv", interleaved)
    task = data.load(file, id="shop", horizon=4, window=16)
    assert task.channels == 1
    assert {item.split(",")[0] for item in task.test.items} == {"north", "south"}
    for series, train in (("north", small[:140]), ("south", large[:112])):
        at = next(i for i, item in enumerate(task.test.items) if item.startswith(series))
        first = len(train) + round(0.15 * {"north": 200, "south": 160}[series])
        whole = small if series == "north" else large
        np.testing.assert_allclose(task.raw(task.test.y[at, :, 0], at), whole[first : first + 4], rtol=1e-5)
        expected = (whole[first : first + 4] - train.mean()) / train.std()
        np.testing.assert_allclose(task.test.y[at, :, 0], expected, atol=1e-5)
    assert task.metric.unit == "deviations of each series"


def test_columns_side_by_side_can_be_a_series_each(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.csv", {"time": hourly(200), "a": wave(200), "b": 5 * wave(200, seed=1), "c": wave(200, 7)}
    )
    task = data.load(file, target="a,b", horizon=4, window=16)
    assert task.channels == 2  # its own values, and c
    assert {item.split(",")[0] for item in task.test.items} == {"a", "b"}
    assert data.load(file, target="all", horizon=4, window=16).channels == 1


def test_several_series_go_from_data_to_report(tmp_path: Path) -> None:
    file, _, large = long_table(tmp_path / "a.csv")
    task = data.load(file, id="shop", horizon=4, window=16)
    made = planning.plan(task, ["gru"], trials=1, seeds=1, epochs=2, size=800)
    found, folder = comparison.compare(made, out=tmp_path / "run")
    shown = found.candidates[0].forecast
    assert shown is not None
    assert abs(np.mean(shown[-1].past) - large.mean()) < 300  # in the unit of the series that the window is of
    names = [f.name for f in found.candidates[0].figures]
    assert names == ["MASE (season 12)", "sMAPE", "quantile loss", "coverage of the 80 % interval"]
    assert [f.name for f in found.baseline.figures] == names
    assert "MASE" in (folder / "report.html").read_text()


def test_rows_of_several_series_without_their_names_are_refused_with_the_remedy(tmp_path: Path) -> None:
    file, _, _ = long_table(tmp_path / "a.csv")
    with pytest.raises(DataError, match="name the column that tells them apart with --id"):
        data.load(file)
    frame = pl.read_csv(file).rename({"shop": "unique_id"})
    frame.write_csv(file)
    assert "several series" in data.recognise(file).sentence
    assert "unique_id" in fact(data.load(file, horizon=4, window=16), "Series")


def test_series_that_are_too_short_are_left_out_and_said(tmp_path: Path) -> None:
    rows = {"id": ["a"] * 200 + ["b"] * 30, "time": hourly(200) + hourly(30), "y": [*wave(200), *wave(30)]}
    task = data.load(write(tmp_path / "a.csv", rows), horizon=4, window=20)
    assert task.test.scales is None
    assert any("1 of 2 series are too short" in c for c in task.cautions)


# The time axis


def days(*texts: str) -> axis.Times:
    return np.array(texts, dtype="M8[us]")


@pytest.mark.parametrize(
    ("times", "words", "at"),
    [
        (days("2024-01-31", "2024-02-29", "2024-03-31", "2024-05-31", "2024-06-30"), "month", [0, 1, 2, 4, 5]),
        (days("2023-01-01", "2023-04-01", "2023-07-01", "2023-10-01", "2024-04-01"), "3 months", [0, 1, 2, 3, 5]),
        (days("2019-01-01", "2020-01-01", "2021-01-01", "2023-01-01"), "year", [0, 1, 2, 4]),
        (
            days("2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09", "2024-01-10", "2024-01-12"),
            "weekday",
            [0, 1, 2, 3, 4, 6],
        ),
        (days("2024-01-05", "2024-01-06", "2024-01-07", "2024-01-08", "2024-01-11"), "day", [0, 1, 2, 3, 6]),
        (
            days("2024-01-01T00:00:00", "2024-01-01T00:00:59.4", "2024-01-01T00:02", "2024-01-01T00:03"),
            "minute",
            [0, 1, 2, 3],
        ),
        (np.array([1700.0, 1701, 1702, 1704]), "", [0, 1, 2, 4]),
    ],
)
def test_every_usual_axis_is_even(times: axis.Times, words: str, at: list[int]) -> None:
    step = axis.find_step([times])
    assert step is not None
    assert step.words == words
    found, wrong = axis.places(times, step)
    assert wrong is None
    assert found.tolist() == at
    np.testing.assert_array_equal(axis.fill(times, found, step, found), times)


def test_a_filled_axis_says_when() -> None:
    times = days("2024-01-31", "2024-02-29", "2024-03-31", "2024-05-31")
    step = axis.Step(30 * axis.DAY, 1, False, True)
    assert axis.show(axis.fill(times, axis.places(times, step)[0], step, np.array([3]))[0]) == "2024-04-30"
    fridays = days("2024-01-04", "2024-01-05", "2024-01-09")
    step = axis.Step(axis.DAY, 0, True, True)
    assert axis.show(axis.fill(fridays, axis.places(fridays, step)[0], step, np.array([2]))[0]) == "2024-01-08"


def test_an_uneven_axis_is_a_sentence(tmp_path: Path) -> None:
    times = hourly(100)
    times[50] = str(START + 50 * HOUR + np.timedelta64(1000, "s"))
    with pytest.raises(DataError, match="line 52: the times are not evenly apart: they mostly move by one hour"):
        data.load(write(tmp_path / "a.csv", {"time": times, "y": wave(100)}))


# The season, where it is asked for


def test_a_season_may_be_set(tmp_path: Path) -> None:
    """Baselines, MASE, the horizon, the window and what fills gaps go by it; 1 is none."""
    file = write(tmp_path / "a.csv", {"y": wave(400)})
    task = data.load(file, season=18)
    assert fact(task, "Season") == "18 steps, as asked"
    assert (task.preprocessing["season"], task.horizon, task.extent) == (18, 18, (36,))
    assert "MASE (season 18)" in [f.name for f in task.figures]
    assert "seasonal naive (18)" in fact(task, "Baselines on validation")
    none = data.load(file, season=1, horizon=4)
    assert fact(none, "Season") == "none, as asked"
    assert "MASE" in [f.name for f in none.figures]
    assert "seasonal" not in fact(none, "Baselines on validation")
    found = data.load(file, horizon=4)
    assert fact(found, "Season") == "12 steps, by the training part's spectrum"
    asked = data.load(file, season=12, horizon=4)
    assert asked.fingerprint == found.fingerprint != none.fingerprint
    gaps_too = data.load(with_gaps(tmp_path / "b.csv"), target="y", missing="seasonal", season=6, horizon=4, window=16)
    assert "one season before of 6 steps" in fact(gaps_too, "Filled")


@pytest.mark.parametrize("season", [0, -24, 280, 100_000])
def test_a_season_that_cannot_be_is_a_sentence(tmp_path: Path, season: int) -> None:
    file = write(tmp_path / "a.csv", {"y": wave(400)})
    words = f"season is {season:,}, and the training part has 280 steps; give 2 to 279, or 1 for none, or leave --season out"
    with pytest.raises(ArgumentError, match=words):
        data.load(file, season=season)
    with pytest.raises(ArgumentError, match="the training part of the longest series has 140 steps"):
        data.load(long_table(tmp_path / "b.csv")[0], id="shop", season=140)


def test_a_season_says_nothing_for_other_data(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="'season' says nothing for text"):
        data.load(tasks.write_texts(tmp_path / "a.csv"), season=7)


# What is missing


def with_gaps(file: Path) -> Path:
    """Hourly, 400 steps: no row for steps 100 to 102 and 350, no value at 200."""
    frame = pl.DataFrame({"time": hourly(400), "y": wave(400), "other": wave(400, 7)}).with_row_index()
    frame = frame.filter(~pl.col("index").is_in([100, 101, 102, 350]))
    y = pl.when(pl.col("index") == 200).then(None).otherwise(pl.col("y")).alias("y")
    frame.with_columns(y).drop("index").write_csv(file)
    return file


def test_what_is_missing_is_counted_and_refused(tmp_path: Path) -> None:
    file = with_gaps(tmp_path / "a.csv")
    with pytest.raises(DataError, match="no row for 2024-01-05 04:00:00") as caught:
        data.load(file)
    for words in (
        "4 steps without a row",
        "1 missing value",
        "longest gap is 3 steps",
        "--missing linear, last or seasonal",
    ):
        assert words in str(caught.value)


def test_nothing_is_forecast_from_or_judged_by_what_was_filled(tmp_path: Path) -> None:
    file = with_gaps(tmp_path / "a.csv")
    task = data.load(file, target="y", missing="linear", horizon=4, window=16)
    whole = data.load(
        write(tmp_path / "b.csv", {"time": hourly(400), "y": wave(400), "other": wave(400, 7)}),
        target="y",
        horizon=4,
        window=16,
    )
    left_out = set(whole.test.items) - set(task.test.items)
    at = {
        str(START + k * HOUR).replace("T", " ") for k in range(347, 352)
    }  # the first step forecast: 350 is among, or before
    assert left_out == at
    left_out = {item for item in whole.train.items if item not in set(task.train.items)}
    assert len(left_out) == 7 + 5  # three steps of horizon before 100 and one after 102; the same around 200
    assert "--missing linear" in fact(task, "Filled")
    assert "3 steps from" in fact(task, "Missing")
    assert task.preprocessing["missing"] == "linear"


def test_each_way_to_fill_is_what_it_says() -> None:
    values = np.array([1.0, 2, 3, np.nan, np.nan, 6, 2, 4])
    assert gaps.filled_column(values, "linear").tolist() == [1, 2, 3, 4, 5, 6, 2, 4]
    assert gaps.filled_column(values, "last").tolist() == [1, 2, 3, 3, 3, 6, 2, 4]
    assert gaps.filled_column(values, "seasonal", 3).tolist() == [1, 2, 3, 1, 2, 6, 2, 4]
    assert gaps.filled_column(values, "seasonal", 2).tolist() == [1, 2, 3, 2, 3, 6, 2, 4]


@pytest.mark.parametrize("how", ["last", "seasonal"])
def test_filling_looks_at_nothing_that_comes_later(how: gaps.Missing) -> None:
    values = wave(100)
    values[[30, 31, 60]] = np.nan
    changed = values.copy()
    changed[61:] += 100
    np.testing.assert_array_equal(gaps.filled_column(values, how, 12)[:61], gaps.filled_column(changed, how, 12)[:61])


def test_rows_before_a_column_begins_are_left_out(tmp_path: Path) -> None:
    other = [None] * 30 + wave(170, 7).tolist()
    task = data.load(write(tmp_path / "a.csv", {"other": other, "y": wave(200)}), missing="last", horizon=4, window=16)
    assert fact(task, "Left out").startswith("30 steps")
    assert fact(task, "Rows") == "170"


def test_a_series_that_is_mostly_missing_is_refused(tmp_path: Path) -> None:
    times = [str(START + k * HOUR) for k in [*range(50), *range(1000, 1050)]]
    with pytest.raises(DataError, match="950 of the 1,050 steps have no row"):
        data.load(write(tmp_path / "a.csv", {"time": times, "y": wave(100)}), missing="last")


# What is known ahead, and the calendar


def test_a_column_that_is_known_ahead_is_seen_over_the_horizon_and_no_other_is(tmp_path: Path) -> None:
    holiday = np.random.default_rng(3).integers(0, 2, 200)
    columns = {"time": hourly(200), "holiday": holiday, "other": wave(200, 7), "y": wave(200)}
    task = data.load(write(tmp_path / "a.csv", columns), known="holiday", horizon=6, window=16)
    assert task.channels == 4  # three columns, and one of them ahead
    at = 170  # the first step of the test part
    np.testing.assert_array_equal(task.test.x[0, -6:, 3] > 0, holiday[at : at + 6] > 0)
    for name in ("other", "y"):
        changed = columns | {name: [*columns[name][:at], *(columns[name][at:] + 9)]}
        again = data.load(write(tmp_path / "b.csv", changed), known="holiday", horizon=6, window=16)
        assert torch.equal(task.test.x[0], again.test.x[0])


def test_networks_use_what_is_known_ahead(tmp_path: Path) -> None:
    """The next step is a coin that is known, and nothing else tells it."""
    coin = np.random.default_rng(0).integers(0, 2, 600)
    columns = {"coin": coin, "y": 3 * coin + wave(600, noise=0.05)}
    file = write(tmp_path / "a.csv", columns)
    errors = []
    for known in (None, "coin"):
        task = data.load(file, known=known, horizon=1, window=12)
        made = planning.plan(task, ["gru"], trials=1, seeds=1, epochs=12, size=1500)
        found, _ = comparison.compare(made, out=tmp_path / f"run {known}")
        errors.append(found.candidates[0].score.value)
    assert errors[1] < 0.5 * errors[0]


def test_rows_to_come_that_hold_what_is_known_ahead_are_no_gap(tmp_path: Path) -> None:
    columns = {"time": hourly(206), "holiday": [0, 1] * 103, "y": [*wave(200), *[None] * 6]}
    task = data.load(write(tmp_path / "a.csv", columns), known="holiday", horizon=6, window=16)
    assert fact(task, "Rows to come").startswith("6 at the end")
    assert fact(task, "Rows").startswith("200")


def test_the_calendar_is_where_the_step_makes_it_sensible(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", {"time": hourly(600), "y": wave(600)})
    task = data.load(file, calendar=True, horizon=4, window=24)
    assert task.preprocessing["calendar"] == ["hour", "weekday"]  # 600 hours hold no two years
    assert task.hint == ""
    plain = data.load(file, horizon=4, window=24)
    assert plain.hint.startswith("Networks see no calendar; --calendar shows them hour and weekday,")
    assert data.load(write(tmp_path / "c.csv", {"y": wave(600)}), horizon=4, window=24).hint == ""
    assert task.channels == 5
    noon = task.test.items.index("2024-01-22 12:00:00")  # a Monday
    hour, weekday = task.test.x[noon, -12, 1:3], task.test.x[noon, -12, 3:5]
    torch.testing.assert_close(hour, torch.tensor([0.0, 1.0]), atol=1e-6, rtol=0)  # midnight
    torch.testing.assert_close(weekday, torch.tensor([0.0, 1.0]), atol=1e-6, rtol=0)
    assert data.load(file, horizon=4, window=24).channels == 1
    with pytest.raises(ArgumentError, match="the calendar says nothing here"):
        data.load(write(tmp_path / "b.csv", {"y": wave(600)}), calendar=True)


# How forecasts are judged


def test_figures_are_what_their_papers_say() -> None:
    """Against scikit-learn's quantile loss and the formulas written out."""
    from sklearn.metrics import mean_pinball_loss

    generator = np.random.default_rng(0)
    raw = generator.normal(50, 10, (7, 5))
    said = np.sort(generator.normal(50, 10, (7, 5, 3)), -1)
    offset, factor = 48.0, 9.0
    y, p = torch.tensor((raw - offset) / factor)[..., None], torch.tensor((said - offset) / factor)
    error = np.abs(said[..., 1] - raw)
    np.testing.assert_allclose(metrics.mean_absolute_error((factor,), "", 1).per_item(p, y), error.mean(1))
    ones = torch.ones(7, dtype=torch.float64)
    scaled = metrics.mean_absolute_scaled_error(ones * 4.0 / factor, 12, 1)
    np.testing.assert_allclose(scaled.per_item(p, y), error.mean(1) / 4.0)
    smape = 200 * error / (np.abs(said[..., 1]) + np.abs(raw))
    np.testing.assert_allclose(
        metrics.symmetric_percentage_error(offset * ones, factor * ones, 1).per_item(p, y), smape.mean(1)
    )
    levels = (0.1, 0.5, 0.9)
    pinball = np.mean(
        [mean_pinball_loss(raw.T, said[..., k].T, alpha=q, multioutput="raw_values") for k, q in enumerate(levels)], 0
    )
    np.testing.assert_allclose(metrics.mean_quantile_loss(factor, "", levels).per_item(p, y), pinball)
    inside = (said[..., 0] <= raw) & (raw <= said[..., 2])
    np.testing.assert_allclose(metrics.coverage(levels).per_item(p, y), 100 * inside.mean(1))


def test_the_scale_of_mase_is_the_seasonal_naive_of_the_training_part(tmp_path: Path) -> None:
    values = wave(400)
    task = data.load(write(tmp_path / "a.csv", {"y": values}), horizon=3, window=24)
    mase = next(m for m in task.figures if m.name == "MASE (season 12)")
    train = values[:280]
    naive = np.abs(train[12:] - train[:-12]).mean()
    assert task.baseline.prediction is not None
    ratio = task.baseline.scores / mase.per_item(task.baseline.prediction, task.test.y)
    np.testing.assert_allclose(ratio, naive, rtol=1e-5)


def test_origins_are_evenly_spaced_and_counted(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", {"y": wave(600)})
    task = data.load(file, horizon=6, window=24, origins=10)
    assert len(task.test) == 10
    moves = np.diff([int(item.split()[1]) for item in task.test.items])
    assert set(moves) <= {9, 10}
    assert task.block == 2  # hardly any shares a step with another
    assert data.load(file, horizon=6, window=24).block == 12
    assert "10 origins" in fact(task, "Evaluation")
    with pytest.raises(ArgumentError, match="origins is 500, and the test part has 85"):
        data.load(file, horizon=6, window=24, origins=500)


# Baselines


@pytest.mark.parametrize(("trend", "seasonal"), [(None, None), ("damped", "add"), ("add", "mul")])
def test_exponential_smoothing_forecasts_as_statsmodels_does(trend: str | None, seasonal: str | None) -> None:
    """From an origin behind the training part, with the parameters and states as they were fitted there."""
    values = 20 + 0.05 * np.arange(160) + 3 * wave(160)
    fitted = baselines._fit(values[:120], trend, seasonal, 12)
    assert fitted is not None
    states = baselines.filter_ets(values, fitted)
    model = baselines._model(values[:140], trend, seasonal, 12, fitted.start)
    np.testing.assert_allclose(states.forecast(140, 15), model.smooth(fitted.parameters).forecast(15), rtol=1e-8)


def test_the_form_of_exponential_smoothing_is_the_one_of_the_data() -> None:
    generator = np.random.default_rng(0)
    flat = baselines.fit_ets(10 + generator.normal(size=300), 1)
    seasonal = baselines.fit_ets(10 + 5 * wave(300), 12)
    assert flat is not None and flat.trend is None and flat.seasonal is None  # noqa: PT018
    assert seasonal is not None
    assert seasonal.seasonal is not None
    assert baselines.fit_ets(np.ones(5), 1) is None


def test_the_best_baseline_on_validation_is_the_one_to_beat(tmp_path: Path) -> None:
    """Noise around a level is what smoothing is for; a random walk repeats its last value."""
    generator = np.random.default_rng(0)
    noisy = data.load(write(tmp_path / "a.csv", {"y": 10 + generator.normal(size=400)}), horizon=4)
    assert noisy.baseline.name == "exponential smoothing"
    naive = torch.tensor(0.0)
    x, y = noisy.test.x[:, -1:, :1], noisy.test.y
    naive = noisy.metric.per_item(x.expand(-1, 4, 3), y).mean()
    assert noisy.baseline.scores.mean() < 0.85 * naive


def test_a_season_near_zero_that_ends_leaves_no_absurd_forecast(tmp_path: Path) -> None:
    """Nights of nearly nothing make a multiplied season nearly 0; once a night is not, the level is divided by that."""
    t = np.arange(600)
    values = np.maximum(1e-6, np.sin(2 * np.pi * t / 12)) * (10 + np.random.default_rng(0).random(600))
    values[500:] += 5 * (t[500:] % 40 == 0)
    task = data.load(write(tmp_path / "a.csv", {"y": values}), horizon=6, window=24, split="60,60,480")
    assert "multiplicative season of 12" in fact(task, "Exponential smoothing")
    assert "forecasts left the known values by more than their range: naive there" in fact(
        task, "Exponential smoothing"
    )
    assert task.baseline.name == "exponential smoothing"
    assert task.baseline.prediction is not None
    assert task.baseline.prediction.abs().max() < 10 * task.test.y.abs().max()


def test_a_multiplied_season_ends_where_a_series_falls_to_zero(tmp_path: Path) -> None:
    """And not before: until then nobody knows that it will."""
    values = (10 + 0.1 * np.arange(300)) * (1.5 + 0.4 * wave(300))
    positive = data.load(write(tmp_path / "b.csv", {"y": values}), horizon=6, window=24)
    assert "multiplicative season of 12, chosen" in fact(positive, "Exponential smoothing")
    falls = values.copy()
    falls[280:] -= 100
    task = data.load(write(tmp_path / "a.csv", {"y": falls}), horizon=6, window=24)
    said = fact(task, "Exponential smoothing")
    assert "multiplicative season of 12 as long as values are positive, then" in said
    assert "additive season of 12, chosen" in said
    assert task.baseline.name == positive.baseline.name == "exponential smoothing"
    found, expected = task.baseline.prediction, positive.baseline.prediction
    assert found is not None
    assert expected is not None
    known = sum(int(item.split()[1]) <= 280 for item in task.test.items)
    assert 0 < known < len(found)
    torch.testing.assert_close(found[:known], expected[:known], rtol=1e-5, atol=1e-5)
    form, forecast = baselines._smoothed(falls, 210, 12) or pytest.fail("nothing is fitted")
    added = baselines.fit_ets(falls[:210], 12, multiplied=False)
    assert added is not None
    assert added.form in form
    np.testing.assert_array_equal(forecast(290, 6), baselines.filter_ets(falls, added).forecast(290, 6))


def test_the_baselines_interval_covers_about_what_it_says(tmp_path: Path) -> None:
    task = data.load(write(tmp_path / "a.csv", {"y": 10 + np.random.default_rng(0).normal(size=1500)}), horizon=4)
    covers = next(m for m in task.figures if m.name.startswith("coverage"))
    assert task.baseline.prediction is not None
    assert 72 < covers.per_item(task.baseline.prediction, task.test.y).mean() < 88


def test_what_exponential_smoothing_is_too_slow_for_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MOST_ROWS", 100)
    task = data.load(tasks.write_series(tmp_path / "a.csv"), target="load")
    assert "280 training rows are more than the 100" in fact(task, "Exponential smoothing")
    assert task.baseline.name == "seasonal naive (12)"


def test_a_season_that_exponential_smoothing_leaves_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "LONGEST_SEASON", 10)
    task = data.load(tasks.write_series(tmp_path / "a.csv"), target="load")
    said = fact(task, "Exponential smoothing")
    assert "no season (a season of 12 steps is not tried, being longer than 10), chosen by AICc" in said


# Mistakes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"known": "nothing"}, "no column 'nothing'"),
        ({"known": "load"}, "is what is forecast"),
        ({"known": "other", "horizon": 20, "window": 16}, "give --window 20 or more"),
        ({"id": "shop"}, "has no column 'shop'"),
        ({"target": "load,sold"}, "no column 'sold'"),
    ],
)
def test_options_that_do_not_fit_are_sentences(tmp_path: Path, options: dict[str, object], words: str) -> None:
    file = tasks.write_series(tmp_path / "a.csv")
    with pytest.raises(PellucidError, match=words):
        data.load(file, **({"target": "load"} | options))


def test_the_command_line_refuses_gaps_in_one_sentence(tmp_path: Path) -> None:
    file = with_gaps(tmp_path / "a.csv")
    command = [sys.executable, "-m", "pellucid", "compare", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (result.returncode, result.stdout) == (2, "")
    assert "--missing linear, last or seasonal" in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr


# What prediction starts from


def test_the_newest_window_is_what_the_test_part_showed_there(tmp_path: Path) -> None:
    """A table that ends at an origin gives the window of that origin: columns, calendar and what is known ahead."""
    holiday = np.random.default_rng(3).integers(0, 2, 600)
    frame = pl.DataFrame({"time": hourly(600), "holiday": holiday, "y": wave(600)})
    frame.write_csv(tmp_path / "a.csv")
    task = data.load(tmp_path / "a.csv", known="holiday", calendar=True, horizon=6, window=24)
    at = 30
    origin = 510 + at
    coming = pl.when(pl.int_range(pl.len()) < origin).then(pl.col("y")).otherwise(None).alias("y")
    frame.head(origin + 6).with_columns(coming).write_csv(tmp_path / "b.csv")
    found = newest(tmp_path / "b.csv", task.preprocessing)
    torch.testing.assert_close(found.x[0], task.test.x[at])
    assert found.ahead[0][0] == task.test.items[at]
    assert len(found.ahead[0]) == 6
    frame.head(origin).write_csv(tmp_path / "c.csv")
    with pytest.raises(DataError, match="holiday of the 6 steps to come are needed"):
        newest(tmp_path / "c.csv", task.preprocessing)
    frame.head(10).write_csv(tmp_path / "d.csv")
    with pytest.raises(DataError, match="holiday of the 6 steps"):
        newest(tmp_path / "d.csv", task.preprocessing)


def test_the_newest_windows_of_several_series_have_each_its_scale(tmp_path: Path) -> None:
    file, small, large = long_table(tmp_path / "a.csv")
    task = data.load(file, id="shop", horizon=4, window=16)
    found = newest(file, task.preprocessing)
    assert found.names == ["north", "south"]
    for row, values in enumerate((small, large)):
        offset, factor = found.scales[row].tolist()
        np.testing.assert_allclose(found.x[row, :, 0] * factor + offset, values[-16:], rtol=1e-4, atol=1e-4)
    pl.read_csv(file).with_columns(shop=pl.lit("west")).head(200).write_csv(tmp_path / "b.csv")
    with pytest.raises(DataError, match="training had no series 'west'"):
        newest(tmp_path / "b.csv", task.preprocessing)


def test_a_forecast_starts_from_a_known_value(tmp_path: Path) -> None:
    columns = {"time": hourly(200), "other": wave(200, 7), "y": wave(200)}
    task = data.load(write(tmp_path / "a.csv", columns), missing="last", horizon=4, window=16)
    columns["y"] = [*columns["y"][:-1], None]
    with pytest.raises(DataError, match="the last step, 2024-01-09 07:00:00, has no value of 'y'"):
        newest(write(tmp_path / "b.csv", columns), task.preprocessing)
    columns["y"] = [*columns["y"][:-3], None, 1.0, 2.0]
    filled = newest(write(tmp_path / "c.csv", columns), task.preprocessing).x[0, :, 1]
    assert filled[-3] == filled[-4]

"""The promise: numbers that stand for a missing value are told, and values that are far from others are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.lab.test_odd_data import sine, write_rows
from tests.lab.test_sequences import write_long

from pellucid.lab import data
from pellucid.lab.data import stand_ins

VALUES = np.random.default_rng(0).uniform(1.2, 40, 300)


def told(values: np.ndarray) -> list[str]:
    """Of one column, in two pieces."""
    return stand_ins.cautions(["a"], lambda: np.split(values[:, None], [100]), "leave it empty")


def with_(value: float, count: int = 5, values: np.ndarray = VALUES) -> np.ndarray:
    values = values.copy()
    values[np.arange(count) * 7] = value
    return values


@pytest.mark.parametrize("value", [-9999, 9999, -999.9, 999, -32768, 2147483647, -500])
def test_a_number_far_from_all_others_that_recurs_is_told(value: float) -> None:
    (said,) = told(with_(value))
    assert said.startswith(f"Column 'a' is {value:.10g} in 5 rows, and elsewhere 1.2")
    assert said.endswith("if that stands for a missing value, leave it empty.")


def test_both_ends_are_told() -> None:
    assert len(told(with_(9999, values=with_(-9999, 9)))) == 2
    assert len(told(np.where(np.arange(300) % 11 == 0, np.nan, with_(-9999)))) == 1


@pytest.mark.parametrize(
    "values",
    [
        VALUES,
        with_(-9999, 2),  # may be a mistake
        with_(99),  # near
        with_(1000),  # a limit of the instrument, or a switch
        with_(-500, values=VALUES - 20),  # others are negative, too
        with_(-9999, values=VALUES * 300),
        np.where(np.arange(300) % 2, 999.0, 0.0),  # off and on
        np.where(np.arange(300) % 3, -1.0, VALUES),  # near
        np.arange(300.0),
        np.full(300, -9999.0),
    ],
)
def test_values_are_not_told(values: np.ndarray) -> None:
    assert told(values) == []


def test_of_series_and_sequences(tmp_path: Path) -> None:
    rows = [f"{-9999 if k % 40 == 9 else round(v, 3)},{v}" for k, v in enumerate(sine())]
    task = data.load(write_rows(tmp_path / "a.csv", "temp,y", rows))
    (said,) = (c for c in task.cautions if "-9999" in c)
    assert "'temp' is -9999 in 5 rows" in said
    assert said.endswith("leave these cells empty, and say how to fill them with --missing.")
    frame = pl.read_csv(write_long(tmp_path / "b.csv"))
    name = next(n for n in frame.columns if frame[n].dtype == pl.Float64)
    spoilt = pl.when(pl.int_range(pl.len()) % 50 == 0).then(-9999.0).otherwise(pl.col(name)).alias(name)
    frame.with_columns(spoilt).write_csv(tmp_path / "c.csv")
    assert any(f"{name!r} is -9999" in c for c in data.load(tmp_path / "c.csv").cautions)
    assert not any("stands for" in c for c in data.load(tmp_path / "b.csv").cautions)

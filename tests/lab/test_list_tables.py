"""The promise: a Parquet table with lists of numbers in each row holds a sequence in each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.lab.test_odd_data import sine

from pellucid.errors import DataError
from pellucid.lab import data
from pellucid.lab.data import sequences, table

KINDS = ("walk", "run", "sit")


def write_lists(file: Path, rows: int = 60, **instead: Any) -> Path:
    """Two channels of unequal sequences, a name and a class of each; some columns are given, and those that are None are not there."""
    generator = np.random.default_rng(0)
    lengths = [int(n) for n in generator.integers(12, 20, rows)]
    columns = {
        "subject": [f"p{k}" for k in range(rows)],
        "x": [(np.sin(np.arange(n) * (0.3 + k % 3)) + k % 3).tolist() for k, n in enumerate(lengths)],
        "y": [generator.normal(size=n).tolist() for n in lengths],
        "activity": [KINDS[k % 3] for k in range(rows)],
    } | instead
    pl.DataFrame({name: values for name, values in columns.items() if values is not None}).write_parquet(file)
    return file


@pytest.mark.parametrize("memory", [8.0, 0.0])
def test_each_row_is_a_sequence(tmp_path: Path, memory: float, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_lists(tmp_path / "a.parquet")
    whole = data.load(source)
    monkeypatch.setattr(table, "ROWS", 7)
    monkeypatch.setattr(table, "BLOCK", 64)
    task = data.load(source, memory=memory)
    assert task.fingerprint == whole.fingerprint
    said = "a.parquet has lists of numbers in each row, in 'x', 'y', and labels in 'activity': sequences to classify"
    assert data.recognise(source).sentence == said
    assert (task.kind, task.channels, task.labels) == ("sequences", 2, ("run", "sit", "walk"))
    row = int(task.test.items[0].removeprefix("row ")) - 1
    assert task.test.lengths is not None
    (mean, _), (spread, _) = task.scale
    seen = task.test.x[0, : task.test.lengths[0], 0] * spread + mean
    np.testing.assert_allclose(seen, pl.read_parquet(source)["x"][row], atol=1e-5)
    new = sequences.prepare(write_lists(tmp_path / "new.parquet", 5, activity=None), task.preprocessing)
    assert (tuple(new.x.shape[::2]), new.items) == ((5, 2), [f"row {k}" for k in range(1, 6)])


@pytest.mark.parametrize(
    ("instead", "options", "goal"),
    [
        ({"activity": [float(k) / 7 for k in range(60)]}, {"label": "activity"}, "number"),
        ({"activity": None, "label": [k % 2 for k in range(60)]}, {}, "class"),
        ({"activity": None, "fell": [k % 2 == 0 for k in range(60)]}, {}, "class"),
        ({"subject": [f"s{k % 9}" for k in range(60)]}, {"label": "activity", "id": "subject"}, "class"),
        (
            {"x": pl.Series([[float(k), 1, 2] for k in range(60)], dtype=pl.Array(pl.Float64, 3)), "y": None},
            {},
            "class",
        ),
        ({"t": [[0.0]] * 60}, {}, "class"),
    ],
)
def test_labels_and_lists_of_other_kinds(
    tmp_path: Path, instead: dict[str, Any], options: dict[str, Any], goal: str
) -> None:
    source = write_lists(tmp_path / "a.parquet", **instead)
    assert data.recognise(source, **options).kind == "sequences"
    assert data.load(source, **options).goal == goal


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ({"activity": None}, "no column surely says its class or number; name it with --label"),
        ({"subject": [f"s{k % 9}" for k in range(60)]}, "name it with --label"),  # either of two
        ({"y": [[1.0]] * 60}, r"row 1: the lists of a row .* they hold \d+ in 'x' and 1 in 'y' numbers"),
        ({"y": None, "x": [[1.0, k] if k != 7 else None for k in range(60)]}, "row 8: column 'x' is empty there"),
        ({"y": None, "x": [[1.0, k] if k != 7 else [] for k in range(60)]}, "row 8 has no steps; remove it"),
        (
            {"y": None, "x": [[1.0, 2.0, float(k) if k != 7 else None] for k in range(60)]},
            "1 value is missing in 1 of 60 sequences",
        ),
    ],
)
def test_what_cannot_be_read_is_a_sentence(tmp_path: Path, instead: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        data.load(write_lists(tmp_path / "a.parquet", **instead))


def test_lists_beside_texts_or_values_over_time_are_left_alone(tmp_path: Path) -> None:
    """Those of a text may be its tokens."""
    texts = [f"this is the text of {k}" for k in range(60)]
    source = write_lists(tmp_path / "a.parquet", text=texts, subject=None, label=[k % 2 for k in range(60)])
    assert data.recognise(source).kind == "text"
    assert data.recognise(write_lists(tmp_path / "b.parquet", value=sine(60), activity=None)).kind == "series"

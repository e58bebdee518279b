"""The page of known ground is what its data give, and each row comes from the command that stands there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import ground
from pellucid.lab import tune

ROOT = Path(__file__).parents[2]
ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in (ROOT / "benchmarks" / "results" / "ground.jsonl").read_text("utf-8").splitlines()
]
CASES = {case.name: case for case in ground.CASES}


def test_the_page_is_what_the_data_give() -> None:
    assert (ROOT / "docs" / "ground.md").read_text("utf-8") == ground.page(ROWS)


def test_every_case_was_run_once() -> None:
    assert sorted(row["name"] for row in ROWS) == sorted(CASES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_row_is_of_its_command(row: dict[str, Any]) -> None:
    case, found = CASES[row["name"]], row["comparison"]
    assert found["source"] == (case.made or case.file)
    asked = {name.rpartition(":")[2].lower() for name in case.networks}
    assert {candidate["name"] for candidate in found["candidates"]} == asked
    size = case.options.get("size")
    for candidate in found["candidates"]:
        assert len(candidate["seeds"]) == case.options["seeds"]
        assert len(candidate["trials"]) == case.options["trials"]
        own = tune.given(case.options.get("settings", ""))
        assert tuple(trial["settings"] for trial in candidate["trials"][: len(own)]) == own
        assert size is None or candidate["cost"]["parameters"] == pytest.approx(size, rel=0.05)
        assert all(len(seed["history"]) <= case.options.get("epochs", 60) for seed in candidate["seeds"])


def test_seeds_stand_in_their_column() -> None:
    header, _, *lines = [line for line in ground.page(ROWS).splitlines() if line.startswith("|")]
    place = [cell.strip() for cell in header.split("|")].index("seeds")
    told = [cells[place].strip() for cells in (line.split("|") for line in lines)]
    by_name = {row["name"]: row for row in ROWS}
    expected = []
    for case in ground.CASES:
        expected += [str(case.options["seeds"])] * len(by_name[case.name]["comparison"]["candidates"]) + [""]
    assert told == expected

"""The promise: Python does what the command line does, and gives a table and a notebook's view."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from tests.lab import finished, tasks

from pellucid import lab
from pellucid.errors import ArgumentError, DataError
from pellucid.lab import compare
from pellucid.lab.data import load
from pellucid.lab.predict import predict
from pellucid.lab.results import Comparison


def test_a_comparison_in_one_call(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = tasks.write_images(tmp_path / "<b>images")
    given = {"trials": 1, "seeds": 1, "epochs": 2, "size": 1000, "curve": True, "out": tmp_path / "run"}
    before = torch.get_num_threads()
    found = compare(data, ["cnn", "bigru"], quiet=True, **given)
    assert torch.get_num_threads() == before
    assert capfd.readouterr().err == ""
    assert found.folder == tmp_path / "run"
    whole = len(load(data).train)
    sizes = [round(share * whole) for share in (0.125, 0.25, 0.5, 1)]
    assert all([p.items for p in c.curve] == sizes for c in found.candidates)
    frame = found.frame()
    assert frame["network"].to_list() == [*(c.label for c in found.candidates), "majority class"]
    assert frame["figure"].to_list()[0] == found.candidates[0].score.value
    assert frame["parameters"].null_count() == 1  # the baseline has none
    stamp = (tmp_path / "run" / "result.json").stat().st_mtime_ns
    again = compare(data, ["cnn", "bigru"], quiet=True, **given)
    assert again == found
    assert (tmp_path / "run" / "result.json").stat().st_mtime_ns == stamp


def test_what_comes_after_a_comparison(tmp_path: Path) -> None:
    """Opened again, asked, exported; and what has no folder says so."""
    run = finished.run("images")
    found = lab.load(run.folder)
    assert (found.model_dump_json(), found.folder) == (run.found.model_dump_json(), run.folder)
    told = found.predict(run.source, "gru", seed=2)
    assert told == predict(run.folder, run.source, network="gru", seed=2)
    frame = told.frame()
    assert frame.columns == list(told.columns)
    assert frame.rows() == told.rows
    assert found.predict(str(run.source)).network == found.verdict.choice
    pytest.importorskip("onnxruntime")
    assert found.export("gru", tmp_path / "gru.onnx") <= 1e-5
    assert (tmp_path / "gru.onnx").stat().st_size > 1000
    alone = Comparison.model_validate_json(found.model_dump_json())
    with pytest.raises(ArgumentError, match=r"pellucid\.lab\.load\(folder\)"):
        alone.predict(run.source)


def test_what_is_no_finished_run_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="this is no run"):
        lab.load(tmp_path)
    made = finished.untrained("images")
    with pytest.raises(DataError, match="the run is not finished"):
        lab.load(made.folder)


def test_all_that_is_offered_is_there() -> None:
    assert [callable(getattr(lab, name)) or name for name in lab.__all__] == ["catalogue", "claims", True, True]
    assert callable(lab.catalogue.entries)
    assert callable(lab.claims.run)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lab.nothing  # noqa: B018


def test_a_notebook_shows_it(tmp_path: Path) -> None:
    found = compare(
        tasks.write_series(tmp_path / "s.csv", rows=200),
        ["rnn"],
        trials=1,
        seeds=1,
        epochs=1,
        quiet=True,
        out=tmp_path / "r",
    )
    seen: list[str] = []

    class Page(HTMLParser):
        def handle_data(self, text: str) -> None:
            seen.append(text)

    Page().feed(found._repr_html_())
    assert found.verdict.sentence in seen
    assert {"RNN", found.baseline.name, f"{found.candidates[0].cost.parameters:,}"} <= set(seen)


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    text = tasks.write_text(tmp_path / "text.txt", 4000)
    with pytest.raises(ArgumentError, match="bigru reads in both directions"):
        compare(text, ["bigru"], quiet=True)
    with pytest.raises(ArgumentError, match="workers is 0"):
        compare(text, ["gru"], workers=0, quiet=True)
    with pytest.raises(
        ArgumentError, match="'horizons' says nothing for characters; its options are memory, tokens, window"
    ):
        compare(text, ["gru"], quiet=True, horizons=3)  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match=r"params is called size here.* give size=400"):
        compare(text, "gru", quiet=True, params=400)  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match="'q'"):
        compare(text, "gru, q", quiet=True)
    with pytest.raises(ArgumentError) as said:
        compare(text, "gru", quiet=True, horizon=3)
    assert "seed" not in str(said.value)  # which is no option of anybody's
    with pytest.raises(ArgumentError, match="split is '1;2'; give whole numbers with commas between"):
        compare(tasks.write_series(tmp_path / "s.csv"), ["gru"], quiet=True, split="1;2")
    with pytest.raises(ArgumentError, match="rope is -1"):
        compare(text, ["gru"], rope=-1.0, quiet=True)

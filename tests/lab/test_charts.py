"""The promise: a report's figures can be read whatever they show: no text leaves them, and what is one point is seen."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from types import SimpleNamespace
from typing import Any

import pytest

from pellucid.lab.report import charts
from pellucid.lab.results import Epoch, Forecast

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("width", [charts.BROAD, charts.NARROW])
@pytest.mark.parametrize(("past", "ahead"), [(16, 1), (16, 2), (96, 24), (20, 20), (4, 24)])
@pytest.mark.parametrize("start", ["row 7", "2024-01-31 12:00:00", "north, 2024-01-31 12:00:00"])
def test_the_time_under_a_forecast_stays_in_the_figure(width: int, past: int, ahead: int, start: str) -> None:
    """Nor does it cover what stands left of it, where there is room for both."""
    shown = Forecast(start=start, channel="y", past=[1.0] * past, actual=[2.0] * ahead, predicted=[1.5] * ahead)
    root = ET.fromstring(charts.forecast(shown, [("GRU", "#000000", shown)], width))
    times, before = (
        next(t for t in root.iter(SVG + "text") if t.text == word) for word in (start, f"{past} steps before")
    )
    letters = charts.LETTER * len(start)
    left = float(times.get("x", "")) - {"start": 0.0, "middle": 0.5, "end": 1.0}[times.get("text-anchor", "")] * letters
    assert left + letters <= width
    if ahead < past:
        assert left >= float(before.get("x", "")) + charts.LETTER * len(before.text or "")


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_loss_of_one_epoch_is_a_mark(epochs: int) -> None:
    history = [
        Epoch(epoch=k + 1, train_loss=2.0 - k / 2, valid_loss=1.5, valid_score=1.0, seconds=1.0) for k in range(epochs)
    ]
    candidate: Any = SimpleNamespace(label="GRU", seeds=[SimpleNamespace(history=history)])
    comparison: Any = SimpleNamespace(candidates=[candidate])
    marks = list(ET.fromstring(charts.learning(comparison, candidate, "#000000")).iter(SVG + "circle"))
    assert len(marks) == (2 if epochs == 1 else 0)


@pytest.mark.parametrize("labels", [["Cats & dogs", "birds", "no label"], ["a", "b"], [f"kind {k}" for k in range(20)]])
def test_the_columns_of_a_confusion_matrix_are_named_in_full(labels: list[str]) -> None:
    """Upwards where they are wider than a column; nothing is outside of the figure."""
    root = ET.fromstring(charts.confusion([[1] * len(labels)] * len(labels), labels, "GRU"))
    named = [t for t in root.iter(SVG + "text") if t.text in labels]
    assert len(named) == 2 * len(labels)
    turned = [t for t in named if t.get("transform")]
    assert len(turned) == (0 if labels == ["a", "b"] else len(labels))
    assert all(float(t.get("y", "")) >= charts.LETTER * len(t.text or "") for t in turned)

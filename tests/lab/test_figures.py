"""The promise: what is wrong with one figure costs no report, and is told where it is our mistake."""

from __future__ import annotations

import logging
from typing import NoReturn

import pytest
from tests.lab import finished

from pellucid.errors import DataError
from pellucid.lab.report import figures


@pytest.mark.parametrize("error", [IndexError("row 3"), DataError("the cell's file is gone")])
def test_a_page_on_the_runs_networks_that_fails_is_left_out(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> NoReturn:
        raise error

    run = finished.run("images", ("rnn",))
    assert "pages=yours" in figures.figures(run.found, run.folder).html
    monkeypatch.setattr(figures, "of_run", fail)
    with caplog.at_level(logging.DEBUG):
        assert "pages=rnn" in figures.figures(run.found, run.folder).html
    expected = (
        []
        if isinstance(error, DataError)
        else ["the report has no page on the run's own networks (IndexError: row 3); please report it"]
    )
    assert [record.getMessage() for record in caplog.records] == expected

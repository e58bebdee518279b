"""The promise: a network that is asked step by step says what it says of the steps so far."""

from __future__ import annotations

import pytest
import torch
from tests.lab import finished

from pellucid.lab import recipe
from pellucid.lab.runs import Run

STREAMED = ("sequences", "number", "events", "text", "characters")
NETWORKS = (*finished.SIMPLE, "gru2", "cnn+gru", "cnn+CELL")


@pytest.mark.parametrize("kind", STREAMED)
def test_step_by_step_is_as_the_whole(kind: str) -> None:
    made = finished.untrained(kind, NETWORKS)
    kept = recipe.read(Run(made.folder))
    x = made.task.test.x[:2]
    assert len(kept.networks) == len(NETWORKS)
    for member in kept.networks:
        model = kept.network(Run(made.folder), member.name, 2)
        step = model.stream(batch=2)
        assert step is not None, member.name
        with torch.no_grad():
            whole = model(x)
            for t in range(min(12, x.shape[1])):
                said = step(x[:, t])
                expected = whole[:, t] if finished.is_next(kind) else model(x[:, : t + 1])
                torch.testing.assert_close(said, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["images", "series", "sound"])
def test_what_is_answered_as_a_whole_has_no_stream(kind: str) -> None:
    """But the recurrent networks of sounds, which read frames as they come."""
    made = finished.untrained(kind, ("cnn", "gru", "bigru"))
    kept = recipe.read(Run(made.folder))
    streamed = [m.name for m in kept.networks if kept.network(Run(made.folder), m.name, 2).stream() is not None]
    assert streamed == (["gru"] if kind == "sound" else [])

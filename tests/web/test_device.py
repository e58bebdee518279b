"""The promise: the page answers on a GPU as it does on the processor."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tests import pretend_gpu
from tests.lab import finished

from pellucid import device, nn
from pellucid.errors import ArgumentError
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.questions import ask
from pellucid.web.run import of_run

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there, and need not be pretended")


def asked(opened: Opened) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every question on the networks, with some of its parameters."""
    yield from (("overview", {}), ("input", {"item": 0}), ("thumbnails", {"first": 0, "count": 2}))
    for network in opened.networks:
        about: dict[str, Any] = {"network": network.name, "item": 1}
        yield from (("layers", about), ("answer", about), ("places", about))
        yield from on_maps(opened, about)
        for place in ask(opened, "places", about)["places"]:
            of = about | {"layer": place["layer"]}
            yield from (("cell", of), ("step", of | {"step": 1}), ("step", of | {"step": 1, "unit": 0}))
            yield from (
                ("sequence", of | {"name": place["memory"], "order": o}) for o in ("time", "similarity", "mean")
            )
            yield from (("sequence", of | {"name": "x"}), ("line", of | {"unit": 0}), ("telling", of), ("reach", of))
            yield from (("gradient", of | {"name": place["memory"]}), ("unit", of | {"unit": 0}))
            yield from (("reach", of | {"of": "unit", "unit": 0}), ("attribution", of | {"unit": 0, "step": 1}))
            yield from (("drivers", of | {"unit": 0, "items": 3}), ("forced", of), ("sofar", of | {"step": 1}))


def on_maps(opened: Opened, about: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        stages = ask(opened, "stages", about)["stages"]
    except ArgumentError:
        return  # no convolution
    yield "stages", about
    for stage in stages[1:]:
        of = about | {"stage": stage["name"]}
        at = of | {"filter": 0, "row": 0, "column": 0}
        yield from (
            ("maps", of | {"first": 0}),
            ("maps", of | {"first": 0, "each": True}),
            ("pixel", at),
            ("leaning", at),
        )
        if stage["kind"] in ("convolution", "pooling"):
            yield "variant", of | {"filter": 0, "kernel": 2}


def alike(mine: Any, theirs: Any, where: str) -> None:
    """The same but for rounding; a tile's bytes may be one off."""
    if isinstance(theirs, dict):
        assert mine.keys() == theirs.keys(), where
        for key, value in theirs.items():
            if key == "bytes":
                pairs = zip(b64decode(mine[key]), b64decode(value), strict=True)
                assert max((abs(a - b) for a, b in pairs), default=0) <= 1, where
            else:
                alike(mine[key], value, f"{where} {key}")
    elif isinstance(theirs, list | tuple):
        assert len(mine) == len(theirs), where
        for one, other in zip(mine, theirs, strict=True):
            alike(one, other, where)
    elif isinstance(theirs, float) and isinstance(mine, float):
        assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-4), where
    else:
        assert mine == theirs, where


@pytest.mark.parametrize(
    ("kind", "networks"),
    [
        ("images", ("cnn", "cnn+lstm", "CELL")),
        ("shops", ("cnn", "bigru2")),
        ("sequences", ("cnn", "lstm")),
        ("characters", ("cnn", "gru")),
        ("sound", ("cnn",)),
        ("labels", ("rnn",)),
    ],
)
def test_every_question_is_answered_the_same(
    kind: str, networks: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the processor meets something of the GPU on the way, and all that is told has come back."""
    folder = finished.untrained(kind, networks).folder
    here = of_run(folder, seed=2)
    expected = [(name, parameters, ask(here, name, parameters)) for name, parameters in asked(here)]
    with pretend_gpu.pretending(monkeypatch):
        there = of_run(folder, seed=2, on=device.choose())
        assert device.of(there.networks[0].model).type == "cuda"
        for name, parameters, answer in expected:
            alike(ask(there, name, parameters), answer, f"{name} {parameters}")
    assert len(expected) > 20


def test_models_in_memory_are_asked_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_gpu.pretending(monkeypatch):
        models = {"here": nn.LSTM(3, 4), "there": nn.LSTM(3, 4).to("cuda")}
        models["there"].load_state_dict(models["here"].state_dict())
        for batch in (torch.randn(6, 2, 3), torch.randn(6, 2, 3, device="cuda")):
            opened = of_models(models, batch)
            assert opened.items[0].x.device.type == "cpu"
            answers = [ask(opened, "answer", {"network": name, "item": 1}) for name in models]
            alike(answers[1], answers[0], "answer")

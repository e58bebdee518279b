"""Numbers of a sequence that a person changes make a new item, and nothing that is wrong gets in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient
from tests.web.memories import memories

from pellucid import nn
from pellucid.errors import ArgumentError
from pellucid.web.changing import change
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.server import application


def numbers(*found: tuple[int, int, float]) -> bytes:
    return json.dumps({"numbers": [{"step": s, "channel": c, "value": v} for s, c, v in found]}).encode()


def test_a_changed_item_is_a_new_one() -> None:
    """The old one stays; a change of a change comes from the first."""
    opened = memories()
    before = opened.items[1].x.clone()
    assert change(opened, 1, numbers((3, 0, 2.5), (4, 1, -1.0))) == 2
    assert torch.equal(opened.items[1].x, before)
    new = opened.items[2]
    before[3, 0], before[4, 1] = 2.5, -1.0
    assert torch.equal(new.x, before)
    assert torch.equal(new.args[0], before[None])  # type: ignore[arg-type]
    assert (new.name, new.origin, new.answer) == ("item 1, changed", 1, "")
    assert opened.items[change(opened, 2, numbers((0, 0, 0.0)))].origin == 1
    assert opened.items[3].name == "item 1, changed"


def test_a_value_is_in_its_own_unit() -> None:
    """The network reads it scaled as all others are."""
    opened = memories()
    opened.items[0] = replace(opened.items[0], scale=torch.tensor([[10.0, 0.0], [4.0, 1.0]]))
    new = opened.items[change(opened, 0, numbers((2, 0, 18.0)))]
    assert float(new.x[2, 0]) == 2.0
    assert float(new.own[2, 0]) == 18.0


def test_time_may_be_the_first_axis() -> None:
    opened = of_models({"m": nn.GRU(2, 3)}, torch.randn(7, 4, 2))
    new = opened.items[change(opened, 2, numbers((6, 1, 9.0)))]
    assert new.args[0] is not None
    assert new.args[0].shape == (7, 1, 2)
    assert float(new.args[0][6, 0, 1]) == 9.0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (b"", "invalid JSON"),
        (b"[]", "should be an object"),
        (numbers(), "at least 1 item"),
        (numbers((12, 0, 1.0)), "step 12 of channel 0 does not exist; item 0 has 12 steps of 2 channels"),
        (numbers((0, 2, 1.0)), "step 0 of channel 2 does not exist"),
        (numbers((-1, 0, 1.0)), "greater than or equal to 0"),
        (b'{"numbers": [{"step": 0, "channel": 0, "value": NaN}]}', r"finite|JSON"),
        (b'{"numbers": [{"step": 0, "channel": 0, "value": 1e999}]}', r"finite|JSON"),
        (numbers(*[(0, 0, 1.0)] * 4097), "at most 4096"),
    ],
)
def test_what_cannot_be_is_a_sentence(given: bytes, sentence: str) -> None:
    opened = memories()
    with pytest.raises(ArgumentError, match=sentence):
        change(opened, 0, given)
    assert len(opened.items) == 2


def test_images_are_not_changed(reader: Opened) -> None:
    with pytest.raises(ArgumentError, match="numbers of item 0 cannot be changed"):
        change(reader, 0, numbers((0, 0, 1.0)))


def test_what_is_read_with_more_around_it_is_not_changed() -> None:
    """A short sequence that was filled up to what a network needs."""
    opened = memories()
    opened.items[0] = replace(opened.items[0], args=(torch.zeros(1, 20, 2), torch.tensor([12])))
    with pytest.raises(ArgumentError, match="those of sequences that are read as they are can"):
        change(opened, 0, numbers((0, 0, 1.0)))


@pytest.mark.parametrize(("token", "status"), [("right", 200), ("wrong", 401)])
def test_the_server_takes_changes_from_whoever_has_the_token(token: str, status: int) -> None:
    client: Any = TestClient(application(memories(), "right"), base_url="http://127.0.0.1:80")
    answer = client.post("/items/0", content=numbers((0, 0, 1.0)), headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == status
    assert (answer.json() == {"item": 2}) == (status == 200)

"""What the page is told of recurrent layers is what a trace of them says."""

from __future__ import annotations

import time
from base64 import b64decode
from typing import Any

import pytest
import torch
from tests.web.memories import RESET, STEPS, UNITS, memories
from torch import Tensor

from pellucid import nn, trace
from pellucid.errors import ArgumentError
from pellucid.trace import Trace
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.questions import ask, sequence
from pellucid.web.questions.sequence import ordered

PLACES = [
    ("lstm", "layer.l0"),
    ("gru", "layer.l0"),
    ("gru", "layer.l0_reverse"),
    ("gru", "layer.l1"),
    ("gru", "layer.l1_reverse"),
    ("rnn", "layer.l0"),
    ("ctrnn", "layer.l0"),
    ("own", "layer.l0"),
]


def traced(opened: Opened, network: str, item: int = 0) -> Trace:
    """A trace of the network itself, apart from the page's."""
    with trace(opened.network(network).model, grad=False) as seen:
        opened.network(network).model(*opened.item(item).args)
    return seen


def picture(tile: dict[str, Any]) -> Tensor:
    """The numbers that a tile shows, to 1/255 of its range."""
    data = torch.frombuffer(bytearray(b64decode(tile["bytes"])), dtype=torch.uint8).reshape(tile["shape"]).float()
    return tile["low"] + data / 255 * (tile["high"] - tile["low"])


@pytest.mark.parametrize(("network", "layer"), PLACES)
def test_the_numbers_of_a_step_are_the_traces(network: str, layer: str) -> None:
    """Every named value of a unit, by its element in the drawing, at the first, a middle and the last step."""
    opened = memories()
    seen = traced(opened, network)
    cell = ask(opened, "cell", {"network": network, "item": 0, "layer": layer})
    named = {e["name"]: e["value"] for e in cell["elements"] if e["name"] and not e["before"]}
    checked = 0
    for step in (0, 5, STEPS - 1):
        answer = ask(opened, "step", {"network": network, "item": 0, "layer": layer, "step": step, "unit": 3})
        for name, value in named.items():
            expected = seen[f"{layer}.{name}"].values[step, 0]
            assert answer["numbers"][value] == pytest.approx(float(expected[3]), abs=1e-5)
            tile = answer["tiles"][value]
            assert (picture(tile) - expected).abs().max() <= (tile["high"] - tile["low"]) / 255
            checked += 1
    assert checked >= 3


@pytest.mark.parametrize(("network", "layer"), PLACES)
def test_a_state_before_is_the_one_after_the_step_before(network: str, layer: str) -> None:
    """In the backward direction the step before is the next one; before the first there are zeros."""
    opened = memories()
    seen = traced(opened, network)
    back = layer.endswith("_reverse")
    cell = ask(opened, "cell", {"network": network, "item": 0, "layer": layer})
    before = [e for e in cell["elements"] if e["before"]]
    assert before
    for step in range(STEPS):
        answer = ask(opened, "step", {"network": network, "item": 0, "layer": layer, "step": step, "unit": 2})
        other = step + 1 if back else step - 1
        for element in before:
            state = element["symbol"].split("_")[0]
            expected = float(seen[f"{layer}.{state}"].values[other, 0, 2]) if 0 <= other < STEPS else 0.0
            assert answer["numbers"][element["value"]] == pytest.approx(expected, abs=1e-5)


def test_numbers_over_all_units() -> None:
    """A gate's is its mean, another value's its mean size."""
    opened = memories()
    seen = traced(opened, "lstm")
    about = {"network": "lstm", "item": 0, "layer": "layer.l0"}
    named = {e["name"]: e["value"] for e in ask(opened, "cell", about)["elements"] if e["name"] and not e["before"]}
    numbers = ask(opened, "step", {**about, "step": 4})["numbers"]
    assert numbers[named["f"]] == pytest.approx(float(seen["layer.l0.f"].values[4].mean()), abs=1e-5)
    assert numbers[named["c"]] == pytest.approx(float(seen["layer.l0.c"].values[4].abs().mean()), abs=1e-5)


@pytest.mark.parametrize(("network", "layer"), PLACES)
def test_pictures_and_lines_are_the_traces(network: str, layer: str) -> None:
    """Rows are the units that are said, in each order; lines are numbers."""
    opened = memories()
    seen = traced(opened, network)
    about = {"network": network, "item": 0, "layer": layer}
    (place,) = (p for p in ask(opened, "places", {"network": network, "item": 0})["places"] if p["layer"] == layer)
    assert place["steps"] == STEPS
    line = ask(opened, "line", {**about, "unit": 4})
    assert [found["name"] for found in line["lines"]] == [value["name"] for value in place["values"]]
    for found in line["lines"]:
        values = seen[f"{layer}.{found['name']}"].values[:, 0]
        assert found["values"] == pytest.approx(values[:, 4].tolist(), abs=1e-5)
        for order in ("unit", "time", "similarity", "mean"):
            answer = ask(opened, "sequence", {**about, "name": found["name"], "order": order})
            assert sorted(answer["units"]) == list(range(UNITS))
            tile = answer["tile"]
            wrong = (picture(tile) - values[:, answer["units"]].T).abs().max()
            assert wrong <= (tile["high"] - tile["low"]) / 255


def test_what_a_layer_reads() -> None:
    """The second layer reads both directions of the first."""
    opened = memories()
    seen = traced(opened, "gru")
    answer = ask(opened, "sequence", {"network": "gru", "item": 0, "layer": "layer.l1", "name": "x"})
    read = torch.cat([seen["layer.l0.h"].values, seen["layer.l0_reverse.h"].values], -1)[:, 0].T
    assert (picture(answer["tile"]) - read).abs().max() <= (answer["tile"]["high"] - answer["tile"]["low"]) / 255


def test_a_part_of_time_and_windows_of_steps() -> None:
    """More columns than are sent come as means over windows; a part comes as it is."""
    opened = memories(steps=4100, items=1)
    values = traced(opened, "lstm")["layer.l0.c"].values[:, 0]
    about = {"network": "lstm", "item": 0, "layer": "layer.l0"}
    whole = ask(opened, "sequence", {**about, "name": "c"})
    assert whole["window"] == 3
    assert whole["tile"]["shape"] == [UNITS, 1367]
    means = torch.stack([values[at : at + 3].mean(0) for at in range(0, 4100, 3)]).T
    assert (picture(whole["tile"]) - means).abs().max() <= (whole["tile"]["high"] - whole["tile"]["low"]) / 255
    part = ask(opened, "line", {**about, "unit": 0, "start": 1000, "count": 50})
    assert (part["start"], part["window"]) == (1000, 1)
    (memory,) = (found["values"] for found in part["lines"] if found["name"] == "c")
    assert memory == pytest.approx(values[1000:1050, 0].tolist(), abs=1e-5)


@pytest.mark.parametrize("order", ["unit", "time", "similarity", "mean"])
def test_many_units_come_in_pages(order: str) -> None:
    """Every unit stands in one row of one page, in the order that holds for all; colours have one range in all pages."""
    torch.manual_seed(0)
    opened = of_models({"m": nn.LSTM(2, 1100, batch_first=True)}, torch.randn(1, 9, 2))
    with trace(opened.network("m").model, grad=False) as seen:
        opened.network("m").model(*opened.item(0).args)
    about = {"network": "m", "item": 0, "layer": "l0"}
    rows = ask(opened, "order", {**about, "order": order})["units"]
    assert sorted(rows) == list(range(1100))
    for name in ("f", "c"):
        values = seen[f"l0.{name}"].values[:, 0]
        pages = [ask(opened, "sequence", {**about, "name": name, "order": order, "first": k}) for k in (0, 512, 1024)]
        assert [page["units"] for page in pages] == [rows[:512], rows[512:1024], rows[1024:]]
        assert {(page["of"], page["tile"]["low"], page["tile"]["high"]) for page in pages} == {
            (1100, *((0.0, 1.0) if name == "f" else (-float(values.abs().max()), float(values.abs().max()))))
        }
        for page in pages:
            wrong = (picture(page["tile"]) - values[:, page["units"]].T).abs().max()
            assert wrong <= (page["tile"]["high"] - page["tile"]["low"]) / 255


def test_lengths_end_a_sequence() -> None:
    """Steps that do not exist are not shown, whatever the batch was padded to."""
    layer = nn.GRU(2, 3, bidirectional=True)

    class Ragged(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            return self.layer(x.transpose(0, 1), lengths=lengths)[0]  # type: ignore[no-any-return]

    torch.manual_seed(0)
    x, lengths = torch.randn(2, 9, 2), torch.tensor([9, 6])
    opened = of_models({"m": Ragged()}, x, lengths)
    about = {"network": "m", "item": 1, "layer": "layer.l0_reverse"}
    assert [p["steps"] for p in ask(opened, "places", {"network": "m", "item": 1})["places"]] == [6, 6]
    alone = layer(x[1:, :6].transpose(0, 1))[0][:, 0, 3:]
    line = ask(opened, "line", {**about, "unit": 2})
    (h,) = (found["values"] for found in line["lines"] if found["name"] == "h")
    assert h == pytest.approx(alone[:, 2].tolist(), abs=1e-5)
    with pytest.raises(ArgumentError, match=r"step 6 does not exist; layer\.l0_reverse ran 6 steps"):
        ask(opened, "step", {**about, "step": 6})


def test_a_layer_may_be_opened_alone() -> None:
    """It has no path in a model, and its output comes with states."""
    opened = of_models({"m": nn.LSTM(2, 3)}, torch.randn(6, 2, 2))
    assert ask(opened, "answer", {"network": "m", "item": 0})["shape"] == [6, 1, 3]
    (place,) = ask(opened, "places", {"network": "m", "item": 1})["places"]
    assert (place["layer"], place["memory"], place["keeper"], place["steps"]) == ("l0", "c", "f", 6)
    with trace(opened.network("m").model, grad=False) as seen:
        opened.network("m").model(*opened.item(1).args)
    line = ask(opened, "line", {"network": "m", "item": 1, "layer": "l0", "unit": 2})
    (h,) = (found["values"] for found in line["lines"] if found["name"] == "h")
    assert h == pytest.approx(seen["l0.h"].values[:, 0, 2].tolist(), abs=1e-5)


def test_where_to_look_first() -> None:
    """The LSTM that is made to forget at step 7 in unit 0 is shown there; what has no such gate where it changes most."""
    opened = memories()
    seen = traced(opened, "lstm")
    told = ask(opened, "telling", {"network": "lstm", "item": 0, "layer": "layer.l0"})
    assert (told["happens"], told["step"], told["unit"], told["gate"], told["memory"]) == (
        "forgets",
        RESET,
        0,
        "f",
        "c",
    )
    gate, memory = seen["layer.l0.f"].values[:, 0, 0], seen["layer.l0.c"].values[:, 0, 0]
    numbers = [told["gate_before"], told["gate_after"], told["before"], told["after"]]
    expected = [gate[RESET - 1], gate[RESET], memory[RESET - 1], memory[RESET]]
    assert numbers == pytest.approx([float(v) for v in expected], abs=1e-5)
    h = traced(opened, "rnn")["layer.l0.h"].values[:, 0]
    change = torch.cat([h[:1], h.diff(dim=0)]).abs()
    told = ask(opened, "telling", {"network": "rnn", "item": 0, "layer": "layer.l0"})
    assert told["happens"] == "changes"
    assert divmod(int(change.argmax()), UNITS) == (told["step"], told["unit"])


def test_orders() -> None:
    """By when units act, by their mean, and those that rise and fall together side by side."""
    t = torch.arange(40.0)
    late, early, middle = ((t > at).float() for at in (30, 5, 18))
    values = torch.stack([late, early, middle], 1)
    assert ordered(values, "time") == [1, 2, 0]
    assert ordered(values, "mean") == [0, 2, 1]
    assert ordered(values, "unit") == [0, 1, 2]
    turn = torch.arange(40) * (2 * torch.pi / 8)
    a, up, down = torch.sin(turn), torch.sin(turn) + torch.cos(turn), torch.sin(turn) - torch.cos(turn)
    mixed = torch.stack([a, up, down, 3 * a, 2 * up + 1, down - 5], 1)
    assert "".join("aud"[unit % 3] for unit in ordered(mixed, "similarity")) in ("uuaadd", "ddaauu")
    assert sorted(ordered(torch.zeros(5, 3), "similarity")) == [0, 1, 2]
    assert ordered(torch.rand(5, 1), "similarity") == [0]


def test_an_order_is_found_once_for_all_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """And again for another order, and for the input's own channels."""
    found: list[str] = []

    def counted(values: torch.Tensor, by: sequence.Order) -> list[int]:
        found.append(by)
        return ordered(values, by)

    monkeypatch.setattr(sequence, "ordered", counted)
    opened = memories()
    about = {"network": "lstm", "item": 0, "layer": "layer.l0", "order": "mean"}
    first = [ask(opened, "sequence", {**about, "name": name})["units"] for name in "figcoh"]
    assert found == ["mean"]
    assert first == [ask(opened, "order", about)["units"]] * 6
    ask(opened, "sequence", {**about, "name": "x"})
    ask(opened, "sequence", {**about, "name": "c", "order": "time"})
    assert found == ["mean", "mean", "time"]


@pytest.mark.parametrize(
    ("name", "parameters", "sentence"),
    [
        ("cell", {"layer": "layer.l7"}, r"lstm has no recurrent layer 'layer.l7'; it has layer.l0$"),
        ("step", {"step": 12}, "step 12 does not exist; layer.l0 ran 12 steps, counted from 0"),
        ("step", {"step": 0, "unit": 5}, "unit 5 does not exist; layer.l0 has 5, counted from 0"),
        ("line", {"unit": -1}, "unit -1 does not exist"),
        ("line", {"unit": 0, "start": 10, "count": 9}, "steps 10 to 19 do not exist; layer.l0 ran 12 steps"),
        ("line", {"unit": 0, "count": -3}, "do not exist"),
        ("sequence", {"name": "q"}, "layer.l0 has no value 'q'; it has x, f, i, g, c, o, h"),
        ("sequence", {"name": "c", "order": "colour"}, "sequence: order"),
        ("sequence", {"name": "c", "first": 5}, "row 5 does not exist; c of layer.l0 has 5, counted from 0"),
        ("sequence", {"name": "x", "first": -1}, "row -1 does not exist; x of layer.l0 has 2"),
    ],
)
def test_what_is_not_there_is_a_sentence(name: str, parameters: dict[str, Any], sentence: str) -> None:
    about = {"network": "lstm", "item": 0, "layer": "layer.l0"}
    with pytest.raises(ArgumentError, match=sentence):
        ask(memories(), name, {**about, **parameters})


def test_two_thousand_steps_are_answered_while_one_waits() -> None:
    """Within 100 ms of processor time once the pass is there, and no answer above 1.5 MB."""
    torch.manual_seed(0)
    opened = of_models({"m": nn.LSTM(16, 512, batch_first=True)}, torch.randn(1, 2000, 16))
    about = {"network": "m", "item": 0, "layer": "l0"}
    ask(opened, "places", {"network": "m", "item": 0})
    ask(opened, "cell", about)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, more in [
            ("step", {"step": 1500, "unit": 7}),
            ("line", {"unit": 7}),
            ("sequence", {"name": "f"}),
            ("sequence", {"name": "c", "order": "time"}),
            ("telling", {}),
        ]:
            spent = []
            for _ in range(3):
                start = time.process_time()
                answer = ask(opened, name, {**about, **more})
                spent.append(time.process_time() - start)
            assert min(spent) < 0.1, name
            assert len(str(answer)) < 1_500_000
    finally:
        torch.set_num_threads(threads)

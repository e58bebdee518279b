"""The promise: what the guide's figures show is what the layers compute, and what its text says is so in them."""

from __future__ import annotations

import json
import math
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import ArgumentError
from pellucid.trace import trace
from pellucid.web.model import of_nothing
from pellucid.web.opened import Item, Opened
from pellucid.web.questions import QUESTIONS, ask
from pellucid.web.questions.guide import asked
from pellucid.web.questions.guide.pictures import picture
from pellucid.web.questions.guide.sliding import FILTERS

ROOT = Path(__file__).parents[3]
IMAGES = ("3", "0", "4", "7")


def answer(name: str, **parameters: Any) -> dict[str, Any]:
    return ask(of_nothing(), f"guide-{name}", parameters)


def image(name: str) -> Tensor:
    return picture(of_nothing(), name)


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(found: Any, expected: Tensor, sent: int = 6) -> None:
    """Equal to the significant digits that are sent: to half of the last."""
    torch.testing.assert_close(tensor(found), expected.double(), rtol=5 * 10.0**-sent, atol=1e-9)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_every_setting_has_an_answer_of_a_question_that_is_known() -> None:
    """Each is asked once, and no page names a question that the page cannot ask."""
    questions = list(asked(of_nothing()))
    assert {name for name, _ in questions} == {name for name in QUESTIONS if name.startswith("guide")} - {"guide-yours"}
    assert len({json.dumps(q, sort_keys=True) for q in questions}) == len(questions)


@pytest.mark.parametrize("name", FILTERS)
def test_convolution(name: str) -> None:
    """The map is torch's, and each of its numbers the sum of its nine products."""
    found = answer("filter", image="3", filter=name)
    weights = tensor(FILTERS[name]).view(1, 1, 3, 3)
    close(found["map"], F.conv2d(image("3")[None, None], weights)[0, 0])
    torch.testing.assert_close(tensor(found["products"]).sum(-1), tensor(found["map"]), rtol=1e-4, atol=1e-4)


def test_own_numbers_and_a_drawing() -> None:
    """A person's filter and image are taken as they are; what is none is a sentence."""
    drawn = "g" + "0" * 63
    found = answer("filter", image=drawn, filter="2,0,0,0,0,0,0,0,-1.5")
    assert found["map"][0][0] == 32
    assert found["filter"][2][2] == -1.5
    for wrong in (
        {"image": "g" * 63, "filter": "blur"},
        {"image": "3", "filter": "1,2"},
        {"image": "item x", "filter": "blur"},
    ):
        with pytest.raises(ArgumentError, match=r"an image is|a filter is|is no image"):
            answer("filter", **wrong)
    with pytest.raises(ArgumentError, match="nine numbers"):
        answer("filter", image="3", filter="nan,0,0,0,0,0,0,0,0")


def test_an_item_that_is_open_is_an_image() -> None:
    """Its first channel, averaged to at most 16 x 16, from black to white."""
    x = torch.rand(3, 40, 20)
    opened = Opened("own", "image", [], [Item("a", x, (x[None],))])
    found = picture(opened, "item 0")
    assert found.shape == (16, 8)
    assert found.min() == 0
    assert found.max() == 16
    torch.testing.assert_close(
        found,
        ((m := F.adaptive_avg_pool2d(x[:1].double(), (16, 8))[0]).sub(m.min()) / (m.max() - m.min()) * 16).round(),
    )


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_padding(mode: str, layers: int) -> None:
    """Maps of torch's layer with the same padding keep the size; the edge counts for less of what goes in by it."""
    found = answer("padding", image="3", mode=mode, layers=layers)
    expected = image("3")[None, None]
    for _ in range(layers):
        layer = nn.Conv2d(1, 1, 3, padding=1, padding_mode=mode, bias=False, dtype=torch.float64)
        nn.init.constant_(layer.weight, 1 / 9)
        expected = layer(expected)
    close(found["map"], expected[0, 0].detach(), 4)
    assert (
        sum(map(sum, found["ways"])) == 64 * 9**layers if mode != "zeros" else found["ways"][0][0] < found["ways"][4][4]
    )


def test_without_padding_the_map_shrinks_and_the_corner_counts_once() -> None:
    """8 x 8, 6 x 6, 4 x 4, 2 x 2; one window holds the corner pixel, nine a middle one."""
    for layers, size in ((1, 6), (2, 4), (3, 2)):
        found = answer("padding", image="0", mode="none", layers=layers)
        assert (len(found["map"]), found["padding"]) == (size, 0)
        assert found["ways"][0][0] == 1
    assert answer("padding", image="0", mode="none", layers=1)["ways"][4][4] == 9
    bare, zeros = (answer("padding", image="0", mode=m, layers=3)["ways"] for m in ("none", "zeros"))
    assert zeros[0][0] / zeros[4][4] > bare[0][0] / bare[4][4]


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(1, 2, 0), (3, 2, 1), (4, 3, 0), (5, 4, 2)])
def test_stride(kernel: int, stride: int, padding: int) -> None:
    """The map is the mean of each window with zeros around; the formula and the cost are its own."""
    found = answer("stride", image="7", kernel=kernel, stride=stride, padding=padding)
    expected = (
        F.avg_pool2d(image("7")[None, None], kernel, stride)
        if not padding
        else F.conv2d(
            image("7")[None, None],
            torch.full((1, 1, kernel, kernel), 1 / kernel**2, dtype=torch.float64),
            stride=stride,
            padding=padding,
        )
    )
    close(found["map"], expected[0, 0], 4)
    assert found["formula"].endswith(f"= {len(expected[0, 0])}")
    assert found["macs"] == expected.numel() * kernel**2


def test_size_follows_torch() -> None:
    """Every setting of the figure has the size that torch's layer has; where torch refuses it is below 1."""
    for name, p in asked(of_nothing(), "size"):
        if name != "guide-size":
            continue
        found = answer("size", **p)
        x = torch.zeros(1, 1, p["size"])
        if found["span"] > p["size"] + 2 * p["padding"]:
            assert found["output"] < 1
            continue
        y = F.conv1d(
            x, torch.zeros(1, 1, p["kernel"]), stride=p["stride"], padding=p["padding"], dilation=p["dilation"]
        )
        assert found["output"] == y.shape[-1] == len(found["windows"])
        assert found["windows"][-1][-1] < p["size"] + p["padding"]
        assert found["windows"][0][0] == -p["padding"]
        assert all(w[-1] - w[0] + 1 == found["span"] for w in found["windows"])


def test_a_chain_of_ones_own() -> None:
    """What cannot be built is geometry's sentence; behind a recurrent layer an output sees all before, or all."""
    assert answer("chain", layers="8x8x1 | conv 3 4 | flatten | linear 10")["rows"][0]["output"] == "6 x 6 x 4"
    rows = answer("chain", layers="100x12 | conv 3 8 | gru 4 | lstm 4 bidirectional | gpool")["rows"]
    assert [row["sees"] for row in rows] == [3, "before", "all", None]
    with pytest.raises(Exception, match="does not fit"):
        answer("chain", layers="8x8x1 | conv 9 4")


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("window", [2, 3, 4])
def test_pooling(name: str, window: int) -> None:
    """Both maps are torch's, the winners torch's indices, and what is said of 2 x 2 windows is so."""
    found = {
        n: answer("pooling", image=name, window=window, noise=n) for n in ("none", "dark", "bright", "normal", "shift")
    }
    for one in found.values():
        x = tensor(one["image"])[None]
        top, indices = F.max_pool2d(x, window, return_indices=True)
        close(one["max"], top[0])
        close(one["average"], F.avg_pool2d(x, window)[0], 4)
        assert one["winners"] == indices[0].tolist()
    assert found["none"]["moved"] == {"max": 0, "average": 0}
    clean, dark = tensor(found["none"]["max"]), tensor(found["dark"]["max"])
    assert found["dark"]["moved"]["max"] == pytest.approx(float((clean - dark).abs().mean()), rel=1e-3)
    if window == 2:
        for noise, calm, moved in (
            ("dark", "max", "average"),
            ("bright", "average", "max"),
            ("normal", "average", "max"),
        ):
            assert found[noise]["moved"][calm] < found[noise]["moved"][moved], noise


def test_rnn() -> None:
    """The recurrence by hand, and its slope as a difference quotient."""

    def run(start: float, inputs: list[float]) -> list[float]:
        states, h = [], start
        for x in inputs:
            h = math.tanh(2 * x + 0.8 * h + 0.5)
            states.append(h)
        return states

    inputs = [0.5, 0, 0, -1, 0, 0]
    found = answer("rnn", inputs="0.5,0,0,-1,0,0", w=2, u=0.8, b=0.5)
    states = run(0.0, inputs)
    close(found["h"], tensor(states))
    close(found["sum"], tensor([math.atanh(h) for h in states]))
    for t in range(5):
        later, nudged = (run(states[t] + by, inputs[t + 1 :])[-1] for by in (-1e-6, 1e-6))
        assert found["slope"][t] == pytest.approx((nudged - later) / 2e-6, rel=1e-4)
    with pytest.raises(ArgumentError, match="1 to 12 numbers"):
        answer("rnn", inputs="1,two", w=1, u=1, b=0)
    x = torch.arange(40.0).view(20, 2)
    own = ask(
        Opened("s", "sequence", [], [Item("a", x, (x[None],))]),
        "guide-rnn",
        {"inputs": "item 0", "w": 1, "u": 0, "b": 0},
    )
    close(own["x"], torch.arange(0, 24, 2) / 22)


def test_the_gradient_is_the_radius_to_the_power_of_the_steps() -> None:
    """Without an activation exactly; tanh makes less of it; what is longer than 1 is clipped to 1."""
    for radius in (0.5, 0.8, 1, 1.3):
        found = answer("gradient", radius=radius, activation="none", steps=50)
        close(found["norms"], tensor([radius**k for k in range(50)]), 4)
        assert found["clipped"] == pytest.approx(min(found["weights"], 1), rel=1e-3)
        assert answer("gradient", radius=radius, activation="tanh", steps=50)["norms"][-1] < found["norms"][-1]
    assert (
        next(k for k, v in enumerate(answer("gradient", radius=0.8, activation="none", steps=50)["norms"]) if v < 0.01)
        == 21
    )
    assert answer("gradient", radius=1, activation="tanh", steps=50)["norms"][-1] < 0.01


@pytest.mark.parametrize("write", ["signal", "open"])
@pytest.mark.parametrize("forget", [-2, 0, 6])
def test_lstm(forget: int, write: str) -> None:
    """Gates, states and slope by the equations, one number at a time."""
    found = answer("lstm", value=0.5, forget=forget, write=write, read="signal")
    c, f = 0.0, sigmoid(forget)
    for t in range(20):
        i = sigmoid(10 * (t == 2) - 5) if write == "signal" else sigmoid(5)
        g, o = math.tanh(2 * found["value"][t]), sigmoid(10 * (t == 19) - 5)
        c = f * c + i * g
        for name, value in {"i": i, "f": f, "g": g, "o": o, "c": c, "h": o * math.tanh(c)}.items():
            assert found[name][t] == pytest.approx(value, rel=1e-5, abs=1e-9), (name, t)
    slope = sigmoid(5) * (1 - math.tanh(c) ** 2) * f**17
    assert found["slope"][2] == pytest.approx(slope, rel=1e-3)
    assert found["half_life"] == pytest.approx(math.log(0.5) / math.log(f), rel=1e-3)


def test_what_is_said_of_the_lstm() -> None:
    """f at the biases that are named; with 6 the value is there at step 20, and with an open input gate it is lost."""
    kept = answer("lstm", value=1, forget=6, write="signal", read="signal")
    assert [round(sigmoid(b), 3) for b in (-2, 0, 6)] == [0.119, 0.5, 0.998]
    assert kept["h"][-1] > 0.7
    flooded = {v: answer("lstm", value=v, forget=6, write="open", read="signal")["c"] for v in (-1, 1)}
    assert max(abs(a - 0.96) for a in flooded[1][3:]) > 0.5
    assert answer("lstm", value=1, forget=-2, write="signal", read="signal")["c"][4] < 0.02


@pytest.mark.parametrize("reset", ["open", "signal"])
@pytest.mark.parametrize("update", [-2, 0, 6])
def test_gru(update: int, reset: str) -> None:
    """Gates and state by the equations; a shut reset gate makes the new value of the input alone."""
    found = answer("gru", value=1, update=update, reset=reset)
    h = 0.0
    for t in range(20):
        signal = t in (2, 11)
        r = sigmoid(5 - 10 * signal * (reset == "signal"))
        z = sigmoid(update - 10 * signal)
        n = math.tanh(2 * found["value"][t] + r * h)
        h = (1 - z) * n + z * h
        for name, value in {"r": r, "z": z, "n": n, "h": h}.items():
            assert found[name][t] == pytest.approx(value, rel=1e-5, abs=1e-9), (name, t)
    assert found["value"][11] == 0.6
    if update == 6 and reset == "signal":
        assert found["n"][11] == pytest.approx(math.tanh(1.2), abs=0.01)


@pytest.mark.parametrize("hidden", [8, 64])
def test_comparison(hidden: int) -> None:
    """Parameters but for torch's second bias as of torch.nn, shares of 3 and 4, and more gradient with an open forget gate."""
    start, open_ = (answer("beside", hidden=hidden, steps=50, start=s)["networks"] for s in ("torch", "open"))
    for one, kind, times in zip(start, (nn.RNN, nn.LSTM, nn.GRU), (1, 4, 3), strict=True):
        assert one["parameters"] == sum(p.numel() for p in kind(8, hidden).parameters())
        assert one["parameters"] == times * start[0]["parameters"]
        assert one["macs"] == times * start[0]["macs"] == times * 50 * hidden * (8 + hidden)
        assert one["reach"][0] == 1
        assert one["reach"][-1] < 0.01
    assert open_[1]["reach"][-1] > 100 * start[1]["reach"][-1]
    torch.manual_seed(0)
    layer = nn.GRU(8, hidden, dtype=torch.float64)
    torch.manual_seed(0)
    x, towards = torch.randn(50, 8, 8, dtype=torch.float64), torch.randn(hidden, dtype=torch.float64)
    states = [torch.zeros(1, 8, hidden, dtype=torch.float64)]
    for step in x:  # a state at a time, so that torch keeps the gradient of each
        states.append(layer(step[None], states[-1])[1])
        states[-1].retain_grad()
    (states[-1] @ towards).sum().backward()
    norms = tensor([s.grad.norm(dim=-1).mean().item() for s in states[1:] if s.grad is not None]).flip(0)
    close(start[2]["reach"], norms / norms[0], 4)


def test_what_was_measured_is_what_the_claims_found() -> None:
    """The stored figures are those of docs/claims/result.json, in full or quickly as it says of this claim."""
    report = json.loads((ROOT / "docs/claims/result.json").read_text())
    found = answer("measured")
    finding = next(f for f in report["findings"] if f["name"] == "rnn-forgets")
    command = "pellucid claims --quick" if finding["quick"] else "pellucid claims"
    assert (found["command"], found["created"], found["machine"]) == (command, finding["on"], report["machine"])
    trained = [
        u["settings"] for u in report["units"] if u["experiment"] == "adding" and u["settings"]["length"] == 1000
    ]
    assert {(found["batches"], found["seeds"])} == {(u["steps"], len({v["seed"] for v in trained})) for u in trained}
    panel = finding["panels"][0]
    expected = [
        [line["label"], [[p["x"], *(round(p["y"][k], 1) for k in ("value", "low", "high"))] for p in line["points"]]]
        for line in panel["lines"]
    ]
    assert [[line["label"], line["points"]] for line in found["lines"]] == expected


def test_what_open_networks_make_of_an_item(reader: Opened) -> None:
    """The gradient of the network's own answer by steps back, as a share of the last step's; its maps as they were seen."""
    found = ask(reader, "guide-yours", {"item": 1})
    (network,) = found["networks"]
    model, x = reader.networks[0].model, reader.item(1).x[None]
    with trace(model) as seen:
        model(x.requires_grad_()).max().backward()
    norms = seen["lstm.l0.h"].grad.flip(0).norm(dim=-1)[:, 0]  # type: ignore[union-attr]
    torch.testing.assert_close(tensor(network["reach"]["norms"]), (norms / norms[0]).double(), rtol=1e-3, atol=1e-9)
    assert [stage["kind"] for stage in network["maps"]] == ["convolution", "activation", "pooling"]
    first, pooled = network["maps"][0]["tile"], network["maps"][2]["tile"]
    assert (first["shape"], pooled["shape"]) == ([4, 8, 8], [4, 4, 4])
    shown = torch.frombuffer(bytearray(b64decode(pooled["bytes"])), dtype=torch.uint8).view(4, 4, 4) / 255
    low, high = pooled["low"], pooled["high"]
    torch.testing.assert_close(
        shown * (high - low) + low, seen["block.pool"].values[0].detach(), rtol=0, atol=(high - low) / 255
    )


def test_a_page_on_open_networks_comes_by_its_name() -> None:
    """With as many items as are open, at most four."""
    assert all(page["name"] != "yours" for page in ask(of_nothing(), "guide", {"pages": ""})["pages"])
    opened = Opened("own", "image", [], [Item(str(k), torch.rand(1, 8, 8), ()) for k in range(9)])
    (page,) = ask(opened, "guide", {"pages": "yours"})["pages"]
    assert page["figures"]["guide-yours"][0]["values"] == [0, 1, 2, 3]


def test_answers_at_a_time_are_those_one_by_one() -> None:
    """All threads share the generator that weights are drawn from, and a page asks for several figures at once."""
    alone = [answer("beside", hidden=h, steps=20, start="torch") for h in (4, 8)]
    alone += [answer("gradient", radius=0.9, activation="tanh", steps=20)]
    with ThreadPoolExecutor(6) as threads:
        for _ in range(8):
            asked = [threads.submit(answer, "beside", hidden=h, steps=20, start="torch") for h in (4, 8)]
            asked += [threads.submit(answer, "gradient", radius=0.9, activation="tanh", steps=20)]
            assert [each.result() for each in asked] == alone

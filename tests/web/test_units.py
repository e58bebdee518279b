"""The promise: what the page says of gradients, units and held gates is what the trace and pellucid.inside say."""

from __future__ import annotations

import base64
import math
from typing import Any

import pytest
import torch
from tests.web.conftest import Last, drawn
from torch import Tensor

from pellucid import inside, nn, trace
from pellucid.errors import ArgumentError
from pellucid.inside.part import gradients_in as _in
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.passes import Pass
from pellucid.web.questions import ask, forced, near, unit

LAYER = "layer.l0"
NETWORKS = ["rnn", "lstm", "gru", "leaky"]
BYTE = 1 / 255  # of a tile's range: half of it is the most that a picture is off


def about(opened: Opened, question: str, network: str, /, **more: Any) -> dict[str, Any]:
    return ask(opened, question, {"network": network, "item": 0, "layer": LAYER, **more})


def picture(tile: dict[str, Any]) -> Tensor:
    values = torch.frombuffer(bytearray(base64.b64decode(tile["bytes"])), dtype=torch.uint8).view(tile["shape"])
    return tile["low"] + values / 255 * (tile["high"] - tile["low"])


@pytest.mark.parametrize("network", NETWORKS)
def test_reach_of_an_answer(four: Opened, network: str) -> None:
    """Norms as inside.gradient_reach gives them, 1 % by its definition, and the picture of the same gradient."""
    model, x = four.network(network).model, four.item(0).args[0]
    assert x is not None
    with trace(model) as seen:
        model(x.clone().requires_grad_())[0, 2].backward()
    found = about(four, "reach", network, target=2)
    assert found["offered"][0]["target"] == 2
    for state in found["states"]:
        reach = inside.gradient_reach(seen[f"{LAYER}.{state['name']}"], relative=False)
        torch.testing.assert_close(torch.tensor(state["norms"]), reach.flip(0), rtol=1e-5, atol=0)
        faded = next((k for k, norm in enumerate(reach) if norm < 0.01 * reach[0]), None)
        assert (state["start"], state["fades"]) == (23, faded)
        gradient = seen[f"{LAYER}.{state['name']}"].grad
        assert gradient is not None
        shares = (gradient[:, 0].T.abs() / gradient.abs().max()).log10().clamp(min=-6)
        told = picture(about(four, "gradient", network, target=2, name=state["name"])["tile"])
        torch.testing.assert_close(told, shares, rtol=0, atol=6 * BYTE)


def test_reach_of_a_unit_is_a_row_of_the_step_s_jacobian(four: Opened) -> None:
    """One step back from h_t[u] the gradient is that row of dh_t / dh_{t-1}; nothing comes from later steps."""
    layer, x = four.network("rnn").model.layer, four.item(0).args[0]
    assert isinstance(layer, nn.Recurrent)
    jacobian = inside.step_jacobians(layer, x).matrices[11, 0]
    found = about(four, "reach", "rnn", of="unit", unit=4, step=11)["states"][0]
    assert found["norms"][11] == pytest.approx(1.0)
    assert found["norms"][10] == pytest.approx(float(jacobian[4].norm()), rel=1e-4)
    assert found["norms"][12:] == [0.0] * 12
    whole = about(four, "reach", "rnn", of="state", step=11)["states"][0]
    assert whole["norms"][11] == pytest.approx(1.0)  # of a norm


def test_reach_of_a_layer_that_runs_backward() -> None:
    """Its distance is counted in the order in which it runs."""
    layer = nn.GRU(2, 4, 2, batch_first=True, bidirectional=True)
    opened = of_models({"bigru": drawn(Last(layer))}, torch.randn(1, 9, 2))
    more = {"layer": "layer.l1_reverse", "of": "unit", "unit": 1, "step": 3}
    found = ask(opened, "reach", {"network": "bigru", "item": 0, **more})
    (state,) = found["states"]
    assert found["reverse"] is True
    assert state["start"] == 3
    assert state["norms"][:3] == [0.0] * 3
    assert all(norm > 0 for norm in state["norms"][3:])
    below = ask(opened, "reach", {"network": "bigru", "item": 0, **more, "layer": "layer.l0"})
    assert below["step"] == 3  # of its own output there


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("of", [{"of": "answer"}, {"of": "unit", "unit": 4, "step": 15}, {"of": "state", "step": 15}])
def test_reach_nearby_is_that_of_the_whole(four: Opened, network: str, of: dict[str, Any]) -> None:
    """Of the last steps before what it is of, without the way back beyond them; also where only few come after it."""
    whole, near = about(four, "reach", network, **of), about(four, "reach", network, back=5, **of)
    first = of.get("step", 23) - 4
    assert (whole["since"], near["since"]) == (0, first)
    for all_of, last_of in zip(whole["states"], near["states"], strict=True):
        assert last_of["norms"][first:] == pytest.approx(all_of["norms"][first:], rel=1e-5)
        assert last_of["norms"][:first] == [0.0] * first
        assert last_of["start"] == all_of["start"]
        known = all_of["fades"] is not None and all_of["fades"] < 5
        assert last_of["fades"] == (all_of["fades"] if known else None)
    name = whole["memory"]
    part = about(four, "gradient", network, back=5, name=name, **of)
    wide = about(four, "gradient", network, name=name, **of)
    assert (part["since"], part["tile"]["shape"]) == (first, [6, 24 - first])
    size = 10 ** picture(wide["tile"])[:, first:] * wide["most"]
    shares = (size / part["most"]).log10().clamp(min=-6)
    clear = shares > -5  # beyond it one picture ends before the other
    torch.testing.assert_close(picture(part["tile"])[clear], shares[clear], rtol=0, atol=12 * BYTE)


def test_reach_nearby_takes_those_steps_alone(four: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the layer as many as were asked for run again, and none more go back."""
    swept: list[int] = []
    monkeypatch.setattr(
        near,
        "gradients_in",
        lambda along, came, steps: swept.append(steps.stop - steps.start) or _in(along, came, steps),
    )
    monkeypatch.setattr(near, "gradients", lambda *_: pytest.fail("went all the way back"))
    about(four, "reach", "lstm", back=5)
    about(four, "gradient", "lstm", back=5, name="c")  # of the same way back
    assert swept == [5]


def test_reach_nearby_goes_all_the_way_where_it_must() -> None:
    """Of a direction that runs backward, of sequences that end earlier, and where that is as quick."""
    opened = of_models(
        {"bigru": drawn(Last(nn.GRU(2, 4, 2, batch_first=True, bidirectional=True)))},
        torch.randn(2, 20, 2),
        torch.tensor([20, 15]),
    )
    for layer, item, back in (("l0_reverse", 0, 3), ("l0", 0, 5), ("l0", 1, 3)):
        asked = {"network": "bigru", "item": item, "layer": f"layer.{layer}"}
        found = ask(opened, "reach", asked | {"back": back})
        assert found["since"] == 0
        assert found == ask(opened, "reach", asked)


def test_a_state_that_has_no_part_gets_none(four: Opened) -> None:
    """Of the first step's output nothing reaches later ones; the answer of an item of length 5 reaches nothing beyond."""
    model = four.network("lstm").model
    opened = of_models({"lstm": model}, torch.randn(2, 24, 2), torch.tensor([5, 24]))
    found = about(opened, "reach", "lstm")
    assert [state["start"] for state in found["states"]] == [4, 4]
    assert len(found["states"][0]["norms"]) == 5


@pytest.mark.parametrize("network", NETWORKS)
def test_a_unit_s_memory(four: Opened, network: str) -> None:
    """Half-life and shares are inside's; the correlation is numpy's."""
    model = four.network(network).model
    with trace(model, grad=False) as seen:
        model(*four.item(0).args)
    found = about(four, "unit", network, unit=3)
    gates = {"rnn": [], "lstm": ["f", "i", "o"], "gru": ["r", "z"], "leaky": ["k"]}[network]
    assert [gate["name"] for gate in found["gates"]] == gates
    for gate in found["gates"]:
        told = inside.saturation(seen[f"{LAYER}.{gate['name']}"])
        assert (gate["shut"], gate["open"]) == (float(told.units_below[3]), float(told.units_above[3]))
    keeps = {"lstm": "f", "gru": "z", "leaky": "k"}.get(network)
    if keeps is None:
        assert found["half_life"] is None
    else:
        lives = inside.half_life(seen[f"{LAYER}.{keeps}"])
        assert found["half_life"]["steps"] == pytest.approx(float(lives[3]))
        assert found["half_life"]["longer"] == pytest.approx(float((lives > lives[3]).double().mean()))
    memory = seen[f"{LAYER}.{found['memory']}"].values[:, 0]
    best = found["channels"][0]
    lag, x = best["lag"], four.item(0).x
    r = torch.corrcoef(torch.stack([memory[lag:, 3], x[: 24 - lag, best["channel"]]]))[0, 1]
    assert best["r"] == pytest.approx(float(r), abs=1e-5)
    other = found["others"][0]
    assert other["unit"] != 3
    assert other["r"] == pytest.approx(float(torch.corrcoef(memory.T)[3, other["unit"]]), abs=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_attribution_is_gradient_times_input(four: Opened, network: str) -> None:
    layer, x = four.network(network).model.layer, four.item(0).args[0].clone().requires_grad_()  # type: ignore[union-attr]
    assert isinstance(layer, nn.Recurrent)
    value = layer(x)[0][0, 13, 2]
    value.backward()
    share = (x.grad * x)[0].detach()
    found = about(four, "attribution", network, unit=2, step=13)
    assert found["value"] == pytest.approx(float(value.detach()), rel=1e-5)
    torch.testing.assert_close(torch.tensor(found["steps"]), share.sum(1), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(picture(found["tile"]), share.T, rtol=0, atol=float(2 * share.abs().max()) * BYTE)
    assert found["steps"][14:] == [0.0] * 10


def test_attribution_of_many_features_comes_in_pages() -> None:
    """On one range of colours; together they are all features."""
    model = nn.GRU(700, 3, batch_first=True)
    opened = of_models({"m": model}, torch.randn(1, 6, 700, generator=torch.Generator().manual_seed(4)))
    x = opened.item(0).x.clone()[None].requires_grad_()
    model(x)[0][0, 4, 1].backward()
    share = (x.grad * x)[0].detach().T  # type: ignore[operator]
    parameters = {"network": "m", "item": 0, "layer": "l0", "unit": 1, "step": 4}
    pages = [ask(opened, "attribution", {**parameters, "first": first}) for first in (0, 512)]
    assert [(page["of"], page["tile"]["shape"]) for page in pages] == [(700, [512, 6]), (700, [188, 6])]
    told = torch.cat([picture(page["tile"]) for page in pages])
    torch.testing.assert_close(told, share, rtol=0, atol=2 * float(share.abs().max()) * BYTE)
    with pytest.raises(ArgumentError, match="feature 700 does not exist; l0 is fed 700, counted from 0"):
        ask(opened, "attribution", {**parameters, "first": 700})


def test_drivers_are_the_highest_of_all_items(four: Opened) -> None:
    """Every item once, with its own best step; steps beyond an item's end do not count."""
    model = four.network("lstm").model
    opened = of_models({"lstm": model}, torch.randn(5, 24, 2), torch.tensor([24, 3, 24, 9, 1]))
    found = about(opened, "drivers", "lstm", unit=1, items=5)
    best = []
    for item in opened.items:
        with trace(model, grad=False) as seen:
            model(*item.args)
        c = seen[f"{LAYER}.c"].values[: int(item.args[1][0]), 0, 1]  # type: ignore[index]
        best.append((float(c.max()), int(c.argmax())))
    order = sorted(range(5), key=lambda k: -best[k][0])[:4]
    assert [(p["item"], p["value"], p["step"]) for p in found["highest"]] == [(k, *best[k]) for k in order]
    assert about(opened, "drivers", "lstm", unit=1, items=2)["items"] == 2


def test_drivers_read_one_item_more_each_time(four: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that whoever asks of one more each time waits for one pass, the first time too; nothing is read again."""
    read: list[int] = []
    run = Opened._run

    def counted(opened: Opened, name: str, number: int, *, graph: bool) -> Pass:
        read.append(number)
        return run(opened, name, number, graph=graph)

    monkeypatch.setattr(Opened, "_run", counted)
    opened = of_models({"lstm": four.network("lstm").model}, torch.randn(4, 24, 2))
    for items in (1, 2, 2, 4):
        about(opened, "drivers", "lstm", unit=1, items=items)
    assert read == [0, 1, 2, 3]


def test_an_lstm_whose_forget_gate_is_held_open_only_adds(four: Opened) -> None:
    """The memory is the sum of i * g of the very run that is shown, the input and the weights being the same."""
    model = four.network("lstm").model
    with inside.held(model.layer, "f", 1.0), trace(model, grad=False) as seen:  # type: ignore[arg-type]
        output = model(*four.item(0).args)
    found = about(four, "forced", "lstm", unit=None)
    assert found["name"] == "f"  # the gate that keeps, since none was named
    added = (seen[f"{LAYER}.i"].values * seen[f"{LAYER}.g"].values).cumsum(0)[:, 0]
    memory = found["memory"]
    torch.testing.assert_close(picture(memory["after"]), added.T, rtol=0, atol=2 * memory["after"]["high"] * BYTE)
    before = four.seen("lstm", 0).seen[f"{LAYER}.c"].values[:, 0]
    torch.testing.assert_close(torch.tensor(memory["norms"]), (added - before).norm(dim=1), rtol=1e-4, atol=1e-6)
    assert found["after"]["largest"][0]["value"] == pytest.approx(float(output.max()))
    assert found["before"]["largest"][0]["value"] == pytest.approx(float(model(*four.item(0).args).max()))


def test_a_gru_whose_update_gate_is_held_from_a_step_on(four: Opened) -> None:
    """With z = 1 in one unit from step 10 on, that unit stands still from there; before, nothing differs."""
    memory = about(four, "forced", "gru", value=1, since=10, unit=2)["memory"]
    assert memory["unit_after"][:10] == memory["unit_before"][:10]
    assert memory["norms"][:10] == [0.0] * 10
    assert memory["unit_after"][10:] == [pytest.approx(memory["unit_after"][9])] * 14


def test_a_gate_of_a_cell_of_one_s_own_is_held(four: Opened) -> None:
    """k = 0: nothing is kept, h is the candidate of every step."""
    found = about(four, "forced", "leaky", name="k", value=0.0)
    layer, x = four.network("leaky").model.layer, four.item(0).x
    assert isinstance(layer, nn.Recurrent)
    h, states = torch.zeros(6), []
    for each in x:
        h = torch.tanh(layer.weight_ih_l0 @ each + layer.bias_ih_l0 + layer.weight_hh_l0 @ h)  # type: ignore[operator]
        states.append(h.detach())
    told = picture(found["memory"]["after"]).T
    torch.testing.assert_close(told, torch.stack(states), rtol=0, atol=2 * found["memory"]["after"]["high"] * BYTE)


def test_a_backward_layer_is_held_in_the_order_in_which_it_runs() -> None:
    """From its third step on: of nine steps, those from 6 down."""
    opened = of_models({"m": drawn(Last(nn.LSTM(2, 4, batch_first=True, bidirectional=True)))}, torch.randn(1, 9, 2))
    parameters = {"network": "m", "item": 0, "layer": "layer.l0_reverse", "name": "f", "value": 0.0, "since": 2}
    norms = ask(opened, "forced", parameters)["memory"]["norms"]
    assert norms[7:] == [0.0, 0.0]
    assert all(norm > 0 for norm in norms[:7])


@pytest.mark.parametrize("network", NETWORKS)
def test_the_answer_so_far_is_that_of_the_beginning_alone(four: Opened, network: str) -> None:
    model, x = four.network(network).model, four.item(0).args[0]
    assert x is not None
    for step in (0, 7, 23):
        found = about(four, "sofar", network, step=step)
        output = model(x[:, : step + 1])[0]
        assert found["largest"][0]["value"] == pytest.approx(float(output.max().detach()), rel=1e-5)


def test_the_answer_so_far_of_a_layer_that_is_opened_alone() -> None:
    """Its states, which come with its output, are no answer."""
    model = nn.LSTM(2, 3, batch_first=True)
    opened = of_models({"m": model}, torch.randn(1, 6, 2))
    found = ask(opened, "sofar", {"network": "m", "item": 0, "layer": "l0", "step": 2})
    assert found["largest"][0]["value"] == pytest.approx(float(model(opened.item(0).x[:3])[0].max()), rel=1e-5)


def test_the_answer_so_far_of_an_item_that_is_shorter() -> None:
    """Lengths are cut, too."""
    model = drawn(Last(nn.GRU(2, 4, batch_first=True)))
    opened = of_models({"m": model}, torch.randn(2, 8, 2), torch.tensor([5, 8]))
    x = opened.item(0).args[0]
    assert x is not None
    for step in (2, 4):
        found = about(opened, "sofar", "m", step=step)
        assert found["largest"][0]["value"] == pytest.approx(float(model(x[:, : step + 1]).max()), rel=1e-5)


@pytest.mark.parametrize(
    ("question", "parameters", "said"),
    [
        ("reach", {"step": 24}, "step 24 does not exist"),
        ("reach", {"of": "unit", "unit": 6}, "unit 6 does not exist"),
        ("reach", {"target": 3}, "there is no answer 3; there are 3, counted from 0"),
        ("reach", {"layer": "l7"}, "no recurrent layer 'l7'; it has layer.l0"),
        ("gradient", {"name": "q"}, "has no value 'q'"),
        ("unit", {"unit": -1}, "unit -1 does not exist"),
        ("attribution", {"unit": 0, "step": -1}, "step -1 does not exist"),
        ("drivers", {"unit": 0, "items": 0}, "give at least 1"),
        ("forced", {"name": "q"}, "names no 'q' that could be held"),
        ("forced", {"unit": 9}, "unit 9 does not exist"),
        ("forced", {"value": math.inf}, "value: input should be a finite number"),
        ("sofar", {"step": 99}, "step 99 does not exist"),
    ],
)
def test_what_is_not_there_is_a_sentence(four: Opened, question: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        about(four, question, "gru", **parameters)


def test_pictures_of_a_long_item_are_means_over_windows(four: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Single numbers stay those of every step."""
    whole = about(four, "forced", "lstm", value=0.5)["memory"]
    monkeypatch.setattr(forced, "NUMBERS", 40)
    found = about(four, "forced", "lstm", value=0.5)["memory"]
    assert (found["window"], found["after"]["shape"], len(found["norms"])) == (4, [6, 6], 24)
    expected = picture(whole["after"]).unflatten(1, (6, 4)).mean(2)
    torch.testing.assert_close(picture(found["after"]), expected, rtol=0, atol=2 * found["after"]["high"] * BYTE)


def test_a_memory_that_follows_late_is_said_to(four: Opened) -> None:
    """What repeats the second column three steps later goes with that column, three steps late."""
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(3))
    own = torch.cat([torch.zeros(3), x[:-3, 1]])
    best = unit._channels(four, x, own)[0]
    assert (best["channel"], best["lag"]) == (1, 3)
    assert best["r"] == pytest.approx(1.0)

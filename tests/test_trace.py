"""The promise: a trace shows what was computed, and the gradient that reached it."""

from __future__ import annotations

import gc
import re
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pellucid
from pellucid import inside
from pellucid import nn as nn_of_ours
from pellucid.errors import ArgumentError
from pellucid.nn import GRU, LSTM, Conv2d, ConvBlock, shown
from pellucid.ops import observe
from pellucid.ops.recurrence import Sight


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = Conv2d(1, 2, 3)
        self.block = ConvBlock(2, 3, 3)
        self.lstm = LSTM(3, 4, bidirectional=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.block(self.conv(x))
        y, _ = self.lstm(maps.flatten(2).permute(2, 0, 1))
        return self.head(y[-1])


def test_names_and_shapes() -> None:
    model = Model()
    with pellucid.trace(model) as seen:
        output = model(torch.randn(2, 1, 10, 10))
    assert {"conv.out", "block.map", "block.act", "block.pool", "lstm.l0.c", "lstm.l0_reverse.f", "head.out"} <= set(
        seen
    )
    assert torch.equal(seen["head.out"].values, output)
    assert seen["lstm.l0.f"].values.shape == (9, 2, 4)
    assert "lstm.l0.f" in repr(seen)


def test_nothing_changes_and_nothing_stays() -> None:
    model = Model()
    x = torch.randn(2, 1, 10, 10)
    before = model(x)
    with pellucid.trace(model) as seen:
        during = model(x)
    model(x)
    assert torch.equal(before, during)
    assert len(seen.calls("head.out")) == 1
    assert not any(m._forward_hooks for m in model.modules())


def test_gates_and_cell_states_are_those_of_the_equations() -> None:
    torch.manual_seed(0)
    lstm = LSTM(3, 4)
    x = torch.randn(5, 2, 3)
    with pellucid.trace(lstm) as seen:
        y, (_, c) = lstm(x)
    assert torch.equal(seen["l0.h"].values, y)
    assert torch.equal(seen["l0.c"].values[-1], c[0])
    i, f, g = (seen[f"l0.{name}"].values for name in "ifg")
    torch.testing.assert_close(seen["l0.c"].values[1:], (f * seen["l0.c"].values.roll(1, 0) + i * g)[1:])


def test_gradients_equal_those_of_a_nudge() -> None:
    """dL/dh_t of a trace against the gradient that torch gives when the sequence is cut at t."""
    torch.manual_seed(0)
    gru = GRU(3, 4).double()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    with pellucid.trace(gru) as seen:
        y, _ = gru(x)
    assert seen["l0.h"].grad is None
    y[-1].sin().sum().backward()
    with torch.no_grad():
        h = gru(x[:3])[1]
    h.requires_grad_()
    (expected,) = torch.autograd.grad(gru(x[3:], h)[0][-1].sin().sum(), h)
    found = seen["l0.h"].grad
    assert found is not None
    torch.testing.assert_close(found[2], expected[0])


def test_gradient_of_a_feature_map() -> None:
    model = Model()
    with pellucid.trace(model) as seen:
        model(torch.randn(2, 1, 10, 10)).sum().backward()
    found = seen["conv.out"].grad
    assert found is not None
    assert found.shape == seen["conv.out"].values.shape
    assert found.abs().sum() > 0


def test_gradients_are_forgotten_before_another_backward_pass() -> None:
    """Along a graph that was kept, what the next pass does not reach has no gradient; what it reaches has that pass's alone."""
    model = Model()
    with pellucid.trace(model) as seen:
        model(torch.randn(2, 1, 9, 9)).sum().backward(retain_graph=True)
    assert all(seen[name].grad is not None for name in ("conv.out", "lstm.l0.f", "head.out"))
    seen.forget_gradients()
    assert all(one.grad is None for one in seen.values())
    seen["lstm.l0.h"].values[2].sum().backward()
    forget = seen["lstm.l0.f"].grad
    assert forget is not None
    assert forget[1].any()
    assert not forget[3:].any()
    assert seen["head.out"].grad is None


@pytest.mark.parametrize("backward", [False, True])
def test_what_was_seen_goes_with_its_trace(backward: bool) -> None:
    """Nothing keeps the values of a layer, or of a cell's calls, once nobody has the trace and the output any more."""
    layer, cell = LSTM(3, 4), nn_of_ours.LSTMCell(3, 4)
    for model, x in ((layer, torch.randn(5, 2, 3)), (cell, torch.randn(2, 3))):
        with pellucid.trace(model) as seen:
            output = model(x)[0]
        if backward:
            output.sum().backward()
        kept = [weakref.ref(one.values) for one in seen.values()]
        assert len(kept) >= 6
        del seen, output
        gc.collect()
        assert [ref for ref in kept if ref() is not None] == []


def test_where_max_pooling_found_its_maxima() -> None:
    """A trace has torch's positions, of a layer that does not return them and of a block; outputs and gradients are the same."""
    torch.manual_seed(1)
    pool, block = nn_of_ours.MaxPool2d(3, 2), ConvBlock(2, 3, 3, pool="max", pool_size=2)
    model = nn.Sequential(pool, block)
    x = torch.randn(2, 2, 13, 13, requires_grad=True)
    plain = model(x)
    (expected,) = torch.autograd.grad(plain.square().sum(), x)
    with pellucid.trace(model) as seen:
        out = model(x)
    assert torch.equal(seen["0.argmax"].values, nn.functional.max_pool2d(x, 3, 2, return_indices=True)[1])
    _, positions = nn.functional.max_pool2d(seen["1.act"].values, 2, return_indices=True)
    assert torch.equal(seen["1.argmax"].values, positions)
    assert (seen["1.argmax"].axes, seen["1.pool"].values.shape) == ("B C H W", positions.shape)
    torch.testing.assert_close(out, plain)
    torch.testing.assert_close(torch.autograd.grad(out.square().sum(), x), (expected,))
    with pellucid.trace(model, ["1.argmax"]) as alone:
        model(x)
    assert list(alone) == ["1.argmax"]


def test_padding_is_not_shown() -> None:
    lstm = LSTM(3, 4, bidirectional=True)
    with pellucid.trace(lstm) as seen:
        lstm(torch.randn(5, 2, 3), lengths=[2, 5])
    assert (seen["l0.f"].values[2:, 0] == 0).all()
    assert (seen["l0_reverse.f"].values[2:, 0] == 0).all()
    assert (seen["l0.f"].values[:, 1] != 0).all()


def test_only_the_layers_that_were_asked_for_are_collected() -> None:
    """By name of a module, of a layer in it, of a value, and by the module itself; others run as if nobody looked."""
    model = Model()
    x = torch.randn(2, 1, 10, 10)
    with pellucid.trace(model) as whole:
        model(x)
    wanted: list[tuple[str | nn.Module, set[str]]] = [
        ("block", {"block.map", "block.act", "block.pool", "block.argmax"}),
        ("block.pool", {"block.pool"}),
        (model.head, {"head.out"}),
        ("lstm.l0.f", {"lstm.l0.f"}),
        ("lstm.l0", {f"lstm.l0.{name}" for name in "ifgoch"}),
    ]
    for layers, names in wanted:
        with pellucid.trace(model, [layers]) as seen:
            model(x)
        assert set(seen) == names
        for name in names:
            torch.testing.assert_close(seen[name].values, whole[name].values)
    with pellucid.trace(model, ["lstm.l0.f", "lstm.l0_reverse.c", "conv"]) as seen:
        assert not observe.active(model.block)
        assert observe.active(model.lstm)
        model(x).sum().backward()
    assert set(seen) == {"lstm.l0.f", "lstm.l0_reverse.c", "conv.out"}
    found = seen["lstm.l0.f"].grad
    assert found is not None
    with pellucid.trace(model) as whole:
        model(x).sum().backward()
    torch.testing.assert_close(found, whole["lstm.l0.f"].grad)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("lstn", "lstm"), ("lstm.l0.q", "lstm.l0.g"), ("lstm.l1.f", "lstm.l0.f"), ("block.out", "block")],
)
def test_a_wrong_name_is_a_sentence_with_near_names(wrong: str, near: str) -> None:
    with pytest.raises(ArgumentError, match=f"no '{re.escape(wrong)}'; near it, it has .*{re.escape(near)}"):
        pellucid.trace(Model(), [wrong])
    with pytest.raises(ArgumentError, match="a Linear that is not inside the model"):
        pellucid.trace(Model(), [nn.Linear(2, 2)])


def test_without_gradients_nothing_is_kept_and_nothing_is_hooked() -> None:
    model = Model()
    with pellucid.trace(model, grad=False) as seen:
        y = model(torch.randn(2, 1, 10, 10))
    assert not y.requires_grad
    assert torch.is_grad_enabled()
    assert all(not value.values.requires_grad and value.grad is None for value in seen.values())
    assert seen["lstm.l0.f"].values.shape == (9, 2, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_gradients_of_some_values_alone(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """float16 runs on the engine's twin; neither writes a gradient that nobody wants."""
    sights: list[Sight] = []

    def noted(*names: frozenset[str]) -> Sight:
        sights.append(Sight(*names))
        return sights[-1]

    monkeypatch.setattr(shown, "Sight", noted)
    torch.manual_seed(0)
    lstm = LSTM(3, 4, dtype=dtype)
    x = torch.randn(5, 2, 3, dtype=dtype)
    found = []
    for grad in (True, ["l0.c"]):
        with pellucid.trace(lstm, grad=grad) as seen:
            lstm(x)[0].sum().backward()
        found.append(seen["l0.c"].grad)
        assert (seen["l0.f"].grad is None) == (grad is not True)
        assert len(seen) == 6
    assert [len(sight.gradients) for sight in sights] == [6, 1]
    assert found[0] is not None
    assert found[1] is not None
    assert torch.equal(*found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_is_made_of_a_state_has_a_gradient(dtype: torch.dtype) -> None:
    """Also on the engine's twin, on which float16 runs: a state is the output itself, and a unit of it can be differentiated."""
    torch.manual_seed(0)
    lstm = LSTM(3, 4, dtype=dtype)
    x = torch.randn(5, 2, 3, dtype=dtype, requires_grad=True)
    with pellucid.trace(lstm) as seen:
        lstm(x)
    (found,) = torch.autograd.grad(seen["l0.c"].values[2, 0, 1], x)
    assert found[:3, 0].abs().min() > 0
    assert not found[3:].any()
    assert not found[:, 1].any()


@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "LSTMCell"])
def test_a_loop_over_a_cell_shows_what_its_layer_shows(name: str) -> None:
    """Every call is a step: values and gradients are those of the layer with the same numbers."""
    torch.manual_seed(0)
    cell = getattr(nn_of_ours, name)(3, 4, dtype=torch.float64)
    layer = getattr(nn_of_ours, name.removesuffix("Cell"))(3, 4, dtype=torch.float64)
    layer.load_state_dict({f"{key}_l0": value for key, value in cell.state_dict().items()})
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    with pellucid.trace(layer) as whole:
        layer(x)[0][-1].sin().sum().backward()
    with pellucid.trace(cell) as steps:
        state = None
        for step in x:
            state = cell(step, state)
        (state[0] if isinstance(state, tuple) else state).sin().sum().backward()
    assert {f"l0.{n}" for n in steps} == set(whole)
    for n in steps:
        calls = steps.calls(n)
        assert [c.axes for c in calls] == ["B H"] * 5
        torch.testing.assert_close(torch.stack([c.values for c in calls]), whole[f"l0.{n}"].values)
        gradients = [c.grad for c in calls]
        expected = whole[f"l0.{n}"].grad
        assert expected is not None
        for found, right in zip(gradients, expected, strict=True):
            assert found is not None
            torch.testing.assert_close(found, right)
    with pellucid.trace(cell, ["h"]) as one:
        cell(x[0, 0])
    assert list(one) == ["h"]
    assert one["h"].axes == "H"


def test_torchs_convolutions_have_named_axes() -> None:
    conv = nn.Conv1d(1, 2, 3)
    with pellucid.trace(conv) as seen:
        conv(torch.randn(2, 1, 9))
    assert seen["out"].axes == "B C L"
    assert seen["out"].layer is conv


def test_traces_inside_traces_each_have_what_they_asked_for() -> None:
    """Whatever is open sees, however the blocks end."""
    model, x = Model(), torch.randn(2, 1, 10, 10)
    with pellucid.trace(model, ["lstm.l0"], grad=["lstm.l0.h"]) as outer:
        with pellucid.trace(model) as inner:
            model(x).sum().backward()
        model(x)
    assert len(outer.calls("lstm.l0.f")) == 2
    assert all(name.startswith("lstm.l0.") for name in outer)
    assert torch.equal(outer.calls("lstm.l0.f")[0].values, inner["lstm.l0.f"].values)
    assert outer.calls("lstm.l0.f")[0].grad is None
    assert inner["lstm.l0.f"].grad is not None
    assert outer.calls("lstm.l0.h")[0].grad is not None
    assert {"conv.out", "block.map", "head.out"} <= set(inner)
    first, second = pellucid.trace(model.conv), pellucid.trace(model)
    one, _ = first.__enter__(), second.__enter__()
    first.__exit__()
    model(x)
    second.__exit__()
    assert not one
    assert not observe.active(model.conv)


def test_what_runs_in_another_thread_is_seen_too() -> None:
    """Of Pellucid's layers as of torch's."""
    model, x = Model(), torch.randn(2, 1, 10, 10)
    with pellucid.trace(model) as here:
        model(x)
    with pellucid.trace(model) as there, ThreadPoolExecutor(1) as pool:
        pool.submit(model, x).result()
    assert list(there) == list(here)


@pytest.mark.parametrize("module", [nn, nn_of_ours], ids=["torch", "pellucid"])
def test_values_before_an_activation_in_place(module: Any) -> None:
    """They and their gradients are those of the same model with inplace=False; after the block the layer is what it was."""
    torch.manual_seed(0)
    model = nn.Sequential(module.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Dropout(0.5, inplace=True)).eval()
    x = torch.randn(2, 1, 8, 8)
    with pellucid.trace(model) as seen:
        model(x).square().sum().backward()
    before = model[0](x)
    assert torch.equal(seen["0.out"].values, before)
    assert torch.equal(seen["1.out"].values, before.relu())
    found = seen["0.out"].grad
    assert found is not None
    torch.testing.assert_close(found, 2 * before.relu())
    assert model[1].inplace
    assert model[2].inplace
    assert inside.duplicate_filters(seen["0.out"], above=0) == inside.duplicate_filters(before, above=0)


def test_values_that_are_written_over_are_a_sentence() -> None:
    """Of the value alone: the rest of the trace, its list and the gradients are there."""
    model, x = nn.Sequential(nn.Linear(3, 3), nn_of_ours.Conv1d(1, 2, 1)), torch.randn(1, 1, 3)
    with pellucid.trace(model) as seen:
        y = model(x)
    y += 1
    assert "1.out  B C L    (1, 2, 3)" in repr(seen)
    assert torch.equal(seen["0.out"].values, model[0](x))
    with pytest.raises(ArgumentError, match=r"what Conv1d gave, \(1, 2, 3\), was written over by what follows it"):
        _ = seen["1.out"].values
    with torch.inference_mode(), pellucid.trace(model) as seen:
        y = model(x)
    assert torch.equal(seen["1.out"].values, y)


def test_a_model_that_was_compiled() -> None:
    """Its graphs show nothing, so inside the block it runs without; the names are the model's own."""
    model, x = nn.Sequential(nn.Linear(3, 2), nn.Tanh()), torch.randn(4, 3)
    compiled = torch.compile(model, backend="eager")
    y = compiled(x)
    for given in (model, compiled):
        with pellucid.trace(given, [given]) as seen:  # type: ignore[list-item, arg-type]
            compiled(x).sum().backward()
        assert list(seen) == ["0.out", "1.out"]
        assert torch.equal(seen["1.out"].values, y)
        assert seen["0.out"].grad is not None
    assert torch.equal(compiled(x), y)


def test_graphs_are_made_again_after_traces_that_end_in_any_order() -> None:
    made: list[object] = []

    def backend(graph: Any, _: object) -> Any:
        made.append(graph)
        return graph

    model, x = nn.Sequential(nn.Linear(3, 2), nn.Tanh()), torch.randn(4, 3)
    torch.compile(nn.Tanh(), backend="eager")(x)
    first, second = pellucid.trace(model), pellucid.trace(model)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    torch.compile(model, backend=backend)(x)
    assert not made
    second.__exit__(None, None, None)
    torch.compile(model, backend=backend)(x)
    assert made


def test_a_trace_inside_of_a_compiled_function() -> None:
    """It is no error."""
    model, x = nn.Linear(3, 2), torch.randn(4, 3)

    @torch.compile(backend="eager")
    def run() -> Tensor:
        with pellucid.trace(model):
            return model(x)

    assert torch.equal(run(), model(x))


def test_a_second_place_of_a_module_says_where_the_first_is() -> None:
    shared = nn.Linear(3, 3)
    with pytest.raises(ArgumentError, match=r"'2' is the same module as '0'.* give '0.out', and Trace.calls"):
        pellucid.trace(nn.Sequential(shared, nn.Tanh(), shared), ["2.out"])


class Residual(nn.Module):
    """Writes over what its layers give, as networks with shortcuts do."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.a, self.b, self.how = nn.Conv2d(2, 2, 3, padding=1), Conv2d(2, 2, 3, padding=1), how

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(self.a(x).sin())
        if self.how == "+=":
            y += x
        elif self.how == "relu":
            F.relu(y, inplace=True)
        elif self.how == "relu, by position":
            F.relu(y, True)
        elif self.how == "method":
            y.mul_(2)
        elif self.how == "view":
            y[:, 0].zero_()
        elif self.how == "item":
            y[:, 0] = 0
        elif self.how == "out":
            with torch.no_grad():
                torch.mul(y, 2, out=y.detach())
        return y


@pytest.mark.parametrize("how", ["+=", "relu", "relu, by position", "method", "view", "item", "out", "nothing"])
def test_values_that_the_model_writes_over_are_kept(how: str) -> None:
    """And only those: others are the very tensors; gradients are those of what was there."""
    torch.manual_seed(0)
    model, x = Residual(how), torch.randn(2, 2, 6, 6)
    with pellucid.trace(model) as seen, pellucid.trace(model, ["b"], grad=()) as inner:
        y = model(x)
        y.sum().backward(retain_graph=True)
    truth = model.b(model.a(x).sin())
    assert torch.equal(seen["b.out"].values, truth)
    assert torch.equal(inner["b.out"].values, truth)
    assert (seen["b.out"].values is y) == (how == "nothing")
    found = seen["b.out"].grad
    assert found is not None
    if how == "+=":
        assert (found == 1).all()
    if how == "view":
        assert not found[:, 0].any()
    seen["b.out"].values.sum().backward()  # part of the graph

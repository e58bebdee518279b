"""The promise: a stream computes what the layer computes on the whole sequence, whatever happens between two steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid import Cell, cells, nn
from pellucid.cells import Input, Matrix, State, StepInput, tanh
from pellucid.errors import ArgumentError, ArgumentTypeError, DeviceError, SizeError

# Sums of some dozen terms of size about 1: in another order they differ by a few roundings, and so do their functions.
CLOSE: dict[torch.dtype, dict[str, float]] = {
    torch.float32: {"atol": 3e-6, "rtol": 3e-6},
    torch.float64: {"atol": 1e-14, "rtol": 1e-14},
    torch.bfloat16: {"atol": 3e-2, "rtol": 3e-2},
}
LAYERS: dict[str, Any] = {
    "RNN": lambda **o: nn.RNN(3, 5, **o),
    "GRU": lambda **o: nn.GRU(3, 17, **o),
    "LSTM": lambda **o: nn.LSTM(3, 6, **o),
    "two layers": lambda **o: nn.LSTM(3, 6, num_layers=2, **o),
    "projected": lambda **o: nn.LSTM(3, 6, num_layers=2, proj_size=2, **o),
    "no bias, batch first": lambda **o: nn.GRU(3, 6, bias=False, batch_first=True, **o),
    "layer norm": lambda **o: nn.LSTM(3, 6, layer_norm=True, peepholes=True, **o),
    "heads": lambda **o: nn.GRU(3, 6, heads=2, reset_before=True, **o),
    "ctrnn": lambda **o: nn.Recurrent(cells.CTRNN(), 3, 7, **o),
    "slstm": lambda **o: nn.Recurrent(cells.SLSTM(), 3, 8, num_layers=2, **o),
    "learned start": lambda **o: nn.LSTM(3, 6, learned_initial_state=True, **o),
    "zoneout": lambda **o: nn.LSTM(3, 6, zoneout=0.3, recurrent_dropout=0.2, **o).eval(),
    "many weights": lambda **o: nn.GRU(3, 400, **o),
}


class Gated(Cell):
    """A cell with a further input of every step, which may be left out of none."""

    x = Input()
    U = Matrix()
    k = StepInput()
    h = State()

    def step(self, x: Any, k: Any, h: Any) -> Any:
        """h <- k tanh(x + U h)."""
        return k * tanh(x + self.U @ h)


def whole(layer: Any, x: Tensor, hx: Any = None, **given: Any) -> tuple[Tensor, Any]:
    """The layer in evaluation on (T, B, I)."""
    with torch.no_grad():
        output, states = layer.eval()(x.transpose(0, 1) if layer.batch_first else x, hx, **given)
    return output.transpose(0, 1) if layer.batch_first else output, states


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 4, 13])
def test_steps_equal_the_whole_sequence(name: str, dtype: torch.dtype, batch: int) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name](dtype=dtype)
    x = torch.randn(9, batch, 3, dtype=dtype)
    _, hx = whole(layer, x.flip(0))
    for start in (None, hx):
        stream = layer.stream(batch, start)
        outputs = torch.stack([stream.step(step).clone() for step in x])
        expected, states = whole(layer, x, start)
        torch.testing.assert_close(outputs, expected, **CLOSE[dtype])
        torch.testing.assert_close(stream.states, states, **CLOSE[dtype])
        assert not outputs.requires_grad


def test_a_step_allocates_no_output_and_leaves_the_last_one_be() -> None:
    stream = nn.GRU(3, 5).stream(2)
    first = stream.step(torch.randn(2, 3))
    kept = first.clone()
    second = stream.step(torch.randn(2, 3))
    assert torch.equal(first, kept)
    assert stream.step(torch.randn(2, 3)).data_ptr() == first.data_ptr() != second.data_ptr()


@pytest.mark.parametrize("name", ["two layers", "gru", "learned start"])
def test_resets_are_those_of_the_layer(name: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]() if name in LAYERS else nn.GRU(3, 6, batch_first=True)
    for weight in layer.parameters():
        torch.nn.init.normal_(weight)
    x, resets = torch.randn(12, 4, 3), torch.rand(12, 4) < 0.3
    given = resets.mT if layer.batch_first else resets
    expected, states = whole(layer, x, resets=given)
    stream = layer.stream(4)
    for t, (step, starts) in enumerate(zip(x, resets, strict=True)):
        stream.reset(starts if t % 2 else starts.nonzero().flatten())
        torch.testing.assert_close(stream.step(step), expected[t], **CLOSE[torch.float32])
    torch.testing.assert_close(stream.states, states, **CLOSE[torch.float32])
    stream.reset()
    torch.testing.assert_close(stream.step(x[0]), expected[0], **CLOSE[torch.float32])


def changed_in_place(layer: Any) -> None:
    with torch.no_grad():
        layer.weight_hh_l0[2, 1] += 1.0


def optimised(layer: Any) -> None:
    layer(torch.randn(3, 2, 3))[0].sum().backward()
    torch.optim.Adam(layer.parameters(), lr=0.1).step()


def other_bias(layer: Any) -> None:
    layer.bias_hh_l0 = torch.nn.Parameter(torch.randn_like(layer.bias_hh_l0))


def loaded(layer: Any) -> None:
    layer.load_state_dict({k: torch.randn_like(v) for k, v in layer.state_dict().items()})


def replaced_data(layer: Any) -> None:
    layer.weight_ih_l0.data = torch.randn_like(layer.weight_ih_l0)


CHANGES = [changed_in_place, optimised, other_bias, loaded, replaced_data, lambda layer: layer.double()]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["RNN", "GRU", "two layers", "no bias, batch first"])
def test_a_changed_parameter_counts_from_the_next_step_on(name: str, change: Any) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]()
    if change is other_bias and not layer.bias:
        pytest.skip("it has no bias")
    x = torch.randn(6, 2, 3)
    stream = layer.stream(2)
    for step in x[:3]:
        before = stream.step(step).clone()
    output, states = whole(layer, x[:3])
    torch.testing.assert_close(before, output[-1], **CLOSE[torch.float32])
    change(layer)
    rest = x[3:].to(layer.weight_ih_l0.dtype)
    hx = tuple(s.to(rest.dtype) for s in states) if isinstance(states, tuple) else states.to(rest.dtype)
    expected, _ = whole(layer, rest, hx)
    found = torch.stack([stream.step(step).clone() for step in rest])
    torch.testing.assert_close(found, expected, **CLOSE[torch.float32])


def test_what_torch_does_not_tell_of_is_seen_after_refresh() -> None:
    layer = nn.GRU(3, 5)
    stream = layer.stream(2)
    x = torch.randn(2, 3)
    layer.weight_ih_l0.data.mul_(3.0)
    stream.refresh()
    torch.testing.assert_close(stream.step(x), whole(layer, x[None])[0][0], **CLOSE[torch.float32])


def test_parameters_that_are_computed() -> None:
    layer = torch.nn.utils.parametrizations.weight_norm(nn.GRU(3, 5), "weight_hh_l0")
    stream = layer.stream(2)
    x = torch.randn(4, 2, 3)
    with torch.no_grad():
        layer.parametrizations.weight_hh_l0.original0.mul_(2.0)
    expected, _ = whole(layer, x)
    torch.testing.assert_close(torch.stack([stream.step(s).clone() for s in x]), expected, **CLOSE[torch.float32])


@pytest.mark.parametrize("layers", [1, 2])
def test_step_inputs(layers: int) -> None:
    torch.manual_seed(0)
    layer = nn.Recurrent(Gated(), 3, 5, num_layers=layers)
    x = torch.randn(6, 2, 3)
    k = torch.rand(*([layers] if layers > 1 else []), 6, 2, 5)
    expected, _ = whole(layer, x, k=k)
    stream = layer.stream(2)
    with pytest.raises(ArgumentTypeError, match="needs k="):  # also at the first step
        stream.step(x[0])
    for t, step in enumerate(x):
        torch.testing.assert_close(stream.step(step, k=k[..., t, :, :]), expected[t], **CLOSE[torch.float32])
    with pytest.raises(ArgumentTypeError, match="needs k="):
        stream.step(x[0])


def test_states_can_be_set_and_strided_input_is_read() -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(3, 5, num_layers=2)
    x = torch.randn(4, 3, 2).transpose(1, 2)
    _, hx = whole(layer, x)
    stream = layer.stream(2)
    stream.step(x[0])
    stream.states = hx
    expected, _ = whole(layer, x, hx)
    for t, step in enumerate(x):
        torch.testing.assert_close(stream.step(step), expected[t], **CLOSE[torch.float32])


def test_mistakes_are_sentences() -> None:
    with pytest.raises(ArgumentError, match="on the steps after it"):
        nn.GRU(3, 5, bidirectional=True).stream()
    layer = nn.GRU(3, 5)
    for strange in (0, -1, 2.0, True):
        with pytest.raises(ArgumentError, match="number of sequences"):
            layer.stream(strange)
    stream = layer.stream(2)
    with pytest.raises(SizeError, match=r"2 sequences x 3 features, and got \(3, 2\)"):
        stream.step(torch.randn(3, 2))
    with pytest.raises(ArgumentError, match=r"type torch.float32, got type torch.float64"):
        stream.step(torch.randn(2, 3).double())
    with pytest.raises(DeviceError, match="input is on meta"):
        stream.step(torch.randn(2, 3, device="meta"))
    with pytest.raises(SizeError, match="Expected hidden size"):
        layer.stream(2, torch.zeros(1, 3, 5))


def test_two_threads_share_a_step() -> None:
    layer = nn.GRU(3, 600)
    x = torch.randn(3, 2, 3)
    expected, _ = whole(layer, x)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        stream = layer.stream(2)
        found = torch.stack([stream.step(step).clone() for step in x])
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, expected, **CLOSE[torch.float32])

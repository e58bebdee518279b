"""The promise: sequences of different lengths without padding give what padding and a mask give, and what each gives alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.nn.test_stream import Gated
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from pellucid import cells, nn, trace
from pellucid.nn import batch as batches
from pellucid.ops.ragged import Ragged

# float64, sums of some dozen terms of size about 1 through a few nonlinear steps: rounding stays below 1e-13.
CLOSE = {"atol": 1e-11, "rtol": 1e-11}
STEPS, COUNT, INPUTS = 9, 7, 3
LENGTHS: dict[str, list[int]] = {
    "unsorted": [4, 9, 1, 7, 7, 2, 9],
    "sorted": [9, 9, 8, 5, 2, 2, 1],
    "none full": [3, 1, 4, 1, 5, 2, 6],
    "some empty": [0, 3, 9, 0, 1, 0, 5],
    "all full": [9] * 7,
    "one": [0, 0, 0, 1, 0, 0, 0],
}
LAYERS: dict[str, Any] = {
    "RNN": lambda **o: nn.RNN(INPUTS, 5, **o),
    "GRU": lambda **o: nn.GRU(INPUTS, 17, **o),
    "LSTM": lambda **o: nn.LSTM(INPUTS, 6, **o),
    "projected": lambda **o: nn.LSTM(INPUTS, 6, proj_size=2, **o),
    "no bias, heads": lambda **o: nn.GRU(INPUTS, 6, bias=False, heads=2, reset_before=True, **o),
    "layer norm, learned start": lambda **o: nn.LSTM(INPUTS, 6, layer_norm=True, learned_initial_state=True, **o),
    "zoneout": lambda **o: nn.LSTM(INPUTS, 6, zoneout=0.3, **o).eval(),
    "ctrnn": lambda **o: nn.Recurrent(cells.CTRNN(), INPUTS, 7, **o),
    "slstm": lambda **o: nn.Recurrent(cells.SLSTM(), INPUTS, 8, **o),
    "step input": lambda **o: nn.Recurrent(Gated(), INPUTS, 5, **o),
}


@pytest.fixture(autouse=True)
def _double() -> Any:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def arguments(layer: Any, *, starts: bool, resets: bool) -> dict[str, Any]:
    """Random arguments for a layer, all that can be given."""
    batch = (COUNT, STEPS) if layer.batch_first else (STEPS, COUNT)
    places = layer.num_layers * len(layer.directions)
    given: dict[str, Any] = {"input": torch.randn(*batch, INPUTS, requires_grad=True)}
    if starts:
        sizes = [layer.cell.size(s.size, layer.hidden_size) for s in layer.cell.states.values()]
        hx = tuple(torch.randn(places, COUNT, size, requires_grad=True) for size in sizes)
        given["hx"] = hx if len(hx) > 1 else hx[0]
    if resets:
        given["resets"] = torch.rand(*batch) < 0.3
    for name in layer.cell.step_inputs:
        shape = (*([places] if places > 1 else []), *batch, layer.hidden_size)
        given[name] = torch.rand(*shape, requires_grad=True)
    return given


def leaves(layer: Any, given: dict[str, Any]) -> list[Tensor]:
    tensors = [t for v in given.values() for t in (v if isinstance(v, tuple) else (v,))]
    return [t for t in (*tensors, *layer.parameters()) if t.requires_grad]


def results(layer: Any, given: dict[str, Any], lengths: Any) -> list[Tensor]:
    output, states = layer(**given, lengths=lengths)
    return [output, *(states if isinstance(states, tuple) else [states])]


def gradients(found: list[Tensor], wanted: list[Tensor], *, again: bool = False) -> list[Tensor]:
    weights = [torch.linspace(-1, 1, f.numel()).view_as(f) for f in found]
    return list(
        torch.autograd.grad([f.sin() for f in found], wanted, weights, create_graph=again, materialize_grads=True)
    )


def with_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "takes_ragged", lambda weight: False)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}], ids=str)
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("name", LAYERS)
def test_equals_padding_and_a_mask(
    name: str, lengths: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = LAYERS[name](**options)
    given = arguments(layer, starts=len(name) % 2 == 0, resets=len(lengths) % 2 == 0 and "resets" not in options)
    wanted = leaves(layer, given)
    found = results(layer, given, LENGTHS[lengths])
    found_gradients = gradients(found, wanted)
    with torch.no_grad():
        torch.testing.assert_close(results(layer, given, LENGTHS[lengths]), found, **CLOSE)
    with_masks(monkeypatch)
    expected = results(layer, given, LENGTHS[lengths])
    torch.testing.assert_close(found, expected, **CLOSE)
    torch.testing.assert_close(found_gradients, gradients(expected, wanted), **CLOSE)


@pytest.mark.parametrize("name", LAYERS)
def test_equals_each_sequence_alone(name: str) -> None:
    layer = LAYERS[name](num_layers=2)
    given = arguments(layer, starts=True, resets=True)
    output, *states = results(layer, given, LENGTHS["none full"])
    for row, length in enumerate(LENGTHS["none full"]):
        alone = {
            key: tuple(s[:, row : row + 1] for s in v)
            if isinstance(v, tuple)
            else v[:, row : row + 1]
            if key == "hx"
            else v[..., :length, row : row + 1, :]
            if v.dim() > 2
            else v[:length, row : row + 1]
            for key, v in given.items()
        }
        expected, *ends = results(layer, alone, None)
        torch.testing.assert_close(output[:length, row : row + 1], expected, **CLOSE)
        assert (output[length:, row] == 0).all()
        torch.testing.assert_close([s[:, row : row + 1] for s in states], ends, **CLOSE)


def test_what_stands_in_the_padding_does_not_matter() -> None:
    layer = nn.LSTM(INPUTS, 6, num_layers=2, bidirectional=True)
    x = torch.randn(STEPS, COUNT, INPUTS)
    lengths = torch.tensor(LENGTHS["unsorted"])
    dead = torch.arange(STEPS)[:, None] >= lengths
    resets = torch.rand(STEPS, COUNT) < 0.3
    found = []
    for value, reset in ((0.0, False), (float("nan"), True)):
        filled = x.masked_fill(dead[..., None], value).requires_grad_()
        output, (h, c) = layer(filled, lengths=lengths, resets=resets.masked_fill(dead, reset))
        found.append([output, h, c, *gradients([output, h, c], [filled, *layer.parameters()])])
    assert torch.isfinite(torch.cat([f.flatten() for f in found[1]])).all()
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("name", ["GRU", "LSTM", "slstm"])
def test_second_derivatives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = LAYERS[name](bidirectional=True)
    given = arguments(layer, starts=True, resets=True)
    wanted = leaves(layer, given)
    twice = []
    for _ in range(2):
        first = gradients(results(layer, given, LENGTHS["some empty"]), wanted, again=True)
        twice.append(gradients(first, wanted))
        with_masks(monkeypatch)
    torch.testing.assert_close(*twice, **CLOSE)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("threads", [1, 2])
def test_float32_on_any_number_of_threads(kind: str, threads: int) -> None:
    """The same bits, with shares of rows and with shares of units."""
    for count, hidden in ((61, 24), (5, 300)):
        layer = getattr(nn, kind)(INPUTS, hidden, dtype=torch.float32)
        x = torch.randn(17, count, INPUTS, dtype=torch.float32, requires_grad=True)
        lengths = torch.randint(0, 18, (count,))
        found = []
        before = torch.get_num_threads()
        for now in (1, threads):
            torch.set_num_threads(now)
            output, _ = layer(x, lengths=lengths)
            found.append([output, *torch.autograd.grad(output.sin().sum(), [x, *layer.parameters()])])
        torch.set_num_threads(before)
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_packed_sequences_with_resets_and_step_inputs() -> None:
    layer = nn.Recurrent(Gated(), INPUTS, 5)
    given = arguments(layer, starts=True, resets=True)
    lengths = LENGTHS["unsorted"]
    expected = results(layer, given, lengths)
    packed = pack_padded_sequence(given["input"], torch.tensor(lengths), enforce_sorted=False)
    output, state = layer(packed, given["hx"], resets=given["resets"], k=given["k"])
    torch.testing.assert_close(torch.nn.utils.rnn.pad_packed_sequence(output)[0], expected[0], **CLOSE)
    torch.testing.assert_close(state, expected[1], **CLOSE)


def test_a_trace_sees_the_batch_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.LSTM(INPUTS, 6, bidirectional=True)
    given = arguments(layer, starts=False, resets=False)
    seen = []
    for _ in range(2):
        with trace(layer) as looked:
            torch.stack([r.sum() for r in results(layer, given, LENGTHS["none full"])]).sum().backward()
        seen.append({name: (value.values, value.grad) for name, value in looked.items()})
        with_masks(monkeypatch)
    assert seen[0].keys() == seen[1].keys()
    for name in seen[0]:
        torch.testing.assert_close(seen[0][name], seen[1][name], **CLOSE)


def test_masks_of_training_belong_to_sequences() -> None:
    """With W = 0 and U the identity, a unit's state is carried on or lost for the whole sequence."""
    layer = nn.Recurrent(cells.RNN(nonlinearity="relu"), 1, 50, recurrent_dropout=0.5)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.weight_hh_l0.copy_(2 * torch.eye(50))
    y, h = layer(torch.zeros(4, 3, 1), torch.ones(1, 3, 50), lengths=[2, 4, 3])
    for row, length in enumerate([2, 4, 3]):
        kept = y[0, row] > 0
        assert 5 < kept.sum() < 45
        assert torch.equal(y[:length, row] > 0, kept.expand(length, -1))
        assert torch.equal(h[0, row], y[length - 1, row])


def test_which_row_is_which() -> None:
    ragged = Ragged(torch.tensor([4, 2, 2, 0]))
    assert ragged.size == (4, 4)
    assert ragged.starts == [0, 3, 6, 7, 8]
    assert ragged.times.tolist() == [0, 0, 0, 1, 1, 1, 2, 3]
    assert ragged.sequences.tolist() == [0, 1, 2, 0, 1, 2, 0, 0]
    assert ragged.mirrored.tolist() == [7, 4, 5, 6, 1, 2, 3, 0]
    v = torch.arange(1.0, 9.0)[:, None]
    assert ragged.delayed(v).flatten().tolist() == [0, 0, 0, 1, 2, 3, 4, 7]
    assert ragged.last(v, torch.full((4, 1), -1.0)).flatten().tolist() == [8, 5, 6, -1]
    assert torch.equal(ragged.unpad(ragged.pad(v)), v)
    assert torch.equal(ragged.pad(torch.ones(8, 1)).bool(), ragged.alive)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_threads_that_are_a_block_of_steps_apart(cell: str) -> None:
    # Long enough for several blocks, wide enough that every thread has sequences for itself, and nothing is gathered: a
    # thread may be ahead of the other. The sizes are those at which one once overwrote what the other was to read.
    threads = torch.get_num_threads()
    layer = getattr(nn, cell)(64, 128)
    x = torch.randn(64, 32, 64)
    lengths = [64, *torch.randint(1, 65, (31,)).tolist()]
    with torch.no_grad():
        torch.set_num_threads(1)
        expected = layer(x, lengths=lengths)[0]
        try:
            torch.set_num_threads(2)
            for _ in range(5):
                torch.testing.assert_close(layer(x, lengths=lengths)[0], expected, atol=0, rtol=0)
        finally:
            torch.set_num_threads(threads)

"""The promise: torch.nn's recurrent layers, number for number, and beyond them what was asked for."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from pellucid import cells, nn
from pellucid.errors import ArgumentError, ArgumentTypeError, DeviceError, SizeError
from pellucid.nn.initialise import memory_gates

# float64, sums of some dozen terms of size about 1 through a few nonlinear steps: rounding stays below 1e-13.
CLOSE = {"atol": 1e-11, "rtol": 1e-11}
KINDS = ("RNN", "GRU", "LSTM")


@pytest.fixture(autouse=True)
def _double() -> Any:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def twins(kind: str, **options: Any) -> tuple[Any, Any]:
    torch.manual_seed(1)
    theirs = getattr(torch.nn, kind)(3, 5, **options)
    torch.manual_seed(1)
    return getattr(nn, kind)(3, 5, **options), theirs


def flat(result: Any) -> list[Tensor]:
    output, states = result
    return [output.data, *(states if isinstance(states, tuple) else [states])]


SHAPES = [
    dict(zip(("num_layers", "bidirectional", "batch_first", "bias"), v, strict=True))
    for v in itertools.product((1, 3), (False, True), (False, True), (True, False))
]


@pytest.mark.parametrize("options", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_torch(kind: str, options: dict[str, Any]) -> None:
    ours, theirs = twins(kind, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(ours.state_dict()[k], v) for k, v in theirs.state_dict().items())
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 6, 3, requires_grad=True)
    results = [flat(layer(x)) for layer in (ours, theirs)]
    torch.testing.assert_close(*results, **CLOSE)
    gradients = [
        torch.autograd.grad(sum(r.sin().sum() for r in result), [x, *layer.parameters()])
        for result, layer in zip(results, (ours, theirs), strict=True)
    ]
    torch.testing.assert_close(*gradients, **CLOSE)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_lengths_equal_packed_sequences(kind: str, batch_first: bool) -> None:
    ours, theirs = twins(kind, num_layers=2, bidirectional=True, batch_first=batch_first)
    x = torch.randn(6, 4, 3)
    lengths = torch.tensor([2, 6, 1, 6])
    given = x.transpose(0, 1) if batch_first else x
    packed = pack_padded_sequence(given, lengths, batch_first, enforce_sorted=False)
    output, states = theirs(packed)
    padded, _ = pad_packed_sequence(output, batch_first)
    torch.testing.assert_close(flat(ours(given, lengths=lengths)), flat((padded, states)), **CLOSE)
    torch.testing.assert_close(flat(ours(packed)), flat((output, states)), **CLOSE)


def test_a_sequence_of_no_steps_keeps_its_state() -> None:
    lstm = nn.LSTM(3, 5)
    hx = (torch.randn(1, 2, 5), torch.randn(1, 2, 5))
    y, (h, c) = lstm(torch.randn(4, 2, 3), hx, lengths=[0, 4])
    assert (y[:, 0] == 0).all()
    assert torch.equal(h[:, 0], hx[0][:, 0])
    assert torch.equal(c[:, 0], hx[1][:, 0])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_resets_equal_a_loop_over_segments(kind: str, bidirectional: bool) -> None:
    """Every layer starts anew, neither a step early nor late, and not from the state that was handed in."""
    layer = getattr(nn, kind)(3, 5, num_layers=2, bidirectional=bidirectional)
    x = torch.randn(9, 1, 3)
    starts = [0, 3, 4, 8]
    resets = torch.zeros(9, 1, dtype=torch.bool)
    resets[starts[1:]] = True
    places = 2 * (1 + bidirectional)
    hx = torch.randn(places, 1, 5)
    given = (hx, hx) if kind == "LSTM" else hx
    if bidirectional:
        given = None  # the state that the sweep back starts from belongs to the last segment
    whole = layer(x, given, resets=resets)[0]
    pieces = [layer(x[a:b], given if a == 0 else None)[0] for a, b in zip(starts, [*starts[1:], 9], strict=True)]
    torch.testing.assert_close(whole, torch.cat(pieces), **CLOSE)


def test_resets_follow_the_order_of_the_batch() -> None:
    gru = nn.GRU(3, 5, batch_first=True)
    x = torch.randn(4, 6, 3)
    resets = torch.zeros(4, 6, dtype=torch.bool)
    resets[1, 2] = True
    y = gru(x, resets=resets)[0]
    torch.testing.assert_close(y[1, 2:], gru(x[1:2, 2:])[0][0], **CLOSE)
    torch.testing.assert_close(y[0], gru(x[:1])[0][0], **CLOSE)
    with pytest.raises(SizeError, match=r"\(B, T\), since the layer is batch_first"):
        gru(x, resets=resets.mT)


def test_recurrent_dropout_is_one_mask_a_sequence() -> None:
    """With W = 0 and U the identity, a unit's state is carried on or lost for the whole sequence."""
    layer = nn.Recurrent(cells.RNN(nonlinearity="relu"), 1, 1000, recurrent_dropout=0.3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.weight_hh_l0.copy_(torch.eye(1000))
    y, _ = layer(torch.zeros(3, 1, 1), torch.ones(1, 1, 1000))
    kept = y[0, 0] > 0
    assert abs(kept.double().mean() - 0.7) < 0.06  # four standard deviations of a share of 1000
    torch.testing.assert_close(y[2, 0], kept * (1 / 0.7) ** 3, **CLOSE)
    assert torch.equal(layer.eval()(torch.zeros(3, 1, 1), torch.ones(1, 1, 1000))[0], torch.ones(3, 1, 1000))


def test_variational_dropout_is_one_mask_a_sequence() -> None:
    layer = nn.Recurrent(cells.RNN(nonlinearity="relu"), 1000, 1000, variational_dropout=0.3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.weight_ih_l0.copy_(torch.eye(1000))
    y, _ = layer(torch.ones(3, 2, 1000))
    assert torch.equal(y[0], y[1])
    assert torch.equal(y[0], y[2])
    assert not torch.equal(y[0, 0], y[0, 1])
    assert abs((y[0] > 0).double().mean() - 0.7) < 0.05


def test_zoneout_keeps_units_and_averages_in_evaluation() -> None:
    lstm = nn.LSTM(3, 500, zoneout={"c": 0.5})
    x, before = torch.randn(1, 1, 3), (torch.zeros(1, 1, 500), torch.full((1, 1, 500), 7.0))
    _, (_, c) = lstm(x, before)
    assert abs((c == 7.0).double().mean() - 0.5) < 0.1
    plain = nn.LSTM(3, 500)
    plain.load_state_dict(lstm.state_dict())
    _, (_, new) = plain(x, before)
    _, (_, mean) = lstm.eval()(x, before)
    torch.testing.assert_close(mean, 0.5 * 7.0 + 0.5 * new, **CLOSE)


def test_learned_initial_state() -> None:
    gru = nn.GRU(3, 5, learned_initial_state=True)
    with torch.no_grad():
        gru.initial_h_l0.uniform_()
    x = torch.randn(4, 2, 3)
    torch.testing.assert_close(gru(x)[0], gru(x, gru.initial_h_l0.expand(1, 2, 5))[0], **CLOSE)
    gru(x)[0].sum().backward()
    assert gru.initial_h_l0.grad.abs().sum() > 0


def test_starts() -> None:
    lstm = nn.LSTM(3, 8, initialisation="orthogonal", forget_bias=1.0)
    for block in lstm.weight_hh_l0.chunk(4):
        torch.testing.assert_close(block @ block.mT, torch.eye(8), **CLOSE)
    total = (lstm.bias_ih_l0 + lstm.bias_hh_l0).chunk(4)
    assert torch.equal(total[1], torch.ones(8))
    chrono = nn.LSTM(3, 800, initialisation="chrono", longest_lag=100)
    i, f, *_ = (chrono.bias_ih_l0 + chrono.bias_hh_l0).chunk(4)
    torch.testing.assert_close(i, -f, **CLOSE)
    assert 1 <= f.exp().min() < 3
    assert 95 < f.exp().max() <= 99
    gru = nn.GRU(3, 800, num_layers=2, bidirectional=True, initialisation="chrono", longest_lag=100)
    for place in ("l0", "l1_reverse"):
        _, z, _ = (getattr(gru, f"bias_ih_{place}") + getattr(gru, f"bias_hh_{place}")).chunk(3)
        assert 1 <= z.exp().min() < 3
        assert 95 < z.exp().max() <= 99
    torch.manual_seed(0)
    plain = nn.GRU(3, 8)
    torch.manual_seed(0)
    long = nn.GRU(3, 8, initialisation="chrono", longest_lag=9)
    assert torch.equal(plain.weight_hh_l0, long.weight_hh_l0)
    kept = torch.arange(24) // 8 != 1
    assert torch.equal(plain.bias_ih_l0[kept], long.bias_ih_l0[kept])


class Swapped(cells.Cell):
    """f renews and i is what is taken in: not what an LSTM calls so."""

    def __init__(self) -> None:
        self.x, self.U, self.b, self.h = cells.Input("f i"), cells.Matrix("f i"), cells.Bias("f i"), cells.State()

    def step(self, x: Any, h: Any) -> Any:
        f = cells.sigmoid(x.f + self.U.f @ h + self.b.f)
        return (1 - f) * h + f * cells.tanh(x.i + self.U.i @ h + self.b.i)


class Exploding(Swapped):
    """What keeps is no sigmoid: a bias for long memories would be one of explosions."""

    def step(self, x: Any, h: Any) -> Any:
        f = cells.exp(x.f + self.U.f @ h + self.b.f)
        return f * h + cells.tanh(x.i + self.U.i @ h + self.b.i)


@pytest.mark.parametrize(
    ("cell", "gates"),
    [
        (cells.LSTM(), {"f": 1, "i": -1}),
        (cells.LSTM(layer_norm=True, peepholes=True), {"f": 1, "i": -1}),
        (cells.LSTM(coupled=True), {"f": 1}),
        (cells.SLSTM(), {"f": 1, "i": -1}),
        (cells.GRU(layer_norm=True), {"z": 1}),
        (cells.RNN(), {}),
        (Swapped(), {"f": -1}),
        (Exploding(), {}),
    ],
)
def test_gates_of_memory_follow_from_equations_and_not_from_names(cell: cells.Cell, gates: dict[str, int]) -> None:
    assert memory_gates(cell) == gates


def test_a_gate_that_renews_starts_shut() -> None:
    """Of a cell in which 1 minus a gate keeps, the gate's bias is the negative: a unit remembers 1 to 99 steps."""
    layer = nn.Recurrent(Swapped(), 3, 800, initialisation="chrono", longest_lag=100)
    f, _ = layer.bias_ih_l0.chunk(2)
    assert 1 <= (-f).exp().min() < 3
    assert 95 < (-f).exp().max() <= 99


def test_any_cell_in_layers() -> None:
    layer = nn.Recurrent(cells.SLSTM(heads=2), 3, 4, num_layers=2, bidirectional=True)
    y, states = layer(torch.randn(5, 2, 3), lengths=[5, 3])
    assert y.shape == (5, 2, 8)
    assert [tuple(s.shape) for s in states] == [(4, 2, 4)] * 4
    ctrnn = nn.Recurrent(cells.CTRNN(mask=torch.ones(4, 4), signs=[1.0, 1, 1, -1]), 3, 4)
    x, noise = torch.randn(5, 2, 3), torch.randn(5, 2, 4)
    assert not torch.equal(ctrnn(x)[0], ctrnn(x, noise=noise)[0])
    torch.testing.assert_close(ctrnn(x)[0], ctrnn(x, noise=0 * noise)[0], **CLOSE)
    assert {"M", "s"} <= set(ctrnn.state_dict())


def test_copies_and_pickles() -> None:
    lstm = nn.LSTM(3, 5, peepholes=True)
    x = torch.randn(4, 2, 3)
    lstm(x)
    for twin in (copy.deepcopy(lstm), pickle.loads(pickle.dumps(lstm))):
        assert torch.equal(twin(x)[0], lstm(x)[0])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.GRU(3, 5)(torch.randn(4, 2, 7)), RuntimeError, "Expected 3, got 7"),
        (lambda: nn.GRU(3, 5)(torch.randn(4)), ValueError, "2D or 3D"),
        (lambda: nn.GRU(3, 5)(torch.randn(4, 2, 3), torch.randn(1, 3, 5)), RuntimeError, "Expected hidden size"),
        (lambda: nn.GRU(3, 5)(torch.randn(4, 2, 3), lengths=[1, 9]), SizeError, "from 0 to 4"),
        (lambda: nn.GRU(3, 5)(torch.randn(4, 2, 3), lengths=[1]), SizeError, "one whole number for each"),
        (lambda: nn.LSTM(3, 5, zoneout={"q": 0.1}), ArgumentError, "the cell's states are h, c"),
        (lambda: nn.LSTM(3, 5, heads=2), ArgumentError, "2 divides"),
        (lambda: nn.LSTM(3, 5, initialisation="chrono"), ArgumentError, "longest_lag"),
        (lambda: nn.RNN(3, 5, initialisation="chrono", longest_lag=9), ArgumentError, "choose orthogonal"),
        (lambda: nn.GRU(3, 5, bias=False, initialisation="chrono", longest_lag=9), ArgumentError, "no bias"),
        (lambda: nn.GRU(3, 5, forget_bias=1.0), ArgumentError, "no part 'f'"),
        (lambda: nn.Recurrent(cells.CTRNN(), 3, 4)(torch.randn(2, 1, 3), nois=1), ArgumentTypeError, "step inputs are noise"),
        (lambda: nn.Recurrent(cells.CTRNN(mask=torch.ones(3, 3)), 3, 4), SizeError, r"needs \(4, 4\)"),
        (lambda: nn.LSTM(3, 5)(torch.randn(0, 2, 3)), RuntimeError, "no steps"),
        (lambda: nn.LSTM(3, 5)(torch.randn(4, 2, 3, device="meta")), RuntimeError, "input is on meta, and the layer on cpu"),
        (lambda: nn.GRU(3, 5)(torch.randn(4, 2, 3), torch.randn(1, 2, 5, device="meta")), DeviceError, "state h is on meta"),
        (lambda: nn.GRU(3, 5)(torch.randn(4, 2, 3), resets=torch.ones(4, 2, device="meta")), DeviceError, "resets is on meta"),
        (
            lambda: nn.Recurrent(cells.CTRNN(), 3, 4)(torch.randn(2, 1, 3), noise=torch.ones(2, 1, 4, device="meta")),
            DeviceError,
            r'noise is on meta, and the layer on cpu; move one of them with .to\("cpu"\)',
        ),
        (lambda: nn.GRU(3, 5)(torch.randn(4, 2, 3, device="meta"), lengths=[4, 2]), DeviceError, "input is on meta"),
        (lambda: nn.GRU(3, 5).stream(2).step(torch.randn(2, 3, device="meta")), DeviceError, "input is on meta"),
        (lambda: nn.GRUCell(3, 5)(torch.randn(2, 3), torch.randn(2, 5, device="meta")), DeviceError, "GRUCell: the state is on meta"),
        (lambda: nn.LSTMCell(3, 5)(torch.randn(2, 3, device="meta")), DeviceError, "LSTMCell: the input is on meta"),
    ],
)  # fmt: skip
def test_mistakes_are_sentences(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("minus", [torch._neg_view, lambda v: torch.complex(torch.zeros_like(v), v).conj().imag])
def test_views_of_minus_what_lies_in_memory(minus: Callable[[Tensor], Tensor]) -> None:
    """Contiguous ones, which only the bit tells from others, and such as users meet: the imaginary part of a conjugate."""
    ours, theirs = twins("LSTM")
    x, start, arriving = minus(torch.randn(4, 2, 3)), minus(torch.randn(1, 2, 5)), minus(torch.randn(4, 2, 5))
    assert x.is_neg()
    for mine, torchs in zip(flat(ours(x, (start, start))), flat(theirs(x, (start, start))), strict=True):
        torch.testing.assert_close(mine, torchs, **CLOSE)
    stream = ours.stream(2, (start, start))
    expected = theirs(x, (start, start))[0]
    torch.testing.assert_close(torch.stack([stream.step(row).clone() for row in x]), expected, **CLOSE)
    for module in (ours, theirs):
        module(x, (start, start))[0].backward(arriving)
    for mine, torchs in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, torchs.grad, **CLOSE)

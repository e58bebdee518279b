"""The promise: inside the block a layer is what it would be with the gate held, and after it, it is what it was."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from pellucid import Cell, inside, nn, trace
from pellucid.cells import Input, Matrix, State, sigmoid, tanh
from pellucid.errors import ArgumentError


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_a_trace_shows_the_memory_that_only_adds() -> None:
    """f = 1 in every trace of the layer, c the sum of i * g, and dL/dc passes unchanged but for what i, g and o see."""
    lstm, x = nn.LSTM(3, 5), torch.randn(7, 2, 3)
    with inside.held(lstm, "f", 1.0), trace(lstm) as seen:
        lstm(x)
    f, i, g, c = (seen[f"l0.{name}"].values for name in "figc")
    assert (f == 1).all()
    torch.testing.assert_close(c, (i * g).cumsum(0))  # float32 sums of 7 terms, torch's own tolerance


def test_steps_and_units() -> None:
    """Only these steps and units are held; before them nothing differs at all."""
    gru, x = nn.GRU(3, 5), torch.randn(8, 2, 3)
    with trace(gru, grad=False) as free:
        gru(x)
    with inside.held(gru, "z", 1.0, steps=slice(3, 6), units=[1, 4]), trace(gru, grad=False) as seen:
        gru(x)
    z, h = seen["l0.z"].values, seen["l0.h"].values
    assert (z[3:6][..., [1, 4]] == 1).all()
    assert (z[6:][..., [1, 4]] < 1).all()
    assert (z[..., [0, 2, 3]] < 1).all()
    torch.testing.assert_close(h[:3], free["l0.h"].values[:3])
    torch.testing.assert_close(h[3:6][..., [1, 4]], h[2][..., [1, 4]].expand(3, 2, 2))


@pytest.mark.parametrize("form", ["time first", "batch first", "single", "lengths"])
def test_one_direction_of_one_layer(form: str) -> None:
    """Of four directions one is held, whatever the form of the input; steps are in the input's own order."""
    layer = nn.LSTM(3, 4, 2, bidirectional=True, batch_first=form == "batch first")
    x = torch.randn(6, 2, 3)
    if form == "batch first":
        x = x.transpose(0, 1)
    if form == "single":
        x = x[:, 0]
    lengths = [6, 3] if form == "lengths" else None
    with inside.held(layer, "o", 0.5, place="l1_reverse", steps=slice(0, 4)), trace(layer, grad=False) as seen:
        layer(x, lengths=lengths)
    o = seen["l1_reverse.o"].values
    assert (o[:3] == 0.5).all()
    assert (o[4:, 0] != 0.5).all()
    for other in ("l0", "l0_reverse", "l1"):
        assert (seen[f"{other}.o"].values != 0.5).all()


def test_blocks_may_be_nested_and_leave_nothing_behind() -> None:
    """Also where the block ends in an error."""
    lstm, x = nn.LSTM(3, 5), torch.randn(7, 2, 3)
    before = lstm(x)[0]
    with inside.held(lstm, "f", 1.0), inside.held(lstm, "i", 0.0):
        assert (lstm(x)[0] == 0).all()
    with pytest.raises(ZeroDivisionError), inside.held(lstm, "f", 0.0):
        raise ZeroDivisionError
    assert (lstm(x)[0] == before).all()
    assert lstm.proj_size == 0


def test_options_stay_readable_inside() -> None:
    """The layer's properties that read its cell's options."""
    lstm = nn.LSTM(3, 5, proj_size=2)
    with inside.held(lstm, "h", 0.0):
        assert "proj_size=2" in repr(lstm)


def test_what_is_wrong_is_a_sentence() -> None:
    lstm = nn.LSTM(3, 5)
    for arguments, said in (
        ({"name": "z"}, "names no 'z' that could be held; it has"),
        ({"name": "f", "place": "l1"}, "the layers are l0, and there is no 'l1'"),
        ({"name": "f", "units": [5]}, "there is no unit 5; f has 5, counted from 0"),
    ):
        with pytest.raises(ArgumentError, match=said), inside.held(lstm, value=0.0, **arguments):  # type: ignore[arg-type]
            pass
    with pytest.raises(ArgumentError, match="padded sequences"), inside.held(lstm, "f", 1.0):
        lstm(pack_sequence([torch.randn(4, 3), torch.randn(2, 3)]))


def test_a_cell_whose_sizes_stand_in_its_class() -> None:
    """As the docstring of Cell has them."""

    class Narrow(Cell):
        sizes: Mapping[str, int] = {"K": 2}
        x = Input("g")
        U = Matrix("g")
        m = State("K")
        h = State()
        W = Matrix(rows="K", columns="H", key="W")

        def step(self, x, h, m):  # type: ignore[no-untyped-def, override]
            return m + tanh(self.W @ h), sigmoid(x.g + self.U.g @ h)

    layer = nn.Recurrent(Narrow, 3, 4)
    with inside.held(layer, "h", 0.5):
        h = layer(torch.randn(5, 1, 3))[1][1]
    assert (h == 0.5).all()


def test_a_layer_that_was_compiled_before() -> None:
    """The graph that is compiled inside the block holds the held cell."""
    lstm, x = nn.LSTM(3, 5), torch.randn(7, 2, 3)
    compiled = torch.compile(lstm)
    before = compiled(x)[0]
    with inside.held(lstm, "f", 1.0):
        torch.testing.assert_close(compiled(x)[0], lstm(x)[0])
        assert not torch.allclose(lstm(x)[0], before)
    torch.testing.assert_close(compiled(x)[0], before)


def test_streams_hold_nothing_and_say_so() -> None:
    """Inside the block neither a new stream nor an older one runs; after it both do."""
    lstm = nn.LSTM(3, 5)
    older, x = lstm.stream(), torch.randn(1, 3)
    with inside.held(lstm, "f", 1.0):
        with inside.held(lstm, "i", 1.0), pytest.raises(ArgumentError, match="would not hold i; inside the block run"):
            lstm.stream()
        with pytest.raises(ArgumentError, match="would not hold f; inside the block run the layer on whole sequences"):
            lstm.stream()
        with pytest.raises(ArgumentError, match="this stream runs LSTM, and the layer now runs LSTM with f held"):
            older.step(x)
    assert torch.equal(older.step(x), lstm.stream().step(x))

"""The reset bugs that recurrent layers are known for: each is planted, and what a test looks at must tell it from the truth.

The truth is a loop over the segments, every one run on its own from the state that sequences start from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid import cells, nn

STEPS, BATCH, SIZE = 9, 3, 4
STARTS = ([3, 4, 8], [1], [])  # where segments begin in each sequence, besides its first step
CLOSE = {"atol": 1e-11, "rtol": 1e-11}  # float64, sums of a few terms of size about 1
APART = 1e-4  # what a bug changes: many orders more than rounding does

LAYERS: dict[str, Callable[..., Any]] = {
    "rnn": nn.RNN,
    "gru": nn.GRU,
    "lstm": nn.LSTM,
    "lstm projected": lambda *a, **k: nn.LSTM(*a, proj_size=2, **k),
    "slstm": lambda *a, **k: nn.Recurrent(cells.SLSTM(), *a, **k),
    "learned start": lambda *a, **k: nn.GRU(*a, learned_initial_state=True, **k),
}


@pytest.fixture(autouse=True)
def _double() -> Any:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def made(name: str, **options: Any) -> Any:
    layer = LAYERS[name](2, SIZE, **options)
    with torch.no_grad():
        for parameter in layer.parameters():  # so large that a wrong state shows many steps later
            parameter.uniform_(-1, 1)
    return layer


def mask() -> Tensor:
    resets = torch.zeros(STEPS, BATCH, dtype=torch.bool)
    for row, starts in enumerate(STARTS):
        resets[starts, row] = True
    return resets


def flat(result: Any) -> list[Tensor]:
    y, states = result
    return [y, *(states if isinstance(states, tuple) else [states])]


def segments(layer: Any, x: Tensor, hx: Any, lengths: list[int] | None = None) -> list[Tensor]:
    """Output and last states by a loop over sequences and their segments."""
    columns, ends = [], []
    for row, starts in enumerate(STARTS):
        length = STEPS if lengths is None else lengths[row]
        state = None if hx is None else tuple(h[:, row : row + 1] for h in hx)
        pieces = []
        for first, last in zip([0, *starts], [*starts, STEPS], strict=True):
            if first >= length:
                break
            given = state if first == 0 else None
            if given is not None and len(given) == 1:
                given = given[0]
            y, *end = flat(layer(x[first : min(last, length), row : row + 1], given))
            pieces.append(y)
        padding = torch.zeros(STEPS - length, 1, pieces[0].shape[-1])
        columns.append(torch.cat([*pieces, padding]))
        ends.append(end)
    return [torch.cat(columns, 1), *(torch.cat(e, 1) for e in zip(*ends, strict=True))]


def given(layer: Any) -> Any:
    """A state to start from, for every sequence another one."""
    sizes = [layer._sizes(s.size) for s in layer.cell.states.values()]
    return tuple(torch.rand(layer.num_layers, BATCH, size) + 0.5 for size in sizes)


def as_hx(state: Any) -> Any:
    return state[0] if len(state) == 1 else state


def apart(a: list[Tensor], b: list[Tensor]) -> float:
    return max(float((p - q).detach().abs().max()) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("lengths", [None, [9, 5, 2]])
@pytest.mark.parametrize("name", LAYERS)
def test_resets_are_a_loop_over_segments(name: str, lengths: list[int] | None) -> None:
    """Values, last states and the gradients of everything, in two layers."""
    layer = made(name, num_layers=2)
    x, hx = torch.randn(STEPS, BATCH, 2, requires_grad=True), tuple(h.requires_grad_() for h in given(layer))
    found = flat(layer(x, as_hx(hx), resets=mask(), lengths=lengths))
    right = segments(layer, x, hx, lengths)
    torch.testing.assert_close(found, right, **CLOSE)
    leaves = [x, *hx, *layer.parameters()]
    gradients = [torch.autograd.grad(sum(r.sin().sum() for r in result), leaves) for result in (found, right)]
    torch.testing.assert_close(*gradients, **CLOSE)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("bug", "by"), [("one step late", 1), ("one step early", -1)])
def test_a_step_late_or_early_is_noticed(name: str, bug: str, by: int) -> None:
    layer, x = made(name, num_layers=2), torch.randn(STEPS, BATCH, 2)
    hx = given(layer)
    right = segments(layer, x, hx)
    shifted = torch.roll(mask(), by, 0)
    assert apart(flat(layer(x, as_hx(hx), resets=mask())), right) < 1e-11
    assert apart(flat(layer(x, as_hx(hx), resets=shifted)), right) > APART


@pytest.mark.parametrize("name", LAYERS)
def test_a_mask_is_no_index(name: str) -> None:
    """``state[reset]`` with a mask of whole numbers takes the sequences 0 and 1; a mask of any type means True or False."""
    layer, x = made(name), torch.randn(STEPS, BATCH, 2)
    hx = given(layer)
    right = segments(layer, x, hx)
    for dtype in (torch.bool, torch.uint8, torch.int64, torch.float64):
        torch.testing.assert_close(flat(layer(x, as_hx(hx), resets=mask().to(dtype))), right, **CLOSE)
    as_indices = torch.zeros(STEPS, BATCH, dtype=torch.bool)
    for step, row in enumerate(mask().long()):
        as_indices[step, row.unique()] = bool(row.any())
    assert apart(flat(layer(x, as_hx(hx), resets=as_indices)), right) > APART


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_the_last_state_is_not_that_of_the_padded_tail(name: str, batch_first: bool) -> None:
    """Not even where the tail holds resets, numbers as large as can be, or none at all."""
    layer, x = made(name, num_layers=2, batch_first=batch_first), torch.randn(STEPS, BATCH, 2)
    plain = made(name, num_layers=2)
    plain.load_state_dict(layer.state_dict())
    hx, lengths = given(layer), [5, 9, 1]
    right = segments(plain, x, hx, lengths)
    tail = torch.arange(STEPS)[:, None] >= torch.tensor(lengths)
    for padding in (0.0, 1e3, float("inf"), float("nan")):
        padded = torch.where(tail[..., None], padding, x)
        for resets in (mask(), mask() | tail):
            g = (padded.transpose(0, 1), resets.mT) if batch_first else (padded, resets)
            y, *states = flat(layer(g[0], as_hx(hx), resets=g[1], lengths=lengths))
            torch.testing.assert_close([y.transpose(0, 1) if batch_first else y, *states], right, **CLOSE)
    of_the_tail = flat(plain(x, as_hx(hx), resets=mask()))[1:]
    assert apart(of_the_tail, right[1:]) > APART


@pytest.mark.parametrize("name", LAYERS)
def test_no_gradient_crosses_a_reset(name: str) -> None:
    """Exactly none; without the reset it would be there. A state zeroed behind autograd's back keeps its gradient."""
    layer, x = made(name, num_layers=2), torch.randn(STEPS, BATCH, 2, requires_grad=True)
    hx = tuple(h.requires_grad_() for h in given(layer))
    y = layer(x, as_hx(hx), resets=mask())[0]
    to_x, *to_hx = torch.autograd.grad(y[4:8, 0].sum(), [x, *hx], retain_graph=True)  # the third segment of sequence 0
    assert (to_x[:4] == 0).all()
    assert (to_x[4:8, 0] != 0).any(-1).all()
    assert (to_x[8:] == 0).all()
    assert (to_x[:, 1:] == 0).all()
    assert all((g == 0).all() for g in to_hx)
    whole = layer(x, as_hx(hx))[0]
    crossing, *_ = torch.autograd.grad(whole[4:8, 0].sum(), [x, *hx])
    assert (crossing[:4, 0] != 0).any(-1).all()


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_starts_anew(name: str) -> None:
    """A stack in which only layer 0 is reset gives other numbers; and so for only layer 1."""
    layer, x = made(name, num_layers=2), torch.randn(STEPS, BATCH, 2)
    options = {"learned_initial_state": True} if name == "learned start" else {}
    if name == "lstm projected":
        options["proj_size"] = 2
    kind = type(layer) if type(layer) is not nn.Recurrent else None
    singles = []
    for number in range(2):
        width = 2 if number == 0 else layer.output_size
        single = kind(width, SIZE, **options) if kind else nn.Recurrent(cells.SLSTM(), width, SIZE)
        own = {k.replace(f"l{number}", "l0"): v for k, v in layer.state_dict().items() if f"l{number}" in k}
        single.load_state_dict(own)
        singles.append(single)

    def stacked(*masks: Tensor | None) -> Tensor:
        y = x
        for single, resets in zip(singles, masks, strict=True):
            y = single(y, resets=resets)[0]
        return y

    found = layer(x, resets=mask())[0]
    torch.testing.assert_close(found, stacked(mask(), mask()), **CLOSE)
    assert apart([stacked(mask(), None)], [found]) > APART
    assert apart([stacked(None, mask())], [found]) > APART


@pytest.mark.parametrize("name", LAYERS)
def test_a_reset_starts_from_where_sequences_start_and_not_from_what_was_given(name: str) -> None:
    layer, x = made(name), torch.randn(STEPS, BATCH, 2)
    resets = torch.zeros(STEPS, BATCH, dtype=torch.bool)
    resets[0] = True  # before the first step: what was given is forgotten
    hx = given(layer)
    torch.testing.assert_close(flat(layer(x, as_hx(hx), resets=resets)), flat(layer(x)), **CLOSE)
    assert apart(flat(layer(x, as_hx(hx))), flat(layer(x))) > APART

"""The promise: what is settled for a call serves the next one like it, and no other; results and gradients are nobody else's."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid import nn as pnn
from pellucid.cells import Cell, Input, Matrix, State
from pellucid.errors import DeviceError
from pellucid.ops import recurrence as ops
from pellucid.ops.cuda import engine, layout, passes
from pellucid.ops.plan import Plan
from pellucid.ops.reference.recurrence import recurrence as reference
from tests.ops.cells_under_test import CELLS, random_run
from tests.ops.cuda.ways import WAYS, sharing


def test_a_traced_state_can_be_differentiated(on_processor: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace has the output itself, on torch's graph; what lies beside it gives its gradient after the backward pass."""
    import pellucid

    layer = pnn.GRU(3, 8, dtype=torch.float64)
    monkeypatch.setattr(layout, "choose", sharing(*WAYS["block"]))
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    with pellucid.trace(layer, grad=True) as trace:
        output, _ = layer(x)
    assert [name.split(".")[-1] for name in trace] == [*pnn.GRU(3, 8).cell.graph().named]
    (state,) = [trace[name] for name in trace if name.endswith("h")]
    (found,) = torch.autograd.grad(state.values[2, 1, 5], layer.weight_ih_l0, retain_graph=True)
    (right,) = torch.autograd.grad(output[2, 1, 5], layer.weight_ih_l0)
    assert found.count_nonzero()
    assert torch.equal(found, right)
    gates = [trace[name].grad for name in trace if name.endswith(("r", "z", "n"))]
    assert len(gates) == 3
    assert all(g is not None and g[3].count_nonzero() == 0 and g[2, 1].count_nonzero() for g in gates)


def test_one_layout_serves_all_lengths_and_no_other_strides(
    on_processor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is settled for a call is used for the next one like it, with its own addresses; an input laid otherwise is not
    mistaken for it, and the oldest of too many are forgotten."""
    monkeypatch.setattr(layout, "choose", sharing(*WAYS["block"]))
    monkeypatch.setattr(engine, "MOST_KEPT", 3)
    made: list[int] = []
    settled = passes.Forward.__init__

    def noted(self: Any, *arguments: Any) -> None:
        made.append(1)
        settled(self, *arguments)

    monkeypatch.setattr(passes.Forward, "__init__", noted)
    layer = pnn.LSTM(3, 8, dtype=torch.float64)
    twin = torch.nn.LSTM(3, 8, dtype=torch.float64)
    twin.load_state_dict(layer.state_dict())
    with torch.no_grad():
        for steps, form, count in ((4, "dense", 1), (7, "dense", 1), (1, "dense", 1), (7, "apart", 2), (4, "wide", 3)):
            x = torch.randn(steps, 2, 3, dtype=torch.float64)
            if form == "apart":
                x = x.transpose(0, 1).contiguous().transpose(0, 1)
            if form == "wide":
                x = torch.randn(steps, 2, 6, dtype=torch.float64)[..., ::2]
            torch.testing.assert_close(layer(x), twin(x), atol=1e-12, rtol=1e-12)
            assert len(made) == count
        for batch in (3, 4, 5, 6):
            x = torch.randn(2, batch, 3, dtype=torch.float64)
            torch.testing.assert_close(layer(x), twin(x), atol=1e-12, rtol=1e-12)
        kept = [d.lowered["layouts"] for d in layer.cell._derivatives.values() if "layouts" in d.lowered]
        assert [len(k) for k in kept] == [3]


def test_two_batches_whose_rows_are_as_far_apart(on_processor: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequences that come batch first have strides that do not tell how many they are."""
    monkeypatch.setattr(layout, "choose", sharing(*WAYS["block"]))
    for batch in (2, 9, 3):
        run = random_run(CELLS["rnn"], batch=batch, seed=batch)
        run.x = run.x.detach().transpose(0, 1).contiguous().transpose(0, 1)
        found, right = (
            compute(CELLS["rnn"], run.variant, run.parameters, run.x, run.before, run.inputs)["h"]
            for compute in (ops.recurrence, reference)
        )
        torch.testing.assert_close(found, right, atol=1e-12, rtol=1e-12)


def test_of_too_many_layouts_the_one_is_forgotten_that_was_not_asked_for_longest(
    on_processor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "choose", sharing(*WAYS["block"]))
    monkeypatch.setattr(engine, "MOST_KEPT", 2)
    made: list[int] = []
    settled = passes.Forward.__init__

    def noted(self: Any, plan: Plan, tensors: Any) -> None:
        made.append(tensors[0].shape[1])
        settled(self, plan, tensors)

    monkeypatch.setattr(passes.Forward, "__init__", noted)
    layer = pnn.RNN(3, 8)
    with torch.no_grad():
        for batch in (1, 2, 1, 3, 1, 2):
            layer(torch.randn(2, batch, 3))
    assert made == [1, 2, 3, 2]


def test_a_cell_whose_gradients_do_not_fit_is_not_begun(on_processor: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither pass runs on kernels where only the forward one could; that it is so is found once."""
    asked: list[bool] = []
    choose = sharing(*WAYS["block"])

    def forward_alone(lowered: Any, spec: Any, *how: Any) -> Any:
        asked.append(spec.reverse)
        return None if spec.reverse else choose(lowered, spec, *how)

    monkeypatch.setattr(layout, "choose", forward_alone)
    launched: list[int] = []
    monkeypatch.setattr(layout.kernels, "run", lambda *_: launched.append(1))
    layer, twin = pnn.GRU(3, 8), torch.nn.GRU(3, 8)
    twin.load_state_dict(layer.state_dict())
    for x in (torch.randn(4, 2, 3), torch.randn(2, 4, 3).transpose(0, 1)):  # two layouts, and what fits is the same
        for each in (layer, twin):
            each.zero_grad()
            each(x)[0].sum().backward()
    for ours, right in zip(layer.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, right.grad)
    assert not launched
    assert asked == [True]


class Offset(Cell):
    """A state that starts at a number which two bytes do not hold."""

    def __init__(self) -> None:
        self.x, self.h, self.U = Input(), State(initial=0.1), Matrix()

    def step(self, x: Any, h: Any) -> Any:
        return x + self.U @ h + h


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_reset_starts_a_sequence(dtype: torch.dtype, on_processor: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the layer's number type rounds what the cell declares; sums may be taken in another order."""
    monkeypatch.setattr(layout, "choose", sharing(*WAYS["block"]))
    layer = pnn.Recurrent(Offset(), 3, 5).to(dtype)
    x = torch.randn(6, 2, 3, dtype=dtype)
    resets = torch.zeros(6, 2, dtype=torch.bool)
    resets[4] = True
    relative = 1e-13 if dtype == torch.float64 else 0.0  # of the others a two-byte number is left
    torch.testing.assert_close(layer(x, resets=resets)[0][4:], layer(x[4:])[0], atol=relative, rtol=relative)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["LSTM", "RNN", "GRU"])
def test_gradients_have_memory_of_their_own(
    name: str, dtype: torch.dtype, on_processor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two biases that are added have the same gradient, twice: the second backward pass adds to both where they are."""
    monkeypatch.setattr(layout, "choose", sharing(*WAYS["block"]))
    layer = getattr(pnn, name)(3, 8, dtype=dtype)
    twin = getattr(torch.nn, name)(3, 8)
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(4, 2, 3, dtype=dtype)
    for _ in range(2):
        layer(x)[0].float().sum().backward()
        twin(x.float())[0].sum().backward()
    norms = [torch.nn.utils.clip_grad_norm_(each.parameters(), 1e-2) for each in (layer, twin)]
    relative = 1e-5 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(norms[0].float(), norms[1], atol=0, rtol=relative)
    for (_, ours), (_, right) in zip(layer.named_parameters(), twin.named_parameters(), strict=True):
        torch.testing.assert_close(ours.grad.float(), right.grad, atol=relative * 1e-2, rtol=relative)
    places = [range(p.grad.data_ptr(), p.grad.data_ptr() + p.grad.nbytes) for p in layer.parameters()]
    assert all(a.stop <= b.start or b.stop <= a.start for a, b in itertools.combinations(places, 2))


def test_what_no_kernel_reads_is_not_copied(on_processor: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input whose features lie apart is projected as it lies; one that comes projected is brought together."""
    monkeypatch.setattr(layout, "choose", sharing(*WAYS["block"]))
    copied: list[tuple[int, ...]] = []
    settled = layout.Layout.prepared

    def noted(self: layout.Layout, tensors: Any) -> list[Tensor]:
        copied.append(self.apart)
        return settled(self, tensors)

    layer = pnn.GRU(3, 8, dtype=torch.float64)
    x = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    for times in (1, 2):
        monkeypatch.setattr(layout.Layout, "prepared", settled if times == 1 else noted)
        output = layer(x.transpose(1, 2))[0]
        output.backward(torch.randn_like(output))
    assert not copied
    run = random_run(CELLS["gru"], hidden=8)
    apart = run.x.detach().transpose(1, 2).contiguous().transpose(1, 2)
    for _ in range(2):
        ops.recurrence(CELLS["gru"], run.variant, run.parameters, apart, run.before, run.inputs)
    assert copied[-1] == (0,)


def test_a_kernel_is_given_no_other_devices_memory(on_processor: None) -> None:
    run = random_run(CELLS["gru"])
    with pytest.raises(DeviceError, match="x is on cpu, and a tensor that came with it on meta; move one of them"):
        ops.recurrence(CELLS["gru"], run.variant, run.parameters, run.x, [v.to("meta") for v in run.before], run.inputs)


def test_rows_that_lie_too_far_apart_for_a_kernel_are_brought_together() -> None:
    """Inside a step's plane a kernel counts with 32 bits; a batch that comes first makes rows as long as a sequence."""
    far = torch.empty_strided((4, 3, 2), (2, 2**30, 1), device="meta")
    near = torch.empty_strided((4, 3, 2), (2, 2**29, 1), device="meta")
    assert layout._dense(far).stride() == (6, 2, 1)
    assert layout._dense(near) is near

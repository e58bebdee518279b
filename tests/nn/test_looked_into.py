"""The promise: what torch does with its own layers besides running them, it does with these: fx, batched gradients, dispatch modes,
tensors of other classes, graphs that are written down with other layouts."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing._internal.two_tensor import TwoTensor
from torch.utils.flop_counter import FlopCounterMode

from pellucid import nn
from pellucid.errors import ArgumentTypeError

LAYERS: dict[str, tuple[tuple[Any, ...], tuple[int, ...]]] = {
    "Conv1d": ((3, 4, 3), (2, 3, 9)),
    "Conv2d": ((3, 4, 3), (2, 3, 9, 9)),
    "Conv3d": ((3, 4, 3), (1, 3, 5, 5, 5)),
    "MaxPool1d": ((2,), (2, 3, 9)),
    "MaxPool2d": ((2,), (2, 3, 9, 9)),
    "AvgPool2d": ((2,), (2, 3, 9, 9)),
    "AvgPool3d": ((2,), (1, 3, 5, 5, 5)),
    "RNN": ((3, 4), (5, 2, 3)),
    "GRU": ((3, 4), (5, 2, 3)),
    "LSTM": ((3, 4), (5, 2, 3)),
    "RNNCell": ((3, 4), (2, 3)),
    "GRUCell": ((3, 4), (2, 3)),
    "LSTMCell": ((3, 4), (2, 3)),
}
RECURRENT = ("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell")


def pair(name: str) -> tuple[Any, Any, Tensor]:
    """torch's layer, ours with its parameters, and an input."""
    arguments, shape = LAYERS[name]
    theirs, ours = getattr(torch.nn, name)(*arguments).double(), getattr(nn, name)(*arguments).double()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours, torch.randn(shape, dtype=torch.float64)


def first(out: Any) -> Tensor:
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_one_node_of_a_traced_graph(name: str) -> None:
    _, ours, x = pair(name)
    model = torch.nn.Sequential(ours)
    traced = fx.symbolic_trace(model)
    assert [(n.op, n.target) for n in traced.graph.nodes if n.op == "call_module"] == [("call_module", "0")]
    torch.testing.assert_close(traced(x), model(x))


def test_states_and_lengths_are_in_a_traced_graph() -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.cell = nn.LSTM(3, 4), nn.GRUCell(4, 4)

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            output, (h, _) = self.layer(x, lengths=lengths)
            return self.cell(output[0], h[0])  # type: ignore[no-any-return]

    model, x, lengths = Model(), torch.randn(5, 2, 3), torch.tensor([5, 3])
    torch.testing.assert_close(fx.symbolic_trace(model)(x, lengths), model(x, lengths))


def test_a_layer_by_itself_and_scripts_are_sentences() -> None:
    for layer in (nn.Conv2d(1, 2, 3), nn.LSTMCell(2, 3), nn.MaxPool2d(2)):
        with pytest.raises(ArgumentTypeError, match="trace a module that holds it"):
            fx.symbolic_trace(layer)
        with pytest.raises(ArgumentTypeError, match=r"use torch\.export or torch.jit.trace"):
            torch.jit.script(layer)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_a_batch_of_outputs_at_once(name: str) -> None:
    theirs, ours, x = pair(name)
    found = [
        torch.autograd.functional.jacobian(lambda v, layer=layer: first(layer(v)), x, vectorize=True)
        for layer in (ours, theirs)
    ]
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)  # float64, sums of some tens of products
    for layer in (ours, theirs):
        out = first(layer(x.requires_grad_()))
        many = torch.stack([torch.ones_like(out), torch.zeros_like(out), 2 * torch.ones_like(out)])
        inputs = [x, *layer.parameters()]
        several = torch.autograd.grad(out, inputs, many, is_grads_batched=True)
        single = torch.autograd.grad(first(layer(x)).sum(), inputs)
        for a, b in zip(several, single, strict=True):
            torch.testing.assert_close(a, torch.stack([b, 0 * b, 2 * b]), rtol=1e-9, atol=1e-9)
            assert not a.requires_grad


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
@pytest.mark.parametrize("name", RECURRENT)
def test_what_a_dispatch_mode_writes_down_computes(name: str, mode: str) -> None:
    _, ours, x = pair(name)
    with torch.no_grad():
        graph = make_fx(lambda v: first(ours(v)), tracing_mode=mode, _allow_non_fake_inputs=True)(x)
        other = torch.randn_like(x)
        torch.testing.assert_close(graph(other), first(ours(other)))


@pytest.mark.parametrize("name", ["RNN", "GRU"])
def test_operations_are_counted_as_torch_counts_its_own(name: str) -> None:
    theirs, ours, x = pair(name)
    counts = []
    for layer in (ours, theirs):
        with FlopCounterMode(display=False) as counter:
            first(layer(x.requires_grad_())).sum().backward()
        counts.append(counter.get_total_flops())
    # torch's backward pass does without the product for the state before the first step, which nobody asks for.
    assert counts[0] == pytest.approx(counts[1], rel=0.1)


@pytest.mark.parametrize("name", RECURRENT)
def test_tensors_of_other_classes(name: str) -> None:
    _, ours, x = pair(name)
    out = first(ours(TwoTensor(x, x.clone())))
    assert type(out) is TwoTensor
    torch.testing.assert_close(out.a, first(ours(x)))
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    assert first(ours(mode.from_tensor(x))).shape == first(ours(x)).shape  # outside of its mode


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_gradients_in_a_graph_lie_as_it_expects(name: str) -> None:
    """A compiler plans memory by the strides of shapes without numbers."""
    seen: list[tuple[int, ...]] = []
    operator = torch.ops.pellucid.recurrence_backward

    class Strides(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if func is operator.default:
                seen.extend(t.stride() for t in out)
            return out

    def backward(layer: Any, x: Tensor) -> list[tuple[int, ...]]:
        seen.clear()
        with Strides():
            first(layer(x.transpose(0, 1).requires_grad_())).sum().backward()
        return list(seen)

    _, ours, x = pair(name)
    ours.weight_hh_l0.data = ours.weight_hh_l0.data.t().contiguous().t()
    real = backward(ours, x)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert backward(ours, mode.from_tensor(x)) == real
    assert len(real) >= 5


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_trace_of_plain_layers_runs_without_pellucid(tmp_path: Path) -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.gru = nn.LSTM(3, 4, num_layers=2, bidirectional=True), nn.GRU(8, 4, bias=False)
            self.rnn, self.cell = nn.RNN(4, 4, nonlinearity="relu"), nn.LSTMCell(4, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y, (_, c) = self.lstm(x)
            y, h = self.gru(y)
            y, _ = self.rnn(y, h)
            return self.cell(y[0])[1], c

    model, x = Model(), torch.randn(5, 2, 3)
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(model, x), tmp_path / "model.pt")
        other = torch.randn(9, 3, 3)
        torch.save((other, model(other)), tmp_path / "wanted.pt")
    code = (
        "import sys, torch\n"
        "other, wanted = torch.load(sys.argv[2])\n"
        "torch.testing.assert_close(torch.jit.load(sys.argv[1])(other), wanted)\n"
        "assert 'pellucid' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "model.pt", tmp_path / "wanted.pt"], check=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", RECURRENT)
def test_torchs_older_exporter_to_onnx(name: str) -> None:
    _, ours, x = pair(name)
    onnx = pytest.importorskip("onnx")
    file = io.BytesIO()
    torch.onnx.export(ours.float(), (x.float(),), file, dynamo=False)
    found = {node.op_type for node in onnx.load_from_string(file.getvalue()).graph.node}
    assert name.endswith("Cell") or name in found


def test_a_saved_program_runs_where_pellucid_is_imported(tmp_path: Path) -> None:
    for name in ("LSTM", "GRU", "RNN"):
        layer, x = getattr(nn, name)(3, 4), torch.randn(5, 2, 3)
        dims = {0: torch.export.Dim("T", min=2), 1: torch.export.Dim("B", min=2)}
        torch.export.save(torch.export.export(layer, (x,), dynamic_shapes=(dims,)), tmp_path / f"{name}.pt2")
        other = torch.randn(9, 3, 3)
        torch.save((other, layer(other)[0].detach()), tmp_path / f"{name}.pt")
    code = (
        "import sys, torch, pellucid\n"
        "for name in ('LSTM', 'GRU', 'RNN'):\n"
        "    other, wanted = torch.load(f'{sys.argv[1]}/{name}.pt')\n"
        "    program = torch.export.load(f'{sys.argv[1]}/{name}.pt2').module()\n"
        "    torch.testing.assert_close(program(other)[0], wanted)\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)

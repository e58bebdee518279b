"""The promise: an exported model answers as the network does, at any batch and length, or is not written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.lab import finished
from tests.lab.test_survival import files_of_at_most
from torch import Tensor

from pellucid import Cell, cells, nn
from pellucid.errors import ArgumentError, DataError
from pellucid.lab import export as exporting
from pellucid.lab import recipe
from pellucid.lab.export import export
from pellucid.lab.runs import Run
from pellucid.nn import Recurrent

onnxruntime = pytest.importorskip("onnxruntime")

NETWORKS = ["cnn", "rnn", "lstm", "gru", "leaky"]
KINDS = [kind for kind in finished.KINDS if kind not in ("subwords", "words", "next subwords")]  # these come below
DEEP = ["gru2", "bilstm2", "birnn", "cnn+gru", "cnn+bigru2", "cnn+leaky", "bileaky2", "cnn2"]


def session(model: bytes) -> Any:
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", KINDS)
def test_onnx_runtime_answers_as_the_network(kind: str, network: str, tmp_path: Path) -> None:
    made = answers_alike(finished.untrained(kind), network, tmp_path / "m.onnx")
    operators = {node.op_type for node in made.graph.node}
    assert {"cnn": "Conv", "leaky": "Scan"}.get(network, network.upper()) in operators


@pytest.mark.parametrize("network", DEEP)
@pytest.mark.parametrize("kind", ["images", "shops", "subwords", "next subwords", "sound"])
def test_deeper_two_way_and_mixed_networks_too(kind: str, network: str, tmp_path: Path) -> None:
    forward = tuple(name for name in finished.DEEP if "bi" not in name)  # what is asked for the next step has no other
    networks = forward if finished.is_next(kind) else finished.DEEP
    if "bi" in network and networks is forward:
        pytest.skip("each step is asked for the next one, which the backward direction has seen")
    made = answers_alike(finished.untrained(kind, networks), network, tmp_path / "m.onnx")
    operators = [node.op_type for node in made.graph.node]
    assert ("Conv" in operators) == network.startswith("cnn")
    layers = {
        "gru2": "GRU GRU",
        "bilstm2": "LSTM LSTM",
        "birnn": "RNN",
        "cnn+gru": "GRU",
        "cnn+bigru2": "GRU GRU",
        "cnn+leaky": "Scan",
        "bileaky2": "Scan Scan Scan Scan",
        "cnn2": "",
    }
    assert " ".join(o for o in operators if o in ("RNN", "LSTM", "GRU", "Scan")) == layers[network]


def answers_alike(run: finished.Made, network: str, to: Path) -> Any:
    """The exported model, once ONNX Runtime has answered as the network does at several batches and lengths."""
    made, worst = export(run.folder, network, to, seed=2)
    assert worst <= 1e-5
    model = recipe.read(Run(run.folder)).network(Run(run.folder), network, 2)
    test = run.task.test
    runtime = session(to.read_bytes())
    for count, steps in ((len(test), None), (3, max(5, model.body.least) if run.task.form != "image" else None)):
        x = test.x[:count] if steps is None else test.x[:count, :steps]
        lengths = None if test.lengths is None else test.lengths[:count].clamp(max=x.shape[1])
        given = {"x": x.numpy()} | ({} if lengths is None else {"lengths": lengths.numpy()})
        raw, *rest = runtime.run(None, given)
        names = [output.name for output in runtime.get_outputs()]
        with torch.no_grad():
            ours = model(x, lengths)
        if run.task.goal == "next labels" and lengths is not None:  # behind the ends is nobody's answer
            there = torch.arange(x.shape[1]) < lengths[:, None]
            ours, raw, rest = ours[there], raw[there], [own[there] for own in rest]
        assert np.abs(raw - ours.numpy()).max() <= 1e-5 * ours.abs().max()
        if run.task.goal in ("forecast", "number"):
            assert names == [run.task.goal]
            continue
        assert names == ["logits", "probabilities"]
        several = run.task.goal in ("labels", "next labels")
        np.testing.assert_allclose(rest[0], (ours.sigmoid() if several else ours.softmax(-1)).numpy(), atol=1e-5)
    return made


def test_the_metadata_holds_all_that_preparation_needs(tmp_path: Path) -> None:
    run = finished.run("series")
    export(run.folder, "gru", tmp_path / "m.onnx")
    about = json.loads(session((tmp_path / "m.onnx").read_bytes()).get_modelmeta().custom_metadata_map["pellucid"])
    assert about["preprocessing"] == run.task.preprocessing
    assert about["scale"] == [list(run.task.scale[0]), list(run.task.scale[1])]
    assert (about["horizon"], about["labels"], about["network"]) == (run.task.horizon, list(run.task.labels), "gru")


def test_a_model_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A swapped gate is noticed, and an earlier file stays."""
    from pellucid.lab import onnx_recurrent

    run = finished.run("images")
    (tmp_path / "m.onnx").write_bytes(b"earlier")
    monkeypatch.setitem(onnx_recurrent._GATES, "LSTM", "i f o g")
    with pytest.raises(DataError, match="not written, since ONNX Runtime's answers differ"):
        export(run.folder, "lstm", tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == b"earlier"
    monkeypatch.setattr(exporting, "_cases", lambda *_: [(torch.zeros(1, 3, 1, 1), None)])
    with pytest.raises(DataError, match="ONNX Runtime cannot run the model"):
        export(run.folder, "gru", tmp_path / "m.onnx")


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished.run("images")
    with pytest.raises(ArgumentError, match=r"m.onnx: cannot be written"):
        export(run.folder, "cnn", tmp_path / "gone" / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ArgumentError, match=r"needs onnx, .*pip install 'pellucid\[export\]'"):
        export(run.folder, "cnn", tmp_path / "m.onnx")


def test_on_a_full_disk_nothing_is_left_behind(tmp_path: Path) -> None:
    """And an earlier model stays."""
    run = finished.run("images")
    (tmp_path / "m.onnx").write_bytes(b"earlier")
    with files_of_at_most(1000), pytest.raises(ArgumentError, match=r"m.onnx: .*\(File too large\).* and has room"):
        export(run.folder, "cnn", tmp_path / "m.onnx")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("m.onnx", b"earlier")]


def outputs(layer: Recurrent, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Output and last output of a layer's export, by ONNX Runtime."""
    from pellucid.lab.onnx_graph import Graph
    from pellucid.lab.onnx_recurrent import add_recurrent

    graph = Graph()
    given = graph.input("x", np.float32, ["time", "batch", x.shape[-1]])
    counts = None if lengths is None else graph.input("lengths", np.int64, ["batch"])
    size = layer.output_size * len(layer.directions)
    output, last = add_recurrent(graph, layer, given, counts)
    graph.output(output, "output", ["time", "batch", size])
    graph.output(last, "last", ["batch", size])
    runtime = session(graph.model("layer", {}).SerializeToString())
    feed = {"x": x.numpy()} | ({} if lengths is None else {"lengths": lengths.numpy()})
    found = [torch.from_numpy(a) for a in runtime.run(None, feed)]
    return found[0], found[1]


class Count(Cell):
    """Conditions as numbers, a state of one number, one that is made of parameters alone."""

    x = cells.Input()
    U = cells.Matrix()
    v = cells.Vector(initial=0.3)
    h = cells.State()
    n = cells.State("1", initial=1.0)
    k = cells.State()

    def step(self, x: Any, h: Any, n: Any, k: Any) -> Any:
        high = x > h
        h = cells.tanh(self.U @ h + x * high + k)
        n = n + cells.mean(abs(h)) - (n >= 2.0)
        return h / n, n, self.v * 2.0


LAYERS = {
    "peepholes": lambda: nn.LSTM(3, 6, peepholes=True),
    "projection": lambda: nn.LSTM(3, 6, proj_size=2),
    "layer norm": lambda: nn.GRU(3, 6, layer_norm=True),
    "heads": lambda: nn.RNN(3, 6, heads=2),
    "reset before": lambda: nn.GRU(3, 6, reset_before=True),
    "relu": lambda: nn.RNN(3, 6, nonlinearity="relu"),
    "no bias": lambda: nn.LSTM(3, 6, bias=False),
    "two layers": lambda: nn.GRU(3, 6, 2),
    "both directions": lambda: nn.LSTM(3, 6, bidirectional=True),
    "both directions, relu": lambda: nn.RNN(3, 6, 2, bidirectional=True, nonlinearity="relu", bias=False),
    "both directions, learned start": lambda: nn.GRU(3, 6, 2, bidirectional=True, learned_initial_state=True),
    "both directions, by equations": lambda: nn.GRU(3, 6, 2, bidirectional=True, reset_before=True),
    "learned start": lambda: nn.LSTM(3, 6, learned_initial_state=True),
    "zoneout": lambda: nn.LSTM(3, 6, zoneout=0.3),
    "sLSTM": lambda: Recurrent(cells.SLSTM(heads=3), 3, 6),
    "CTRNN": lambda: Recurrent(cells.CTRNN(mask=np.eye(6)[::-1].copy(), signs=[1, 1, 1, 1, -1, -1]), 3, 6),
    "conditions": lambda: Recurrent(Count(), 3, 6),
}


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_every_cell_is_exported_from_its_equations(name: str, ragged: bool) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]().eval()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(9, 4, 3)
    lengths = torch.tensor([9, 1, 5, 7]) if ragged else None
    with torch.no_grad():
        output, states = layer(x, lengths=lengths)
    last = states if isinstance(states, Tensor) else states[0]
    last = torch.cat(list(last[-len(layer.directions) :]), -1)
    theirs, their_last = outputs(layer, x, lengths)
    torch.testing.assert_close(their_last, last, rtol=1e-4, atol=1e-5)
    for row, steps in enumerate([9] * 4 if lengths is None else lengths.tolist()):
        torch.testing.assert_close(theirs[:steps, row], output[:steps, row], rtol=1e-4, atol=1e-5)

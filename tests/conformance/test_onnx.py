"""The ONNX standard's own cases for convolution, pooling and recurrent nodes, run by Pellucid."""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_runner
import pytest
import torch
from onnx import helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests
from onnx.reference import ReferenceEvaluator
from planted_bugs import plant

import pellucid.nn
from pellucid.geometry.axis import Window, same_padding

WINDOWED = ("Conv", "MaxPool", "AveragePool")
RECURRENT = ("RNN", "LSTM", "GRU")
JUDGED = {*WINDOWED, "GlobalAveragePool", "GlobalMaxPool", *RECURRENT}

# What onnx 1.23 holds. Thirteen cases of Conv are CausalConvWithState, written out as a graph around a Conv.
LEAST_CASES = {
    "node": {
        "AveragePool": 20,
        "Conv": 6 + 13,
        "GRU": 6,
        "GlobalAveragePool": 2,
        "GlobalMaxPool": 2,
        "LSTM": 6,
        "MaxPool": 19,
        "RNN": 6,
    },
    "pytorch-converted": {"AveragePool": 7, "Conv": 26, "MaxPool": 8},
    "pytorch-operator": {"Conv": 1, "MaxPool": 1},
}


def collected() -> list[TestCase]:
    """Every case of the installed wheel whose graph has a node that is judged here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other operators' cases overflow on purpose while they are made
        cases = list(collect_testcases())
    for kind in ("pytorch-converted", "pytorch-operator"):
        for case in load_model_tests(kind=kind):
            case.model = onnx.load(Path(case.model_dir) / "model.onnx")
            case.data_sets = [recorded(each) for each in sorted(Path(case.model_dir).glob("test_data_set_*"))]
            cases.append(case)
    return sorted((case for case in cases if judged(case)), key=lambda case: (case.kind, case.name))


def judged(case: TestCase) -> set[str]:
    """The judged operators among a case's nodes."""
    return JUDGED & {node.op_type for node in case.model.graph.node}


def recorded(folder: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """One recorded set of inputs and outputs."""
    return tuple(
        [
            numpy_helper.to_array(onnx.load_tensor(folder / f"{name}_{place}.pb"))
            for place in range(len(list(folder.glob(f"{name}_*.pb"))))
        ]
        for name in ("input", "output")
    )


CASES = collected()


def test_no_case_is_lost_without_notice():
    for kind, least in LEAST_CASES.items():
        found = Counter(name for case in CASES if case.kind == kind for name in judged(case))
        assert found.keys() == least.keys()
        assert all(found[name] >= least[name] for name in least), (kind, found)
    assert all(case.data_sets and all(outputs for _, outputs in case.data_sets) for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case):
    for inputs, expected in case.data_sets:
        outputs = onnx_runner.run(case.model, inputs)
        for ours, theirs in zip(outputs, expected, strict=True):
            assert ours.shape == theirs.shape
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, rtol=case.rtol, atol=case.atol)


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_nodes_run_on_pellucids_own_layers(name):
    assert getattr(pellucid.nn, name).forward is not getattr(torch.nn, name).forward


@pytest.mark.parametrize("case", [case for case in CASES if judged(case) & {*WINDOWED}], ids=lambda case: case.name)
def test_geometry_foretells_every_size(case):
    (node,) = (node for node in case.model.graph.node if node.op_type in WINDOWED)
    for inputs, _ in case.data_sets:
        values = onnx_runner.evaluate(case.model.graph, inputs)  # the recorded shapes, as test_case finds
        attributes = onnx_runner.attributes(node)
        kernel = attributes.get("kernel_shape") or values[node.input[1]].shape[2:]
        sizes, outputs = (values[name].shape[2:] for name in (node.input[0], node.output[0]))
        foretold = [window(attributes, kernel, axis, size).output(size) for axis, size in enumerate(sizes)]
        assert foretold == list(outputs)


def window(attributes, kernel, axis, size):
    """A node's window along one axis."""
    dims = len(kernel)
    shape = [kernel[axis], *(attributes.get(name, [1] * dims)[axis] for name in ("strides", "dilations"))]
    pads = attributes.get("pads", [0] * 2 * dims)
    padding = (pads[axis], pads[axis + dims])
    if attributes.get("auto_pad", "NOTSET").startswith("SAME"):
        padding = same_padding(size, *shape, lower=attributes["auto_pad"] == "SAME_LOWER")
    return Window(*shape, padding=padding, ceil=bool(attributes.get("ceil_mode", 0)))


# The standard's recurrent cases have equal weights for all gates, so most bugs pass them (gates in another
# order, a bias left out). The standard's reference judges again, on random numbers.

BATCHED = ("X", "initial_h", "initial_c")
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
STEPS, BATCH, FEATURES, UNITS = 6, 3, 4, 5
KINDS = [*((name, {}) for name in RECURRENT), ("GRU", {"linear_before_reset": 1})]
SETTINGS = [
    pytest.param(name, extra, direction, layout, id="-".join([name, *extra, direction, f"layout {layout}"]))
    for name, extra in KINDS
    for direction in ("forward", "reverse", "bidirectional")
    for layout in (0, 1)
]


def random_node(name, extra, direction, layout, lengths=None):
    """A model of one recurrent node with every input that it can have, and those inputs, in float32."""
    generator = np.random.default_rng(0)
    directions, rows = 1 + (direction == "bidirectional"), GATES[name] * UNITS

    def draw(*shape):
        return generator.uniform(-1, 1, shape).astype(np.float32)

    arrays = {
        "X": draw(STEPS, BATCH, FEATURES),
        "W": draw(directions, rows, FEATURES),
        "R": draw(directions, rows, UNITS),
        "B": draw(directions, 2 * rows),
        "sequence_lens": np.array(lengths or [], dtype=np.int32),
        "initial_h": draw(directions, BATCH, UNITS),
    }
    if name == "LSTM":
        arrays |= {"initial_c": draw(directions, BATCH, UNITS), "P": draw(directions, 3 * UNITS)}
    slots = [each if each != "sequence_lens" or lengths else "" for each in arrays]
    outputs = ["Y", "Y_h", "Y_c"] if name == "LSTM" else ["Y", "Y_h"]
    shape = {"hidden_size": UNITS, "direction": direction, "layout": layout}
    node = helper.make_node(name, slots, outputs, **shape, **extra)
    arrays = {slot: arrays[slot] for slot in slots if slot}
    arrays = batch_first(arrays) if layout else arrays
    return one_node_model(node, arrays, outputs), arrays


def batch_first(arrays):
    """Lay the inputs out by layout 1."""
    return {name: each.swapaxes(0, 1) if name in BATCHED else each for name, each in arrays.items()}


def one_node_model(node, arrays, outputs):
    """A checked model around one node."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    results = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * (4 if name == "Y" else 3))
        for name in outputs
    ]
    graph = helper.make_graph([node], "one", inputs, results)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)])
    onnx.checker.check_model(model)
    return model


# float32: a sum of some ten products of size 1 errs by some 1e-7, and is carried through six steps. A gate or
# a bias out of place moves these outputs by 1e-2 and more.
CLOSE = {"rtol": 1e-5, "atol": 2e-6}


@pytest.mark.parametrize(("name", "extra", "direction", "layout"), SETTINGS)
def test_random_recurrent_nodes_are_the_references(name, extra, direction, layout):
    model, arrays = random_node(name, extra, direction, layout)
    expected = ReferenceEvaluator(model).run(None, arrays)
    for ours, theirs in zip(onnx_runner.run(model, list(arrays.values())), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, **CLOSE)


@pytest.mark.parametrize(("name", "extra", "direction", "layout"), SETTINGS)
def test_sequence_lengths_are_the_reference_on_each_sequence_alone(name, extra, direction, layout):
    """The standard's reference reads no lengths, so it is given one sequence at a time, cut to its length."""
    lengths = [4, STEPS, 1]
    model, arrays = random_node(name, extra, direction, layout, lengths)
    y, *finals = onnx_runner.run(model, list(arrays.values()))
    if layout:
        y, finals = y.transpose(1, 2, 0, 3), [each.swapaxes(0, 1) for each in finals]
    alone, arrays = random_node(name, extra, direction, layout=0)
    for b, length in enumerate(lengths):
        one = {each: array[:, b : b + 1] if each in BATCHED else array for each, array in arrays.items()}
        y_alone, *finals_alone = ReferenceEvaluator(alone).run(None, one | {"X": one["X"][:length]})
        np.testing.assert_allclose(y[:length, :, b], y_alone[:, :, 0], **CLOSE)
        assert not y[length:, :, b].any()  # the padding comes out as zeros
        for ours, theirs in zip(finals, finals_alone, strict=True):
            np.testing.assert_allclose(ours[:, b], theirs[:, 0], **CLOSE)


# What torch has not, so that only the standard's reference can notice a mistake there.
BUGS = [
    ("LSTM", "__init__", '"i f o"', '"i o f"'),  # peepholes stacked as ONNX stacks them
    ("LSTM", "step", 'b.i + peep("i", c)', "b.i"),
    ("LSTM", "step", 'b.f + peep("f", c)', "b.f"),
    ("LSTM", "step", 'peep("o", c)', 'peep("o", (c - i * g) / f)'),  # o sees the cell state before the step
    ("GRU", "step", "U.n @ (r * h) + b.n", "U.n @ (r * h)"),
    ("GRU", "step", "U.n @ (r * h) + b.n", "r * (U.n @ h + b.n)"),
]


@pytest.mark.parametrize(("name", "method", "right", "wrong"), BUGS)
def test_a_bug_planted_beyond_torch_is_noticed(monkeypatch, name, method, right, wrong):
    test_random_recurrent_nodes_are_the_references(name, {}, "forward", 0)
    plant(monkeypatch, name, method, right, wrong)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        test_random_recurrent_nodes_are_the_references(name, {}, "forward", 0)

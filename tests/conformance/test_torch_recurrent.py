"""torch's own samples for recurrent layers as twins, the same on larger random cases, and planted bugs."""

import pytest
import torch
import torch_modules
from planted_bugs import plant
from torch.nn.utils.rnn import pack_padded_sequence

import pellucid.nn
from pellucid.geometry import layers as geometry

LAYERS, CELLS = ("RNN", "LSTM", "GRU"), ("RNNCell", "LSTMCell", "GRUCell")

# What torch 2.13 holds: samples (with those of packed sequences, which its registry makes on request) and mistakes.
SAMPLES = {"RNN": 32 + 32, "LSTM": 32, "GRU": 16 + 16, "RNNCell": 3, "LSTMCell": 2, "GRUCell": 2}
MISTAKES = {"RNN": 14, "LSTM": 14, "GRU": 14, "RNNCell": 6, "LSTMCell": 4, "GRUCell": 6}


def twins(name):
    """Our class of a name, and torch's."""
    ours, theirs = getattr(pellucid.nn, name), getattr(torch.nn, name)
    assert ours.forward is not theirs.forward
    return ours, theirs


def samples(name, *, training):
    """The registry's samples of a class, packed sequences included."""
    info = torch_modules.MODULES[getattr(torch.nn, name)]
    packed = {"with_packed_sequence": True} if name in ("RNN", "GRU") else {}
    return info.module_inputs_func(
        info, device="cpu", dtype=torch.float64, requires_grad=True, training=training, **packed
    )


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
def test_every_sample_gives_the_same_outputs_and_gradients(name, training):
    cases = samples(name, training=training)
    assert len(cases) >= SAMPLES[name]
    for sample in cases:
        torch_modules.check_sample(*twins(name), sample, training=training)


@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
def test_every_mistake_raises_the_same_type(name):
    cases = torch_modules.error_samples(getattr(torch.nn, name), training=True)
    assert len(cases) >= MISTAKES[name]
    for sample in cases:
        torch_modules.check_error(twins(name)[0], sample)


@pytest.mark.parametrize("name", LAYERS)
def test_the_cells_count_foretells_every_samples_parameters(name):
    our_class, torch_class = twins(name)
    for sample in samples(name, training=True):
        arguments = sample.constructor_input.kwargs
        theirs, ours = torch_class(**arguments), our_class(**arguments)
        directions = 1 + theirs.bidirectional
        above = directions * (arguments.get("proj_size") or theirs.hidden_size)
        count = sum(
            directions * ours.cell.parameters_count(size, theirs.hidden_size, bias=theirs.bias)
            for size in [theirs.input_size] + [above] * (theirs.num_layers - 1)
        )
        assert count == sum(parameter.numel() for parameter in theirs.parameters())


@pytest.mark.parametrize("name", LAYERS)
def test_geometry_foretells_every_samples_size_and_parameters(name):
    """The sizes of the output and the count, from the arguments alone."""
    checked = 0
    for sample in samples(name, training=True):
        given, (x, *_) = sample.constructor_input.kwargs, sample.forward_input.args
        if not isinstance(x, torch.Tensor):
            continue
        layer = torch.nn.__dict__[name](**given).double()
        y, _ = layer(x)
        alone = x.dim() == 2
        steps = 0 if alone or not layer.batch_first else 1
        foretold = geometry.Recurrent(
            name=name.lower(), hidden=layer.hidden_size, layers=layer.num_layers, bidirectional=layer.bidirectional,
            projection=layer.proj_size, bias=layer.bias,
        ).effect((x.shape[-1], x.shape[steps]), "here")  # fmt: skip
        assert foretold.output == (y.shape[-1], y.shape[steps])
        assert foretold.parameters == sum(p.numel() for p in layer.parameters())
        if layer.batch_first and not alone:
            ours = getattr(pellucid.nn, name)(**given).double()
            for model in (layer, ours):
                (row,) = pellucid.explain(model, tuple(x.shape[1:])).rows
                assert (row.parameters, row.macs) == (foretold.parameters, foretold.macs)
        checked += 1
    assert checked >= 16


# The registry's samples have few steps, hardly a batch and no dropout; these are larger.

T, B, I, H = 9, 4, 5, 6  # noqa: E741  # the field's letters
SETTINGS = {
    "plain": {},
    "no bias": {"bias": False},
    "batch first": {"batch_first": True},
    "both directions": {"bidirectional": True},
    "three layers, both directions": {"num_layers": 3, "bidirectional": True},
    "dropout": {"num_layers": 2, "dropout": 0.5},
}
MORE_SETTINGS = {
    "RNN": {"relu": {"nonlinearity": "relu"}},
    "LSTM": {
        "projected": {"proj_size": 2},
        "projected, two layers, both directions": {"proj_size": 2, "num_layers": 2, "bidirectional": True},
    },
}
LAYER_SETTINGS = [
    pytest.param(name, arguments, id=f"{name}, {what}")
    for name in LAYERS
    for what, arguments in (SETTINGS | MORE_SETTINGS.get(name, {})).items()
]


def random_twins(name, **arguments):
    """Both classes with the same random weights, large enough that every gate leaves its linear range."""
    our_class, torch_class = twins(name)
    torch.manual_seed(0)
    theirs = torch_class(I, H, dtype=torch.float64, **arguments)
    for parameter in theirs.parameters():
        torch.nn.init.uniform_(parameter, -1, 1)
    ours = our_class(I, H, dtype=torch.float64, **arguments)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def initial(name, arguments):
    """Random states of a layer, (layers × directions, B, size)."""
    stacked = arguments.get("num_layers", 1) * (1 + arguments.get("bidirectional", False))
    h = draw(stacked, B, arguments.get("proj_size", H))
    return (h, draw(stacked, B, H)) if name == "LSTM" else h


def compare_layers(name, arguments, *, training=False):
    """Without and with initial states, a batch, one sequence alone, and a packed batch in any order.

    Dropout draws the same masks from the same seed, but not on packed data, where torch draws without the padding.
    """
    ours, theirs = (each.train(training) for each in random_twins(name, **arguments))
    batched = draw(B, T, I) if arguments.get("batch_first") else draw(T, B, I)
    states = initial(name, arguments)
    alone = tuple(each[:, 0] for each in states) if name == "LSTM" else states[:, 0]
    packed = pack_padded_sequence(
        batched.detach(), [4, T, 1, 4], batch_first=arguments.get("batch_first", False), enforce_sorted=False
    )
    packed.data.requires_grad_()
    inputs = [(batched,), (batched, states), (draw(T, I), alone)]
    if not (training and arguments.get("dropout")):
        inputs += [(packed,), (packed, states)]
    for args in inputs:
        torch_modules.compare_runs(ours, theirs, args, {})


def compare_cells(name, arguments):
    """Without and with the state before the step, a batch and one sequence alone."""
    ours, theirs = random_twins(name, **arguments)
    state = (draw(B, H), draw(B, H)) if name == "LSTMCell" else draw(B, H)
    alone = tuple(each[0] for each in state) if name == "LSTMCell" else state[0]
    for args in ((draw(B, I),), (draw(B, I), state), (draw(I),), (draw(I), alone)):
        torch_modules.compare_runs(ours, theirs, args, {})


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("name", "arguments"), LAYER_SETTINGS)
def test_random_layers_are_torchs(name, arguments, training):
    compare_layers(name, arguments, training=training)


@pytest.mark.parametrize("arguments", [{}, {"bias": False}], ids=["bias", "no bias"])
@pytest.mark.parametrize("name", CELLS)
def test_random_cells_are_torchs(name, arguments):
    compare_cells(name, arguments)


def test_a_random_relu_cell_is_torchs():
    compare_cells("RNNCell", {"nonlinearity": "relu"})


# Mistakes in the equations that the two comparisons above, which pass without them, must notice: the cell, where,
# what is right, what is planted. Thirteen of them pass all of the ONNX standard's own cases.
BUGS = [
    ("LSTM", "__init__", '"i f g o"', '"i o f g"'),  # gates stacked as ONNX stacks them
    ("LSTM", "__init__", '"i f g o"', '"f i g o"'),
    ("LSTM", "step", "+ b.i", ""),  # a recurrent bias left out
    ("LSTM", "step", "+ b.f", ""),
    ("LSTM", "step", "+ b.g", ""),
    ("LSTM", "step", "+ b.o", ""),
    ("LSTM", "step", "U.f @ h", "U.i @ h"),
    ("LSTM", "step", "g = tanh(", "g = sigmoid("),
    ("LSTM", "step", "o = sigmoid(", "o = tanh("),
    ("LSTM", "step", 'o * tanh(norm("c", c))', 'o * norm("c", c)'),
    ("LSTM", "step", "f * c + i * g", "i * c + f * g"),
    ("GRU", "__init__", '"r z n"', '"z r n"'),  # gates stacked as ONNX stacks them
    ("GRU", "step", "+ b.r", ""),
    ("GRU", "step", "+ b.z", ""),
    ("GRU", "step", "r * (U.n @ h + b.n)", "r * (U.n @ h)"),
    ("GRU", "step", "r * (U.n @ h + b.n)", "r * (U.n @ h) + b.n"),  # the bias past the reset
    ("GRU", "step", "r * (U.n @ h + b.n)", "U.n @ (r * h) + b.n"),  # reset before the product
    ("GRU", "step", "n = tanh(", "n = sigmoid("),
    ("GRU", "step", "r = sigmoid(", "r = tanh("),
    ("GRU", "step", "(1 - z) * n + z * h", "z * n + (1 - z) * h"),  # Cho's z
    ("RNN", "step", "+ self.b", ""),
    ("RNN", "step", "self.U @ h", "self.U @ tanh(h)"),
    ("RNN", "step", "tanh(a) if", "relu(a) if"),
]


@pytest.mark.parametrize(("name", "method", "right", "wrong"), BUGS)
def test_a_planted_bug_is_noticed(monkeypatch, name, method, right, wrong):
    plant(monkeypatch, name, method, right, wrong)
    with pytest.raises(AssertionError, match="not close"):
        compare_layers(name, {})
    with pytest.raises(AssertionError, match="not close"):
        compare_cells(f"{name}Cell", {})


@pytest.mark.parametrize("name", ["RNN", "GRU"])
def test_a_projection_is_refused_as_torch_refuses_it(name):
    for each in twins(name):
        assert each(3, 4).proj_size == 0
        with pytest.raises(ValueError, match="proj_size"):
            each(3, 4, proj_size=2)

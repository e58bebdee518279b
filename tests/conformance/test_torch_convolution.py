"""torch's own samples for convolution and pooling: modules as twins, operators on each path, and geometry."""

import pytest
import torch
import torch_modules
import torch_operators
from torch_modules import ATOL, RTOL

import pellucid.nn.conv
import pellucid.nn.pool
from pellucid.geometry.axis import Window
from pellucid.ops import convolution as convolution_operator
from pellucid.ops import pooling as pooling_operator
from pellucid.ops.reference import convolution as convolution_reference
from pellucid.ops.reference import pooling as pooling_reference

CLASSES = [
    *(getattr(pellucid.nn.conv, f"Conv{dims}d") for dims in (1, 2, 3)),
    *(getattr(pellucid.nn.pool, f"{kind}Pool{dims}d") for kind in ("Max", "Avg") for dims in (1, 2, 3)),
]
CONVOLUTIONS = [f"conv{dims}d" for dims in (1, 2, 3)]
POOLINGS = [f"{kind}_pool{dims}d" for kind in ("max", "avg") for dims in (1, 2, 3)]
OPERATORS = {name: getattr(convolution_operator, name) for name in CONVOLUTIONS} | {
    name: getattr(pooling_operator, name) for name in POOLINGS
}

# Two things that torch refuses and Pellucid computes: its samples of these mistakes are not mistakes here.
BEYOND_TORCH = ("padding='same' is not supported for strided", "pad should be at most half")


@pytest.fixture(params=["chosen", "reference"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the operators choose their path, or make them take the reference."""
    if request.param == "reference":
        monkeypatch.setattr(convolution_operator, "path", lambda *_: convolution_reference.convolution)
        monkeypatch.setattr(pooling_operator, "max_path", lambda *_: pooling_reference.max_pool)
        monkeypatch.setattr(pooling_operator, "average_path", lambda *_: pooling_reference.average_pool)
    return str(request.param)


def torch_class(our_class: type[torch.nn.Module]) -> type[torch.nn.Module]:
    return getattr(torch.nn, our_class.__name__)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("our_class", CLASSES, ids=lambda cls: cls.__name__)
def test_every_module_sample_gives_the_same_outputs_and_gradients(our_class, training, path):
    samples = torch_modules.samples(torch_class(our_class), training=training)
    assert len(samples) >= 3
    for sample in samples:
        torch_modules.check_sample(our_class, torch_class(our_class), sample, training=training)


@pytest.mark.parametrize("our_class", CLASSES, ids=lambda cls: cls.__name__)
def test_every_module_mistake_raises_the_same_type(our_class):
    for sample in torch_modules.error_samples(torch_class(our_class), training=True):
        torch_modules.check_error(our_class, sample)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_sample_gives_the_same_outputs_and_gradients(name, path):
    samples = torch_operators.samples(name)
    assert len(samples) >= 7
    for sample in samples:
        outputs, gradients = torch_operators.run(getattr(torch.nn.functional, name), sample)
        our_outputs, our_gradients = torch_operators.run(OPERATORS[name], sample)
        torch.testing.assert_close(our_outputs, outputs, rtol=RTOL, atol=ATOL)
        torch.testing.assert_close(our_gradients, gradients, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_every_complex_operator_sample_gives_the_same_outputs(name, path):
    for sample in torch_operators.samples(name, torch.complex128, requires_grad=False):
        outputs, _ = torch_operators.run(getattr(torch.nn.functional, name), sample)
        our_outputs, _ = torch_operators.run(OPERATORS[name], sample)
        torch.testing.assert_close(our_outputs, outputs, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_mistake_raises_the_same_type(name):
    for mistake in torch_operators.error_samples(name):
        if mistake.error_regex.startswith(BEYOND_TORCH):
            continue  # the next test's
        sample = mistake.sample_input
        with pytest.raises(mistake.error_type):
            OPERATORS[name](sample.input, *sample.args, **sample.kwargs)


@pytest.mark.parametrize("name", [*CONVOLUTIONS, *POOLINGS])
def test_what_torch_refuses_and_pellucid_computes_is_torch_on_explicit_padding(name):
    for mistake in torch_operators.error_samples(name):
        if not mistake.error_regex.startswith(BEYOND_TORCH):
            continue
        sample, kwargs = mistake.sample_input, dict(mistake.sample_input.kwargs)
        padding = kwargs.pop("padding")
        if padding == "same":
            stride, weight = kwargs["stride"], sample.args[0]
            sides = []
            for size, kernel in zip(reversed(sample.input.shape[2:]), reversed(weight.shape[2:]), strict=True):
                total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
                sides += [total // 2, total - total // 2]
            padded = torch.nn.functional.pad(sample.input, sides)
            expected = getattr(torch.nn.functional, name)(padded, *sample.args, **kwargs)
            torch.testing.assert_close(OPERATORS[name](sample.input, *sample.args, padding=padding, **kwargs), expected)
            continue
        dims = int(name[-2])
        kernel = kwargs["kernel_size"] if isinstance(kwargs["kernel_size"], int) else min(kwargs["kernel_size"])
        if padding >= kwargs.get("dilation", 1) * (kernel - 1) + 1:  # a window would see padding alone
            with pytest.raises(mistake.error_type):
                OPERATORS[name](sample.input, *sample.args, padding=padding, **kwargs)
            continue
        padded = torch.nn.functional.pad(sample.input, [padding] * 2 * dims, value=-torch.inf)
        expected, positions = getattr(torch.nn.functional, name)(padded, **kwargs)
        ours, our_positions = OPERATORS[name](sample.input, padding=padding, **kwargs)
        torch.testing.assert_close(ours, expected)
        torch.testing.assert_close(our_positions, positions - padding)  # one axis: no row length to change


@pytest.mark.parametrize("name", OPERATORS)
def test_geometry_foretells_every_operator_sample(name):
    dims = int(name[-2])
    for sample in torch_operators.samples(name, requires_grad=False):
        outputs, _ = torch_operators.run(getattr(torch.nn.functional, name), sample)
        kernel, arguments = read_sample(name, sample)
        sizes = [
            Window(
                pick(kernel, axis),
                stride=pick(arguments["stride"] or kernel, axis),
                dilation=pick(arguments["dilation"], axis),
                padding=named_or_even(arguments, kernel, axis),
                ceil=arguments["ceil_mode"],
            ).output(size)
            for axis, size in enumerate(sample.input.shape[-dims:])
        ]
        assert tuple(sizes) == tuple(outputs[0].shape[-dims:]), (sample, sizes)


def read_sample(name, sample):
    """Name an operator sample's arguments, whichever way they were given."""
    arguments = {"stride": 1, "padding": 0, "dilation": 1, "ceil_mode": False}
    if name.startswith("conv"):
        return tuple(sample.args[0].shape[2:]), arguments | dict(sample.kwargs)
    order = ["kernel_size", "stride", "padding"]
    order += ["ceil_mode"] if name.startswith("avg") else ["dilation", "ceil_mode"]
    arguments |= {"stride": None} | dict(zip(order, sample.args, strict=False)) | dict(sample.kwargs)
    return arguments["kernel_size"], arguments


def pick(value, axis):
    if isinstance(value, int):
        return value
    return value[axis] if len(value) > 1 else value[0]


def named_or_even(arguments, kernel, axis):
    padding = arguments["padding"]
    if padding == "valid":
        return (0, 0)
    if padding == "same":
        total = pick(arguments["dilation"], axis) * (pick(kernel, axis) - 1)
        return (total // 2, total - total // 2)
    return (pick(padding, axis),) * 2

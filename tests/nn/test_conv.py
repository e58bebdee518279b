"""Conv1d to 3d stand in for torch.nn's: construction, state, repr, copies, wrappers; and what is new."""

import copy
import pickle

import pytest
import torch
from torch.nn.utils import parametrizations, parametrize

from pellucid.errors import ArgumentError, SizeError
from pellucid.nn.conv import Conv1d, Conv2d, Conv3d

CLASSES = [(Conv1d, torch.nn.Conv1d, 1), (Conv2d, torch.nn.Conv2d, 2), (Conv3d, torch.nn.Conv3d, 3)]
ARGUMENTS = [
    {},
    {"stride": 2, "padding": 1},
    {"padding": "same", "dilation": 2},
    {"padding": "valid", "bias": False},
    {"padding": 2, "padding_mode": "reflect"},
    {"padding": 1, "padding_mode": "circular", "groups": 2},
    {"padding": "same", "padding_mode": "replicate"},
    {"dtype": torch.float64},
]


def image(dims: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(2, 4, *(6, 7, 8)[:dims], dtype=dtype)


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
@pytest.mark.parametrize(("ours", "theirs", "dims"), CLASSES)
def test_the_same_seed_gives_torchs_weights_repr_and_results(ours, theirs, dims, arguments):
    torch.manual_seed(0)
    own = ours(4, 6, 3, **arguments)
    after_own = torch.get_rng_state()
    torch.manual_seed(0)
    other = theirs(4, 6, 3, **arguments)
    assert torch.equal(after_own, torch.get_rng_state())
    assert repr(own) == repr(other)
    for name in ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"):
        assert getattr(own, name) == getattr(other, name)
    for (name, parameter), (other_name, other_parameter) in zip(
        own.named_parameters(), other.named_parameters(), strict=True
    ):
        assert name == other_name
        assert torch.equal(parameter, other_parameter)
    x = image(dims, arguments.get("dtype", torch.float32))
    for each in (x, x[0]):
        torch.testing.assert_close(own(each), other(each))  # one kernel behind both
    assert isinstance(own, theirs)


@pytest.mark.parametrize(("ours", "theirs", "dims"), CLASSES)
def test_state_goes_both_ways_and_devices_are_kept(ours, theirs, dims):
    own, other = ours(4, 6, 3), theirs(4, 6, 3)
    own.load_state_dict(other.state_dict(), strict=True)
    x = image(dims)
    torch.testing.assert_close(own(x), other(x))
    fresh = theirs(4, 6, 3)
    fresh.load_state_dict(own.state_dict(), strict=True)
    torch.testing.assert_close(fresh(x), other(x))
    meta = ours(4, 6, 3, padding="same", stride=2, device="meta")
    assert meta.weight.device.type == "meta"
    assert meta(x.to("meta")).shape == (2, 6, *(3, 4, 4)[:dims])


def test_copies_and_pickles_keep_what_torch_has_not():
    layer = Conv2d(3, 4, 3, 2, padding=((1, 2), (0, 1)), padding_value=0.5)
    x = torch.randn(1, 3, 7, 7)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
        assert repr(twin) == repr(layer)
    assert "padding=((1, 2), (0, 1)), padding_value=0.5" in repr(layer)


def test_parametrizations_see_their_weights():
    torch.manual_seed(0)
    own, other = Conv2d(3, 4, 3), torch.nn.Conv2d(3, 4, 3)
    other.load_state_dict(own.state_dict())
    x = torch.randn(1, 3, 5, 5)

    class Doubled(torch.nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return 2 * weight

    for layer in (own, other):
        parametrizations.weight_norm(layer)
        parametrize.register_parametrization(layer, "bias", Doubled())
    torch.testing.assert_close(own(x), other(x))
    own(x).sum().backward()
    assert own.parametrizations.weight.original0.grad is not None


@pytest.mark.parametrize("padding", ["same", "same_lower", ((0, 1), (2, 0)), ((1, 0), 1), 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_padding_value_fills_the_padding(padding, stride):
    layer = Conv2d(3, 4, (3, 2), stride, padding, padding_value=2.0, bias=False)
    plain = Conv2d(3, 4, (3, 2), stride, padding, bias=False)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 3, 6, 7)
    # convolution is linear: shifting the input by -2 makes a padding of 2 a padding of 0
    shift = layer.weight.sum((1, 2, 3)).view(1, -1, 1, 1) * 2.0
    torch.testing.assert_close(layer(x), plain(x - 2.0) + shift, rtol=1e-4, atol=1e-4)  # float32, 18 terms


def test_causal_is_for_sequences():
    layer = Conv1d(2, 3, 4, padding="causal", dilation=2)
    x = torch.randn(1, 2, 10)
    later = x.clone()
    later[..., 6:] = 0
    assert torch.equal(layer(x)[..., :6], layer(later)[..., :6])
    assert layer(x).shape == (1, 3, 10)
    with pytest.raises(ArgumentError, match="1d"):
        Conv2d(2, 3, 4, padding="causal")


@pytest.mark.parametrize(
    ("arguments", "torchs_type", "words"),
    [
        ({"groups": 0}, ValueError, "groups=0"),
        ({"groups": 3}, ValueError, "in_channels=4 .* multiple"),
        ({"padding": "full"}, ValueError, "'full' .* 'same_lower'"),
        ({"padding_mode": "mirror"}, ValueError, "'mirror'"),
        ({"kernel_size": -1}, RuntimeError, "kernel_size=-1"),
        ({"kernel_size": 2.5}, TypeError, "2.5, a float"),
    ],
    ids=str,
)
def test_a_bad_argument_raises_torchs_type_with_a_better_sentence(arguments, torchs_type, words):
    arguments = {"kernel_size": 3, **arguments}
    with pytest.raises(torchs_type):
        torch.nn.Conv2d(4, 6, **arguments)
    with pytest.raises(torchs_type, match=words):
        Conv2d(4, 6, **arguments)


def test_an_input_that_does_not_fit_names_the_layer_as_written():
    layer = Conv2d(3, 8, 5, padding=1)
    with pytest.raises(SizeError) as raised:
        layer(torch.zeros(2, 28, 28, 3))
    assert "Conv2d(3, 8, kernel_size=(5, 5), stride=(1, 1), padding=(1, 1))" in str(raised.value)
    assert "28" in str(raised.value)
    with pytest.raises(SizeError, match="height"):
        layer(torch.zeros(2, 3, 2, 28))


def test_compiles_without_a_break():
    layer = Conv2d(3, 4, 3, 2, padding="same")
    x = torch.randn(2, 3, 7, 8)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))

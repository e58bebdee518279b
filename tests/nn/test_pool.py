"""MaxPool and AvgPool stand in for torch.nn's; and what torch has not."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F

from pellucid.errors import ArgumentError, SizeError
from pellucid.nn import pool

CLASSES = [
    (getattr(pool, f"{kind}Pool{dims}d"), getattr(torch.nn, f"{kind}Pool{dims}d"), dims)
    for kind in ("Max", "Avg")
    for dims in (1, 2, 3)
]
ARGUMENTS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": (3,), "padding": (1,)},
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
@pytest.mark.parametrize(("ours", "theirs", "dims"), CLASSES)
def test_torchs_arguments_give_torchs_repr_and_results(ours, theirs, dims, arguments):
    own, other = ours(**arguments), theirs(**arguments)
    assert repr(own) == repr(other)
    for name in ("kernel_size", "stride", "padding", "ceil_mode"):
        assert getattr(own, name) == getattr(other, name)
    assert isinstance(own, theirs)
    assert own.state_dict() == other.state_dict()
    x = torch.randn(2, 4, *(6, 7, 8)[:dims])
    for each in (x, x[0], x[:0]):
        torch.testing.assert_close(own(each), other(each), rtol=1e-6, atol=1e-6)  # sums of 27 numbers, in another order


@pytest.mark.parametrize(("ours", "theirs", "dims"), CLASSES)
def test_wide_padding_is_torch_on_explicit_padding(ours, theirs, dims):
    x = torch.randn(2, 4, *(6, 7, 8)[:dims])
    with pytest.raises(RuntimeError, match=r"at most half|half of kernel"):
        theirs(3, 2, 2)(x)
    nothing = -torch.inf if "Max" in ours.__name__ else 0.0
    expected = theirs(3, 2)(F.pad(x, (2, 2) * dims, value=nothing))
    torch.testing.assert_close(ours(3, 2, 2)(x), expected, rtol=1e-6, atol=1e-6)  # sums of 27 numbers, in another order
    with pytest.raises(SizeError, match=r"at most 2"):
        ours(3, 2, 3)(x)
    filled = ours(3, 2, 3, padding_value=0.25)(x)
    assert torch.equal(filled, theirs(3, 2)(F.pad(x, (3, 3) * dims, value=0.25)))


@pytest.mark.parametrize("padding", ["same", "same_lower", 2, ((2, 0), (0, 1))])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_positions_lead_back_to_the_maxima(padding, ceil_mode):
    x = torch.randn(2, 3, 7, 6)
    out, positions = pool.MaxPool2d(3, 2, padding, return_indices=True, ceil_mode=ceil_mode)(x)
    assert torch.equal(x.flatten(2).gather(2, positions.flatten(2)).view_as(out), out)
    assert torch.equal(pool.MaxPool2d(3, 2, padding, ceil_mode=ceil_mode)(x), out)


def test_same_average_counts_the_input_only_when_asked():
    ones = torch.ones(1, 1, 5)
    assert pool.AvgPool1d(3, 2, "same", count_include_pad=False)(ones).tolist() == [[[1.0, 1.0, 1.0]]]
    assert pool.AvgPool1d(4, 1, "causal")(4 * ones).tolist() == [[[1.0, 2.0, 3.0, 4.0, 4.0]]]


def test_copies_and_pickles_keep_what_torch_has_not():
    x = torch.randn(1, 3, 7, 7)
    for layer in (
        pool.MaxPool2d(3, 2, ((1, 2), 0), padding_value=0.0),
        pool.AvgPool2d(2, 2, "same_lower", dilation=2),
    ):
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert torch.equal(twin(x), layer(x))
            assert repr(twin) == repr(layer)
    assert "padding=((1, 2), 0)" in repr(pool.MaxPool2d(3, 2, ((1, 2), 0), padding_value=0.0))
    assert "dilation=2" in repr(pool.AvgPool2d(2, dilation=2))


def test_mistakes_are_told_with_the_layer_as_written():
    with pytest.raises(ArgumentError, match=r"MaxPool2d: padding='full'.*'same_lower'"):
        pool.MaxPool2d(2, padding="full")
    with pytest.raises(SizeError, match=r"AvgPool1d: .*\(\(1, 2\),\)"):
        pool.AvgPool1d(2, padding=(1, 2))
    with pytest.raises(SizeError, match=r"MaxPool2d\(kernel_size=4, stride=4.*height"):
        pool.MaxPool2d(4)(torch.zeros(1, 1, 3, 8))


def test_compiles_without_a_break():
    x = torch.randn(2, 3, 7, 8)
    for layer in (pool.MaxPool2d(3, 2, "same"), pool.AvgPool2d(3, 2, 2, ceil_mode=True)):
        compiled = torch.compile(layer, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), layer(x))

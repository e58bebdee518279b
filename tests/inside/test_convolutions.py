"""The promise: what filters are said to see, to repeat and to be driven by is what they do."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import pellucid
from pellucid import inside
from pellucid import nn as layers
from pellucid.errors import ArgumentError, SizeError


def test_the_effective_field_of_a_uniform_kernel_is_its_window() -> None:
    """One convolution whose weights are equal: the gradient is flat over 3 x 3 places and nowhere else."""
    conv = layers.Conv2d(1, 2, 3, padding="same")
    with torch.no_grad():
        conv.weight.fill_(0.3)
    model = nn.Sequential(conv)
    found = inside.effective_field(model, (1, 9, 9), "0.out")
    expected = torch.zeros(9, 9)
    expected[3:6, 3:6] = 1
    torch.testing.assert_close(found.gradient, expected)
    assert found.size == pytest.approx(3)
    assert found.theoretical == 3
    assert found.unit == (4, 4)


def test_the_effective_field_is_narrower_than_the_theoretical() -> None:
    """Ten linear convolutions with equal weights: the gradient is the tenfold convolution of a box, near a Gaussian of
    standard deviation sqrt(10 * 2/3) (Luo et al. 2016, section 2.2), whose two deviations hold fewer rows than the 21 of
    the arithmetic."""
    model = nn.Sequential(*(layers.Conv1d(1, 1, 3, padding="same", bias=False) for _ in range(10)))
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1 / 3)
    found = inside.effective_field(model, (1, 41), "9.out", items=4)
    box = torch.full((1, 1, 3), 1 / 3)
    expected = torch.zeros(1, 1, 41)
    expected[..., 20] = 1
    for _ in range(10):
        expected = nn.functional.conv1d(expected, box, padding=1)
    torch.testing.assert_close(found.gradient, expected[0, 0] / expected.max())
    assert found.theoretical == 21
    threshold = math.sqrt(2 * math.log(1 / 0.0455) * 10 * 2 / 3)
    assert found.size == 2 * math.floor(threshold) + 1
    assert found.size < 21


def test_fields_inside_a_block() -> None:
    """The map of a block is seen before its pooling, and of one filter its own gradient."""
    torch.manual_seed(0)
    model = nn.Sequential(layers.ConvBlock(1, 2, 3), layers.ConvBlock(2, 2, 3))
    sizes = {
        name: inside.effective_field(model, (1, 24, 24), name, channel=1)
        for name in ("0.map", "0.pool", "1.map", "1.pool")
    }
    assert [v.theoretical for v in sizes.values()] == [3, 4, 8, 10]
    for found in sizes.values():
        rows = (found.gradient > 0).any(1).nonzero()
        assert int(rows.max() - rows.min()) + 1 <= (found.theoretical or 0)
    with pytest.raises(ArgumentError, match="has 2 filters, and no 2"):
        inside.effective_field(model, (1, 24, 24), "0.map", channel=2)
    with pytest.raises(ArgumentError, match=r"near it, it has 0\.map"):
        inside.effective_field(model, (1, 24, 24), "0.mapp")
    with pytest.raises(ArgumentError, match="is not a feature map"):
        inside.effective_field(model, (1, 24, 24), "0")


def test_dead_filters_are_those_that_nothing_excites() -> None:
    conv = layers.Conv2d(1, 3, 3)
    with torch.no_grad():
        conv.bias.copy_(torch.tensor([0.0, -100.0, 100.0]))  # type: ignore[union-attr]
        with pellucid.trace(conv) as seen:
            conv(torch.rand(4, 1, 6, 6))
    assert inside.dead_filters(seen["out"]).tolist()[1:] == [True, False]
    with pytest.raises(SizeError, match=r"got \(2, 3\)"):
        inside.dead_filters(torch.zeros(2, 3))


def test_duplicates_are_copies_up_to_scale_sign_and_offset() -> None:
    torch.manual_seed(0)
    maps = torch.randn(3, 5, 8, 8)
    maps[:, 3] = 2 - 3 * maps[:, 1]
    maps[:, 4] = 7.3  # constant: correlates with nothing
    found = inside.duplicate_filters(maps)
    assert [(i, j) for i, j, _ in found] == [(1, 3)]
    assert found[0][2] == pytest.approx(-1)
    expected = torch.corrcoef(maps[:, :4].movedim(1, 0).flatten(1).double())
    every = {(i, j): r for i, j, r in inside.duplicate_filters(maps, above=0)}
    assert every[0, 2] == pytest.approx(float(expected[0, 2]))
    assert all(4 not in pair for pair in every)
    with pytest.raises(ArgumentError, match="above=2"):
        inside.duplicate_filters(maps, above=2)


@pytest.mark.parametrize("largest", [True, False])
def test_the_items_that_drive_a_filter_are_found_where_they_are(largest: bool) -> None:
    """Against all maps of all items at once."""
    torch.manual_seed(0)
    model = nn.Sequential(layers.Conv2d(1, 4, 3), nn.Dropout(0.5), layers.MaxPool2d(2))
    x = torch.randn(23, 1, 7, 9)
    found = inside.drivers(model, x.split(5), "0.out", k=3, largest=largest)
    maps = model[0](x).detach()
    best = maps.flatten(2).amax(-1) if largest else maps.flatten(2).amin(-1)
    expected = best.topk(3, dim=0, largest=largest)
    assert torch.equal(found.items, expected.indices.T)
    torch.testing.assert_close(found.values, expected.values.T)
    for unit in range(4):
        for item, value, (row, column) in zip(
            found.items[unit], found.values[unit], found.positions[unit].tolist(), strict=True
        ):
            assert maps[item, unit, row, column] == pytest.approx(float(value))
    assert model[1].training


def test_steps_that_do_not_exist_drive_nothing() -> None:
    """All hidden units are negative, so that the zero of padding would win."""
    rnn = layers.RNN(1, 2, batch_first=True)
    with torch.no_grad():
        for p in rnn.parameters():
            p.fill_(0)
        rnn.bias_ih_l0.fill_(-3)
        rnn.weight_ih_l0.fill_(1)
    x = torch.zeros(3, 6, 1)
    x[1, 1] = 0.5
    x[2, 5] = 2.0  # beyond the length
    for lengths in (torch.tensor([6, 4, 3]), [6, 4, 3]):
        found = inside.drivers(rnn, [(x, lengths)], "l0.h", k=1)
        assert found.items.tolist() == [[1], [1]]
        assert found.positions.tolist() == [[[1]], [[1]]]
        assert (found.values < 0).all()


def test_drivers_of_units_without_positions_and_what_cannot_be() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
        model[0].bias.zero_()
    x = torch.tensor([[1.0, 0.0], [3.0, -1.0], [2.0, 5.0]])
    found = inside.drivers(model, x.split(2), "0.out", k=5)
    assert found.items.tolist() == [[1, 2, 0], [2, 0, 1]]
    assert found.positions.shape == (2, 3, 0)
    with pytest.raises(ArgumentError, match="k=0"):
        inside.drivers(model, [x], "0.out", k=0)
    with pytest.raises(ArgumentError, match="no batches"):
        inside.drivers(model, [], "0.out")
    with pytest.raises(ArgumentError, match="no '1'"):
        inside.drivers(model, [x], "1")
    with pytest.raises(ArgumentError, match=r"is not one value; it has 0.out"):
        inside.drivers(model, [x], "0")

"""The promise: drawings and arrays show the numbers of the trace, with their axes named; what is missing is a sentence."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pellucid
from pellucid import nn as layers
from pellucid.errors import ArgumentError
from pellucid.trace import Trace


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Trace:
    monkeypatch.setenv("MPLBACKEND", "agg")

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block, self.gru, self.one = layers.ConvBlock(1, 3, 3), layers.GRU(3, 4), layers.RNN(4, 1)
            self.deep = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            maps = self.block(x).flatten(2).permute(2, 0, 1)
            h = self.gru(maps)[0]
            self.deep(h.unsqueeze(0))
            return self.one(h)[0]  # type: ignore[no-any-return]

    torch.manual_seed(0)
    model = Model()
    with pellucid.trace(model) as seen:
        model(torch.randn(2, 1, 10, 12))[-1].sum().backward()
    return seen


def test_a_heat_map_of_units_and_time(seen: Trace) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    ax = seen.plot("gru.l0.z", item=1)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time step", "unit")
    (image,) = ax.get_images()
    np.testing.assert_allclose(image.get_array(), seen["gru.l0.z"].values[:, 1].T.detach())
    assert image.get_clim() == (0, 1)
    assert [a.get_ylabel() for a in ax.figure.axes] == ["unit", "gru.l0.z"]
    gradient = seen.plot("gru.l0.h", grad=True).get_images()[0]
    np.testing.assert_allclose(gradient.get_array(), seen["gru.l0.h"].grad[:, 0].T)
    low, high = gradient.get_clim()
    assert low == -high
    pyplot.close("all")


def test_one_unit_is_a_line_and_maps_lie_side_by_side(seen: Trace) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    _, own = pyplot.subplots()
    ax = seen.plot("one.l0.h", ax=own)
    assert ax is own
    np.testing.assert_allclose(ax.lines[0].get_ydata(), seen["one.l0.h"].values[:, 0, 0].detach())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time step", "one.l0.h")
    picture = np.ma.filled(seen.plot("block.pool").get_images()[0].get_array(), np.nan)
    maps = seen["block.pool"].values[0].detach()  # (3, 4, 5): two in the first row, one below
    np.testing.assert_allclose(picture[:4, 6:11], maps[1])
    np.testing.assert_allclose(picture[5:9, :5], maps[2])
    assert np.isnan(picture[4]).all()
    pyplot.close("all")


def test_what_cannot_be_drawn_is_a_sentence(seen: Trace) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ArgumentError, match="has 2 items, and no 2; give 0 to 1"):
        seen.plot("gru.l0.z", item=2)
    with pytest.raises(ArgumentError, match="axes unknown"):
        seen.plot("deep.out")
    with pytest.raises(ArgumentError, match="no gradient has reached deep"):
        seen.plot("deep.out", grad=True)


def test_arrays_have_named_axes(seen: Trace) -> None:
    xarray = pytest.importorskip("xarray")
    arrays = seen.to_xarray()
    assert arrays.keys() == seen.keys()
    assert arrays["gru.l0.r"].dims == ("T", "B", "H")
    assert arrays["block.map"].dims == ("B", "C", "H", "W")
    np.testing.assert_array_equal(arrays["gru.l0.r"], seen["gru.l0.r"].values.detach())
    layer = xarray.Dataset({n: v for n, v in arrays.items() if n.startswith("gru.l0.")})
    assert layer.sizes == {"T": 20, "B": 2, "H": 4}
    gradients = seen.to_xarray(grad=True)
    np.testing.assert_array_equal(gradients["gru.l0.h"], seen["gru.l0.h"].grad)
    assert "deep.out" not in gradients


@pytest.mark.parametrize(("library", "call"), [("matplotlib", "plot"), ("xarray", "to_xarray")])
def test_a_missing_library_is_a_sentence(
    seen: Trace,
    monkeypatch: pytest.MonkeyPatch,
    library: str,
    call: str,
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ArgumentError, match=rf"{library}, which is not installed: pip install 'pellucid\[inside\]'"):
        seen.plot("gru.l0.z") if call == "plot" else seen.to_xarray()


def test_without_captum_the_attribution_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ArgumentError, match="needs Captum"):
        pellucid.inside.integrated_gradients(nn.Linear(2, 1), torch.randn(3, 2), 0)

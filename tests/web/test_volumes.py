"""The promise: convolution and pooling over three axes are stages like others, slice by slice, with the layers' own numbers."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Any

import pytest
import torch
from playwright.sync_api import Locator, Page, expect
from tests.web.conftest import Open, drawn
from tests.web.test_convolution import at, frame, numbered, point, stage
from torch import Tensor
from torch import nn as torch_nn

from pellucid import nn, trace
from pellucid.errors import ArgumentError
from pellucid.trace import Trace
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.questions import ask


class Scan(torch_nn.Module):
    """A block and a torch convolution over volumes, and a pooling that is called as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.ConvBlock(2, 3, (3, 2, 3), dims=3, padding="same", pool="max", pool_size=(1, 2, 2))
        self.norm = torch_nn.BatchNorm3d(3)
        self.conv = torch_nn.Conv3d(3, 4, (2, 3, 3), stride=(2, 1, 1), padding=1, groups=1)
        self.pool = nn.AvgPool3d((1, 2, 2))
        self.head = torch_nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.pool(self.conv(self.norm(self.block(x))))
        return self.head(torch_nn.functional.max_pool3d(maps, 2).amax((2, 3, 4)))


@pytest.fixture
def scan() -> Opened:
    """Two volumes of 6 slices of 8 x 8."""
    batch = torch.rand(2, 2, 6, 8, 8, generator=torch.Generator().manual_seed(3))
    return of_models({"scan": drawn(Scan())}, batch)


def seen_of(opened: Opened) -> Trace:
    with trace(opened.networks[0].model, grad=False) as seen:
        opened.networks[0].model(*opened.items[0].args)
    return seen


def asked(opened: Opened, name: str, **more: Any) -> Any:
    return ask(opened, name, {"network": "scan", "item": 0, **more})


def test_the_stages_of_a_volume(scan: Opened) -> None:
    """Each with its depth; what a position sees is told along it, too."""
    found = asked(scan, "stages")["stages"]
    assert [(s["name"], s["kind"], s["depth"], s["shape"]) for s in found] == [
        ("input", "input", 6, [2, 8, 8]),
        ("block.map", "convolution", 6, [3, 8, 8]),
        ("block.act", "activation", 6, [3, 8, 8]),
        ("block.pool", "pooling", 6, [3, 4, 4]),
        ("norm.out", "normalisation", 6, [3, 4, 4]),
        ("conv.out", "convolution", 4, [4, 4, 4]),
        ("pool.out", "pooling", 4, [4, 2, 2]),
    ]
    conv = found[5]
    assert (conv["deep"]["norm.out"], conv["sees"]["norm.out"]) == ([2, 2, -1], [[3, 1, -1], [3, 1, -1]])
    assert conv["deep"]["input"] == [4, 2, -2]  # 2 slices, and one more on either side for the block's 3


def test_a_position_sees_no_more_than_the_stages_say(scan: Opened) -> None:
    """The gradient of a number of the last convolution lies inside its receptive field, in depth as in the plane."""
    conv = asked(scan, "stages")["stages"][5]
    done = scan.seen("scan", 0)
    (gradient,) = torch.autograd.grad(done.seen["conv.out"].values[0, 1, 1, 2, 2], done.starts[0], retain_graph=True)
    sees = [conv["deep"]["input"], *conv["sees"]["input"]]
    for axis, (place, (size, jump, first)) in enumerate(zip((1, 2, 2), sees, strict=True)):
        others = [2, 3, 4]
        del others[axis]
        reached = gradient[0].abs().sum(0).sum([o - 2 for o in others]).nonzero()[:, 0]
        assert first + jump * place <= int(reached.min())
        assert int(reached.max()) < first + jump * place + size
    leaning = asked(scan, "leaning", stage="conv.out", filter=1, depth=1, row=2, column=2)
    assert leaning["at"] == int(gradient[0].abs().amax((0, 2, 3)).argmax())
    assert leaning["positions"] == int((gradient != 0).any(1).sum())


@pytest.mark.parametrize("name", ["block.map", "conv.out"])
def test_products_of_a_volume_add_up(scan: Opened, name: str) -> None:
    """At the corners: window x filter over depth, rows and columns, summed over channels, and the bias are the trace's number."""
    values = seen_of(scan)[name].values[0]
    last = [size - 1 for size in values.shape]
    for f, d, r, c in ([0, 0, 0, 0], [1, 1, 2, 3], last):
        channels = range(2 if name == "block.map" else 3)
        found = [
            asked(scan, "pixel", stage=name, filter=f, depth=d, row=r, column=c, channel=channel)
            for channel in channels
        ]
        assert found[0]["value"] == float(values[f, d, r, c])
        products = sum(torch.tensor(one["window"]).mul(torch.tensor(one["weights"])).sum() for one in found)
        assert float(products) + found[0]["bias"] == pytest.approx(found[0]["value"], rel=1e-4, abs=1e-5)
        assert found[0]["total"] == pytest.approx(found[0]["value"], rel=1e-4, abs=1e-5)


def test_the_winner_of_a_volume() -> None:
    """Its depth, row and column in the window are where torch's kernel found it."""
    model = torch_nn.Sequential(nn.MaxPool3d((2, 2, 3)))
    x = torch.rand(1, 1, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    opened = of_models({"scan": model}, x)
    _, places = torch_nn.functional.max_pool3d(x, (2, 2, 3), return_indices=True)
    found = asked(opened, "pixel", stage="0.out", filter=0, depth=1, row=2, column=1)
    depth, row, column = found["winner"]
    assert found["window"][depth][row][column] == found["value"]
    assert int(places[0, 0, 1, 2, 1]) == ((2 + depth) * 6 + 4 + row) * 6 + 3 + column


def test_a_volume_with_another_window(scan: Opened) -> None:
    """The tile is the slice that was asked for of what the layer computes with it."""
    found = asked(scan, "variant", stage="conv.out", filter=2, depth=1, stride=1)
    conv = scan.networks[0].model.conv
    with torch.no_grad():
        whole = torch.conv3d(seen_of(scan)["norm.out"].values, conv.weight, conv.bias, padding=1)[0, 2]  # type: ignore[union-attr, arg-type]
    assert (found["depth"], found["shape"]) == (len(whole), [4, 4, 4])
    low, high = found["tile"]["low"], found["tile"]["high"]
    torch.testing.assert_close(picture(found["tile"]), whole[1].clamp(low, high), rtol=0, atol=(high - low) / 255)


def test_maps_are_slices(scan: Opened) -> None:
    """Of the depth that was asked for; one that is not there is a sentence."""
    values = seen_of(scan)["block.map"].values[0]
    for depth in (0, 5):
        tile = asked(scan, "maps", stage="block.map", first=1, depth=depth)["tile"]
        torch.testing.assert_close(picture(tile), values[1:, depth], rtol=0, atol=(tile["high"] - tile["low"]) / 255)
    with pytest.raises(ArgumentError, match="is 6 deep; there is no depth 6"):
        asked(scan, "maps", stage="block.map", first=0, depth=6)


def picture(tile: dict[str, Any]) -> Tensor:
    """The numbers of a tile, to 1/255 of its range."""
    data = torch.frombuffer(bytearray(b64decode(tile["bytes"])), dtype=torch.uint8).reshape(tile["shape"])
    return tile["low"] + data / 255 * (tile["high"] - tile["low"])


def slider(where: Locator | Page, name: str) -> Locator:
    return where.get_by_role("slider", name=name)


def test_slices_are_chosen_and_the_number_follows(scan: Opened, visit: Open) -> None:
    """The slider of a stage shows another slice, a click opens a number in it, and the window is shown depth by depth."""
    page = visit(scan)
    expect(page.locator("[data-stage] h3").nth(1)).to_have_text("Convolution 3 × 2 × 3")
    expect(stage(page, "block.map")).to_contain_text("6 × 8 × 8")
    slider(stage(page, "block.map"), "Depth that is shown").fill("2")
    expect(stage(page, "block.map")).to_contain_text("depth 2 of 6")
    map = stage(page, "block.map").get_by_role("application").nth(1)
    map.click(position=point(map, 3, 4, 8, 8))
    detail = page.locator(".detail")
    expect(detail.get_by_role("heading", level=3)).to_have_text(
        "Convolution 3 × 2 × 3: map 2, depth 2, row 4, column 5"
    )
    assert (at(page)["depth"], at(page)["row"]) == ("1", "3")
    values = seen_of(scan)["block.map"].values[0]
    expect(detail.locator('[data-number="value"]')).to_have_text(numbered(float(values[1, 1, 3, 4])))
    x = scan.items[0].x[0]
    for depth in range(3):
        window = detail.get_by_role("table", name=f"Window, depth {depth + 1}").get_by_role("cell")
        expect(window).to_have_text([f"{v:.2f}" for v in x[depth, 3:5, 3:6].flatten().tolist()])
    slider(detail, "Depth that is shown: Its own map").press("ArrowRight")
    expect(detail.get_by_role("heading", level=3)).to_contain_text("depth 3")
    expect(detail.locator('[data-number="value"]')).to_have_text(numbered(float(values[1, 2, 3, 4])))
    expect(detail).to_contain_text("This position sees 3 × 2 × 3 of the input: depths 2 to 4")


def test_frames_are_on_the_slices_that_are_seen(scan: Opened, visit: Open) -> None:
    """Of the input those inside the window; of others the frame is gone."""
    page = visit(scan, "layer=block.map&map=0&depth=1&row=3&column=4")
    assert frame(page, "input") == [37.5, 37.5, 37.5, 25]
    slider(stage(page, "input"), "Depth that is shown").fill("3")
    expect(stage(page, "input").locator(".mark")).to_have_count(2)
    slider(stage(page, "input"), "Depth that is shown").fill("5")
    expect(stage(page, "input").locator(".mark")).to_have_count(0)
    page.get_by_role("button", name="What it really leans on").click()
    expect(page.locator(".detail")).to_contain_text(re.compile(r"those of depth [123], where it is largest"))


def test_pooling_of_a_volume_on_a_phone_in_korean(scan: Opened, visit: Open) -> None:
    page = visit(scan, "layer=block.pool&map=2&depth=4&row=1&column=1", width=390)
    page.get_by_role("button", name="한국어").click()
    expect(page.locator(".detail").get_by_role("heading", level=3)).to_have_text(
        "최대 풀링 1 × 2 × 2: 맵 3, 깊이 5, 2행 2열"
    )
    value = float(seen_of(scan)["block.pool"].values[0, 2, 4, 1, 1])
    expect(page.locator('.detail [data-number="value"]')).to_have_text(numbered(value))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

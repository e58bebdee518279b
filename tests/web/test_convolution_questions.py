"""The promise: what the page says of convolution and pooling is what the layers computed, number by number."""

from __future__ import annotations

from base64 import b64decode, b64encode
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch import nn as torch_nn
from torch.nn import functional as F

from pellucid import explain, nn, trace
from pellucid.errors import ArgumentError
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.questions import Answer, ask
from pellucid.web.questions.tiles import tile
from pellucid.web.questions.variant import resized
from pellucid.web.stages import span


def opened(model: torch_nn.Module, *shape: int, seed: int = 0, positive: bool = False) -> Opened:
    """The model with weights from the seed, and one random item."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
            parameter.copy_(parameter.abs() + 0.1 if positive else parameter)
    x = torch.randn(1, *shape, generator=generator)
    return of_models({"model": model}, x.abs() + 0.1 if positive else x)


def asked(what: Opened, name: str, **parameters: Any) -> Answer:
    return ask(what, name, {"network": "model", "item": 0, **parameters})


def stages(what: Opened) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(what, "stages")["stages"]
    return found


def two(values: Tensor) -> Tensor:
    """(C, L) as (C, 1, L)."""
    return values[:, None] if values.dim() == 2 else values


CONVOLUTIONS = {
    "plain": (nn.Conv2d(3, 4, 3), (3, 7, 6)),
    "even": (nn.Conv2d(2, 3, (2, 4), stride=(2, 1), padding=(1, 2)), (2, 7, 6)),
    "same": (nn.Conv2d(2, 3, (5, 2), stride=2, padding="same"), (2, 7, 6)),
    "same lower": (nn.Conv2d(2, 3, 4, stride=3, padding="same_lower"), (2, 7, 8)),
    "valid": (nn.Conv2d(2, 3, 3, padding="valid"), (2, 7, 6)),
    "pairs": (nn.Conv2d(2, 3, 3, padding=((2, 0), (0, 1)), padding_value=0.75), (2, 5, 6)),
    "dilated": (nn.Conv2d(2, 3, 3, padding=2, dilation=(2, 1), stride=(1, 2)), (2, 7, 6)),
    "groups": (nn.Conv2d(6, 4, 3, padding=1, groups=2, bias=False), (6, 5, 5)),
    "depthwise": (nn.Conv2d(4, 8, 3, padding=1, groups=4), (4, 5, 5)),
    "reflect": (nn.Conv2d(2, 3, 3, padding=2, padding_mode="reflect"), (2, 5, 5)),
    "replicate": (nn.Conv2d(2, 3, 3, padding=2, padding_mode="replicate"), (2, 5, 5)),
    "circular": (nn.Conv2d(2, 3, 3, padding=2, padding_mode="circular"), (2, 5, 5)),
    "torch": (torch_nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, padding_mode="reflect"), (2, 7, 6)),
    "torch same": (torch_nn.Conv2d(2, 3, 4, padding="same"), (2, 7, 6)),
    "sequence": (nn.Conv1d(3, 4, 5, stride=2, padding=2), (3, 11)),
    "causal": (nn.Conv1d(3, 4, 3, padding="causal", dilation=4), (3, 11)),
    "torch sequence": (torch_nn.Conv1d(4, 4, 3, groups=4, padding=1, padding_mode="circular"), (4, 9)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_products_add_up_to_the_traced_number(name: str) -> None:
    """At the corners and in the middle, window x filter = products, whose sum and the bias are the layer's own number.

    A sum of n products in float32, in any order, errs by at most n roundings of the sum of their sizes (Higham 2002, 3.1).
    """
    layer, shape = CONVOLUTIONS[name]
    what = opened(layer, *shape)
    with trace(layer, grad=False) as seen:
        layer(*what.items[0].args)
    values = two(seen["out"].values[0])
    count, height, width = values.shape
    for f, r, c in product({0, count - 1}, {0, height // 2, height - 1}, {0, width // 2, width - 1}):
        at = {"stage": "out", "filter": f, "row": r, "column": c}
        answers = [asked(what, "pixel", **at, channel=k) for k in range(layer.weight.shape[1])]
        weights = two(layer.weight.detach()[f].double())
        sizes = 0.0
        for k, answer in enumerate(answers):
            assert answer["weights"] == weights[k].tolist()
            window = torch.tensor(answer["window"], dtype=torch.float64)
            products = torch.tensor(answer["products"], dtype=torch.float64)
            torch.testing.assert_close(window * weights[k], products, rtol=0, atol=0)
            assert answer["sums"][k] == pytest.approx(float(products.sum()), rel=1e-12, abs=1e-12)
            sizes += float(products.abs().sum())
        bias = 0.0 if layer.bias is None else float(layer.bias.detach()[f])
        assert answers[0]["bias"] == (None if layer.bias is None else bias)
        bound = (weights.numel() + 1) * 2.0**-24 * (sizes + abs(bias))
        assert answers[0]["value"] == float(values[f, r, c])
        assert abs(answers[0]["total"] - answers[0]["value"]) <= bound


def test_padding_is_marked_and_holds_what_the_layer_puts_there() -> None:
    """The first window of a padded layer: cells outside the map are marked; they hold the padding's value."""
    what = opened(nn.Conv2d(1, 1, 3, padding=((2, 0), (1, 0)), padding_value=0.75), 1, 4, 4)
    answer = asked(what, "pixel", stage="out", filter=0, row=0, column=0)
    assert answer["padding"] == [[True] * 3, [True] * 3, [True, False, False]]
    assert answer["window"][0] == [0.75] * 3
    assert answer["window"][2][1:] == what.items[0].x[0, 0, :2].tolist()
    around = opened(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), 1, 4, 4)
    last = asked(around, "pixel", stage="out", filter=0, row=3, column=3)
    assert last["padding"] == [[False, False, True], [False, False, True], [True] * 3]
    assert last["window"][2][2] == float(around.items[0].x[0, 0, 0])  # borrowed from the other end


def test_a_filter_of_a_group_reads_its_groups_channels() -> None:
    """Of six channels in two groups, the third filter of four reads the last three."""
    layer = nn.Conv2d(6, 4, 1, groups=2)
    what = opened(layer, 6, 2, 2)
    answer = asked(what, "pixel", stage="out", filter=2, row=1, column=0, channel=1)
    assert answer["first"] == 3
    assert answer["window"] == [[float(what.items[0].x[4, 1, 0])]]


def test_channels_last() -> None:
    """An image whose channels lie last in memory has the same stages and numbers."""
    layer = nn.ConvBlock(3, 4, 3, padding="same")
    what = opened(layer, 3, 6, 6)
    last = of_models({"model": layer}, what.items[0].args[0].contiguous(memory_format=torch.channels_last))  # type: ignore[union-attr]
    for stage in stages(what):
        at = {"stage": stage["name"], "filter": 2, "row": 1, "column": 2}
        one, other = asked(what, "pixel", **at), asked(last, "pixel", **at)
        assert other["value"] == pytest.approx(one["value"], rel=1e-5)
        windows = [torch.tensor(answer.get("window", 0.0)) for answer in (one, other)]
        torch.testing.assert_close(*windows)


MAX_POOLS = {
    "plain": nn.MaxPool2d(2),
    "padded": nn.MaxPool2d(3, 2, padding=1),
    "dilated": nn.MaxPool2d(2, 1, dilation=2),
    "ceil": nn.MaxPool2d(3, 2, ceil_mode=True),
    "torch": torch_nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
}


@pytest.mark.parametrize("name", MAX_POOLS)
def test_the_winner_is_the_one_that_torch_names(name: str) -> None:
    """Of few different numbers, so that there are ties: the winner's place is the one that torch's kernel gives."""
    layer = MAX_POOLS[name]
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 3, (1, 2, 7, 8), generator=generator).float()
    what = of_models({"model": torch_nn.Sequential(layer)}, x)
    window = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    values, places = F.max_pool2d(x, *window, ceil_mode=layer.ceil_mode, return_indices=True)
    begin, step, dilation = int(layer.padding), int(layer.stride), int(layer.dilation)
    for f, r, c in product(range(2), range(values.shape[2]), range(values.shape[3])):
        answer = asked(what, "pixel", stage="0.out", filter=f, row=r, column=c)
        assert answer["value"] == float(values[0, f, r, c])
        row, column = answer["winner"]
        assert answer["window"][row][column] == answer["value"]
        place = (r * step - begin + row * dilation) * 8 + c * step - begin + column * dilation
        assert place == int(places[0, f, r, c])


AVERAGE_POOLS = {
    "plain": nn.AvgPool2d(2),
    "padded": nn.AvgPool2d(3, 2, padding=1),
    "without padding": nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
    "ceil": nn.AvgPool2d(3, 2, padding=1, ceil_mode=True),
    "divisor": torch_nn.AvgPool2d(2, divisor_override=3),
    "adaptive": torch_nn.AdaptiveAvgPool2d((2, 4)),
    "global": torch_nn.AdaptiveAvgPool2d(1),
}


@pytest.mark.parametrize("name", AVERAGE_POOLS)
def test_the_mean_is_the_sum_by_the_divisor(name: str) -> None:
    """For every position; the divisor counts padding where the layer does, and never what lies beyond it."""
    layer = AVERAGE_POOLS[name]
    what = opened(torch_nn.Sequential(layer), 2, 6, 8)
    (_, stage) = stages(what)
    for f, r, c in product(*map(range, stage["shape"])):
        answer = asked(what, "pixel", stage="0.out", filter=f, row=r, column=c)
        assert answer["sum"] / answer["divisor"] == pytest.approx(answer["value"], rel=1e-5, abs=1e-6)


def test_pooling_of_a_sequence() -> None:
    """One row of numbers, with the winner in it."""
    what = of_models({"model": nn.MaxPool1d(3)}, torch.tensor([[[1.0, 5.0, 2.0, 7.0, 7.0, 0.0]]]))
    answer = asked(what, "pixel", stage="out", filter=0, row=0, column=1)
    assert (answer["window"], answer["winner"]) == ([[7.0, 7.0, 0.0]], [0, 0])


class Reused(torch_nn.Module):
    """One activation and one pooling for both convolutions, and the activation writes over its input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch_nn.Conv2d(1, 3, 3, padding=1), torch_nn.Conv2d(3, 4, 3)
        self.relu, self.pool = torch_nn.ReLU(inplace=True), torch_nn.MaxPool2d(2)
        self.head = torch_nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.first(x)))
        x = self.pool(self.relu(self.second(x)))
        return self.head(x.flatten(1))  # type: ignore[no-any-return]


class Called(Reused):
    """The same, with functions in the place of layers."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        return self.head(self.pool(self.relu(self.second(x))).flatten(1))  # type: ignore[no-any-return]


class Residual(torch_nn.Module):
    """Causal convolutions over steps, each added to what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch_nn.ModuleList(nn.Conv1d(2, 2, 3, padding="causal", dilation=2**k) for k in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = x.mT
        for layer in self.layers:
            x = x + torch.relu(layer(x))
        return x[..., -1]


def test_a_layer_that_runs_twice_is_two_stages() -> None:
    """In the order in which they ran; what writes over its input is not what it was given, and stays as it was made."""
    model = Reused()
    what = opened(model, 1, 10, 10)
    found = stages(what)
    assert [s["name"] for s in found] == [
        "input", "first.out", "relu.out (1)", "pool.out (1)", "second.out", "relu.out (2)", "pool.out (2)",
    ]  # fmt: skip
    assert [s["sources"] for s in found] == [[], [0], [1], [2], [3], [4], [5]]
    assert found[1]["low"] < 0 == found[2]["low"]
    assert model.relu.inplace
    assert found[-1]["sees"]["input"] == [[10, 4, -1], [10, 4, -1]]


def test_functions_in_the_place_of_layers_are_stages() -> None:
    """ReLU and pooling called as functions between two convolutions have the numbers and fields of the layers."""
    layers, functions = opened(Reused(), 1, 10, 10), opened(Called(), 1, 10, 10)
    named = dict(zip([s["name"] for s in stages(functions)], stages(layers), strict=True))
    assert list(named) == [
        "input", "first.out", "second.given.before", "second.given", "second.out", "relu.out", "pool.out",
    ]  # fmt: skip
    for own in stages(functions):
        other = named[own["name"]]
        assert own["shape"] == other["shape"]
        assert own["sees"].get("input") == other["sees"].get("input")
        assert own.get("formula") == other.get("formula")
        at = {"filter": 0, "row": 0, "column": 0}
        one = asked(functions, "pixel", stage=own["name"], **at)
        assert one["value"] == asked(layers, "pixel", stage=other["name"], **at)["value"]
    assert named["second.given.before"]["kind"] == "activation"
    assert stages(functions)[2]["does"] == "Relu"


def test_sums_of_branches_are_followed() -> None:
    """What is added up between layers sees what all of its parts see: 1 + 2 (1 + 2 + 4) steps, none of them later."""
    found = stages(opened(Residual(), 9, 2))
    assert [s["kind"] for s in found] == ["input", "convolution", "between", "convolution", "between", "convolution"]
    assert found[4]["sources"] == [2, 3]
    assert found[4]["does"] == "Add, Relu"
    assert found[-1]["sees"]["input"] == [[1, 1, 0], [15, 1, -14]]


def test_what_cannot_be_followed_is_not_claimed() -> None:
    """A map that was turned around between two layers: positions beyond it are not traced back to the input."""

    class Turned(torch_nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).flip(-1))

    found = stages(opened(Turned(), 1, 8, 8))
    assert found[2]["kind"] == "between"
    assert found[2]["sources"] is None
    assert list(found[3]["sees"]) == ["second.given"]


def test_without_convolutions_it_is_a_sentence() -> None:
    """A model of linear layers has nothing that could be shown."""
    with pytest.raises(ArgumentError, match="no convolution or pooling"):
        stages(opened(torch_nn.Sequential(torch_nn.Linear(4, 3), torch_nn.ReLU()), 4))


FIELDS = {
    "strides": (torch_nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.AvgPool2d(2), nn.Conv2d(2, 1, 2)), (1, 17, 19)),
    "dilation": (torch_nn.Sequential(nn.Conv2d(1, 2, (3, 2), dilation=(2, 3)), nn.Conv2d(2, 1, 3, padding="same")), (1, 12, 13)),
    "sequence": (torch_nn.Sequential(nn.Conv1d(2, 2, 3, padding="causal", dilation=2), nn.Conv1d(2, 2, 4, stride=3)), (2, 20)),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_the_field_holds_what_the_gradient_reaches(name: str) -> None:
    """With positive weights every position of the field has a gradient: its bounds are the field's, inside the input."""
    model, shape = FIELDS[name]
    what = opened(model, *shape, positive=True)
    last = stages(what)[-1]
    _, height, width = stages(what)[0]["shape"]
    for r, c in product({0, last["shape"][1] - 1}, {0, last["shape"][2] - 1}):
        leaning = asked(what, "leaning", stage=last["name"], filter=0, row=r, column=c)
        assert leaning["channels"] == shape[0]
        picture = torch.frombuffer(bytearray(b64decode(leaning["tiles"][0]["bytes"])), dtype=torch.uint8)
        reached = (picture.view(height, width) > 128).nonzero()
        for axis, (place, size) in enumerate(((r, height), (c, width))):
            seen, jump, first = last["sees"]["input"][axis]
            start = first + jump * place
            assert int(reached[:, axis].min()) == max(0, start)
            assert int(reached[:, axis].max()) == min(size, start + seen) - 1


def test_leaning_is_the_gradient() -> None:
    """Of one number with respect to the input, by torch on its own."""
    model = torch_nn.Sequential(
        nn.Conv2d(1, 3, 3, padding="same"), torch_nn.LeakyReLU(), nn.Conv2d(3, 2, 3), nn.MaxPool2d(2)
    )
    what = opened(model, 1, 9, 9)
    leaning = asked(what, "leaning", stage="3.out", filter=1, row=1, column=0)
    x = what.items[0].args[0].clone().requires_grad_()  # type: ignore[union-attr]
    (gradient,) = torch.autograd.grad(model(x)[0, 1, 1, 0], x)
    most = float(gradient.abs().max())
    assert most > 0
    assert leaning["tiles"][0]["high"] == pytest.approx(most, rel=1e-5)
    assert leaning["positions"] == int((gradient != 0).sum())
    assert all(p.grad is None for p in model.parameters())


def test_leaning_of_what_has_no_gradient_is_a_sentence() -> None:
    """A model that cuts the graph."""

    class Cut(torch_nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).detach())

    with pytest.raises(ArgumentError, match="no gradient"):
        asked(opened(Cut(), 1, 6, 6), "leaning", stage="second.out", filter=0, row=0, column=0)


VARIANTS: list[dict[str, Any]] = [
    {"stride": 2},
    {"dilation": 2},
    {"padding": "same", "stride": 3},
    {"padding": "valid"},
    {"padding": "3"},
    {"kernel": 3},
    {"kernel": 7, "padding": "2"},
    {"kernel": 2, "stride": 2, "dilation": 2, "padding": "1"},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_a_variant_is_the_layer_built_that_way(changes: dict[str, Any], mode: str) -> None:
    """The map, the size and the costs are those of a layer with these numbers and the filter cut down or extended."""
    layer = nn.Conv2d(4, 6, 5, padding=2, groups=2, padding_mode=mode)  # type: ignore[arg-type]  # a mode
    what = opened(layer, 4, 9, 10)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    answer = asked(what, "variant", stage="out", filter=4, **changes)
    kernel, padding = changes.get("kernel", 5), changes.get("padding", 2)
    new = nn.Conv2d(
        4,
        6,
        kernel,
        changes.get("stride", 1),
        int(padding) if str(padding).isdecimal() else padding,
        changes.get("dilation", 1),
        2,
        padding_mode=mode,  # type: ignore[arg-type]
    )
    with torch.no_grad():
        new.weight.copy_(resized(layer.weight, kernel))
        assert new.bias is not None
        assert layer.bias is not None
        new.bias.copy_(layer.bias)
        maps = new(what.items[0].args[0])
        own = layer(what.items[0].args[0])
    (row,) = explain(new, (4, 9, 10)).rows
    assert answer["shape"] == list(maps.shape[1:])
    assert answer["formula"].startswith(row.formula)
    assert (answer["parameters"], answer["macs"]) == (row.parameters, row.macs)
    close_tiles(answer["tile"], tile(maps[0, 4], *span(own[0])))
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def part(picture: dict[str, Any], map: int) -> str:
    """The bytes of one map of a tile (N, H, W)."""
    data = b64decode(picture["bytes"])
    size = len(data) // picture["shape"][0]
    return b64encode(data[map * size : (map + 1) * size]).decode()


def close_tiles(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Equal but for a byte that was rounded the other way."""
    assert one["shape"] == other["shape"]
    for a, b in zip(b64decode(one["bytes"]), b64decode(other["bytes"]), strict=True):
        assert abs(a - b) <= 1


def test_a_filter_is_cut_down_and_extended_about_its_centre() -> None:
    """Five to three drops the rim; three to six has a zero before and two behind."""
    weight = torch.arange(25.0).reshape(1, 1, 5, 5)
    assert torch.equal(resized(weight, 3), weight[..., 1:4, 1:4])
    assert torch.equal(resized(weight[..., :3, :3], 6), F.pad(weight[..., :3, :3], (1, 2, 1, 2)))
    assert resized(weight, 0) is weight


@pytest.mark.parametrize("layer", [nn.MaxPool2d(2), nn.AvgPool2d(2)], ids=["max", "avg"])
def test_a_variant_of_pooling(layer: torch_nn.Module) -> None:
    """Another window, stride and padding of a pooling."""
    what = opened(torch_nn.Sequential(layer), 2, 8, 9)
    answer = asked(what, "variant", stage="0.out", filter=1, kernel=3, stride=2, padding="1")
    x = what.items[0].args[0]
    new = type(layer)(3, 2, padding=1)(x)  # type: ignore[call-arg]
    close_tiles(answer["tile"], tile(new[0, 1], *span(layer(x)[0])))
    assert answer["formula"] == "floor((8 + 2*1 - 3)/2) + 1 = 4; floor((9 + 2*1 - 3)/2) + 1 = 5"


def test_a_block_is_three_stages_whose_windows_can_be_varied() -> None:
    """Convolution, activation and pooling have the trace's numbers; convolution and pooling take another window."""
    block = nn.ConvBlock(2, 3, 3, activation="tanh", pool="avg", pool_size=2)
    what = opened(block, 2, 9, 9)
    with trace(block, grad=False) as seen:
        block(*what.items[0].args)
    found = stages(what)
    assert [(s["name"], s["kind"], s["does"]) for s in found] == [
        ("input", "input", ""), ("map", "convolution", "ConvBlock"), ("act", "activation", "tanh"), ("pool", "pooling", "avg"),
    ]  # fmt: skip
    for stage in found[1:]:
        answer = asked(what, "pixel", stage=stage["name"], filter=2, row=1, column=2)
        assert answer["value"] == float(seen[stage["name"]].values[0, 2, 1, 2])
    assert asked(what, "variant", stage="pool", filter=0, kernel=3, stride=1)["shape"] == [3, 5, 5]
    assert asked(what, "variant", stage="map", filter=0, stride=2)["shape"] == [3, 4, 4]
    after = asked(what, "pixel", stage="map", filter=2, row=1, column=2)["after"]
    assert after == [{"stage": "act", "does": "tanh", "value": float(seen["act"].values[0, 2, 1, 2])}]


def test_what_cannot_be_is_geometrys_sentence() -> None:
    """A window larger than the map says by how much; reflected padding larger than the map does, too."""
    what = opened(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), 1, 5, 5)
    answer = asked(what, "variant", stage="out", filter=0, kernel=9, padding="valid")
    assert "the height is 5, and a window of 9" in answer["sentence"]
    assert "can pad an input" in asked(what, "variant", stage="out", filter=0, padding="5")["sentence"]
    assert "'saem' is not known" in asked(what, "variant", stage="out", filter=0, padding="saem")["sentence"]


def test_maps_come_in_pages_of_the_layers_range() -> None:
    """So many from the first one on; the range is the layer's, or each map's own."""
    model = nn.Conv2d(1, 40, 1)
    what = opened(model, 1, 3, 4)
    values = model(what.items[0].args[0]).detach()[0]
    page = asked(what, "maps", stage="out", first=36, count=16)
    assert page["count"] == 40
    assert page["tile"] == tile(values[36:], *span(values))
    assert page["ranges"] == [span(values)] * 4
    assert asked(what, "maps", stage="out", first=0, count=1000)["tile"]["shape"] == [32, 3, 4]
    own = asked(what, "maps", stage="out", first=4, count=2, each=True)
    assert own["ranges"] == [span(values[4]), span(values[5])]
    for map, (low, high) in enumerate(own["ranges"]):
        one = {**own["tile"], "shape": [3, 4], "bytes": part(own["tile"], map)}
        close_tiles(one, tile(values[4 + map], low, high))


def test_large_maps_come_in_smaller_pages() -> None:
    """No answer holds more than a quarter of a million numbers, but for a single map."""
    what = opened(nn.Conv2d(1, 8, 1), 1, 300, 300)
    assert len(asked(what, "maps", stage="out", first=0)["ranges"]) == 2


def test_what_the_model_makes_of_its_input_is_not_called_the_input() -> None:
    """An image, and a sequence with its axes turned, are the input; an embedding and differences are not."""

    class Prepared(torch_nn.Module):
        def __init__(self, prepare: torch_nn.Module) -> None:
            super().__init__()
            self.prepare, self.conv = prepare, nn.Conv1d(3, 2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.prepare(x).mT)

    class Differences(torch_nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x[:, -1:]

    first = [
        stages(opened(nn.Conv2d(1, 1, 3), 1, 5, 5)),
        stages(opened(Prepared(torch_nn.Identity()), 6, 3)),
        stages(of_models({"model": Prepared(torch_nn.Embedding(5, 3))}, torch.tensor([[1, 2, 4, 0]]))),
        stages(opened(Prepared(Differences()), 6, 3)),
    ]
    assert [found[0]["does"] for found in first] == ["", "", "given", "given"]


def test_scores_have_their_labels() -> None:
    """What the network ends in, by class."""
    model = torch_nn.Sequential(nn.Conv2d(1, 2, 3), torch_nn.Flatten(), torch_nn.Linear(18, 3))
    what = opened(model, 1, 5, 5)
    what.labels = ("cat", "dog", "owl")
    output = model(what.items[0].args[0])[0].tolist()
    assert asked(what, "stages")["scores"] == [
        {"label": label, "score": score} for label, score in zip(what.labels, output, strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "parameters", "sentence"),
    [
        ("pixel", {"stage": "no", "filter": 0, "row": 0, "column": 0}, "there is no stage 'no'; there are input, out"),
        (
            "pixel",
            {"stage": "out", "filter": 0, "row": 3, "column": 0},
            "1 maps of 3 x 3; there is no map 0 with a row 3",
        ),
        ("pixel", {"stage": "out", "filter": 0, "row": 0, "column": 0, "channel": 1}, "reads 1 channels"),
        ("variant", {"stage": "input", "filter": 0}, "has no window"),
        ("variant", {"stage": "out", "filter": 1}, "has 1 maps, and no 1"),
        ("variant", {"stage": "out", "filter": 0, "stride": -1}, "stride=-1"),
    ],
)
def test_what_is_not_there_is_a_sentence(name: str, parameters: dict[str, Any], sentence: str) -> None:
    """Names and numbers outside what there is."""
    with pytest.raises(ArgumentError) as error:
        asked(opened(nn.Conv2d(1, 1, 3), 1, 5, 5), name, **parameters)
    assert sentence in str(error.value)

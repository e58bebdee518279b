"""The promise: a model from Python takes pictures, drawn or as files, made like those of its batch; and its classes have names."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image
from playwright.sync_api import expect
from tests.web.conftest import Open, Reader, drawn
from tests.web.test_given import png
from tests.web.test_items import draw, drop
from torch import Tensor
from torch import nn as torch_nn

from pellucid import nn
from pellucid.errors import ArgumentError, DataError
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.questions import ask

LABELS = ("cat", "dog", "owl")


class Coloured(torch_nn.Module):
    """Three classes of (3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean((2, 3))


def half(size: tuple[int, int] = (20, 10), mode: str = "RGB", kind: str = "PNG") -> bytes:
    """A file whose left half is red (or white, in grey), and whose right half is black."""
    picture = Image.new(mode, size)
    picture.paste((255, 0, 0) if mode == "RGB" else 255, (0, 0, size[0] // 2, size[1]))
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def given(opened: Opened, content: bytes) -> Tensor:
    number, count = opened.give("it.png", content)
    assert count == 1
    return opened.items[number].x


def test_in_the_batch_s_size_and_range() -> None:
    """Of numbers from 0 to 1 these are black and white; else each channel's lowest and highest in the batch."""
    unit = torch.rand(2, 3, 4, 8).clamp(0.2, 0.7)
    x = given(of_models({"net": Coloured()}, unit), half((8, 4)))
    assert torch.equal(x, torch.tensor([1.0, 0.0, 0.0])[:, None, None] * (torch.arange(8) < 4).expand(3, 4, 8))
    own = torch.tensor([[-2.0, 3.0], [0.0, 255.0], [-1.0, 4.0]])
    scaled = own.T[:, :, None, None].expand(2, 3, 4, 8).contiguous()
    opened = of_models({"net": Coloured()}, scaled)
    x = given(opened, half((8, 4)))
    assert x[:, 0, 0].tolist() == [3.0, 0.0, -1.0]
    assert x[:, 0, -1].tolist() == [-2.0, 0.0, -1.0]
    torch.testing.assert_close(opened.items[-1].own[:, 0, 0], torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(opened.items[1].own, torch.ones(3, 4, 8))


def test_a_channel_that_stands_still_has_the_range_of_all() -> None:
    batch = torch.stack([torch.zeros(4, 4), torch.full((4, 4), 9.0), torch.arange(16.0).view(4, 4)])[None]
    x = given(of_models({"net": Coloured()}, batch), half((4, 4)))
    assert x.amax((1, 2)).tolist() == [15.0, 0.0, 0.0]
    flat = given(of_models({"net": Coloured()}, torch.full((1, 3, 4, 4), 5.0)), half((4, 4)))
    assert torch.isfinite(flat).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_grey_and_large_and_turned(dtype: torch.dtype) -> None:
    """Colours become grey by their brightness, what is larger smaller; a photograph stands upright; glass is white."""
    opened = of_models({"net": drawn(Reader()).to(dtype)}, torch.rand(1, 1, 8, 8, dtype=dtype))
    x = given(opened, half((80, 40), "L"))
    assert x.dtype == dtype
    assert x.shape == (1, 8, 8)
    assert x[0, :, :3].min() == 1
    assert x[0, :, 5:].max() == 0
    assert given(opened, half())[0, 0, 0] == pytest.approx(0.299, abs=2e-3)  # ITU-R BT.601
    ask(opened, "answer", {"network": "net", "item": 1})
    turned, file = Image.open(io.BytesIO(half((8, 8), "L"))), io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6  # to be turned to the right
    turned.save(file, "PNG", exif=exif)
    assert given(opened, file.getvalue())[0, 0].min() == 1
    glass, file = Image.new("RGBA", (8, 8), (0, 0, 0, 0)), io.BytesIO()
    glass.save(file, "PNG")
    assert given(opened, file.getvalue()).min() == 1
    deep, file = Image.new("I;16", (8, 8), 257 * 128), io.BytesIO()
    deep.save(file, "PNG")
    assert given(opened, file.getvalue())[0, 0, 0] == pytest.approx(128 / 255, abs=1e-6)


def test_by_a_function_of_the_person_s() -> None:
    """It is given a picture, and says what the networks see."""
    seen: list[tuple[str, tuple[int, int]]] = []

    def preprocess(picture: Image.Image) -> Tensor:
        seen.append((picture.mode, picture.size))
        return torch.full((3, 4, 8), -1.5)

    opened = of_models({"net": Coloured()}, torch.rand(1, 3, 4, 8), preprocess=preprocess)
    assert given(opened, half()).unique().tolist() == [-1.5]
    assert seen == [("RGB", (20, 10))]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            lambda picture: torch.zeros(3, 9, 9),
            r"made a tensor of \(3, 9, 9\) of this picture; .* a tensor of \(3, 4, 8\)",
        ),
        (lambda picture: picture, "made a Image of this picture"),
        (lambda picture: picture.nothing, "failed on this picture with AttributeError: .*nothing"),
    ],
)
def test_a_function_that_does_not_fit_is_a_sentence(made, words: str) -> None:  # type: ignore[no-untyped-def]
    opened = of_models({"net": Coloured()}, torch.rand(1, 3, 4, 8), preprocess=made)
    with pytest.raises(DataError, match=f"it.png: preprocess {words}"):
        opened.give("it.png", half())


def test_what_is_no_picture_is_a_sentence() -> None:
    """Nor is one read that a few bytes blow up to, or a format that runs another program."""
    opened = of_models({"net": Coloured()}, torch.rand(1, 3, 4, 8))
    for content, words in (
        (b"none", "cannot be read"),
        (png(8_000, 8_000, b""), "8,000 x 8,000 pixels"),
        (half()[:60], "cannot be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be read"),
    ):
        with pytest.raises(DataError, match=f"^it.png: the image .*{words}"):
            opened.give("/var/../it.png", content)
    assert len(opened.items) == 1


def test_other_batches_take_no_pictures(four: Opened) -> None:
    assert four.takes is None
    assert of_models({"net": nn.Conv2d(2, 1, 3)}, torch.rand(1, 2, 8, 8)).takes is None
    assert of_models({"net": nn.Conv3d(1, 1, 3)}, torch.rand(1, 1, 4, 8, 8)).takes is None
    with pytest.raises(ArgumentError, match="preprocess is for pictures"):
        of_models({"net": nn.LSTM(2, 3)}, torch.rand(4, 1, 2), preprocess=lambda picture: torch.zeros(1))


def test_labels_name_scores() -> None:
    """They are those of a softmax over the trace's numbers."""
    opened = of_models({"net": drawn(Coloured())}, torch.rand(2, 3, 4, 8), labels=list(LABELS))
    told = ask(opened, "answer", {"network": "net", "item": 1})
    shares = opened.seen("net", 1).output[0].double().softmax(0)
    assert told["right"] is None
    assert {one["name"]: one["probability"] for one in told["best"]} == pytest.approx(
        dict(zip(LABELS, shares.tolist(), strict=True))
    )


@pytest.mark.parametrize(
    ("model", "labels", "words"),
    [
        (Coloured(), ("cat", "dog"), r"2 labels, and net answers with \(1, 3\)"),
        (torch_nn.Sequential(Coloured(), torch_nn.Softmax(1)), LABELS, "answers with probabilities"),
        (nn.Conv2d(3, 3, 3), LABELS, r"3 labels, and net answers with \(1, 3, 2, 6\)"),
    ],
)
def test_labels_that_do_not_fit_are_a_sentence(model: torch_nn.Module, labels: tuple[str, ...], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        of_models({"net": model}, torch.rand(1, 3, 4, 8), labels=labels)


def test_log_probabilities_are_scores() -> None:
    model = torch_nn.Sequential(Coloured(), torch_nn.LogSoftmax(1))
    opened = of_models({"net": model}, torch.rand(1, 3, 4, 8), labels=LABELS)
    told = ask(opened, "answer", {"network": "net", "item": 0})["best"]
    assert sum(one["probability"] for one in told) == pytest.approx(1)
    assert told[0]["probability"] == pytest.approx(float(opened.seen("net", 0).output.exp().max()))


@pytest.fixture
def digits() -> Opened:
    """Two dark images of 8 x 8 with a range of their own, and names of classes."""
    batch = torch.zeros(2, 1, 8, 8)
    batch[:, :, 2:6, 3] = 16
    return of_models({"reader": drawn(Reader())}, batch, labels=LABELS)


def test_a_picture_is_drawn_for_a_model(visit: Open, digits: Opened) -> None:
    """On a ground as dark as the batch's; white is the batch's highest number. Its answer stands there by name."""
    page = visit(digits, "view=convolution")
    answer = page.get_by_role("region", name="reader", exact=True)
    expect(answer).to_contain_text("owl")
    draw(page)
    page.get_by_role("button", name="Show it to the networks").click()
    expect(page.get_by_role("combobox", name="Input")).to_have_value("2")
    x = digits.items[2].x[0]
    assert x[2:6, :2].mean() > 0.4 * 16
    assert x[:, 4:].max() < 0.16
    best = ask(digits, "answer", {"network": "reader", "item": 2})["best"][0]
    expect(answer.get_by_role("listitem").first).to_contain_text(best["name"])


def test_a_picture_is_dropped_for_a_model(visit: Open, digits: Opened) -> None:
    page = visit(digits, "view=convolution")
    expect(page.get_by_role("combobox", name="Input")).to_have_value("0")
    drop(page, "mine.png", half((80, 80), "L"))
    expect(page.get_by_role("combobox", name="Input")).to_have_value("2")
    assert digits.items[2].x[0, :, :3].min() == 16
    expect(page.get_by_role("option", name="mine.png").first).to_be_attached()
    drop(page, "torn.png", half()[:60])
    expect(page.get_by_role("alert")).to_contain_text("torn.png: the image cannot be read")


def test_a_large_picture_is_drawn_on_a_board_for_pens_and_keys() -> None:
    batch = torch.full((1, 3, 240, 320), -1.0)
    batch[:, :, 100:140, 100:200] = 2.0
    opened = of_models({"net": nn.Conv2d(3, 1, 3)}, batch)
    assert ask(opened, "overview", {})["takes"]["board"] == {"height": 48, "width": 64, "ground": 0}

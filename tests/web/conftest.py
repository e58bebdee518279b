"""What the tests of the page share: trained networks to open, and a browser."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright
from torch import nn as torch_nn

from pellucid import nn
from pellucid.cells import Cell, Input, Matrix, State, sigmoid, tanh
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.see import serve

CHROMIUM = os.environ.get("PELLUCID_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
# No sandbox: continuous integration is root. The others keep the browser from looking for hosts that are of no concern here.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Open = Callable[..., Page]


class Reader(torch_nn.Module):
    """A convolution block over an image, and an LSTM over the rows of its feature maps."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.ConvBlock(1, 4, 3, padding="same", pool_size=2)
        self.lstm = nn.LSTM(16, 6)
        self.head = torch_nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.lstm(self.block(x).permute(2, 0, 1, 3).flatten(2))
        return self.head(y[-1])


@pytest.fixture
def reader() -> Opened:
    """A reader with fixed weights, and three images of 8 x 8."""
    generator = torch.Generator().manual_seed(0)
    model = Reader()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    return of_models({"reader": model}, torch.rand(3, 1, 8, 8, generator=generator))


class Last(torch_nn.Module):
    """A recurrence over a sequence (1, T, 2), and a class from its last step."""

    def __init__(self, layer: nn.Recurrent) -> None:
        super().__init__()
        self.layer = layer
        self.head = torch_nn.Linear(layer.output_size * len(layer.directions), 3)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        y, _ = self.layer(x, lengths=lengths)
        return self.head(y[:, -1] if lengths is None else y[torch.arange(len(x)), lengths - 1])


class Leaky(Cell):
    """A cell of one's own."""

    x = Input()
    U = Matrix()
    h = State()

    def step(self, x, h):  # type: ignore[no-untyped-def]
        k = sigmoid(x)
        return k * h + (1 - k) * tanh(x + self.U @ h)


def drawn(model: torch_nn.Module, seed: int = 0) -> torch_nn.Module:
    """The model with fixed weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    return model


@pytest.fixture
def four() -> Opened:
    """An RNN, an LSTM, a GRU and a cell of one's own side by side, on three sequences of 24 steps."""
    layers = {
        "rnn": nn.RNN(2, 6, batch_first=True),
        "lstm": nn.LSTM(2, 6, batch_first=True),
        "gru": nn.GRU(2, 6, batch_first=True),
        "leaky": nn.Recurrent(Leaky(), 2, 6, batch_first=True),
    }
    batch = torch.randn(3, 24, 2, generator=torch.Generator().manual_seed(1))
    return of_models({name: drawn(Last(layer)) for name, layer in layers.items()}, batch)


def questions(request: Request) -> list[tuple[str, dict[str, Any]]]:
    """What a request of the page asks: names and parameters; nothing of files."""
    return json.loads(request.post_data or "[]") if request.url.endswith("/ask") else []


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium. Where there is none the tests are skipped, unless PELLUCID_NEEDS_BROWSER is set."""
    if CHROMIUM is None:
        if os.environ.get("PELLUCID_NEEDS_BROWSER"):
            pytest.fail("there is no Chromium here; install the system's package, or name one with PELLUCID_CHROMIUM")
        pytest.skip("there is no Chromium here; install the system's package, or name one with PELLUCID_CHROMIUM")
    expect.set_options(
        timeout=30_000
    )  # milliseconds; a busy machine starts pages slowly, and only a failure waits so long
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Serve what is opened and go there: ``visit(opened, "view=guide", width=390)``. A script's error fails the test."""
    closing: list[Callable[[], object]] = []
    errors: list[str] = []

    def go(opened: Opened, at: str = "", width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        served = serve(opened)
        closing.append(served.close)
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", locale="en-GB"
        )
        closing.append(context.close)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{served.url}&{at}")
        return page

    yield go
    for close in reversed(closing):
        close()
    assert errors == []

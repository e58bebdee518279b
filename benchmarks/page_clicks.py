"""How long a click takes in a browser: from the event until the frame is painted that shows all that it leads to.

    python -m benchmarks.page --browser [--repeats 7] [--height 900] [--only PART_OF_A_NAME]

Of each click the regions of the page are named that change with it, and of each region the time of its last change counts,
so what is shown for a moment and then corrected counts as late as its correction. Chromium is that of the tests, without a
screen; the networks are those of the questions' benchmark, their answers come from a server in this process, and the browser
draws on the same cores. What is chosen again stands in the page's memory: of clicks with few choices the slowest times say what a
first one takes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles

import torch
from playwright.sync_api import Browser, Page, sync_playwright
from torch import nn as torch_nn

from benchmarks.page_networks import CHANNELS, STEPS, Images, Sequences, side_by_side, two_layers
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.see import serve

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
REST = 2600  # milliseconds from one click to the next, in which what may come later has come
POINTED = 900  # milliseconds that a pointer rests before it clicks
GLANCED = 300  # and on what it has come to in an open list
ITEMS = 31  # inputs; every fifth is taken, so none is near the last ones
STRIDE = 5

# What a region is: text and pictures inside these elements.
REGIONS = {
    "answer": ".items .answers",
    "values": ".diagram .over",
    "explained": ".explained",
    "maps": ".halves .maps",
    "lines": ".charts",
    "unit": ".panels > div:nth-child(1)",
    "gradient": ".panels > div:nth-child(2)",
    "held": ".panels > div:nth-child(3)",
    "memories": ".sides",
    "feature maps": ".row",
    "sum": ".detail",
}

WATCH = """(regions) => {
  const times = (window.clicked = { at: 0, shown: {} });
  const touched = new Set();
  function note(node) {
    const element = node instanceof Element ? node : node.parentElement;
    for (const [name, selector] of Object.entries(regions)) if (element?.closest(selector)) touched.add(name);
    if (!touched.size || note.waits) return;
    note.waits = true;
    requestAnimationFrame(() => {
      const seen = [...touched];
      touched.clear();
      note.waits = false;
      const { port1, port2 } = new MessageChannel(); // answered once the frame has been drawn
      port1.onmessage = () => seen.forEach((name) => (times.shown[name] = performance.now() - times.at));
      port2.postMessage(0);
    });
  }
  new MutationObserver((changes) => changes.forEach((change) => note(change.target))).observe(document.documentElement, {
    subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ['href', 'd'],
  });
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...given) {
    put.apply(this, given);
    if (this.canvas.isConnected) note(this.canvas);
  };
  for (const kind of ['click', 'change', 'keydown'])
    document.addEventListener(kind, (event) => { times.at = event.timeStamp; times.shown = {}; }, true);
}"""


@dataclass(frozen=True)
class Click:
    """Something that a person does, again and again.

    Attributes:
        name: what it is; at: where, as the address says it.
        shows: the regions that change with it.
        act: does it for the nth time.
    """

    name: str
    at: str
    shows: tuple[str, ...]
    act: Callable[[Page, int], None]


def _surprise(page: Page, number: int) -> None:
    page.locator(".items select").first.select_option(index=(STRIDE * (number + 1)) % ITEMS)


def _pointed(page: Page, number: int) -> None:
    page.get_by_role("button", name="Next input").hover()
    page.wait_for_timeout(POINTED)
    page.get_by_role("button", name="Next input").click()


def _in_the_list(page: Page, number: int) -> None:
    page.locator(".items select").first.click()
    option = page.locator(".items select option").nth((STRIDE * (number + 1)) % ITEMS)
    option.hover()
    page.wait_for_timeout(GLANCED)
    option.click()


def _on_a_map(page: Page, number: int) -> None:
    page.locator(".maps .map").nth(1).click(position={"x": 40 + 17 * number, "y": 20 + 7 * number})


def _unit(page: Page, number: int) -> None:
    page.locator("input[type=number]").first.fill(str(20 + number))
    page.locator("input[type=number]").first.press("Enter")


def _element(page: Page, number: int) -> None:
    page.locator(".diagram .element").nth(2 + number).click()


def _ends(page: Page, number: int) -> None:
    page.keyboard.press("End" if number % 2 else "Home")


def _chosen(label: str, *options: str) -> Callable[[Page, int], None]:
    def act(page: Page, number: int) -> None:
        page.get_by_role("combobox", name=label, exact=True).first.select_option(options[number % len(options)])

    return act


def _pressed(key: str) -> Callable[[Page, int], None]:
    return lambda page, number: page.keyboard.press(key)


def _layer(page: Page, number: int) -> None:
    page.get_by_role("navigation", name="Layers").get_by_role("button").nth((number + 1) % 2).click()


def _pixel(page: Page, number: int) -> None:
    page.locator("[data-stage] .feature").nth(20).click(position={"x": 10 + 3 * number, "y": 12 + 2 * number})


def _kernel(page: Page, number: int) -> None:
    page.locator(".detail input[type=range]").first.press("ArrowRight" if number % 2 else "ArrowLeft")


RECURRENCE = (
    Click(
        "an input, a surprise",
        "view=recurrence",
        ("answer", "values", "maps", "lines"),
        _surprise,
    ),
    Click(
        "an input pointed at",
        "view=recurrence",
        ("answer", "values", "maps", "lines"),
        _pointed,
    ),
    Click(
        "an input of the open list",
        "view=recurrence",
        ("answer", "values", "maps", "lines"),
        _in_the_list,
    ),
    Click(
        "a step and a unit on a map", "view=recurrence&step=1000", ("values", "lines", "unit", "gradient"), _on_a_map
    ),
    Click("the next step", "view=recurrence&step=1000&unit=3", ("values",), _pressed("ArrowRight")),
    Click("the first step, the last", "view=recurrence&step=1000&unit=3", ("values", "maps", "lines"), _ends),
    Click("a unit", "view=recurrence&step=1000", ("values", "lines", "unit"), _unit),
    Click("a gate in the drawing", "view=recurrence&step=1000&unit=3", ("explained",), _element),
    Click(
        "an order of units",
        "view=recurrence&step=1000&unit=3",
        ("maps",),
        _chosen("Units", "time", "similarity", "mean", "unit"),
    ),
    Click("all steps on the maps", "view=recurrence&step=1000&unit=3", ("maps", "lines"), _chosen("Time", "0", "100")),
    Click("a gate that is held", "view=recurrence&step=1000&unit=3", ("held",), _chosen("Hold", "i", "o", "f")),
)
LAYERS = (Click("another layer", "view=recurrence", ("maps",), _layer),)
TOGETHER = (
    Click("an input, a surprise", "view=together", ("answer", "memories"), _surprise),
    Click("an input pointed at", "view=together", ("answer", "memories"), _pointed),
    Click("the step before", "view=together&step=1000", ("values",), _pressed("ArrowLeft")),
)
CONVOLUTION = (
    Click("an input, a surprise", "view=convolution", ("answer", "feature maps"), _surprise),
    Click("an input pointed at", "view=convolution", ("answer", "feature maps"), _pointed),
    Click("a pixel", "view=convolution", ("sum",), _pixel),
    Click("another kernel", "view=convolution&layer=blocks.0.map", ("sum",), _kernel),
)


def measure(repeats: int, height: int, only: str) -> None:
    """Measure, and print a table for each view.

    Args:
        repeats: how often each is clicked, after a first time that does not count.
        height: of the window, pixels.
        only: a part of the names of the clicks that are measured.
    """
    torch.manual_seed(0)
    series = torch.randn(ITEMS, STEPS, CHANNELS)
    views: dict[str, tuple[dict[str, torch_nn.Module], torch.Tensor, tuple[Click, ...]]] = {
        "recurrence": ({"net": Sequences()}, series, RECURRENCE),
        "recurrence, two layers": ({"net": two_layers()}, series, LAYERS),
        "side by side, three networks": (side_by_side(), series, TOGETHER),
        "convolution": ({"net": Images()}, torch.rand(ITEMS, 3, 64, 64), CONVOLUTION),
    }
    with _browser() as browser:
        for view, (models, batch, clicks) in views.items():
            wanted = [click for click in clicks if only in f"{view}: {click.name}"]
            if not wanted:
                continue
            print(
                f"\n{view}, {torch.get_num_threads()} threads; milliseconds until it is shown, {repeats} clicks each\n"
            )
            print(f"{'click':<32}{'region':<14}{'median':>8}{'9 of 10 within':>16}{'all between':>16}")
            opened = of_models(models, batch)
            for click in wanted:
                for region, times in _times(browser, opened, click, repeats, height).items():
                    print(f"{click.name:<32}{region:<14}{_row(times)}", flush=True)


def _times(browser: Browser, opened: Opened, click: Click, repeats: int, height: int) -> Mapping[str, list[float]]:
    """Milliseconds of each region, from a page of its own."""
    served = serve(opened)
    page = browser.new_page(viewport={"width": 1280, "height": height})
    page.goto(f"{served.url}&{click.at}")
    page.locator(".answers p, .answers li").first.wait_for()
    page.wait_for_timeout(REST)
    page.evaluate(WATCH, REGIONS)
    found: dict[str, list[float]] = {region: [] for region in click.shows}
    for number in range(repeats + 1):
        click.act(page, number)
        page.wait_for_timeout(REST)
        shown = page.evaluate("window.clicked.shown")
        for region in click.shows if number else ():
            if region in shown:
                found[region].append(shown[region])
    page.close()
    served.close()
    return found


def _row(times: list[float]) -> str:
    if len(times) < 2:
        return f"{'nothing changed':>24}"
    tenth = quantiles(times, n=10, method="inclusive")[-1]
    return f"{median(times):>8.0f}{tenth:>16.0f}{f'{min(times):.0f} to {max(times):.0f}':>16}"


@contextmanager
def _browser() -> Iterator[Browser]:
    program = os.environ.get("PELLUCID_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()

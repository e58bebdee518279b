"""How long the page's questions take: the first time and again, on networks of a million parameters.

    python -m benchmarks.page [--repeats 5]            # what the server takes for each question
    python -m benchmarks.page --browser [--repeats 9]  # what a click takes in a browser: page_clicks.py

An input takes one forward pass, and what is asked of it is read off what the pass left, or found by going back along its graph.
So each question is asked of an input that nobody has asked about (*new*: it came as a surprise), of one whose pass was made
while the pointer was on it (*chosen*: what a click on another input costs), at once again (*again*), and with other parameters
where it has any (*moved*: what a click costs once the input is shown). Answers are counted as the JSON that is sent. A gradient is
asked of as the page does, its nearest steps first (*near*), and of all steps.

Medians, and of what is *new* and *chosen* between which times half of them lie.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from statistics import median, quantiles
from typing import Any

import torch

from benchmarks import page_clicks
from benchmarks.page_networks import STEPS, Images, Sequences
from pellucid.errors import PellucidError
from pellucid.web.model import of_models
from pellucid.web.opened import Opened
from pellucid.web.questions import QUESTIONS, ask
from pellucid.web.questions.guide import FIGURES

BACK = 128  # steps that the page asks of first
NEARBY = ("reach", "gradient")


def main() -> None:
    """Measure, and print a table for each network."""
    parser = argparse.ArgumentParser(description="How long the page's questions take.")
    parser.add_argument("--repeats", type=int, default=5, help="inputs that each question is asked of")
    parser.add_argument("--browser", action="store_true", help="measure clicks in a browser instead")
    parser.add_argument("--height", type=int, default=900, help="of the browser's window, in pixels")
    parser.add_argument("--only", default="", help="a part of the names of the clicks to measure")
    given = parser.parse_args()
    if given.browser:
        page_clicks.measure(given.repeats, given.height, given.only)
        return
    repeats = given.repeats
    torch.manual_seed(0)
    made = {
        f"LSTM of {STEPS:,} steps": of_models({"net": Sequences()}, torch.randn(2 * repeats + 2, STEPS, 32)),
        "CNN of 64 x 64 images": of_models({"net": Images()}, torch.rand(2 * repeats + 2, 3, 64, 64)),
    }
    for title, opened in made.items():
        count = sum(p.numel() for p in opened.networks[0].model.parameters())
        print(
            f"\n{title}, {count:,} parameters, {torch.get_num_threads()} threads; milliseconds, median of {repeats}\n"
        )
        print(
            f"{'question':<16}{'new':>8}{'half of them':>16}{'chosen':>9}{'half of them':>16}{'again':>8}{'moved':>8}{'kB':>9}"
        )
        for name in (name for name in QUESTIONS if name not in FIGURES):  # the guide has no network
            if name in NEARBY:
                print(_row(opened, name, repeats, {"back": BACK}))
            print(_row(opened, name, repeats, {}))


def _row(opened: Opened, name: str, repeats: int, more: Mapping[str, int]) -> str:
    """A question's times."""
    called = f"{name}, near" if more else name
    new: list[float] = []
    chosen: list[float] = []
    again: list[float] = []
    moved: list[float] = []
    size = 0
    for number in range(repeats):
        given = _parameters(opened, name, number, 0, more)
        if given is None:
            return f"{called:<16}{'not of this network':>24}"
        _forget(opened)
        try:
            took, answer = _timed(lambda given=given: ask(opened, name, given))  # type: ignore[misc]
        except PellucidError as error:
            return f"{called:<16}{str(error)[:100]}"
        new.append(took)
        _forget(opened)
        ask(opened, "ahead", {"network": "net", "item": number})
        chosen.append(_timed(lambda given=given: ask(opened, name, given))[0])  # type: ignore[misc]
        again.append(_timed(lambda given=given: ask(opened, name, given))[0])  # type: ignore[misc]
        other = _parameters(opened, name, number, 1, more)
        if other is not None and other != given:
            moved.append(_timed(lambda other=other: ask(opened, name, other))[0])  # type: ignore[misc]
        size = len(json.dumps(answer))
    last = median(moved) if moved else 0.0
    return (
        f"{called:<16}{median(new):8.1f}{_half(new):>16}{median(chosen):9.1f}{_half(chosen):>16}"
        f"{median(again):8.1f}{last:8.1f}{size / 1000:9.1f}"
    )


def _half(times: list[float]) -> str:
    """Between which the middle half of them lies."""
    if len(times) < 2:
        return ""
    low, _, high = quantiles(times, n=4, method="inclusive")
    return f"{low:.1f} to {high:.1f}"


def _forget(opened: Opened) -> None:
    for shelf in (opened._passes, opened._gradients, opened._known):
        shelf.clear()


def _timed(work: Callable[[], Mapping[str, Any]]) -> tuple[float, Mapping[str, Any]]:
    started = time.perf_counter()
    answer = work()
    return 1000 * (time.perf_counter() - started), answer


def _parameters(opened: Opened, name: str, item: int, variant: int, more: Mapping[str, int]) -> dict[str, Any] | None:
    """Some for a question, by the names of its fields, and more; another place inside the input for another variant."""
    fields = QUESTIONS[name].model_fields
    recurrent = "recurrence" in ask(opened, "overview", {})["networks"][0]["kinds"]
    if ("layer" in fields and not recurrent) or ("stage" in fields and recurrent):
        return None
    known: dict[str, Any] = {
        "network": "net",
        "item": item,
        "first": 0,
        "count": 2,
        "kernel": 5,
        "order": "time",
    }
    known |= {
        "step": STEPS // 2 + variant,
        "unit": 3 + variant,
        "row": 4 + variant,
        "column": 5 + variant,
        "filter": variant,
        "items": 1 + variant,
    }
    if recurrent:
        known |= {"layer": "lstm.l0", "name": "f" if name != "gradient" else "c"}
    else:
        stages = ask(opened, "stages", {"network": "net", "item": item})["stages"]
        known["stage"] = next(stage["name"] for stage in stages if stage["kind"] == "convolution")
    needed = [key for key, field in fields.items() if field.is_required()]
    if any(key not in known for key in needed):
        return None
    own = {"variant": ("kernel",), "reach": ("step",), "gradient": ("step",), "forced": ("unit",)}.get(name, ())
    return {key: known[key] for key in (*needed, *own)} | dict(more)


if __name__ == "__main__":
    main()

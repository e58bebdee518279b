"""What was measured and what it says, as data."""

from __future__ import annotations

from typing import Literal

from pellucid.lab.results import Interval, Record

Setting = str | int | float


class Measured(Record):
    """A unit's result."""

    experiment: str
    settings: dict[str, Setting]
    measures: dict[str, float]
    seconds: float  # of one processor core, or until a GPU was done
    on: str = ""  # the day, ISO 8601


class Part(Record):
    """One effect that a claim promises, beside the threshold that was set before it was measured."""

    name: str
    effect: Interval
    unit: str
    needed: str  # the threshold in words, such as "1 point or more"
    verdict: Literal["holds", "fails", "open"]


class Point(Record):
    """A figure at a place on the horizontal axis."""

    x: float
    y: Interval


class Line(Record):
    """Points of one kind, joined."""

    label: str
    points: list[Point]


class Lines(Record):
    """A panel of lines."""

    title: str
    x: str
    y: str
    lines: list[Line]
    log_x: bool = False
    reference: tuple[str, float] | None = None  # a level that the lines are read against


class Dots(Record):
    """A panel with a figure and its interval in each row; rows of one group have one colour."""

    title: str
    x: str
    rows: list[tuple[str, str, Interval]]  # label, group, figure
    reference: tuple[str, float] | None = None


class Finding(Record):
    """What came of a claim."""

    name: str
    family: str
    claimed: str
    source: str
    done: str
    came_out: str
    verdict: str
    parts: list[Part]
    panels: list[Lines | Dots]
    seconds: float  # of one processor core, or until a GPU was done
    quick: bool  # of the quick set
    on: str  # the day of its last measurement; "" where nothing is measured


class Report(Record):
    """Findings, and all units that were measured, also those of claims that are not whole yet."""

    pellucid: str
    torch: str
    machine: str
    device: str = "cpu"  # or what the GPU is called
    created: str
    command: str
    findings: list[Finding]
    units: list[Measured]

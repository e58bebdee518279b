"""Where the elements of a structure drawing stand, and how its wires run: columns, rows, and tracks between columns.

The way of Sugiyama, Tagawa and Toda (1981): an element's column is the longest way that leads to it; a wire over several
columns gets a place of its own in each, so that none runs through an element; rows are exchanged as long as wires get
straighter and cross less; and in the gap between two columns every wire that changes rows has a track of its own.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

STARTS = 24


@dataclass(eq=False)
class Place:
    """Something that stands in one column and one row: an element, or a wire on its way.

    Attributes:
        inputs: the places it is fed from, in the order of its ports.
        column: 0 at the left.
        row: 0 at the top.
        fixed: whether the row was given and stays.
        lane: a row that it would rather stand in, or None.
    """

    inputs: list[Place] = field(default_factory=list)
    column: int = 0
    row: int = 0
    fixed: bool = False
    lane: int | None = None


@dataclass(frozen=True)
class Wire:
    """One wire across one gap: from a place in a column to a port of a place in the next one."""

    source: Place
    target: Place
    port: int


def arrange(places: Sequence[Place], last: Sequence[Place]) -> list[Wire]:
    """Give every place its column and row, and every gap its wires.

    Args:
        places: in an order in which inputs come first; their inputs are changed to lead through places on the way.
            Fixed ones keep their row.
        last: those of ``places`` that stand in the last column.
    """
    for place in places:
        place.column = 1 + max((given.column for given in place.inputs), default=-1)
    for place in reversed(places):  # as near to what it feeds as can be
        users = [p.column for p in places if place in p.inputs]
        if users and place.inputs:
            place.column = min(users) - 1
    end = max(place.column for place in places)
    for place in last:
        place.column = end
    everything = [*places, *_on_the_way(places)]
    wires = [Wire(given, place, port) for place in everything for port, given in enumerate(place.inputs)]
    _choose_rows(everything, wires)
    return wires


def _on_the_way(places: Sequence[Place]) -> list[Place]:
    made: dict[tuple[int, int], Place] = {}
    for place in places:
        for port, given in enumerate(place.inputs):
            for column in range(given.column + 1, place.column):
                key = (id(given), column)
                before = made.get((id(given), column - 1), given)
                lane = place.lane if given.lane == place.lane else None
                passing = made.setdefault(key, Place([before], column))
                passing.lane = passing.lane if lane is None else lane
            place.inputs[port] = made.get((id(given), place.column - 1), given)
    return list(made.values())


def _choose_rows(places: list[Place], wires: list[Wire]) -> None:
    """From several starts, exchange places of a column (or move one to a free row) while that helps; keep the best."""
    columns = [[p for p in places if p.column == c] for c in range(1 + max(p.column for p in places))]
    lowest = max(max((p.row for p in places if p.fixed), default=0), max(len(column) for column in columns) - 1)
    gaps = [[w for w in wires if w.target.column == c] for c in range(len(columns))] + [[]]
    best: tuple[float, dict[Place, int]] | None = None
    for start in range(STARTS):
        _start(columns, lowest, random.Random(start))
        improved = True
        while improved:
            improved = False
            for number, column in enumerate(columns):
                near = gaps[number] + gaps[number + 1]
                for place in column:
                    if not place.fixed:
                        improved |= _settle(place, column, near, lowest)
        cost = _cost(wires)
        if best is None or cost < best[0] - 1e-9:
            best = cost, {p: p.row for p in places}
    rows = best[1] if best else {}
    used = {row: k for k, row in enumerate(sorted(set(rows.values())))}
    for place, row in rows.items():
        place.row = used[row]


def _start(columns: list[list[Place]], lowest: int, generator: random.Random) -> None:
    """Every place near what it is fed from, give or take a few rows."""
    for column in columns:
        taken = {p.row for p in column if p.fixed}
        wanted = {p: _middle(p) + generator.uniform(-2.0, 2.0) for p in column if not p.fixed}
        for place, middle in sorted(wanted.items(), key=operator.itemgetter(1)):
            free = sorted(set(range(lowest + 1)) - taken)
            place.row = free[min(range(len(free)), key=lambda k: abs(free[k] - middle))]
            taken.add(place.row)


def _middle(place: Place) -> float:
    return sum(given.row for given in place.inputs) / max(len(place.inputs), 1)


def _settle(place: Place, column: list[Place], wires: list[Wire], lowest: int) -> bool:
    """Put one place in its best row; say whether that is another one than before."""
    start = best = place.row
    cost = _cost(wires)
    by_row = {p.row: p for p in column}
    for row in range(lowest + 1):
        other = by_row.get(row)
        if other is place or (other is not None and other.fixed):
            continue
        place.row = row
        if other is not None:
            other.row = start
        now = _cost(wires)
        if now < cost - 1e-9:
            best, cost = row, now
        place.row = start
        if other is not None:
            other.row = row
    if best == start:
        return False
    if best in by_row:
        by_row[best].row = start
    place.row = best
    return True


def _cost(wires: list[Wire]) -> float:
    """Wires should be level, few should cross, and what has a lane should keep it."""
    cost = 0.0
    for place in {w.source for w in wires} | {w.target for w in wires}:
        cost += 0.0 if place.lane is None else 2.0 * abs(place.row - place.lane)
    for number, a in enumerate(wires):
        climb = abs(a.source.row - a.target.row)
        cost += climb + (1.5 if climb else 0.0)
        for b in wires[:number]:
            if a.target.column == b.target.column and a.source is not b.source and a.target is not b.target:
                cost += 2.0 * ((a.source.row - b.source.row) * (a.target.row - b.target.row) < 0)
    return cost


@dataclass(frozen=True)
class Track:
    """The upright part that all wires of one source share in one gap."""

    source: Place
    top: float
    bottom: float


def tracks(
    wires: Iterable[Wire], entry: dict[tuple[Place, int], float], leave: dict[Place, float]
) -> list[list[Place]]:
    """The tracks of one gap from left to right, each with the sources whose wires change height on it.

    Two wires share a track where their spans are apart. A source whose wire enters a target at the height where
    another wire leaves stands to the right of that one, so that the two do not lie on each other.
    """
    spans: dict[Place, list[float]] = {}
    for wire in wires:
        spans.setdefault(wire.source, [leave[wire.source]]).append(entry[wire.target, wire.port])
    moving = {s: (min(ys), max(ys)) for s, ys in spans.items() if max(ys) - min(ys) > 0.5}
    after = {s: {o for o in moving if o is not s and any(abs(leave[o] - y) < 4 for y in spans[s][1:])} for s in moving}
    chosen: list[list[Place]] = []
    waiting = sorted(moving, key=lambda s: (moving[s][1] - moving[s][0], moving[s]))
    while waiting:
        ready = [s for s in waiting if not after[s] & set(waiting)] or waiting[:1]
        track: list[Place] = []
        for source in ready:
            top, bottom = moving[source]
            if all(top > moving[o][1] + 6 or bottom < moving[o][0] - 6 for o in track):
                track.append(source)
        chosen.append(track)
        waiting = [s for s in waiting if s not in track]
    return chosen

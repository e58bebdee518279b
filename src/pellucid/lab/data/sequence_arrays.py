"""Sequences as arrays of an NPZ archive.

``values`` (N, T, C) or (N, T), ``labels`` (N,) and, unless NaN fills up behind the ends, ``lengths`` (N,). ``labels`` (N, K) of
0 and 1 are several labels at once, or a class each where every row has one 1; ``names`` (K,) may name them. ``X`` and ``y``
are taken as well, and ``X_train``, ``y_train``, ``X_test``, ``y_test`` (and perhaps ``X_val``, ``y_val``) as a given split.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import DataError
from pellucid.lab.data import archives, numbers
from pellucid.lab.data.archives import Pair
from pellucid.lab.data.stacks import Array, Stack, without_padding

Answer = Literal["class", "number", "labels"]  # what a sequence is labelled with

VALUES = ("values", "sequences", "x", "data")


@dataclass(frozen=True)
class Arrays:
    """What was read.

    Attributes:
        values: of each sequence (T, C); what is missing is not a number.
        labels: of each, as text; empty where there are ``marks``. classes: all of them, in order, or the names of the marks.
        items: a name for each.
        given: the side of each where the archive says so, else None.
        form: where they were, in words.
        marks: (N, K) where each has several labels at once.
    """

    values: list[Array]
    labels: list[str]
    classes: list[str]
    items: list[str]
    given: list[int] | None
    form: str
    marks: NDArray[Any] | None


def holds(source: Path) -> bool:
    """Whether an archive has the arrays of sequences; unreadable ones have none."""
    try:
        return "values" in archives.names(source) or bool(archives.pairs(source, VALUES))
    except DataError:
        return False


def answer_of(source: Path) -> Answer:
    """What the labels look like."""
    try:
        labels = _labels(source, archives.pairs(source, VALUES))
    except (DataError, ValueError):
        return "class"  # loading says what is wrong
    if labels.ndim == 2 and labels.shape[1] > 1:
        return "class" if archives.one_of_each(labels) is not None else "labels"
    return "number" if numbers.reason([str(v) for v in labels.flatten().tolist()]) else "class"


def read(source: Path, held: float) -> Arrays:
    """The sequences, one at a time in memory as they are read.

    Args:
        source: the archive.
        held: bytes of values that are held in memory; more lie on a file.

    Raises:
        DataError: it cannot be read, lacks an array, or shapes do not fit.
    """
    pairs = archives.pairs(source, VALUES)
    if not pairs:
        raise _lacking(source, "values (N, T, C) and labels (N,)")
    values: list[Array] = []
    items: list[str] = []
    given: list[int] = []
    for pair in pairs:
        own = _cut(source, pair.values, pair.beside("lengths"), held / len(pairs))
        values += own
        where = "sequence" if pair.side is None else pair.values
        items += [f"{where} {k + 1}" for k in range(len(own))]
        given += [pair.side or 0] * len(own)
    labels = _labels(source, pairs)
    side = given if pairs[0].side is not None else None
    form = "from arrays" if side is None else "from arrays of " + " and ".join(pair.values for pair in pairs)
    if labels.ndim == 2 and labels.shape[1] > 1:
        chosen = archives.one_of_each(labels)
        names = _names(source, labels, len(values), first=1 if chosen is None else 0)
        if chosen is None:
            return Arrays(values, [], names, items, side, form, labels)
        told = [names[k] for k in chosen.tolist()]
        used = [name for k, name in enumerate(names) if (chosen == k).any()]
        return Arrays(values, told, used, items, side, f"{form}, labels one-hot", None)
    if labels.shape not in ((len(values),), (len(values), 1)):
        raise DataError(f"{source}: labels have shape {labels.shape}, and {len(values)} sequences need one label each")
    texts = [str(v) for v in labels.flatten().tolist()]
    classes = [str(v) for v in np.unique(labels).tolist()]
    return Arrays(values, texts, classes, items, side, form, None)


def unlabelled(source: Path, held: float) -> tuple[list[Array], list[str]]:
    """The sequences, and a name for each; labels are not looked at. The only array is taken, whatever it is called.

    Raises:
        DataError: as for :func:`read`.
    """
    there = archives.names(source)
    pairs = archives.pairs(source, VALUES)
    alone = [name for name in there if name.casefold() in VALUES] or (there if len(there) == 1 else [])
    if not pairs and not alone:
        raise _lacking(source, "values (N, T, C)")
    found = [(p.values, p.beside("lengths"), p.side is not None) for p in pairs]
    found = found or [(alone[0], next((n for n in there if n.casefold() == "lengths"), None), False)]
    values: list[Array] = []
    items: list[str] = []
    for name, lengths, parted in found:
        own = _cut(source, name, lengths, held / len(found))
        values += own
        items += [f"{name if parted else 'sequence'} {k + 1}" for k in range(len(own))]
    return values, items


def _lacking(source: Path, needed: str) -> DataError:
    there = ", ".join(archives.names(source)) or "no arrays"
    return DataError(
        f"{source}: it has {there}, and {needed} are needed, with lengths (N,) where sequences are unequally long"
    )


def _labels(source: Path, pairs: list[Pair]) -> NDArray[Any]:
    found = [archives.whole(source, pair.labels) for pair in pairs]
    if len({labels.shape[1:] for labels in found}) > 1:
        shapes = " and ".join(f"{p.labels!r} {labels.shape}" for p, labels in zip(pairs, found, strict=True))
        raise DataError(f"{source}: labels have the shapes {shapes}; all parts need the same")
    return np.concatenate(found)


def _names(source: Path, labels: NDArray[Any], count: int, first: int) -> list[str]:
    """The names of what a row of labels has 0 and 1 for, or numbers from the first on; the labels are checked."""
    if len(labels) != count or labels.dtype.kind not in "fiub" or not np.isin(labels, (0, 1)).all():
        raise DataError(
            f"{source}: labels have shape {labels.shape} ({labels.dtype}), and {count} sequences need a label each, or a row "
            "of 0 and 1 each"
        )
    named = next((n for n in archives.names(source) if n.casefold() == "names"), None)
    names = np.arange(first, first + labels.shape[1]) if named is None else archives.whole(source, named)
    if names.shape != labels.shape[1:]:
        raise DataError(f"{source}: names have shape {names.shape}, and there are {labels.shape[1]} labels to name")
    return [str(v) for v in names.tolist()]


def _cut(source: Path, name: str, of_lengths: str | None, held: float) -> list[Array]:
    """Each sequence (T, C) of an array to its own end, read one at a time; NaN fills up behind it where no lengths are given."""
    shape, kind = archives.head(source, name)
    if len(shape) not in (2, 3) or kind.kind not in "fiub":
        raise DataError(f"{source}: {name} has shape {shape} and type {kind}; numbers of (N, T, C) are needed")
    count, longest, *channels = shape
    if not count:
        raise DataError(f"{source}: {name} has no sequences")
    if longest == 1 and channels and channels[0] > 1:
        raise DataError(
            f"{source}: {name} has shape {shape}, sequences of one step each; if steps come last there, save "
            f"numpy.swapaxes({name}, 1, 2)"
        )
    lengths = None if of_lengths is None else archives.whole(source, of_lengths)
    if lengths is not None:
        if lengths.shape != (count,) or lengths.dtype.kind not in "iu":
            raise DataError(
                f"{source}: lengths have shape {lengths.shape} ({lengths.dtype}), and {count} sequences need one whole "
                "length each"
            )
        if not (lengths.min() >= 1 and lengths.max() <= longest):
            raise DataError(
                f"{source}: lengths go from {lengths.min()} to {lengths.max()}; 1 to {longest} are possible"
            )
    values = Stack(held)
    for k, row in enumerate(archives.rows(source, name)):
        own = row.reshape(longest, *(channels or (1,))).astype(np.float64)
        values.append(without_padding(own) if lengths is None else own[: lengths[k]])
    return values.sequences()

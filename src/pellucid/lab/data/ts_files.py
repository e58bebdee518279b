"""The ``.ts`` files of the UCR, UEA and TSER archives: sequences with a class or a number each.

A case is a line: dimensions with colons between, each of values with commas between, and the class or the number behind
the last colon; ``?`` is a missing value. NAME_TRAIN.ts and NAME_TEST.ts beside each other are a given split.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pellucid.errors import DataError
from pellucid.lab.data.stacks import Array, Stack, without_padding


def archive_pair(folder: Path) -> list[Path] | None:
    """The two files of a problem in a folder of the archive, training first; None if there are none."""
    train = sorted(f for f in folder.glob("*.ts") if f.stem.upper().endswith("_TRAIN"))
    if len(train) != 1:
        return None
    pair = beside(train[0])
    return pair if len(pair) == 2 else None


def beside(file: Path) -> list[Path]:
    """A file and, where it is one side of a split, the other: training first."""
    for own, other in (("_TRAIN", "_TEST"), ("_TEST", "_TRAIN")):
        if file.stem.upper().endswith(own):
            stem = file.stem[: -len(own)].upper() + other
            twin = next((f for f in file.parent.glob("*.ts") if f.stem.upper() == stem), None)
            if twin is not None:
                return [file, twin] if own == "_TRAIN" else [twin, file]
    return [file]


def read(file: Path, *, labelled: bool = True, held: float = math.inf) -> tuple[list[Array], list[str], list[str]]:
    """The cases (T, C), their labels, and the classes that the head lists or that there are, of one file.

    Dimensions of a case that are unequally long end with missing values, and steps at the end that are missing in all are
    none. Where they need not be ``labelled`` the head may say that there are no labels, and one that it says is not looked at.

    Args:
        file: read a line at a time.
        labelled: whether labels are needed.
        held: bytes of cases that are held in memory; more lie on a file.

    Raises:
        DataError: no labels, values with time stamps, or a malformed line.
    """
    head: dict[str, list[str]] = {}
    cases = Stack(held)
    labels: list[str] = []
    inside = False
    for number, raw in enumerate(_lines(file), 1):
        line = raw.strip()
        if not line or line.startswith(("#", "%")):
            continue
        if not inside:
            if not line.startswith("@"):
                raise DataError(f"{file}, line {number}: a line that begins with @ is needed before @data")
            word, *rest = line[1:].split()
            head[word.lower()] = rest
            inside = word.lower() == "data"
            if inside:
                _check_head(file, head, labelled)
            continue
        *dimensions, name = line.split(":") if _has_labels(head) else (*line.split(":"), "")
        name = name.strip()
        classes = head.get("classlabel", [])[1:]
        if not dimensions or (labelled and classes and name not in classes):
            raise DataError(f"{file}, line {number}: {name[:40]!r} is none of the classes that @classLabel lists")
        cases.append(_case(file, number, dimensions))
        labels.append(name)
    if not labels:
        raise DataError(f"{file}: there are no cases after @data")
    return cases.sequences(), labels, head.get("classlabel", [])[1:] or sorted(set(labels))


def _lines(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8-sig") as lines:
            yield from lines
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: the file cannot be read as UTF-8 text ({error}); save it as UTF-8") from None


def _check_head(file: Path, head: dict[str, list[str]], labelled: bool) -> None:
    if head.get("timestamps", ["false"])[0].lower() == "true":
        raise DataError(
            f"{file}: its values have time stamps (@timestamps true); write evenly spaced values without them"
        )
    if labelled and not _has_labels(head):
        raise DataError(
            f"{file}: its sequences have no classes and no numbers (@classLabel true and the classes, or @targetLabel true, "
            "is needed)"
        )


def _has_labels(head: dict[str, list[str]], *words: str) -> bool:
    return any((head.get(word) or ["false"])[0].lower() == "true" for word in words or ("classlabel", "targetlabel"))


def has_numbers(file: Path) -> bool:
    """Whether the head of a ``.ts`` file says that its sequences have a number each."""
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        for line in lines:
            word, *rest = line.lower().split() or [""]
            if word in ("@targetlabel", "@data"):
                return rest[:1] == ["true"]
    return False


def _case(file: Path, number: int, dimensions: list[str]) -> Array:
    rows = []
    for dimension in dimensions:
        try:
            rows.append(np.array([np.nan if v.strip() in ("?", "NaN") else float(v) for v in dimension.split(",")]))
        except ValueError as error:
            raise DataError(
                f"{file}, line {number}: {error}; values are numbers with commas between, ? for a missing one"
            ) from None
    values = np.full((max(map(len, rows)), len(rows)), np.nan)
    for k, row in enumerate(rows):
        values[: len(row), k] = row
    return without_padding(values)

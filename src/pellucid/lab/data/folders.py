"""Folders with one subfolder a class, of whatever kind the files are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pellucid.errors import DataError
from pellucid.lab.data.split import Indices, shown, stratified

Progress = Callable[[int, int, str], None]
_CALLED = {
    "train": 0,
    "training": 0,
    "val": 1,
    "valid": 1,
    "validation": 1,
    "dev": 1,
    "test": 2,
    "testing": 2,
    "eval": 2,
}
PARTS = {name + end: side for end in ("", "_set", "-set") for name, side in _CALLED.items()}
"""What the parts of a given split are called, and their sides."""
SIDES = ("train", "validation", "test")


def class_folders(
    source: Path, suffixes: frozenset[str], what: str
) -> tuple[list[str], list[Path], list[int], list[int] | None]:
    """The classes, the files in a fixed order, each file's class, and each file's side where the folder is split.

    A folder that holds ``train`` and ``test`` (and perhaps ``val``, ``valid``, ``validation`` or ``dev``) with the classes
    inside is taken as split.

    Raises:
        DataError: no subfolders, one class, a class without files of the kind, a file of another kind, half a split.
    """
    entries = _folders(source)
    known = [e for e in entries if e.name.casefold() in PARTS]
    split = {PARTS[e.name.casefold()] for e in known} >= {0, 2}
    if {PARTS[e.name.casefold()] for e in known} & {0, 2} and len(known) > 1:
        strange = [e.name for e in entries if e not in known]
        if strange:
            raise DataError(
                f"{source}: beside {' and '.join(e.name for e in known)} there is the folder {strange[0]!r}; put it into "
                "one of them if it is a class, or move it away"
            )
        if not split:
            raise DataError(
                f"{source}: there are {' and '.join(e.name for e in known)}, and a given split needs train and test; add "
                "the one that is missing, or put the classes' folders side by side"
            )
        if len({PARTS[e.name.casefold()] for e in known}) < len(known):
            raise DataError(f"{source}: two of {', '.join(e.name for e in known)} mean the same part; keep one of them")
    roots = [(e, PARTS[e.name.casefold()]) for e in known] if split else [(source, 0)]
    roots.sort(key=lambda root: root[1])
    names = sorted({e.name for root, _ in roots for e in _folders(root)})
    if not names:
        raise DataError(
            f"{source}: the folder is empty or has no subfolders; put each class's {what}s into a folder of its own"
        )
    if len(names) == 1:
        inside = source / names[0]
        remedy = (
            f"give {inside}, whose folders they may be"
            if inside.is_dir() and _folders(inside)
            else "add another folder"
        )
        raise DataError(f"{source}: there is one class, {names[0]!r}, and telling classes apart needs two; {remedy}")
    files: list[Path] = []
    labels: list[int] = []
    side_of: list[int] = []
    for root, side in roots:
        for label, name in enumerate(names):
            found = _files(root / name, suffixes, what)
            files += found
            labels += [label] * len(found)
            side_of += [side] * len(found)
    for label, name in enumerate(names):
        if label not in labels:
            raise DataError(f"{source / name}: the class has no {what}; add {what}s or remove the folder")
    for side in sorted(set(side_of)) if split else ():
        lacking = [n for k, n in enumerate(names) if (k, side) not in set(zip(labels, side_of, strict=True))]
        if lacking:
            raise DataError(
                f"{source}: the class {lacking[0]!r} has no {what} in the {SIDES[side]} part; every class needs some in "
                "each part that the folder gives"
            )
    if split and {0, 2} - set(side_of):
        raise DataError(f"{source}: the train or the test folder has no {what}s; add some")
    return names, files, labels, side_of if split else None


def lying_beside(source: Path, suffixes: frozenset[str], what: str) -> list[str]:
    """A caution on files of the kind that lie in a folder of class folders, or of a given split, and in no class."""
    if not source.is_dir():
        return []
    roots = (source, *(e for e in _folders(source) if e.name.casefold() in PARTS))
    files = [f for f in visible(source) if f.parent in roots and f.suffix.lower() in suffixes]
    if not files:
        return []
    few = shown(files[0].relative_to(source))
    lie = f"{few} lies" if len(files) == 1 else f"{len(files):,} {what}s, such as {few}, lie"
    return [f"{lie} beside the folders of classes, and no network saw {'it' if len(files) == 1 else 'them'}."]


def sides(
    source: Path,
    classes: Sequence[str],
    labels: Sequence[int],
    contents: Sequence[str],
    given: Sequence[int] | None,
    seed: int,
) -> tuple[list[Indices], list[str], str]:
    """Indices of the three splits, cautions, and how the split was made."""
    cautions: list[str] = []
    if given is None or 1 not in given:
        rest = [i for i in range(len(labels)) if given is None or given[i] == 0]
        own, twins = stratified([labels[i] for i in rest], [contents[i] for i in rest], classes, seed, source)
        parts = [np.array(rest, dtype=np.int64)[side] for side in own]
        if given is None:
            if twins:
                cautions.append(f"{twins} items have an equal twin; twins were kept on one side of the split.")
            return (
                parts,
                cautions,
                _counts(parts, "70/15/15 % of each class" if len(classes) > 1 else "70/15/15 % at random"),
            )
        parts = [np.sort(np.concatenate([parts[0], parts[2]])), parts[1]]
        parts.append(np.array([i for i, side in enumerate(given) if side == 2], dtype=np.int64))
    else:
        parts = [np.array([i for i, s in enumerate(given) if s == side], dtype=np.int64) for side in range(3)]
    for first, second in ((0, 2), (1, 2), (0, 1)):
        seen = {contents[i] for i in parts[first]}
        both = sum(contents[i] in seen for i in parts[second])
        if both and (given is not None and (1 in given or second == 2)):
            cautions.append(
                f"{both} {SIDES[second]} items are equal to items in {SIDES[first]}: the given split leaks."
            )
    return parts, cautions, _counts(parts, "test as the data gives it")


def _counts(parts: Sequence[Indices], how: str) -> str:
    return f"{len(parts[0]):,} train, {len(parts[1]):,} validation, {len(parts[2]):,} test ({how})"


def _folders(root: Path) -> list[Path]:
    """Subfolders, without hidden ones, what archives leave behind, and runs of our own."""
    found = (e for e in root.iterdir() if e.is_dir() and not e.name.startswith("."))
    return sorted(e for e in found if e.name != "__MACOSX" and not any(e.glob("*/config.json")))


def visible(folder: Path) -> list[Path]:
    """The files in a folder and below it, without hidden ones and what archives and systems leave behind."""
    found = (f for f in folder.rglob("*") if f.is_file() and f.name.lower() not in ("thumbs.db", "desktop.ini"))
    parts = ((f, f.relative_to(folder).parts) for f in found)
    return sorted(f for f, names in parts if not any(n.startswith(".") or n == "__MACOSX" for n in names))


def _files(folder: Path, suffixes: frozenset[str], what: str) -> list[Path]:
    if not folder.is_dir():
        return []
    files = visible(folder)
    for file in files:
        if file.suffix.lower() not in suffixes:
            known = ", ".join(sorted(suffixes))
            raise DataError(f"{file}: no {what} file that can be read (known are {known}); move it out of the folder")
    return files

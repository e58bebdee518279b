"""Images to classify: decoded, brought to one size, scaled, and paged from disk where they do not fit into memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.counted import some
from pellucid.lab.data import pixel_tables
from pellucid.lab.data.augment import SEEN, choose
from pellucid.lab.data.classes import always_the_most_frequent, judgement, strongest
from pellucid.lab.data.folders import Progress, lying_beside, sides
from pellucid.lab.data.inputs import Inputs, understood, unlike_training
from pellucid.lab.data.paging import HELD, Array, allowed, moments, paged, parts, room
from pellucid.lab.data.picture_files import image_column, of_arrays, of_parquet
from pellucid.lab.data.pictures import FILES, Encoded, Pictures, decoded, head, of_folder
from pellucid.lab.data.split import Indices, digest
from pellucid.lab.data.table import PARQUET
from pellucid.lab.data.unlabelled_pictures import Unlabelled
from pellucid.lab.task import Split, Task

SMALLEST = 4  # a convolution block halves its feature map
LARGEST = 128  # pixels of the longer side, where no size is asked for


def load(
    source: Path,
    *,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    label: str | None = None,
    augment: str = "auto",
    memory: float = HELD,
    progress: Progress | None = None,
) -> Task:
    """Read the images, bring them to one size, scale by the training part's mean and deviation.

    Args:
        source: folder with one subfolder a class, Parquet file or folder of them, table of pixels, or NPZ archive.
        seed: of the split.
        size: (height, width) to resize to; the most common one, at most 128 pixels long, where None.
        label: Parquet: the column of labels.
        augment: see :func:`pellucid.lab.data.augment.choose`.
        memory: GB of decoded images to hold in memory; more lies in a file that the operating system pages.
        progress: called with (done, total, "images").

    Raises:
        DataError: see :mod:`pellucid.lab.data.pictures`; an image cannot be read; no room for them.
        ArgumentError: an option that cannot be.
    """
    held = allowed(memory)
    pictures = find(source, label)
    heads = [head(where, picture) for where, picture in pictures.each()]
    sizes = Counter(own for own, _ in heads)
    height, width = size or _at_most(LARGEST, *sizes.most_common(1)[0][0])
    if min(height, width) < SMALLEST:
        raise DataError(f"{source}: the images are {height} x {width}, and at least {SMALLEST} x {SMALLEST} is needed")
    colour = any(
        may and decoded(where, picture, height, width).ndim == 3
        for (_, may), (where, picture) in zip(heads, pictures.each(), strict=True)
    )
    count, channels = len(heads), 3 if colour else 1
    raw = room((count, channels, height, width), held)
    contents = []

    def done(index: int) -> None:
        contents.append(digest(raw[index].tobytes()))
        if progress:
            progress(index + 1, count, "images")

    _decode(pictures.each(), raw, done)
    classes = pictures.classes
    indices, cautions, how = sides(source, classes, pictures.labels, contents, pictures.given, seed)
    few = np.linspace(0, len(indices[0]) - 1, min(SEEN, len(indices[0]))).astype(np.int64)
    augmentation, chosen = choose(augment, raw[indices[0][few]])
    raw_mean, raw_spread = moments(raw, indices[0])
    mean, spread = raw_mean / 255, raw_spread / 255
    y = torch.tensor(pictures.labels)
    scaled = [_scaled(raw, i, mean, spread, held) for i in indices]
    splits = [
        Split(torch.from_numpy(x), y[i], None, [pictures.names[k] for k in i])
        for x, i in zip(scaled, indices, strict=True)
    ]
    judged = judgement(splits[0].y, splits[2].y, classes)
    simple = always_the_most_frequent(splits[0].y, len(splits[1]), len(splits[2]), classes)
    kind = "colour" if colour else "grey"
    resized = count - sizes[(height, width)]
    facts = [("Images", f"{count:,}, {kind}, {height} x {width}"), *pictures.facts, ("Classes", str(len(classes)))]
    facts += [("Resized", f"{resized:,} to {height} x {width}")] if resized else []
    facts += [("Split", how), ("Scaling", "mean and deviation of the training part, per channel")]
    facts += [("Augmentation", chosen), *judged.facts, *paged(raw.nbytes, held, "decoded images")]
    return Task(
        kind="images",
        form="image",
        goal="class",
        source=source,
        title=f"{count:,} {kind} images {height} x {width} of {len(classes)} classes",
        fingerprint=digest(
            *contents, *pictures.names, *map(str, pictures.labels), f"images {seed} {height} {width} {augmentation}"
        ),
        channels=channels,
        extent=(height, width),
        outputs=len(classes),
        labels=tuple(classes),
        horizon=0,
        scale=(tuple(mean.tolist()), tuple(spread.tolist())),
        step="",
        metric=judged.metric,
        baseline=strongest([simple], splits[1].y, splits[2].y, judged.metric),
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        facts=tuple(facts),
        cautions=(*cautions, *lying_beside(source, FILES, "image"), *judged.cautions),
        preprocessing={
            "kind": "images",
            "size": [height, width],
            "colour": colour,
            "mean": mean.tolist(),
            "deviation": spread.tolist(),
            "classes": classes,
        },
        figures=judged.figures,
        class_weights=judged.weights,
        augment=augmentation,
    )


def prepare(pictures: Unlabelled, how: Mapping[str, Any]) -> Inputs:
    """Images as the networks saw those of training: (N, C, H, W) float32.

    Args:
        pictures: the images.
        how: the task's preprocessing.

    Raises:
        DataError: an image cannot be read, or has colours where training had none.
    """
    understood(how, "size", "colour", "mean", "deviation", "classes")
    height, width = how["size"]
    heads = [head(where, picture) for where, picture in pictures.each()]
    held = allowed(HELD)
    raw = room((len(heads), 3 if how["colour"] else 1, height, width), held)
    _decode(pictures.each(), raw, lambda index: None)
    x = _scaled(raw, np.arange(len(raw)), np.array(how["mean"]), np.array(how["deviation"]), held)
    resized = sum(size != (height, width) for size, _ in heads)
    told = (f"{some(resized, len(heads), 'image')} resized to {height} x {width}.",) if resized else ()
    unlike = unlike_training(*moments(x, np.arange(len(x))), ["the pixels"] * x.shape[1])
    notes = (*pictures.notes, *told, *unlike)
    return Inputs(torch.from_numpy(x), None, pictures.names, notes=notes)


def find(source: Path, label: str | None = None) -> Pictures:
    """The pictures of a folder of folders, of a table, or of an NPZ archive.

    Raises:
        DataError: a table holds none; see also :mod:`picture_files` and :mod:`pixel_tables`.
        ArgumentError: a label where there are no columns.
    """
    suffix = source.suffix.lower()
    if source.is_file() and suffix == ".npz":
        found = of_arrays(source)
    elif source.is_file() and (suffix not in PARQUET or image_column(source) is None):
        return pixel_tables.labelled(source, pixel_tables.needed(source), label)
    elif source.is_file() or next(source.rglob("*.parquet"), None):
        return of_parquet(source, label)
    else:
        found = of_folder(source)
    if label is not None:
        raise ArgumentError(f"label is {label!r}, and only a table has columns; leave it out")
    return found


def _decode(pictures: Iterable[tuple[str, Encoded]], raw: Array, done: Callable[[int], None]) -> None:
    """Fill (N, C, H, W) with pictures, 0 to 255; a grey one in all channels.

    Raises:
        DataError: a picture cannot be read, or has colours and there is one channel.
    """
    height, width = raw.shape[2:]
    for index, (where, picture) in enumerate(pictures):
        array = decoded(where, picture, height, width)
        if array.ndim == 3 and raw.shape[1] == 1:
            raise DataError(f"{where}: the image has colours, and the networks saw grey ones; make it grey first")
        raw[index] = array.transpose(2, 0, 1) if array.ndim == 3 else array
        done(index)


def _at_most(largest: int, height: int, width: int) -> tuple[int, int]:
    """The size, made smaller in proportion where its longer side is above the largest."""
    shrink = min(1.0, largest / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def _scaled(raw: Array, rows: Indices, mean: np.ndarray, spread: np.ndarray, held: float) -> Array:
    """Some of the images, 0 to 255 brought to [0, 1] and then to mean 0 and deviation 1 of the training part."""
    share = held * len(rows) / len(raw)
    x = room((len(rows), *raw.shape[1:]), share if raw.nbytes > held else held)
    for place, part in parts(raw, rows):
        x[place] = (part / 255 - mean[:, None, None]) / spread[:, None, None]
    return x

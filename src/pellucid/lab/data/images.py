"""A folder of images, one subfolder a class."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pellucid.errors import DataError
from pellucid.lab.data.folders import Progress, class_folders, majority, sides
from pellucid.lab.data.metrics import accuracy
from pellucid.lab.data.split import digest, imbalance
from pellucid.lab.task import Split, Task

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


def load(source: Path, *, seed: int = 0, size: tuple[int, int] | None = None, progress: Progress | None = None) -> Task:
    """Read the images, bring them to one size, scale by the training part's mean and deviation.

    Args:
        source: folder with one subfolder a class.
        seed: of the split.
        size: (height, width) to resize to; the most common one where None.
        progress: called with (done, total, "images").

    Raises:
        DataError: see the messages of :func:`pellucid.lab.data.folders.class_folders`; an image cannot be read.
    """
    classes, files, labels, given_sides = class_folders(source, SUFFIXES, "image")
    pictures = []
    for index, file in enumerate(files):
        pictures.append(_read(file))
        if progress:
            progress(index + 1, len(files), "images")
    colour = any(not _is_grey(picture) for picture in pictures)
    sizes = Counter((picture.height, picture.width) for picture in pictures)
    height, width = size or sizes.most_common(1)[0][0]
    arrays = np.stack([_array(picture, colour, height, width) for picture in pictures])
    contents = [digest(a.tobytes()) for a in arrays]
    indices, cautions, how = sides(source, classes, labels, contents, given_sides, seed)
    if warning := imbalance(labels, classes):
        cautions.append(warning)
    train = arrays[indices[0]].astype(np.float64) / 255
    mean, deviation = train.mean((0, 2, 3)), train.std((0, 2, 3))
    deviation[deviation == 0] = 1
    scaled = ((arrays / 255 - mean[:, None, None]) / deviation[:, None, None]).astype(np.float32)
    y = np.array(labels, dtype=np.int64)
    names = [str(file.relative_to(source)) for file in files]
    splits = [Split(torch.from_numpy(scaled[i]), torch.from_numpy(y[i]), None, [names[k] for k in i]) for i in indices]
    channels = arrays.shape[1]
    kind = "colour" if colour else "grey"
    resized = len(files) - sizes[(height, width)]
    facts = [("Images", f"{len(files):,}, {kind}, {height} x {width}"), ("Classes", str(len(classes)))]
    facts += [("Resized", f"{resized:,} to the common size {height} x {width}")] if resized else []
    facts += [("Split", how), ("Scaling", "mean and deviation of the training part, per channel")]
    metric = accuracy()
    return Task(
        kind="images",
        form="image",
        goal="class",
        source=source,
        title=f"{len(files):,} {kind} images {height} x {width} of {len(classes)} classes",
        fingerprint=digest(*contents, *names, f"images {seed} {height} {width}"),
        channels=channels,
        extent=(height, width),
        outputs=len(classes),
        labels=tuple(classes),
        horizon=0,
        scale=(tuple(mean.tolist()), tuple(deviation.tolist())),
        step="",
        metric=metric,
        baseline=majority(splits[0].y, splits[2].y, classes, metric),
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        facts=tuple(facts),
        cautions=tuple(cautions),
        preprocessing={
            "kind": "images",
            "size": [height, width],
            "colour": colour,
            "mean": mean.tolist(),
            "deviation": deviation.tolist(),
            "classes": list(classes),
        },
    )


def _read(file: Path) -> Image.Image:
    try:
        with Image.open(file) as picture:
            picture.load()
            if picture.mode in ("I;16", "I", "F"):
                return Image.fromarray((np.asarray(picture, dtype=np.float64) / 257).clip(0, 255).astype(np.uint8))
            return picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{file}: the image cannot be read ({error}); replace or remove the file") from None


def _is_grey(picture: Image.Image) -> bool:
    if picture.mode == "L":
        return True
    array = np.asarray(picture)
    return bool((array[..., 0] == array[..., 1]).all() and (array[..., 1] == array[..., 2]).all())


def _array(picture: Image.Image, colour: bool, height: int, width: int) -> NDArray[np.uint8]:
    picture = picture.convert("RGB" if colour else "L")
    if (picture.height, picture.width) != (height, width):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    array = np.asarray(picture, dtype=np.uint8)
    return array.transpose(2, 0, 1) if colour else array[None]

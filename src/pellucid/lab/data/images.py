"""A folder of images, one subfolder a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from pellucid.errors import DataError
from pellucid.lab.data.folders import Progress, class_folders, majority, sides
from pellucid.lab.data.inputs import Inputs, understood
from pellucid.lab.data.metrics import accuracy
from pellucid.lab.data.split import deviation, digest, imbalance, shown
from pellucid.lab.task import Split, Task

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
SMALLEST = 4  # a convolution block halves its feature map
LARGEST = 128  # pixels of the longer side, where no size is asked for


def load(source: Path, *, seed: int = 0, size: tuple[int, int] | None = None, progress: Progress | None = None) -> Task:
    """Read the images, bring them to one size, scale by the training part's mean and deviation.

    Args:
        source: folder with one subfolder a class.
        seed: of the split.
        size: (height, width) to resize to; the most common one, at most 128 pixels long, where None.
        progress: called with (done, total, "images").

    Raises:
        DataError: see the messages of :func:`pellucid.lab.data.folders.class_folders`; an image cannot be read.
    """
    classes, files, labels, given_sides = class_folders(source, SUFFIXES, "image")
    sizes = Counter(_size(file) for file in files)
    height, width = size or _at_most(LARGEST, *sizes.most_common(1)[0][0])
    if min(height, width) < SMALLEST:
        raise DataError(f"{source}: the images are {height} x {width}, and at least {SMALLEST} x {SMALLEST} is needed")
    pictures = []
    for index, file in enumerate(files):
        pictures.append(_read(file, height, width))
        if progress:
            progress(index + 1, len(files), "images")
    colour = any(not _is_grey(picture) for picture in pictures)
    arrays = np.stack([_array(picture, colour) for picture in pictures])
    contents = [digest(a.tobytes()) for a in arrays]
    indices, cautions, how = sides(source, classes, labels, contents, given_sides, seed)
    if warning := imbalance(labels, classes):
        cautions.append(warning)
    arrays /= 255
    train = arrays[indices[0]]
    mean, spread = train.mean((0, 2, 3), dtype=np.float64), deviation(train, (0, 2, 3))
    scaled = _scaled(arrays, mean, spread)
    y = np.array(labels, dtype=np.int64)
    names = [shown(file.relative_to(source)) for file in files]
    splits = [Split(torch.from_numpy(scaled[i]), torch.from_numpy(y[i]), None, [names[k] for k in i]) for i in indices]
    channels = arrays.shape[1]
    kind = "colour" if colour else "grey"
    resized = len(files) - sizes[(height, width)]
    facts = [("Images", f"{len(files):,}, {kind}, {height} x {width}"), ("Classes", str(len(classes)))]
    facts += [("Resized", f"{resized:,} to {height} x {width}")] if resized else []
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
        scale=(tuple(mean.tolist()), tuple(spread.tolist())),
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
            "deviation": spread.tolist(),
            "classes": list(classes),
        },
    )


def prepare(files: Sequence[Path], how: Mapping[str, Any]) -> Inputs:
    """Images as the networks saw those of training: (N, C, H, W).

    Args:
        files: the images.
        how: the task's preprocessing.

    Raises:
        DataError: an image cannot be read, or has colours where training had none.
    """
    understood(how, "size", "colour", "mean", "deviation", "classes")
    height, width = how["size"]
    resized = sum(_size(file) != (height, width) for file in files)
    pictures = [_read(file, height, width) for file in files]
    for file, picture in zip(files, pictures, strict=True):
        if not how["colour"] and not _is_grey(picture):
            raise DataError(f"{shown(file)}: the image has colours, and the networks saw grey ones; make it grey first")
    arrays = np.stack([_array(picture, how["colour"]) for picture in pictures]) / np.float32(255)
    x = _scaled(arrays, np.array(how["mean"]), np.array(how["deviation"]))
    notes = (f"{resized} of {len(files)} images were resized to {height} x {width}.",) if resized else ()
    return Inputs(torch.from_numpy(x), None, [shown(file) for file in files], notes=notes)


def _scaled(arrays: NDArray[np.float32], mean: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float32]:
    return ((arrays - mean[:, None, None]) / spread[:, None, None]).astype(np.float32)


def _size(file: Path) -> tuple[int, int]:
    """(height, width) as the picture stands upright, from the file's head alone."""
    try:
        with Image.open(file) as picture:
            turned = picture.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            return (picture.width, picture.height) if turned else (picture.height, picture.width)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(file, error) from None


def _at_most(largest: int, height: int, width: int) -> tuple[int, int]:
    """The size, made smaller in proportion where its longer side is above the largest."""
    shrink = min(1.0, largest / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def _read(file: Path, height: int, width: int) -> Image.Image:
    """The picture, upright, of mode F (grey) or RGB, at the size; what is transparent lies on white."""
    try:
        with Image.open(file) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I") or picture.mode == "F":
                values = np.asarray(picture).astype(np.float32)
                if not np.isfinite(values).all():
                    raise ValueError("it holds values that are no numbers")
                picture = Image.fromarray(values / (257 if picture.mode.startswith("I") else 1))
            elif "A" in picture.getbands() or "transparency" in picture.info:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
            else:
                picture = picture.convert("F" if picture.mode in ("1", "L") else "RGB")
            if (picture.height, picture.width) != (height, width):
                picture = picture.resize((width, height), Image.Resampling.BILINEAR)
            return picture
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(f"{shown(file)}: the image cannot be read ({error}); replace or remove the file")


def _is_grey(picture: Image.Image) -> bool:
    if picture.mode == "F":
        return True
    array = np.asarray(picture)
    return bool((array[..., 0] == array[..., 1]).all() and (array[..., 1] == array[..., 2]).all())


def _array(picture: Image.Image, colour: bool) -> NDArray[np.float32]:
    """(channels, height, width)."""
    if colour:
        return np.asarray(picture.convert("RGB"), dtype=np.float32).transpose(2, 0, 1)
    array = np.asarray(picture, dtype=np.float32)
    return (array if array.ndim == 2 else array[..., 0])[None]

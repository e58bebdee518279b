"""Labelled pictures wherever they lie, and how one is decoded: a file, the bytes of one, or an array."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from pellucid.errors import DataError
from pellucid.lab.data.folders import SIDES, class_folders
from pellucid.lab.data.split import shown

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
FILES = SUFFIXES | {".npy"}  # of a folder of pictures
GREY = frozenset({"1", "L", "F", "I", "I;16", "I;16B", "I;16L"})  # modes without colour and transparency
MOST_CHANNELS = 4  # grey, grey and opacity, colours, colours and opacity
UNREADABLE = (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError)

Encoded = Path | bytes | NDArray[Any]  # an array is (H, W) or (H, W, C), of a .npy file also (C, H, W)


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures in a fixed order.

    Attributes:
        classes: their names; labels: each picture's class.
        given: each picture's part (0 train, 1 validation, 2 test) where the data is split; None where it is not.
        names: each picture's, for the tables.
        each: goes over all pictures, one at a time in memory, with the words that name it in an error.
        facts: what the report says of where they come from.
    """

    classes: list[str]
    labels: list[int]
    given: list[int] | None
    names: list[str]
    each: Callable[[], Iterator[tuple[str, Encoded]]]
    facts: tuple[tuple[str, str], ...] = ()


def of_folder(source: Path) -> Pictures:
    """A folder with one subfolder a class.

    Raises:
        DataError: see :func:`pellucid.lab.data.folders.class_folders`.
    """
    classes, files, labels, given = class_folders(source, FILES, "image")
    names = [shown(file.relative_to(source)) for file in files]
    return Pictures(classes, labels, given, names, lambda: ((shown(file), file) for file in files))


def check_sides(source: Path, classes: Sequence[str], labels: Sequence[int], given: Sequence[int] | None) -> None:
    """Refuse one class alone, and a given part that lacks a class."""
    if len(classes) < 2:
        raise DataError(f"{source}: there is one class, {classes[0]!r}, and telling classes apart needs two")
    for side in sorted(set(given or ())):
        own = {label for label, s in zip(labels, given or (), strict=True) if s == side}
        if lacking := [name for k, name in enumerate(classes) if k not in own]:
            raise DataError(
                f"{source}: the class {lacking[0]!r} has no image in the {SIDES[side]} part; every class needs some in "
                "each part that is given"
            )


def numbered(values: Sequence[Any], names: Sequence[str] | None) -> tuple[list[str], list[int]]:
    """The classes in order (numbers by size, words by letters) and each item's number."""
    kinds = sorted(set(values))
    number = {value: k for k, value in enumerate(kinds)}
    known = names is not None and all(isinstance(v, int) and 0 <= v < len(names) for v in kinds)
    classes = [names[v] if known and names else v.decode() if isinstance(v, bytes) else str(v) for v in kinds]
    return classes, [number[value] for value in values]


def head(where: str, picture: Encoded) -> tuple[tuple[int, int], bool]:
    """(height, width) as the picture stands upright, and whether it may have colour, without decoding it."""
    picture = _loaded(where, picture)
    if isinstance(picture, np.ndarray):
        return (picture.shape[0], picture.shape[1]), picture.ndim == 3 and picture.shape[2] > 1
    try:
        with _opened(picture) as opened:
            turned = opened.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            size = (opened.width, opened.height) if turned else (opened.height, opened.width)
            return size, opened.mode not in GREY or "transparency" in opened.info
    except UNREADABLE as error:
        raise _unreadable(where, error) from None


def decoded(where: str, picture: Encoded, height: int, width: int) -> NDArray[np.float32]:
    """(height, width) where it is grey and (height, width, 3) where not, upright, 0 to 255; the transparent is white."""
    picture = _loaded(where, picture)
    try:
        if isinstance(picture, np.ndarray):
            array = _opaque(picture)
        else:
            with _opened(picture) as opened:
                array = _pixels(opened, height, width)
    except UNREADABLE as error:
        raise _unreadable(where, error) from None
    if array.shape[:2] != (height, width):
        planes = array[..., None] if array.ndim == 2 else array
        sized = [
            Image.fromarray(p).resize((width, height), Image.Resampling.BILINEAR) for p in np.moveaxis(planes, 2, 0)
        ]
        array = np.stack([np.asarray(p) for p in sized], 2).reshape(height, width, *array.shape[2:])
    if array.ndim == 3 and (array == array[..., :1]).all():
        return array[..., 0]
    return array


def _loaded(where: str, picture: Encoded) -> Encoded:
    """The array of a ``.npy`` file, (H, W) or (H, W, C); other pictures as they are.

    Three axes of which only the first is as short as channels are, are (C, H, W).
    """
    if not isinstance(picture, Path) or picture.suffix.lower() != ".npy":
        return picture
    try:
        array = np.load(picture, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{where}: the array cannot be read ({error}); save a plain one with numpy.save") from None
    if (
        not isinstance(array, np.ndarray)
        or array.ndim not in (2, 3)
        or not array.size
        or array.dtype.kind not in "biuf"
    ):
        found = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        raise DataError(
            f"{where}: the array is {found}; an image is numbers, height x width, or with channels before or behind"
        )
    if array.ndim == 3 and array.shape[2] > MOST_CHANNELS >= array.shape[0]:
        array = np.moveaxis(array, 0, 2)
    if array.shape[2:] > (MOST_CHANNELS,):
        raise DataError(f"{where}: the array has shape {array.shape}, and an image has 1 to {MOST_CHANNELS} channels")
    return array


def _opened(picture: Path | bytes) -> Image.Image:
    return Image.open(picture if isinstance(picture, Path) else io.BytesIO(picture))


def _pixels(opened: Image.Image, height: int, width: int) -> NDArray[np.float32]:
    """The values of a picture; what has three colours is resized here, in bytes."""
    picture = ImageOps.exif_transpose(opened)
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture).astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError("it holds values that are no numbers")
        return values / np.float32(257) if picture.mode.startswith("I") else values
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    else:
        picture = picture.convert("F" if picture.mode in ("1", "L") else "RGB")
    if (picture.height, picture.width) != (height, width):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture, dtype=np.float32)


def _opaque(picture: NDArray[Any]) -> NDArray[np.float32]:
    """(H, W) or (H, W, 3) of an array with 1 to 4 channels: grey, grey and opacity, colours, colours and opacity."""
    wide = 257 if picture.dtype.itemsize == 2 and picture.dtype.kind in "iu" else 1
    array = picture.astype(np.float32) * (255 if picture.dtype.kind == "b" else 1 / wide)
    if not np.isfinite(array).all():
        raise ValueError("it holds values that are no numbers")
    if array.ndim == 3 and array.shape[2] in (2, 4):
        if picture.dtype.kind == "f" and array.size and array.max() <= 1:  # from 0 to 1, and not to 255
            array *= 255
        opacity = array[..., -1:] / 255
        array = array[..., :-1] * opacity + 255 * (1 - opacity)
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array


def _unreadable(where: str, error: Exception) -> DataError:
    reason = "it is of no kind that is known" if isinstance(error, UnidentifiedImageError) else error
    return DataError(f"{where}: the image cannot be read ({reason}); replace or remove it")

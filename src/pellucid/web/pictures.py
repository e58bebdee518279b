"""Pictures that a person gives: what is refused before it is decoded, and how a model of one's own sees one."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from pellucid.errors import DataError
from pellucid.web.opened import Item, Taking, plain

PIXELS = 50_000_000  # of a picture
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")
UNREADABLE = (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError)

Preprocess = Callable[[Image.Image], Tensor]


def check(name: str, picture: Path | bytes) -> None:
    """Refuse what a few bytes blow up to, and formats that run other programs.

    Raises:
        DataError: it is no picture that is read, or has too many pixels.
    """
    try:
        with _opened(picture) as opened:
            width, height = opened.size
    except UNREADABLE as error:
        raise _unreadable(name, error) from None
    if height * width > PIXELS:
        raise DataError(
            f"{name}: the image has {height:,} x {width:,} pixels, and up to {PIXELS // 10**6} million are read; make it "
            "smaller"
        )


@dataclass(frozen=True)
class Like:
    """Pictures made like those of a batch.

    Attributes:
        shape: (C, H, W) of one, with 1 or 3 channels.
        low, high: (C,) what black and white are in each channel.
        preprocess: the person's own way from a picture to such a tensor, instead of size and range.
    """

    shape: tuple[int, int, int]
    low: Tensor
    high: Tensor
    preprocess: Preprocess | None = None

    @classmethod
    def of(cls, batch: Tensor, preprocess: Preprocess | None = None) -> Like:
        """Like those of (B, C, H, W): 0 and 1 are black and white where all numbers lie between them; else in each channel the
        lowest and the highest number of the batch."""
        _, channels, height, width = batch.shape
        low, high = batch.new_zeros(channels), batch.new_ones(channels)
        if bool((batch < 0).any()) or bool((batch > 1).any()):
            finite = batch.nan_to_num(posinf=0.0, neginf=0.0)
            low, high = finite.amin((0, 2, 3)), finite.amax((0, 2, 3))
            flat = low == high
            low, high = torch.where(flat, finite.min(), low), torch.where(flat, finite.max(), high)
        return cls((channels, height, width), low, high, preprocess)

    @property
    def scale(self) -> Tensor:
        """(2, C) offset and factor of each channel: a number of the batch * factor + offset is 0 for black and 1 for white."""
        factor = 1 / (self.high - self.low)
        return torch.stack([-self.low * factor, factor])

    @property
    def taking(self) -> Taking:
        """A page takes pictures as files, and drawn ones."""
        return Taking(self.read, SUFFIXES, drawn=True)

    def read(self, name: str, content: bytes) -> list[Item]:
        """A file as an item.

        Raises:
            DataError: it cannot be read, or ``preprocess`` does not make a tensor like the batch's of it.
        """
        name = plain(name)
        check(name, content)
        try:
            picture = _upright(content, self.shape[0])
        except UNREADABLE as error:
            raise _unreadable(name, error) from None
        x = self._sized(picture) if self.preprocess is None else self._preprocessed(name, picture, self.preprocess)
        return [Item(name, x, (x[None],), scale=self.scale)]

    def _sized(self, picture: Image.Image) -> Tensor:
        channels, height, width = self.shape
        sized = picture.resize((width, height), Image.Resampling.BILINEAR)
        shares = torch.frombuffer(bytearray(sized.tobytes()), dtype=torch.uint8).to(self.low.dtype) / 255
        shares = shares.reshape(height, width, channels).permute(2, 0, 1)
        return (self.low[:, None, None] + shares * (self.high - self.low)[:, None, None]).contiguous()

    def _preprocessed(self, name: str, picture: Image.Image, preprocess: Preprocess) -> Tensor:
        try:
            made = preprocess(picture)
        except Exception as error:  # the person's own function
            said = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            raise DataError(f"{name}: preprocess failed on this picture with {said}") from None
        if not isinstance(made, Tensor) or tuple(made.shape) != self.shape:
            what = f"a tensor of {tuple(made.shape)}" if isinstance(made, Tensor) else f"a {type(made).__name__}"
            raise DataError(f"{name}: preprocess made {what} of this picture; it has to make a tensor of {self.shape}")
        return made.detach().to(self.low)


def _opened(picture: Path | bytes) -> Image.Image:
    return Image.open(picture if isinstance(picture, Path) else io.BytesIO(picture), formats=FORMATS)


def _upright(content: bytes, channels: int) -> Image.Image:
    """In grey or in colours, as it stands upright; the transparent is white."""
    with _opened(content) as opened:
        picture = ImageOps.exif_transpose(opened)
        if picture.mode.startswith("I"):  # 16 bits, which else would be cut off at 255
            picture = picture.convert("F").point(lambda value: value / 257)
        if "A" in picture.getbands() or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        return picture.convert("L" if channels == 1 else "RGB")


def _unreadable(name: str, error: Exception) -> DataError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return DataError(f"{name}: the image cannot be read ({reason}); give one in {', '.join(FORMATS)}")

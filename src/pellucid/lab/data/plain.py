"""A plain text from a file, a piece at a time, so that it may be larger than the memory."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pellucid.errors import DataError
from pellucid.lab.data.ragged import Ragged
from pellucid.lab.data.tokens import normal

PIECE = 2**18  # bytes that are read at a time
SPACES = " \n\r"


def read(source: Path) -> str:
    """The text of a file as it is. What is raised: see :func:`pieces`."""
    return "".join(pieces(source))


def pieces(source: Path) -> Iterator[str]:
    """The text of a file as it is, in pieces that each begin with a space or a line end after something else.

    Nothing that is composed (Unicode NFC), no line end of two characters and no word lies on both sides of such a place.

    Raises:
        DataError: the file is no UTF-8, or holds NUL, which no text does.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    rest, read = "", 0
    with source.open("rb") as file:
        while True:
            block = file.read(PIECE)
            if not read and block.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise DataError(f"{source}: the text is UTF-16; save it as UTF-8")
            if b"\0" in block:
                place = read + block.index(0)
                raise DataError(f"{source}: byte {place} is NUL, and no text holds that; is it a plain text in UTF-8?")
            read += len(block)
            try:
                rest += decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                place = read - len(error.object) + error.start
                raise DataError(f"{source}: byte {place} is not UTF-8; save the text as UTF-8") from None
            if not block:
                break
            end = _last_word(rest)
            if end:
                yield rest[:end]
                rest = rest[end:]
    yield rest


def _last_word(text: str) -> int:
    """Where the last space or line end stands that follows something else; 0 where there is none."""
    end = len(text)
    while end > 0:
        end = max(text.rfind(space, 0, end) for space in SPACES)
        if end > 0 and not text[end - 1].isspace():
            return end
    return 0


@dataclass(frozen=True)
class Part:
    """Some of a text's characters; going over it gives them a piece at a time."""

    text: Text
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[str]:
        at = 0
        for piece in self.text:
            if self.start < at + len(piece) and at < self.stop:
                yield piece[max(0, self.start - at) : self.stop - at]
            at += len(piece)


class Text:
    """A text in its normal form, in memory up to so many bytes and else on a file.

    Args:
        source: the file.
        held: bytes that are held in memory at most.

    Attributes:
        pieces: in UTF-8.
        line_ends: whether some were others than line feeds.

    Raises:
        DataError: see :func:`pieces`; there is no space for the file.
    """

    def __init__(self, source: Path, held: float) -> None:
        self.pieces = Ragged(held)
        self.line_ends = False
        self._length = 0
        for piece in pieces(source):
            own = normal(piece)
            self.line_ends = self.line_ends or "\r" in piece
            self.pieces.append(own.encode())
            self._length += len(own)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        return (piece.decode() for piece in self.pieces)

    def part(self, start: int, stop: int) -> Part:
        """The characters from one to another."""
        return Part(self, start, stop)

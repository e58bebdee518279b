"""Texts in a column of a table, perhaps with labels, read a few rows at a time, so that they may be more than fit into memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import numpy as np
import polars as pl

from pellucid.errors import DataError
from pellucid.lab.data import table
from pellucid.lab.data.ragged import Ragged
from pellucid.lab.data.split import Digest, Indices
from pellucid.lab.data.tokens import normal

NULLS = ("",)  # "NA" and "nan" are words like others


@dataclass
class Column:
    """What a column of texts holds.

    Attributes:
        texts: their first characters, in UTF-8 and Unicode's normal form.
        lengths: their characters.
        labels: which of the kinds each has; kinds: the labels, numbered as they first appear.
        fingerprint: of the whole texts.
    """

    texts: Ragged
    lengths: array[int] = field(default_factory=lambda: array("q"))
    labels: array[int] = field(default_factory=lambda: array("q"))
    kinds: dict[str, int] = field(default_factory=dict)
    fingerprint: Digest = field(default_factory=Digest)


def read(source: Path, text: str, label: str | None, most: int, held: float) -> Column:
    """Read a column of texts, and one of labels.

    Args:
        source: CSV or Parquet.
        text, label: the columns.
        most: characters of a text that are kept.
        held: bytes of texts that are held in memory; more lie on a file.

    Raises:
        DataError: it cannot be read, a value is missing, NUL in a text.
    """
    found = Column(Ragged(held))
    names = [text] if label is None else [text, label]
    for frame in table.pieces(source, names, held, nulls=NULLS):
        for name in names:
            _complete(source, frame, name, len(found.texts))
        for own in frame[text].to_list():
            whole = normal(str(own))
            if "\0" in whole:
                raise DataError(
                    f"{source}, {table.row(source, len(found.texts))}: column {text!r} holds NUL there, and no text does; "
                    "remove it"
                )
            found.texts.append(whole[:most].encode(errors="surrogatepass"))
            found.lengths.append(len(whole))
            found.fingerprint.add(whole)
        if label is not None:
            found.labels.extend(found.kinds.setdefault(str(own), len(found.kinds)) for own in frame[label].to_list())
    if not len(found.texts):
        raise DataError(f"{source}: the table has a header and no rows; add rows")
    return found


def _complete(source: Path, frame: pl.DataFrame, name: str, before: int) -> None:
    if frame[name].null_count():
        at = before + int(frame[name].is_null().arg_max() or 0)
        raise DataError(
            f"{source}, {table.row(source, at)}: column {name!r} is empty there; fill it in or remove the row"
        )


@dataclass(frozen=True)
class Texts(Sequence[str]):
    """Some of a column's texts, up to a length.

    Attributes:
        kept: all of them.
        which: the numbers of these.
        longest: characters that are seen of each.
    """

    kept: Ragged
    which: Indices
    longest: int

    def __len__(self) -> int:
        return len(self.which)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self._text(row) for row in self.which[index]]
        return self._text(self.which[index])

    def __iter__(self) -> Iterator[str]:
        return (self._text(row) for row in self.which)

    def _text(self, row: np.int64) -> str:
        return self.kept[int(row)].decode(errors="surrogatepass")[: self.longest]

    def rows(self, rows: Indices) -> Texts:
        """Some of these, by number."""
        return Texts(self.kept, self.which[rows], self.longest)

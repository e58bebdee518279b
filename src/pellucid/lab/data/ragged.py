"""Items of unequal length, such as texts and recordings, of which nobody knows beforehand how much room they take."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pellucid.lab.data.paging import no_room, unnamed


class Ragged:
    """Byte strings, one behind the other: in memory up to so many bytes, above that on a file in the cache folder.

    The file has no name: its space is free again when the process ends, however it ends.

    Args:
        held: bytes that are held in memory at most.
    """

    def __init__(self, held: float) -> None:
        self._held = held
        self._ends = array("q", [0])
        self._memory = bytearray()
        self._file: IO[bytes] | None = None

    @property
    def size(self) -> int:
        """The bytes of all items."""
        return self._ends[-1]

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> bytes:
        start, end = self._ends[index], self._ends[index + 1]
        if self._file is None:
            return bytes(memoryview(self._memory)[start:end])
        self._file.seek(start)
        return self._file.read(end - start)

    def __iter__(self) -> Iterator[bytes]:
        return (self[index] for index in range(len(self)))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The bytes of each item."""
        ends = np.array(self._ends, dtype=np.int64)
        return ends[1:] - ends[:-1]

    def append(self, item: bytes) -> None:
        """Put an item behind the last.

        Raises:
            DataError: there is no space for it.
        """
        try:
            if self._file is None and self.size + len(item) > self._held:
                self._file = unnamed()
                self._file.write(self._memory)
                self._memory.clear()
            if self._file is None:
                self._memory += item
            else:
                self._file.seek(self.size)
                self._file.write(item)
        except OSError as error:
            raise no_room(self.size + len(item), error) from None
        self._ends.append(self.size + len(item))

    def flat(self, kind: DTypeLike) -> NDArray[Any]:
        """All items as one array; nothing can be appended behind it.

        Raises:
            DataError: there is no space for what was appended last.
        """
        if self._file is None or not self.size:
            return np.frombuffer(self._memory, kind)
        try:
            self._file.flush()
        except OSError as error:
            raise no_room(self.size, error) from None
        return np.memmap(self._file, dtype=kind, mode="r+")

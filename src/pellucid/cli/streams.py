"""Standard output and standard error: where one takes no more, that is a sentence, too."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

from pellucid.errors import PellucidError

OUTPUT = "standard output"


class UnwritableError(PellucidError):
    """A standard stream takes no more.

    Attributes:
        left: whether it is standard output, and whoever read it has left.
    """

    def __init__(self, name: str, error: OSError) -> None:
        super().__init__(f"{name} cannot be written to ({error.strerror}); send it where there is room")
        self.left = name == OUTPUT and isinstance(error, BrokenPipeError)


class _Stream:
    """A stream as it is, but for what it raises: an OSError could come from any file."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self._name, self._stream = name, stream

    def write(self, text: str) -> int:
        with self._sentences():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._sentences():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # What is still to be written goes nowhere, else it would be tried again when Python ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            raise UnwritableError(self._name, error) from None


@contextmanager
def standard() -> Iterator[None]:
    """Both streams so; one that was closed takes everything, and a terminal without Unicode still gets its table."""
    before = sys.stdout, sys.stderr
    with ExitStack() as opened:
        streams = [s or opened.enter_context(Path(os.devnull).open("w", encoding="utf-8")) for s in before]
        for stream in streams:
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        sys.stdout, sys.stderr = (
            cast(TextIO, _Stream(name, stream))
            for name, stream in zip((OUTPUT, "standard error"), streams, strict=True)
        )
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before

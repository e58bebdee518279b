"""Files that are written whole or not at all, and what is said where the system refuses to."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pellucid.errors import DataError

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Around all that writes to a folder: what the system refuses becomes a sentence.

    Raises:
        DataError: no space is left, or a file cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        remedy = "make room" if error.errno in NO_SPACE else "mend that"
        raise DataError(
            f"{folder}: cannot be written to ({error.strerror}); {remedy} there, and the same command goes on from here"
        ) from None


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with instead(path) as temporary, temporary.open("wb") as handle:
        handle.write(content)
        handle.flush()
        if temporary.is_file():  # a device need not know how to wait
            os.fsync(handle.fileno())


@contextmanager
def instead(path: Path) -> Iterator[Path]:
    """A file beside another one, which takes its place once it is written, and goes where it cannot be; a device is itself."""
    if path.exists() and not path.is_file():
        yield path
        return
    temporary = path.with_name(path.name + ".part")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # what went wrong is what is told
            temporary.unlink()
        raise

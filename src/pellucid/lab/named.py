"""A Python file that a person names, as ``file.py:name``: it runs, because the person named it, and for no other reason."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from pellucid.errors import DataError


def run_named(wanted: str, example: str) -> tuple[ModuleType, str]:
    """The file's module, and the name in it.

    Args:
        wanted: as ``file.py:name``.
        example: for the errors, such as ``"a cell as my_cell.py:MyCell"``.

    Raises:
        DataError: there is no such file, or running it failed.
    """
    file, _, name = wanted.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise DataError(f"{file}: there is no such file; give {example}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise DataError(f"{file}: not a Python file; give {example}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise DataError(f"{file}: running the file failed with {said(error)}") from error
    return module, name


def said(error: BaseException) -> str:
    """What an error is and says, in one line."""
    first = (str(error).splitlines() or [""])[0]
    return type(error).__name__ + (f": {first}" if first else "")

"""A pytest plugin (``-p tests.sanitized``): tests run on the native module of ``make sanitize`` instead of the installed one.

``python -m tests.sanitized MODULE ...`` runs another module so. It only stands in for ``pellucid._native``, so that one environment serves both. Python itself is built without sanitizers:
their library has to be preloaded, as the Makefile does.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "build" / "sanitize"


def use() -> None:
    """Load the module; ``import pellucid`` finds it from then on."""
    (built,) = FOLDER.glob(f"_native*{importlib.machinery.EXTENSION_SUFFIXES[0]}")
    spec = importlib.util.spec_from_file_location("pellucid._native", built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


use()
if __name__ == "__main__":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__")

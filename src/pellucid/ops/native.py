"""The native module, or a sentence that says why it cannot be loaded and what to do."""

from __future__ import annotations

import importlib.util
import os
import sys

from pellucid.errors import EngineError

__all__ = ["_native"]


def _sentence(error: ImportError) -> str:
    """What went wrong, and the remedy."""
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    if importlib.util.find_spec("pellucid._native") is None:
        return (
            f"Pellucid's native engine is not built for this {python} (there is no pellucid._native): install Pellucid "
            "with this Python, by pip install . in its source folder, which needs a C++20 compiler"
        )
    if os.environ.get("PELLUCID_ISA") and str(error).startswith("the instruction set"):
        return f"PELLUCID_ISA is set, but {error}; give one of these, or unset it for the best"
    return (
        f"Pellucid's native engine cannot be loaded by this {python} ({error}): install Pellucid anew, by pip install ."
    )


try:
    from pellucid import _native
except ImportError as error:
    raise EngineError(_sentence(error)) from None

"""Pellucid: the classic deep networks, open.

Convolution, pooling, RNN, LSTM and GRU as PyTorch layers that are drop-in for ``torch.nn`` (:mod:`pellucid.nn`),
recurrent cells declared by their equations (:class:`Cell`), a look inside (:class:`trace`, :func:`see`), and a comparison of
networks on one's own data (``pellucid compare``).
"""

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pellucid import cells, geometry
from pellucid.cells import Cell
from pellucid.errors import EngineError
from pellucid.trace import trace

# Where the native engine cannot be loaded, the command line, which is part of this package, must still be able to say so:
# what needs the engine is then left out here, and whoever asks for it gets the error.
with suppress(EngineError):
    from pellucid import inside, nn
    from pellucid.explain import explain
    from pellucid.fuse import fuse

if TYPE_CHECKING:
    from pellucid.web.see import see

__all__ = ["Cell", "cells", "explain", "fuse", "geometry", "inside", "nn", "see", "trace"]

__version__ = "0.1.0"

if not TYPE_CHECKING:  # a type checker would take it that every name exists

    def __getattr__(name: str) -> Any:
        """What was left out, which raises the reason; the page, whose server not everybody has; no other name exists."""
        if name == "see":
            return import_module("pellucid.web.see").see
        if name in ("inside", "nn", "explain", "fuse"):
            found = import_module(f"pellucid.{name}")
            return found if name in ("inside", "nn") else getattr(found, name)
        raise AttributeError(f"module 'pellucid' has no attribute {name!r}")

"""The page that opens trained networks: a server on the loopback address, and the questions that its page asks.

``opened`` holds what is looked into, ``questions`` has a module for each thing that can be asked of it, ``server`` lets the
page ask, ``stored`` records answers for a page without a server, and ``page/`` is the page, built from ``web/`` at the
project's root.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pellucid.web.see import Page, see

__all__ = ["Page", "see"]

if not TYPE_CHECKING:  # a type checker would take it that every name exists

    def __getattr__(name: str) -> Any:
        """The server's names, when they are asked for: a stored page, as in a report, needs no server."""
        if name not in __all__:
            raise AttributeError(f"module 'pellucid.web' has no attribute {name!r}")
        return getattr(import_module("pellucid.web.see"), name)

"""The page that opens trained networks: a server on the loopback address, and the questions that its page asks.

``opened`` holds what is looked into, ``questions`` has a module for each thing that can be asked of it, ``server`` lets the
page ask, and ``page/`` is the page, built from ``web/`` at the project's root.
"""

from pellucid.errors import ArgumentError

try:
    from pellucid.web.see import Page, see
except ModuleNotFoundError as error:  # the light install has the layers only
    if error.name not in ("anyio", "pydantic", "starlette", "uvicorn"):
        raise
    raise ArgumentError(
        f"the page needs {error.name}, which is not installed; install it with: pip install 'pellucid[see]'"
    ) from None

__all__ = ["Page", "see"]

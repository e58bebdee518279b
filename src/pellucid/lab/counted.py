"""How many of something, in words."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """``1 step``, ``2,000 steps``; ``what`` is one of them."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def some(part: int, whole: int, what: str, one: str = "was", more: str = "were") -> str:
    """``3 of 4 images were``, ``1 of 1 image was``; ``one`` and ``more`` are the verb."""
    return f"{part:,} of {counted(whole, what)} {one if part == 1 else more}"

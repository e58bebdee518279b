"""How many of something, in words."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """``1 step``, ``2,000 steps``; ``what`` is one of them."""
    return f"{number:,} {what}{'s' * (number != 1)}"

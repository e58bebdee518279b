"""Why a file of a run cannot be read, in words that stand between brackets in a sentence."""

from __future__ import annotations

from pydantic import ValidationError


def reason(error: Exception) -> str:
    """What the library that read the file says, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):
        return f"it has no {error}"
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else first["msg"]
    lines = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]  # torch names what is wrong in the second

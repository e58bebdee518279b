"""All claims, in the order of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pellucid.errors import ArgumentError
from pellucid.lab.claims import activation, convolution, gates, gradients, gru, memory, pooling, uses
from pellucid.lab.claims.claim import Claim


def claims(quick: bool, source: Path | None = None) -> list[Claim]:
    """Every claim, with the units of the quick or of the full set.

    Args:
        quick: fewer seeds, shorter sequences and shorter training.
        source: a person's data, for a claim of its own.

    Raises:
        DataError: the data cannot be used.
    """
    families = (convolution, pooling, memory, gradients, gates, gru, activation)
    found = [claim for family in families for claim in family.claims(quick)] + uses.claims(quick, source)
    return [replace(claim, quick=quick) for claim in found]


def named(wanted: Sequence[str], among: list[Claim]) -> list[Claim]:
    """The claims of those names, in the order of the page; all where none is named.

    Raises:
        ArgumentError: an unknown name.
    """
    known = {claim.name: claim for claim in among}
    for name in wanted:
        if name not in known:
            raise ArgumentError(f"there is no claim {name!r}; there are {', '.join(known)}")
    return [claim for claim in among if not wanted or claim.name in wanted]

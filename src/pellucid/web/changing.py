"""A sequence with some of its numbers changed by hand: what would the networks do if it had gone another way?"""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from pellucid.errors import ArgumentError
from pellucid.web.opened import Opened

MOST = 4096  # numbers that are changed at a time


class Number(BaseModel):
    """A number of an item (T, I), in its own unit."""

    model_config = ConfigDict(extra="forbid", strict=True)

    step: int = Field(ge=0)
    channel: int = Field(ge=0)
    value: FiniteFloat


class Changes(BaseModel):
    """Numbers and what becomes of them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    numbers: list[Number] = Field(min_length=1, max_length=MOST)


def change(opened: Opened, item: int, given: bytes) -> int:
    """Open an item with some of its numbers changed, beside the one that it comes from.

    Args:
        opened: what is open.
        item: the number of a sequence.
        given: :class:`Changes` as JSON.

    Returns:
        The new item's number. What the right answer would have been is not known.

    Raises:
        ArgumentError: no sequence, no such numbers, or room for no more items.
    """
    try:
        numbers = Changes.model_validate_json(given).numbers
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "changes"
        raise ArgumentError(f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
    old = opened.item(item)
    whole = old.args[0]
    as_it_is = whole is not None and whole.numel() == old.x.numel() and torch.equal(whole.reshape(old.x.shape), old.x)
    if opened.form != "sequence" or whole is None or not as_it_is:
        raise ArgumentError(
            f"the numbers of {old.name} cannot be changed; those of sequences that are read as they are can"
        )
    steps, channels = old.x.shape
    x = old.x.clone()
    for number in numbers:
        if number.step >= steps or number.channel >= channels:
            raise ArgumentError(
                f"step {number.step} of channel {number.channel} does not exist; {old.name} has {steps} steps of {channels} "
                "channels, counted from 0"
            )
        offset, factor = (0.0, 1.0) if old.scale is None else old.scale[:, number.channel].tolist()
        x[number.step, number.channel] = (number.value - offset) / factor
    origin = item if old.origin is None else old.origin
    name = f"{opened.item(origin).name}, changed"
    new = replace(
        old, name=name, x=x, args=(x.reshape(whole.shape), *old.args[1:]), answer="", truth=None, origin=origin
    )
    return opened.add([new])

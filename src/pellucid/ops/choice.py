"""Where a convolution is computed: on the native engine, or by torch's kernel (oneDNN on a processor).

Both are right; the faster one is taken. What decides are the numbers of ``benchmarks/convolution.py``, table "rule"
(docs/speed-convolution.md): the engine takes an image at a time, and its vectors hold neighbouring pixels, so small maps
leave lanes empty and pay for each image; oneDNN is near the processor's peak once it has 16 channels or so; and an
activation and a pooling of their own read and write the whole map again, which the engine's sweep does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Choice:
    """What was chosen for a shape, and why.

    Attributes:
        native: whether the native engine computes it.
        why: in words.
    """

    native: bool
    why: str


@lru_cache(maxsize=4096)
def choose(
    map_sizes: tuple[int, ...], channels: int, groups: int, *, pooled: bool, training: bool, half: bool = False
) -> Choice:
    """Choose for one convolution, alone or with the pooling that follows it.

    Args:
        map_sizes: of the convolution's feature map.
        channels: of the input, in one group.
        groups: into which the channels are dealt out.
        pooled: whether a pooling follows in the same sweep.
        training: whether gradients will be asked for.
        half: whether the numbers are bfloat16, which the engine widens to float32 and torch's kernel multiplies.
    """
    pixels = math.prod(map_sizes)
    size = f"a map of {' x '.join(map(str, map_sizes))}"
    mode = "with gradients" if training else "without gradients"
    if half and (not pooled or channels >= 8):
        what = f"{channels} channels" if channels >= 8 else "no pooling"
        return Choice(False, f"bfloat16 with {what}: torch's kernel multiplies it, the engine widens it to float32")
    if groups > 1 and pixels >= 64:
        return Choice(True, f"{groups} groups, which torch's kernel computes slowly")
    if len(map_sizes) == 1 and pixels >= 64:
        return Choice(True, f"one axis of {pixels} numbers, along which the engine's vectors lie")
    if pooled:
        few = channels < 16
        least = (16 if few else 256) if not training else (64 if few else 1024)
        what = f"{mode} and with {channels} channel{'s' * (channels > 1)}"
        if pixels >= least:
            return Choice(True, f"{size} is pooled in the same sweep, {what}: from {least:,} numbers on it pays")
        return Choice(False, f"{size} is too small for the engine, {what}: below {least:,} numbers")
    if pixels < 1024:
        return Choice(False, f"{size} without pooling is too small for the engine: below 1,024 numbers")
    if training and channels > 8:
        return Choice(False, f"{channels} channels without pooling, {mode}: oneDNN is as near to the processor's peak")
    return Choice(True, f"{size}, {mode}, {channels} channel{'s' * (channels > 1)}")

"""Where a convolution is computed: on the native engine, or by torch's kernel (oneDNN on a processor).

Both are right; the faster one is taken. What decides are the numbers of ``benchmarks/convolution.py``, tables "rule"
(docs/speed-convolution.md): the engine takes an image at a time (of depthwise convolution a channel), and its vectors hold
neighbouring pixels, so small maps leave lanes empty and pay for each; oneDNN is near the processor's peak once it has 16
channels or so, but adds up all products, where the engine's minimal filtering of kernels three by three (native/points.h) has
24 for each 72, and along one axis 4 for each 6; and an activation and a pooling of their own read and write the whole map again, which the engine's sweep does
not. Before any of that, oneDNN costs more to ask: a call of few multiply-adds is over on the engine before oneDNN has
begun.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pellucid.geometry.axis import Window
from pellucid.ops.remember import remembered


@dataclass(frozen=True)
class Choice:
    """What was chosen for a shape, and why.

    Attributes:
        native: whether the native engine computes it.
        reason: in words, which name the {map} and its {pixels}.
        map_sizes: of the feature map.
    """

    native: bool
    reason: str
    map_sizes: tuple[int, ...] = ()

    @property
    def why(self) -> str:
        """The reason with the map's sizes; written only where it is read, since sizes in a graph are no numbers."""
        size = f"a map of {' x '.join(map(str, self.map_sizes))}"
        return self.reason.format(map=size, pixels=math.prod(self.map_sizes))


def minimal(windows: Sequence[Window], channels: int, filters: int) -> bool:
    """Whether the engine computes such a convolution by minimal filtering.

    It counts the numbers of a vector, too (``by_points`` in native/points.cpp): a few more channels or filters than a vector has
    are added up directly, and so are the gradients of padding that borrows from the input.

    Args:
        windows: of the kernel.
        channels: of a group.
        filters: of a group.
    """
    cut = all(w.kernel >= 3 and w.kernel % 3 != 1 and w.stride == 1 for w in windows)
    dense = len(windows) == 1 or (len(windows) == 2 and all(w.dilation == 1 for w in windows))
    return cut and dense and channels >= 16 and filters >= 16


@remembered
def choose(
    map_sizes: tuple[int, ...],
    channels: int,
    groups: int,
    *,
    work: int,
    pooled: bool,
    training: bool,
    minimal: bool = False,
    channels_last: bool = False,
    half: bool = False,
    images: int | None = None,
) -> Choice:
    """Choose for one convolution, alone or with the pooling that follows it.

    Args:
        map_sizes: of the convolution's feature map.
        channels: of the input, in one group.
        groups: into which the channels are dealt out.
        work: the multiply-adds of the whole batch's maps.
        pooled: whether a pooling follows in the same sweep.
        training: whether gradients will be asked for.
        minimal: whether the engine computes it by minimal filtering, see :func:`minimal`.
        channels_last: whether the channels of a pixel lie side by side.
        half: whether the numbers are bfloat16, which the engine widens to float32 and torch's kernel multiplies.
        images: of the batch; None: as many as it takes for what each call costs once not to count.
    """

    def chosen(native: bool, reason: str) -> Choice:
        return Choice(native, reason, map_sizes)

    pixels = math.prod(map_sizes)
    mode = _mode(training)
    if channels_last and not pooled and not minimal:
        return chosen(False, "channels last without pooling: the engine would turn the maps around at both ends")
    if half and (not pooled or channels >= 8):
        what = f"{channels} channels" if channels >= 8 else "no pooling"
        return chosen(False, f"bfloat16 with {what}: torch's kernel multiplies it, the engine widens it to float32")
    if groups > 1 and channels == 1 and len(map_sizes) > 1:
        return chosen(*_depthwise_rule(pixels, work, pooled, training))
    if groups > 1 and pixels >= 64:
        return chosen(True, f"{groups} groups, which torch's kernel computes slowly")
    if len(map_sizes) == 1 and pixels >= 64:
        what = "minimal filtering, of two thirds of the products" if minimal else "along which the engine's vectors lie"
        return chosen(True, f"one axis of {{pixels}} numbers, {what}")
    if (
        minimal
        and len(map_sizes) == 2
        and images is not None
        and images * pixels < (least := _least(channels, training))
    ):
        return chosen(
            False, f"{{map}} of {images}, {mode}: fewer than {least:,} numbers do not pay for getting the weights ready"
        )
    if minimal and pixels >= (_least_pooled(training) if pooled else 64):
        return chosen(True, f"{{map}}, {mode}: minimal filtering, which takes some third of the products")
    small = _small(channels, pooled, training)
    if work <= small:
        return chosen(
            True, f"few multiply-adds, {mode}: up to {small:,} the engine is done before torch's kernel has begun"
        )
    if pooled:
        few = channels < 16
        least = 16 if few else 1024 if training else 256
        what = f"{mode} and with {channels} channel{'s' * (channels > 1)}"
        if pixels >= least:
            return chosen(True, f"{{map}} is pooled in the same sweep, {what}: from {least:,} numbers on it pays")
        return chosen(False, f"{{map}} is too small for the engine, {what}: below {least:,} numbers")
    if pixels < 1024:
        return chosen(False, "{map} without pooling is too small for the engine: below 1,024 numbers")
    if training and channels > 8:
        return chosen(False, f"{channels} channels without pooling, {mode}: oneDNN is as near to the processor's peak")
    return chosen(True, f"{{map}}, {mode}, {channels} channel{'s' * (channels > 1)}")


def _least(channels: int, training: bool) -> int:
    """The numbers of the batch's maps from which on minimal filtering pays for what it makes of the weights first."""
    return 2 * channels if training and channels >= 128 else max(0, 2 * (channels - 128))


def _least_pooled(training: bool) -> int:
    """The numbers of a map from which on minimal filtering and a pooling in one sweep pay."""
    return 49 if training else 16


def _mode(training: bool) -> str:
    return "with gradients" if training else "without gradients"


def _depthwise_rule(pixels: int, work: int, pooled: bool, training: bool) -> tuple[bool, str]:
    """For a filter a channel: each of the maps costs the engine some time of its own, however small it is."""
    maps = work // pixels  # times the taps of one
    if maps <= 5000:
        return True, "few maps of a channel each: the engine is done before torch's kernel has begun"
    mode = _mode(training)
    least = 96 if pooled else 192 if training else 256
    if pixels >= least:
        return True, f"a filter for each channel and {{map}}, {mode}: from {least:,} numbers on the engine's rows pay"
    return False, f"a filter for each channel and many maps, each {{map}}, {mode}: below {least:,} numbers"


def _small(channels: int, pooled: bool, training: bool) -> int:
    """The multiply-adds up to which a call's fixed costs decide."""
    if not training:
        return 2_000_000 if pooled else 1_000_000
    if pooled:
        return 1_000_000
    return 500_000 if channels <= 8 else 0

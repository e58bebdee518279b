"""One axis of a sliding window: output size, padding, what is left over, and the sentences when it does not fit.

With input size i, window k, stride s, dilation d and padding (pb, pe), the window spans d (k - 1) + 1 and

    o = floor((i + pb + pe - d (k - 1) - 1) / s) + 1

(Dumoulin and Visin 2016, A guide to convolution arithmetic, relationship 15). In ceil mode the division rounds up,
but a last window that would start in the padding at the end is dropped: (o - 1) s >= i + pb (torch's rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """One axis of a convolution or pooling layer.

    Attributes:
        kernel: k, window size in elements.
        stride: s, step from window to window.
        dilation: d, step from element to element inside a window.
        padding: (pb, pe), elements added before and after the input.
        ceil: whether the division rounds up.
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    padding: tuple[int, int] = (0, 0)
    ceil: bool = False

    @property
    def span(self) -> int:
        """Elements from a window's first to its last: d (k - 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    def output(self, size: int) -> int:
        """Number of windows; may be below 1, which the caller has to refuse."""
        begin, end = self.padding
        room = size + begin + end - self.span
        if not self.ceil:
            return room // self.stride + 1
        count = -(-room // self.stride) + 1
        return count - 1 if (count - 1) * self.stride >= size + begin else count

    def dropped(self, size: int) -> int:
        """Elements of the input at its end that no window reaches, padding not counted."""
        count = self.output(size)
        if count < 1:
            return size
        reached = (count - 1) * self.stride + self.span - self.padding[0]
        return max(0, min(size, size - reached))

    def at(self, position: int, size: int) -> Window:
        """The window of one output position, as a window that has this one output.

        Args:
            position: of the output, from 0.
            size: of the input.

        Returns:
            The same elements; where it begins or ends inside the input its padding is negative.
        """
        start = position * self.stride - self.padding[0]
        return Window(self.kernel, 1, self.dilation, (-start, start + self.span - size))

    def smallest_input(self) -> int:
        """The smallest input size that gives at least one window."""
        size = max(1, self.span - sum(self.padding))
        if self.ceil:
            size = max(1, size - self.stride + 1)
        while self.output(size) < 1:
            size += 1
        return size

    def formula(self, size: int) -> str:
        """The formula with this axis's numbers: ``floor((28 + 2*2 - 5)/1) + 1 = 28``."""
        begin, end = self.padding
        padding = "" if begin == end == 0 else f" + 2*{begin}" if begin == end else f" + {begin} + {end}"
        kernel = str(self.kernel) if self.dilation == 1 else f"({self.dilation}*({self.kernel}-1)+1)"
        rounding = "ceil" if self.ceil else "floor"
        count = self.output(size)
        unchecked = -(-(size + begin + end - self.span) // self.stride) + 1
        last = " - 1" if self.ceil and unchecked != count else ""
        return f"{rounding}(({size}{padding} - {kernel})/{self.stride}) + 1{last} = {count}"


@dataclass(frozen=True)
class TransposedWindow:
    """One axis of a transposed convolution: o = (i - 1) s - pb - pe + d (k - 1) + output_padding + 1."""

    kernel: int
    stride: int = 1
    dilation: int = 1
    padding: tuple[int, int] = (0, 0)
    output_padding: int = 0

    @property
    def span(self) -> int:
        """Elements of the output that one element of the input reaches: d (k - 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    def output(self, size: int) -> int:
        """Output size; may be below 1, which the caller has to refuse."""
        return (size - 1) * self.stride - sum(self.padding) + self.span + self.output_padding

    def smallest_input(self) -> int:
        """The smallest input size that gives at least one output element."""
        missing = 1 - self.output(1)
        return 1 + max(0, -(-missing // self.stride))

    def formula(self, size: int) -> str:
        """The formula with this axis's numbers."""
        begin, end = self.padding
        padding = "" if begin == end == 0 else f" - 2*{begin}" if begin == end else f" - {begin} - {end}"
        extra = f" + {self.output_padding}" if self.output_padding else ""
        kernel = f"{self.dilation}*({self.kernel}-1)"
        return f"({size}-1)*{self.stride}{padding} + {kernel}{extra} + 1 = {self.output(size)}"


def same_padding(size: int, kernel: int, stride: int = 1, dilation: int = 1, *, lower: bool = False) -> tuple[int, int]:
    """The padding for which o = ceil(i / s).

    The total is max((o - 1) s + d (k - 1) + 1 - i, 0). Its half goes before the input, and where it is odd the one
    left over goes to the end (SAME_UPPER of ONNX, "SAME" of TensorFlow), or to the beginning with ``lower``.
    """
    count = -(-size // stride)
    total = max((count - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    small, large = total // 2, total - total // 2
    return (large, small) if lower else (small, large)


def causal_padding(kernel: int, dilation: int = 1) -> tuple[int, int]:
    """All padding before the input, so that an output sees nothing that comes after it: (d (k - 1), 0)."""
    return dilation * (kernel - 1), 0


def too_small(layer: str, axis_name: str, size: int, window: Window | TransposedWindow) -> str:
    """The sentence for an input that is too small for one window."""
    begin, end = window.padding
    smallest = window.smallest_input()
    spans = f"a window of {window.kernel}" + (f" that spans {window.span}" if window.span != window.kernel else "")
    missing = smallest - size
    return (
        f"{layer}: the {axis_name} is {size}, and {spans} with padding {begin} + {end} does not fit into it "
        f"({window.formula(size)}); give an input of {axis_name} {smallest} or more, "
        f"{counted(missing, 'more element')} of padding, or a smaller window"
    )


def channels_mismatch(layer: str, expected: int, got: int, shape: Sequence[int], channels_last_fits: bool) -> str:
    """The sentence for an input with another number of channels than the layer was built for."""
    hint = (
        f"the last axis has {expected}: the channels seem to come last, move them with x.movedim(-1, 1)"
        if channels_last_fits
        else f"build the layer with in_channels={got}, or give {counted(expected, 'channel')}"
    )
    sizes = " x ".join(map(str, shape))
    return f"{layer}: expected {counted(expected, 'input channel')}, and the input ({sizes}) has {got}; {hint}"


def counted(number: int, what: str) -> str:
    """``1 channel``, ``3 channels``; ``what`` is one of them."""
    return f"{number} {what}{'s' * (number != 1)}"

"""The promise: each convolution runs where it is the faster one, and the reason is told."""

from __future__ import annotations

import pytest
import torch

from pellucid.geometry.axis import Window
from pellucid.nn import Conv2d, ConvBlock
from pellucid.ops.choice import choose, minimal


@pytest.mark.parametrize(
    ("sizes", "channels", "groups", "pooled", "training", "native", "words"),
    [
        ((28, 28), 1, 1, True, False, True, "pooled in the same sweep"),
        ((8, 8), 64, 1, True, False, False, "below 256"),
        ((16, 16), 64, 1, True, False, True, "from 256"),
        ((8, 8), 3, 1, True, True, True, "from 16"),
        ((3, 3), 3, 1, True, True, False, "below 16"),
        ((16, 16), 16, 1, True, True, False, "below 1,024"),
        ((32, 32), 32, 1, True, True, True, "32 channels"),
        ((4, 4), 64, 1, True, False, False, "too small"),
        ((56, 56), 64, 1, False, False, True, "56 x 56"),
        ((56, 56), 64, 1, False, True, False, "oneDNN"),
        ((56, 56), 3, 1, False, True, True, "3 channels"),
        ((14, 14), 3, 1, False, False, False, "1,024"),
        ((14, 14), 3, 64, False, True, True, "64 groups"),
        ((14, 14), 1, 64, False, True, True, "from 192"),
        ((12, 12), 1, 64, False, True, False, "below 192"),
        ((14, 14), 1, 64, False, False, False, "below 256"),
        ((16, 16), 1, 64, False, False, True, "from 256"),
        ((12, 12), 1, 64, True, True, True, "from 96"),
        ((8, 8), 1, 64, True, False, False, "below 96"),
        ((100,), 1, 64, False, False, True, "64 groups"),
        ((1000,), 32, 1, False, True, True, "one axis"),
    ],
)
def test_the_rule(
    sizes: tuple[int, ...], channels: int, groups: int, pooled: bool, training: bool, native: bool, words: str
) -> None:
    """Of a batch so large that a call's fixed costs are not seen."""
    chosen = choose(sizes, channels, groups, work=10**9, pooled=pooled, training=training)
    assert chosen.native is native
    assert words in chosen.why


@pytest.mark.parametrize(
    ("sizes", "pooled", "training", "native"),
    [
        ((8, 8), False, True, True),
        ((7, 9), False, False, False),
        ((4, 4), True, False, True),
        ((3, 5), True, False, False),
        ((7, 7), True, True, True),
        ((6, 8), True, True, False),
    ],
)
def test_the_rule_of_minimal_filtering(sizes: tuple[int, ...], pooled: bool, training: bool, native: bool) -> None:
    """Three by three of many channels and filters is the engine's but for the smallest maps."""
    chosen = choose(sizes, 64, 1, work=10**9, pooled=pooled, training=training, minimal=True)
    assert chosen.native is native
    assert ("minimal filtering" in chosen.why) is native


@pytest.mark.parametrize(
    ("channels", "training", "images", "native"),
    [
        (128, True, 3, False),
        (128, True, 4, True),
        (128, False, 1, True),
        (256, False, 3, False),
        (256, False, 4, True),
        (64, True, 1, True),
    ],
)
def test_minimal_filtering_of_few_numbers_is_torchs(channels: int, training: bool, images: int, native: bool) -> None:
    """What is made of many weights first has to be paid for by the batch's maps."""
    chosen = choose((8, 8), channels, 1, work=10**9, pooled=False, training=training, minimal=True, images=images)
    assert chosen.native is native
    assert ("weights" in chosen.why) is not native


@pytest.mark.parametrize(
    ("windows", "channels", "filters", "expected"),
    [
        ((Window(3), Window(3)), 16, 16, True),
        ((Window(3, padding=(2, 0)), Window(3)), 64, 100, True),
        ((Window(3), Window(3)), 15, 16, False),
        ((Window(3), Window(3)), 16, 15, False),
        ((Window(3), Window(3, stride=2)), 64, 64, False),
        ((Window(3, dilation=2), Window(3)), 64, 64, False),
        ((Window(3), Window(5)), 64, 64, True),
        ((Window(6), Window(5)), 64, 64, True),
        ((Window(1), Window(3)), 64, 64, False),
        ((Window(2), Window(3)), 64, 64, False),
        ((Window(4), Window(3)), 64, 64, False),
        ((Window(7), Window(7)), 64, 64, False),
        ((Window(3),), 64, 64, True),
        ((Window(9, dilation=8),), 64, 64, True),
        ((Window(4),), 64, 64, False),
        ((Window(3, stride=2),), 64, 64, False),
        ((Window(3),) * 3, 64, 64, False),
    ],
)
def test_what_is_computed_by_minimal_filtering(
    windows: tuple[Window, ...], channels: int, filters: int, expected: bool
) -> None:
    """Kernels of three taps along each axis, or some times three and two more, that move by one; one axis may be dilated."""
    assert minimal(windows, channels, filters) is expected


@pytest.mark.parametrize(
    ("channels", "pooled", "training", "most"),
    [
        (64, False, False, 1_000_000),
        (64, True, False, 2_000_000),
        (64, True, True, 1_000_000),
        (8, False, True, 500_000),
        (9, False, True, 0),
    ],
)
def test_a_call_of_few_products_is_the_engines(channels: int, pooled: bool, training: bool, most: int) -> None:
    """Where its fixed costs decide, whatever the map."""
    few, many = (
        choose((4, 4), channels, 1, work=work, pooled=pooled, training=training) for work in (max(most, 1), most + 1)
    )
    assert not many.native
    assert "a map of 4 x 4" in many.why
    assert few.native is (most > 0)
    assert most == 0 or f"up to {most:,}" in few.why


@pytest.mark.parametrize("training", [False, True])
def test_few_maps_of_a_channel_each_are_the_engines(training: bool) -> None:
    """Five thousand taps in all, whatever the map."""
    few, many = (choose((4, 4), 1, 64, work=16 * n, pooled=False, training=training) for n in (5000, 5001))
    assert few.native
    assert "few maps" in few.why
    assert not many.native


@pytest.mark.parametrize(
    ("layer", "size", "training", "node"),
    [
        (Conv2d(3, 8, 3), 40, True, "_DifferentiableBackward"),
        (Conv2d(16, 8, 3), 40, True, "ConvolutionBackward0"),
        (ConvBlock(16, 8, 3, padding="same"), 40, True, "_DifferentiableBackward"),
        (ConvBlock(64, 64, 7, padding="same"), 8, True, "_PooledBackward"),
        (ConvBlock(64, 64, 3, padding="same"), 8, True, "_DifferentiableBackward"),
        (Conv2d(16, 16, 3), 40, True, "_DifferentiableBackward"),
    ],
)
def test_what_is_chosen_runs(layer: torch.nn.Module, size: int, training: bool, node: str) -> None:
    x = torch.randn(2, next(layer.parameters()).shape[1], size, size)
    out = layer(x)
    assert out.grad_fn is not None
    assert out.grad_fn.name() == node


def test_channels_last_maps_are_torchs_unless_they_are_pooled_or_minimally_filtered() -> None:
    many = torch.randn(2, 16, 40, 40).to(memory_format=torch.channels_last)
    out = Conv2d(16, 32, 3)(many)
    assert out.grad_fn.name() == "_DifferentiableBackward"  # type: ignore[union-attr]
    assert out.is_contiguous(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 40, 40).to(memory_format=torch.channels_last)
    names = [
        layer(x).grad_fn.name()  # type: ignore[union-attr]
        for layer in (Conv2d(3, 8, 3), ConvBlock(3, 8, 3, pool=None, activation=None), ConvBlock(3, 8, 3))
    ]
    assert names == ["ConvolutionBackward0", "ConvolutionBackward0", "_DifferentiableBackward"]

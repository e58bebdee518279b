"""Convolution and pooling beside torch.nn and ONNX Runtime: ``make bench-convolution``.

Every row is the time of one call of each side, measured in alternation in one process. Results are compared before they are
timed. A run that was stopped goes on where it was: rows that the file already has are kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

import pellucid.nn
from benchmarks import peers
from benchmarks.run import MODES, Around, Measure, agree, both, main, times
from pellucid.ops import choice


@dataclass(frozen=True)
class Block:
    """Convolution ► ReLU ► pooling of one size.

    Attributes:
        batch, channels, sizes: of the input.
        filters, kernel, stride, dilation, groups: of the convolution; its padding is "same" (a half), or causal.
        pool: window and stride of the maximum; 1: none.
    """

    batch: int
    channels: int
    sizes: tuple[int, ...]
    filters: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    causal: bool = False
    pool: int = 2

    def key(self) -> list[Any]:
        """As it stands in a row."""
        return [self.batch, self.channels, "x".join(map(str, self.sizes)), self.filters, self.kernel, self.more()]

    def more(self) -> str:
        """What is not the default, in words."""
        said = {
            f"stride {self.stride}": self.stride > 1,
            f"dilation {self.dilation}": self.dilation > 1,
            f"groups {self.groups}": self.groups > 1,
            "causal": self.causal,
            "no pooling": self.pool == 1,
        }
        return ", ".join(text for text, is_so in said.items() if is_so)

    def input(self) -> Tensor:
        """Random numbers of its size."""
        return torch.randn(self.batch, self.channels, *self.sizes)

    def theirs(self) -> nn.Sequential:
        """As torch.nn has it."""
        dims = len(self.sizes)
        reach = self.dilation * (self.kernel - 1)
        convolution = getattr(nn, f"Conv{dims}d")
        layers: list[nn.Module] = [nn.ConstantPad1d((reach, 0), 0.0)] if self.causal else []
        padding = 0 if self.causal else reach // 2
        layers += [
            convolution(
                *(self.channels, self.filters, self.kernel, self.stride, padding, self.dilation, self.groups),
            ),
            nn.ReLU(),
        ]
        if self.pool > 1:
            layers.append(getattr(nn, f"MaxPool{dims}d")(self.pool))
        return nn.Sequential(*layers)

    def ours(self, theirs: nn.Sequential) -> nn.Module:
        """The same block, with the same numbers."""
        block = pellucid.nn.ConvBlock(
            *(self.channels, self.filters, self.kernel),
            stride=self.stride,
            padding="causal" if self.causal else self.dilation * (self.kernel - 1) // 2,
            dilation=self.dilation,
            groups=self.groups,
            dims=len(self.sizes),
            pool="max" if self.pool > 1 else None,
            pool_size=self.pool,
        )
        (convolution,) = (layer for layer in theirs if hasattr(layer, "weight"))
        block.load_state_dict(convolution.state_dict())
        return block

    def flops(self) -> float:
        """Of the products, forward: 2 a multiply-add."""
        outputs = self.batch * self.filters
        for size in self.sizes:
            outputs *= -(-size // self.stride)
        return 2.0 * outputs * (self.channels // self.groups) * self.kernel ** len(self.sizes)


GRID = [
    Block(1, 1, (28, 28), 16, 3),
    Block(32, 1, (28, 28), 16, 3),
    Block(1, 3, (32, 32), 32, 3),
    Block(64, 3, (32, 32), 32, 3),
    Block(64, 32, (32, 32), 64, 3),
    Block(64, 64, (16, 16), 128, 3),
    Block(8, 64, (56, 56), 64, 3),
    Block(1, 3, (224, 224), 64, 7, stride=2),
    Block(1, 1, (28, 28), 8, 5),
    Block(64, 16, (16, 16), 32, 5),
    Block(32, 64, (28, 28), 64, 3, groups=64),
    Block(32, 64, (28, 28), 64, 5, groups=64, pool=1),
    Block(4, 64, (112, 112), 64, 3, stride=2, groups=64, pool=1),
    Block(16, 32, (1000,), 64, 9),
    Block(16, 32, (1000,), 64, 3, dilation=8, causal=True, pool=1),
]


@dataclass(frozen=True)
class Pool:
    """Pooling alone, of a map of one size."""

    kind: str
    kernel: int
    stride: int
    padding: int
    sizes: tuple[int, ...] = (64, 16, 28, 28)

    def key(self) -> list[Any]:
        """As it stands in a row."""
        return [*self.sizes[:2], "x".join(map(str, self.sizes[2:])), f"{self.kernel}x{self.kernel}/{self.stride}"]

    def layer(self, library: Any) -> nn.Module:
        """torch.nn's or Pellucid's."""
        made: nn.Module = getattr(library, f"{self.kind}Pool2d")(self.kernel, self.stride, self.padding)
        return made


POOLS = [
    Pool(kind, *window, sizes)
    for sizes in ((64, 16, 28, 28), (8, 64, 112, 112))
    for kind, window in (("Max", (2, 2, 0)), ("Max", (3, 2, 1)), ("Max", (3, 1, 1)), ("Avg", (2, 2, 0)))
]


def against_torch(case: Block, mode: str, threads: int) -> dict[str, Any]:
    """A block beside torch.nn's, in both memory formats, compiled, and on ONNX Runtime."""
    theirs, x = case.theirs(), case.input()
    layers: dict[str, Callable[[Tensor], Any]] = {"pellucid": case.ours(theirs), "torch": theirs}
    if threads > 1:
        layers["torch.compile"] = torch.compile(theirs)
    if mode == "forward":
        layers["onnxruntime"] = peers.exported(theirs, x, threads)
    agree(layers, x)
    runs = both(layers, x, mode)
    if len(case.sizes) == 2:
        last = case.theirs()
        last.load_state_dict(theirs.state_dict())
        formatted = {"channels last": last.to(memory_format=torch.channels_last)}
        runs |= both(formatted, x.to(memory_format=torch.channels_last), mode)
    return times(runs) | {"flops": case.flops() * (1 if mode == "forward" else 3)}


def pooling(case: Pool, mode: str, threads: int) -> dict[str, Any]:
    """A pooling layer beside torch.nn's."""
    x = torch.randn(case.sizes)
    layers: dict[str, Any] = {"pellucid": case.layer(pellucid.nn), "torch": case.layer(nn)}
    if mode == "forward":
        layers["onnxruntime"] = peers.exported(case.layer(nn), x, threads)
    agree(layers, x)
    runs = both(layers, x, mode)
    runs |= both({"channels last": case.layer(nn)}, x.to(memory_format=torch.channels_last), mode)
    return times(runs)


RULE = [
    Block(max(1, min(64, 2**22 // (c * max(16, 2 * c) * s * s))), c, (s, s), max(16, 2 * c), 3, pool=pool)
    for pool in (1, 2)
    for c in (1, 3, 8, 16, 32, 64, 128)
    for s in (4, 8, 16, 32)
]


DEPTHWISE = [
    Block(32, c, (s, s), c, 3, groups=c, pool=pool) for pool in (1, 2) for c in (8, 64, 256) for s in (4, 7, 10, 14, 28)
]


def rule(case: Block, dtype: torch.dtype, mode: str, threads: int) -> dict[str, Any]:
    """The layer's two paths beside each other, whatever :mod:`pellucid.ops.choice` says: what its rule is made from.

    "torch" is torch's kernel for the convolution, and then the activation and Pellucid's own pooling.
    """
    block, x = case.ours(case.theirs()).to(dtype), case.input().to(dtype)

    def path(native: bool) -> nn.Module:
        chosen, mine = mock.Mock(return_value=choice.Choice(native, "")), copy.deepcopy(block)  # a block asks only once

        def run(x: Tensor) -> Any:
            with mock.patch.object(choice, "choose", chosen):
                return mine(x)

        return Around(mine, run)

    layers = {"pellucid": path(True), "torch": path(False)}
    if dtype == torch.float32:
        agree(layers, x)  # of bfloat16 each rounds where it does; tests compare with float64
    return times(both(layers, x, mode), seconds=0.1) | {"flops": case.flops() * (1 if mode == "forward" else 3)}


def plan(quick: bool) -> Iterator[tuple[str, Measure, str, list[Any], str]]:
    """Everything that is measured: the table, how, the layer, its size and the mode."""
    for mode in MODES:
        for block in GRID[:2] if quick else GRID:
            yield "block", lambda *given, case=block: against_torch(case, *given[2:]), "ConvBlock", block.key(), mode
        for table, dtype, blocks in (
            ("rule", torch.float32, RULE),
            ("rule depthwise", torch.float32, DEPTHWISE),
            ("rule bfloat16", torch.bfloat16, RULE),
        ):
            for block in blocks[:2] if quick else blocks:
                yield (
                    table,
                    lambda *given, case=block, dtype=dtype: rule(case, dtype, *given[2:]),
                    "ConvBlock",
                    block.key(),
                    mode,
                )
        for pool in POOLS[:2] if quick else POOLS:
            yield "pooling", lambda *given, case=pool: pooling(case, *given[2:]), f"{pool.kind}Pool2d", pool.key(), mode


if __name__ == "__main__":
    main("benchmarks.convolution", __doc__ or "", plan)

"""Random blocks, and what they are compared with: the references, one step after the other."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from pellucid import _native
from pellucid.ops.activations import ACTIVATIONS
from pellucid.ops.convolution import convolution_block
from pellucid.ops.reference import convolution as reference
from pellucid.ops.reference import pooling as pooling_reference
from pellucid.ops.windows import sliding

# Sums of up to some hundred products of numbers about 1, in float64 and in another order.
CLOSE = {"rtol": 1e-10, "atol": 1e-10}


@st.composite
def problems(draw: Any, depthwise: bool = False, minimal: bool = False, single: bool = False) -> dict[str, Any]:
    """Blocks of odd sizes, and everything that they can have.

    Depthwise: a filter for each channel, larger maps and kernels. Minimal: what is computed by minimal filtering, along one axis or
    two, with stride 1 and of many channels and filters. Single: of one channel, with many filters.
    """
    dims = draw(st.integers(1, 2) if minimal else st.integers(2, 3) if depthwise else st.integers(1, 3))
    groups = draw(st.sampled_from([1, 2, 3] if depthwise else [1, 1, 1, 2, 3]))
    most = {1: 40, 2: 40 if depthwise else 14, 3: 6}[dims]

    def axes(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(dims))

    kernel, dilation, pool = axes(1, 4 if dims < 3 else 2), axes(1, 2), axes(1, 3)
    if depthwise:
        square = draw(st.sampled_from([None, 3, 3, 5]))
        kernel = (1,) * (dims - 2) + (
            (square, square) if square else (draw(st.integers(1, 7)), draw(st.integers(1, 7)))
        )
        dilation, pool = (1,) * dims, draw(st.sampled_from([pool, (1,) * (dims - 2) + (2, 2)]))
    if minimal:
        kernel, dilation = draw(st.sampled_from([(3, 3)] * 3 + [(5, 5), (3, 5), (6, 3), (5, 8)])), (1, 1)
        if dims == 1:
            kernel, dilation = (draw(st.sampled_from([3, 5, 6, 9])),), (draw(st.sampled_from([1, 1, 2, 3, 8])),)
    stride, padding = (
        (1,) * dims if minimal else axes(1, 3),
        tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(dims)),
    )
    if depthwise:
        stride = draw(st.sampled_from([stride, (1,) * dims, (1,) * (dims - 2) + (2, 2)]))
    border = draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"]))
    least = [(p - 1) * s + d * (k - 1) + 1 for p, s, d, k in zip(pool, stride, dilation, kernel, strict=True)]
    size = tuple(draw(st.integers(at, at + most)) for at in least)
    if border != "zeros":  # there must be something to borrow
        padding = tuple((min(a, n - 1), min(b, n - 1)) for (a, b), n in zip(padding, size, strict=True))
    return {
        "batch": draw(st.integers(1, 3)),
        "channels": groups
        * (1 if depthwise or single else draw(st.integers(16, 35) if minimal else st.integers(1, 5))),
        "filters": groups
        * (1 if depthwise else draw(st.integers(16, 50) if minimal else st.integers(8 if single else 1, 14))),
        "groups": groups,
        "size": size,
        "kernel": kernel,
        "stride": stride,
        "dilation": dilation,
        "padding": padding,
        "padding_mode": border,
        "value": draw(st.sampled_from([0.0, 0.0, -1.5])) if border == "zeros" else 0.0,
        "bias": draw(st.booleans()),
        "activation": draw(st.sampled_from([None, *ACTIVATIONS])),
        "pool": draw(st.sampled_from(["max", "avg", None])),
        "pool_size": pool,
        "pool_stride": pool if depthwise and draw(st.booleans()) else axes(1, 3),
        "pool_padding": tuple(
            (0, 0) if depthwise else (draw(st.integers(0, p - 1)), draw(st.integers(0, p - 1))) for p in pool
        ),
        "format": draw(st.sampled_from(["contiguous", "reversed", "expanded", "last"])),
        "memory": draw(st.sampled_from(["keep", "recompute"])),
        "threads": draw(st.integers(1, 3)),
        "seed": draw(st.integers(0, 999)),
    }


def input_of(p: dict[str, Any], generator: torch.Generator) -> Tensor:
    """Of one of several formats of memory."""
    shape = (p["batch"], p["channels"], *p["size"])
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    axes = range(len(shape))
    if p["format"] == "reversed":
        return x.permute(*reversed(axes)).contiguous().permute(*reversed(axes))
    if p["format"] == "expanded":
        return x[:1].expand(shape)
    if p["format"] == "last":
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    return x


def by_steps(p: dict[str, Any], x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    """The readable references, and torch's activation."""
    windows = sliding("", x.shape, p["kernel"], p["stride"], p["padding"], p["dilation"])
    maps = reference.convolution(x, w, b, windows, p["groups"], p["padding_mode"], p["value"])
    activated = maps if p["activation"] is None else ACTIVATIONS[p["activation"]].torch(maps)
    if p["pool"] is None:
        return activated
    slides = sliding("", maps.shape, p["pool_size"], p["pool_stride"], p["pool_padding"], 1)
    if p["pool"] == "max":
        return pooling_reference.max_pool(activated, slides, None)[0]
    return pooling_reference.average_pool(activated, slides, True, None, 0.0)


def compare_with_steps(isa: str, p: dict[str, Any]) -> None:
    """Results and gradients of a block and of the references, in float64."""
    generator = torch.Generator().manual_seed(p["seed"])
    x = input_of(p, generator).requires_grad_()
    w = torch.randn(p["filters"], p["channels"] // p["groups"], *p["kernel"], generator=generator, dtype=torch.float64)
    b = torch.randn(p["filters"], generator=generator, dtype=torch.float64) if p["bias"] else None
    leaves = [leaf.requires_grad_() for leaf in (x, w, b) if leaf is not None]
    names = (
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
        "memory",
        "activation",
        "pool",
        "pool_size",
        "pool_stride",
        "pool_padding",
    )
    given = {name: p[name] for name in names}

    def ours() -> Tensor:
        return convolution_block(x, w, b, dims=len(p["kernel"]), padding_value=p["value"], **given)

    chosen, threads = _native.instruction_set(), torch.get_num_threads()
    _native.choose(isa)
    torch.set_num_threads(p["threads"])
    torch.use_deterministic_algorithms(True, warn_only=True)  # fills new memory with NaN: nothing may be left unwritten
    try:
        out = ours()
        expected = by_steps(p, x, w, b)
        torch.testing.assert_close(out, expected, **CLOSE)
        cotangent = torch.randn(out.shape, generator=generator, dtype=torch.float64)
        found = torch.autograd.grad(out, leaves, cotangent)
        torch.testing.assert_close(found, torch.autograd.grad(expected, leaves, cotangent), **CLOSE)
        with torch.no_grad():
            assert torch.equal(ours(), out)
    finally:
        torch.use_deterministic_algorithms(False)
        _native.choose(chosen)
        torch.set_num_threads(threads)

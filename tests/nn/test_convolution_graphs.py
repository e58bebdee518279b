"""Convolution and pooling inside graphs: torch.compile without a break and on the engine, torch.export without Pellucid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.debugging import aot_eager

from pellucid import fuse, nn
from pellucid.ops import library_block

# float64: a graph's forward pass and the one outside may add up in another order.
CLOSE = {"rtol": 1e-11, "atol": 1e-11}

BLOCKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "gelu": {"activation": "gelu"},
    "no activation": {"activation": None},
    "average": {"pool": "avg", "activation": "tanh"},
    "no pooling": {"pool": None},
    "no pooling, tanh": {"pool": None, "activation": "tanh"},
    "options": {"stride": 2, "dilation": 2, "groups": 3, "padding": ((1, 2), (3, 0)), "padding_mode": "circular"},
    "no bias": {"bias": False, "padding": 1, "padding_value": 0.5, "pool_size": 3, "pool_padding": ((0, 1), (1, 1))},
    "recompute": {"memory": "recompute", "activation": "sigmoid"},
}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture
def graphs() -> list[str]:
    """The code of all graphs that were made."""
    return []


def compiled(module: Callable[..., Any], graphs: list[str], **options: Any) -> Any:
    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        graphs.append(graph.code)
        return aot_eager(graph, inputs)  # type: ignore[no-untyped-call]

    return torch.compile(module, fullgraph=True, backend=backend, **options)


def compare(module: torch.nn.Module, run: Any, x: Tensor) -> None:
    """Values with and without gradients, and all gradients."""
    with torch.no_grad():
        torch.testing.assert_close(run(x), module(x), **CLOSE)
    leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
    leaves = [leaf, *module.parameters()]
    cotangent = torch.randn_like(module(x))
    found, expected = (torch.autograd.grad(f(leaf), leaves, cotangent) for f in (run, module))
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("options", BLOCKS.values(), ids=BLOCKS)
def test_a_compiled_block_is_a_node_that_runs_the_engine(options: dict[str, Any], graphs: list[str]) -> None:
    block = nn.ConvBlock(3, 9, 3, **options).double()
    generator = torch.Generator().manual_seed(0)
    compare(block, compiled(block, graphs), torch.randn(2, 3, 70, 70, generator=generator, dtype=torch.float64))
    assert all("pellucid.block" in code and "conv2d" not in code for code in graphs)


@pytest.mark.parametrize("pool", ["max", None])
def test_a_compiled_block_takes_an_image_alone_and_channels_last(pool: str | None, graphs: list[str]) -> None:
    """The second without pooling is torch's, as outside of graphs."""
    block = nn.ConvBlock(3, 9, 3, pool=pool).double()
    x = torch.randn(2, 3, 40, 40, dtype=torch.float64)
    run = compiled(block, graphs)
    compare(block, run, x[0])
    compare(block, run, x.to(memory_format=torch.channels_last))
    assert ["pellucid.block" in code for code in graphs] == [True, True, pool == "max", pool == "max"]


def test_a_graph_of_any_size_holds_the_node(graphs: list[str]) -> None:
    """With sizes that are letters, padding to the same size among what is computed from them."""
    block = nn.ConvBlock(3, 8, 3, stride=2, padding="same", activation="gelu").double()
    run = compiled(block, graphs, dynamic=True)
    for size in ((2, 3, 40, 40), (3, 3, 45, 52)):
        compare(block, run, torch.randn(size, dtype=torch.float64))
    assert all("pellucid.block" in code for code in graphs)


def test_layers_alone_are_nodes_where_the_engine_is_the_faster_one(graphs: list[str]) -> None:
    """A convolution, both poolings and, with its positions, a maximum."""
    x = torch.randn(2, 3, 40, 40, dtype=torch.float64)
    for layer in (nn.Conv2d(3, 8, 3).double(), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2, ceil_mode=True)):
        compare(layer, compiled(layer, graphs), x)
    positions = nn.MaxPool2d(3, 2, return_indices=True)
    for found, expected in zip(compiled(positions, graphs)(x), positions(x), strict=True):
        assert torch.equal(found, expected)
    assert all("pellucid." in code for code in graphs)


def test_what_torchs_kernel_does_faster_stays_torchs(graphs: list[str]) -> None:
    """So that a compiler can make one kernel of what follows it."""
    block = nn.ConvBlock(64, 64, 3, stride=2, pool=None).double()
    compare(block, compiled(block, graphs), torch.randn(1, 64, 24, 24, dtype=torch.float64))
    assert not any("pellucid." in code for code in graphs)


def test_a_fused_model_is_a_graph_of_blocks(graphs: list[str]) -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 5, padding=2),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(6, 8, 3),
        torch.nn.Tanh(),
        torch.nn.AvgPool2d(2),
    ).double()
    fused, fusions = fuse(model)
    x = torch.randn(3, 1, 44, 44, dtype=torch.float64)
    compare(fused, compiled(fused, graphs), x)
    torch.testing.assert_close(fused(x), model(x), **CLOSE)
    assert len(fusions) == 2
    assert all(code.count("torch.ops.pellucid.block") == 2 for code in graphs)


def test_an_exported_program_needs_no_pellucid() -> None:
    """Its operators are torch's own, in every layer that a graph for here has as a node."""
    model = torch.nn.Sequential(nn.ConvBlock(3, 8, 3), nn.Conv2d(8, 4, 3), nn.MaxPool2d(2), nn.AvgPool2d(2)).double()
    x = torch.randn(2, 3, 90, 90, dtype=torch.float64)
    for strict in (False, True):
        program = torch.export.export(model, (x,), strict=strict)
        called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
        assert all(name.startswith("aten.") for name in called)
        torch.testing.assert_close(program.module()(x), model(x), **CLOSE)


def test_under_autocast_a_graph_has_torchs_number_types(graphs: list[str]) -> None:
    """As outside of graphs; and whoever calls the operator by its name under autocast gets its type, too."""
    block, x = nn.ConvBlock(1, 2, 3), torch.randn(1, 1, 40, 40)
    run = compiled(block, graphs)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(run(x), block(x))
        (out,) = torch.ops.pellucid.block(x, block.weight, block.bias, *_arguments("relu", "max"), False)
    assert out.dtype == torch.bfloat16
    # Numbers of size up to 4, rounded to 8 bits on the way in and on the way out.
    torch.testing.assert_close(out.float(), block(x), rtol=0.02, atol=0.06)


def test_transforms_inside_a_graph_are_torchs(graphs: list[str]) -> None:
    """What the operator has no rule for is computed by operators that have one."""
    block = nn.ConvBlock(3, 8, 3).double()
    x = torch.randn(4, 2, 3, 40, 40, dtype=torch.float64)
    mapped = compiled(lambda x: torch.func.vmap(block)(x), graphs)(x)
    torch.testing.assert_close(mapped[1], block(x[1]), **CLOSE)
    assert not any("pellucid." in code for code in graphs)


def _arguments(activation: str, pool: str) -> tuple[Any, ...]:
    windows = [3, 1, 1, 0, 0, 0] * 2
    return windows, 1, "zeros", 0.0, activation, pool, [2, 2, 1, 0, 0, 0] * 2 if pool else []


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    ("activation", "pool"), [("relu", "max"), ("tanh", "max"), ("relu", ""), ("gelu", "avg"), ("", "max")]
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_block_is_what_it_says(activation: str, pool: str, keep: bool, dtype: torch.dtype) -> None:
    """torch's own checks: schema, fake tensors, autograd registration, dynamic shapes."""
    x, w, b = (torch.randn(s).to(dtype).requires_grad_() for s in ((2, 3, 12, 10), (4, 3, 3, 3), (4,)))
    arguments = (x, w, b, *_arguments(activation, pool), keep)
    torch.library.opcheck(torch.ops.pellucid.block.default, arguments)
    last = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    torch.library.opcheck(torch.ops.pellucid.block.default, (last, w, None, *_arguments(activation, pool), keep))


@pytest.mark.parametrize("kind", ["max", "avg"])
def test_the_pooling_is_what_it_says(kind: str) -> None:
    x = torch.randn(2, 3, 12, 10, dtype=torch.float64, requires_grad=True)
    arguments = (x, kind, [3, 2, 1, 1, 1, 1] * 2, True, None, kind == "max")
    torch.library.opcheck(torch.ops.pellucid.pooling.default, arguments)


def test_gradients_through_the_operator_are_the_engines_at_finite_differences() -> None:
    """With what is kept and with what is computed anew."""
    generator = torch.Generator().manual_seed(0)
    x, w, b = (
        torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_()
        for s in ((2, 2, 7, 6), (3, 2, 3, 3), (3,))
    )
    for activation, pool in (("relu", "max"), ("tanh", "max"), ("relu", ""), ("gelu", "avg")):
        for keep in (True, False):
            rest = (*_arguments(activation, pool), keep)

            def run(*given: Tensor, rest: tuple[Any, ...] = rest) -> Tensor:
                found: Tensor = torch.ops.pellucid.block(*given, *rest)[0]
                return found

            assert torch.autograd.gradcheck(run, (x, w, b))


def test_a_window_in_a_graph_is_the_window() -> None:
    """Numbers there and back."""
    pooling = library_block.Pooling("max", library_block._windows([3, 2, 1, 0, 4, 1, 5, 6, 7, 8, 9, 0]))
    assert [(w.kernel, w.stride, w.dilation, w.padding, w.ceil) for w in pooling.windows] == [
        (3, 2, 1, (0, 4), True),
        (5, 6, 7, (8, 9), False),
    ]
    assert library_block._numbers(pooling.windows) == [3, 2, 1, 0, 4, 1, 5, 6, 7, 8, 9, 0]

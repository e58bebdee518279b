"""Recurrent layers inside graphs: torch.compile without a break, torch.export with any T and B, tracing."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tests.ops.cells_under_test import CELLS
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from pellucid import nn
from pellucid.cells import Matrix
from pellucid.cells.sequence import Variant
from pellucid.errors import ArgumentError
from pellucid.ops import library

# float64: a graph's forward pass keeps nothing, and so may round otherwise than one that a backward pass follows.
X, OTHER = torch.randn(3, 2, 5, dtype=torch.float64), torch.randn(7, 4, 5, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def layer(name: str, **options: Any) -> nn.Recurrent:
    return nn.Recurrent(CELLS[name], 5, 4, dtype=torch.float64, **options)


def step_inputs(module: nn.Recurrent, x: Tensor) -> dict[str, Tensor]:
    return {n: torch.randn(*x.shape[:2], module.hidden_size, dtype=x.dtype) for n in module.cell.step_inputs}


def gradients(module: nn.Recurrent, run: Any, x: Tensor, **given: Any) -> list[Tensor]:
    leaf = x.clone().requires_grad_()
    y, states = run(leaf, **given)
    states = (states,) if isinstance(states, Tensor) else states
    loss = y.pow(2).sum() + sum(s.sum() for s in states)
    found = torch.autograd.grad(loss, [leaf, *module.parameters()], allow_unused=True)
    return [torch.zeros(()) if g is None else g for g in found]


@pytest.mark.parametrize("name", CELLS)
def test_compiled_without_a_break(name: str) -> None:
    """Values and all gradients, also for a second shape."""
    module = layer(name)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for x in (X, OTHER):
        given = step_inputs(module, x)
        torch.testing.assert_close(compiled(x, **given), module(x, **given))
        torch.testing.assert_close(gradients(module, compiled, x, **given), gradients(module, module, x, **given))


@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2, "bidirectional": True},
        {"batch_first": True, "bias": False},
        {"learned_initial_state": True},
        {"zoneout": 0.3, "recurrent_dropout": 0.2},
    ],
)
def test_compiled_with_options(options: dict[str, Any]) -> None:
    module = layer("lstm", **options).eval()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(X), module(X))
    torch.testing.assert_close(gradients(module, compiled, X), gradients(module, module, X))


@pytest.mark.parametrize("learned", [False, True])
def test_compiled_with_lengths_and_resets(learned: bool) -> None:
    module = layer("gru", learned_initial_state=learned)
    with torch.no_grad():
        for p in module.parameters():
            p.uniform_(-1, 1)  # learned states start at what the cell declares, and are told from it now
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    given = {"lengths": torch.tensor([3, 1]), "resets": torch.tensor([[0, 1], [1, 0], [0, 0]], dtype=torch.bool)}
    torch.testing.assert_close(compiled(X, **given), module(X, **given))
    torch.testing.assert_close(gradients(module, compiled, X, **given), gradients(module, module, X, **given))


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "lstm projected", "slstm"])
def test_exported_for_any_number_of_steps_and_sequences(name: str) -> None:
    module = layer(name, num_layers=2, bidirectional=True)
    dims = {0: torch.export.Dim("T", min=2), 1: torch.export.Dim("B", min=2)}
    exported = torch.export.export(module, (X,), dynamic_shapes=(dims,)).module()
    for x in (X, OTHER):
        torch.testing.assert_close(exported(x), module(x))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_traced() -> None:
    module = nn.LSTM(5, 4, dtype=torch.float64)
    traced = torch.jit.trace(module, X)
    for x in (X, OTHER):
        torch.testing.assert_close(traced(x), module(x))


@pytest.mark.parametrize("name", ["gru", "lstm heads", "ctrnn"])
def test_the_operator_is_what_it_says(name: str) -> None:
    """torch's own checks: schema, fake tensors, autograd registration, dynamic shapes."""
    module = layer(name)
    parameters = {k: v for k, v in module.named_parameters() if not k.startswith(("weight_ih", "bias_ih"))}
    x = torch.randn(3, 2, module.weight_ih_l0.shape[0], dtype=torch.float64, requires_grad=True)
    before = [torch.randn(2, 4, dtype=torch.float64, requires_grad=True) for _ in module.cell.states]
    names = [*module._keys(), *module.cell.constants]
    tensors = [*parameters.values(), *module.buffers()]
    arguments = (
        module.cell.key,
        [1, 0, 0, 0, 0, 0],
        "",
        [],
        ",".join(names),
        tensors,
        x,
        before,
        "",
        [],
        None,
        None,
        torch.bfloat16,
    )
    torch.library.opcheck(torch.ops.pellucid.recurrence.default, arguments)


def test_a_key_says_which_equations() -> None:
    keys = {name: cell.key for name, cell in CELLS.items()}
    assert len(set(keys.values())) == len(keys)
    assert keys["lstm"] == type(CELLS["lstm"])().key
    stacked_otherwise = type(CELLS["gru"])()
    stacked_otherwise.U = Matrix("z r n")
    assert stacked_otherwise.key != keys["gru"]


def test_a_copy_is_known_to_graphs() -> None:
    module = layer("gru")
    key = module.cell.key
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        library._cells.pop(key)
        again.__setstate__(again.__dict__)
        assert library._cells[key] is again.cell


def test_an_unknown_cell_is_named() -> None:
    module = layer("lstm heads")
    exported = torch.export.export(module, (X,)).module()
    cell = library._cells.pop(module.cell.key)
    try:
        with pytest.raises(ArgumentError, match="make a layer of that cell"):
            exported(X)
    finally:
        library.register(cell)


def test_shapes_without_numbers() -> None:
    """Under FakeTensorMode, with which programs plan memory, layers give shapes and types; afterwards they compute."""
    real = layer("lstm")
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        module = layer("lstm")
        output, (h, c) = module(mode.from_tensor(X))
        output.sum().backward()
        assert output.shape == (3, 2, 4)
        assert h.shape == c.shape == (1, 2, 4)
        assert output.dtype == torch.float64
        assert module.weight_ih_l0.grad.shape == module.weight_ih_l0.shape
    assert real(X)[0].abs().sum() > 0


@pytest.mark.parametrize("lower", [torch.bfloat16, torch.float16])
def test_a_graph_knows_autocasts_type_where_autocast_has_ended(
    lower: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backward pass runs outside of the block; and what is computed in the lower type leaves the node in the graph's."""
    from pellucid.ops import recurrence as ops

    told: list[torch.dtype | None] = []
    eager = ops.recurrence

    def lowering(*given: Any, narrow: torch.dtype | None, **named: Any) -> dict[str, Tensor]:
        told.append(narrow)
        return {name: v.to(lower) for name, v in eager(*given, narrow=narrow, **named).items()}

    monkeypatch.setattr(ops, "recurrence", lowering)
    module = nn.LSTM(5, 4)
    before = [torch.zeros(2, 4), torch.zeros(2, 4)]
    parameters = {"U": module.weight_hh_l0, "b": module.bias_hh_l0}
    projection = module.weight_ih_l0, module.bias_ih_l0
    found = library.recurrence(module.cell.key, Variant(), parameters, X.float(), before, {}, projection, narrow=lower)
    assert [v.dtype for v in found] == [torch.float32] * 2
    found[0].sum().backward()
    assert told == [lower, lower]

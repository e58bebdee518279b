"""Equal nodes are one node, what an option leaves out folds away, and names are those of the equations."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
import torch

from pellucid.cells import CTRNN, GRU, LSTM, RNN, SLSTM, Cell, Input, Matrix, State, Vector, layer_norm, tanh
from pellucid.cells.graph import Builder, ancestors
from pellucid.cells.program import Pointwise, Product
from pellucid.cells.sequence import Variant


def leaf(builder: Builder, name: str) -> Any:
    return builder.leaf("state", name, ("H",), varies=True)


def test_equal_nodes_are_one_node() -> None:
    builder = Builder()
    a, b = leaf(builder, "a"), leaf(builder, "b")
    assert a * b + 1.0 is a * b + 1.0
    assert a * b is not b * a  # not sorted: the program reads as it was written


@pytest.mark.parametrize("name", ["zero right", "zero left", "one right", "one left", "minus nothing", "over one"])
def test_what_changes_nothing_folds_away(name: str) -> None:
    a = leaf(Builder(), "a")
    assert {
        "zero right": lambda: a + 0.0,
        "zero left": lambda: 0 + a,
        "one right": lambda: a * 1,
        "one left": lambda: 1.0 * a,
        "minus nothing": lambda: a - 0.0,
        "over one": lambda: a / 1.0,
    }[name]() is a


def test_folding_of_numbers_and_signs() -> None:
    builder = Builder()
    a = leaf(builder, "a")
    assert (a * 0.0).key == 0.0
    assert (0.0 - a).op == "neg"
    minus = -a
    assert -minus is a
    assert (a * -1.0) is -a
    two = builder.node(2.0)
    assert (two * 3.0 + 1.0 - 4.0 / two).key == 5.0


def test_a_division_by_zero_is_not_computed_while_building() -> None:
    builder = Builder()
    assert (builder.node(1.0) / 0.0).op == "div"  # torch says inf; Python would raise


def test_an_option_turned_off_is_the_cell_without_it() -> None:
    plain, without = LSTM().derivative().forward, LSTM(peepholes=False, coupled=False, heads=1).derivative().forward
    assert plain.text() == without.text()
    free = CTRNN().derivative(Variant()).forward.text()
    assert "noise" not in free
    assert "abs" not in free


def test_without_bias_the_terms_are_gone() -> None:
    program = GRU().derivative(Variant(bias=False)).forward
    keys = [node.key for node in program.registers if node.op == "parameter"]
    assert keys == [] or all(name != "b" for name, _ in keys)


def test_products_of_the_same_operand_are_packed_in_one() -> None:
    def products(cell: Cell) -> list[int]:
        return [len(p.destinations) for p in cell.derivative().forward.phases if isinstance(p, Product)]

    assert products(LSTM()) == [4]
    assert products(GRU()) == [3]
    assert products(GRU(reset_before=True)) == [2, 1]
    assert products(LSTM(proj_size=3)) == [4, 1]


def test_what_does_not_vary_is_computed_before_the_first_step() -> None:
    program = CTRNN(mask=torch.ones(5, 5), signs=torch.ones(5)).derivative().forward
    inside = {i.op for phase in program.phases if isinstance(phase, Pointwise) for i in phase.instructions}
    assert "abs" not in inside  # |U| s M is made once
    assert "sigmoid" not in inside  # so is the leak


def test_registers_are_written_once_and_read_after() -> None:
    for cell in (RNN(layer_norm=True), LSTM(peepholes=True, proj_size=2), GRU(reset_before=True), SLSTM(heads=2)):
        for program in (cell.derivative().forward, cell.derivative().backward):
            written = set(program.inputs)
            for phase in program.phases:
                reads, writes = (
                    ([r for i in phase.instructions for r in i.sources], [i.destination for i in phase.instructions])
                    if hasattr(phase, "instructions")
                    else (
                        [phase.source] if isinstance(phase, Product) else list(phase.sources),
                        list(phase.destinations) if isinstance(phase, Product) else [phase.destination],
                    )
                )
                assert not written & set(writes)
                assert set(reads) <= written | set(writes)
                written |= set(writes)
            assert set(program.outputs.values()) <= written


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        (RNN(), ["a", "h"]),
        (LSTM(), ["i", "f", "g", "o", "c", "h"]),
        (GRU(), ["r", "z", "n", "h"]),
        (SLSTM(), ["log_i", "log_f", "z", "o", "m", "i", "f", "c", "n", "h"]),
        (CTRNN(), ["alpha", "h"]),
    ],
    ids=lambda v: v.name if isinstance(v, Cell) else "",
)
def test_names_are_those_of_the_equations(cell: Cell, names: list[str]) -> None:
    assert set(cell.graph().named) == set(names)


def test_a_local_that_shadows_a_declaration_does_not_take_its_name() -> None:
    class Shadow(Cell):
        x = Input()
        U = Matrix()
        h = State()

        def step(self, x: Any, h: Any) -> Any:
            U = abs(self.U)
            x = x * 2.0
            return tanh(x + U @ h)

    assert list(Shadow().graph().named) == ["h"]


def test_ancestors_come_operands_first_however_deep() -> None:
    builder = Builder()
    node: Any = leaf(builder, "a")
    for _ in range(5000):  # deeper than Python's recursion limit
        node = node + 1.5
    order = ancestors([node])
    place = {n: k for k, n in enumerate(order)}
    assert len(order) == 5002
    assert all(place[arg] < place[n] for n in order for arg in n.args)


def test_layer_norm_is_taken_over_the_size_of_its_vector() -> None:
    class Small(Cell):
        sizes = MappingProxyType({"P": 3})
        x = Input()
        V = Matrix(rows="P", columns="H", key="V")
        W = Matrix(rows="H", columns="P", key="W")
        gain, shift = Vector(size="P"), Vector(size="P")
        h = State()

        def step(self, x: Any, h: Any) -> Any:
            return tanh(x + self.W @ layer_norm(self.V @ h, self.gain, self.shift))

    sizes = {n.key for n in ancestors(Small().graph().after.values()) if n.op == "reciprocal_size"}
    assert sizes == {"P"}

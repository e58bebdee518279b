"""Counts from the declaration equal those of torch's modules and of the products that really run."""

from __future__ import annotations

import pytest
import torch
from tests.ops.cells_under_test import CELLS
from torch.utils.flop_counter import FlopCounterMode

import pellucid.nn as pnn
from pellucid.cells import CTRNN, GRU, LSTM, RNN


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 7), (16, 5)])
def test_as_many_parameters_as_torch(sizes: tuple[int, int], bias: bool) -> None:
    for cell, torch_layer in ((RNN(), torch.nn.RNN), (LSTM(), torch.nn.LSTM), (GRU(), torch.nn.GRU)):
        twin = torch_layer(*sizes, bias=bias)
        assert cell.parameters_count(*sizes, bias=bias) == sum(p.numel() for p in twin.parameters())
    projected = torch.nn.LSTM(8, 6, proj_size=4, bias=bias)
    assert LSTM(proj_size=4).parameters_count(8, 6, bias=bias) == sum(p.numel() for p in projected.parameters())


@pytest.mark.parametrize("name", CELLS)
def test_counted_parameters_are_those_of_the_layer(name: str) -> None:
    layer = pnn.Recurrent(CELLS[name], 5, 4)
    assert CELLS[name].parameters_count(5, 4) == sum(p.numel() for p in layer.parameters())


def test_multiply_adds_by_hand() -> None:
    assert LSTM().macs(10, 20) == 4 * 20 * (10 + 20)
    assert GRU().macs(10, 20) == GRU(reset_before=True).macs(10, 20) == 3 * 20 * (10 + 20)
    assert LSTM(coupled=True).macs(10, 20) == 3 * 20 * (10 + 20)
    assert LSTM(proj_size=5).macs(10, 20) == 4 * 20 * (10 + 5) + 5 * 20
    assert RNN(heads=4).macs(10, 20) == 20 * 10 + 20 * 5
    assert CTRNN().macs(10, 20) == 20 * (10 + 20)


ONE_HEAD = [n for n, cell in CELLS.items() if all(getattr(p, "heads", 1) == 1 for p in cell.parameters.values())]


@pytest.mark.parametrize("name", ONE_HEAD)
def test_multiply_adds_are_those_that_torch_counts_while_the_layer_runs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By torch's own operators, of which the program's twin consists; and by what the layer's one operator says of itself."""
    cell = CELLS[name]
    layer = pnn.Recurrent(cell, 5, 4, device="meta")  # for which there is no engine
    given = {n: torch.randn(7, 3, 4, device="meta") for n in cell.step_inputs}
    for one_operator in (True, False):
        if not one_operator:
            monkeypatch.setattr("pellucid.ops.recurrence.in_graph", lambda: False)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            layer(torch.randn(7, 3, 5, device="meta"), **given)
        assert counter.get_total_flops() == 2 * 7 * 3 * cell.macs(5, 4)

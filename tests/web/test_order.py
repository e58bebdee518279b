"""The promise: which axis of a batch is time is found out from the recurrent layers that read it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch import nn as torch_nn

from pellucid import nn
from pellucid.web.model import of_models


class Wrapper(torch_nn.Module):
    """A layer, and what comes before it."""

    def __init__(self, layer: torch_nn.Module, before: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.before = layer, before

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Whatever the layer gives."""
        found: Tensor = (
            self.layer(self.before(x)) if lengths is None else self.layer(self.before(x), lengths=lengths)
        )[0]
        return found


def as_it_is(x: Tensor) -> Tensor:
    return x


def turned(x: Tensor) -> Tensor:
    return x.transpose(0, 1)


def embedded(x: Tensor) -> Tensor:
    return torch_nn.functional.one_hot(x, 3).float()


LAYERS = {"pellucid": nn.GRU, "torch": torch_nn.GRU}


@pytest.mark.parametrize("steps", [5, 4, 80])
@pytest.mark.parametrize("layer", LAYERS)
def test_a_wrapper_of_a_layer(layer: str, steps: int) -> None:
    """Also where there are as many steps as items; the item's own form is always (T, I), or the tokens (T,)."""
    first, later = LAYERS[layer](3, 2), LAYERS[layer](3, 2, batch_first=True)
    x, tokens = torch.randn(steps, 4, 3), torch.randint(3, (steps, 4))
    for model, batch, item in (
        (Wrapper(first, as_it_is), x, x[:, 2]),
        (Wrapper(first, turned), turned(x), x[:, 2]),
        (Wrapper(later, as_it_is), turned(x), x[:, 2]),
        (Wrapper(first, embedded), tokens, tokens[:, 2]),
        (Wrapper(later, embedded), tokens.T, tokens[:, 2]),
    ):
        opened = of_models({"model": model}, batch)
        assert len(opened.items) == 4
        assert torch.equal(opened.item(2).x, item)
        assert opened.seen("model", 2).output.numel() == steps * 2


def test_lengths_go_with_the_items() -> None:
    lengths = torch.tensor([6, 2, 4])
    opened = of_models({"model": Wrapper(nn.GRU(3, 2), as_it_is)}, torch.randn(6, 3, 3), lengths)
    assert [int(item.args[1]) for item in opened.items] == [6, 2, 4]  # type: ignore[arg-type]


def test_a_model_may_say_so_itself() -> None:
    """A cell that it calls in a loop of its own does not tell."""
    cell = nn.GRUCell(3, 2)

    class Loop(torch_nn.Module):
        batch_first = False

        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Tensor) -> Tensor:
            """(T, B, 3) to (B, 2)."""
            h = x.new_zeros(x.shape[1], 2)
            for x_t in x:
                h = self.cell(x_t, h)
            return h

    opened = of_models({"model": Loop()}, torch.randn(7, 3, 3))
    assert [item.x.shape for item in opened.items] == [(7, 3)] * 3

"""The promise: attributions are the integral of gradients along the path, and sum to the difference of outputs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pellucid import inside
from pellucid import nn as layers
from pellucid.errors import ArgumentError, SizeError

pytest.importorskip("captum", reason="Captum is not installed")


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = layers.LSTM(3, 5, batch_first=True), nn.Linear(5, 4)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        h = self.lstm(x, lengths=lengths)[1][0][0]
        return self.head(h)  # type: ignore[no-any-return]


def test_attributions_sum_to_the_difference_of_outputs() -> None:
    torch.manual_seed(0)
    model = Reader().double()
    x, target = torch.randn(6, 7, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 1])
    lengths = torch.tensor([7, 3, 5, 1, 7, 2])
    found = inside.integrated_gradients(lambda v: model(v, lengths), x, target, baseline=0.3)
    difference = (model(x, lengths) - model(torch.full_like(x, 0.3), lengths))[torch.arange(6), target].detach()
    torch.testing.assert_close(found.values.sum((1, 2)), difference, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.gap, found.values.sum((1, 2)) - difference)
    assert (found.values[3, 1:] == 0).all()  # what lies beyond the length has no part in it


def test_of_a_polynomial_they_are_the_integral() -> None:
    """F = x0^2 x1 from 0: the integrals are 2/3 and 1/3 of F, and exact with few steps (Gauss and Legendre)."""
    x = torch.tensor([[2.0, 3.0], [1.0, -1.0]], dtype=torch.float64)
    found = inside.integrated_gradients(lambda v: v[:, 0] ** 2 * v[:, 1], x, steps=3)
    whole = x[:, 0] ** 2 * x[:, 1]
    torch.testing.assert_close(found.values, torch.stack([whole * 2 / 3, whole / 3], 1))
    torch.testing.assert_close(found.gap, torch.zeros(2, dtype=torch.float64), atol=1e-5, rtol=0)


def test_what_cannot_be_explained_is_a_sentence() -> None:
    model, x = Reader(), torch.randn(2, 4, 3)
    with pytest.raises(ArgumentError, match="gives 4 outputs; say which"):
        inside.integrated_gradients(model, x)
    with pytest.raises(ArgumentError, match="from 4 to 4"):
        inside.integrated_gradients(model, x, 4)
    with pytest.raises(ArgumentError, match="their embeddings"):
        inside.integrated_gradients(model, torch.zeros(2, 4, dtype=torch.long), 0)
    with pytest.raises(ArgumentError, match="steps=0"):
        inside.integrated_gradients(model, x, 0, steps=0)
    with pytest.raises(SizeError, match=r"got \(2, 4, 1\)"):
        inside.integrated_gradients(lambda v: model(v)[..., None], x, 0)

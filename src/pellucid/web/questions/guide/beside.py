"""RNN, LSTM and GRU of the same size beside one another."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Literal

import torch
from pydantic import Field

from pellucid.cells import GRU, LSTM, RNN, counts
from pellucid.inside import gradient_reach
from pellucid.nn import Recurrent
from pellucid.trace import trace
from pellucid.web.opened import Opened
from pellucid.web.questions.guide.drawn import drawn
from pellucid.web.questions.question import Answer, Question
from pellucid.web.questions.tiles import short

INPUTS, SEQUENCES, SEED = 8, 8, 0
CELLS = {"RNN": RNN(), "LSTM": LSTM(), "GRU": GRU()}  # traced once for all answers


class Beside(Question):
    """The three networks before any training.

    Attributes:
        hidden: units of each; steps: of the sequences.
        start: as torch draws weights, or the same with the biases of the LSTM's forget gate at 1.
    """

    hidden: int = Field(ge=1, le=256)
    steps: int = Field(ge=2, le=300)
    start: Literal["torch", "open"]

    def answer(self, opened: Opened) -> Answer:
        """Of each network its parameters, the multiply-adds of a sequence, and the norm of dL/dh by steps back, the last's being 1."""
        return {"networks": [self._one(name) for name in CELLS]}

    def _one(self, name: str) -> dict[str, Any]:
        bias = 1.0 if name == "LSTM" and self.start == "open" else None
        with drawn(SEED):
            layer = Recurrent(CELLS[name], INPUTS, self.hidden, forget_bias=bias, dtype=torch.float64)
            torch.manual_seed(SEED)
            x = torch.randn(self.steps, SEQUENCES, INPUTS, dtype=torch.float64)
            towards = torch.randn(self.hidden, dtype=torch.float64)
        with trace(layer, grad=["l0.h"]) as seen:
            output, _ = layer(x)
            (output[-1] @ towards).sum().backward()
        return {
            "name": name,
            "parameters": counts.parameters(CELLS[name], INPUTS, self.hidden),
            "macs": self.steps * counts.macs(CELLS[name], INPUTS, self.hidden),
            "reach": short(gradient_reach(seen["l0.h"]), 4),
        }


class Measured(Question):
    """The adding problem by the three networks, trained: ``docs/claims/result.json``, of the claim that a plain RNN forgets."""

    def answer(self, opened: Opened) -> Answer:
        """Lines of points (steps, share of the variance explained in %, the ends of its 95 % interval), and how it was measured."""
        found: Answer = json.loads(resources.files(__package__).joinpath("measured.json").read_text(encoding="utf-8"))
        return found

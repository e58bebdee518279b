"""The promise: whatever is handed to the native module is refused with a sentence, or runs."""

from __future__ import annotations

import torch

from tests.ops import fuzz


def test_malformed_calls_are_refused_or_run() -> None:
    torch.manual_seed(0)
    cases = fuzz.recorded()
    assert all(fuzz.outcome(case) == "ran" for case in cases)
    came = [fuzz.throw(cases, seed) for seed in range(3000)]
    refused = {words for words in came if words != "ran"}
    assert 300 < came.count("ran") < 2700  # both sides of the boundary are tried
    assert len(refused) > 40  # and nearly all of its checks

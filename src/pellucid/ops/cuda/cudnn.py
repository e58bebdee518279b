"""Plain RNN, LSTM and GRU by torch's own kernels (cuDNN): where a table of measurements says that these are faster, where the
weights are more than Pellucid's kernels hold, and on GPUs that these are not written for.

cuDNN multiplies float32 as torch's switch for it says (``torch.backends.cudnn.allow_tf32``). It has no second derivatives: where
they are asked for, the cell's equations give them, as for Pellucid's kernels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.ops.plain import modes
from pellucid.ops.plan import Plan

TABLE = Path(__file__).parent / "cudnn.json"
"""Written by ``make bench-gpu``."""
BFLOAT16 = 91300  # the version from which on torch gives bfloat16 to cuDNN, on GPUs that multiply it


class Measured(NamedTuple):
    """How long both took for a layer of some size.

    Attributes:
        cell: torch's name of it.
        dtype: of weights and input.
        gradients: whether those were computed, too.
        size: T, B and H.
        ratio: cuDNN's time over that of Pellucid's kernels.
    """

    cell: str
    dtype: str
    gradients: bool
    size: tuple[int, int, int]
    ratio: float


@cache
def table() -> tuple[Measured, ...]:
    """All that was measured."""
    rows = json.loads(TABLE.read_text())["rows"]
    return tuple(Measured(cell, dtype, gradients, (t, b, h), ratio) for cell, dtype, gradients, t, b, h, ratio in rows)


@cache
def _types(device: torch.device) -> frozenset[torch.dtype]:
    """The number types that torch gives to cuDNN on this device; none where it has another library, as on AMD's."""
    version: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    if version is None or torch.version.hip is not None:
        return frozenset()
    both = {torch.float32, torch.float16}
    short = version >= BFLOAT16 and torch.cuda.get_device_capability(device) >= (8, 0)
    return frozenset(both | {torch.bfloat16} if short else both)


def takes(plan: Plan, x: Tensor) -> bool:
    """Whether cuDNN has this layer: its cell and nothing around it, and no more than the last memory of an LSTM wanted."""
    variant, states = plan.variant, [*plan.cell.states]
    around = variant.given or variant.resets or variant.ragged or variant.dropout or variant.zoneout
    if around or plan.sight is not None or not plan.projects or not plan.passing.issuperset(states[1:]):
        return False
    if not x.is_cuda or not x.numel() or plan.cell.key not in modes() or x.dtype not in _types(x.device):
        return False
    return x.shape[0] > 1 and torch.backends.cudnn.enabled  # for a single step the weights would be copied together


def is_faster(plan: Plan, x: Tensor, hidden: int) -> bool:
    """Whether cuDNN was faster at the nearest size that was measured."""
    return _is_faster(
        modes()[plan.cell.key].name, str(x.dtype).removeprefix("torch."), plan.keeps, (x.shape[0], x.shape[1], hidden)
    )


@lru_cache(4096)
def _is_faster(cell: str, dtype: str, gradients: bool, size: tuple[int, int, int]) -> bool:
    def octaves(row: Measured) -> float:
        return sum(abs(math.log2(a / b)) for a, b in zip(row.size, size, strict=True))

    alike = [row for row in table() if (row.cell, row.dtype, row.gradients) == (cell, dtype, gradients)]
    return bool(alike) and min(alike, key=octaves).ratio < 1


def run(plan: Plan, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The output (T, B, H), and of an LSTM the last memory (1, B, H); ``tensors`` in the plan's order."""
    if plan.keeps:
        return Layer.apply(plan, *tensors)  # type: ignore[no-any-return,no-untyped-call]
    return _Call(plan, tensors).forward(train=False)[0]


class Layer(torch.autograd.Function):
    """cuDNN's forward and backward pass."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, *tensors: Tensor) -> tuple[Tensor, ...]:
        """As :func:`run`."""
        ctx.set_materialize_grads(False)
        ctx.plan = plan
        outputs, weights, reserve = _Call(plan, tensors).forward(train=True)
        ctx.save_for_backward(*tensors, outputs[0], weights, reserve)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients of all tensors."""
        plan: Plan = ctx.plan
        *tensors, output, weights, reserve = ctx.saved_tensors
        if all(g is None for g in gradients):
            return (None,) * (1 + len(tensors))
        if not torch.is_grad_enabled():
            call = _Call(plan, tensors)
            return None, *call.backward(output, weights, reserve, gradients, ctx.needs_input_grad[1:])
        # The equations know the memory after every step: what came for the last one stands behind zeros for the others.
        first, *others = gradients
        whole = [None if g is None else F.pad(g, (0, 0, 0, 0, output.shape[0] - 1, 0)) for g in others]
        with torch.enable_grad():
            return None, *plan.differentiable_backward(tensors, [output] * len(gradients), [first, *whole])


class _Call:
    """One call's tensors, in the order in which torch hands them to cuDNN."""

    def __init__(self, plan: Plan, tensors: Sequence[Tensor]) -> None:
        at = self.at = plan.at
        assert at.weight is not None
        self.x = tensors[at.x]
        own = at.parameters.start
        self.places = [at.weight, own + plan.parameters.index("U")]
        if at.bias is not None:
            self.places += [at.bias, own + plan.parameters.index("b")]
        # As cuDNN reads them: it looks at memory alone, and takes one number type.
        self.weights = [tensors[i].detach().resolve_neg().contiguous() for i in self.places]
        self.before = [t.detach().to(self.x.dtype).contiguous()[None] for t in tensors[at.before]]
        self.count = len(tensors)
        self.hidden = self.weights[1].shape[1]
        self.mode: int = torch.backends.cudnn.rnn.get_cudnn_mode(modes()[plan.cell.key].mode)  # type: ignore[no-untyped-call]

    def forward(self, *, train: bool) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """The states, the weights in one piece of memory, and what the backward pass needs besides."""
        count, (h, *c) = len(self.weights), self.before
        # Of tensors that say where the weights lie: these are pointed at their copy, the parameters stay.
        here = [w.new_empty(0).set_(w) for w in self.weights]
        size = self.x.shape[-1], self.mode, self.hidden, 0, 1, False, False
        with torch.autocast("cuda", enabled=False):  # which would have cuDNN compute in float16, whatever its own type
            whole = torch._cudnn_rnn_flatten_weight(here, count, *size)
            output, _, memory, reserve, whole = torch._cudnn_rnn(
                self.x, here, count, whole, h, c[0] if c else None, *self._how(train=train)
            )
        return (output, memory) if c else (output,), whole, reserve

    def backward(
        self,
        output: Tensor,
        whole: Tensor,
        reserve: Tensor,
        gradients: Sequence[Tensor | None],
        wanted: Sequence[bool],
    ) -> list[Tensor | None]:
        """The gradients of the plan's tensors, None where there is none."""
        h, *c = self.before
        memory = gradients[1] if c else None
        starts = range(self.at.before.start, self.at.before.stop)
        mask = [
            wanted[self.at.x],
            wanted[starts[0]],
            len(starts) > 1 and wanted[starts[1]],
            any(wanted[i] for i in self.places),
        ]
        dx, dh, dc, dweights = torch.ops.aten._cudnn_rnn_backward(
            self.x,
            self.weights,
            len(self.weights),
            whole,
            h,
            c[0] if c else None,
            output,
            gradients[0],
            None,
            memory,
            *self._how(train=True),
            reserve.clone(),  # cuDNN writes into it, and the graph may be gone through again
            mask,
        )
        result: list[Tensor | None] = [None] * self.count
        if mask[0]:
            result[self.at.x] = dx
        for i, wants, gradient in zip(starts, mask[1:3], (dh, dc), strict=False):
            if wants:
                result[i] = gradient[0]
        if mask[3]:
            for i, gradient in zip(self.places, dweights, strict=True):
                result[i] = gradient
        return result

    def _how(self, *, train: bool) -> tuple[Any, ...]:
        """Mode, sizes and options of a single layer without dropout."""
        return self.mode, self.hidden, 0, 1, False, 0.0, train, False, [], None

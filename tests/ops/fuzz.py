"""Malformed programs and calls, thrown at the native module's boundary.

Right calls are recorded while layers run, forward and backward; then some of their numbers, names, lists and tensors are
exchanged for wrong ones. Each must be refused with ValueError or TypeError, or run to its end without touching memory that
is not its own. Only AddressSanitizer sees the latter: ``make fuzz`` runs this for long on the sanitized module
(``python -m tests.ops.fuzz SECONDS [SEED]``), and test_fuzz.py for a moment on any.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from pellucid import _native
from pellucid.cells import CTRNN, GRU, LSTM, RNN, SLSTM, Cell
from pellucid.geometry.axis import Window
from pellucid.ops import block, convolution, lowering
from pellucid.ops import recurrence as ops
from tests.ops.cells_under_test import SURROUNDINGS, random_run

NUMBERS = [
    -(2**63),
    -(2**31),
    -2,
    -1,
    0,
    1,
    2,
    3,
    4,
    7,
    17,
    64,
    130,
    2**31,
    2**32 + 1,
    2**40,
    2**61,
    2**62,
    2**63 - 1,
    2**64,
]
NAMES = [
    "step",
    "shifted",
    "swing",
    "held",
    "total",
    "copy",
    "add",
    "muladd",
    "accumulate",
    "select",
    "tanh",
    "mean",
    "",
]


@dataclass(frozen=True)
class Case:
    """A call: of ``_native.NAME``, or of what is made from ``program``; its arguments as Python writes them."""

    name: str
    program: tuple[Any, ...]
    arguments: tuple[Any, ...]

    def run(self) -> None:
        """Make the program, if any, and call."""
        if self.name == "run":
            _native.Program(*self.program).run(*self.arguments)
        elif self.program:
            kind, method = self.name.split(".")
            getattr(getattr(_native, kind)(*self.program), method)(*self.arguments)
        else:
            getattr(_native, self.name)(*self.arguments)


def recorded() -> list[Case]:
    """Right calls: cells with whatever can surround them, float32 and float64, on one thread and on two."""
    found: list[Case] = []

    class Recorder:
        def __init__(self, *description: Any) -> None:
            self.description = description
            self.program = _native.Program(*description)

        def run(self, *arguments: Any) -> None:
            found.append(Case("run", self.description, arguments))
            self.program.run(*arguments)

    def cells() -> list[Cell]:  # new ones: a cell keeps the programs that were made of it
        everything = LSTM(peepholes=True, coupled=True, proj_size=3, layer_norm=True)
        return [RNN(), GRU(), GRU(heads=2, reset_before=True), LSTM(), everything, CTRNN(), SLSTM(heads=2)]

    with mock.patch.object(lowering, "_native", mock.Mock(Program=Recorder)):
        for number, (around, cell) in enumerate((a, c) for a in SURROUNDINGS.values() for c in cells()):
            run = random_run(cell, steps=1 + number % 4, batch=1 + number % 9, hidden=4 + 2 * (number % 9), **around)
            width = 1 + number % 3
            rows = run.x.shape[-1]
            w, b = torch.randn(rows, width, requires_grad=True), torch.randn(rows, requires_grad=True)
            run.x = torch.randn(*run.x.shape[:2], width, requires_grad=True)
            dtype = torch.float32 if number % 3 else torch.float64

            def cast(t: Tensor, dtype: torch.dtype = dtype) -> Tensor:
                return t.detach().to(dtype).requires_grad_() if t.is_floating_point() else t

            parameters, inputs = ({k: cast(v) for k, v in d.items()} for d in (run.parameters, run.inputs))
            before = [cast(s) for s in run.before]
            outputs = ops.recurrence(
                cell, run.variant, parameters, cast(run.x), before, inputs, projection=(cast(w), cast(b))
            )
            torch.autograd.backward([o.sum() for o in outputs.values()])
            with torch.no_grad():
                x = cast(torch.randn(*run.x.shape[:2], rows))
                ops.recurrence(cell, run.variant, parameters, x, before, inputs, passing=frozenset(cell.states))
    a, b, c = torch.randn(5, 300), torch.randn(300, 7), torch.zeros(5, 7)
    return [
        *found,
        *_blocks(),
        Case("multiply", (), (a, b, c, False, None, 2)),
        Case(
            "multiply", (), (b.mT.double(), a.mT.double(), c.mT.contiguous().double(), True, torch.zeros(5).double(), 1)
        ),
        Case("apply", (), ("tanh", torch.randn(37), torch.zeros(37))),
    ]


def _blocks() -> list[Case]:
    """Right calls of convolution and pooling, forward and backward."""
    found: list[Case] = []

    def recording(kind: str) -> Any:
        class Recorder:
            def __init__(self, *given: Any, **named: Any) -> None:
                self.given = (*given, *named.values())
                self.engine = getattr(_native, kind)(*self.given)

            def __getattr__(self, method: str) -> Any:
                def call(*arguments: Any) -> None:
                    found.append(Case(f"{kind}.{method}", self.given, arguments))
                    getattr(self.engine, method)(*arguments)

                return call

        return Recorder

    made = {kind: recording(kind) for kind in ("Convolution", "Pooling")}
    with mock.patch.object(block, "_native", mock.Mock(**made)):
        block._pooling.cache_clear()
        for number, (activation, pool) in enumerate(product([None, "relu", "gelu"], ["max", "avg", None])):
            dims, dtype = 1 + number % 3, torch.float32 if number % 2 else torch.float64
            groups = 1 + number % 2
            x = torch.randn(1 + number % 3, 2 * groups, *[9 + number % 4] * dims, dtype=dtype, requires_grad=True)
            w = torch.randn(3 * groups, 2, *[2 + number % 2] * dims, dtype=dtype, requires_grad=True)
            b = torch.randn(3 * groups, dtype=dtype, requires_grad=True)
            shape = block.Shape(
                batch=x.shape[0],
                sizes=tuple(x.shape[2:]),
                filters=w.shape[0],
                channels=w.shape[1],
                windows=(Window(w.shape[2], 2, 1, (1, 2)),) * dims,
                groups=groups,
                padding_mode="zeros",
                padding_value=0.5,
                activation=activation,
                pooling=None if pool is None else block.Pooling(pool, (Window(2, 1 + number % 2, 1, (1, 0)),) * dims),
            )
            block.run_block(shape, x, w, b, convolution._by_torch).sum().backward()
            if shape.pooling is not None:
                block.run_pooling(shape.pooling, x, with_places=pool == "max")[0].sum().backward()
        block._pooling.cache_clear()
    return found


def changed(value: Any, generator: random.Random) -> Any:
    """Something else in place of a number, a name, a list or a tensor."""
    if isinstance(value, bool) or value is None:
        return generator.choice([True, False, None, 3, torch.zeros(2, 3, 4)])
    if isinstance(value, int):
        return generator.choice([value + 1, value - 1, -value, 2 * value, *generator.sample(NUMBERS, 3)])
    if isinstance(value, str):
        return generator.choice(NAMES)
    if isinstance(value, list | tuple):
        items = list(value)
        if items and generator.random() < 0.5:
            items.pop(generator.randrange(len(items)))
        elif items:
            items.insert(generator.randrange(len(items) + 1), generator.choice(items))
        return type(value)(items)
    return _other_tensor(value, generator)


def _other_tensor(t: Any, generator: random.Random) -> Any:
    if not isinstance(t, Tensor) or t.device.type != "cpu":
        return None
    t = t.detach()
    if t.dim() == 0:
        return t[None]
    shape = list(t.shape)
    axis = generator.randrange(len(shape))

    def resized(by: int) -> Tensor:
        return torch.zeros([max(0, n + by * (i == axis)) for i, n in enumerate(shape)], dtype=t.dtype)

    def unaligned() -> Any:
        kind = np.dtype(np.float64 if t.dtype == torch.float64 else np.float32)
        memory = np.zeros(t.numel() * kind.itemsize + 1, dtype=np.uint8)
        return memory[1:].view(kind).reshape(shape)

    def read_only() -> Any:
        array = t.numpy().copy()
        array.flags.writeable = False
        return array

    return generator.choice(
        [
            lambda: resized(1),
            lambda: resized(-1),
            lambda: resized(-shape[axis]),
            lambda: torch.zeros([1] * len(shape), dtype=t.dtype).expand(shape),
            lambda: t[..., :1].expand(shape) if t.numel() else t,
            lambda: t.mT.contiguous().mT if t.dim() > 1 else t[None],
            lambda: t.transpose(0, -1),
            lambda: t.repeat_interleave(2, -1)[..., ::2],
            lambda: t.repeat_interleave(2, 0)[::2],
            lambda: t.numpy()[..., ::-1],
            lambda: t.numpy()[::-1],
            lambda: t.double() if t.dtype != torch.float64 else t.float(),
            lambda: t.int(),
            lambda: t.half(),
            lambda: t.flatten(),
            lambda: t.sum(),
            lambda: t.to("meta"),
            unaligned,
            read_only,
            lambda: None,
            lambda: [0.0],
        ]
    )()


def places(value: Any, at: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """Everything inside a nest of lists and tuples, by its indices, the nest itself last."""
    inside = [p for i, v in enumerate(value) for p in places(v, (*at, i))] if isinstance(value, list | tuple) else []
    return [*inside, at]


def found_at(value: Any, place: tuple[int, ...]) -> Any:
    """What lies there."""
    for i in place:
        value = value[i]
    return value


def replaced(value: Any, place: tuple[int, ...], new: Any) -> Any:
    """The nest with something else there."""
    if not place:
        return new
    items = list(value)
    items[place[0]] = replaced(items[place[0]], place[1:], new)
    return type(value)(items)


def fresh(value: Any) -> Any:
    """Every dense tensor in memory of exactly its size, so that one step past its end is seen."""
    if isinstance(value, list | tuple):
        return type(value)(fresh(v) for v in value)
    if isinstance(value, Tensor) and value.device.type == "cpu" and not any(s == 0 for s in value.stride()):
        return value.detach().clone()
    return value


def malformed(case: Case, generator: random.Random) -> Case:
    """The call with one to three things in it changed."""
    whole: Any = (case.program, fresh(case.arguments))
    for _ in range(generator.choice([1, 1, 2, 3])):
        # Programs are long, their arguments few: a side first, then a place.
        side = generator.randrange(2) if case.program else 1
        place = (side, *generator.choice(places(whole[side])[:-1]))
        old = found_at(whole, place)
        if generator.random() < 0.2:  # what stands elsewhere
            other = found_at(whole[side], generator.choice(places(whole[side])[:-1]))
            new = other if isinstance(other, type(old)) else changed(old, generator)
        else:
            new = changed(old, generator)
        whole = replaced(whole, place, new)
        if len(whole[side]) == 0:
            break
    return Case(case.name, *whole)


def outcome(case: Case) -> str:
    """``"ran"``, or the sentence with which it was refused; anything else is an error of the engine's."""
    try:
        case.run()
    except (ValueError, TypeError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    except (MemoryError, TimeoutError) as error:  # sizes that can be, and more than there is
        return type(error).__name__
    return "ran"


def throw(cases: list[Case], seed: int) -> str:
    """One malformed call, the same for the same seed."""
    generator = random.Random(seed)
    return outcome(malformed(generator.choice(cases), generator))


def _too_long(*_: Any) -> None:
    raise TimeoutError


def main(seconds: float, seed: int) -> None:
    """Throw for so long, and say what came of it."""
    torch.manual_seed(0)
    cases = recorded()
    for case in cases:
        assert outcome(Case(case.name, case.program, fresh(case.arguments))) == "ran"
    signal.signal(signal.SIGALRM, _too_long)
    came: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        print(seed, file=sys.stderr, end="\r")  # the last one is the one that a crash is found again with
        signal.setitimer(signal.ITIMER_REAL, 10)
        came[throw(cases, seed)] += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        seed += 1
    for words, count in came.most_common():
        print(f"{count:8,d}  {words}")
    print(f"{came.total():8,d}  in all, from {len(cases)} right calls")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0, int(sys.argv[2]) if len(sys.argv) > 2 else 0)

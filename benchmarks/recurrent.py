"""Recurrent layers beside torch.nn, ONNX Runtime and loops over a cell: ``make bench-recurrent``.

Every row is the time of one call of each side, measured in alternation in one process. Results are compared before they are
timed. A run that was stopped goes on where it was: rows that the file already has are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks import peers
from benchmarks.measure import alternate, many
from benchmarks.rows import FORWARD
from benchmarks.run import MODES, Around, Measure, agree, both, main, times
from pellucid import Cell, cells, nn
from pellucid.cells import Bias, Input, Matrix, State, sigmoid, tanh

GRID = [
    (100, 1, 64, 64),
    (100, 1, 256, 256),
    (100, 32, 64, 64),
    (100, 32, 256, 256),
    (256, 64, 128, 512),
    (1000, 8, 32, 128),
    (64, 128, 16, 32),
    (4096, 4, 8, 64),
    (50, 256, 512, 1024),
    (784, 1, 1, 128),
    (35, 20, 650, 650),
    (24, 256, 15, 128),
    (1024, 16, 768, 768),
    (128, 8, 512, 128),
    (100, 32, 1, 1),
    (100, 32, 7, 7),
    (100, 32, 50, 50),
    (100, 32, 100, 100),
    (100, 32, 200, 200),
    (100, 32, 300, 300),
]
GATES = {"RNN": 1, "GRU": 3, "GRU reset before": 3, "LSTM": 4, "LSTM peepholes": 4, "LSTM layer norm": 4, "CTRNN": 1}
OF_ONES_OWN: dict[str, tuple[Callable[..., Any], peers.Step]] = {
    "GRU reset before": (lambda i, h: nn.GRU(i, h, reset_before=True), peers.gru_reset_before),
    "LSTM peepholes": (lambda i, h: nn.LSTM(i, h, peepholes=True), peers.peephole_lstm),
    "LSTM layer norm": (lambda i, h: nn.LSTM(i, h, layer_norm=True), peers.layer_norm_lstm),
    "CTRNN": (lambda i, h: nn.Recurrent(cells.CTRNN(), i, h), peers.ctrnn),
}


class MyLSTM(Cell):
    """The LSTM as somebody else would write it, to compare with the one that is built in."""

    x = Input("i f g o")
    U = Matrix("i f g o")
    b = Bias("i f g o")
    h = State()
    memory = State()

    def step(self, x: Any, h: Any, memory: Any) -> Any:
        """The equations."""
        U, b = self.U, self.b
        write, keep = sigmoid(x.i + U.i @ h + b.i), sigmoid(x.f + U.f @ h + b.f)
        memory = keep * memory + write * tanh(x.g + U.g @ h + b.g)
        h = sigmoid(x.o + U.o @ h + b.o) * tanh(memory)
        return h, memory


def against_torch(cell: str, size: tuple[int, ...], mode: str, threads: int) -> dict[str, Any]:
    """A cell that torch has."""
    steps, batch, inputs, hidden = size
    theirs = getattr(torch.nn, cell)(inputs, hidden)
    ours = getattr(nn, cell)(inputs, hidden)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(steps, batch, inputs)
    layers: dict[str, Any] = {"pellucid": ours, "torch": theirs}
    if threads > 1:
        layers["torch.compile"] = torch.compile(theirs)
    if mode == "forward":
        layers["onnxruntime"] = peers.onnx_runtime(theirs, threads)
    agree(layers, x)
    return times(both(layers, x, mode))


def against_loops(cell: str, size: tuple[int, ...], mode: str, threads: int) -> dict[str, Any]:
    """A cell that torch has not."""
    steps, batch, inputs, hidden = size
    make, step = OF_ONES_OWN[cell]
    ours = make(inputs, hidden)
    loop = peers.Loop(ours, step)
    layers: dict[str, Any] = {"pellucid": ours, "loop": loop}
    if (steps, batch, inputs, hidden) in GRID[
        :4
    ]:  # it compiles for half a minute, and is a loop in Python all the same
        layers["compiled loop"] = peers.Loop(ours, torch.compile(step))
    x = torch.randn(steps, batch, inputs)
    agree(layers, x)
    return times(both(layers, x, mode))


def against_built_in(cell: str, size: tuple[int, ...], mode: str, threads: int) -> dict[str, Any]:
    """The same arithmetic, declared by somebody else."""
    steps, batch, inputs, hidden = size
    layers = {"pellucid": nn.LSTM(inputs, hidden), "my cell": nn.Recurrent(MyLSTM(), inputs, hidden)}
    return times(both(layers, torch.randn(steps, batch, inputs), mode))


def half(cell: str, size: tuple[int, ...], mode: str, threads: int) -> dict[str, Any]:
    """Weights and activations in bfloat16 against float32, both on the engine."""
    steps, batch, inputs, hidden = size
    layer = getattr(nn, cell)(inputs, hidden)
    x = torch.randn(steps, batch, inputs)
    runs = both({"pellucid": layer}, x, mode)
    short = both({"bfloat16": getattr(nn, cell)(inputs, hidden).bfloat16()}, x.bfloat16(), mode)
    return times({**runs, **short})


def ragged(cell: str, size: tuple[int, ...], mode: str, threads: int) -> dict[str, Any]:
    """Random lengths against the padded batch, and against torch's packed sequences."""
    steps, batch, inputs, hidden = size
    theirs = getattr(torch.nn, cell)(inputs, hidden)
    ours = getattr(nn, cell)(inputs, hidden)
    ours.load_state_dict(theirs.state_dict())
    lengths = torch.randint(1, steps + 1, (batch,))
    lengths[0] = steps

    def packed(x: Tensor) -> Tensor:
        return pad_packed_sequence(theirs(pack_padded_sequence(x, lengths, enforce_sorted=False))[0])[0]

    x = torch.randn(steps, batch, inputs)
    layers = {"pellucid": Around(ours, lambda x: ours(x, lengths=lengths)), "torch": Around(theirs, packed)}
    agree(layers, x)
    found = times(both({**layers, "padded": ours}, x, mode))
    return found | {"share": float(lengths.sum()) / (steps * batch)}


def with_resets(cell: str, size: tuple[int, ...], mode: str, threads: int) -> dict[str, Any]:
    """Resets at 3 % of steps against none, and against the loop that clears the state before each step."""
    steps, batch, inputs, hidden = size
    theirs = getattr(torch.nn, cell)(inputs, hidden)
    ours = getattr(nn, cell)(inputs, hidden)
    ours.load_state_dict(theirs.state_dict())
    resets = torch.rand(steps, batch) < 0.03
    keeps = (~resets).to(torch.float32)[:, None, :, None]

    def loop(x: Tensor) -> Tensor:
        state: Any = tuple(x.new_zeros(1, batch, hidden) for _ in range(2 if cell == "LSTM" else 1))
        outputs = []
        for each, keep in zip(x.split(1), keeps, strict=True):
            state = tuple(s * keep for s in state)
            output, after = theirs(each, state if cell == "LSTM" else state[0])
            state = after if cell == "LSTM" else (after,)
            outputs.append(output)
        return torch.cat(outputs)

    x = torch.randn(steps, batch, inputs)
    layers = {"pellucid": Around(ours, lambda x: ours(x, resets=resets)), "loop": Around(theirs, loop)}
    agree(layers, x)
    return times(both({**layers, "no resets": ours}, x, mode))


def one_step(cell: str, size: tuple[int, ...], mode: str, threads: int) -> dict[str, Any]:
    """One step of a stream against torch's layer on a sequence of one step."""
    _, _, inputs, hidden = size
    theirs = getattr(torch.nn, cell)(inputs, hidden)
    ours = getattr(nn, cell)(inputs, hidden)
    ours.load_state_dict(theirs.state_dict())
    stream = ours.stream(1)
    x, state = torch.randn(1, inputs), None
    with torch.no_grad():
        state = theirs(x[None])[1]
        found = alternate(
            {"pellucid": many(lambda: stream.step(x), 100), "torch": many(lambda: theirs(x[None], state), 100)}, least=5
        )
    each = {name: {k: v / 100 if k != "calls" else v for k, v in asdict(t).items()} for name, t in found.items()}
    weights = sum(p.numel() * p.element_size() for p in ours.parameters())
    return {"times": each, "weights_bytes": weights}


def kept_memory(cell: str, size: tuple[int, ...], mode: str, threads: int) -> dict[str, Any]:
    """What a forward pass keeps for the backward pass besides x and the parameters, in units of T B H numbers."""
    steps, batch, inputs, hidden = size
    x = torch.randn(steps, batch, inputs, requires_grad=True)
    found = {}
    for every, name in ((None, "pellucid"), (32, "pellucid, checkpoint_every=32")):
        layer = getattr(nn, cell)(inputs, hidden, checkpoint_every=every)
        held: dict[int, int] = {}

        def pack(t: Tensor, held: dict[int, int] = held) -> Tensor:
            held[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            output = layer(x)[0]
        held[output.untyped_storage().data_ptr()] = output.untyped_storage().nbytes()
        for known in (x, *layer.parameters()):
            held.pop(known.untyped_storage().data_ptr(), None)
        found[name] = sum(held.values()) / (4 * steps * batch * hidden)
    return {"units": found}


def plan(quick: bool) -> Iterator[tuple[str, Measure, str, tuple[int, ...], str]]:
    """Everything that is measured: the table, how, the cell, (T, B, I, H) and the mode."""
    grid = GRID[2:4] if quick else GRID
    for cell in ("GRU", "LSTM", "RNN"):
        for mode in MODES:
            yield from (("grid", against_torch, cell, size, mode) for size in grid)
    for mode in MODES:
        yield from (("my cell", against_built_in, "LSTM", size, mode) for size in grid[:10])
        for cell in ("LSTM", "GRU"):
            lengths = [(64, 32, 64, 128)] if quick else [(512, 64, 128, 128), (512, 32, 64, 256), (512, 16, 32, 64)]
            yield from (("ragged", ragged, cell, size, mode) for size in lengths)
            yield from (
                ("resets", with_resets, cell, size, mode)
                for size in ([] if quick else [(128, 16, 64, 64), (256, 32, 64, 256)])
            )
        products = grid if quick else [(100, 32, 256, 256), (256, 64, 128, 512), (50, 256, 512, 1024)]
        yield from (("bfloat16", half, cell, size, mode) for cell in ("LSTM", "GRU") for size in products)
        yield from (("call", against_torch, cell, (1, 1, 8, 8), mode) for cell in ("GRU", "LSTM", "RNN"))
    for hidden in (64, 256):
        for steps in (1, 2001):
            yield from (
                ("call", against_torch, cell, (steps, 1, hidden, hidden), FORWARD) for cell in ("GRU", "LSTM", "RNN")
            )
    for cell in ("GRU", "LSTM"):
        yield from (("one step", one_step, cell, (1, 1, h, h), "forward") for h in (64, 128, 512, 1024))
        yield ("memory", kept_memory, cell, (1024, 16, 64, 64), "forward")
    for mode in MODES:
        growth = (
            []
            if quick
            else [(100, 2**k, 64, 128) for k in range(0, 9, 2)] + [(2**k, 16, 64, 128) for k in range(4, 13, 2)]
        )
        yield from (("growth", against_torch, "LSTM", size, mode) for size in growth)
    for mode in MODES:
        for cell in OF_ONES_OWN:
            loops = grid if quick else [*grid[:4], *grid[5:8], *grid[9:10], *grid[16:17]]
            yield from (("loops", against_loops, cell, size, mode) for size in loops)


if __name__ == "__main__":
    main("benchmarks.recurrent", __doc__ or "", plan)

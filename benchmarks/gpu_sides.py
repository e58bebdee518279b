"""What is measured beside what on a GPU: Pellucid's layers, torch.nn's on cuDNN, and loops over a cell's equations."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.backends.cudnn.rnn import get_cudnn_mode
from torch.nn.utils.rnn import PackedSequence

from benchmarks import peers
from benchmarks.recurrent import OF_ONES_OWN
from benchmarks.rows import FORWARD, MODES
from pellucid import cells, nn
from pellucid.ops.cuda import cudnn, layout
from pellucid.ops.cuda.choose import shared_out
from pellucid.ops.cuda.generate import Kernel, Spec, generate
from pellucid.ops.lowering import Lowered

Size = tuple[int, int, int, int]  # T, B, I, H
Layer = Callable[[Tensor], Tensor]
Results = tuple[Tensor, ...]
WIDER = {torch.bfloat16: torch.float32, torch.float16: torch.float32, torch.float32: torch.float64}
TORCH = ("torch", "torch, float16", "torch, packed", "torch, padded")  # sides that are torch.nn's layers
RESETS = 0.03  # of the steps
BFLOAT16_CUDNN = 91300  # the version from which on torch gives bfloat16 to cuDNN


@dataclass(frozen=True)
class Side:
    """A layer with its input, ready to be called.

    Attributes:
        layer: input to output.
        parameters: whose gradients belong to a training step.
        x: (T, B, I), a leaf.
        gradient: of the output, (T, B, H).
        alike: whether its result is that of the other sides.
        replayed: whether its calls are recorded once, as a CUDA graph, and replayed.
    """

    layer: Layer
    parameters: tuple[Tensor, ...]
    x: Tensor
    gradient: Tensor
    alike: bool = True
    replayed: bool = False

    def call(self, mode: str) -> Callable[[], Results]:
        """What is timed: the output, and with gradients those of the input and of the parameters."""
        run = self._forward if mode == FORWARD else self._step
        return _recorded(run) if self.replayed else run

    def on_cudnn(self) -> bool:
        """Whether torch hands the layer to cuDNN: for some number types only its newer versions have it."""
        nodes, seen = [self.layer(self.x).grad_fn], set()
        while nodes:
            node = nodes.pop()
            if node is not None and node not in seen:
                seen.add(node)
                if node.name().startswith("CudnnRnn"):
                    return True
                nodes += [after for after, _ in node.next_functions]
        return False

    def _forward(self) -> Results:
        with torch.no_grad():
            return (self.layer(self.x),)

    def _step(self) -> Results:
        output = self.layer(self.x)
        return output, *torch.autograd.grad(output, [self.x, *self.parameters], self.gradient)


@dataclass(frozen=True)
class Sides:
    """A row's sides.

    Attributes:
        layer: Pellucid's, for its counts.
        timed: by name; ``"pellucid"`` among them.
        truth: the same layer in a wider number type.
    """

    layer: nn.Recurrent
    timed: dict[str, Side]
    truth: Side | None = None


@dataclass(frozen=True)
class Data:
    """The input and the output's gradient of a row, the same numbers for all sides."""

    x: Tensor
    gradient: Tensor

    @classmethod
    def drawn(cls, size: Size, dtype: torch.dtype, device: torch.device) -> Data:
        """From the standard normal distribution."""
        steps, batch, inputs, hidden = size
        x = torch.randn(steps, batch, inputs, device=device, dtype=dtype)
        return cls(x, torch.randn(steps, batch, hidden, device=device, dtype=dtype))

    def side(self, module: torch.nn.Module, layer: Layer | None = None, **how: Any) -> Side:
        """A module on it, in the module's own number type.

        Args:
            module: whose parameters are trained, and the layer where none is given.
            layer: what is called instead of the module's first output.
            how: the further attributes of the side.
        """
        parameters = tuple(module.parameters())
        x = self.x.to(parameters[0].dtype).detach().clone().requires_grad_()
        return Side(layer or (lambda x: module(x)[0]), parameters, x, self.gradient.to(parameters[0].dtype), **how)


# A cell that torch has


def torch_has(cell: str, size: Size, dtype: torch.dtype, device: torch.device) -> Sides:
    """RNN, GRU or LSTM against torch.nn.

    Above H = 192 torch chooses cuDNN's kernels that keep the weights on the chip for float16 alone, so that is a side of its
    own.
    """
    theirs, ours = _pair(cell, size, dtype, device)
    data = Data.drawn(size, dtype, device)
    timed = {"pellucid": data.side(ours), "torch": data.side(theirs)}
    if dtype == torch.bfloat16 and device.type == "cuda":
        timed["torch, float16"] = data.side(_torch_layer(cell, size, torch.float16, device, theirs))
    return Sides(ours, timed, data.side(_torch_layer(cell, size, WIDER[dtype], device, theirs)))


def paths(cell: str, size: Size, dtype: torch.dtype, device: torch.device) -> Sides:
    """RNN, GRU or LSTM on Pellucid's own kernels, on cuDNN's as Pellucid calls them, and torch.nn."""
    theirs, ours = _pair(cell, size, dtype, device)
    data = Data.drawn(size, dtype, device)
    timed = {
        "pellucid": data.side(ours, _on_path(ours, by_cudnn=False)),
        "by cuDNN": data.side(ours, _on_path(ours, by_cudnn=True)),
        "torch": data.side(theirs),
    }
    return Sides(ours, timed, data.side(_torch_layer(cell, size, WIDER[dtype], device, theirs)))


def _on_path(layer: nn.Recurrent, *, by_cudnn: bool) -> Layer:
    """The layer by that path, whatever is known of its size."""

    def call(x: Tensor) -> Tensor:
        known = cudnn.is_faster
        cudnn.is_faster = lambda *_: by_cudnn
        try:
            return layer(x)[0]  # type: ignore[no-any-return]
        finally:
            cudnn.is_faster = known

    return call


def meeting(cell: str, size: Size, dtype: torch.dtype, device: torch.device) -> Sides:
    """A layer whose recurrent weights are shared out among blocks in the way that the cell's name says: ``LSTM, cluster of 4``."""
    name, _, way = cell.partition(", ")
    kind, _, number = way.partition(" of ")
    layer: nn.Recurrent = getattr(nn, name)(size[2], size[3], device=device, dtype=dtype)
    side = Data.drawn(size, dtype, device).side(layer)
    own = layout.choose
    layout.choose = _shared_out(kind, int(number))
    try:
        for mode in MODES:
            side.call(mode)()  # the kernel of the first call is kept
    finally:
        layout.choose = own
    return Sides(layer, {"pellucid": side})


def _shared_out(kind: Any, team: int) -> Callable[..., Kernel]:
    """In place of the choice by estimated time: teams of so many blocks, of eight sequences each."""

    def choose(lowered: Lowered, spec: Spec, sizes: tuple[int, ...], batch: int, device: torch.device) -> Kernel:
        return generate(lowered, shared_out(lowered, spec, sizes, kind, team), spec)

    return choose


def alone(cell: str, size: Size, dtype: torch.dtype, device: torch.device) -> Sides:
    """Pellucid's layer and nothing beside it."""
    _, ours = _pair(cell, size, dtype, device)
    return Sides(ours, {"pellucid": Data.drawn(size, dtype, device).side(ours)})


def _pair(cell: str, size: Size, dtype: torch.dtype, device: torch.device) -> tuple[torch.nn.Module, nn.Recurrent]:
    theirs = _torch_layer(cell, size, dtype, device)
    ours: nn.Recurrent = getattr(nn, cell)(size[2], size[3], device=device, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def _torch_layer(
    cell: str, size: Size, dtype: torch.dtype, device: torch.device, like: torch.nn.Module | None = None
) -> torch.nn.Module:
    """torch.nn's layer, its weights in one piece of memory, as cuDNN needs them.

    torch brings them there by itself for all number types but bfloat16, for which it copies them at every call: that is
    spared here, so that cuDNN is measured and not the copy.
    """
    layer: Any = getattr(torch.nn, cell)(size[2], size[3], device=device, dtype=dtype)
    if dtype == torch.bfloat16 and device.type == "cuda" and torch.backends.cudnn.version() >= BFLOAT16_CUDNN:
        with torch.no_grad():
            mode = get_cudnn_mode(layer.mode)
            torch._cudnn_rnn_flatten_weight(layer._flat_weights, 4, size[2], mode, size[3], 0, 1, False, False)
    if like is not None:
        layer.load_state_dict(like.state_dict())
    return layer  # type: ignore[no-any-return]


# A cell that torch has not


def torch_has_not(cell: str, size: Size, dtype: torch.dtype, device: torch.device) -> Sides:
    """A cell of one's own against the loop over its steps, and that loop recorded as one CUDA graph."""
    ours, loop, truth = _with_loop(cell, size, dtype, device)
    data = Data.drawn(size, dtype, device)
    timed = {"pellucid": data.side(ours), "loop": data.side(loop)}
    if device.type == "cuda":
        timed["loop, CUDA graph"] = data.side(loop, replayed=True)
    return Sides(ours, timed, data.side(truth))


def compiled(cell: str, size: Size, dtype: torch.dtype, device: torch.device) -> Sides:
    """The same against the loop under torch.compile, all steps in one graph."""
    ours, loop, truth = _with_loop(cell, size, dtype, device)
    data = Data.drawn(size, dtype, device)
    fast = torch.compile(loop, fullgraph=True)
    timed = {
        "pellucid": data.side(ours),
        "loop": data.side(loop),
        "torch.compile": data.side(loop, lambda x: fast(x)[0]),
    }
    return Sides(ours, timed, data.side(truth))


def heads(cell: str, size: Size, dtype: torch.dtype, device: torch.device) -> Sides:
    """A cell with its recurrence by heads, and the projection of its input alone."""
    ours, _, truth = _with_loop(cell, size, dtype, device)
    data = Data.drawn(size, dtype, device)
    projection = torch.nn.Linear(size[2], ours.weight_ih_l0.shape[0], device=device, dtype=dtype)
    wide = Data(data.x, torch.randn(*size[:2], projection.out_features, device=device, dtype=dtype))
    timed = {"pellucid": data.side(ours), "projection alone": wide.side(projection, projection, alike=False)}
    return Sides(ours, timed, data.side(truth))


def _with_loop(
    cell: str, size: Size, dtype: torch.dtype, device: torch.device
) -> tuple[nn.Recurrent, peers.Loop, peers.Loop]:
    """The layer, the loop over its steps with the same parameters, and the loop in a wider type."""
    make, step = _own(cell)
    ours = make(size[2], size[3]).to(device=device, dtype=dtype)
    return ours, peers.Loop(ours, step), peers.Loop(copy.deepcopy(ours).to(WIDER[dtype]), step)


def _own(cell: str) -> tuple[Callable[..., Any], peers.Step]:
    """How a cell's layer is made, and its step as one writes it in PyTorch."""
    name, _, count = cell.partition(", ")
    if name == "sLSTM":
        number = int(count.removesuffix(" heads"))
        return lambda i, h: nn.Recurrent(cells.SLSTM(heads=number), i, h), peers.slstm(number)
    return OF_ONES_OWN[cell]


# Resets


def resets(cell: str, size: Size, dtype: torch.dtype, device: torch.device) -> Sides:
    """Resets at 3 % of the steps: against none, and against torch.nn on the segments between them.

    cuDNN cannot clear a state on its way, so the segments become sequences of their own: in a packed batch, or padded to the
    longest. Where they begin is computed before anything is timed; putting them in order and back is timed.
    """
    theirs, ours = _pair(cell, size, dtype, device)
    truth = _torch_layer(cell, size, WIDER[dtype], device, theirs)
    data = Data.drawn(size, dtype, device)
    mask = torch.rand(size[0], size[1]) < RESETS
    segments = Segments.between(mask, device)
    mask = mask.to(device)
    timed = {
        "pellucid": data.side(ours, lambda x: ours(x, resets=mask)[0]),
        "no resets": data.side(ours, alike=False),
        "torch, packed": data.side(theirs, lambda x: segments.packed(theirs, x)),
        "torch, padded": data.side(theirs, lambda x: segments.padded(theirs, x)),
    }
    return Sides(ours, timed, data.side(truth, lambda x: segments.packed(truth, x)))


@dataclass(frozen=True)
class Segments:
    """The pieces that resets cut sequences into, longest first.

    Attributes:
        counts: segments that are at least so long, by length, on the processor, as a PackedSequence has it.
        order: (T B,) the step of (T, B) that stands at each place of the packed batch.
        back: (T B,) the reverse.
        grid: (longest, S) the step at each place of the padded batch; beyond a segment's end any.
        places: (T B,) where each step stands in the padded batch.
    """

    counts: Tensor
    order: Tensor
    back: Tensor
    grid: Tensor
    places: Tensor

    @classmethod
    def between(cls, mask: Tensor, device: torch.device) -> Segments:
        """Of a mask (T, B), true where the state starts anew."""
        steps, batch = mask.shape
        begins = mask.clone()
        begins[0] = True
        row, first = begins.T.nonzero().unbind(1)
        follows = torch.cat([row[1:] == row[:-1], torch.tensor([False])])
        ends = torch.where(follows, first.roll(-1), torch.tensor(steps))
        lengths, sorted_by = (ends - first).sort(descending=True)
        start = (first * batch + row)[sorted_by]
        step = torch.arange(int(lengths[0]))[:, None]
        alive = step < lengths
        grid = start + step * batch
        order = grid[alive]
        back = order.argsort()
        places = alive.flatten().nonzero().squeeze(1)[back]
        grid = grid.clamp(max=steps * batch - 1)
        return cls(alive.sum(1), *(v.to(device) for v in (order, back, grid, places)))

    def packed(self, layer: torch.nn.Module, x: Tensor) -> Tensor:
        """A torch layer's output (T, B, H), by a packed batch."""
        output = layer(PackedSequence(x.flatten(0, 1).index_select(0, self.order), self.counts))[0].data
        return output.index_select(0, self.back).unflatten(0, x.shape[:2])

    def padded(self, layer: torch.nn.Module, x: Tensor) -> Tensor:
        """The same, by a padded batch."""
        output = layer(x.flatten(0, 1).index_select(0, self.grid.flatten()).unflatten(0, self.grid.shape))[0]
        return output.flatten(0, 1).index_select(0, self.places).unflatten(0, x.shape[:2])


def _recorded(run: Callable[[], Results]) -> Callable[[], Results]:
    """The same work as one CUDA graph: the processor asks once for all of it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run()

    def replay() -> Results:
        graph.replay()
        return found

    return replay

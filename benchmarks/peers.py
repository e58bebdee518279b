"""What people use today: torch.nn, ONNX Runtime, and a cell of one's own as a loop over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.nn import Recurrent

Step = Callable[..., tuple[Tensor, ...]]


# Cells that torch has not, each written as one writes it: a step, from the projected input and the states.


def gru_reset_before(p: dict[str, Tensor], x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    """The GRU whose reset gate acts before the product (Cho et al. 2014)."""
    xr, xz, xn = x.chunk(3, -1)
    ur, uz, un = p["weight_hh_l0"].chunk(3)
    br, bz, bn = p["bias_hh_l0"].chunk(3)
    r, z = torch.sigmoid(xr + F.linear(h, ur, br)), torch.sigmoid(xz + F.linear(h, uz, bz))
    n = torch.tanh(xn + F.linear(r * h, un, bn))
    return ((1 - z) * n + z * h,)


def lstm(p: dict[str, Tensor], x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    """torch.nn.LSTM's equations."""
    i, f, g, o = (x + F.linear(h, p["weight_hh_l0"], p["bias_hh_l0"])).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def peephole_lstm(p: dict[str, Tensor], x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    """The LSTM whose gates see the memory cell (Gers, Schraudolph and Schmidhuber 2002)."""
    pi, pf, po = p["weight_ph_l0"].chunk(3)
    i, f, g, o = (x + F.linear(h, p["weight_hh_l0"], p["bias_hh_l0"])).chunk(4, -1)
    i, f = torch.sigmoid(i + pi * c), torch.sigmoid(f + pf * c)
    c = f * c + i * torch.tanh(g)
    return torch.sigmoid(o + po * c) * torch.tanh(c), c


def layer_norm_lstm(p: dict[str, Tensor], x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    """The LSTM with layer normalisation (Ba et al. 2016)."""
    gains, shifts = p["norm_gain_l0"].chunk(5), p["norm_shift_l0"].chunk(5)
    gates = (x + F.linear(h, p["weight_hh_l0"], p["bias_hh_l0"])).chunk(4, -1)
    i, f, g, o = (
        F.layer_norm(a, a.shape[-1:], *gs) for a, gs in zip(gates, zip(gains, shifts, strict=True), strict=False)
    )
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(F.layer_norm(c, c.shape[-1:], gains[4], shifts[4])), c


def ctrnn(p: dict[str, Tensor], x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    """A leaky rate network (Song, Yang and Wang 2016)."""
    alpha = torch.sigmoid(p["a_l0"])
    return ((1 - alpha) * h + alpha * torch.relu(x + F.linear(h, p["weight_hh_l0"], p["bias_hh_l0"])),)


def slstm(heads: int) -> Step:
    """The LSTM with exponential gates (Beck et al. 2024), its recurrent weights in blocks by heads."""

    def step(p: dict[str, Tensor], x: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor) -> tuple[Tensor, ...]:
        size = h.shape[-1] // heads
        blocks = p["weight_hh_l0"].view(4, heads, size, size)
        recurrent = torch.einsum("ghrc,bhc->bghr", blocks, h.view(-1, heads, size)).flatten(1)
        i, f, z, o = (x + recurrent + p["bias_hh_l0"]).chunk(4, -1)
        kept = F.logsigmoid(f) + m
        m = torch.maximum(kept, i)
        write, keep = torch.exp(i - m), torch.exp(kept - m)
        c, n = keep * c + write * torch.tanh(z), keep * n + write
        return torch.sigmoid(o) * c / n, c, n, m

    return step


class Loop(torch.nn.Module):
    """A cell as a loop over time; the projection of the input is one product for all steps."""

    def __init__(self, layer: Recurrent, step: Step) -> None:
        super().__init__()
        self.p = torch.nn.ParameterDict(dict(layer.named_parameters()))
        self.step, self.hidden_size = step, layer.hidden_size
        self.initial = [state.initial for state in layer.cell.states.values()]

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(T, B, I) to (T, B, H) and the last states."""
        p = dict(self.p.items())
        projected = F.linear(x, p["weight_ih_l0"], p["bias_ih_l0"])
        state = tuple(x.new_full((x.shape[1], self.hidden_size), initial) for initial in self.initial)
        outputs = []
        for each in projected.unbind(0):
            state = self.step(p, each, *state)
            outputs.append(state[0])
        return torch.stack(outputs), state


# ONNX Runtime: graphs made by hand, so that each is what a person would export.


def _session(graph: Any, threads: int) -> Any:
    """A graph, ready to run on so many threads."""
    import onnxruntime
    from onnx import helper

    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


# A recurrent layer is one node, its weights in ONNX's order of gates.

ORDERS = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 3, 1, 2]}


def onnx_runtime(layer: torch.nn.Module, threads: int) -> Callable[[Tensor], Tensor]:
    """A torch layer's forward pass on ONNX Runtime.

    Args:
        layer: ``torch.nn.RNN``, ``GRU`` or ``LSTM`` of one layer.
        threads: of its pool.
    """
    from onnx import TensorProto, helper, numpy_helper

    kind = type(layer).__name__
    order, hidden = ORDERS[kind], layer.hidden_size

    def sorted_gates(name: str) -> np.ndarray:
        parts = getattr(layer, name).detach().numpy().reshape(len(order), hidden, -1)
        return parts[order].reshape(1, len(order) * hidden, -1)

    bias = np.concatenate([sorted_gates("bias_ih_l0")[..., 0], sorted_gates("bias_hh_l0")[..., 0]], axis=1)
    weights = {"W": sorted_gates("weight_ih_l0"), "R": sorted_gates("weight_hh_l0"), "B": bias}
    attributes = {"linear_before_reset": 1} if kind == "GRU" else {}
    node = helper.make_node(kind, ["X", "W", "R", "B"], ["Y"], hidden_size=hidden, **attributes)
    graph = helper.make_graph(
        [node],
        kind,
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["T", "B", layer.input_size])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["T", 1, "B", hidden])],
        [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in weights.items()],
    )
    session = _session(graph, threads)

    def run(x: Tensor) -> Tensor:
        (y,) = session.run(["Y"], {"X": x.detach().numpy()})
        return torch.from_numpy(y).squeeze(1)

    return run


def exported(layer: torch.nn.Module, x: Tensor, threads: int) -> Callable[[Tensor], Tensor]:
    """Convolution, ReLU and pooling of torch.nn on ONNX Runtime, which fuses what it can.

    Args:
        layer: one of them, or a ``torch.nn.Sequential`` of them.
        x: an input, for its shape.
        threads: of ONNX Runtime's pool.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, before = [], {}, 0
    layers = list(layer) if isinstance(layer, torch.nn.Sequential) else [layer]
    for each in layers:
        given, made, kind = f"v{len(nodes)}", f"v{len(nodes) + 1}", type(each).__name__
        if kind == "ConstantPad1d":
            before = each.padding[0]
        elif kind.startswith("Conv"):
            sides = [*(p + before for p in each.padding), *each.padding]
            names = [f"{made}.{name}" for name, _ in each.named_parameters()]
            weights |= {n: p.detach().numpy() for n, (_, p) in zip(names, each.named_parameters(), strict=True)}
            shape = {"strides": each.stride, "dilations": each.dilation, "group": each.groups, "pads": sides}
            nodes.append(helper.make_node("Conv", [given, *names], [made], **shape))
        elif kind == "ReLU":
            nodes.append(helper.make_node("Relu", [given], [made]))
        else:
            dims = x.dim() - 2
            shape = {
                "kernel_shape": [each.kernel_size] * dims,
                "strides": [each.stride] * dims,
                "pads": [each.padding] * (2 * dims),
            }
            nodes.append(helper.make_node("MaxPool" if "Max" in kind else "AveragePool", [given], [made], **shape))
    result = nodes[-1].output[0]
    with torch.no_grad():
        output = layer(x)
    graph = helper.make_graph(
        nodes,
        "block",
        [helper.make_tensor_value_info("v0", TensorProto.FLOAT, list(x.shape))],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, list(output.shape))],
        [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in weights.items()],
    )
    session = _session(graph, threads)

    def run(x: Tensor) -> Tensor:
        (y,) = session.run([result], {"v0": x.detach().numpy()})
        return torch.from_numpy(y)

    return run

"""A trained network as an ONNX model, checked against ONNX Runtime before it is written.

Inputs:  ``x``, and ``lengths`` (batch,) int64 where items have unequal lengths, as the task's preprocessing gives them;
         batch and time are dynamic (a CNN on sound needs 8 frames at least, as the network itself does).
Outputs: ``logits`` and ``probabilities`` of classes, of labels or of what comes next; ``forecast`` (batch, horizon,
         quantiles) or ``number`` (batch, 1), scaled: value = forecast * factor + offset.
The metadata entry ``pellucid`` holds the preprocessing and the labels as JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

import pellucid
from pellucid.errors import ArgumentError, DataError
from pellucid.lab import recipe
from pellucid.lab.bodies import Network
from pellucid.lab.files import write_bytes
from pellucid.lab.goals import GOALS
from pellucid.lab.recipe import Recipe
from pellucid.lab.runs import Run

if TYPE_CHECKING:
    import onnx

TOLERANCE = 1e-5  # of the largest output


def export(
    folder: Path, network: str, to: Path, *, seed: int = 1, cell: str | None = None
) -> tuple[onnx.ModelProto, float]:
    """Write the model; return it and the largest difference to the network's own outputs, relative to the largest one.

    Args:
        folder: the run.
        network: by name.
        to: the file.
        seed: which training of it.
        cell: where a person's own cell stands now, as ``file.py:Class``.

    Raises:
        ArgumentError: onnx or onnxruntime is missing, no such network or seed, or the file cannot be written.
        DataError: the run cannot be used, the network has a part that ONNX has no operators for, or ONNX Runtime's
            answers differ; nothing is written then.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ArgumentError(
            f"export needs {error.name}, which is not installed; install it with: pip install 'pellucid[export]'"
        ) from None
    run = Run(folder)
    kept = recipe.read(run)
    model = kept.network(run, network, seed, cell)
    kept_items, _ = recipe.items(run)
    x, lengths = kept_items.x, kept_items.lengths
    made = _model(kept, model, kept.member(network).name, seed, lengths is not None)
    worst = max(
        _difference(made, model, *case, GOALS[kept.goal].every_step)
        for case in _cases(kept, x, lengths, model.body.least)
    )
    if not worst <= TOLERANCE:
        raise DataError(
            f"{to}: not written, since ONNX Runtime's answers differ from the network's by {worst:.1e} of the largest, "
            f"and at most {TOLERANCE:.0e} is allowed; try another seed, and please report this"
        )
    try:
        write_bytes(to, made.SerializeToString())
    except OSError as error:
        raise ArgumentError(
            f"{to}: cannot be written ({error.strerror}); give a file in a folder that exists and has room"
        ) from None
    return made, worst


def _model(kept: Recipe, model: Network, name: str, seed: int, lengths: bool) -> onnx.ModelProto:
    from pellucid.lab.onnx_graph import Graph
    from pellucid.lab.onnx_network import add_network

    graph = Graph()
    kind = np.int64 if kept.form == "tokens" else np.float32
    axes: list[str | int] = ["batch", kept.channels, *kept.extent]
    if kept.form != "image":
        axes = ["batch", "time"] if kept.form == "tokens" else ["batch", "time", kept.channels]
    x = graph.input("x", kind, axes)
    counts = graph.input("lengths", np.int64, ["batch"]) if lengths else None
    answer = add_network(graph, model, x, counts, kept.channels)
    goal = GOALS[kept.goal]
    raw, made = goal.outputs
    own: list[str | int] = ["batch", *goal.axes(kept)]
    graph.output(answer, raw, own)
    for further, operator in made:
        graph.output(graph.add(operator, answer), further, own)  # of the last axis, which is Softmax's own choice
    about = {
        "pellucid": pellucid.__version__,
        "network": name,
        "seed": seed,
        "task": kept.title,
        "kind": kept.kind,
        "goal": kept.goal,
        "labels": kept.labels,
        "horizon": kept.horizon,
        "scale": kept.scale,
        "step": kept.step,
        "quantiles": kept.quantiles,
        "preprocessing": kept.preprocessing,
    }
    return graph.model(name, {"pellucid": json.dumps(about, ensure_ascii=False)})


def _cases(kept: Recipe, x: Tensor, lengths: Tensor | None, least: int) -> list[tuple[Tensor, Tensor | None]]:
    """The kept items together, the first alone, and, where time is dynamic, in two thirds of their steps."""
    cases = [(x, lengths), (x[:1], None if lengths is None else lengths[:1])]
    if kept.form != "image":
        steps = max(least, 2 * x.shape[1] // 3)
        cases.append((x[:, :steps], None if lengths is None else lengths.clamp(max=steps)))
    return cases


def _difference(made: onnx.ModelProto, model: Network, x: Tensor, lengths: Tensor | None, every_step: bool) -> float:
    """Between ONNX Runtime and the network: the largest, relative to the network's largest output.

    Of answers at every step those behind an item's end are nobody's.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
        given: dict[str, Any] = {"x": x.numpy()} | ({} if lengths is None else {"lengths": lengths.numpy()})
        theirs = torch.from_numpy(session.run(None, given)[0])
    except Exception as error:  # the runtime's own classes share no base but this one
        raise DataError(
            f"ONNX Runtime cannot run the model ({str(error).splitlines()[0]}); nothing was written"
        ) from None
    with torch.no_grad():
        ours = model(x, lengths)
    if ours.shape != theirs.shape:
        return float("inf")
    if every_step and lengths is not None:
        there = torch.arange(x.shape[1]) < lengths[:, None]
        ours, theirs = ours[there], theirs[there]
    return float((ours - theirs).abs().max() / ours.abs().max().clamp(min=torch.finfo(ours.dtype).tiny))

"""The GPU benchmark measures what it says: its sides compute the same, its counts are what a layer needs, and nothing that
went wrong in one row costs another."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import gpu, gpu_plan, gpu_sides
from benchmarks.gpu_limits import kept, least_bytes, multiply_adds
from benchmarks.gpu_plan import Case
from benchmarks.gpu_sides import Data, Segments, Sides
from benchmarks.gpu_timing import ROUNDS, alternate, durations
from benchmarks.rows import BOTH, FORWARD
from pellucid import nn
from pellucid.ops.cuda import cudnn

CPU = torch.device("cpu")
SIZE = (7, 3, 5, 12)
FIELDS = {
    "on_cudnn",
    "times",
    "first",
    "relative_error",
    "failed",
    "multiply_adds",
    "bytes",
    "device",
    "torch",
    "cuda",
    "driver",
    "dtype",
}


def called(sides: Sides) -> dict[str, tuple[Tensor, ...]]:
    """Every result of a training step of each side that computes the same, and of the truth."""
    found = {name: side.call(BOTH)() for name, side in sides.timed.items() if side.alike}
    assert sides.truth is not None
    return found | {"truth": sides.truth.call(BOTH)()}


# Sides


@pytest.mark.parametrize(
    ("build", "cell"),
    [
        (gpu_sides.torch_has, "LSTM"),
        (gpu_sides.torch_has, "GRU"),
        (gpu_sides.torch_has, "RNN"),
        (gpu_sides.torch_has_not, "CTRNN"),
        (gpu_sides.torch_has_not, "LSTM layer norm"),
        (gpu_sides.torch_has_not, "GRU reset before"),
        (gpu_sides.torch_has_not, "sLSTM, 1 heads"),
        (gpu_sides.torch_has_not, "sLSTM, 4 heads"),
        (gpu_sides.heads, "sLSTM, 6 heads"),
        (gpu_sides.resets, "LSTM"),
        (gpu_sides.resets, "GRU"),
    ],
)
def test_sides_compute_the_same(build: gpu_plan.Build, cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output, input gradient and every parameter's gradient, in float32 as in float64."""
    monkeypatch.setattr(gpu_sides, "RESETS", 0.4)
    found = called(build(cell, SIZE, torch.float32, CPU))
    truth = found.pop("truth")
    assert "pellucid" in found
    for name, results in found.items():
        assert len(results) == len(truth)
        for ours, theirs in zip(results[:2], truth[:2], strict=True):
            torch.testing.assert_close(ours, theirs.float(), msg=name)
        # A loop's parameters come in another order than torch's; their gradients are the same numbers.
        norms = [sorted(float(g.double().norm()) for g in side[2:]) for side in (results, truth)]
        assert norms[0] == pytest.approx(norms[1], rel=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(9, 4), (1, 3), (6, 1)])
def test_segments_are_the_sequences_between_resets(share: float, shape: tuple[int, int]) -> None:
    """cuDNN's two ways, in float64, against Pellucid's mask: also where no step or every step starts anew."""
    torch.manual_seed(2)
    mask = torch.rand(shape) < share
    theirs = torch.nn.LSTM(5, 6, dtype=torch.float64)
    ours = nn.LSTM(5, 6, dtype=torch.float64)
    ours.load_state_dict(theirs.state_dict())
    segments = Segments.between(mask, CPU)
    data = Data.drawn((*shape, 5, 6), torch.float64, CPU)
    results = [
        data.side(module, layer).call(BOTH)()
        for module, layer in (
            (ours, lambda x: ours(x, resets=mask)[0]),
            (theirs, lambda x: segments.packed(theirs, x)),
            (theirs, lambda x: segments.padded(theirs, x)),
        )
    ]
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("fits", [True, False])
def test_both_paths_are_measured(fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule is overruled while a side is called, each its own way, and stands again afterwards."""
    asked: list[bool] = []
    rule = cudnn.is_faster

    class Layer(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            asked.append(cudnn.is_faster(None, x, 1))  # type: ignore[arg-type]
            if not fits:
                raise ValueError("too large")
            return (x,)

    for by_cudnn in (True, False):
        with nullcontext() if fits else pytest.raises(ValueError, match="too large"):
            gpu_sides._on_path(Layer(), by_cudnn=by_cudnn)(torch.zeros(1))  # type: ignore[arg-type]
    assert asked == [True, False]
    assert cudnn.is_faster is rule


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_a_replayed_loop_computes_what_the_loop_does() -> None:
    """And its time is the device's: a graph of a loop takes some time, and not the time of a clock that was not started."""
    device = torch.device("cuda")
    sides = gpu_sides.torch_has_not("CTRNN", SIZE, torch.float32, device)
    loop, graph = (sides.timed[name].call(BOTH) for name in ("loop", "loop, CUDA graph"))
    for a, b in zip(loop(), graph(), strict=True):
        torch.testing.assert_close(a, b)
    assert all(0 < seconds < 1 for seconds in durations(graph, 4, device))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("build", [gpu_sides.torch_has, gpu_sides.resets])
def test_torch_is_cudnn_where_it_can_be(build: gpu_plan.Build) -> None:
    """float32 always; and in bfloat16 the weights lie together without being other numbers."""
    device = torch.device("cuda")
    timed = build("LSTM", (7, 3, 16, 32), torch.float32, device).timed
    assert all(side.on_cudnn() for name, side in timed.items() if name in gpu_sides.TORCH)
    assert not timed["pellucid"].on_cudnn()
    short = build("LSTM", (7, 3, 16, 32), torch.bfloat16, device)
    assert short.truth is not None
    output = next(side for name, side in short.timed.items() if name in gpu_sides.TORCH).call(FORWARD)()[0]
    assert gpu.relative_error(output, short.truth.call(FORWARD)()[0]) < 2.0**-6


def test_a_processor_has_no_cudnn() -> None:
    """And a row of one says so."""
    assert not any(side.on_cudnn() for side in gpu_sides.torch_has("LSTM", SIZE, torch.float32, CPU).timed.values())


# Counts


def test_multiply_adds_and_bytes_by_hand() -> None:
    """An LSTM of H = 12 on I = 5: 4 H (I + H) a step; every number outside moved once, gradients and 5 H kept with them."""
    layer = nn.LSTM(5, 12, dtype=torch.bfloat16)
    assert multiply_adds(layer, SIZE, FORWARD) == 7 * 3 * 4 * 12 * 17
    assert multiply_adds(layer, SIZE, BOTH) == 3 * multiply_adds(layer, SIZE, FORWARD)
    outside = 7 * 3 * (5 + 12) + 4 * 12 * (5 + 12 + 2)
    assert least_bytes(layer, SIZE, FORWARD) == 2 * outside
    assert least_bytes(layer, SIZE, BOTH) == 2 * (2 * outside + 7 * 3 * 5 * 12)


def test_heads_have_fewer_multiply_adds() -> None:
    """Four blocks on the diagonal: a quarter of the recurrent product."""
    make = gpu_sides._own("sLSTM, 4 heads")[0]
    assert multiply_adds(make(5, 12), SIZE, FORWARD) == 7 * 3 * 4 * 12 * (5 + 12 // 4)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM", "LSTM peepholes", "GRU reset before", "sLSTM, 2 heads"])
def test_no_more_is_counted_as_kept_than_the_engine_keeps(cell: str) -> None:
    """What is kept besides input, output, parameters and the start; for torch's own cells it is exactly that."""
    layer = getattr(nn, cell)(5, 12) if hasattr(nn, cell) else gpu_sides._own(cell)[0](5, 12)
    x = torch.randn(*SIZE[:3], requires_grad=True)
    held: dict[int, Tensor] = {}

    def pack(t: Tensor) -> Tensor:
        held[t.untyped_storage().data_ptr()] = t
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        output = layer(x)[0]
    for known in (x, output, *layer.parameters()):
        held.pop(known.untyped_storage().data_ptr(), None)
    others = [
        t for t in held.values() if t.shape != output.shape or not torch.equal(t, output)
    ]  # a hook has it as a copy
    numbers = [t.untyped_storage().nbytes() // 4 for t in others]
    steps = [n for n in numbers if n % (7 * 3 * 12) == 0]
    counted = 7 * 3 * kept(layer, 12)
    assert counted <= sum(steps)
    assert cell not in ("RNN", "GRU", "LSTM") or counted == sum(steps)


# The plan


def test_the_plan_has_what_it_needs_and_nothing_twice() -> None:
    """Published figures stand at the sizes that they were published for, and at no tiny one; empty steps for every short row."""
    cases = [case for table in gpu_plan.TABLES.values() for case in table()]
    names = [(c.table, c.cell, c.size, c.dtype, mode) for c in cases for mode in c.modes]
    assert len(names) == len(set(names))
    published = {(c.cell, *c.size): dict(c.published) for c in cases if c.published}
    assert published.pop(("LSTM", 1024, 16, 768, 768)) == {"cuDNN": 2.01}
    heads = {(f"sLSTM, {n} heads", 1024, 16, 768, 768): {"FlashRNN": t} for n, t in gpu_plan.FLASHRNN.items()}
    assert published == heads
    assert not any(case.tiny().published for case in cases)
    empty = {(c.cell, *c.size[:2]) for c in cases if c.table == "empty"}
    assert empty == {(c.cell, *c.size[:2]) for c in cases if c.table in ("plain", "large")}


# Timing


def test_sides_take_turns() -> None:
    """Each in every round, so that what slows the machine slows all; and the slow one has its calls, too."""
    order: list[str] = []
    slow = torch.randn(300, 300)

    def call(name: str) -> Any:
        return lambda: (order.append(name), slow @ slow)

    found = alternate({"a": call("a"), "b": call("b")}, CPU, seconds=0.0)
    assert order[4:] == ["a", "b"] * ROUNDS  # after two calls of each that tell how long one takes
    assert all(t.calls == ROUNDS and 0 < t.low <= t.median <= t.high for t in found.values())


def test_a_turn_of_a_quick_side_has_many_calls() -> None:
    """So many that they fill the seconds."""
    calls = alternate({"a": lambda: torch.zeros(1)}, CPU, seconds=0.01)["a"].calls
    assert ROUNDS < calls <= 100 * ROUNDS


# Runs


def run(*arguments: str) -> None:
    """The command, tiny and on the processor."""
    gpu.main(["--device", "cpu", "--tiny", *arguments])


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """Every row has what the report needs, and a second run measures nothing twice."""
    out = tmp_path / "gpu.jsonl"
    run("--out", str(out), "--only", "limits", "float32", "resets")
    rows = rows_of(out)
    sizes = {(case.cell, case.tiny().size) for case in gpu_plan.float32()}
    assert [row["table"] for row in rows] == ["limits", *["resets"] * 2, *["float32"] * 2 * len(sizes)]
    assert all(row.keys() >= FIELDS and row["times"]["pellucid"]["median"] > 0 for row in rows[1:])
    assert all(not row["tf32"] for row in rows[1:])
    assert all(max(row["relative_error"]["pellucid"].values()) < 1e-5 for row in rows if row.get("dtype") == "float32")
    run("--out", str(out), "--only", "limits", "float32", "resets")
    assert rows_of(out) == rows


def cases(*builds: gpu_plan.Build) -> dict[str, Any]:
    """A table with one case for each."""

    def table() -> Iterator[Case]:
        for number, build in enumerate(builds):
            yield Case("plain", f"number {number}", SIZE, build, dtype=torch.float32, modes=(FORWARD,))

    return {"plain": table}


def lstm(cell: str, size: gpu_sides.Size, dtype: torch.dtype, device: torch.device) -> Sides:
    """Whatever the case is called."""
    return gpu_sides.torch_has("LSTM", size, dtype, device)


def broken(cell: str, size: gpu_sides.Size, dtype: torch.dtype, device: torch.device) -> Sides:
    """A layer that cannot be built."""
    raise RuntimeError("no such\nkernel" + " and more" * 100)


def test_a_row_that_raises_is_written_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sentence stands in its row; the next run tries it again, after what it has not tried."""
    out = tmp_path / "gpu.jsonl"
    monkeypatch.setattr(gpu, "TABLES", cases(broken, lstm))
    run("--out", str(out), "--only", "plain")
    first, second = rows_of(out)
    assert first["error"].startswith("RuntimeError: no such kernel and more and")
    assert len(first["error"]) < 350
    assert "error" not in second
    monkeypatch.setattr(gpu, "TABLES", cases(lstm, lstm, lstm))
    run("--out", str(out), "--only", "plain")
    assert [row["cell"] for row in rows_of(out)[2:]] == ["number 2", "number 0"]
    assert all("error" not in row for row in rows_of(out)[2:])


def test_a_side_that_raises_does_not_cost_the_row() -> None:
    """Only Pellucid's has to run."""

    def fails(x: Tensor) -> Tensor:
        raise ValueError("not on this device")

    sides = gpu_sides.torch_has("GRU", SIZE, torch.float32, CPU)
    sides.timed["torch"] = replace(sides.timed["torch"], layer=fails)
    row = gpu.measure(next(cases(lstm)["plain"]()), sides, BOTH, CPU, 0.01)
    assert row["failed"] == {"torch": "ValueError: not on this device"}
    assert row["times"].keys() == row["relative_error"].keys() == {"pellucid"}
    sides.timed["pellucid"] = replace(sides.timed["pellucid"], layer=fails)
    with pytest.raises(ValueError, match="not on this device"):
        gpu.measure(next(cases(lstm)["plain"]()), sides, BOTH, CPU, 0.01)


def test_a_row_is_in_the_file_before_the_next_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed keeps what it has."""
    out = tmp_path / "gpu.jsonl"
    seen: list[int] = []

    def looks(*given: Any) -> Sides:
        seen.append(len(rows_of(out)))
        return lstm(*given)

    monkeypatch.setattr(gpu, "TABLES", cases(lstm, looks))
    run("--out", str(out), "--only", "plain")
    assert seen == [1]


def test_a_row_that_never_ends_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written as failed first, so that the next run begins with others."""
    ended: list[int] = []
    monkeypatch.setattr(gpu.os, "_exit", ended.append)
    file = io.StringIO()
    watching = gpu.Run(file, [], CPU, tiny=True, budget=1e9)
    with watching.watched(
        watching.row("plain") | {"cell": "LSTM", "size": SIZE, "mode": FORWARD, "dtype": "float32"}, 0.05
    ):
        time.sleep(0.3)
    assert ended == [1]
    assert json.loads(file.getvalue())["error"] == "TimeoutError: not done after 0 s"


def test_nothing_begins_that_the_budget_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is counted; a case that needs less than is left is measured."""
    out = tmp_path / "gpu.jsonl"
    long, short = cases(lstm, lstm)["plain"]()
    monkeypatch.setattr(gpu, "TABLES", {"plain": lambda: iter([replace(long, seconds=1e6), replace(short, seconds=1)])})
    with out.open("w") as file:
        assert gpu.Run(file, [], CPU, tiny=True, budget=60).all(["plain"]) == 1
    assert [row["cell"] for row in rows_of(out)] == ["number 1"]


def test_a_mistake_is_a_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No device, no such table: exit 2 and no traceback."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for arguments, said in ((["--out", "x"], "there is no CUDA device here"), (["--out", "x", "--only", "y"], "'y'")):
        with pytest.raises(SystemExit, match="2"):
            gpu.main(arguments)
        assert said in capsys.readouterr().err


def test_an_error_is_the_distance_from_the_truth() -> None:
    """Relative to its length; what is no number is none here."""
    truth = torch.tensor([3.0, 4.0])
    assert gpu.relative_error(torch.tensor([3.0, 4.5], dtype=torch.bfloat16), truth) == pytest.approx(0.1)
    assert not gpu.relative_error(torch.tensor([float("nan"), 4.0]), truth) < 1e9

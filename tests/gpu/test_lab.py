"""The promise: on an NVIDIA GPU the lab finds the same twice, what the processor finds but for rounding, and says what it took.

These tests need a GPU; what each needs besides is looked for where it is needed, so that a machine with torch alone runs some.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid import device, nn
from pellucid.errors import ArgumentError
from pellucid.web import passes

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here")

SMALL: dict[str, Any] = {"trials": 2, "seeds": 1, "epochs": 3, "size": 1500, "quiet": True}
NEAR = 2e-3  # of a loss: float32 sums in another order, a few dozen steps of Adam after another


@pytest.fixture
def lab() -> Any:
    """The lab, where its libraries are installed."""
    try:
        import optuna  # noqa: F401

        from pellucid import lab
        from pellucid.lab import comparison, predict, report  # noqa: F401
    except ImportError as error:
        pytest.skip(f"the lab needs {error.name}, which is not installed")
    return lab


def losses(found: Any) -> dict[str, list[float]]:
    return {c.name: [v for e in c.seeds[0].history for v in (e.train_loss, e.valid_loss)] for c in found.candidates}


def figures(found: Any) -> dict[str, Any]:
    """All of a comparison but what depends on the moment."""
    return {
        c.name: (
            losses(found)[c.name],
            c.score,
            [(t.settings, t.valid_score, t.epochs) for t in c.trials],
            c.why,
            c.sample,
            c.forecast,
        )
        for c in found.candidates
    }


# What needs torch alone


def test_what_is_moved_arrives() -> None:
    there = device.choose()
    assert device.name(there) == torch.cuda.get_device_name(0)
    called = device.called(device.name(there))
    assert called == torch.device("cuda", 0)
    for x in (torch.randn(5, 3).T, torch.arange(4), torch.zeros(0, 2)):
        moved = device.moved(x, there)
        assert moved.is_cuda
        assert torch.equal(moved.cpu(), x)
        assert device.moved(moved, moved.device) is moved
    with pytest.raises(ArgumentError, match="cuda:99"):
        device.choose("cuda:99")


def test_what_is_timed_is_finished() -> None:
    """A product of many matrices is given to the GPU in microseconds, and takes milliseconds."""
    x = torch.randn(2048, 2048, device="cuda")
    torch.mm(x, x)
    device.finish(x.device)
    started = time.perf_counter()
    for _ in range(200):
        y = torch.mm(x, x)
    given = time.perf_counter() - started
    device.finish(y.device)
    assert time.perf_counter() - started > 2 * given or given > 0.02


def test_the_same_bits_twice() -> None:
    """Convolutions, an embedding, gathered rows: forward and backward, in full float32."""

    def once() -> list[Tensor]:
        torch.manual_seed(0)
        table = torch.nn.Embedding(50, 8)
        convolution, layer = nn.ConvBlock(8, 16, 3, padding="same", pool="max"), nn.LSTM(16 * 8, 32)
        for module in (table, convolution, layer):
            module.to("cuda")
        x = torch.randint(0, 50, (32, 16, 16)).to("cuda")
        maps = convolution(table(x).movedim(-1, 1))
        y = layer(maps.movedim(2, 0).flatten(2))[0]
        rows = torch.randint(0, 8, (64,)).to("cuda")
        (y[rows].square().mean() + maps.amax()).backward()
        return [y, *(p.grad for m in (table, convolution, layer) for p in m.parameters() if p.grad is not None)]

    with device.working(torch.device("cuda")):
        first, *others = [once() for _ in range(4)]
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_a_pass_sees_what_the_processor_sees(name: str) -> None:
    """Every gate and state, and the gradient that reaches it."""
    torch.manual_seed(0)
    layer = getattr(nn, name)(5, 7, 2, bidirectional=True)
    x = torch.randn(9, 1, 5)

    def gradients(done: passes.Pass, step: int) -> passes.Gradients:
        return passes.gradients(done, done.output[step].square().sum())

    here = passes.run(layer, (x,))
    seen = {n: v.values.detach().clone() for n, v in here.seen.items()}
    expected = [gradients(here, step) for step in (-1, 4)]  # one after the other along one graph
    there = passes.run(layer.to("cuda"), (x,))
    found = [gradients(there, step) for step in (-1, 4)]
    assert there.seen.keys() == seen.keys()
    for n, values in seen.items():
        assert there.seen[n].values.is_cuda
        assert torch.allclose(there.seen[n].values.cpu(), values, atol=1e-5), n
        for mine, theirs in zip(found, expected, strict=True):
            assert torch.allclose(mine.values[n].cpu(), theirs.values[n], atol=1e-5), n
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.allclose(mine.given[""].cpu(), theirs.given[""], atol=1e-5)


def test_a_pass_keeps_the_graph_of_feature_maps() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(nn.ConvBlock(1, 4, 3, padding="same", pool="max"), nn.Conv2d(4, 2, 3))
    x = torch.randn(1, 1, 12, 12)
    here, there = passes.run(model, (x,)), None
    gradients = []
    for place in ("cpu", "cuda"):
        there = passes.run(model.to(place), (x,))
        (gradient,) = torch.autograd.grad(there.output[0, 1, 2, 2], there.starts[0], retain_graph=True)
        gradients.append(gradient.cpu())
    assert there is not None
    assert torch.allclose(there.output.cpu(), here.output, atol=1e-4)
    assert torch.allclose(*gradients, atol=1e-5)


# What needs the lab

KINDS = [
    ("images", ("cnn", "cnn+lstm", "CELL"), {"augment": "shift,flip"}),
    ("shops", ("cnn", "gru"), {}),
    ("sequences", ("cnn", "bilstm2", "rnn"), {}),
    ("next subwords", ("cnn", "gru"), {}),
    ("sound", ("cnn", "lstm"), {}),
    ("events", ("rnn",), {}),
]


@pytest.mark.parametrize(("kind", "networks", "more"), KINDS, ids=[kind for kind, *_ in KINDS])
def test_the_same_command_gives_the_same_figures(
    kind: str, networks: tuple[str, ...], more: dict[str, Any], lab: Any, tmp_path: Path
) -> None:
    """Twice on the GPU all figures, and but for rounding the losses of the processor, since the draws are its own."""
    from tests.lab import finished

    write, options = finished.KINDS[kind]
    source = write(tmp_path)
    (tmp_path / "my_cell.py").write_text(finished.CELL)
    named = [n.replace("CELL", f"{tmp_path / 'my_cell.py'}:Leaky") for n in networks]
    given = SMALL | options | more
    once, twice = (lab.compare(source, named, out=tmp_path / name, **given) for name in ("once", "twice"))
    assert once.device == torch.cuda.get_device_name(0)
    assert figures(once) == figures(twice)
    here = lab.compare(source, named, device="cpu", out=tmp_path / "cpu", **given)
    for name, expected in losses(here).items():
        assert losses(once)[name] == pytest.approx(expected, rel=NEAR), name
    for c in once.candidates:
        assert c.cost.gpu_bytes is not None
        assert c.cost.gpu_bytes > 16 * c.cost.parameters  # weights, gradients, and Adam's two moments
        assert 0 < c.cost.latency_ms_p50 < 1e3
    from pellucid.lab.predict import predict

    if kind == "shops":  # what is known ahead is not there
        return
    mine, again, theirs = (predict(tmp_path / "once", source, device=d) for d in ("cuda", "cuda", "cpu"))
    assert mine.rows == again.rows
    if kind == "next subwords":  # of two that are nearly as probable, another may be drawn
        return
    for row, other in zip(mine.rows, theirs.rows, strict=True):
        assert row[0] == other[0]
        assert row[2:] == pytest.approx(other[2:], abs=1e-3)


def test_a_run_that_was_stopped_goes_on_with_the_same_figures(lab: Any, tmp_path: Path) -> None:
    from tests.lab import tasks

    source = tasks.write_images(tmp_path / "images")
    whole = lab.compare(source, ["cnn", "gru"], out=tmp_path / "run", **SMALL)
    (tmp_path / "run" / "result.json").unlink()
    next((tmp_path / "run" / "units").glob("gru-seed-*")).unlink()
    assert figures(lab.compare(source, ["cnn", "gru"], out=tmp_path / "run", **SMALL)) == figures(whole)


def test_workers_find_what_one_process_finds(lab: Any, tmp_path: Path) -> None:
    from tests.lab import tasks

    source = tasks.write_images(tmp_path / "images")
    alone, two = (lab.compare(source, ["cnn", "gru"], out=tmp_path / str(n), workers=n, **SMALL) for n in (1, 2))
    assert figures(alone) == figures(two)


@pytest.mark.parametrize("of", ["all", "states"])
def test_the_page_answers_as_on_the_processor(of: str, lab: Any) -> None:
    """Every question; and the gradients of states, which a trace has to leave in torch's graph."""
    from tests.lab import finished
    from tests.web.test_device import alike, asked

    from pellucid.web.questions import ask
    from pellucid.web.run import of_run

    for kind, networks in (("images", ("cnn", "cnn+lstm")), ("sequences", ("cnn", "bigru2")), ("events", ("lstm",))):
        folder = finished.untrained(kind, networks).folder
        with device.working(device.choose()):
            here, there = of_run(folder, seed=2), of_run(folder, seed=2, on=device.choose())
            for name, parameters in asked(here) if of == "all" else _of_states(here):
                answer = ask(there, name, parameters)
                if parameters.get("order") != "similarity":  # rounding decides which of two like units comes first
                    alike(answer, ask(here, name, parameters), f"{name} {parameters}")


def _of_states(opened: Any) -> list[tuple[str, dict[str, Any]]]:
    from pellucid.web.questions import ask

    found: list[tuple[str, dict[str, Any]]] = []
    for network in opened.networks:
        about = {"network": network.name, "item": 1}
        for place in ask(opened, "places", about)["places"]:
            of = about | {"layer": place["layer"], "unit": 0}
            found += [("reach", of | {"of": "unit"}), ("attribution", of | {"step": 1})]
    return found


def test_claims_are_measured_here(lab: Any) -> None:
    """From the same draws as on the processor, and twice the same."""
    from dataclasses import replace

    from pellucid.lab.claims import claims
    from pellucid.lab.claims.runner import measure

    small = {"steps": 5, "epochs": 1, "length": 6, "lag": 3}
    by_experiment = {u.experiment: u for c in claims(quick=True) for u in c.units if u.settings.get("use") != "sound"}
    for name, unit in by_experiment.items():
        quick = replace(unit, settings={k: small.get(k, v) for k, v in unit.settings.items()})
        there, again, here = (measure(quick, device.choose(d)).measures for d in ("cuda", "cuda", "cpu"))
        assert there.keys() == here.keys()
        if name != "speed":  # which measures time
            assert there == again, name
            assert there == pytest.approx(here, rel=1e-2, abs=0.5), name


def test_the_command_line(lab: Any, tmp_path: Path) -> None:
    """Auto is the GPU; the run says so, and on the processor it is another run."""
    pytest.importorskip("cyclopts")
    from tests.lab import tasks

    source = tasks.write_images(tmp_path / "images")

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pellucid", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            capture_output=True,
            text=True,
            timeout=300,
        )

    compare = ("compare", str(source), "--with", "cnn,gru", "--trials", "1", "--seeds", "1", "--epochs", "1")
    for more in ((), ("--device", "cpu")):
        done = command(*compare, *more)
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "runs").iterdir())) == 2
    gpu = torch.cuda.get_device_name(0)
    assert " ".join(command("runs").stdout.split()).count(f"on the {gpu}") == 1
    done = command("compare", str(source), "--device", "cuda:99")
    assert done.returncode == 2
    assert done.stderr.startswith("pellucid: device is cuda:99, and this machine has ")

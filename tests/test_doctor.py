"""The promise: doctor says what really runs here, and its self-check notices what is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid import doctor, nn
from pellucid.ops.native import _native

ROOT = Path(__file__).parent.parent
CHECKED = ["float32", "float64", *(["bfloat16"] if _native.multiplies_bfloat16() else [])]


@pytest.fixture(scope="module")
def report() -> doctor.Report:
    return doctor.examine()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pellucid", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )


def nodes(output: Tensor) -> set[str]:
    """The names of all that autograd would run."""
    found, waiting = set(), [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None:
            found.add(node.name())
            waiting.extend(n for n, _ in node.next_functions)
    return found


LAYERS: dict[str, Callable[[torch.dtype], Tensor]] = {
    "recurrent": lambda dtype: nn.LSTM(2, 3, dtype=dtype)(torch.ones(4, 1, 2, dtype=dtype))[0],
    "convolution": lambda dtype: nn.Conv1d(1, 1, 3, dtype=dtype)(torch.ones(1, 1, 512, dtype=dtype)),
    "max pooling": lambda dtype: nn.MaxPool1d(2)(torch.ones(1, 1, 8, dtype=dtype, requires_grad=True)),
    "average pooling": lambda dtype: nn.AvgPool1d(2)(torch.ones(1, 1, 8, dtype=dtype, requires_grad=True)),
}
KERNELS = {
    doctor.NATIVE: "(Engine|_Differentiable|_Pooled)Backward",
    doctor.PROGRAM: "TwinBackward",
    doctor.TORCH: "(Convolution|MaxPool2DWithIndices|AvgPool2D)Backward0",
}


@pytest.mark.parametrize("dtype", doctor.DTYPES, ids=str)
@pytest.mark.parametrize("layers", LAYERS)
def test_the_paths_are_those_that_run(layers: str, dtype: torch.dtype, report: doctor.Report) -> None:
    (said,) = [p.path for p in report.paths if (p.layers, p.device, f"torch.{p.dtype}") == (layers, "cpu", str(dtype))]
    ran = nodes(LAYERS[layers](dtype))
    assert [path for path, name in KERNELS.items() if any(re.fullmatch(name, node) for node in ran)] == [said]


def test_a_path_that_is_chosen_otherwise_is_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    from pellucid.ops.reference.convolution import convolution

    monkeypatch.setattr(doctor.convolution, "path", lambda *_: convolution)
    monkeypatch.setattr(doctor, "engine_takes", lambda x: x.dtype == torch.float64)
    said = {(p.layers, p.dtype): p.path for p in doctor.paths() if p.device == "cpu"}
    assert said["convolution", "float32"] == doctor.REFERENCE
    assert said["recurrent", "float32"] == doctor.PROGRAM
    assert said["recurrent", "float64"] == doctor.NATIVE


def test_kernels_of_a_gpu_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "engine_takes", lambda x: x.dtype == torch.float64)
    monkeypatch.setattr(doctor, "gpu_takes", lambda x: x.dtype == torch.bfloat16)
    said = {p.dtype: p.path for p in doctor.paths() if (p.layers, p.device) == ("recurrent", "cpu")}
    assert said == {
        "float32": doctor.PROGRAM,
        "float64": doctor.NATIVE,
        "bfloat16": doctor.KERNEL,
        "float16": doctor.PROGRAM,
    }


def test_the_engine_agrees_with_its_equations_and_with_torch(report: doctor.Report) -> None:
    assert report.well
    assert [(c.layer, c.dtype) for c in report.checks] == [
        (layer, dtype) for layer in ("LSTM", "GRU") for dtype in CHECKED
    ]
    assert all(c.from_equations > 0 and c.from_torch > 0 for c in report.checks)  # it was compared with something else


def spoil(kind: str, v: Tensor) -> Tensor:
    if kind == "value":
        return v + 1e-3
    if kind == "gradient":
        return v + 1e-3 * (v - v.detach())
    return v + torch.where(torch.arange(v.shape[-1]) == 3, torch.nan, 0.0).to(v.dtype)


@pytest.mark.parametrize("kind", ["value", "gradient", "not a number"])
@pytest.mark.parametrize("state", ["h", "c"])
def test_a_difference_from_the_equations_is_noticed(kind: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = doctor.reference

    def wrong(*arguments: Any) -> dict[str, Tensor]:
        return {name: spoil(kind, v) if name == state else v for name, v in truth(*arguments).items()}

    monkeypatch.setattr(doctor, "reference", wrong)
    check = doctor.check("LSTM", torch.float64)
    assert not check.well
    assert not check.from_equations <= check.allowed
    assert check.from_torch <= check.allowed


def test_a_difference_from_torch_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(torch.nn.GRU):
        def forward(self, *arguments: Any) -> tuple[Tensor, Tensor]:
            output, last = super().forward(*arguments)
            return spoil("gradient", output), last

    monkeypatch.setattr(torch.nn, "GRU", Wrong)
    check = doctor.check("GRU", torch.float32)
    assert not check.well
    assert check.from_equations <= check.allowed < check.from_torch


def test_the_check_draws_nothing_from_the_persons_random_numbers() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    doctor.check("GRU", torch.float32)
    assert torch.equal(torch.rand(3), expected)


def failing(report: doctor.Report) -> doctor.Report:
    checks = [replace(c, from_torch=float("nan")) if c.layer == "GRU" else c for c in report.checks]
    isa = doctor.InstructionSet(
        "avx512", ["avx512", "avx2", "baseline"], "PELLUCID_ISA says so; this processor has them"
    )
    threads = replace(report.threads, torch=128, team=False)
    paths = [*report.paths, *(replace(p, device="cuda", path=doctor.REFERENCE) for p in report.paths)]
    return replace(report, checks=checks, instruction_set=isa, threads=threads, paths=paths)


def test_the_device_is_the_one_that_commands_take(report: doctor.Report, monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        assert (report.device.used, "CUDA" in report.device.why or "GPU" in report.device.why) == ("cpu", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA of a test")
    said = replace(report, device=doctor.device()).text()
    assert "device           NVIDIA of a test: the first GPU; --device cpu" in said


def test_the_text_is_plain_and_fits_80_columns(report: doctor.Report) -> None:
    for text in (report.text(), failing(report).text()):
        assert text.isascii()
        assert "\x1b" not in text
        assert max(map(len, text.splitlines())) <= 80
    assert "All is well." in report.text()


def test_a_failure_says_which_and_what_to_do(report: doctor.Report) -> None:
    text = failing(report).text()
    wrong = [line.split()[:2] for line in text.splitlines() if line.endswith("wrong")]
    assert wrong == [["GRU", dtype] for dtype in CHECKED]
    verdict = " ".join(text.splitlines()[-3:])
    assert f"{len(CHECKED)} of {2 * len(CHECKED)} checks failed" in verdict
    assert "PELLUCID_ISA=avx2" in verdict
    assert "All is well" not in text


def test_without_the_openmp_team_the_engine_has_one_thread(report: doctor.Report) -> None:
    assert re.search(r"threads +1 at most: torch has 128, but its OpenMP was not found", failing(report).text())


def test_json_says_the_same(report: doctor.Report) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    said = json.loads(report.json(), parse_constant=refuse)
    assert said["well"] is True
    assert said["instruction_set"]["used"] == report.instruction_set.used
    assert {p["path"] for p in said["paths"]} == set(said["why"])
    said = json.loads(failing(report).json(), parse_constant=refuse)
    assert said["well"] is False
    assert [(c["layer"], c["from_torch"] is None, c["well"]) for c in said["checks"]] == [
        (layer, layer == "GRU", layer == "LSTM") for layer in ("LSTM", "GRU") for _ in CHECKED
    ]


@pytest.mark.parametrize(
    ("given", "count", "why"),
    [
        ({"OMP_NUM_THREADS": "1"}, 1, "OMP_NUM_THREADS is 1"),
        ({"OMP_NUM_THREADS": "2,1"}, 2, "OMP_NUM_THREADS is 2,1"),
        ({"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"}, 4, "MKL_NUM_THREADS is 4"),
        (
            {"OMP_NUM_THREADS": "9"},
            4,
            "this process may use 6 of 8 processors, and torch takes 4; OMP_NUM_THREADS is 9",
        ),
        ({"OMP_NUM_THREADS": ""}, 6, "this process may use 6 of 8 processors, and torch takes 6"),
        ({}, 6, "this process may use 6 of 8 processors, and torch takes 6"),
    ],
)
def test_why_so_many_threads(given: dict[str, str], count: int, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert doctor._threads_why(count, 8, 6) == why


def test_the_team_is_looked_for_as_the_engine_does(monkeypatch: pytest.MonkeyPatch) -> None:
    source = (ROOT / "native" / "threads.cpp").read_text(encoding="utf-8")
    assert set(re.findall(r'look_up\([^"]*"(\w+)"\)', source)) == set(doctor.TEAM)
    monkeypatch.setattr(doctor, "TEAM", (*doctor.TEAM, "no_such_function"))
    assert not doctor.threads().team


def test_the_command_is_well_here() -> None:
    result = run("doctor", PELLUCID_ISA="", OMP_NUM_THREADS="1")
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("All is well.\n")
    assert re.search(r"threads +1 at most: .*OMP_NUM_THREADS is 1", result.stdout)
    assert re.search(r"instruction set +\w+: the best", result.stdout)


def test_the_command_says_that_the_instruction_set_was_asked_for() -> None:
    result = run("doctor", "--json", PELLUCID_ISA="baseline")
    assert result.returncode == 0, result.stderr
    isa = json.loads(result.stdout)["instruction_set"]
    assert isa["used"] == "baseline"
    assert isa["why"].startswith("PELLUCID_ISA says so")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_failed_check_is_exit_code_1(options: list[str]) -> None:
    code = (
        "import sys; from pellucid import cli, doctor; doctor._difference = lambda these, those: 1.0;"
        f"sys.argv = ['pellucid', 'doctor', *{options}]; cli.main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert result.stderr == ""
    count = 2 * len(CHECKED)
    assert ('"well": false' if options else f"{count} of {count} checks failed") in result.stdout

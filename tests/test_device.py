"""The promise: a device is the one that was asked for, or a sentence; and what a GPU needs to compute the same twice is put back."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch

from pellucid import device
from pellucid.errors import ArgumentError, DataError

CUDA = torch.device("cuda")


def gpus(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """As if this machine had these GPUs, and no others."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))

    def name(which: torch.device | int | None = None) -> str:
        return names[which if isinstance(which, int) else (which.index or 0) if which else 0]

    monkeypatch.setattr(torch.cuda, "get_device_name", name)


def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch)
    assert device.choose() == device.choose("auto") == device.CPU
    assert device.absent()
    gpus(monkeypatch, "Small", "Large")
    assert device.choose() == CUDA
    assert device.choose("cpu") == device.CPU
    assert device.choose("cuda:1") == torch.device("cuda", 1)
    assert device.absent() == ""


def test_a_gpu_is_found_again_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, "Small", "Large")
    assert [device.name(device.choose(d)) for d in ("cpu", "cuda", "cuda:1")] == ["cpu", "Small", "Large"]
    assert device.called("Large") == torch.device("cuda", 1)
    assert device.called("cpu") == device.CPU
    assert device.called("Other") is None
    gpus(monkeypatch)
    assert device.called("Large") is None


@pytest.mark.parametrize(
    ("there", "wanted", "sentence"),
    [
        ((), "cuda", r"^device is cuda, and (this torch is built without CUDA|torch finds no NVIDIA GPU here); leave"),
        (("One",), "cuda:1", r"^device is cuda:1, and this machine has one GPU, cuda:0; choose"),
        (("One", "Two"), "cuda:2", r"^device is cuda:2, and this machine has 2 GPUs, cuda:0 to cuda:1; choose"),
        (("One",), "gpu", r"^device is 'gpu'; choose auto, cpu, cuda, or"),
        (("One",), "cuda:-1", r"^device is 'cuda:-1'; choose"),
        (("One",), "", r"^device is ''; choose"),
    ],
)
def test_what_is_not_there_is_a_sentence(
    there: tuple[str, ...], wanted: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(monkeypatch, *there)
    with pytest.raises(ArgumentError, match=sentence):
        device.choose(wanted)


def test_what_is_there_already_is_not_copied() -> None:
    x = torch.arange(6).view(2, 3).T
    assert device.moved(x, device.CPU) is x
    assert device.moved(None, device.CPU) is None
    assert device.of(torch.nn.Linear(2, 3)) == device.of(torch.nn.ReLU()) == device.CPU


def flags() -> tuple[bool, bool, str, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.conv.fp32_precision,  # type: ignore[attr-defined]
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )


def test_a_gpu_computes_the_same_twice_and_afterwards_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flags are torch's and of the whole process, so they are put back, also after an error."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is put back, too
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    before = flags()

    def fail() -> None:
        assert flags() == (True, True, "ieee", False)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        raise KeyError

    with device.working(device.CPU):
        assert flags() == before
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    with pytest.raises(KeyError), device.working(CUDA):
        fail()
    assert flags() == before


def test_too_little_memory_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, "Small")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=8e9))
    with (
        pytest.raises(DataError, match=r"^the Small has 8 GB, and they are not enough for what was asked; ask for"),
        device.working(CUDA),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

"""The promise: what is read from a file is what was written to it, or it is called damaged."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pellucid.lab import sealed
from pellucid.lab.results import Record

TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "step": torch.tensor(3.0),  # as Adam counts
    "none": torch.empty(0, 4),
    "turned": torch.arange(6).reshape(2, 3).T,
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "mask": torch.tensor([True, False]),
}
ABOUT = {"history": [{"epoch": 1, "loss": float("nan")}], "items": ["영화 1", "b"]}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in one.items())


def flipped(file: Path) -> Iterator[int]:
    """The file with each of its bits changed, one at a time."""
    content = bytearray(file.read_bytes())
    for place in range(8 * len(content)):
        content[place // 8] ^= 1 << place % 8
        file.write_bytes(content)
        content[place // 8] ^= 1 << place % 8
        yield place


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    """Anything else reads the tensors, too."""
    sealed.save(tmp_path / "x.safetensors", TENSORS, ABOUT)
    tensors, about = sealed.load(tmp_path / "x.safetensors")
    assert same(tensors, TENSORS)
    assert str(about) == str(ABOUT)
    assert same(load_file(tmp_path / "x.safetensors"), TENSORS)
    assert [f.name for f in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_changed_bit_is_noticed(tmp_path: Path) -> None:
    """Each bit of a file, one at a time: it is called damaged, or nothing that is read has changed."""
    file = tmp_path / "x.safetensors"
    sealed.save(file, TENSORS, ABOUT)
    harmless = 0
    for place in flipped(file):
        try:
            tensors, about = sealed.load(file)
        except sealed.DamagedError:
            continue
        harmless += 1
        assert same(tensors, TENSORS), place
        about.pop("sha256", None)
        known = {k: v for k, v in about.items() if k in ABOUT}
        assert not about or str(known) == str(ABOUT), place
    assert harmless < 0.02 * (place + 1)


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_cut_file_is_damaged(cut: int, tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    sealed.save(file, TENSORS, ABOUT)
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(sealed.DamagedError):
        sealed.load(file)


def test_numbers_that_were_exchanged_are_noticed(tmp_path: Path) -> None:
    file, generator = tmp_path / "x.safetensors", random.Random(0)
    sealed.save(file, {"a": torch.randn(50)}, {})
    content = bytearray(file.read_bytes())
    one, other = generator.sample(range(len(content) - 200, len(content), 4), 2)
    content[one : one + 4], content[other : other + 4] = content[other : other + 4], content[one : one + 4]
    file.write_bytes(content)
    with pytest.raises(sealed.DamagedError, match="not what was written"):
        sealed.load(file)


def test_files_of_before_there_was_a_seal(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "old.safetensors")
    assert sealed.load(tmp_path / "old.safetensors")[1] == {}


class _Noted(Record):
    name: str
    figures: tuple[float, ...]


NOTED = _Noted(name="영화", figures=(0.1, float("inf"), 1e-300, 3.0))


def test_a_record_is_what_was_written(tmp_path: Path) -> None:
    """Anything else reads the JSON, too; however it is laid out, and without a seal, as older ones are."""
    file = tmp_path / "x.json"
    sealed.save_record(file, NOTED)
    assert sealed.load_record(file, _Noted) == NOTED
    content = json.loads(file.read_text(encoding="utf-8"))
    assert list(content) == ["sha256", "name", "figures"]
    file.write_text(json.dumps(content, indent=7), encoding="utf-8")
    assert sealed.load_record(file, _Noted) == NOTED
    del content["sha256"]
    file.write_text(json.dumps(content), encoding="utf-8")
    assert sealed.load_record(file, _Noted) == NOTED


def test_a_changed_bit_of_a_record_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    sealed.save_record(file, NOTED)
    noticed = 0
    for place in flipped(file):
        try:
            assert sealed.load_record(file, _Noted) == NOTED, place
        except sealed.DamagedError:
            noticed += 1
    assert noticed > 0.9 * (place + 1)  # the others turn a space into a tab, or 1e-300 into 1E-300


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"sha256": 3}'])
def test_what_is_no_record_is_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(sealed.DamagedError):
        sealed.load_record(tmp_path / "x.json", _Noted)

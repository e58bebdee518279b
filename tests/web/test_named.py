"""The promise: a model of one's own is opened by its file's name with a batch from files that cannot run code."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from pellucid.errors import ArgumentError, DataError
from pellucid.web.named import batch_of, of_named
from pellucid.web.questions import ask

FILE = """
import torch
from pellucid import nn

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
    def forward(self, x):
        return self.conv(x).mean((2, 3))

def lstm():
    return nn.LSTM(3, 4, batch_first=True)

made = Net()
number = 3

def needs(size):
    return Net()

class Words(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(10, 4)
        self.gru = nn.GRU(4, 5, batch_first=True)
    def forward(self, tokens, lengths=None):
        return self.gru(self.embedding(tokens), lengths=lengths)[0][:, -1]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("name", ["Net", "made"])
def test_a_class_and_an_object(file: Path, name: str, tmp_path: Path) -> None:
    """Its weights from safetensors decide its output."""
    torch.manual_seed(0)
    weights = {"conv.weight": torch.randn(2, 1, 3, 3), "conv.bias": torch.randn(2)}
    save_file(weights, tmp_path / "w.safetensors")
    images = torch.rand(3, 1, 6, 6)
    save_file({"anything": images}, tmp_path / "x.safetensors")
    opened = of_named(f"{file}:{name}", tmp_path / "x.safetensors", tmp_path / "w.safetensors")
    assert (opened.title, opened.form, len(opened.items)) == (name, "image", 3)
    wanted = torch.conv2d(images[1:2], weights["conv.weight"], weights["conv.bias"]).mean((2, 3))[0]
    told = ask(opened, "answer", {"network": name, "item": 1})
    assert told["shape"] == [1, 2]
    assert {int(one["name"]): one["value"] for one in told["largest"]} == pytest.approx(
        dict(enumerate(wanted.tolist()))
    )


def test_a_function_that_makes_one_and_a_bare_layer(file: Path, tmp_path: Path) -> None:
    """A layer that returns its states, too, is answered by its output."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(2, 7, 3)))
    opened = of_named(f"{file}:lstm", tmp_path / "x.npy")
    assert (opened.form, tuple(opened.items[0].x.shape)) == ("sequence", (7, 3))
    assert ask(opened, "answer", {"network": "lstm", "item": 0})["shape"] == [1, 7, 4]


def test_tokens_with_lengths(file: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.array([[1, 2, 3], [4, 5, 0]]), lengths=np.array([3, 2]))
    opened = of_named(f"{file}:Words", tmp_path / "x.npz")
    assert opened.form == "tokens"
    assert ask(opened, "input", {"item": 0})["tokens"] == ["1", "2", "3"]
    assert ask(opened, "layers", {"network": "Words", "item": 1})["layers"]


def test_pictures_are_between_0_and_1(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert torch.equal(batch_of(tmp_path / "a.png")[0], torch.from_numpy(grey)[None, None] / 255)
    Image.fromarray(np.stack([grey, grey.T, grey], 2)).save(tmp_path / "b.png")
    assert batch_of(tmp_path / "b.png")[0].shape == (1, 3, 8, 8)
    np.save(tmp_path / "c.npy", np.stack([grey, grey]))
    assert torch.equal(batch_of(tmp_path / "c.npy")[0][1, 0], torch.from_numpy(grey) / 255)
    np.save(tmp_path / "d.npy", np.stack([grey, grey.T, grey], 2)[None])
    assert torch.equal(batch_of(tmp_path / "d.npy")[0], batch_of(tmp_path / "b.png")[0])


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("none.py:Net", "there is no such file; give a model as my_model.py:MyModel"),
        ("FILE:Other", "'Other' is no torch.nn.Module and makes none; the file has Net, made, Words"),
        ("FILE:number", "'number' is no torch.nn.Module"),
        (
            "FILE:needs",
            r"needs\(\) failed with TypeError: .*; a class or function that makes a model takes no arguments",
        ),
    ],
)
def test_what_is_no_model(file: Path, wanted: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        of_named(wanted.replace("FILE", str(file)), None)


def test_what_is_no_batch(file: Path, tmp_path: Path) -> None:
    net = f"{file}:Net"
    with pytest.raises(ArgumentError, match="give a batch after it"):
        of_named(net, None)
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(DataError, match="the file holds a, b; call the batch 'x'"):
        of_named(net, tmp_path / "two.npz")
    np.save(tmp_path / "small.npy", np.zeros((1, 1, 2, 2), np.float32))
    with pytest.raises(ArgumentError, match=r"Net cannot be called with a batch of \(1, 1, 2, 2\)"):
        of_named(net, tmp_path / "small.npy")
    for name, content in (("a.npy", b""), ("a.npz", b"PK"), ("a.safetensors", b"\0" * 20), ("a.png", b"x")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            of_named(net, tmp_path / name)
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(DataError, match=r"no batch is read from \.csv files"):
        of_named(net, tmp_path / "a.csv")
    with pytest.raises(DataError, match="there is no such file"):
        of_named(net, tmp_path / "none.npz")


class Runs:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.pkl", "a.ckpt", "a.npy", "a.npz", "a.bin"])
def test_pickles_are_refused_and_not_run(file: Path, tmp_path: Path, name: str) -> None:
    """As batch and as weights, also inside an array's file."""
    mark, path = tmp_path / "ran", tmp_path / name
    if name.startswith("a.np"):
        array = np.array([Runs(mark)], dtype=object)
        held = io.BytesIO()
        (np.save if name == "a.npy" else np.savez)(held, array, allow_pickle=True)
        path.write_bytes(held.getvalue())
    else:
        path.write_bytes(pickle.dumps(Runs(mark)))
    with pytest.raises(DataError, match="a pickle can run code"):
        batch_of(path)
    if not name.startswith("a.np"):
        with pytest.raises(DataError, match="a pickle can run code"):
            of_named(f"{file}:Net", path, path)
    assert not mark.exists()


def test_weights_of_another_model(file: Path, tmp_path: Path) -> None:
    save_file({"other": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match="these are not the weights of the model: Missing key"):
        of_named(f"{file}:Net", None, tmp_path / "w.safetensors")

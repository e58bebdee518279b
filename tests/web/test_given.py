"""The promise: a file from anywhere becomes an item, prepared as for prediction, or a sentence that names it; quickly."""

from __future__ import annotations

import io
import struct
import time
import wave
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.lab import finished

from pellucid.errors import DataError, PellucidError
from pellucid.lab import recipe
from pellucid.lab.data import images, unlabelled_pictures
from pellucid.lab.predict import predict
from pellucid.lab.runs import Run
from pellucid.web.opened import Opened, Taking, plain
from pellucid.web.questions import ask
from pellucid.web.run import of_run


def takes(kind: str) -> Taking:
    found = of_run(finished.run(kind).folder).takes
    assert found is not None
    return found


def png(width: int, height: int, content: bytes) -> bytes:
    """With a head of one's own."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")


def picture(size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size, size), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def sound(samples: int = 4000, rate: int = 8000) -> bytearray:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(rate)
        written.writeframes(np.random.default_rng(0).integers(-3000, 3000, samples, dtype=np.int16).tobytes())
    return bytearray(file.getvalue())


def claiming(place: int, kind: str, number: int) -> bytes:
    """A recording whose head says something else."""
    data = sound()
    data[place : place + struct.calcsize(kind)] = struct.pack(kind, number)
    return bytes(data)


GOOD = {
    "images": ("a.png", picture()),
    "sound": ("a.wav", bytes(sound())),
    "text": ("a.txt", "정말 좋아요 movie".encode()),
    "characters": ("a.txt", b"gate state convolution"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_file_becomes_an_item(kind: str) -> None:
    name, content = GOOD[kind]
    (item,) = takes(kind).read(name, content)
    assert item.name.startswith("a")
    assert "/" not in item.name
    assert item.truth is None or kind == "characters"


def test_a_picture_is_prepared_as_for_prediction(tmp_path: Path) -> None:
    """Of another size, in colours that are grey; a drawing of 256 pixels, too."""
    run = finished.run("images")
    file = tmp_path / "drawn.png"
    Image.open(io.BytesIO(picture(256))).convert("RGBA").save(file)
    (item,) = takes("images").read("drawn.png", file.read_bytes())
    wanted = images.prepare(unlabelled_pictures.find(file), recipe.read(Run(run.folder)).preprocessing)
    assert torch.equal(item.x, wanted.x[0])
    opened = of_run(run.folder, file)
    told = ask(opened, "answer", {"network": "cnn", "item": 0})
    row = predict(run.folder, file, network="cnn", seed=1).rows[0]
    assert told["best"][0]["name"] == row[1]
    assert told["best"][0]["probability"] == pytest.approx(max(float(v) for v in row[2:]), rel=1e-6)


def test_a_table_gives_several(tmp_path: Path) -> None:
    """Typed text and a table's row are the same item; a table has one for each row, 64 at most."""
    run = finished.run("text")
    rows = ["review,other", *(f"정말 good {k},1" for k in range(70))]
    items = takes("text").read("new.csv", "\n".join(rows).encode())
    assert len(items) == 64
    assert items[0].name == "row 1: 정말 good 0"
    (typed,) = takes("text").read("typed.txt", "정말 good 0".encode())
    assert torch.equal(typed.x, items[0].x)
    assert typed.tokens == items[0].tokens
    newest = of_run(finished.run("series").folder).takes
    assert newest is not None
    (window,) = newest.read("to-date.csv", finished.run("series").source.read_bytes())
    assert window.name == "to-date.csv"
    assert run.folder.is_dir()


@pytest.mark.parametrize(
    ("kind", "name", "content", "words"),
    [
        ("images", "a.png", b"", "a.png: the file is empty"),
        ("images", "a.png", picture()[:60], "a.png: the image cannot be read"),
        ("images", "a.png", png(8, 8, b""), "a.png: the image cannot be read"),
        ("images", "a.png", png(60_000, 60_000, b"\0"), "a.png: the image cannot be read"),
        ("images", "a.png", png(9_000, 9_000, bytes(9_000 * 9_001)), "up to 50 million are read"),
        ("images", "a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "give one in PNG, JPEG"),
        ("images", "a.npz", b"PK", "a.npz: this run's networks read .bmp"),
        ("images", "a.png.exe", picture(), "a.png.exe: this run's networks read"),
        ("images", "../../etc/a.png", b"nothing", "^a.png: the image cannot be read"),
        ("images", "C:\\x\\a.png", b"nothing", "^a.png: the image cannot be read"),
        ("images", "..", picture(), "^given: this run's networks read"),
        ("sound", "a.wav", bytes(sound(0)), "the recording is empty"),
        ("sound", "a.wav", bytes(sound())[:500], "it is cut short"),
        ("sound", "a.wav", claiming(40, "<I", 2**30), "its head says 1,073,741,824 bytes of sound"),
        ("sound", "a.wav", claiming(22, "<H", 0), "cannot be read"),
        ("sound", "a.wav", claiming(24, "<I", 1), "the sampling rate is 1 Hz"),
        ("sound", "a.wav", bytes(sound(1_000_000, 1000)), "up to 120 s in two channels are read"),
        ("text", "a.txt", b"\xff\xfea\0", "the text is UTF-16"),
        ("text", "a.txt", b"abc\xc3\x28", "byte 3 is not UTF-8"),
        ("text", "a.txt", b" \n ", "the text is empty"),
        ("text", "a.csv", b"other\nx\n", "there is no column 'review'"),
        ("characters", "typed.txt", b"a\0b", "byte 1 is NUL"),
        ("series", "a.csv", b"," * 5000 + b"\n", "the table has 5,001 columns"),
        ("series", "a.csv", b"time,load,other\n2024-01-01,1,2\n", "a forecast needs the last"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(kind: str, name: str, content: bytes, words: str) -> None:
    """It names the file as the person has it, and no place of this machine."""
    read = takes(kind).read
    started = time.perf_counter()
    with pytest.raises(DataError, match=words) as raised:
        read(name, content)
    assert "pellucid-" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("kind", GOOD)
def test_damaged_files_are_refused_or_read(kind: str) -> None:
    """Bytes changed, lost and added: an item whose numbers are finite, or an error of ours."""
    name, content = GOOD[kind]
    generator = np.random.default_rng(0)
    read = takes(kind).read
    for _ in range(60):
        data = bytearray(content)
        for _ in range(generator.integers(1, 6)):
            place = int(generator.integers(len(data)))
            if generator.random() < 0.6:
                data[place] = int(generator.integers(256))
            elif generator.random() < 0.5:
                del data[place : place + int(generator.integers(1, 40))]
            else:
                data[place:place] = generator.bytes(8)
            if not data:
                break
        try:
            items = read(name, bytes(data))
        except PellucidError:
            continue
        assert all(item.x.isfinite().all() for item in items)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("", "given"), ("...", "given"), ("\0\n", "given"), ("a/b\\c.png", "c.png"), ("한국어.png", "한국어.png"), (".png", "png")],
)  # fmt: skip
def test_names_are_made_plain(name: str, kept: str) -> None:
    assert plain(name) == kept
    long = plain("é" * 300 + ".png")
    assert len(long.encode()) <= 255
    assert long.endswith(".png")


def test_the_page_is_told_what_it_may_give() -> None:
    """A board has the pictures' size and their ground's brightness; text may be typed where the run is of text."""

    def told(kind: str) -> object:
        opened: Opened = of_run(finished.run(kind).folder)
        return ask(opened, "overview", {})["takes"]

    assert told("images")["board"] == {"height": 8, "width": 8, "ground": 0}  # type: ignore[index]
    assert told("images")["text"] is False  # type: ignore[index]
    assert told("text")["text"] is True  # type: ignore[index]
    assert told("sound")["board"] is None  # type: ignore[index]

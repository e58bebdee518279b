"""The promise: a recording is judged by what it holds, whatever it is batched with; a damaged one is one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tests.lab import tasks

from pellucid.errors import DataError
from pellucid.lab import data
from pellucid.lab.candidates import SpectrogramConvolutions, blueprint


@pytest.mark.parametrize("name", ["cnn", "gru"])
def test_a_recordings_answer_does_not_depend_on_its_batch(tmp_path: Path, name: str) -> None:
    task = data.load(tasks.write_sounds(tmp_path / "tones"))
    torch.manual_seed(0)
    model = blueprint(name).build(task, 6).eval()
    assert isinstance(model.body, SpectrogramConvolutions) is (name == "cnn")
    lengths = task.train.lengths
    assert lengths is not None
    assert len({int(length) % 8 for length in lengths}) > 3
    noise = task.train.x.clone()
    for row, length in zip(noise, lengths.tolist(), strict=True):
        row[length:] = 9.0
    with torch.no_grad():
        together = model(noise, lengths)
        for k, length in enumerate(lengths.tolist()):
            alone = model(task.train.x[k : k + 1, :length], lengths[k : k + 1])
            torch.testing.assert_close(together[k : k + 1], alone, atol=1e-5, rtol=1e-5)


def test_the_nearest_centroid_tells_tones_apart(tmp_path: Path) -> None:
    task = data.load(tasks.write_sounds(tmp_path / "tones"))
    assert task.baseline.name == "nearest centroid"
    assert task.baseline.scores.mean() == 100


def test_other_formats_and_rates_are_the_same_sound(tmp_path: Path) -> None:
    folder = tasks.write_sounds(tmp_path / "tones")
    plain = data.load(folder)
    wave, _ = soundfile.read(folder / "low" / "3.wav")
    soundfile.write(folder / "low" / "3.flac", wave, 8000)
    (folder / "low" / "3.wav").unlink()
    assert torch.allclose(data.load(folder).train.x, plain.train.x, atol=1e-2)
    soundfile.write(folder / "low" / "3.aiff", wave, 8000)
    (folder / "low" / "3.flac").unlink()
    assert torch.allclose(data.load(folder).train.x, plain.train.x, atol=1e-2)
    (folder / "low" / "3.aiff").unlink()
    soundfile.write(folder / "low" / "2.mp3", wave, 8000)
    (folder / "low" / "2.wav").unlink()
    assert data.load(folder).extent[0] >= 16
    fine = np.sin(2 * np.pi * 300 * np.arange(5200) / 16000)
    soundfile.write(folder / "low" / "3.flac", np.stack([fine, fine], 1), 16000)
    assert "1 of them resampled" in dict(data.load(folder).facts)["Recordings"]


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


def _flac_cut(file: Path) -> None:
    wave, rate = soundfile.read(file)
    file.unlink()
    other = file.with_suffix(".flac")
    soundfile.write(other, wave, rate)
    other.write_bytes(other.read_bytes()[: other.stat().st_size // 2])


def _other_codec(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[20:22] = b"\x61\x01"  # the format's number: Windows Media Audio
    file.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "0.wav: the recording cannot be read .it is cut short: its head says"),
        (_flac_cut, "0.flac: the recording cannot be read"),
        (_other_codec, "0.wav: the recording cannot be read"),
        (lambda f: soundfile.write(f, np.zeros(0), 8000), "0.wav: the recording is empty"),
        (lambda f: soundfile.write(f, np.zeros(100), 500), "the sampling rate is 500 Hz"),
        (lambda f: f.write_bytes(b""), "0.wav: the recording cannot be read"),
        (lambda f: f.rename(f.with_suffix(".m4a")), "0.m4a: no sound file that can be read .known are"),
    ],
)
def test_damaged_recordings_are_sentences(tmp_path: Path, damage: object, words: str) -> None:
    folder = tasks.write_sounds(tmp_path / "x")
    damage(folder / "low" / "0.wav")  # type: ignore[operator]
    with pytest.raises(DataError, match=words):
        data.load(folder)

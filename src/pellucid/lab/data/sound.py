"""A folder of recordings, one subfolder a class: sequences of log-mel frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import DataError
from pellucid.lab.counted import some
from pellucid.lab.data.classes import Answers, always_the_most_frequent, judgement, strongest
from pellucid.lab.data.folders import Progress, class_folders, lying_beside, sides
from pellucid.lab.data.inputs import Inputs, files_at, understood
from pellucid.lab.data.paging import HELD, Array, allowed, paged, room, step_moments
from pellucid.lab.data.ragged import Ragged
from pellucid.lab.data.split import Indices, digest, shown
from pellucid.lab.task import Split, Task

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff"})
MELS = 40
SLOWEST = 1000  # Hz: frames of 25 ms then hold 25 samples
WINDOW, HOP = 0.025, 0.010  # seconds


def load(source: Path, *, seed: int = 0, memory: float = HELD, progress: Progress | None = None) -> Task:
    """Read, mix to one channel, resample to the commonest rate, and turn into log-mel frames, one every 10 ms.

    Recordings longer than the 99th percentile are cut there. One recording at a time is in memory as it was read.

    Args:
        source: folder with one subfolder a class.
        seed: of the split.
        memory: GB of frames to hold in memory; more lies in a file that the operating system pages.
        progress: called with (done, total, "recordings").

    Raises:
        ArgumentError: a memory that cannot be.
        DataError: a recording cannot be read or is empty; see also :func:`class_folders`.
    """
    classes, files, labels, given = class_folders(source, SUFFIXES, "sound")
    rates = [_rate(file) for file in files]
    rate = Counter(rates).most_common(1)[0][0]
    resampled = sum(r != rate for r in rates)
    held = allowed(memory)
    frames = _frames(files, rates, rate, held, progress)
    counts = frames.sizes // (4 * MELS)
    longest = int(np.ceil(np.quantile(counts, 0.99)))
    contents = [digest(_of(frames, k)[:longest].tobytes()) for k in range(len(files))]  # equal up to the cut is equal
    indices, cautions, how = sides(source, classes, labels, contents, given, seed)
    cut = int((counts > longest).sum())
    mean, spread = step_moments(lambda: (_of(frames, k)[:longest] for k in indices[0]))
    y = torch.tensor(labels)
    names = [shown(file.relative_to(source)) for file in files]
    padded = [_padded(frames, i, longest, mean, spread, held * len(i) / len(files)) for i in indices]
    splits = [Split(x, y[i], own, [names[k] for k in i]) for i, (x, own) in zip(indices, padded, strict=True)]
    cautions += lying_beside(source, SUFFIXES, "sound")
    cautions.append("If one person or machine made several recordings, they may lie on both sides of the split.")
    judged = judgement(splits[0].y, splits[2].y, classes)
    simple = always_the_most_frequent(splits[0].y, len(splits[1]), len(splits[2]), classes)
    averages = [_averages(split) for split in splits]
    nearest = _nearest_centroid(averages, splits[0].y.numpy(), len(classes))
    return Task(
        kind="sound",
        form="sequence",
        goal="class",
        source=source,
        title=f"{len(files):,} recordings of {len(classes)} classes",
        fingerprint=digest(*contents, *names, f"sound {seed}"),
        channels=MELS,
        extent=(longest,),
        outputs=len(classes),
        labels=tuple(classes),
        horizon=0,
        scale=(tuple(mean.tolist()), tuple(spread.tolist())),
        step="10 ms",
        metric=judged.metric,
        baseline=strongest([simple, nearest], splits[1].y, splits[2].y, judged.metric),
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        facts=(
            (
                "Recordings",
                f"{len(files):,} at {rate:,} Hz" + (f", {resampled:,} of them resampled" if resampled else ""),
            ),
            ("Frames", f"{MELS} log-mel bands each 10 ms; at most {longest} ({cut:,} recordings are cut)"),
            ("Classes", str(len(classes))),
            ("Split", how),
            ("Scaling", "mean and deviation of the training part, per band"),
            *judged.facts,
            *paged(4 * MELS * longest * len(files), held, "log-mel frames"),
        ),
        cautions=(*cautions, *judged.cautions),
        preprocessing={
            "kind": "sound",
            "rate": rate,
            "longest": longest,
            "mean": mean.tolist(),
            "deviation": spread.tolist(),
            "classes": classes,
        },
        figures=judged.figures,
        class_weights=judged.weights,
    )


def prepare(source: Path, how: Mapping[str, Any]) -> Inputs:
    """Recordings as the networks saw those of training: (N, T, MELS) and their lengths.

    Args:
        source: a recording, or a folder of them.
        how: the task's preprocessing.

    Raises:
        DataError: there is none, or one cannot be read or is empty.
    """
    understood(how, "rate", "longest", "mean", "deviation", "classes")
    files, passed_over = files_at(source, SUFFIXES, "sound")
    rate, longest = how["rate"], how["longest"]
    rates = [_rate(file) for file in files]
    held = allowed(HELD)
    frames = _frames(files, rates, rate, held)
    every = np.arange(len(files))
    x, lengths = _padded(frames, every, longest, np.array(how["mean"], np.float32), np.array(how["deviation"]), held)
    resampled, cut = sum(r != rate for r in rates), int((frames.sizes // (4 * MELS) > longest).sum())
    notes = list(passed_over)
    notes += [f"{some(resampled, len(files), 'recording')} resampled to {rate:,} Hz."] if resampled else []
    notes += [f"{cut:,} of {len(files):,} recordings were cut at {longest * HOP:.2f} s."] if cut else []
    return Inputs(x, lengths, [shown(file) for file in files], notes=tuple(notes))


def _frames(
    files: Sequence[Path], rates: Sequence[int], rate: int, held: float, progress: Progress | None = None
) -> Ragged:
    """The log-mel frames of recordings, brought to one rate from their own ones; see :func:`_of`."""
    filters = mel_filters(rate, _fft_size(rate))
    frames = Ragged(held)
    for index, (file, own) in enumerate(zip(files, rates, strict=True)):
        wave = _read(file)
        frames.append(log_mel(wave if own == rate else soxr.resample(wave, own, rate), rate, filters).tobytes())
        if progress:
            progress(index + 1, len(files), "recordings")
    return frames


def _of(frames: Ragged, recording: int) -> Array:
    """The frames of one recording: (T, MELS)."""
    return np.frombuffer(frames[recording], np.float32).reshape(-1, MELS)


def _padded(
    frames: Ragged, rows: Indices, longest: int, mean: Array, spread: NDArray[np.float64], held: float
) -> tuple[Tensor, Tensor]:
    """Scaled frames of some recordings, (N, longest, MELS), zero where one has ended, and how many each has."""
    x = room((len(rows), longest, MELS), held)
    lengths = torch.zeros(len(rows), dtype=torch.int64)
    for k, row in enumerate(rows):
        own = _of(frames, int(row))[:longest]
        x[k, : len(own)], x[k, len(own) :] = (own - mean) / spread, 0
        lengths[k] = len(own)
    return torch.from_numpy(x), lengths


def _averages(split: Split) -> Array:
    """The mean frame of each recording: (N, MELS)."""
    assert split.lengths is not None
    return np.stack([x[:length].numpy().mean(0) for x, length in zip(split.x, split.lengths.tolist(), strict=True)])


def _nearest_centroid(averages: list[NDArray[np.float32]], labels: NDArray[np.int64], classes: int) -> Answers:
    """The class whose mean over recordings of the mean frame lies nearest; logits are negative squared distances."""
    train, *others = averages
    centroids = np.stack([train[labels == k].mean(0) for k in range(classes)])
    logits = [-torch.cdist(torch.from_numpy(part), torch.from_numpy(centroids)).square() for part in others]
    sentence = "The class to whose mean spectrum the recording's mean spectrum is nearest (log-mel bands)."
    return Answers("nearest centroid", sentence, *logits)


def _rate(file: Path) -> int:
    """The sampling rate, from the file's head alone; a recording that is cut short is refused here."""
    try:
        _check_whole(file)
        about = soundfile.info(file)
    except (soundfile.SoundFileError, OSError) as error:
        raise _unreadable(file, str(error)) from None
    if about.frames == 0:
        raise DataError(f"{shown(file)}: the recording is empty; replace or remove the file")
    if about.samplerate < SLOWEST:
        raise DataError(
            f"{shown(file)}: the sampling rate is {about.samplerate} Hz, and at least {SLOWEST} Hz is needed; is its head right?"
        )
    return int(about.samplerate)


def _check_whole(file: Path) -> None:
    """Refuse a WAV file that ends before its data does, which libsndfile reads as if it were whole.

    The chunk ``data`` says its own size (RIFF, Microsoft and IBM 1991); writers that stream leave 0 or the largest number.
    """
    with file.open("rb") as handle:
        riff = handle.read(12)
        if (riff[:4], riff[8:]) != (b"RIFF", b"WAVE"):
            return
        while len(chunk := handle.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                there = file.stat().st_size - handle.tell()
                if there < size < 0x7FFF_0000:
                    raise _unreadable(
                        file, f"it is cut short: its head says {size:,} bytes of sound, and {there:,} are there"
                    )
                return
            handle.seek(size + size % 2, 1)


def _read(file: Path) -> NDArray[np.float32]:
    """The recording, mixed to one channel."""
    try:
        wave, _ = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise _unreadable(file, str(error)) from None
    if len(wave) == 0:
        raise DataError(f"{shown(file)}: the recording is empty; replace or remove the file")
    if not np.isfinite(wave).all():
        raise DataError(f"{shown(file)}: the recording holds samples that are no numbers; replace or remove the file")
    return np.asarray(wave.mean(1))


def _unreadable(file: Path, reason: str) -> DataError:
    return DataError(f"{shown(file)}: the recording cannot be read ({reason.rstrip('.')}); replace or remove the file")


def _fft_size(rate: int) -> int:
    return 1 << (round(WINDOW * rate) - 1).bit_length()


def mel_filters(rate: int, size: int) -> NDArray[np.float64]:
    """Triangles evenly spaced in mel = 2595 log10(1 + f / 700) (O'Shaughnessy 1987): (MELS, size // 2 + 1)."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    frequency = np.fft.rfftfreq(size, 1 / rate)
    rising = (frequency - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequency) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling))


def log_mel(wave: NDArray[np.float32], rate: int, filters: NDArray[np.float64]) -> NDArray[np.float32]:
    """Frames (T, MELS) of the logarithm of a mel band's power, Hann window of 25 ms, one frame each 10 ms."""
    length, hop, size = round(WINDOW * rate), round(HOP * rate), _fft_size(rate)
    padded = np.pad(wave, (0, max(0, length - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(length), size)) ** 2
    return np.log(power @ filters.T + 1e-6).astype(np.float32)

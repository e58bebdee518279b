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

from pellucid.errors import DataError
from pellucid.lab.data.folders import Progress, class_folders, majority, sides
from pellucid.lab.data.inputs import Inputs, understood
from pellucid.lab.data.metrics import accuracy
from pellucid.lab.data.split import deviation, digest, imbalance, shown
from pellucid.lab.task import Split, Task

SUFFIXES = frozenset({".wav", ".flac", ".ogg"})
MELS = 40
SLOWEST = 1000  # Hz: frames of 25 ms then hold 25 samples
WINDOW, HOP = 0.025, 0.010  # seconds


def load(source: Path, *, seed: int = 0, progress: Progress | None = None) -> Task:
    """Read, mix to one channel, resample to the commonest rate, and turn into log-mel frames, one each 10 ms.

    Recordings longer than the 99th percentile are cut there.

    Raises:
        DataError: a recording cannot be read or is empty; see also :func:`class_folders`.
    """
    classes, files, labels, given = class_folders(source, SUFFIXES, "sound")
    sounds = []
    for index, file in enumerate(files):
        sounds.append(_read(file))
        if progress:
            progress(index + 1, len(files), "recordings")
    rate = Counter(r for _, r in sounds).most_common(1)[0][0]
    resampled = sum(r != rate for _, r in sounds)
    frames = _frames(sounds, rate)
    longest = int(np.ceil(np.quantile([len(f) for f in frames], 0.99)))
    contents = [digest(f[:longest].tobytes()) for f in frames]  # equal to a network is equal up to the cut
    indices, cautions, how = sides(source, classes, labels, contents, given, seed)
    if warning := imbalance(labels, classes):
        cautions.append(warning)
    cut = sum(len(f) > longest for f in frames)
    train = np.concatenate([frames[i][:longest] for i in indices[0]])
    mean, spread = train.mean(0), deviation(train, 0)
    x, lengths = _padded(frames, longest, mean, spread)
    y = np.array(labels, dtype=np.int64)
    names = [shown(file.relative_to(source)) for file in files]
    splits = [
        Split(torch.from_numpy(x[i]), torch.from_numpy(y[i]), torch.from_numpy(lengths[i]), [names[k] for k in i])
        for i in indices
    ]
    cautions.append("If one person or machine made several recordings, they may lie on both sides of the split.")
    metric = accuracy()
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
        metric=metric,
        baseline=majority(splits[0].y, splits[2].y, classes, metric),
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
        ),
        cautions=tuple(cautions),
        preprocessing={
            "kind": "sound",
            "rate": rate,
            "longest": longest,
            "mean": mean.tolist(),
            "deviation": spread.tolist(),
            "classes": classes,
        },
    )


def prepare(files: Sequence[Path], how: Mapping[str, Any]) -> Inputs:
    """Recordings as the networks saw those of training: (N, T, MELS) and their lengths.

    Args:
        files: the recordings.
        how: the task's preprocessing.

    Raises:
        DataError: a recording cannot be read or is empty.
    """
    understood(how, "rate", "longest", "mean", "deviation", "classes")
    rate, longest = how["rate"], how["longest"]
    sounds = [_read(file) for file in files]
    frames = _frames(sounds, rate)
    x, lengths = _padded(frames, longest, np.array(how["mean"], np.float32), np.array(how["deviation"]))
    resampled, cut = sum(r != rate for _, r in sounds), sum(len(f) > longest for f in frames)
    notes = [f"{resampled} of {len(files)} recordings were resampled to {rate:,} Hz."] if resampled else []
    notes += [f"{cut} of {len(files)} recordings were cut at {longest * HOP:.2f} s."] if cut else []
    return Inputs(torch.from_numpy(x), torch.from_numpy(lengths), [shown(file) for file in files], notes=tuple(notes))


def _frames(sounds: Sequence[tuple[NDArray[np.float32], int]], rate: int) -> list[NDArray[np.float32]]:
    filters = mel_filters(rate, _fft_size(rate))
    return [log_mel(wave if r == rate else soxr.resample(wave, r, rate), rate, filters) for wave, r in sounds]


def _padded(
    frames: Sequence[NDArray[np.float32]], longest: int, mean: NDArray[np.float32], spread: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scaled frames, (N, longest, MELS), zero where a recording has ended, and how many each has."""
    x = np.zeros((len(frames), longest, MELS), dtype=np.float32)
    lengths = np.array([min(len(f), longest) for f in frames], dtype=np.int64)
    for i, f in enumerate(frames):
        x[i, : lengths[i]] = (f[:longest] - mean) / spread
    return x, lengths


def _read(file: Path) -> tuple[NDArray[np.float32], int]:
    try:
        wave, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise DataError(f"{file}: the recording cannot be read ({error}); replace or remove the file") from None
    if len(wave) == 0:
        raise DataError(f"{file}: the recording is empty; replace or remove the file")
    if not np.isfinite(wave).all():
        raise DataError(f"{file}: the recording holds samples that are no numbers; replace or remove the file")
    if rate < SLOWEST:
        raise DataError(
            f"{file}: the sampling rate is {rate} Hz, and at least {SLOWEST} Hz is needed; is its head right?"
        )
    return wave.mean(1), int(rate)


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

"""Small data for the lab's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_images(folder: Path, per_class: int = 12, size: int = 8) -> Path:
    """Two classes that differ in where the light is, with noise."""
    generator = np.random.default_rng(0)
    for label, name in enumerate(("left", "right")):
        (folder / name).mkdir(parents=True)
        for k in range(per_class):
            array = generator.integers(0, 120, (size, size), dtype=np.uint8)
            half = slice(0, size // 2) if label == 0 else slice(size // 2, size)
            array[:, half] += 120
            Image.fromarray(array).save(folder / name / f"{k:02d}.png")
    return folder


def write_series(file: Path, rows: int = 400, season: int = 12) -> Path:
    """A sine with noise and a trend, hourly."""
    generator = np.random.default_rng(0)
    t = np.arange(rows)
    values = 5 * np.sin(2 * np.pi * t / season) + 0.01 * t + generator.normal(0, 0.3, rows)
    times = np.datetime64("2024-01-01T00:00:00") + t * np.timedelta64(1, "h")
    rows_of_text = (f"{a},{b:.4f},{c:.4f}" for a, b, c in zip(times, values, np.cos(t), strict=True))
    lines = ["time,load,other", *rows_of_text]
    file.write_text("\n".join(lines) + "\n")
    return file


def write_texts(file: Path, rows: int = 120) -> Path:
    """Texts in two scripts, told apart by a word."""
    generator = np.random.default_rng(0)
    fill = ["영화", "movie", "정말", "quite", "the", "그"]
    lines = ["review,stars"]
    for k in range(rows):
        words = [*generator.choice(fill, 6), "좋아요 good" if k % 2 else "별로 bad"]
        lines.append(f"{' '.join(generator.permutation(words))} {k},{'up' if k % 2 else 'down'}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def write_text(file: Path, characters: int = 6000) -> Path:
    """A text of a few words in random order."""
    generator = np.random.default_rng(0)
    words = ["convolution", "pooling", "gate", "state", "step", "unit"]
    file.write_text(" ".join(generator.choice(words, characters // 5))[:characters], encoding="utf-8")
    return file


def write_sounds(folder: Path, per_class: int = 8) -> Path:
    """Two tones of unequal length, with noise."""
    import soundfile

    generator = np.random.default_rng(0)
    for name, pitch in (("low", 300), ("high", 1200)):
        (folder / name).mkdir(parents=True)
        for k in range(per_class):
            t = np.arange(2000 + 200 * k) / 8000
            wave = 0.4 * np.sin(2 * np.pi * pitch * t) + generator.normal(0, 0.05, len(t))
            soundfile.write(folder / name / f"{k}.wav", wave.astype(np.float32), 8000)
    return folder

"""Recordings of two vowels one after the other, synthesised; which came first is part of the class."""

from __future__ import annotations

from io import BytesIO
from itertools import permutations
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import lfilter

RATE = 8000  # Hz
EACH = 50  # recordings of a class
# Mean formants of men, Hz (Peterson and Barney 1952, table II).
FORMANTS = {"i": (270, 2290, 3010), "a": (730, 1090, 2440), "u": (300, 870, 2240)}
BANDWIDTHS = (60.0, 90.0, 150.0)  # Hz


def write(folder: Path, seed: int) -> None:
    """A folder for each ordered pair of vowels, with WAV files."""
    generator = np.random.default_rng(seed)
    for pair in permutations(FORMANTS, 2):
        place = folder / "".join(pair)
        place.mkdir(parents=True)
        for number in range(EACH):
            sound = BytesIO()  # written by Python, which says what the system refuses
            soundfile.write(sound, pair_of_vowels(pair, generator), RATE, format="WAV")
            (place / f"{number:02d}.wav").write_bytes(sound.getvalue())


def pair_of_vowels(pair: tuple[str, str], generator: np.random.Generator) -> NDArray[np.float64]:
    """A glottal pulse train through each vowel's resonances, one fading into the other, with noise at about 10 dB.

    Pitch (90 to 250 Hz), length (0.2 to 0.4 s), the moment of change and the speaker's formants (15 % up or down) are drawn.
    """
    count = int(RATE * generator.uniform(0.2, 0.4))
    pulses = np.zeros(count)
    pulses[:: round(RATE / generator.uniform(90, 250))] = 1.0
    size = generator.uniform(0.85, 1.15)
    first, second = (_resonate(pulses, np.array(FORMANTS[v]) * size) for v in pair)
    change = generator.uniform(0.35, 0.65) * count
    share = 1 / (1 + np.exp(-(np.arange(count) - change) / (0.02 * RATE)))
    wave = (1 - share) * first + share * second
    wave += generator.normal(0, 0.3 * wave.std(), count)
    return np.asarray(0.5 * wave / np.abs(wave).max())


def _resonate(pulses: NDArray[np.float64], formants: NDArray[np.float64]) -> NDArray[np.float64]:
    """Second-order resonators in a row (Klatt 1980, eq. 2), scaled to deviation 1."""
    wave = pulses
    for frequency, bandwidth in zip(formants, BANDWIDTHS, strict=True):
        radius = np.exp(-np.pi * bandwidth / RATE)
        turn = 2 * radius * np.cos(2 * np.pi * frequency / RATE)
        wave = lfilter([1 - turn + radius**2], [1, -turn, radius**2], wave)
    return np.asarray(wave / wave.std())

"""Real data to try things on, written in the form in which a person would bring their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pellucid.errors import ArgumentError


def digits(folder: Path) -> str:
    """1,797 handwritten digits, 8 x 8 grey, a folder a class (UCI, Alpaydin and Kaynak 1998; CC BY 4.0)."""
    from PIL import Image
    from sklearn.datasets import load_digits

    data = load_digits()
    for index, (image, label) in enumerate(zip(data.images, data.target, strict=True)):
        place = folder / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * (255 / 16)).round().astype("uint8")).save(place / f"{index:04d}.png")
    return f"{len(data.images):,} images"


def co2(folder: Path) -> str:
    """Monthly CO2 at Mauna Loa, 1958 to 2001, from weekly means (NOAA; public domain; needs statsmodels)."""
    try:
        from statsmodels.datasets import co2 as source
    except ImportError:
        raise ArgumentError("the sample co2 comes with statsmodels; install it with: pip install statsmodels") from None
    monthly = source.load_pandas().data["co2"].resample("MS").mean().interpolate()
    folder.mkdir(parents=True, exist_ok=True)
    monthly.round(3).to_csv(folder / "co2.csv", index_label="month")
    return f"{len(monthly):,} months (co2.csv)"


SAMPLES: dict[str, Callable[[Path], str]] = {"digits": digits, "co2": co2}


def write_sample(name: str, folder: Path) -> str:
    """Write a sample; return what was written, in words.

    Raises:
        ArgumentError: an unknown name.
    """
    if name not in SAMPLES:
        raise ArgumentError(f"there is no sample {name!r}; there are {', '.join(SAMPLES)}")
    return SAMPLES[name](folder)

"""``pellucid sample``."""

from __future__ import annotations

from pathlib import Path

from pellucid.errors import ArgumentError


def sample(name: str, folder: Path, /) -> None:
    """Write real data to try things on, in the form in which you would bring your own.

    Parameters
    ----------
    name
        digits (1,797 handwritten digits, UCI) or co2 (monthly CO2 at Mauna Loa, NOAA; needs statsmodels).
    folder
        Where to write it.
    """
    from pellucid.lab.samples import write_sample

    try:
        print(f"{write_sample(name, folder)} in {folder}")
    except OSError as error:
        raise ArgumentError(f"{folder}: cannot be written to ({error.strerror}); give another folder") from error

"""What a person gives while a run's page is open, prepared as for prediction: one file, or a text that was typed.

It comes from anywhere, so what would take much more room in memory than it has bytes is refused before it is read.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import soundfile

from pellucid.errors import DataError, PellucidError
from pellucid.lab.data import characters, pictures, sound, text, tokens
from pellucid.lab.data import plain as files
from pellucid.lab.data.inputs import Inputs
from pellucid.lab.predict import prepare
from pellucid.lab.recipe import Recipe
from pellucid.web.opened import plain
from pellucid.web.pictures import check

DRAWN = 64  # pixels of the longer side up to which a picture may be drawn
SECONDS = 120.0  # of a recording, or as long as the networks listen
COLUMNS = 4_000  # of a table
SAID = 500  # characters of an error, which may name all columns

_TABLES = (".csv", ".tsv")
_SUFFIXES = {
    "images": tuple(sorted(pictures.SUFFIXES)),
    "sound": tuple(sorted(sound.SUFFIXES)),
    "series": _TABLES,
    "sequences": (*_TABLES, ".ts"),
    "events": _TABLES,
    "text": (".txt", *_TABLES),
    "characters": (".txt",),
}


def suffixes(kept: Recipe) -> tuple[str, ...]:
    """Of the files that may be given."""
    return _SUFFIXES.get(kept.kind, ())


def read(kept: Recipe, name: str, content: bytes) -> Inputs:
    """A file as a run's networks see it.

    Args:
        kept: the run's recipe.
        name: of the file, as the person has it.
        content: its bytes.

    Raises:
        DataError: it is of another kind, too large once it is decoded, or cannot be used.
    """
    name = plain(name)
    suffix = Path(name).suffix.lower()
    if suffix not in suffixes(kept):
        raise DataError(f"{name}: this run's networks read {', '.join(suffixes(kept))}; give such a file")
    if not content:
        raise DataError(f"{name}: the file is empty; give one that is not")
    with tempfile.TemporaryDirectory(prefix="pellucid-") as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            _check_size(kept, path)
            found = _prepared(kept, path)
        except PellucidError as error:
            said = str(error).replace(f"{folder}/", "")
            raise DataError(said if len(said) <= SAID else said[:SAID] + "…") from None
        except Exception as error:
            # Libraries raise what they like on damaged files.
            reason = (str(error).splitlines() or [""])[0].replace(f"{folder}/", "") or type(error).__name__
            raise DataError(f"{name}: the file cannot be read ({reason}); is it whole?") from None
    return replace(found, items=[item.replace(f"{folder}/", "") or name for item in found.items])


def _prepared(kept: Recipe, path: Path) -> Inputs:
    how = kept.preprocessing
    if kept.kind == "text" and path.suffix.lower() == ".txt":
        return text.prepare_texts([tokens.normal(_text(path))], how, [path.stem])
    if kept.kind == "characters":
        return replace(characters.prepare(_text(path), how), items=[path.stem])
    return prepare(kept, path)


def _text(path: Path) -> str:
    found = files.read(path)
    if not found.strip():
        raise DataError(f"{path}: the text is empty; give at least one character")
    return found


def _check_size(kept: Recipe, path: Path) -> None:
    """Refuse what a few bytes blow up to."""
    if kept.kind == "images":
        check(str(path), path)
    if path.suffix.lower() in _TABLES:
        with path.open("rb") as handle:
            header = handle.readline()
        columns = 1 + max(header.count(separator) for separator in (b",", b";", b"\t"))
        if columns > COLUMNS:
            raise DataError(
                f"{path}: the table has {columns:,} columns, and up to {COLUMNS:,} are read; leave some out"
            )
    if kept.kind == "sound":
        try:
            about = soundfile.info(path)
        except (soundfile.SoundFileError, OSError):
            return  # whoever reads it says what is wrong
        most = max(SECONDS, 2 * kept.extent[0] * sound.HOP)
        if about.frames * about.channels > most * max(about.samplerate, sound.SLOWEST) * 2:
            raise DataError(
                f"{path}: the recording says that it has {about.frames:,} samples in {about.channels} channels, and up to "
                f"{most:g} s in two channels are read; cut it"
            )

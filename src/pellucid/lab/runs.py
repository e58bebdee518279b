"""The run folder: what was asked, what was done, and one process at a time in it.

config.json            what was asked
task.json              sizes, labels and preprocessing, for prediction and export
items.safetensors      a few test items, for the check of an export and the page
units/*.safetensors    a checkpoint for each unit of work
models/*.safetensors   the trained networks, one for each seed
metrics.csv            every epoch of every unit
predictions/*.csv      each test item, its score and answer, one file for each network
result.json            the comparison, as data
report.html            the comparison, to read
tensorboard/           every epoch for TensorBoard, where it was asked for
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pellucid.errors import DataError
from pellucid.lab.reasons import reason
from pellucid.lab.results import Comparison, Record

FOLDERS = ("units", "models", "predictions", "tensorboard")
LEFT = frozenset({".lock", "config.json.part", *FOLDERS})  # after a run was cleared or cut short
CHECKPOINTS = ("units/*-trial-*.safetensors", "units/*-seed-*.safetensors")
MADE = (  # from the checkpoints
    "result.json",
    "task.json",
    "items.safetensors",
    "report.html",
    "metrics.csv",
    "*.part",
    "models/*-seed-*.safetensors",
    "models/*.part",
    "predictions/*.csv",
    "predictions/*.part",
)
WRITTEN = (
    *MADE,
    "tuning.journal*",
    "tensorboard/*/events.out.tfevents.*",
    *CHECKPOINTS,
    "units/*.part",
    "config.json",  # the last, so that a removal that was cut short is still a run
)
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Config(Record):
    """All that decides a run's figures."""

    pellucid: str
    torch: str
    threads: int
    data: str  # fingerprint of the task
    candidates: list[str]
    equal: str
    size: int  # of each network, in what is made equal: parameters or multiply-adds
    trials: int
    seeds: int
    epochs: int
    seconds: float | None
    curve: bool
    rope: float | None
    cells: str  # fingerprint of the files that a person's own cells stand in
    device: str = "cpu"  # or what the GPU is called
    processes: int = 1  # that train each network together
    settings: str = ""  # a person's own, which are tried first

    @property
    def key(self) -> str:
        """Eight digits for it: the same question has the same; of what is as it always is, those that it always had."""
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()[:8]

    def arguments(self) -> dict[str, Any]:
        """What a plan is made of, beside the data."""
        return {
            "candidates": self.candidates,
            "equal": self.equal,
            "size": self.size,
            "trials": self.trials,
            "seeds": self.seeds,
            "epochs": None if self.equal == "time" else self.epochs,
            "seconds": self.seconds,
            "curve": self.curve,
            "rope": self.rope,
            "settings": self.settings or None,
        }


class Run:
    """A run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, *parts: str) -> Path:
        """A file's place; its folder is made."""
        path = self.folder.joinpath(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{path.parent}: the folder cannot be made ({error.strerror}); choose another --out"
            ) from None
        return path

    def config(self) -> Config | None:
        """What was asked; None where there is no such file.

        Raises:
            DataError: the file is damaged, or somebody else's.
        """
        path = self.folder / "config.json"
        try:
            return Config.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not the configuration of a run ({reason(error)}); choose another --out") from None

    def is_run(self) -> bool:
        """Whether the folder is a run's, also one that has lost its config.json."""
        try:
            return self.config() is not None or self.is_nothing_else()
        except DataError:
            return self.is_nothing_else()

    def is_nothing_else(self) -> bool:
        """Whether the folder holds a run's files alone, checkpoints among them: it then is one, whatever befell its config.json."""
        known = (".lock", *FOLDERS, *(pattern for pattern in WRITTEN if "/" not in pattern))
        return any(f for pattern in CHECKPOINTS for f in self.folder.glob(pattern)) and all(
            any(entry.match(pattern) for pattern in known) for entry in self.folder.iterdir()
        )

    def begin(self, config: Config) -> None:
        """Note what was asked, or check that the folder was made for the same.

        A run whose config.json is gone or damaged goes on: its checkpoints tell which run they are of, and all else is made from
        them.

        Raises:
            DataError: the folder holds another run, or something else.
        """
        path = self.file("config.json")
        try:
            before = self.config()
        except DataError:
            if path.is_dir() or not self.is_nothing_else():
                raise
            before = None
        if before is None:
            if self.is_nothing_else():
                self._remove(MADE)
            elif strange := sorted(e.name for e in self.folder.iterdir() if e.name not in LEFT):
                raise DataError(
                    f"{self.folder} is no run and is not empty (it holds {strange[0]!r}); choose another --out"
                )
            write(path, config.model_dump_json(indent=2))
            return
        for field in Config.model_fields:
            old, new = getattr(before, field), getattr(config, field)
            if old != new:
                raise DataError(
                    f"{self.folder} holds a run with {field} {_short(old)}, and {_short(new)} is asked for now; choose "
                    "another --out, or start anew with --fresh"
                )

    def result(self) -> Comparison | None:
        """The finished comparison, if there is one.

        Raises:
            DataError: the file is damaged.
        """
        path = self.folder / "result.json"
        if not path.exists():
            return None
        try:
            return Comparison.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise DataError(
                f"{path}: the result cannot be read ({reason(error)}); remove this file, and the same command "
                "writes it again"
            ) from None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes out; the lock goes with the process, however it ends.

        Raises:
            DataError: another process is at work in the folder.
        """
        try:
            handle = self.file(".lock").open("w")
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be written to ({error.strerror}); choose another --out") from None
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(
                    f"{self.folder}: another process is at work in this run; wait for it, or choose another --out"
                ) from None
            yield

    def clear(self) -> None:
        """Remove what a run wrote, and nothing else; a folder that is no run stays as it is."""
        if self.is_run():
            self._remove(WRITTEN)

    def _remove(self, patterns: tuple[str, ...]) -> None:
        for pattern in patterns:
            for path in self.folder.glob(pattern):
                if path.is_file():
                    path.unlink()


def default_folder(source: Path, config: Config) -> Path:
    """``runs/NAME-xxxxxxxx``: the same question finds the same folder."""
    return Path("runs") / f"{source.resolve().stem}-{config.key}"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Around all that writes to a folder: what the system refuses becomes a sentence.

    Raises:
        DataError: no space is left, or a file cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        remedy = "make room" if error.errno in NO_SPACE else "mend that"
        raise DataError(
            f"{folder}: cannot be written to ({error.strerror}); {remedy} there, and the same command goes on from here"
        ) from None


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with instead(path) as temporary, temporary.open("wb") as handle:
        handle.write(content)
        handle.flush()
        if temporary.is_file():  # a device need not know how to wait
            os.fsync(handle.fileno())


@contextmanager
def instead(path: Path) -> Iterator[Path]:
    """A file beside another one, which takes its place once it is written, and goes where it cannot be; a device is itself."""
    if path.exists() and not path.is_file():
        yield path
        return
    temporary = path.with_name(path.name + ".part")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # what went wrong is what is told
            temporary.unlink()
        raise


def _short(value: object) -> str:
    text = ", ".join(value) if isinstance(value, list) else "none" if value in (None, "") else str(value)
    return text if len(text) <= 40 else text[:12] + "..."


def safe(name: str) -> str:
    """A name as part of a file's."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)

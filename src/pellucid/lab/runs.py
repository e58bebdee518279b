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

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pellucid.errors import DataError
from pellucid.lab import sealed
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
    lowers: bool = False  # the rate, where validation is no longer better: older runs did not
    space: int = 1  # which one the other settings are of, where more than the first three of the known ones are tried

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


OURS = ("lowers", "space")
"""Of a configuration, what follows from pellucid itself and not from what a person asked."""


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
            return sealed.load_record(path, Config)
        except FileNotFoundError:
            return None
        except (OSError, sealed.DamagedError) as error:
            remedy = "the compare command that made it mends it" if self.is_nothing_else() else "choose another --out"
            raise DataError(f"{path}: not the configuration of a run ({reason(error)}); {remedy}") from None

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
            sealed.save_record(path, config)
            return
        for field in Config.model_fields:
            old, new = getattr(before, field), getattr(config, field)
            if old != new and field in OURS:
                raise DataError(
                    f"{self.folder} holds a run that another version began, which trains otherwise; choose another --out, or "
                    "start anew with --fresh"
                )
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
            return sealed.load_record(path, Comparison)
        except (OSError, sealed.DamagedError) as error:
            raise DataError(
                f"{path}: the result cannot be read ({reason(error)}); remove this file, and the same compare "
                "command writes it again"
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


def _short(value: object) -> str:
    text = ", ".join(value) if isinstance(value, list) else "none" if value in (None, "") else str(value)
    return text if len(text) <= 40 else text[:12] + "..."


def answers_of(network: str) -> str:
    """Where in a run a network's answers to test items lie."""
    return f"predictions/{safe(network)}.csv"


def safe(name: str) -> str:
    """A name as part of a file's."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)

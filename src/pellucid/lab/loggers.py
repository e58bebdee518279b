"""Every epoch and the final figures of a comparison, for TensorBoard or MLflow.

A comparison tells of all epochs of a training from the first one on, also when it goes on after a stop. So what an earlier
log holds of a training is replaced when that training is told of again, and nothing is there twice. With several workers
the epochs of several trainings come in turn.
"""

from __future__ import annotations

import logging
import os
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.errors import ArgumentError, DataError
from pellucid.lab.crew import Watcher
from pellucid.lab.results import Comparison, Epoch
from pellucid.lab.runs import safe
from pellucid.lab.settings import Logger

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from torch.utils.tensorboard import SummaryWriter

Training = tuple[str, str]  # network, and which trial or seed


class Log(Watcher, ABC):
    """What a comparison is told to, besides the terminal."""

    def __init__(self) -> None:
        self.told: set[Training] = set()

    def epoch(self, network: str, what: str, epoch: Epoch) -> None:
        """An epoch of a network's trial or seed; those of one training come in order."""
        if epoch.epoch == 1:
            self.begin((network, what))
            self.told.add((network, what))
        self.figures((network, what), epoch)

    def finish(self, found: Comparison) -> None:
        """The final figures; the seeds' epochs before, where the comparison was done already and told of none."""
        for c in found.candidates:
            for run in c.seeds:
                what = f"seed {run.seed}"
                if (c.name, what) not in self.told:
                    for epoch in run.history:
                        self.epoch(c.name, what, epoch)
                    self.done(c.name, what)
        self.end(found)

    @abstractmethod
    def begin(self, training: Training) -> None:
        """A training begins; what was logged of it before goes."""

    @abstractmethod
    def figures(self, training: Training, epoch: Epoch) -> None:
        """An epoch of a training that has begun."""

    @abstractmethod
    def end(self, found: Comparison) -> None:
        """The final figures."""


def open_log(kind: Logger, folder: Path) -> Log:
    """A log of a comparison, to be its watcher or one of them; nothing is written before the first epoch.

    Args:
        kind: what logs.
        folder: of the run.

    Raises:
        ArgumentError: the library is not installed.
    """
    try:
        return TensorBoard(folder / "tensorboard") if kind == "tensorboard" else Mlflow(folder)
    except ImportError as error:
        raise ArgumentError(
            f"--log {kind} needs {(error.name or kind).partition('.')[0]}, which is not installed; install it with: "
            f"pip install 'pellucid[{kind}]'"
        ) from None


class TensorBoard(Log):
    """Event files in a folder of the run, a folder for each training, so that the same figure of all is one chart.

    Args:
        folder: for ``tensorboard --logdir``.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder
        self._make = SummaryWriter
        self._writers: dict[Training, SummaryWriter] = {}

    def begin(self, training: Training) -> None:
        """Open the training's folder anew."""
        self.done(*training)
        network, what = training
        self._writers[training] = self._open(f"{safe(network)}-{what.replace(' ', '-')}")

    def figures(self, training: Training, epoch: Epoch) -> None:
        """Losses, the validation score and the learning rate, by epoch."""
        writer = self._writers[training]
        for tag, value in (
            ("loss/train", epoch.train_loss),
            ("loss/validation", epoch.valid_loss),
            ("score/validation", epoch.valid_score),
            ("learning_rate", epoch.learning_rate),
        ):
            writer.add_scalar(tag, value, epoch.epoch)
        writer.flush()

    def done(self, network: str, what: str) -> None:
        """Close the training's file."""
        if writer := self._writers.pop((network, what), None):
            writer.close()

    def end(self, found: Comparison) -> None:
        """Test figures with their intervals, and the verdict as text."""
        writer = self._open("comparison")
        for c in found.candidates:
            for part in ("value", "low", "high") if c.score.known else ("value",):
                writer.add_scalar(f"test_{part}/{safe(c.name)}", getattr(c.score, part), 0)
        writer.add_text("verdict", found.verdict.sentence)
        writer.close()

    def _open(self, name: str) -> SummaryWriter:
        place = self.folder / name
        for old in place.glob("events.out.tfevents.*"):
            old.unlink()
        return self._make(str(place))


class Mlflow(Log):
    """An MLflow run for the comparison, and one below it for each training; where, MLflow's own settings say.

    Args:
        folder: of the run, by which earlier logs of it are found.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        import mlflow

        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # that is where the result goes
        if "MLFLOW_LOGGING_LEVEL" not in os.environ:
            logging.getLogger("mlflow").setLevel(
                logging.WARNING
            )  # tables made anew are no news between bars of progress
        self.folder = str(folder.resolve())
        self._flow = mlflow
        self._client: MlflowClient | None = None
        self._experiment = self._parent = ""
        self._runs: dict[Training, str] = {}

    def begin(self, training: Training) -> None:
        """Start the training's run anew."""
        self._attempt(self._begin, training)

    def figures(self, training: Training, epoch: Epoch) -> None:
        """Losses, the validation score and the learning rate, by epoch."""
        figures = {
            "train_loss": epoch.train_loss,
            "validation_loss": epoch.valid_loss,
            "validation_score": epoch.valid_score,
            "learning_rate": epoch.learning_rate,
        }
        self._attempt(self._write, self._runs[training], figures, epoch.epoch)

    def done(self, network: str, what: str) -> None:
        """Close the training's run."""
        if run := self._runs.pop((network, what), ""):
            self._attempt(self._connected().set_terminated, run)

    def end(self, found: Comparison) -> None:
        """Test figures with their intervals, and the verdict as a tag."""
        self._attempt(self._end, found)

    def _begin(self, training: Training) -> None:
        client, name = self._connected(), " ".join(training)
        for old in self._found(f"tags.`pellucid.training` = '{name}'"):
            client.delete_run(old.info.run_id)
        tags = {
            "pellucid.folder": self.folder,
            "pellucid.training": name,
            "mlflow.parentRunId": self._parent,
            "mlflow.runName": name,
        }
        self._runs[training] = client.create_run(self._experiment, tags=tags).info.run_id

    def _end(self, found: Comparison) -> None:
        client = self._connected()
        figures = {
            f"test_{safe(c.name)}_{part}": getattr(c.score, part)
            for c in found.candidates
            for part in (("value", "low", "high") if c.score.known else ("value",))
        }
        self._write(self._parent, figures, 0)
        client.set_tag(self._parent, "pellucid.verdict", found.verdict.sentence)
        client.set_terminated(self._parent)

    def _connected(self) -> MlflowClient:
        """The client; on the first call the comparison's run is found or made."""
        if self._client is None:
            self._client = self._flow.MlflowClient()
            self._experiment = self._flow.set_experiment("pellucid").experiment_id
            old = self._found("tags.`pellucid.training` = 'comparison'")
            tags = {
                "pellucid.folder": self.folder,
                "pellucid.training": "comparison",
                "mlflow.runName": Path(self.folder).name,
            }
            made = old[0] if old else self._client.create_run(self._experiment, tags=tags)
            self._parent = made.info.run_id
        return self._client

    def _found(self, condition: str) -> list[Any]:
        assert self._client is not None
        mine = self.folder.replace("'", "\\'")
        return list(self._client.search_runs([self._experiment], f"tags.`pellucid.folder` = '{mine}' and {condition}"))

    def _write(self, run: str, figures: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._connected().log_batch(run, [Metric(name, value, now, step) for name, value in figures.items()])

    def _attempt(self, do: Any, *given: Any) -> None:
        try:
            do(*given)
        except self._flow.exceptions.MlflowException as error:
            raise DataError(
                f"MLflow refuses the log ({str(error).splitlines()[0]}); see to it, or leave out --log: the same command "
                "goes on from the last epoch"
            ) from None

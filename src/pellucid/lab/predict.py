"""What a run's networks say of new data, prepared as in training."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from torch import Tensor

from pellucid.device import choose, working
from pellucid.errors import ArgumentError, DataError
from pellucid.lab import recipe, train
from pellucid.lab.data import characters, events, images, inputs, plain, sequences, sound, text, unlabelled_pictures
from pellucid.lab.data.inputs import Inputs
from pellucid.lab.data.series.newest import newest
from pellucid.lab.goals import GOALS
from pellucid.lab.recipe import Recipe
from pellucid.lab.runs import Run
from pellucid.lab.task import Split

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Answers:
    """A table of answers.

    Attributes:
        network: who answers; seeds: its trainings, averaged where there are several.
        goal: of the task.
        columns: what the rows hold. Classes and labels: item, answer, and the probability of each; of events those of the step
            after the last. A number: item, and the number under its name. A forecast: the series where
            there are several, step, time where there is one, and the column that is forecast, in its own unit: the low
            quantile, the median under the column's name, and the high one. A text: prompt, text.
        rows: an answer each.
        notes: sentences on what was done to fit the data to the networks.
    """

    network: str
    seeds: tuple[int, ...]
    goal: str
    columns: tuple[str, ...]
    rows: list[tuple[str | int | float, ...]]
    notes: tuple[str, ...]

    def frame(self) -> polars.DataFrame:
        """A row for each answer."""
        import polars

        return polars.DataFrame(self.rows, schema=list(self.columns), orient="row", infer_schema_length=None)

    def csv(self) -> str:
        """As CSV text, with a header line."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([f"{v:.7g}" if isinstance(v, float) else v for v in row] for row in self.rows)
        return file.getvalue()

    def json(self) -> str:
        """As JSON text."""
        answers = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        about = {"network": self.network, "seeds": self.seeds, "notes": self.notes, "answers": answers}
        return json.dumps(about, indent=1, ensure_ascii=False)


class Asked(TypedDict, total=False):
    """What may be asked beside the data and the network, as in :func:`predict`."""

    seed: int | None
    column: str | None
    prompt: str | None
    length: int
    cell: str | None
    device: str


def predict(
    folder: Path,
    data: Path | None,
    *,
    network: str | None = None,
    seed: int | None = None,
    column: str | None = None,
    prompt: str | None = None,
    length: int = 200,
    cell: str | None = None,
    device: str = "auto",
) -> Answers:
    """Answer.

    Args:
        folder: the run.
        data: new data of the run's kind: a table, an archive, a file or a folder of files, or a text to go on from.
        network: who answers; the one that the comparison named where None.
        seed: which training of it; all, averaged, where None: probabilities of classes, values of forecasts.
        column: texts: their column, where it is called otherwise than in training.
        prompt: plain text: what to go on from, instead of ``data``.
        length: plain text: characters to write.
        cell: where a person's own cell stands now, as ``file.py:Class``.
        device: who computes, as for :func:`pellucid.device.choose`; it need not be the one that trained.

    Raises:
        DataError: the run or the data cannot be used.
        ArgumentError: an unknown network or seed, a device that is not there, or an option that says nothing for this kind of data.
    """
    there = choose(device)
    run = Run(folder)
    kept = recipe.read(run)
    given = prepare(kept, data, column, prompt)
    if length < 1:
        raise ArgumentError(f"length is {length}; give 1 or more characters to write")
    name = kept.member(network).name if network is not None else _chosen(run)
    seeds = tuple(range(1, kept.seeds + 1)) if seed is None else (seed,)
    models = [kept.network(run, name, k, cell).to(there) for k in seeds]

    def ask(items: Inputs) -> list[Tensor]:
        if GOALS[kept.goal].every_step:
            return [train.predict_last(model, items.x, items.lengths)[:, 0] for model in models]
        split = Split(
            items.x, items.x.new_empty(len(items.x)), items.lengths, items.items
        )  # nobody knows the answers yet
        return [train.predict(model, split) for model in models]

    with working(there):
        columns, rows = GOALS[kept.goal].table(kept, given, ask, length)
    return Answers(name, seeds, kept.goal, columns, rows, given.notes)


def _chosen(run: Run) -> str:
    found = run.result()
    if found is None:
        raise DataError(f"{run.folder}: the comparison is not finished, so none is named best; name one with --network")
    return found.verdict.choice


def prepare(kept: Recipe, data: Path | None, column: str | None = None, prompt: str | None = None) -> Inputs:
    """New data as a run's networks see it. The arguments are those of :func:`predict`.

    Raises:
        DataError: the data cannot be used.
        ArgumentError: there is none, or an option that says nothing for this kind of data.
    """
    if column is not None and kept.kind != "text":
        raise ArgumentError(f"--text names a column of texts, and this run is of {kept.kind}; leave it out")
    if prompt is not None and (kept.kind != "characters" or data is not None):
        raise ArgumentError("a prompt says nothing beside data, and only a run of a plain text goes on from one")
    if data is None and prompt is None:
        raise ArgumentError("there is nothing to answer; give the new data after the run's folder")
    how = kept.preprocessing
    if kept.kind == "characters":
        return characters.prepare(prompt if data is None else _text(data), how)  # type: ignore[arg-type]
    assert data is not None
    if kept.kind == "images":
        return images.prepare(unlabelled_pictures.find(data), how)
    if kept.kind == "sound":
        return sound.prepare(data, how)
    if kept.kind == "sequences":
        return sequences.prepare(data, how)
    if kept.kind == "events":
        return events.prepare(data, how)
    if not data.is_file():
        raise DataError(f"{data}: this is no file; give a CSV or Parquet table with the columns of training")
    if kept.kind == "text":
        return text.prepare(data, how, column)
    inputs.understood(how, *_SERIES, *(("offset", "factor") if "offset" in how else ()))
    found = newest(data, how, kept.step)
    return Inputs(found.x, None, found.names, found.scales, tuple(found.ahead))


_SERIES = (
    "columns", "target", "targets", "id", "time", "known", "calendar", "missing", "season", "window", "horizon",
    "quantiles", "scales",
)  # fmt: skip


def _text(data: Path) -> str:
    try:
        return plain.read(data)
    except OSError as error:
        raise DataError(f"{data}: cannot be read ({error.strerror}); give a file, or the text with --prompt") from None

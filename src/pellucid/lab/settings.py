"""What a person may set of a comparison, each setting once.

``pellucid compare`` makes its options from these, and :func:`pellucid.lab.compare` its keyword arguments. What is not given is
as the function says that a setting goes to: :func:`pellucid.lab.data.load` and the loader of a kind for :class:`Reading`,
:func:`pellucid.lab.plan.plan` for :class:`Asking`, :func:`pellucid.lab.session.run` for :class:`Running`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypedDict

Kind = Literal["images", "series", "sequences", "text", "characters", "sound", "events"]
Equal = Literal["params", "macs", "time"]
Missing = Literal["linear", "last", "seasonal"]
Way = Literal["characters", "subwords", "words"]  # to cut a text
Logger = Literal["tensorboard", "mlflow"]


class Asking(TypedDict, total=False):
    """What is trained, and how much.

    Parameters
    ----------
    equal
        What is made equal: the parameters (params, the default), the multiply-adds for one item (macs), or the parameters
        and the seconds of training (time; a clock then ends each training, so figures are not the same twice).
    trials
        Settings (learning rate, dropout, whether memories are long from the start) that each network tries before its seeds;
        the weaker half stops early (default: 4). With 1 nothing is tuned.
    settings
        Settings of your own, which are tried first: rate=0.01,dropout=0.2;memory=1 for two, what is not said being 0.003, 0
        and 0. With memory=1 recurrent networks start with memories of up to as many steps as an item has, as long
        sequences need.
    seeds
        Trainings of each network with its best setting; more seeds, surer figures (default: 3).
    epochs
        Passes over the training part at most; training ends earlier when validation no longer improves, at a
        lower learning rate neither (default: 5 to 60, fewer the more data there is; none with --equal time).
    seconds
        Training time of each seed with --equal time (default: 20).
    curve
        Train on an eighth, a quarter and a half of the data as well: would more data change the answer?
    rope
        The difference below which networks are as good as one another, in the figure's unit (default: 1 point of a
        percentage, or 1 % of the baseline's figure).
    """

    equal: Equal
    trials: int
    settings: str | None
    seeds: int
    epochs: int | None
    seconds: float | None
    curve: bool
    rope: float | None


class Reading(TypedDict, total=False):
    """How the data is read.

    Parameters
    ----------
    kind
        What the data is, where it is not taken for the right thing.
    target
        Series: column to forecast (default: the last); several (a,b or all) are a series each, with one network.
    horizon
        Series: steps ahead (default: one season, at most 24).
    window
        Series: steps of the past that are seen (default: two seasons, 16 to 96). Plain text: tokens (64). Events: steps of a
        training sequence at most (256).
    season
        Series: steps of its season (default: found; 1 for none).
    split
        Series: rows for train,valid,test, e.g. 8640,2880,2880.
    id
        Series and sequences in a long table: the column that tells them apart.
    known
        Series: columns known ahead, such as holidays, which networks see over the horizon.
    missing
        Series and sequences: how missing steps and values are filled; they are refused if not given.
    calendar
        Series: let networks see hour, weekday and month, where the step makes them sensible. It helps some series and not
        others, so it is off unless asked for: compare twice.
    origins
        Series: forecasts of the test part that are evaluated, evenly spaced (default: each step, at most 4,000).
    text
        Texts: their column.
    label
        Texts, sequences in a long table, or images in a Parquet table: the column of labels (of numbers, with --regress).
    longest
        Texts and sequences: characters or steps that are kept of longer ones (default: of texts as many as nearly all have,
        of sequences all).
    regress
        Sequences: the labels are numbers to say, and no classes to tell apart (default: so if they are not whole, or if there
        are many different ones).
    tokens
        Texts: what they are cut into (words only where they are classified; default: by the amount of text).
    augment
        Images: auto, none, or how training images are varied: shift, flip, or shift,flip (default: auto, for photographs).
    memory
        Gigabytes of the data to hold in memory; more is paged from a file (default: 1).
    """

    kind: Kind | None
    target: str | None
    horizon: int | None
    window: int | None
    season: int | None
    split: str | None
    id: str | None
    known: str | None
    missing: Missing | None
    calendar: bool | None
    origins: int | None
    text: str | None
    label: str | None
    longest: int | None
    regress: bool | None
    tokens: Way | None
    augment: str | None
    memory: float | None


class Running(TypedDict, total=False):
    """Where and how it is computed.

    Parameters
    ----------
    out
        Folder of the run (default: runs/NAME-...).
    fresh
        Start anew, even if the run was begun or done.
    threads
        Processor threads of each training; part of what a run's figures depend on (default: 1).
    device
        Where networks are trained and asked: cpu, cuda, cuda:1, or auto (the default: an NVIDIA GPU where there is one). Part
        of what a run's figures depend on; a run goes on where it was begun.
    workers
        Trainings at a time, each in a process of its own; the figures stay the same (default: 1).
    ray
        Address of a Ray cluster that trains instead (its nodes must see the data and the run's folder).
    storage
        Keep the tuning trials in an Optuna journal (a file ending in .journal) or a database (postgresql://..., with
        pip install 'pellucid[postgresql]'), too.
    log
        Tell every epoch and the final figures to TensorBoard (in the run's folder) or MLflow, too.
    """

    out: Path | str | None
    fresh: bool
    threads: int
    device: str
    workers: int
    ray: str | None
    storage: str | None
    log: Logger | None


class Settings(Asking, Reading, Running, total=False):
    """All of them."""

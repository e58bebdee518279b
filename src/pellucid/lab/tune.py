"""Tuning: every network tries the same settings, and the weaker half of them stops early.

The settings are points of one space, spread evenly by a scrambled Sobol sequence (Bergstra and Bengio 2012 on why not a grid),
the best known ones first. Trials stop by successive halving (Jamieson and Talwalkar 2016) with one halving: all train for half
of a trial's epochs, and the better half goes on. Which settings are tried and which go on follows from figures alone, never
from which process was sooner, so that any number of workers, and a run that was stopped, find the same.

Optuna keeps the studies: in memory, or, to be looked at or kept together, in a journal file or a database.
"""

from __future__ import annotations

import math
import re
import time
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pellucid.errors import ArgumentError

if TYPE_CHECKING:
    import optuna

Settings = dict[str, float]

KNOWN: tuple[Settings, ...] = (
    {"learning rate": 0.003, "dropout": 0.0},
    {"learning rate": 0.01, "dropout": 0.1},
    {"learning rate": 0.001, "dropout": 0.0},
)
"""What does well on most data, tried first."""

MOST_TRIALS = 200


@lru_cache(maxsize=8)
def settings(trials: int) -> tuple[Settings, ...]:
    """What every network tries, the known ones first; more trials only add to them."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(sampler=optuna.samplers.QMCSampler(scramble=True, seed=0))
    for known in KNOWN[:trials]:
        study.enqueue_trial(dict(known))
    return tuple(dict(study.ask(_space()).params) for _ in range(trials))


class Study:
    """The trials of one network, and the record that Optuna keeps of them.

    What is tried and what goes on is settled here, from figures alone; the storage is written, and only asked which trials
    it has already, so that nothing in it changes a run.

    Args:
        name: of the study, unique in its storage.
        trials: how many settings are tried.
        higher_is_better: the direction of the validation figure.
        storage: None for memory; a file ending in ``.journal``; or the address of a database, such as
            ``postgresql://...``.

    Raises:
        ArgumentError: the storage cannot be used.
    """

    def __init__(self, name: str, trials: int, higher_is_better: bool, storage: str | None = None) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.higher_is_better = higher_is_better
        self.settings = settings(trials)
        running = optuna.trial.TrialState.RUNNING
        try:
            self._study = optuna.create_study(
                study_name=name,
                direction="maximize" if higher_is_better else "minimize",
                storage=_storage(storage),
                load_if_exists=True,
            )
            for own in self.settings[len(self._study.trials) :]:
                self._study.add_trial(
                    optuna.trial.create_trial(state=running, params=dict(own), distributions=_space())
                )
        except ArgumentError:
            raise
        except ImportError as error:
            raise ArgumentError(
                f"--storage {_shown(storage)}: the database's driver is not installed; for PostgreSQL: pip install "
                "'pellucid[postgresql]'"
            ) from error
        except Exception as error:  # each database's driver has errors of its own
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ArgumentError(f"--storage {_shown(storage)}: the studies cannot be kept there ({reason})") from error

    def better_half(self, scores: Sequence[float], epochs: int) -> list[int]:
        """The trials that go on, in their order; the others are noted as stopped.

        Args:
            scores: of every trial on the validation part.
            epochs: after which they were taken.
        """
        import optuna

        order = self.ranked(scores)
        on = sorted(order[: math.ceil(len(order) / 2)])
        for number, score in enumerate(scores):
            trial = self._open(number)
            if trial is None:
                continue
            if math.isfinite(score):
                trial.report(score, epochs)
            if number not in on:
                self._study.tell(number, state=optuna.trial.TrialState.PRUNED)
        return on

    def best(self, scores: dict[int, float]) -> int:
        """The best of the trials that went on, which are noted as done."""
        import optuna

        for number, score in scores.items():
            if self._open(number) is None:
                continue
            if math.isfinite(score):
                self._study.tell(number, score)
            else:
                self._study.tell(number, state=optuna.trial.TrialState.FAIL)
        numbers = sorted(scores)
        return numbers[self.ranked([scores[n] for n in numbers])[0]]

    def ranked(self, scores: Sequence[float]) -> list[int]:
        """Places in `scores`, the best first; of equals the first, and what is no number last."""
        sign = -1 if self.higher_is_better else 1
        return sorted(range(len(scores)), key=lambda i: (not math.isfinite(scores[i]), sign * scores[i], i))

    def _open(self, number: int) -> optuna.trial.Trial | None:
        """A trial that may still be told something; a run that goes on finds finished ones in its storage."""
        import optuna

        frozen = self._study.trials[number]
        return None if frozen.state.is_finished() else optuna.trial.Trial(self._study, frozen._trial_id)


def _space() -> dict[str, optuna.distributions.BaseDistribution]:
    from optuna.distributions import FloatDistribution

    return {"learning rate": FloatDistribution(3e-4, 3e-2, log=True), "dropout": FloatDistribution(0.0, 0.3, step=0.1)}


def _shown(storage: str | None) -> str:
    """An address without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", storage or "")


def _storage(where: str | None) -> Any:
    """Optuna's storage."""
    if where is None:
        return None
    if "://" in where:
        return _database(where)
    if not where.endswith(".journal"):
        raise ArgumentError(
            f"--storage {where} is neither a file ending in .journal nor an address such as postgresql://user@host/name"
        )
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(where))


def _database(address: str, tries: int = 5) -> Any:
    """Optuna's storage in a database, whose tables another process may be making at this moment.

    Optuna makes the tables that it does not find. Of several that find none at the same time one makes them, and to the
    others the database says that they are there already; these find them when they look again.
    """
    import optuna
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    for _ in range(tries - 1):
        try:
            return optuna.storages.get_storage(address)
        except (IntegrityError, OperationalError, ProgrammingError) as error:
            if not isinstance(error, IntegrityError) and "already exists" not in str(error):
                raise
            time.sleep(0.1)
    return optuna.storages.get_storage(address)

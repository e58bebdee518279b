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
    {"learning rate": 0.003, "dropout": 0.0, "long memory": 0},
    {"learning rate": 0.01, "dropout": 0.1, "long memory": 0},
    {"learning rate": 0.001, "dropout": 0.0, "long memory": 0},
    {"learning rate": 0.003, "dropout": 0.1, "long memory": 1},
)
"""What does well on most data, tried first.

``long memory`` is 1 where recurrent networks start with a memory as long as the data's items; nothing of a CNN follows from it.
"""

MOST_TRIALS = 200

SPACE = 2
"""Changes with what is tried, so that trials of one space are not taken for another's."""

SAME = 3
"""Trials that are the same in every space there was."""

GIVEN = {"rate": "learning rate", "dropout": "dropout", "memory": "long memory"}
"""What a person calls a setting."""

LIMITS = {"learning rate": (1e-6, 1.0), "dropout": (0.0, 0.9), "long memory": (0.0, 1.0)}
"""Of what a person may give; the lab's own are within :func:`_space`."""


def given(text: str) -> tuple[Settings, ...]:
    """A person's own settings, as ``rate=0.01,dropout=0.2;memory=1``; what is not said is as in the first known one.

    Raises:
        ArgumentError: it cannot be read, or has a number that cannot be.
    """
    found: list[Settings] = []
    for one in filter(None, (part.strip() for part in text.split(";"))):
        own, said = dict(KNOWN[0]), set[str]()
        for item in one.split(","):
            key, _, value = (part.strip() for part in item.partition("="))
            name = GIVEN.get(key)
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            least, most = LIMITS.get(name or "", (math.nan, math.nan))
            if key in said:
                raise ArgumentError(f"settings {one!r} give {key} twice; separate two settings by ;")
            said.add(key)
            if name is None or not least <= number <= most or (name == "long memory" and number not in (0, 1)):
                raise ArgumentError(
                    f"settings {item.strip()!r} cannot be; give rate=0.000001 to 1, dropout=0 to 0.9 and "
                    "memory=0 or 1, such as rate=0.01,dropout=0.2;memory=1 for two settings"
                )
            own[name] = number
        if own not in found:
            found.append(own)
    return tuple(found)


def written(own: Settings) -> str:
    """As :func:`given` reads it."""
    return ",".join(f"{key}={str(own[name]).removesuffix('.0')}" for key, name in GIVEN.items())


@lru_cache(maxsize=8)
def settings(trials: int, own: str = "") -> tuple[Settings, ...]:
    """What every network tries: a person's own, as for :func:`given`, the known ones, and more, to which more trials only add."""
    import optuna

    first = given(own)
    first += tuple(known for known in KNOWN if known not in first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(sampler=optuna.samplers.QMCSampler(scramble=True, seed=0))
    more = (dict(study.ask(_space()).params) for _ in range(trials - len(first)))
    return (*first, *more)[:trials]


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
        own: a person's own settings, which are tried first.

    Raises:
        ArgumentError: the storage cannot be used.
    """

    def __init__(
        self, name: str, trials: int, higher_is_better: bool, storage: str | None = None, own: str = ""
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.higher_is_better = higher_is_better
        self.settings = settings(trials, own)
        running = optuna.trial.TrialState.RUNNING
        try:
            self._study = optuna.create_study(
                study_name=name,
                direction="maximize" if higher_is_better else "minimize",
                storage=_storage(storage),
                load_if_exists=True,
            )
            for tried in self.settings[len(self._study.trials) :]:
                self._study.add_trial(
                    optuna.trial.create_trial(state=running, params=dict(tried), distributions=_limits())
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
    """What the lab's own settings are drawn from."""
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        "learning rate": FloatDistribution(3e-4, 3e-2, log=True),
        "dropout": FloatDistribution(0.0, 0.5, step=0.1),
        "long memory": IntDistribution(0, 1),
    }


def _limits() -> dict[str, optuna.distributions.BaseDistribution]:
    """What all settings are within, a person's own among them."""
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        "learning rate": FloatDistribution(*LIMITS["learning rate"], log=True),
        "dropout": FloatDistribution(*LIMITS["dropout"]),
        "long memory": IntDistribution(0, 1),
    }


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

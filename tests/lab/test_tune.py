"""The promise: every network tries the same settings, the weaker half stops, and a storage has it all to be looked at."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from pellucid.errors import ArgumentError
from pellucid.lab.tune import KNOWN, Study, given, written


def test_every_network_tries_the_same_settings_the_known_ones_first() -> None:
    first, second = Study("a", 12, True).settings, Study("b", 12, False).settings
    assert first == second
    assert first[: len(KNOWN)] == KNOWN
    assert len({tuple(s.items()) for s in first}) == 12
    assert all(3e-4 <= s["learning rate"] <= 3e-2 and 0 <= s["dropout"] <= 0.5 for s in first)
    assert {s["long memory"] for s in first[len(KNOWN) :]} == {0, 1}
    assert Study("c", 5, True).settings == first[:5]  # more trials only add


def test_a_persons_own_settings_come_first(tmp_path: Path) -> None:
    own = "rate=0.2, dropout=0.7; memory=1; rate=0.003"
    rate, long, plain = given(own)
    assert rate == {"learning rate": 0.2, "dropout": 0.7, "long memory": 0}
    assert long == {"learning rate": 0.003, "dropout": 0.0, "long memory": 1}
    assert plain == KNOWN[0]
    study = Study("a", 6, True, str(tmp_path / "own.journal"), own)
    assert study.settings == (rate, long, *KNOWN)
    assert ";".join(map(written, given(own))) == (
        "rate=0.2,dropout=0.7,memory=0;rate=0.003,dropout=0,memory=1;rate=0.003,dropout=0,memory=0"
    )
    assert given("memory=1;memory=1") == (long,)
    assert given(" ") == ()
    assert given(written(given("rate=0.0123456789,dropout=0.25")[0])) == given("rate=0.0123456789,dropout=0.25")
    with pytest.raises(ArgumentError, match=r"'rate=0.1,rate=0.2' give rate twice; separate two settings by ;"):
        given("memory=1;rate=0.1,rate=0.2")


@pytest.mark.parametrize(
    "wrong", ["rat=0.01", "rate", "rate=fast", "rate=0", "dropout=1", "memory=0.5", "rate=nan", "rate=1,"]
)
def test_a_setting_that_cannot_be_is_a_sentence(wrong: str) -> None:
    with pytest.raises(ArgumentError, match=r"settings .* cannot be; give rate="):
        given(f"rate=0.01;{wrong}")


@pytest.mark.parametrize("higher", [True, False])
def test_the_better_half_goes_on(higher: bool) -> None:
    scores = [3.0, float("nan"), 5.0, 4.0, 1.0]
    study = Study("a", 5, higher)
    on = study.better_half(scores, 4)
    assert on == ([0, 2, 3] if higher else [0, 3, 4])
    assert study.best({k: scores[k] for k in on}) == (2 if higher else 4)


def test_of_equals_the_first_and_what_is_no_number_last() -> None:
    study = Study("a", 3, True)
    assert study.ranked([float("nan"), 2.0, 2.0]) == [1, 2, 0]
    assert study.best({0: float("nan"), 1: float("nan")}) == 0


def test_a_journal_holds_the_trials_and_is_gone_on_with(tmp_path: Path) -> None:
    file = str(tmp_path / "tuning.journal")
    settings = Study("digits lstm", 4, True, file).settings
    again = Study("digits lstm", 4, True, file)  # as after kill -9 between asking and telling
    assert again.settings == settings == Study("elsewhere", 4, True).settings
    on = again.better_half([1.0, 4.0, 3.0, 2.0], 6)
    assert again.best({k: 9.0 - k for k in on}) == 1
    once_more = Study("digits lstm", 4, True, file)
    assert once_more.better_half([1.0, 4.0, 3.0, 2.0], 6) == on  # what is told already is left alone
    assert once_more.best({k: 9.0 - k for k in on}) == 1
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(file))
    trials = optuna.load_study(study_name="digits lstm", storage=storage).trials
    assert [t.state.name for t in trials] == ["PRUNED", "COMPLETE", "COMPLETE", "PRUNED"]
    assert [t.value for t in trials] == [1.0, 8.0, 7.0, 2.0]


def test_a_database_holds_them_too(tmp_path: Path) -> None:
    """As PostgreSQL does by its own address; SQLite is the database that is everywhere."""
    address = f"sqlite:///{tmp_path / 'trials.db'}"
    settings = Study("digits lstm", 4, False, address).settings
    again = Study("digits lstm", 4, False, address)
    assert again.settings == settings == Study("elsewhere", 4, False).settings
    assert again.better_half([1.0, 4.0, 3.0, 2.0], 6) == [0, 3]
    assert again.best({0: 1.0, 3: 0.5}) == 3


def test_what_a_storage_holds_changes_nothing(tmp_path: Path) -> None:
    """Not even trials that somebody else put there under the same name."""
    file = str(tmp_path / "tuning.journal")
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(file))
    other = optuna.create_study(study_name="digits lstm", storage=storage, direction="maximize")
    for _ in range(3):
        other.ask({"learning rate": optuna.distributions.FloatDistribution(0.1, 0.2)})
    study = Study("digits lstm", 5, True, file)
    assert study.settings == Study("elsewhere", 5, True).settings
    assert study.better_half([1.0, 5.0, 4.0, 2.0, 3.0], 4) == [1, 2, 4]
    assert study.best({1: 5.0, 2: 6.0, 4: 3.0}) == 2


@pytest.mark.parametrize("storage", ["trials.db", "nonsense://here", "sqlite:////nowhere/at/all.db"])
def test_a_storage_that_cannot_be_is_a_sentence(storage: str) -> None:
    with pytest.raises(ArgumentError, match="--storage"):
        Study("a", 2, True, storage)


def test_a_password_is_not_told() -> None:
    with pytest.raises(ArgumentError, match=r"--storage postgresql://me:\*\*\*@127.0.0.1:1/trials") as told:
        Study("a", 2, True, "postgresql://me:secret@127.0.0.1:1/trials")
    assert "secret" not in str(told.value)

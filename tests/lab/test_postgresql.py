"""The promise: several processes keep their trials in one PostgreSQL database at the same time, and it changes no figure.

The server is started here, from the programs of the system; without them, or without the driver, the tests are skipped.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from tests.lab import tasks

from pellucid.errors import ArgumentError
from pellucid.lab import compare
from pellucid.lab.tune import Study

psycopg = pytest.importorskip("psycopg", reason="the driver is not installed (pip install 'pellucid[postgresql]')")


def _programs() -> Path | None:
    """The folder of the server's programs; Debian keeps them out of PATH."""
    known = [shutil.which("initdb"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    return next((Path(p).resolve().parent for p in known if p is not None), None)


def _owner() -> str | None:
    """Who runs the server, which refuses to be root's."""
    if os.getuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a database in a server of its own, which listens on a socket in its folder alone."""
    programs, owner = _programs(), _owner()
    if programs is None:
        pytest.skip("there is no PostgreSQL server here")
    if not os.getuid() and owner is None:
        pytest.skip("a PostgreSQL server does not run as root, and there is no other user")
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # a socket's path is short, and its user's
    if owner is not None:
        shutil.chown(folder, owner)

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd="/", user=owner, env={"LC_ALL": "C", "PATH": ""})

    data, log = str(folder / "data"), str(folder / "log")
    try:
        run("initdb", "-D", data, "-U", "me", "--auth", "trust", "--no-sync", "--no-instructions", "-E", "UTF8")
        run("pg_ctl", "-D", data, "-l", log, "-w", "-o", f"-c listen_addresses= -k {folder} -F", "start")
        try:
            yield f"postgresql://me@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


SHARE = """
import sys
import alembic, psycopg, sqlalchemy, optuna.storages._rdb.storage  # so that all arrive at the database in the same moment
from pellucid.lab.tune import Study, settings
settings(8)
print("ready", flush=True)
sys.stdin.readline()
study = Study(sys.argv[2], 8, True, sys.argv[1])
on = study.better_half([float(k) for k in range(8)], 3)
print(on, study.best({k: float(k) for k in on}))
"""


def test_processes_share_a_database(server: str) -> None:
    """Four at once in a database without a table, and each finds its own trials there afterwards, whole."""
    address = server.replace("/postgres?", "/empty?")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty")
    names = [f"network {k}" for k in range(4)]
    command = [sys.executable, "-c", SHARE, address]
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    at_work = [subprocess.Popen([*command, name], **piped) for name in names]  # type: ignore[call-overload]
    for process in at_work:
        assert process.stdout.readline() == "ready\n"
    for process in at_work:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in at_work] == ["[4, 5, 6, 7] 7\n"] * len(names)
    for name in names:
        trials = optuna.load_study(study_name=name, storage=address).trials
        assert [t.state.name for t in trials] == ["PRUNED"] * 4 + ["COMPLETE"] * 4
        assert [t.value for t in trials] == [float(k) for k in range(8)]
        assert [t.params for t in trials] == list(Study("elsewhere", 8, True).settings)


def test_a_comparison_keeps_its_trials_there_and_has_the_same_figures(server: str, tmp_path: Path) -> None:
    images = tasks.write_images(tmp_path / "images")
    runs = [
        compare(images, ["cnn", "rnn"], trials=2, seeds=1, epochs=2, size=800, out=tmp_path / name, quiet=True, **kept)  # type: ignore[arg-type]
        for name, kept in (("alone", {}), ("kept", {"storage": server}), ("workers", {"storage": server, "workers": 2}))
    ]
    scores = [
        [(c.name, c.score, [(t.valid_score, t.epochs, t.stopped) for t in c.trials]) for c in run.candidates]
        for run in runs
    ]
    assert scores[0] == scores[1] == scores[2]
    names = optuna.get_all_study_names(server)
    assert sum(name.endswith("rnn") for name in names) == 1  # the second run finds what the first has told
    for name in names:
        assert all(t.state.is_finished() for t in optuna.load_study(study_name=name, storage=server).trials)


def test_a_database_that_is_not_there_is_a_sentence(server: str) -> None:
    with pytest.raises(ArgumentError, match=r"--storage postgresql://me@/nowhere\?host=.*nowhere.* does not exist"):
        Study("a", 2, True, server.replace("/postgres?", "/nowhere?"))

"""The promise: a Ray cluster finds what one process finds, and a node that is lost loses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab import tasks
from tests.lab.test_compare import figures
from tests.lab.test_crew import made

from pellucid.errors import ArgumentError, DataError
from pellucid.lab import comparison, crew, data

ray = pytest.importorskip("ray", reason="Ray is not installed")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes in this machine, with a processor each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    found.add_node(num_cpus=1)
    found.wait_for_nodes()
    yield found
    ray.shutdown()
    found.shutdown()


def test_two_nodes_find_what_one_process_finds_though_one_is_lost(cluster: Any, tmp_path: Path) -> None:
    task = data.load(tasks.write_images(tmp_path / "images"))
    alone, _ = comparison.compare(made(task), out=tmp_path / "alone")
    lost: list[Any] = []

    def lose() -> None:
        while not any((tmp_path / "ray" / "units").glob("*.safetensors")):
            time.sleep(0.05)
        node = next(iter(cluster.worker_nodes))
        cluster.remove_node(node, allow_graceful=False)
        lost.append(node)

    thread = threading.Thread(target=lose, daemon=True)
    thread.start()
    hired, processors = crew.hire(1, cluster.address)
    assert processors == 2
    found, _ = comparison.compare(made(task), out=tmp_path / "ray", crew=hired)
    assert lost
    assert figures(found) == figures(alone)
    other = made(task)
    next((tmp_path / "images" / "left").iterdir()).unlink()
    again, _ = crew.hire(1, cluster.address)
    with pytest.raises(DataError, match=r"^[^\n]*a worker finds other data[^\n]*$"):  # one sentence, no traceback
        comparison.compare(other, out=tmp_path / "other", crew=again)


def test_no_cluster_is_a_sentence() -> None:
    with pytest.raises(ArgumentError, match=r"--ray 127.0.0.1:1: there is no cluster"):
        crew.hire(1, "127.0.0.1:1")
    with pytest.raises(ArgumentError, match="with --ray the cluster decides"):
        crew.hire(2, "127.0.0.1:1")

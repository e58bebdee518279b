"""Who does the work: this process, several of them, or a Ray cluster. The figures are the same.

A job is one unit of training. It leaves its checkpoint in the run folder, and that is all that comes back: whoever goes on
reads it there. So a worker may die, and its job is done again from its last epoch.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from pellucid import device
from pellucid.errors import ArgumentError, DataError
from pellucid.lab import sealed, team
from pellucid.lab.pace import Budget
from pellucid.lab.plan import Plan, plan
from pellucid.lab.results import Comparison, Epoch
from pellucid.lab.runs import Config, Run, safe
from pellucid.lab.task import Origin
from pellucid.lab.train import Unit, history_of, train
from pellucid.lab.tune import Settings

TRIES = 3  # of a job whose worker is lost
GLANCE = 0.3  # seconds between two looks at what workers have done


class Watcher:
    """What is told while a comparison runs; does nothing by itself."""

    def epoch(self, network: str, what: str, epoch: Epoch) -> None:
        """An epoch of a unit of work is done."""

    def done(self, network: str, what: str) -> None:
        """A unit of work is done."""

    def finish(self, found: Comparison) -> None:
        """The comparison is done, now or before; the leader of a team tells it."""


class Several(Watcher):
    """Passes on what it is told."""

    def __init__(self, *watchers: Watcher) -> None:
        self.watchers = watchers

    def epoch(self, network: str, what: str, epoch: Epoch) -> None:
        """To each."""
        for watcher in self.watchers:
            watcher.epoch(network, what, epoch)

    def done(self, network: str, what: str) -> None:
        """To each."""
        for watcher in self.watchers:
            watcher.done(network, what)

    def finish(self, found: Comparison) -> None:
        """To each."""
        for watcher in self.watchers:
            watcher.finish(found)


@dataclass(frozen=True)
class Job:
    """One unit of work.

    Attributes:
        network: its place in the plan.
        what: unique for the network, such as "trial 2".
        settings: of its training.
        budget: how long it trains.
        share: of the training part that it sees.
    """

    network: int
    what: str
    settings: Settings
    budget: Budget
    share: float = 1.0


@dataclass(frozen=True)
class Workshop:
    """Where jobs are done: a plan, and a run's folder for checkpoints."""

    made: Plan
    run: Run

    def file(self, job: Job) -> Path:
        """The job's checkpoint."""
        name = safe(f"{self.made.blueprints[job.network].name}-{job.what.replace(' ', '-')}")
        return self.run.file("units", f"{name}.safetensors")

    def do(self, job: Job, tell: Callable[[Epoch], None] = lambda _: None) -> Unit:
        """Train, or read what was trained."""
        return train(
            f"{self.made.blueprints[job.network].name} {job.what}",
            self.file(job),
            lambda: self._build(job).to(self.made.device),
            job.settings["learning rate"],
            self.made.task.lesson.part(job.share),
            job.budget,
            tell,
            self.made.config.key,
        )

    def _build(self, job: Job) -> nn.Module:
        blueprint, width = self.made.blueprints[job.network], self.made.widths[job.network]
        long = bool(job.settings["long memory"])
        return blueprint.build(self.made.task, width, job.settings["dropout"], long_memory=long)


class Crew(Protocol):
    """Does jobs; afterwards each has its checkpoint."""

    def work(self, workshop: Workshop, jobs: Sequence[Job], watcher: Watcher) -> None:
        """Do them all, in any order."""

    def close(self) -> None:
        """No more jobs come."""


class Alone:
    """This process does one job after the other."""

    def work(self, workshop: Workshop, jobs: Sequence[Job], watcher: Watcher) -> None:
        """Do them all."""
        for job in jobs:
            name = workshop.made.blueprints[job.network].name
            workshop.do(job, lambda epoch, name=name, what=job.what: watcher.epoch(name, what, epoch))  # type: ignore[misc]
            watcher.done(name, job.what)

    def close(self) -> None:
        """Nothing is held."""


class Workers:
    """Processes of this machine; one that is lost is replaced, and its job goes on from its last epoch.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = processes(count)

    def work(self, workshop: Workshop, jobs: Sequence[Job], watcher: Watcher) -> None:
        """Do them all.

        Raises:
            DataError: workers keep dying.
        """
        orders = _orders(workshop.made)
        left, lost = list(jobs), 0
        while left:
            try:
                futures = {self._pool.submit(_do, orders, workshop.run.folder, job): job for job in left}
                _watch(futures, workshop, watcher, left)
            except BrokenProcessPool:
                lost += 1
                if lost == TRIES:
                    raise DataError(
                        f"a worker was lost for the {TRIES}rd time, as when the machine runs out of memory; the same command "
                        "goes on from here, perhaps with fewer --workers"
                    ) from None
                self._pool = processes(self.count)

    def close(self) -> None:
        """Let the processes go; what they are at is not waited for."""
        dismiss(self._pool)


def processes(count: int) -> ProcessPoolExecutor:
    """Processes that leave it to this one to be interrupted, and end with it; each begins with its first job."""
    return ProcessPoolExecutor(count, get_context("spawn"), _attend)


def _attend() -> None:
    """In a worker: never be interrupted, and never outlive who hired it, since the next run would be at the same files."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    employer = parent_process()
    assert employer is not None

    def end_with(employer: BaseProcess = employer) -> None:
        employer.join()
        os._exit(1)

    threading.Thread(target=end_with, daemon=True).start()


def dismiss(pool: ProcessPoolExecutor) -> None:
    """End a pool's processes, whatever they are at: what is done is on disk, and only whole."""
    workers = list((pool._processes or {}).values())  # gone after the shutdown
    pool.shutdown(wait=False, cancel_futures=True)
    for worker in workers:
        worker.terminate()


class RayCluster:
    """Tasks on a Ray cluster whose nodes see the run's folder and the data at the same places.

    Args:
        address: of the cluster, or "auto".
        on: the device that networks are trained on; of GPUs each training has one.

    Raises:
        ArgumentError: Ray is not installed, there is no such cluster, or it has no GPU.
    """

    def __init__(self, address: str, on: torch.device = device.CPU) -> None:
        try:
            import ray
        except ImportError:
            raise ArgumentError("--ray needs Ray: pip install 'pellucid[ray]'") from None
        try:
            _answers(address)
            ray.init(address=address, log_to_driver=False, ignore_reinit_error=True)
        except (OSError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ArgumentError(f"--ray {address}: there is no cluster ({reason})") from None
        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
        gpus = int(resources.get("GPU", 0)) if on.type == "cuda" else 0
        if on.type == "cuda" and not gpus:
            raise ArgumentError(f"--ray {address}: the cluster has no GPU; say --device cpu, or add a node with one")
        self.processors = gpus or max(1, int(resources.get("CPU", 1)))
        # Ray hides all GPUs from a task that asks for none, and shows one to a task that asks for one.
        self._do = ray.remote(num_cpus=1, num_gpus=1 if gpus else 0, max_retries=TRIES)(_do)

    def work(self, workshop: Workshop, jobs: Sequence[Job], watcher: Watcher) -> None:
        """Do them all; a task whose node is lost is run again by Ray.

        Raises:
            DataError: what a task raised, or the cluster lost a task too often.
        """
        from ray.exceptions import RayError, RayTaskError

        orders = replace(_orders(workshop.made), device=workshop.made.device.type)
        folder = workshop.run.folder.resolve()
        futures = {self._do.remote(orders, folder, job).future(): job for job in jobs}
        try:
            _watch(futures, workshop, watcher, list(jobs))
        except RayTaskError as error:
            raise error.cause from None  # without the other process's traceback in its words
        except RayError as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(f"the Ray cluster lost a training ({reason}); the same command goes on from here") from None

    def close(self) -> None:
        """The cluster stays."""
        import ray

        ray.shutdown()


def _answers(address: str) -> None:
    """Raise OSError where nothing listens at ``host:port``: Ray itself asks for a minute and more, and then ends the process."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=5).close()


def hire(workers: int, ray: str | None, on: torch.device = device.CPU) -> tuple[Crew, int]:
    """Who trains on this device, and how many trainings run at a time.

    Raises:
        ArgumentError: a number of workers that cannot be, a cluster that is not there, or either under torchrun.
    """
    if team.place()[1] > 1 and (workers != 1 or ray is not None):
        raise ArgumentError(
            "under torchrun all processes train each network together, so there are no other workers; leave --workers and "
            "--ray out, or torchrun"
        )
    if ray is not None:
        if workers != 1:
            raise ArgumentError(f"workers is {workers}, and with --ray the cluster decides; leave one of them out")
        cluster = RayCluster(ray, on)
        return cluster, cluster.processors
    most = 4 * (os.cpu_count() or 1)
    if not 1 <= workers <= most:
        raise ArgumentError(f"workers is {workers}; give 1 to {most}")
    return (Alone(), 1) if workers == 1 else (Workers(workers), workers)


@dataclass(frozen=True)
class Orders:
    """What a worker makes the same plan of: where the data lies, what was asked, and the name of the device."""

    origin: Origin
    config: str
    device: str


def _orders(made: Plan) -> Orders:
    if made.task.origin is None:
        raise ArgumentError("several workers each read the data, so it must be a file or a folder; give its path")
    return Orders(made.task.origin, made.config.model_dump_json(), str(made.device))


def _watch(futures: dict[Future[None], Job], workshop: Workshop, watcher: Watcher, left: list[Job]) -> None:
    """Tell of epochs as checkpoints show them, and strike out what is done."""
    told = dict.fromkeys(futures, 0)
    waiting = set(futures)
    while waiting:
        looked, (done, waiting) = waiting, wait(waiting, timeout=GLANCE)
        for future in sorted(looked, key=lambda f: left.index(futures[f])):
            job = futures[future]
            name = workshop.made.blueprints[job.network].name
            if future in done:
                future.result()
            for epoch in _history(workshop.file(job))[told[future] :]:
                told[future] = epoch.epoch
                watcher.epoch(name, job.what, epoch)
            if future in done:
                watcher.done(name, job.what)
        for future in done:
            left.remove(futures[future])


def _history(file: Path) -> list[Epoch]:
    """The epochs of a checkpoint; none where there is none yet. Who goes on with a damaged one says so."""
    try:
        return history_of(sealed.load(file)[1])
    except (OSError, sealed.DamagedError, KeyError, ValueError, TypeError):
        return []


def _do(orders: Orders, folder: Path, job: Job) -> None:
    """In a worker: the data is read once for all its jobs."""
    workshop = _workshop(orders, folder)
    with device.working(workshop.made.device):
        workshop.do(job)


@lru_cache(maxsize=1)
def _workshop(orders: Orders, folder: Path) -> Workshop:
    from pellucid.lab import data

    origin, wanted = orders.origin, Config.model_validate_json(orders.config)
    torch.set_num_threads(wanted.threads)
    task = data.load(origin.source, kind=origin.kind, **dict[str, Any](origin.options))
    made = plan(task, **wanted.arguments(), on=device.choose(orders.device))
    if made.config != wanted:
        raise DataError(
            f"{origin.source}: a worker finds other data, another version or another GPU than the run was begun with"
        )
    return Workshop(made, Run(folder))
